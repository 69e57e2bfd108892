"""Experiments: turn Configs into records, training only what no record holds."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from cnndp.checks import one_of, type_names
from cnndp.data import datasets, features, files
from cnndp.data.datasets import Images
from cnndp.papers.sections.plan import SECTIONS, Options, Run, plan
from cnndp.progress import progress_bar, say_once
from cnndp.runs import store
from cnndp.runs.estimate import announcement
from cnndp.runs.recording import make_record
from cnndp.runs.store import Record
from cnndp.training import own, rules
from cnndp.training.clipping import ENGINES, physical_batch
from cnndp.training.config import Config


class Experiment(NamedTuple):
    """What a notebook asked for, checked: the plan, the data it needs and how to run it."""

    section: str
    options: Options
    runs: list[Run]
    source: str  # what data.load takes: a name, or a path to an .npz
    device: torch.device
    refresh: bool
    root: Path
    engine: str = "auto"
    max_physical_batch: int | None = None


class Result(NamedTuple):
    """One run and its record."""

    run: Run
    record: Record


PARAMETERS: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "profile": (str,),
    "num_steps": (int, type(None)),
    "seeds": (list, tuple, type(None)),
    "methods": (list, tuple, type(None)),
    "readings": (list, tuple, type(None)),
    "batch_size": (int, type(None)),
    "device": (str,),
    "refresh": (bool,),
}
# What some sections vary, each with other values than its own: lists of numbers above 0.
GRIDS: dict[str, tuple[type, ...]] = dict.fromkeys(
    sorted({name for section in SECTIONS.values() for name in section.grids}), (list, tuple, type(None))
)
# Those that change time and memory only, so the notebooks' parameters cells leave them out.
TUNING: dict[str, tuple[type, ...]] = {"engine": (str,), "max_physical_batch": (int, type(None))}
# Of the notebook your_own_plan.
OWN_PLAN = (
    *("dataset", "model", "target_epsilon", "delta", "epochs", "batch_size"),
    *("clip_norm", "learning_rate", "num_canaries", "seed"),
)
PLAIN = (bool, int, float, str, list, tuple, dict, type(None))  # what a parameter can be
IPYTHON_NAMES = {"In", "Out"}


def from_notebook(section: str, namespace: Mapping[str, Any]) -> Experiment:
    """Check a notebook's parameters and return the experiment they describe.

    Args:
        section: a key of `plan.SECTIONS`.
        namespace: the notebook's `globals()`, right after the parameters cell.

    Raises:
        ValueError, TypeError: an unknown parameter, a wrong type, a value out of range; with its name and the remedy.
    """
    return prepare(section, **plain_values(namespace, [*PARAMETERS, *GRIDS, *TUNING]))


def parameters_of(section: str) -> list[str]:
    """Return the parameters that the notebook of a section takes: those with a choice, and what the section varies.

    >>> parameters_of("frontier")
    ['dataset', 'profile', 'num_steps', 'seeds', 'targets', 'batch_size', 'device', 'refresh']
    """
    planned = plan(section, Options(SECTIONS[section].datasets[0], profile="reduced"))
    choices = {
        "methods": {run.config.method for run in planned},
        "readings": {run.config.reading for run in planned},
    }
    names = [name for name in PARAMETERS if len(choices.get(name, "two")) > 1]
    place = names.index("batch_size")
    return [*names[:place], *SECTIONS[section].grids, *names[place:]]


def check_parameters(namespace: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """Return the parameters of a notebook that is no section.

    Args:
        namespace: the notebook's `globals()`, right after the parameters cell.
        known: the names that it has.

    Raises:
        ValueError: a name that it does not have; a misspelt one would otherwise be ignored.
    """
    given = plain_values(namespace, known)
    for name, value in given.items():
        one_of(known, parameter=name)
        if not isinstance(value, PLAIN):
            kind = type(value).__name__
            raise TypeError(f"parameter {name}={value!r} is of type {kind}; pass a number, text or list")
    return given


def plain_values(namespace: Mapping[str, Any], known: Iterable[str] = ()) -> dict[str, Any]:
    """Return what a parameters cell has set: the public names of a notebook's `globals()` with plain values.

    A `known` name is in it whatever its value, so that `seeds = range(3)` is refused; an imported module never is.
    """
    names = frozenset(known)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in IPYTHON_NAMES and not isinstance(value, ModuleType)
        if name in names or isinstance(value, PLAIN)
    }


def prepare(section: str, **parameters: Any) -> Experiment:
    """Return the checked experiment of `section`; parameters are those of the notebooks and of `TUNING`.

    A further name that is a field of `Config` is set in every run. `secret_seed` is set in the private ones alone: by
    itself for a user's own data, whose noise nobody may know, and not for the public datasets.

    >>> study = prepare("fig07_ablation", dataset="mnist", profile="paper", methods=["cnn"], seeds=[0])
    >>> [planned.label for planned in study.runs]
    ['noise-free']
    """
    fields = Config.__dataclass_fields__
    reserved = {"method", "reading", "seed", "numerics_version", "model_shapes"}
    types = {**PARAMETERS, **GRIDS, **TUNING, "secret_seed": (bool,)}
    allowed = list(dict.fromkeys([*types, *(name for name in fields if name not in reserved)]))
    for name, value in parameters.items():
        one_of(allowed, parameter=name)
        if name in types and type(value) not in types[name]:
            wanted = type_names(types[name])
            raise TypeError(f"parameter {name}={value!r} is of type {type(value).__name__}; pass {wanted}")
    given = dict(parameters)
    source = given.pop("dataset", "digits")
    device = pick_device(given.pop("device", "auto"))
    refresh = given.pop("refresh", False)
    engine = given.pop("engine", "auto")
    one_of(ENGINES, engine=engine)
    max_physical_batch = given.pop("max_physical_batch", None)
    physical_batch(max_physical_batch, device)
    profile = given.pop("profile", "small")
    lists = {key: given.pop(key, None) for key in ("seeds", "methods", "readings")}
    num_steps = given.pop("num_steps", None)
    grids = {name: given.pop(name, None) for name in GRIDS}
    dataset, num_train, colour = identify(source)
    secret = given.pop("secret_seed", dataset not in datasets.DATASETS)
    chosen = {key: value for key, value in given.items() if value is not None}
    if rules.is_own(str(given.get("model"))):
        chosen |= own.described(given["model"], num_classes_of(source))
    changes = tuple(sorted(chosen.items()))
    options = Options(
        dataset=dataset,
        profile=profile,
        num_steps=num_steps,
        changes=changes,
        grids=tuple((name, numbers_of(name, values)) for name, values in grids.items() if values is not None),
        secret=secret,
        num_train=num_train,
        colour=colour,
        **{key: None if value is None else tuple(value) for key, value in lists.items()},
    )
    runs = plan(section, options)
    root = store.default_root()
    return Experiment(section, options, runs, source, device, refresh, root, engine, max_physical_batch)


def numbers_of(name: str, values: Sequence[Any]) -> tuple[float, ...]:
    """Return the values of a grid as floats, so that 1 and 1.0 name the same run.

    Raises:
        TypeError: a value that is no number.
    """
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f"{name}={list(values)!r} holds {value!r}, which is no number; pass, for example, [0.1, 1.0]"
            )
    return tuple(float(value) for value in values)


def identify(source: str) -> tuple[str, int | None, bool]:
    """Return the name of a dataset and, of a user's own, the number of training images and whether they are colour."""
    if source in datasets.DATASETS:
        return source, None, False
    images = datasets.load(source)
    if empty := files.without_images(torch.cat([images.train_labels, images.test_labels]).numpy()):
        some = ", ".join(map(str, empty[:5])) + ", ..." * (len(empty) > 5)
        say_once(f"dataset={source!r}: no image is of class {some}; the network has an output for each all the same")
    return images.name, len(images.train_labels), images.train_images.shape[1] == 3


def num_classes_of(source: str) -> int:
    """Return the number of classes of a dataset; those with a name have ten."""
    return 10 if source in datasets.DATASETS else datasets.load(source).num_classes


def pick_device(device: str) -> torch.device:
    """Return the torch device: "auto" is a GPU when there is one, else the CPU.

    Raises:
        ValueError: a device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" makes tensors, and has no numbers in them
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r} cannot be used ({reason}); pass 'auto', 'cpu' or 'cuda'") from None
    return chosen


def run(experiment: Experiment) -> list[Result]:
    """Return a record for every run of the experiment, training those that the store lacks.

    >>> study = prepare("fig07_ablation", dataset="mnist", profile="paper", methods=["cnn"], seeds=[0])
    >>> [result.record["status"] for result in run(study)]  # the book has its record
    ['finished']
    """
    configs = [planned.config for planned in experiment.runs]
    records = sweep(
        configs,
        load_images=lambda config: load_for(config, experiment.source),
        section=experiment.section,
        device=experiment.device,
        refresh=experiment.refresh,
        root=experiment.root,
        engine=experiment.engine,
        max_physical_batch=experiment.max_physical_batch,
    )
    return [Result(planned, record) for planned, record in zip(experiment.runs, records, strict=True)]


def stored(experiment: Experiment) -> list[Result]:
    """Return the runs of the experiment that have a record; nothing is trained."""
    return [
        Result(planned, store.load_run(path, planned.config))
        for planned in experiment.runs
        if (path := store.find(experiment.root, planned.config))
    ]


def load_for(config: Config, source: str) -> Images:
    """Return the data of `config`; `source` is its name, or the path of the `.npz` it was made from."""
    load = features.load if config.features == "scattering" else datasets.load
    images = load(source, split=config.split, split_seed=config.split_seed)
    if images.name != config.dataset:
        raise ValueError(
            f"dataset={source!r} is {images.name!r}, but the run was made on {config.dataset!r}; "
            "pass the file that the run was made from"
        )
    return images


def data_of(config: Config) -> tuple[str, str, int, str]:
    """Return what decides which data a run needs: configs that agree in it can share what `load_for` returns."""
    return config.dataset, config.split, config.split_seed, config.features


def sweep(
    configs: Sequence[Config],
    *,
    load_images: Callable[[Config], Images],
    section: str,
    device: torch.device,
    root: Path,
    refresh: bool = False,
    engine: str = "auto",
    max_physical_batch: int | None = None,
) -> list[Record]:
    """Return the record of each config, in order. What is stored is read; the rest is trained and stored.

    Every run is stored as soon as it ends, so an interrupted sweep goes on where it stopped. A run that another process
    is training is waited for, after all others.

    Args:
        configs: the runs; all on the same dataset.
        load_images: returns the data of a config; called only when something must be trained, and again where split
            or features change.
        section: the folder that new records go to.
        device: where to train.
        root: the run store.
        refresh: train all again and replace what is stored.
        engine, max_physical_batch: how clipped sums are computed, see `clipping.example_clipped_sum`.

    Raises:
        store.RecordError: a stored record that was changed, or a disk that refuses.
    """
    unique = {config.digest: config for config in configs}
    found = {} if refresh else {key: stored_run(root, config) for key, config in unique.items()}
    records = {key: record for key, record in found.items() if record is not None}
    missing = [config for key, config in unique.items() if key not in records]
    if missing:
        loaded: dict[Any, Images] = {}
        turns = in_turn(missing, root)
        with progress_bar(sum(config.num_steps for config in missing), "step") as bar, closing(turns):
            bar.write(f"{section}: {announcement(missing)}", file=bar.fp)
            for number, config in enumerate(turns, start=1):
                bar.set_description(f"{section} {config.method} s{config.seed} [{number}/{len(missing)}]")
                again = None if refresh else stored_run(root, config)
                if again is not None:  # another process has trained it meanwhile
                    records[config.digest] = again
                    bar.update(config.num_steps)
                    continue
                path = store.prepared_place(root, section, config)
                part = data_of(config)
                if part not in loaded:
                    loaded = {part: load_images(config)}  # one kind of data in memory at a time
                try:
                    record = make_record(
                        config,
                        loaded[part],
                        section,
                        device,
                        on_step=lambda step: bar.update(1),
                        engine=engine,
                        max_physical_batch=max_physical_batch,
                    )
                except KeyboardInterrupt:
                    done = f"{number - 1} of {len(missing)} new runs are stored"
                    bar.write(f"interrupted: {done}; run the same again to go on from there", file=bar.fp)
                    raise
                bar.update(config.num_steps - record["final"]["last_step"])  # a diverged run ends early
                store.save(record, path, refresh=refresh)
                records[config.digest] = store.load(path)
    return [records[config.digest] for config in configs]


def stored_run(root: Path, config: Config) -> Record | None:
    """Return the record of a run, or None where there is none."""
    path = store.find(root, config)
    return None if path is None else store.load_run(path, config)


def in_turn(configs: Sequence[Config], root: Path) -> Generator[Config]:
    """Yield each run while its lock is held: first those that nobody trains, then the others, waiting for each.

    So two processes that want the same runs share the work, and no run is trained twice. A lock that a killed process
    held is free again.
    """
    waiting = []
    for config in configs:
        lock = store.lock_of(root, config)
        if not store.taken(lock):
            waiting.append((config, lock))
            continue
        try:
            yield config
        finally:
            lock.release()
    for config, lock in waiting:
        with lock:
            yield config


def status(experiment: Experiment) -> list[dict[str, Any]]:
    """Return a row for each run of an experiment: label, seed, and where, how long and how it was made."""
    rows = []
    for run in experiment.runs:
        config, path = run.config, store.find(experiment.root, run.config)
        made = store.load(path)["provenance"] if path else {}
        rows.append(
            {
                "section": experiment.section,
                "dataset": config.dataset,
                "label": run.label,
                "seed": config.seed,
                "num_steps": config.num_steps,
                "recorded": path is not None,
                **{key: made.get(key) for key in ("device", "torch", "seconds", "commit")},
            }
        )
    return rows
