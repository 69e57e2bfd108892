"""The experiments of each notebook section, as data: which runs, under which labels."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from cnndp.checks import at_least, one_of, positive
from cnndp.data.datasets import split_sizes
from cnndp.papers.presets import METHODS, PRINTED, PRINTED_FIELDS, preset, table_one
from cnndp.papers.sections import cifar10, equal, labels, p1, p2, private, survive
from cnndp.papers.sections import frontier as front
from cnndp.papers.sections.entries import Entry, Facts
from cnndp.papers.sections.p1 import NOISE_FACTOR, NUM_TRAIN
from cnndp.papers.sections.profiles import PROFILES
from cnndp.training.batches import sampling_prob_for, steps_per_epoch
from cnndp.training.config import READINGS, Config
from cnndp.training.models import INPUT_CHANNELS, check_channels

__all__ = ["NOISE_FACTOR", "PROFILES", "SECTIONS", "NoRuns", "Options", "Run", "plan"]


class Run(NamedTuple):
    """One run of a section; runs that differ in the seed alone share all but the config.

    Attributes:
        section: where it is from.
        label: how it is shown; nobody takes it apart.
        title: the same without the rate, where the section tries several.
        name: of the method or the idea, without its settings.
        config: what it is.
        facts: what the section varies that no field of the config tells.
    """

    section: str
    label: str
    title: str
    name: str
    config: Config
    facts: Facts = Facts()


class Options(NamedTuple):
    """What a notebook's parameters cell or the command line asks for.

    Attributes:
        dataset: a name `datasets.load` knows, or an `.npz` content name.
        profile: "small" (minutes on a laptop), "reduced" (one seed and few steps, for networks that are slow
            here) or "paper" (the papers' sizes).
        num_steps, seeds: None takes the profile's.
        methods, readings: which to run; None takes all.
        changes: fields of `Config` to set in every run.
        grids: what the section varies, such as the budgets of Fig. 10, with other values than its own.
        secret: whether private runs take batches and noise from the operating system.
        num_train: N of the 8:2 split, where the batches of the plan are to fit it: for data of a user's own.
        colour: whether the images are 32x32 and colour, where the dataset's name does not tell.
    """

    dataset: str
    profile: str = "small"
    num_steps: int | None = None
    seeds: tuple[int, ...] | None = None
    methods: tuple[str, ...] | None = None
    readings: tuple[str, ...] | None = None
    changes: tuple[tuple[str, Any], ...] = ()
    grids: tuple[tuple[str, tuple[float, ...]], ...] = ()
    secret: bool = False
    num_train: int | None = None
    colour: bool = False


class Size(NamedTuple):
    """The sizes of a profile."""

    num_steps: tuple[int, ...]  # each T that the section has
    seeds: tuple[int, ...]
    num_printed: int = 2  # how many of the seeds the printed reading takes: it does not train


class Section(NamedTuple):
    """One notebook: what it runs, and how much of it."""

    make: Callable[..., list[Entry]]  # (dataset, T, its grids by name) -> runs
    paper: Size
    few: Callable[..., list[Entry]] | None = None  # what the profile "reduced" runs, if not the same
    few_when_small: bool = False  # and "small" as well, which is to take a minute or two on digits
    label: Callable[[Entry], str] = labels.plain  # how its runs are shown
    tuned: bool = False  # whether its runs try several rates, and are shown with theirs
    few_steps: int = 300  # and for at most how many steps
    grids: tuple[str, ...] = ()  # arguments of `make` that a reader may choose: several numbers above 0
    sets: tuple[str, ...] = ()  # fields of Config that the names of its runs state, even where they have one value
    datasets: tuple[str, ...] = ("mnist", "fashion_mnist", "cifar10")  # those that the paper has


THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)
GREY = ("mnist_cnn", "mnist_cnn_valid")  # networks for 28x28 grey images
SPENDS = ("target_epsilon", "noise_multiplier", "total_epsilon")
OPTIONAL = (*SPENDS, "clip_norm", "max_step", "loss_clip", "mean_noise", "moment_noise", "projection")  # None: has none
# What P1 prints of its methods; a run under that reading keeps it.
AS_PRINTED = (*PRINTED_FIELDS, "growth", "step", "max_step", "total_epsilon")
SECTIONS: dict[str, Section] = {
    "eq01_05_adaptive_noise": Section(
        p1.eq01_05_adaptive_noise,
        Size((600,), THREE, 3),
        cifar10.eq01_05_adaptive_noise,
        few_steps=60,
        sets=("learning_rate",),
    ),
    "eq06_11_polyak": Section(p1.eq06_11_polyak, Size((300,), THREE, 3), few_steps=60, sets=("max_step",)),
    "table1_settings": Section(p1.table1_settings, Size((600,), THREE, 2), few_steps=60, sets=("learning_rate",)),
    "fig07_ablation": Section(p1.fig07_ablation, Size((600,), FIVE, 5), few_steps=100),
    "fig08_loss": Section(p1.fig08_loss, Size((600,), FIVE, 5), few_steps=100),
    "fig09_comparison": Section(cifar10.fig09_comparison, Size((300, 600, 1200), FIVE), sets=("total_epsilon",)),
    "fig10_thresholds": Section(
        p1.fig10_thresholds,
        Size((300,), FIVE),
        partial(p1.fig10_thresholds, budgets=p1.FEW_BUDGETS),
        few_steps=60,
        sets=("max_step", "total_epsilon"),
        label=labels.threshold,
        grids=("thresholds", "budgets"),
    ),
    "equal_terms_tuning": Section(equal.equal_terms_tuning, Size((300,), (0,)), label=labels.in_panel, tuned=True),
    "cifar10_tuning": Section(cifar10.cifar10_tuning, Size((100,), (0,)), datasets=("cifar10",), tuned=True),
    "equal_terms": Section(equal.equal_terms, Size((300,), FIVE), label=labels.in_panel),
    "p2_table2_fig07": Section(p2.p2_training, Size((4800,), FIVE, 1), datasets=p2.DATASETS),
    "p2_table3": Section(p2.p2_training, Size((720, 4800), FIVE, 1), datasets=p2.DATASETS),
    "private_tuning": Section(
        private.private_tuning,
        Size((300,), (0,)),
        partial(private.private_tuning, targets=private.FEW_TARGETS, labels=private.FEW_ROWS),
        few_when_small=True,
        few_steps=40,
        sets=SPENDS,
        label=labels.targeted,
        tuned=True,
    ),
    "private_fig07_08": Section(
        private.private_fig07_08,
        Size((300,), THREE),
        partial(private.private_fig07_08, targets=private.EPSILONS[-1:]),
        few_when_small=True,
        few_steps=100,
        sets=SPENDS,
        label=labels.targeted,
        grids=("targets",),
    ),
    "private_fig09": Section(private.private_fig09, Size((300, 600, 1200), THREE), sets=SPENDS, label=labels.targeted),
    "private_fig10": Section(
        private.private_fig10,
        Size((300,), THREE),
        partial(private.private_fig10, budgets=(p1.FEW_BUDGETS[0], p1.FEW_BUDGETS[-1])),
        few_steps=60,
        sets=(*SPENDS, "max_step"),
        label=labels.cap,
        grids=("budgets", "cap_factors"),
    ),
    "frontier": Section(front.frontier, Size((300,), FIVE), sets=SPENDS, label=labels.epsilon, grids=("targets",)),
    "frontier_table2": Section(
        front.frontier_table2, Size((300, 1200), FIVE), datasets=p2.DATASETS, sets=SPENDS, label=labels.valid
    ),
    "frontier_cnn_tuning": Section(
        front.frontier_cnn_tuning,
        Size((300,), (0,)),
        datasets=p2.DATASETS,
        sets=SPENDS,
        label=labels.targeted,
        tuned=True,
    ),
    "frontier_cnn": Section(
        front.frontier_cnn, Size((300,), FIVE), datasets=p2.DATASETS, sets=SPENDS, label=labels.targeted
    ),
    "survive_tuning": Section(
        survive.survive_tuning, Size((300,), (0,)), datasets=p2.DATASETS, sets=SPENDS, label=labels.idea, tuned=True
    ),
    "survive_steps": Section(
        survive.survive_steps, Size((300,), FIVE), datasets=p2.DATASETS, sets=SPENDS, label=labels.idea
    ),
    "survive_cap": Section(
        survive.survive_cap, Size((300,), FIVE), datasets=p2.DATASETS, sets=SPENDS, label=labels.idea, tuned=True
    ),
    "survive_laplace_tuning": Section(
        survive.survive_laplace_tuning,
        Size((300,), (0,)),
        datasets=p2.DATASETS,
        sets=SPENDS,
        label=labels.idea,
        tuned=True,
    ),
    "survive_laplace": Section(
        survive.survive_laplace, Size((300,), FIVE), datasets=p2.DATASETS, sets=SPENDS, label=labels.idea
    ),
    "private_p2": Section(private.private_p2, Size((720, 4800), THREE), datasets=p2.DATASETS, label=labels.valid),
}
IN_BOOK = {"cifar10": "reduced"}  # the size at which the book shows a dataset; "paper" where none is named
FULL = ("cifar10_tuning", "frontier")  # but these are shown at "paper" size on every dataset
SMALL = Size((60,), (0,))
PRINTED_STEPS = 100  # of the printed reading in the profile "reduced"


def book_profile(section: str, dataset: str) -> str:
    """Return the size at which the book shows a section on a dataset."""
    return "paper" if section in FULL else IN_BOOK.get(dataset, "paper")


class NoRuns(ValueError):
    """A choice of dataset, methods and readings that leaves nothing to run in a section."""


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
    """Return the runs that `section` has under `options`, each entry with all its seeds.

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
    check_grids(section, options.grids)
    check_changes(section, options, size)
    runs = [
        run_of(section, entry, own_config(entry.config, options, seed), len(size.num_steps) > 1)
        for entry in entries(section, options, size)
        for seed in size.seeds[: size.num_printed if entry.config.reading == "printed" else None]
        if options.methods is None or entry.config.method in options.methods
        if options.readings is None or entry.config.reading in options.readings
    ]
    if section in ("fig07_ablation", "table1_settings") and options.profile == "paper" and options.num_steps is None:
        runs += rounds_as_epochs(section, options)
    if not runs:
        raise NoRuns(
            f"methods={options.methods} with readings={options.readings} leave no run in section {section!r}; "
            f"reading 'printed' exists for {', '.join(PRINTED)}"
        )
    return runs


def own_config(config: Config, options: Options, seed: int) -> Config:
    """Return a run of a section with what the options ask for, on the data that they name.

    Only private runs have something that a known seed would break, so only they get a secret one.
    """
    values = {name: value for name, value in options.changes if takes(config, name)}
    if "model_shapes" in values:  # a network of a user's own brings its activation and initial weights
        values = {"activation": "tanh", "init": "uniform", **values}
    elif options.colour and config.model in GREY:
        values = {"model": "cifar_cnn", "activation": "relu", **values}
    channels = 3 if options.colour or options.dataset == "cifar10" else 1
    if "model" not in values and INPUT_CHANNELS.get(config.model, channels) != channels:
        raise NoRuns(
            f"dataset={options.dataset!r} is in colour and has no run here, where {config.model!r} takes grey images; "
            "pass a grey one, such as 'mnist'"
        )
    check_channels(values.get("model", config.model), channels)
    known = split_sizes(options.dataset, config.split)
    if options.num_train is not None:
        num_train = int(0.9 * options.num_train) if config.split.endswith("validation") else options.num_train
        values = {"batch_size": fitting_batch(config.batch_size, num_train), **values}
        sampling_prob_for(values["batch_size"], num_train)
    elif known and "batch_size" in values:
        sampling_prob_for(values["batch_size"], known[0])
    return config.replace(**values, seed=seed, secret_seed=options.secret and config.reading == "private")


def takes(config: Config, name: str) -> bool:
    """Return whether a field can be set in a run: not what is printed, and not what the run has none of."""
    if config.reading == "printed" and name in AS_PRINTED:
        return False
    return name not in OPTIONAL or getattr(config, name) is not None


def fitting_batch(batch_size: int, num_train: int) -> int:
    """Return a batch size as planned, or a quarter of the data where that is more than half of them.

    >>> fitting_batch(250, 1_000), fitting_batch(250, 60)
    (250, 15)
    """
    return batch_size if 2 * batch_size <= num_train else max(1, num_train // 4)


def check_changes(section: str, options: Options, size: Size) -> None:
    """Refuse to set in all runs what the section sets differently in them: their names would be wrong.

    Raises:
        ValueError: the field, what the section has it at, and what to do instead.
    """
    planned = [entry.config for entry in entries(section, options, size)] if options.changes else []
    for name, value in options.changes:
        one_of(Config.__dataclass_fields__, parameter=name)
        found = list(dict.fromkeys(getattr(config, name) for config in planned if takes(config, name)))
        if len(found) == 1 and (name not in SECTIONS[section].sets or found == [value]):
            continue
        has = ", ".join(repr(one) for one in found[:5]) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"{name}={value!r} cannot be set in section {section!r}, "
            + (f"which sets it itself (to {has}) and names its runs by it" if found else "none of whose runs has one")
            + "; leave it out, or train a Config of your own with training.train"
        )


def check_grids(section: str, grids: tuple[tuple[str, tuple[float, ...]], ...]) -> None:
    """Refuse a grid that the section does not have, and values that are no different numbers above 0.

    Raises:
        ValueError: the argument, its value, and what to pass.
    """
    for name, values in grids:
        if name not in SECTIONS[section].grids:
            having = ", ".join(known for known, entry in SECTIONS.items() if name in entry.grids)
            raise ValueError(f"{name}={list(values)} cannot be set in section {section!r}; sections with it: {having}")
        for value in values:
            positive(**{name: value})
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name}={list(values)} must be different numbers, at least one; for example [0.1, 1.0]")


def run_of(section: str, entry: Entry, config: Config, several: bool) -> Run:
    """Return the run of an entry with its labels, which name T where a section has several."""
    title = SECTIONS[section].label(entry)
    label = labels.with_rate(title, entry) if SECTIONS[section].tuned else title
    if several:
        title, label = (labels.with_length(text, entry) for text in (title, label))
    return Run(section, label, title, entry.name, config, entry.facts)


def entries(section: str, options: Options, size: Size) -> list[Entry]:
    """Return the entries of a section, for each of its T; reduced, those as printed have `PRINTED_STEPS` at most."""
    entry, reduced = SECTIONS[section], options.profile == "reduced"
    few = entry.few if reduced or (entry.few_when_small and options.profile == "small") else None
    make = partial(few or entry.make, **dict(options.grids))
    found: dict[Entry, None] = {}
    for num_steps in size.num_steps:
        shortened = make(options.dataset, min(num_steps, PRINTED_STEPS)) if reduced else []
        printed = iter([one for one in shortened if is_printed(one)])
        for one in make(options.dataset, num_steps):
            found[next(printed) if reduced and is_printed(one) else one] = None
    return list(found)


def is_printed(entry: Entry) -> bool:
    """Return whether a run takes P1's equations literally."""
    return entry.config.reading == "printed"


def rounds_as_epochs(section: str, options: Options) -> list[Run]:
    """Return Table I's 100 rounds read as epochs, one seed, as printed: the longest literal reading."""
    wanted = "cnn_dp_gan" in (options.methods or METHODS) and "printed" in (options.readings or READINGS)
    if options.dataset not in NUM_TRAIN or not wanted:
        return []
    column, changes = table_one(options.dataset), dict(options.changes)
    batch_size = changes.get("batch_size", column.batch_size)
    num_steps = column.num_rounds * steps_per_epoch(NUM_TRAIN[options.dataset], batch_size)
    config = preset("cnn_dp_gan", "printed", options.dataset, num_steps, **changes)
    entry = Entry("CNN-DP-GAN", config.replace(seed=(options.seeds or (0,))[0]), Facts(variant="100 epochs"))
    return [run_of(section, entry, entry.config, several=False)]
