"""The experiments of each notebook section, as data: which runs, under which labels."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from cnndp import sections_cifar10 as cifar10
from cnndp import sections_equal as equal
from cnndp import sections_frontier as front
from cnndp import sections_p1 as p1
from cnndp import sections_p2 as p2
from cnndp import sections_private as private
from cnndp import sections_survive as survive
from cnndp.batches import steps_per_epoch
from cnndp.checks import at_least, one_of
from cnndp.config import READINGS, Config
from cnndp.presets import METHODS, PRINTED, preset, table_one
from cnndp.sections_p1 import NOISE_FACTOR, NUM_TRAIN, Labelled

__all__ = ["NOISE_FACTOR", "PROFILES", "SECTIONS", "NoRuns", "Options", "Run", "plan"]


class Run(NamedTuple):
    """One run of a section and the name it has there; runs that differ in the seed share it."""

    label: str
    config: Config


class Options(NamedTuple):
    """What a notebook's parameters cell or the command line asks for.

    Attributes:
        dataset: a name `data.load` knows, or an `.npz` content name.
        profile: "small" (minutes on a laptop), "reduced" (one seed and few steps, for networks that are slow
            here) or "paper" (the papers' sizes).
        num_steps, seeds: None takes the profile's.
        methods, readings: which to run; None takes all.
        changes: fields of `Config` to set in every run.
        secret: whether private runs take batches and noise from the operating system.
    """

    dataset: str
    profile: str = "small"
    num_steps: int | None = None
    seeds: tuple[int, ...] | None = None
    methods: tuple[str, ...] | None = None
    readings: tuple[str, ...] | None = None
    changes: tuple[tuple[str, Any], ...] = ()
    secret: bool = False


class Size(NamedTuple):
    """The sizes of a profile."""

    num_steps: tuple[int, ...]  # each T that the section has
    seeds: tuple[int, ...]
    num_printed: int = 2  # how many of the seeds the printed reading takes: it does not train


class Section(NamedTuple):
    """One notebook: what it runs, and how much of it."""

    make: Callable[[str, int], Labelled]  # (dataset, T) -> runs by label
    paper: Size
    few: Callable[[str, int], Labelled] | None = None  # what the profile "reduced" runs, if not the same
    few_steps: int = 300  # and for at most how many steps
    datasets: tuple[str, ...] = ("mnist", "fashion_mnist", "cifar10")  # those that the paper has


THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)
SECTIONS: dict[str, Section] = {
    "eq01_05_adaptive_noise": Section(
        p1.eq01_05_adaptive_noise, Size((600,), THREE, 3), cifar10.eq01_05_adaptive_noise, few_steps=60
    ),
    "eq06_11_polyak": Section(p1.eq06_11_polyak, Size((300,), THREE, 3), few_steps=60),
    "table1_settings": Section(p1.table1_settings, Size((600,), THREE, 2), few_steps=60),
    "fig07_ablation": Section(p1.fig07_ablation, Size((600,), FIVE, 5), few_steps=100),
    "fig08_loss": Section(p1.fig08_loss, Size((600,), FIVE, 5), few_steps=100),
    "fig09_comparison": Section(cifar10.fig09_comparison, Size((300, 600, 1200), FIVE)),
    "fig10_thresholds": Section(
        p1.fig10_thresholds,
        Size((300,), FIVE),
        partial(p1.fig10_thresholds, budgets=p1.FEW_BUDGETS),
        few_steps=60,
    ),
    "equal_terms_tuning": Section(equal.equal_terms_tuning, Size((300,), (0,))),
    "cifar10_tuning": Section(cifar10.cifar10_tuning, Size((100,), (0,)), datasets=("cifar10",)),
    "equal_terms": Section(equal.equal_terms, Size((300,), FIVE)),
    "p2_table2_fig07": Section(p2.p2_training, Size((4800,), FIVE, 1), datasets=p2.DATASETS),
    "p2_table3": Section(p2.p2_training, Size((720, 4800), FIVE, 1), datasets=p2.DATASETS),
    "private_tuning": Section(
        private.private_tuning,
        Size((300,), (0,)),
        partial(private.private_tuning, targets=private.FEW_TARGETS, labels=private.FEW_ROWS),
        few_steps=40,
    ),
    "private_fig07_08": Section(
        private.private_fig07_08,
        Size((300,), THREE),
        partial(private.private_fig07_08, epsilons=private.EPSILONS[-1:]),
        few_steps=100,
    ),
    "private_fig09": Section(private.private_fig09, Size((300, 600, 1200), THREE)),
    "private_fig10": Section(
        private.private_fig10,
        Size((300,), THREE),
        partial(private.private_fig10, budgets=(p1.FEW_BUDGETS[0], p1.FEW_BUDGETS[-1])),
        few_steps=60,
    ),
    "frontier": Section(front.frontier, Size((300,), FIVE)),
    "frontier_table2": Section(front.frontier_table2, Size((300, 1200), FIVE), datasets=p2.DATASETS),
    "frontier_cnn_tuning": Section(front.frontier_cnn_tuning, Size((300,), (0,)), datasets=p2.DATASETS),
    "frontier_cnn": Section(front.frontier_cnn, Size((300,), FIVE), datasets=p2.DATASETS),
    "survive_tuning": Section(survive.survive_tuning, Size((300,), (0,)), datasets=p2.DATASETS),
    "survive_steps": Section(survive.survive_steps, Size((300,), FIVE), datasets=p2.DATASETS),
    "survive_cap": Section(survive.survive_cap, Size((300,), FIVE), datasets=p2.DATASETS),
    "survive_laplace_tuning": Section(survive.survive_laplace_tuning, Size((300,), (0,)), datasets=p2.DATASETS),
    "survive_laplace": Section(survive.survive_laplace, Size((300,), FIVE), datasets=p2.DATASETS),
    "private_p2": Section(private.private_p2, Size((720, 4800), THREE), datasets=p2.DATASETS),
}
PROFILES = ("small", "reduced", "paper")
SMALL = Size((60,), (0,))
PRINTED_STEPS = 100  # of the printed reading in the profile "reduced"


class NoRuns(ValueError):
    """A choice of methods and readings that leaves nothing to run in a section."""


def size_of(section: str, options: Options) -> Size:
    """Return the sizes of a section under `options`.

    The printed reading takes fewer seeds away from MNIST: nothing in it trains.
    """
    paper = SECTIONS[section].paper
    reduced = Size((min(SECTIONS[section].few_steps, *paper.num_steps),), (0,), 1)
    size = {"small": SMALL, "reduced": reduced, "paper": paper}[options.profile]
    if options.num_steps is not None:
        at_least(1, num_steps=options.num_steps)
        size = size._replace(num_steps=(options.num_steps,))
    if options.seeds is not None:
        size = size._replace(seeds=options.seeds, num_printed=len(options.seeds))
    elif options.dataset in ("fashion_mnist", "cifar10"):
        size = size._replace(num_printed=1)
    for seed in size.seeds:
        at_least(0, seeds=seed)
    if not size.seeds or len(set(size.seeds)) < len(size.seeds):
        raise ValueError(
            f"seeds={list(size.seeds)} must be different whole numbers, at least one; for example [0, 1, 2]"
        )
    return size


def plan(section: str, options: Options) -> list[Run]:
    """Return the runs that `section` has under `options`, each label with all its seeds.

    Where a section has several T, labels name theirs.

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
    size = size_of(section, options)
    runs = [
        Run(label, config.replace(**dict(options.changes), seed=seed, secret_seed=is_secret(config, options)))
        for label, config in labelled(section, options, size)
        for seed in size.seeds[: size.num_printed if config.reading == "printed" else None]
        if options.methods is None or config.method in options.methods
        if options.readings is None or config.reading in options.readings
    ]
    if section in ("fig07_ablation", "table1_settings") and options.profile == "paper" and options.num_steps is None:
        runs += rounds_as_epochs(options)
    if not runs:
        raise NoRuns(
            f"methods={options.methods} with readings={options.readings} leave no run in section {section!r}; "
            f"reading 'printed' exists for {', '.join(PRINTED)}"
        )
    return runs


def is_secret(config: Config, options: Options) -> bool:
    """Return whether a run's seed is to be secret: only private ones have something that a known seed would break."""
    return options.secret and config.reading == "private"


def labelled(section: str, options: Options, size: Size) -> list[tuple[str, Config]]:
    """Return the labels of a section with their Configs, for each of its T."""
    entry, several = SECTIONS[section], len(size.num_steps) > 1
    reduced = options.profile == "reduced"
    make = entry.few if reduced and entry.few else entry.make
    rows = []
    for num_steps in size.num_steps:
        for label, config in make(options.dataset, num_steps).items():
            if reduced and config.reading == "printed" and num_steps > PRINTED_STEPS:
                config = make(options.dataset, PRINTED_STEPS)[label]
            rows.append((f"{label}, T = {num_steps}" if several else label, config))
    return rows


def rounds_as_epochs(options: Options) -> list[Run]:
    """Return Table I's 100 rounds read as epochs, one seed, as printed: the longest literal reading."""
    wanted = "cnn_dp_gan" in (options.methods or METHODS) and "printed" in (options.readings or READINGS)
    if options.dataset not in NUM_TRAIN or not wanted:
        return []
    column, changes = table_one(options.dataset), dict(options.changes)
    batch_size = changes.get("batch_size", column.batch_size)
    num_steps = column.num_rounds * steps_per_epoch(NUM_TRAIN[options.dataset], batch_size)
    config = preset("cnn_dp_gan", "printed", options.dataset, num_steps, **changes)
    return [Run("CNN-DP-GAN (printed, 100 epochs)", config.replace(seed=(options.seeds or (0,))[0]))]
