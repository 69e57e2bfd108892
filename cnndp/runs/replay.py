"""Replay: train a stored run again and compare what is measured with what was stored."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from cnndp.checks import at_least
from cnndp.data.datasets import Images
from cnndp.progress import progress_bar
from cnndp.runs.experiment import Experiment, Result, data_of, load_for
from cnndp.runs.frames import frame, having
from cnndp.runs.recording import ledger_columns
from cnndp.runs.store import Record, RecordError
from cnndp.training import own
from cnndp.training.config import NUMERICS_VERSION, Config
from cnndp.training.loop import TRACE_STEPS, Columns, Outcome, evaluated_after, train

CPU = torch.device("cpu")
TRACED = ("loss", "gradient_norm", "step_size")
ACCURACIES = ("train_accuracy", "test_accuracy")
LOSSES = ("train_loss", "test_loss", "loss", "gradient_norm", "step_size")
FINAL = ("test_accuracy", "train_accuracy")
FINAL_LOSSES = ("test_loss", "train_loss")
RELATIVE_TOLERANCE = 1e-4  # of each number of the first steps: other thread counts, devices, torch versions
LATER_TOLERANCE = 1e-3  # of losses, norms and step sizes at later points
ACCURACY_TOLERANCE = 0.15  # points: three of the 2,000 images that curves are measured on
SCALE_TOLERANCE = 5e-3  # of noise scales: another machine may end calibration a little elsewhere
EPSILON_TOLERANCE = 1e-3  # of what one ledger costs
NUM_NUDGES = 5
NOTHING_TO_REPLAY = "no run here can be trained again"


class Difference(NamedTuple):
    """One number that does not follow from the code."""

    step: int
    quantity: str
    stored: float | None
    replayed: float | None

    def __str__(self) -> str:
        return f"step {self.step}: {self.quantity} is {self.replayed!r} here, {self.stored!r} in the record"


def replay(
    record: Record,
    images: Images,
    *,
    steps: int = TRACE_STEPS,
    on_step: Callable[[int], object] = lambda step: None,
) -> list[Difference]:
    """Train a record's run again for some steps on this CPU and return every number that differs.

    The first 10 steps are compared number by number, the history with its accuracies (0.15 points), losses, norms,
    step sizes and noise scales; with all steps also status, final metrics and what was released. Each tolerance grows
    by what the run itself makes of rounding errors (see `compare`), worked out only where something differs.

    Args:
        record: as `store.load` gives it.
        images: the data it was made on.
        steps: how many steps.
        on_step: called with the number of each finished step.

    Raises:
        RecordError: the record was made by another version of the numerics, on other data, with another source of its
            network, or with a secret seed.
    """
    at_least(1, steps=steps)
    config = Config.from_dict(record["config"])
    if config.numerics_version != NUMERICS_VERSION:
        raise RecordError(
            f"record {record['digest']} has numerics_version={config.numerics_version}, this code has "
            f"{NUMERICS_VERSION}; run its section again with refresh"
        )
    if reason := record.get("not_replayable"):
        raise RecordError(f"record {record['digest']} cannot be replayed: {reason}; pass another record")
    if images.sha256 != record["provenance"]["dataset_sha256"]:
        raise RecordError(
            f"record {record['digest']} was made on data of SHA-256 {record['provenance']['dataset_sha256'][:12]}"
            f"..., not {images.sha256[:12]}...; pass the data that it was made from"
        )
    source = record["provenance"].get("model_sha256")
    if source != own.source_sha256(config.model):
        raise RecordError(
            f"record {record['digest']} was made with another source of model={config.model!r} (SHA-256 "
            f"{str(source)[:12]}...); restore that source, or run its section again with refresh"
        )
    last_step = min(steps, config.num_steps)
    outcome = train(config, images, device=CPU, last_step=last_step, on_step=on_step)
    nudged: list[Outcome] = []
    differences = differences_of(record, outcome, nudged)
    until = min(last_step, max((TRACE_STEPS, *(difference.step for difference in differences))))
    while differences and len(nudged) < NUM_NUDGES:  # each one can only widen what is allowed, so often one will do
        nudged.append(train(config, images, device=CPU, last_step=until, nudge=len(nudged)))
        differences = differences_of(record, outcome, nudged)
    return differences


def differences_of(record: Record, outcome: Outcome, nudged: Sequence[Outcome]) -> list[Difference]:
    """Return what differs between a record and its replay, given how nudged replays went."""
    trace, history = (record["trace"], outcome.trace), (record["history"], outcome.history)
    traces, histories = [other.trace for other in nudged], [other.history for other in nudged]
    losses = [name for name in LOSSES if name in record["history"]]  # the first records had no losses of their own
    found = [
        *missing_steps(*trace),
        *missing_steps(*history),
        *compare(*trace, traces, names=TRACED, relative=RELATIVE_TOLERANCE, absolute=1e-6, room=10),
        *compare(*history, histories, names=ACCURACIES, relative=0.0, absolute=ACCURACY_TOLERANCE, room=2),
        *compare(*history, histories, names=losses, relative=LATER_TOLERANCE, absolute=1e-6, room=10),
        *compare(*history, [], names=("noise_scale",), relative=SCALE_TOLERANCE, absolute=0.0, room=0),
    ]
    return found + ended(record, outcome, nudged) if is_complete(outcome) else found


def is_complete(outcome: Outcome) -> bool:
    """Return whether a replay reached the end of its run, where final metrics are measured."""
    return "test_accuracy" in outcome.final


def ended(record: Record, outcome: Outcome, nudged: Sequence[Outcome]) -> list[Difference]:
    """Return what differs at the end of a run: its status and last step, final metrics, and everything released."""
    last = outcome.final["last_step"]
    if (record["status"], record["final"]["last_step"]) != (outcome.status, last):
        return [Difference(last, f"end of the run, {record['status']!r}", record["final"]["last_step"], last)]

    losses = [name for name in FINAL_LOSSES if name in record["final"]]

    def column(final: Mapping[str, Any]) -> Columns:
        return {"step": [last], **{name: [final[name]] for name in (*FINAL, *losses)}}

    stored, replayed = column(record["final"]), column(outcome.final)
    others = [column(other.final) for other in nudged if is_complete(other)]
    return [
        *compare(stored, replayed, others, names=FINAL, relative=0.0, absolute=ACCURACY_TOLERANCE, room=2),
        *compare(stored, replayed, others, names=losses, relative=LATER_TOLERANCE, absolute=1e-6, room=10),
        *released(record["ledger"], ledger_columns(outcome.releases), last),
    ]


def released(stored: Sequence[Mapping[str, Any]], replayed: Sequence[Mapping[str, Any]], step: int) -> list[Difference]:
    """Return the first difference of two ledgers, noise scales up to a tolerance; none where they are the same."""
    if [shared(entry) for entry in stored] != [shared(entry) for entry in replayed]:
        return [Difference(step, "number of releases in the ledger, or what they are", len(stored), len(replayed))]
    pairs = [
        (entry["quantity"], before, after)
        for entry, other in zip(stored, replayed, strict=True)
        for before, after in zip(each_scale(entry), each_scale(other), strict=True)
    ]
    return [
        Difference(step, f"noise scale of the {quantity}", before, after)
        for quantity, before, after in pairs
        if not close(before, after, SCALE_TOLERANCE, 0.0)
    ][:1]


def shared(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of a ledger says besides its noise scales, and for how many steps."""
    rest = {name: value for name, value in entry.items() if name != "scales"}
    return {**rest, "steps": len(each_scale(entry))}


def each_scale(entry: Mapping[str, Any]) -> list[float]:
    """Return the noise scale of each step of an entry of a ledger.

    >>> each_scale({"scales": [[2.0, 2], [1.0, 1]]})
    [2.0, 2.0, 1.0]
    """
    return [scale for scale, steps in entry["scales"] for _ in range(steps)]


def kind(record: Record) -> tuple[str, ...]:
    """Return what a sample of records should hold one of each: section, dataset, method, reading, step rule."""
    config = record["config"]
    return (record["section"], *(config[name] for name in ("dataset", "method", "reading", "step")))


def drawn(records: Iterable[Record], word: str, seconds: float, longest: float) -> list[Record]:
    """Return records in an order that `word` decides, as many as took some seconds together; at least one.

    With the commit as the word, every commit has others re-made, and nobody chooses which.

    Args:
        records: to draw from.
        word: decides the order.
        seconds: of training, by what the records say, after which no further one is drawn.
        longest: seconds above which a record is not drawn.
    """
    able = [record for record in records if record["provenance"]["seconds"] <= longest]
    able.sort(key=lambda record: hashlib.sha256(f"{word}/{record['digest']}".encode()).digest())
    before = accumulate((record["provenance"]["seconds"] for record in able), initial=0.0)
    return [record for record, spent in zip(able, before, strict=False) if spent < seconds]


class Task(NamedTuple):
    """One record to replay for some steps; `name` is for people."""

    name: str
    record: Record
    steps: int


def by_data(tasks: Iterable[Task], at_most: int = 12) -> list[list[Task]]:
    """Return tasks in parts that need the same data; the part that trains on the most examples comes first.

    Args:
        tasks: in any order.
        at_most: how many tasks a part has, so that several processes end at about the same time.
    """
    kinds: dict[Any, list[Task]] = {}
    for task in tasks:
        kinds.setdefault(data_of(Config.from_dict(task.record["config"])), []).append(task)
    parts = [same[first : first + at_most] for same in kinds.values() for first in range(0, len(same), at_most)]
    return sorted(parts, key=lambda part: -sum(t.steps * t.record["config"]["batch_size"] for t in part))


def replay_part(tasks: Sequence[Task], source: str | None = None) -> list[tuple[str, str]]:
    """Replay tasks that need the same data, loaded once; return the name and the verdict of each.

    Args:
        tasks: of one part of `by_data`.
        source: the `.npz` that the records were made from; None for data that has a name.
    """
    config = Config.from_dict(tasks[0].record["config"])
    images = load_for(config, source or config.dataset)
    return [(task.name, verdict(replay(task.record, images, steps=task.steps))) for task in tasks]


def missing_steps(stored: Columns, replayed: Columns) -> list[Difference]:
    """Return a difference when the record does not hold the very steps that were measured here, from the first on."""
    expected = replayed["step"]
    held = stored["step"][: len(expected)]
    complete = held == expected and all(len(column) == len(stored["step"]) for column in stored.values())
    return [] if complete else [Difference(expected[-1], "number of steps recorded", len(held), len(expected))]


def compare(
    stored: Columns,
    replayed: Columns,
    nudged: Sequence[Columns],
    names: Sequence[str],
    relative: float,
    absolute: float,
    room: float,
) -> list[Difference]:
    """Return the numbers of the shared steps that differ by more than the tolerance.

    The tolerance is `relative` of the stored number plus `absolute`; `relative` grows by `room` times the most that
    rounding-sized nudges of the initial weights have done to the run by then: a run that amplifies rounding
    errors cannot be held to more, and one that does not is held to no less. The first steps get room for ten times
    as much, since errors that still grow may be one step ahead; accuracies, which soon differ as far as they ever
    will, get twice as much.
    """
    travelled = [max(row) for row in zip(*(amplification(replayed, other, names) for other in nudged), strict=False)]
    return [
        Difference(step, name, before, after)
        for name in names
        for row, (step, before, after) in enumerate(zip(stored["step"], stored[name], replayed[name], strict=False))
        if not close(before, after, relative + (room * travelled[row] if row < len(travelled) else 0.0), absolute)
    ]


def amplification(replayed: Columns, nudged: Columns, names: Sequence[str]) -> list[float]:
    """Return the largest relative difference of any column between two replays, up to and including each row.

    >>> amplification({"a": [1.0, 2.0, 4.0]}, {"a": [1.0, 3.0, 4.0]}, ["a"])
    [0.0, 0.5, 0.5]
    """
    rows = zip(*(zip(replayed[name], nudged[name], strict=False) for name in names), strict=True)
    return list(accumulate((max(relative_difference(*pair) for pair in row) for row in rows), max))


def relative_difference(after: float | None, nudged: float | None) -> float:
    """Return |after - nudged| / |after|; 0 where that is no finite number."""
    if after is None or nudged is None or after == 0 or not math.isfinite(after - nudged):
        return 0.0
    return abs(after - nudged) / abs(after)


def close(before: float | None, after: float | None, relative: float, absolute: float) -> bool:
    """Return whether two numbers agree; None stands for one that was not finite or not measured."""
    if before is None or after is None or not math.isfinite(after):
        return before is None and (after is None or not math.isfinite(after))
    return abs(before - after) <= relative * abs(before) + absolute


def verdict(differences: Sequence[Difference]) -> str:
    """Return one stable line for a notebook: "pass", or "FAIL" with the first difference."""
    return "pass" if not differences else f"FAIL: {differences[0]}"


def checked_steps(config: Config, num_train: int, about: int) -> int:
    """Return for how many steps a live check trains: to the next measurement, so that it sees what the steps did.

    At least three, since the first has no step before it; at most 50, and up to twice that to reach a measurement.

    Args:
        config: of the run.
        num_train: N.
        about: the number of steps to aim for.
    """
    least = max(3, min(50, about))
    measured = (step for step in evaluated_after(config, num_train) if least <= step <= 2 * least)
    return min(next(measured, least), config.num_steps)


def live_check(study: Experiment, results: Sequence[Result], examples: int = 12_800, **where: Any) -> str:
    """Train a run of a notebook again here, with a progress bar, and say whether it follows its record.

    The answer holds no number that depends on the machine. A run with a secret seed cannot be trained again.

    Args:
        study, results: of one notebook.
        examples: for about how many training examples, in batches: 50 steps of 256; the network for colour images
            takes about ten times as long, so a tenth of them there.
        where: columns of `frames.frame` with their values: the first such run is taken, the first of all if none is.
    """
    able = [result for result in results if "not_replayable" not in result.record]
    if not able:
        return f"{NOTHING_TO_REPLAY}: {results[0].record['not_replayable']}"
    chosen = able[next(iter(having(frame(able), where).index), 0)]
    config = chosen.run.config
    images = load_for(config, study.source)
    share = 10 if config.model == "cifar_cnn" else 1
    steps = checked_steps(config, len(images.train_labels), examples // (share * config.batch_size))
    with progress_bar(steps, "step") as bar:
        bar.set_description(f"live check {chosen.run.label} s{config.seed}")
        differences = replay(chosen.record, images, steps=steps, on_step=lambda step: bar.update(1))
    done = f"{chosen.run.label}, seed {config.seed}: {steps} of {config.num_steps} steps trained again on this machine"
    return f"{done}: {verdict(differences)}"
