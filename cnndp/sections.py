"""The experiments of each notebook section, as data: which runs, under which labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cnndp.batches import steps_per_epoch
from cnndp.budget import Budget, budget_for_scales, total_epsilon
from cnndp.checks import at_least, one_of
from cnndp.config import READINGS, Config
from cnndp.presets import METHODS, PRINTED, preset, table_one

NOISE_FACTOR = 10  # Fig. 7's "noise environment": this many times Table I's scales, on the sum
NOMINAL_TRAIN = {"mnist": 56_000, "fashion_mnist": 56_000, "cifar10": 48_000}


class Run(NamedTuple):
    """One run of a section and the name it has there; runs that differ in the seed share it."""

    label: str
    config: Config


class Options(NamedTuple):
    """What a notebook's parameters cell or the command line asks for.

    Attributes:
        dataset: a name `data.load` knows, or an `.npz` content name.
        profile: "small" (minutes on a laptop) or "paper" (the papers' sizes).
        num_steps, seeds: None takes the profile's.
        methods, readings: which to run; None takes all.
        changes: fields of `Config` to set in every run.
    """

    dataset: str
    profile: str = "small"
    num_steps: int | None = None
    seeds: tuple[int, ...] | None = None
    methods: tuple[str, ...] | None = None
    readings: tuple[str, ...] | None = None
    changes: tuple[tuple[str, Any], ...] = ()


class Size(NamedTuple):
    """The sizes of a profile."""

    num_steps: int
    seeds: tuple[int, ...]


Labelled = dict[str, Config]


def fig07_ablation(dataset: str, num_steps: int) -> Labelled:
    """Fig. 7: five modules and the noise-free reference, and the two that P1's equations define literally.

    The noise runs from `NOISE_FACTOR` times Table I's initial scale to as many times its minimum: CNN keeps
    the initial scale, CNN-DP spends the same total as CNN-DP-GAN in equal parts, CNN-DP-GAN follows Eq. (4).
    """
    column = table_one(dataset)
    first, last = NOISE_FACTOR * column.initial_scale, NOISE_FACTOR * column.min_scale
    growing = budget_for_scales(first, last, Config.nominal_sensitivity, num_steps)
    constant = Budget(growing.initial_epsilon, 0.0)
    total = total_epsilon(num_steps, growing)
    l2 = {"l2_coefficient": column.l2_coefficient}
    growth = first / last if num_steps > 1 else 1.0

    def run(method: str, **changes: Any) -> Config:
        return preset(method, "reconstructed", dataset, num_steps, **changes)

    unallocated = {"total_epsilon": total_epsilon(num_steps, constant)}
    return {
        "noise-free": run("cnn"),
        "CNN": run("cnn_noisy", **unallocated),
        "CNN+L2": run("cnn_noisy", **unallocated, **l2),
        "CNN-DP": run("cnn_dp", total_epsilon=total),
        "CNN-DP+L2": run("cnn_dp", total_epsilon=total, **l2),
        "CNN-DP-GAN": run("cnn_dp_gan", total_epsilon=total, growth=growth, **l2),
        "CNN-DP (printed)": preset("cnn_dp", "printed", dataset, num_steps),
        "CNN-DP-GAN (printed)": preset("cnn_dp_gan", "printed", dataset, num_steps),
    }


def eq01_05_adaptive_noise(dataset: str, num_steps: int) -> Labelled:
    """Eq. (1)-(5): CNN-DP-GAN, then each printed choice put back alone, growth ratios and L2 factors."""
    base = preset("cnn_dp_gan", "reconstructed", dataset, num_steps)
    column = table_one(dataset)
    other = "Tanh" if base.activation == "relu" else "ReLU"
    return {
        "reconstructed": base,
        "noise on the mean": base.replace(noise_on="mean"),
        "learning rate 0.001": base.replace(learning_rate=column.learning_rate),
        "batch clip 0.002": base.replace(clip="batch", clip_norm=column.clip_norm),
        "L2 over N": base.replace(l2_coefficient=column.l2_coefficient, l2_over="train"),
        "L2 over B": base.replace(l2_coefficient=column.l2_coefficient),
        "L2 factor 0.05": base.replace(l2_coefficient=0.05 * base.batch_size),
        "L2 factor 0.5": base.replace(l2_coefficient=0.5 * base.batch_size),
        "growth 1": base.replace(growth=1.0),
        "growth 10": base.replace(growth=10.0),
        "Brier loss": base.replace(loss="brier"),
        other: base.replace(activation=other.lower()),
        "printed": preset("cnn_dp_gan", "printed", dataset, num_steps),
    }


def eq06_11_polyak(dataset: str, num_steps: int) -> Labelled:
    """Eq. (6)-(11): the Polyak step as printed, capped, capped and de-biased, beside fixed rates."""
    base = preset("cnn_dp_gan_polyak", "reconstructed", dataset, num_steps)
    gan = preset("cnn_dp_gan", "reconstructed", dataset, num_steps)
    return {
        "Eq. (10), no cap": base.replace(max_step=None, debias=False),
        "cap 0.3": base.replace(debias=False),
        "cap 0.3, de-biased": base,
        "cap 1, de-biased": base.replace(max_step=1.0),
        "fixed 0.03": gan.replace(learning_rate=0.03),
        "fixed 0.1": gan.replace(learning_rate=0.1),
        "fixed 0.3": gan,
        "printed": preset("cnn_dp_gan_polyak", "printed", dataset, num_steps),
    }


SECTIONS: dict[str, Callable[[str, int], Labelled]] = {
    "eq01_05_adaptive_noise": eq01_05_adaptive_noise,
    "eq06_11_polyak": eq06_11_polyak,
    "fig07_ablation": fig07_ablation,
}
PROFILES: dict[str, dict[str, Size]] = {
    "small": dict.fromkeys(SECTIONS, Size(60, (0,))),
    "paper": {
        "eq01_05_adaptive_noise": Size(600, (0, 1, 2)),
        "eq06_11_polyak": Size(300, (0, 1, 2)),
        "fig07_ablation": Size(600, (0, 1, 2, 3, 4)),
    },
}


def plan(section: str, options: Options) -> list[Run]:
    """Return the runs that `section` has under `options`, each label with all its seeds.

    Raises:
        ValueError: an unknown section, profile, method, reading or Config field, with the closest known name.

    >>> [run.label for run in plan("fig07_ablation", Options("mnist", methods=("cnn", "cnn_noisy")))]
    ['noise-free', 'CNN', 'CNN+L2']
    """
    one_of(SECTIONS, section=section)
    one_of(PROFILES, profile=options.profile)
    for method in options.methods or ():
        one_of(METHODS, methods=method)
    for reading in options.readings or ():
        one_of(READINGS, readings=reading)
    size = PROFILES[options.profile][section]
    num_steps = size.num_steps if options.num_steps is None else options.num_steps
    at_least(1, num_steps=num_steps)
    seeds = size.seeds if options.seeds is None else options.seeds
    for seed in seeds:
        at_least(0, seeds=seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={list(seeds)} must be different whole numbers, at least one; for example [0, 1, 2]")
    labelled = SECTIONS[section](options.dataset, num_steps)
    runs = [
        Run(label, config.replace(**dict(options.changes), seed=seed))
        for label, config in labelled.items()
        for seed in seeds
        if options.methods is None or config.method in options.methods
        if options.readings is None or config.reading in options.readings
    ]
    if section == "fig07_ablation" and options.profile == "paper" and options.num_steps is None:
        runs += rounds_as_epochs(options)
    if not runs:
        raise ValueError(
            f"methods={options.methods} with readings={options.readings} leave no run in section {section!r}; "
            f"reading 'printed' exists for {', '.join(PRINTED)}"
        )
    return runs


def rounds_as_epochs(options: Options) -> list[Run]:
    """Return Table I's 100 rounds read as epochs, one seed, as printed: the longest literal reading."""
    wanted = "cnn_dp_gan" in (options.methods or METHODS) and "printed" in (options.readings or READINGS)
    if options.dataset not in NOMINAL_TRAIN or not wanted:
        return []
    column, changes = table_one(options.dataset), dict(options.changes)
    batch_size = changes.get("batch_size", column.batch_size)
    num_steps = column.num_rounds * steps_per_epoch(NOMINAL_TRAIN[options.dataset], batch_size)
    config = preset("cnn_dp_gan", "printed", options.dataset, num_steps, **changes)
    return [Run("CNN-DP-GAN (printed, 100 epochs)", config.replace(seed=(options.seeds or (0,))[0]))]
