"""Replay: train a stored run again and compare what is measured with what was stored."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from cnndp.checks import at_least
from cnndp.config import NUMERICS_VERSION, Config
from cnndp.data import Images
from cnndp.experiment import Experiment, Result, load_for
from cnndp.progress import progress_bar
from cnndp.results import Record, RecordError
from cnndp.training import TRACE_STEPS, train

RELATIVE_TOLERANCE = 1e-3  # of each number of the first steps: other thread counts, devices, torch versions
# Rounding differences grow while training, so later points are compared by accuracy, in percentage points.
ACCURACY_TOLERANCE = 3.0


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

    Args:
        record: as `results.load` gives it.
        images: the data it was made on.
        steps: how many steps; the first 10 are compared number by number within a relative tolerance of
            0.001, accuracies at later evaluation points within 3 percentage points.
        on_step: called with the number of each finished step.

    Raises:
        RecordError: the record was made by another version of the numerics, or on other data.
    """
    at_least(1, steps=steps)
    config = Config.from_dict(record["config"])
    if config.numerics_version != NUMERICS_VERSION:
        raise RecordError(
            f"record {record['digest']} has numerics_version={config.numerics_version}, this code has "
            f"{NUMERICS_VERSION}; run its section again with refresh"
        )
    if images.sha256 != record["provenance"]["dataset_sha256"]:
        raise RecordError(
            f"record {record['digest']} was made on data of SHA-256 {record['provenance']['dataset_sha256'][:12]}"
            f"..., not {images.sha256[:12]}...; pass the data that it was made from"
        )
    last_step = min(steps, config.num_steps)
    outcome = train(config, images, device=torch.device("cpu"), last_step=last_step, on_step=on_step)
    return [
        *missing_steps(record["trace"], outcome.trace),
        *missing_steps(record["history"], outcome.history),
        *compare_columns(record["trace"], outcome.trace, absolute=1e-6),
        *compare_accuracies(record["history"], outcome.history),
    ]


def missing_steps(stored: dict[str, list[Any]], replayed: dict[str, list[Any]]) -> list[Difference]:
    """Return a difference when the record does not hold the very steps that were measured here, from the first on."""
    expected = replayed["step"]
    held = stored["step"][: len(expected)]
    complete = held == expected and all(len(column) == len(stored["step"]) for column in stored.values())
    return [] if complete else [Difference(expected[-1], "number of steps recorded", len(held), len(expected))]


def compare_columns(stored: dict[str, list[Any]], replayed: dict[str, list[Any]], absolute: float) -> list[Difference]:
    """Return the rows of the shared steps whose numbers differ by more than the relative tolerance."""
    return [
        Difference(step, name, before, after)
        for name in stored
        if name != "step"
        for step, before, after in zip(stored["step"], stored[name], replayed[name], strict=False)
        if not close(before, after, RELATIVE_TOLERANCE, absolute)
    ]


def compare_accuracies(stored: dict[str, list[Any]], replayed: dict[str, list[Any]]) -> list[Difference]:
    """Return the evaluation points whose accuracies differ by more than the tolerance."""
    return [
        Difference(step, name, before, after)
        for name in ("train_accuracy", "test_accuracy")
        for step, before, after in zip(stored["step"], stored[name], replayed[name], strict=False)
        if not close(before, after, 0.0, ACCURACY_TOLERANCE)
    ]


def close(before: float | None, after: float | None, relative: float, absolute: float) -> bool:
    """Return whether two numbers agree; None stands for one that was not finite or not measured."""
    if before is None or after is None or not math.isfinite(after):
        return before is None and (after is None or not math.isfinite(after))
    return abs(before - after) <= relative * abs(before) + absolute


def verdict(differences: Sequence[Difference]) -> str:
    """Return one stable line for a notebook: "pass", or "FAIL" with the first difference."""
    return "pass" if not differences else f"FAIL: {differences[0]}"


def live_check(study: Experiment, results: Sequence[Result], label: str, steps: int = 200) -> str:
    """Train the first run of `label` again here, with a progress bar, and say whether it follows its record.

    The answer holds no number that depends on the machine. Without such a label the first run is taken.
    """
    chosen = next((result for result in results if result.label == label), results[0])
    config = Config.from_dict(chosen.record["config"])
    steps = min(steps, config.num_steps)
    with progress_bar(steps, "step") as bar:
        bar.set_description(f"live check {chosen.label} s{config.seed}")
        images = load_for(config, study.source)
        differences = replay(chosen.record, images, steps=steps, on_step=lambda step: bar.update(1))
    done = f"{chosen.label}, seed {config.seed}: {steps} of {config.num_steps} steps trained again on this machine"
    return f"{done}: {verdict(differences)}"
