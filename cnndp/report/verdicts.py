"""How the runs compare with what the papers state: the one table everything prints.

A run record is a mapping with "config", "status", "history" and "final", as the results keep it; accuracies are in
percent.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cnndp.papers.claims import STATED, Stated
from cnndp.papers.p1 import LABELS, SECTION_LABELS
from cnndp.report.intervals import FEWEST, paired_interval

READINGS = ("printed", "reconstructed", "private")


BASELINES = ("DPGDM", "DP-SGD", "CDP")


REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not yet run"


TOO_FEW = "too few seeds"


INCONSISTENT, NOT_TESTABLE = "inconsistent within the paper", "not testable"


MISQUOTED = "inconsistent with its source"


Run = Mapping[str, Any]


Records = Mapping[str, Sequence[Run]]


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": lambda value, bound: value >= bound or math.isclose(value, bound),
    "<": operator.lt,
    "<=": lambda value, bound: value <= bound or math.isclose(value, bound),
    "in": lambda value, choices: value in choices,
}


AVERAGED_FIELDS = (
    "num_steps",
    "total_epsilon",
)  # a condition on these selects several runs of a seed: their mean


def max_accuracy(run: Run) -> float:
    """Return the highest test accuracy in the history; the final one where the history is empty."""
    seen = [float(value) for value in run["history"]["test_accuracy"] if value is not None and not math.isnan(value)]
    return max(seen) if seen else float(run["final"]["test_accuracy"])


def final_metric(run: Run, metric: str = "test_accuracy") -> float | None:
    """Return a final metric, else the last of its curve, else None; losses times 100, as P2 prints them.

    A run with a guarantee answers P2's epsilon with its exact one, not with what P2's accountant would have printed.
    """
    if metric == "rdp_epsilon" and (exact := run.get("privacy", {}).get("exact_epsilon")) is not None:
        return float(exact)
    curve = run["history"].get("loss" if metric == "train_loss" else metric)
    value = run["final"].get(metric, curve[-1] if curve else None)
    return None if value is None else float(value) * (100 if metric.endswith("_loss") else 1)


def accuracy_at(run: Run, step: int, curve: str = "test_accuracy") -> float | None:
    """Return the accuracy measured at `step`; a run that diverged before it keeps its final accuracy."""
    for at, value in zip(run["history"]["step"], run["history"][curve], strict=True):
        if at == step and value is not None:
            return float(value)
    return final_metric(run, curve) if run["status"] == "diverged" else None


def accuracy_loss(run: Run, reference: Run | None, step: int, curve: str = "test_accuracy") -> float | None:
    """Return the points of accuracy that `run` is below the noise-free `reference` at `step`."""
    ours = accuracy_at(run, step, curve)
    theirs = None if reference is None else accuracy_at(reference, step, curve)
    return None if ours is None or theirs is None else theirs - ours


def run_value(statistic: str, run: Run, reference: Run | None = None) -> float | None:
    """Return what `statistic` makes of one run, None where the run does not have it.

    "max", "final" (on the full test set; "final NAME" for another metric), "mean over T" (the final accuracy,
    which the caller averages), "value at STEP" and "value at STEP (train)" (the accuracy lost against
    `reference`).
    """
    if lost := re.fullmatch(r"value at (\d+)( \(train\))?", statistic):
        curve = "train_accuracy" if lost[2] else "test_accuracy"
        return accuracy_loss(run, reference, int(lost[1]), curve)
    if statistic == "max":
        return max_accuracy(run)
    if statistic in ("final", "mean over T"):
        return final_metric(run)
    return final_metric(run, statistic.removeprefix("final "))


def _is_loss(statistic: str) -> bool:
    """Tell whether the statistic is an accuracy lost, which is better when smaller."""
    return statistic.startswith("value at")


def _matches(config: Mapping[str, Any], where: Mapping[str, object]) -> bool:
    """Tell whether a config has every value, or meets every condition, of `where`."""
    for field, wanted in where.items():
        value = config.get(field)
        if value is None:
            return False
        if isinstance(wanted, tuple):
            if not OPERATORS[wanted[0]](value, wanted[1]):
                return False
        elif isinstance(wanted, (int, float)):
            if not math.isclose(value, wanted):
                return False
        elif value != wanted:
            return False
    return True


def _by_seed(runs: Sequence[Run], where: Mapping[str, object]) -> dict[int, dict[tuple[Any, ...], Run]]:
    """Return the runs that `where` selects, by seed and by the values of the fields it averages over.

    Raises:
        ValueError: when nothing tells two runs of a seed apart, since picking one would be a choice.
    """
    averaged = [field for field in AVERAGED_FIELDS if isinstance(where.get(field), tuple)]
    table: dict[int, dict[tuple[Any, ...], Run]] = {}
    for run in runs:
        config = run["config"]
        if not _matches(config, where):
            continue
        variants = table.setdefault(config["seed"], {})
        variant = tuple(config[field] for field in averaged)
        if variant in variants:
            other = variants[variant]["config"]
            fields = sorted(name for name in {*config, *other} if config.get(name) != other.get(name))
            raise ValueError(
                f"two runs of seed {config['seed']} match {dict(where)} and differ in {fields or 'nothing'}; "
                "pass one configuration per method and reading"
            )
        variants[variant] = run
    return table


def _seed_values(
    statistic: str, where: Mapping[str, object], runs: Sequence[Run], references: Sequence[Run]
) -> dict[int, float]:
    """Return the statistic per seed, over the seeds that have every run it needs."""
    table = _by_seed(runs, where)
    steps = where.get("num_steps")
    if isinstance(steps, tuple) and steps[0] == "in":
        needed = {(num_steps,) for num_steps in steps[1]}
    else:
        needed = {variant for variants in table.values() for variant in variants}
    noise_free = _by_seed(references, {**where, "method": "cnn"}) if _is_loss(statistic) else {}
    values: dict[int, float] = {}
    for seed, variants in sorted(table.items()):
        found = [run_value(statistic, run, noise_free.get(seed, {}).get(key)) for key, run in variants.items()]
        known = [value for value in found if value is not None]
        if set(variants) == needed and len(known) == len(needed):
            values[seed] = float(np.mean(known))
    return values


def _gap_values(claim: Stated, runs: Sequence[Run]) -> dict[int, float]:
    """Return per seed how far the method is above the best ("smallest gap") or worst of the baselines."""
    best = max if claim.statistic == "smallest gap" else min
    ours = _seed_values("mean over T", claim.where, runs, ())
    theirs = [_seed_values("mean over T", {**claim.where, **LABELS[name]}, runs, ()) for name in BASELINES]
    seeds = [seed for seed in ours if all(seed in values for values in theirs)]
    return {seed: ours[seed] - best(values[seed] for values in theirs) for seed in seeds}


def values_by_label(claim: Stated, runs: Sequence[Run], references: Sequence[Run] = ()) -> dict[str, dict[int, float]]:
    """Return the claim's statistic by label ("" for a single number) and seed, from runs of one reading."""
    if not claim.statistic:
        return {"": {}}
    if isinstance(claim.value, tuple):
        own = SECTION_LABELS.get(claim.section, {})
        selectors = {label: {**claim.where, **own.get(label, LABELS[label])} for label in claim.value}
        return {label: _seed_values(claim.statistic, where, runs, references) for label, where in selectors.items()}
    if claim.statistic.endswith("gap"):
        return {"": _gap_values(claim, runs)}
    return {"": _seed_values(claim.statistic, claim.where, runs, references)}


def mean_and_std(values: Mapping[int, float]) -> tuple[float, float]:
    """Return mean and sample standard deviation over seeds, NaN where there is none.

    >>> mean_and_std({0: 96.0, 1: 98.0})  # (98 - 96) / sqrt(2)
    (97.0, 1.4142135623730951)
    """
    data = np.array(list(values.values()), dtype=float)
    mean = float(data.mean()) if data.size else math.nan
    return mean, float(data.std(ddof=1)) if data.size > 1 else math.nan


def is_above(worse: Mapping[int, float], better: Mapping[int, float]) -> bool | None:
    """Tell whether `better` is above `worse`.

    It is when the 95 % interval of the mean paired difference lies above 0, which chance alone does in one of 40 cases.
    Seeds that only one side has are left out; fewer than five pairs decide nothing, and return None.
    """
    pairs = [better[seed] - worse[seed] for seed in sorted(set(worse) & set(better))]
    found = paired_interval(pairs)
    return None if found is None or len(pairs) < FEWEST else found[0] > 0


def tolerance(unit: str, std: float) -> float:
    """Return how far the mean may be off: max(1 point, 2 std); other units, half the second printed decimal.

    >>> tolerance("%", 0.2), tolerance("%", 2.0), tolerance("epsilon", math.nan)
    (1.0, 4.0, 0.005)
    """
    return max(1.0 if unit in ("%", "points") else 0.005, 0.0 if math.isnan(std) else 2 * std)


def verdict(claim: Stated, values: Mapping[str, Mapping[int, float]]) -> str:
    """Return the verdict on a claim from its values by label and seed (as `values_by_label` gives them)."""
    openings = {"Inconsistent:": INCONSISTENT, "Source:": MISQUOTED, "Not testable:": NOT_TESTABLE}
    for opening, fixed in openings.items():
        if claim.note.startswith(opening):
            return fixed
    if not all(values.values()):
        return NOT_RUN
    if isinstance(claim.value, tuple):
        sign = -1 if _is_loss(claim.statistic) else 1  # the smaller loss is the better one
        signed = [{seed: sign * value for seed, value in values[label].items()} for label in claim.value]
        steps = [is_above(worse, better) for worse, better in pairwise(signed)]
        if None in steps:
            return TOO_FEW
        # Each neighbouring difference must show by itself, so that there are several does not make it easier.
        return REPRODUCED if all(steps) else NOT_REPRODUCED
    mean, std = mean_and_std(values[""])
    close = abs(claim.value - mean) <= tolerance(claim.unit, std) + 1e-9  # room for the rounding of 97.68 - 96.68
    return REPRODUCED if close else NOT_REPRODUCED


def diverged_at(runs: Iterable[Run]) -> list[int]:
    """Return the different steps at which runs diverged, in order; none for runs that finished.

    >>> diverged_at([{"status": "diverged", "final": {"last_step": 16}}, {"status": "finished"}])
    [16]
    """
    return sorted({int(run["final"]["last_step"]) for run in runs if run["status"] == "diverged"})


def stopped(claim: Stated, runs: Sequence[Run]) -> str:
    """Return at which steps runs that a claim is about diverged, for a table cell; "" where none did."""
    own = SECTION_LABELS.get(claim.section, {})
    labels = claim.value if isinstance(claim.value, tuple) else ()
    selectors = [{**claim.where, **own.get(label, LABELS[label])} for label in labels] or [dict(claim.where)]
    steps = diverged_at(run for run in runs if any(_matches(run["config"], where) for where in selectors))
    return f"; diverged at step {' and '.join(map(str, steps))}" if steps else ""


def _describe(values: Mapping[str, Mapping[int, float]]) -> str:
    """Return "mean ± std (n)" for one number, and the mean of each label that was run for an ordering."""
    if not any(values.values()):
        return ""
    count = min(len(seeds) for seeds in values.values() if seeds)
    if set(values) != {""}:
        means = {label: mean_and_std(seeds)[0] for label, seeds in values.items() if seeds}
        return "; ".join(f"{label} {mean:.2f}" for label, mean in means.items()) + f" (n={count})"
    mean, std = mean_and_std(values[""])
    return f"{mean:.2f} (n={count})" if math.isnan(std) else f"{mean:.2f} ± {std:.2f} (n={count})"


def _row(claim: Stated, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the row of `compare` for one claim, from all runs of its section."""
    own = [run for run in runs if claim.dataset in ("", run["config"]["dataset"])]
    by_reading = {reading: [run for run in own if run["config"]["reading"] == reading] for reading in READINGS}
    measured: dict[str, dict[str, dict[int, float]]] = {}
    for reading, mine in by_reading.items():
        has_reference = any(run["config"]["method"] == "cnn" for run in mine)
        measured[reading] = values_by_label(claim, mine, mine if has_reference else by_reading["reconstructed"])
    deciding = "reconstructed" if all(measured["reconstructed"].values()) else "printed"
    row: dict[str, Any] = {
        "key": claim.key,
        "section": claim.section,
        "dataset": claim.dataset,
        "place": claim.place,
        "what": claim.what,
        "unit": claim.unit,
        "paper": " < ".join(claim.value) if isinstance(claim.value, tuple) else float(claim.value),
    }
    for reading, values in measured.items():
        described = _describe(values)
        row[reading] = described + (stopped(claim, by_reading[reading]) if described else "")
    for reading, values in measured.items():
        single = values.get("", {})
        mean, std = mean_and_std(single)
        count = min((len(seeds) for seeds in values.values()), default=0)
        row |= {f"mean_{reading}": mean, f"std_{reading}": std, f"n_{reading}": count}
    is_number = not isinstance(claim.value, tuple)
    row["difference"] = row["mean_reconstructed"] - row["paper"] if is_number else math.nan
    found = verdict(claim, measured[deciding])
    named_metric = claim.statistic.startswith("final ")  # one that a run need not have
    was_run = any(_matches(run["config"], claim.where) for run in own)
    row["verdict"] = NOT_TESTABLE if found == NOT_RUN and named_metric and was_run else found
    row["note"] = claim.note
    return row


def compare(records: Records, *, stated: Sequence[Stated] = STATED) -> pd.DataFrame:
    """Return one row per claim: the paper's value, each reading's, the difference and the verdict.

    Every run counts, diverged ones with the accuracy they ended at; none is picked. A claim without runs stays,
    as "not yet run"; an ordering with fewer than five seeds in common is "too few seeds". The `reconstructed` reading
    decides where it has runs, else `printed`. A reading without noise-free runs takes its losses against those of
    `reconstructed`.

    Args:
        records: the run records of each section, one configuration per method and reading.
        stated: what to compare; settings, cited numbers and claims without a section are skipped.

    >>> frame = compare({})
    >>> sorted(set(frame["verdict"]))
    ['inconsistent with its source', 'inconsistent within the paper', 'not testable', 'not yet run']
    """
    tested = [claim for claim in stated if claim.kind == "claim" and claim.section]
    return pd.DataFrame([_row(claim, records.get(claim.section, ())) for claim in tested])


def _cell(value: object) -> str:
    """Return a value as the text of a table cell that Markdown leaves alone."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return re.sub(r"([|*_`$\\]|<(?! ))", r"\\\1", " ".join(str(value).split()))


def as_markdown(frame: pd.DataFrame) -> str:
    """Return the frame of `compare` as a Markdown table, with a column of private runs where there are any.

    >>> from cnndp.papers.claims import claims
    >>> print(as_markdown(compare({}, stated=claims("fig07_ablation")[:1])))
    | where in the paper | claim | paper | printed | reconstructed | difference | verdict |
    | :-- | :-- | --: | --: | --: | --: | :-- |
    | Fig. 7, text | highest accuracy of CNN, the worst module (%) | 50.08 |  |  |  | not yet run |
    """
    shown = "private" in frame and bool((frame["private"] != "").any())
    readings = [reading for reading in READINGS if shown or reading != "private"]
    header = ("where in the paper", "claim", "paper", *readings, "difference", "verdict")
    lines = ["| " + " | ".join(header) + " |", "| :-- | :-- |" + " --: |" * (len(readings) + 2) + " :-- |"]
    for row in frame.to_dict("records"):
        unit = f" ({row['unit']})" if row["unit"] and isinstance(row["paper"], float) else ""
        difference = "" if math.isnan(row["difference"]) else f"{row['difference']:+.2f}"
        cells = (
            row["place"],
            f"{row['what']}{unit}",
            row["paper"],
            *(row[reading] for reading in readings),
            difference,
            row["verdict"],
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)
