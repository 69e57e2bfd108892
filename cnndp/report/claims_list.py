"""Every claim with the reason of its verdict, its records, and how wide a tolerance would have to be: the claims page.

Frames are those of `runs.frames`, rows those of `verdicts.compare`. What counts as reproduced under another tolerance
is decided here alone: the page only compares its slider with `Item.least`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from cnndp.papers.claims import STATED, Stated
from cnndp.papers.kinds import BEST, NOISE_FREE, NOT_TESTABLE, WORST
from cnndp.report import verdicts
from cnndp.report.intervals import FEWEST
from cnndp.report.numbers import interval
from cnndp.report.verdicts import BASELINES, NOT_REPRODUCED, NOT_RUN, POINTS, REPRODUCED, Gap

LEVELS = tuple(tenth / 10 for tenth in range(101))  # tolerances, in points


class Item(NamedTuple):
    """One claim on the page.

    Args:
        claim: what the paper states.
        row: its row of `verdicts.compare`.
        reason: of its verdict, in a sentence or two.
        least: the smallest of `LEVELS` at which it counts as reproduced, infinity where none is wide enough; None where
            no tolerance changes its verdict: an ordering, another unit, or a verdict that does not come from runs.
        digests: of the runs behind the numbers of the reading that decides.
    """

    claim: Stated
    row: dict[str, Any]
    reason: str
    least: float | None
    digests: tuple[str, ...]


def items(runs: pd.DataFrame, *, stated: Sequence[Stated] = STATED) -> list[Item]:
    """Return each claim that is compared with runs, once, in the order of the papers.

    Args:
        runs: of all sections, as `findings.all_runs` gives them.
        stated: what to list; settings, cited numbers and claims without a section are skipped, as in `compare`.
    """
    by_key = {claim.key: claim for claim in stated}
    rows = verdicts.compare(runs, stated=stated).to_dict("records")
    return [item(by_key[row["key"]], row, runs) for row in rows]


def item(claim: Stated, row: dict[str, Any], runs: pd.DataFrame) -> Item:
    """Return one claim with what the page says of it."""
    own = verdicts.own_runs(claim, runs)
    return Item(claim, row, reason(claim, row, own), least(row), digests(claim, own))


def deciding(claim: Stated, own: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of the reading that decides, and those that hold the runs without noise."""
    parts = verdicts.by_reading(own)
    return parts[verdicts.deciding(verdicts.values_of(claim, *parts["reconstructed"]))]


def digests(claim: Stated, own: pd.DataFrame) -> tuple[str, ...]:
    """Return the digests of the runs that decide a claim, with those that it is a difference to."""
    if not claim.column:
        return ()
    mine, references = deciding(claim, own)
    names = claim.value if isinstance(claim.value, tuple) else BASELINES if claim.against in (BEST, WORST) else ()
    chosen = [verdicts.where_of(claim, name) for name in names]
    chosen += [] if isinstance(claim.value, tuple) else [dict(claim.where)]
    found = [verdicts.selected(mine, where) for where in chosen]
    if claim.against == NOISE_FREE:
        found += [verdicts.selected(references, {**where, "method": "cnn"}) for where in chosen]
    return tuple(dict.fromkeys(digest for part in found for digest in part["digest"]))


# --- reasons ----------------------------------------------------------------------------------------------


def reason(claim: Stated, row: dict[str, Any], own: pd.DataFrame) -> str:
    """Return why a claim has its verdict, in a sentence or two made from its numbers.

    Args:
        claim: which.
        row: its row of `verdicts.compare`.
        own: its runs.
    """
    found = row["verdict"]
    if claim.fixed:
        return claim.note
    if found == NOT_RUN:
        return missing(claim, own)
    if found == NOT_TESTABLE:
        return "The runs hold no such number."
    if isinstance(claim.value, tuple):
        return reason_of_order(claim, gaps(claim, own))
    return reason_of_number(row)


def read_as(row: dict[str, Any]) -> str:
    """Return the reading that decides a number."""
    return "reconstructed" if row["n_reconstructed"] else "printed"


def deviation(row: dict[str, Any]) -> float:
    """Return the mean that decides minus the paper's number; NaN for what has no such numbers."""
    return math.nan if isinstance(row["paper"], str) else float(row[f"mean_{read_as(row)}"] - row["paper"])


def reason_of_number(row: dict[str, Any]) -> str:
    """Return how far a mean is from the paper's number, and how far it may be.

    >>> numbers = {"mean_reconstructed": 96.80, "std_reconstructed": 0.56, "n_reconstructed": 5, "paper": 98.38}
    >>> reason_of_number({**numbers, "unit": "%"})
    '96.80 is 1.58 below 98.38; allowed is 1.12 (2 standard deviations).'
    >>> reason_of_number({**numbers, "unit": "%", "std_reconstructed": 0.2})
    '96.80 is 1.58 below 98.38; allowed is 1.00 (1 point).'
    """
    reading, off = read_as(row), deviation(row)
    mean, std = row[f"mean_{reading}"], row[f"std_{reading}"]
    allowed = verdicts.tolerance(row["unit"], std)
    points = row["unit"] in POINTS
    width = "2 standard deviations" if 2 * std >= allowed else "1 point" if points else "half the second decimal"
    digits = 2 if points else 3
    start = "As printed, " if reading == "printed" else ""
    side = "below" if off < 0 else "above"
    far = f"{abs(off):.{digits}f} {side} {row['paper']:.2f}"
    return f"{start}{mean:.{digits}f} is {far}; allowed is {allowed:.{digits}f} ({width})."


def gaps(claim: Stated, own: pd.DataFrame) -> list[Gap]:
    """Return the neighbouring differences of an ordering, in the reading that decides."""
    return verdicts.gaps(claim, verdicts.values_of(claim, *deciding(claim, own)))


def reason_of_order(claim: Stated, found: Sequence[Gap]) -> str:
    """Return the differences that fail, with their intervals; where none does, the smallest one."""
    fewest = min(len(gap.pairs) for gap in found)
    if fewest < FEWEST:
        return f"The two sides have {fewest} seeds in common; a verdict takes {FEWEST}."
    failing = [gap for gap in found if not gap.shows]
    if failing:
        return " ".join(f"{difference(claim, gap)}: the interval does not lie above 0." for gap in failing)
    smallest = min(found, key=lambda gap: sum(gap.pairs) / len(gap.pairs))
    start = "The smallest difference: " if len(found) > 1 else ""
    return f"{start}{difference(claim, smallest)}: the interval lies above 0."


def difference(claim: Stated, gap: Gap) -> str:
    """Return a neighbouring difference with its interval, in words."""
    if claim.against == NOISE_FREE:
        return f"Loss of {gap.worse} minus loss of {gap.better}: {interval(gap.pairs)}"
    return f"{gap.better[0].upper()}{gap.better[1:]} minus {gap.worse}: {interval(gap.pairs)}"


def missing(claim: Stated, own: pd.DataFrame) -> str:
    """Return which runs a claim without a verdict lacks: the numbers of iterations where it names several."""
    steps = claim.where.get("num_steps")
    if own.empty or not isinstance(steps, tuple) or steps[0] != "in":
        return "No run of it is recorded."
    known = set(verdicts.selected(own[own["reading"] == "reconstructed"], claim.where)["num_steps"])
    absent = [f"{count:,}" for count in steps[1] if count not in known]
    if not absent:
        return "A run that it is compared with is not recorded."
    return f"It is a mean over several T; no run with T = {' or '.join(absent)} is recorded."


# --- other tolerances -------------------------------------------------------------------------------------


def least(row: dict[str, Any]) -> float | None:
    """Return the smallest of `LEVELS` at which a number counts as reproduced, as `Item.least` says."""
    off = deviation(row)
    if row["unit"] not in POINTS or row["verdict"] not in (REPRODUCED, NOT_REPRODUCED) or math.isnan(off):
        return None
    return next((level for level in LEVELS if verdicts.is_within(off, level)), math.inf)


def verdict_at(one: Item, tolerance: float | None) -> str:
    """Return the verdict on a claim at a tolerance in points; None takes the book's own rule."""
    if tolerance is None or one.least is None:
        return str(one.row["verdict"])
    return REPRODUCED if one.least <= tolerance else NOT_REPRODUCED


def recount(listed: Iterable[Item], tolerance: float | None = None) -> Counter[str]:
    """Return how many claims have which verdict at a tolerance in points; None takes the book's own rule."""
    return Counter(verdict_at(one, tolerance) for one in listed)
