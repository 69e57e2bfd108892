"""How runs compare with what the papers state: the one table everything prints. Frames are those of `runs.frames`."""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd

from cnndp.papers.claims import STATED, Stated
from cnndp.papers.kinds import BEST, NOISE_FREE, NOT_TESTABLE, WORST
from cnndp.papers.p1 import LABELS, SECTION_LABELS
from cnndp.report.intervals import FEWEST, paired_interval

READINGS = ("printed", "reconstructed", "private")
BASELINES = ("DPGDM", "DP-SGD", "CDP")
REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not yet run"
TOO_FEW = "too few seeds"
POINTS = ("%", "points")  # units that a tolerance in points is about
SLACK = 1e-9  # room for the rounding of 97.68 - 96.68
ALWAYS = (
    "train_accuracy",
    "test_accuracy",
    "max_test_accuracy",
    "curve_test_accuracy",
)  # columns that every run has a value in
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": lambda values, bound: (values >= bound) | (values - bound).abs().lt(1e-9),
    "<": operator.lt,
    "<=": lambda values, bound: (values <= bound) | (values - bound).abs().lt(1e-9),
    "in": lambda values, choices: values.isin(choices),
}
OF_CLAIM = ("key", "section", "dataset", "place", "what", "unit")
COLUMNS = (  # of `compare`
    *(*OF_CLAIM, "paper", *READINGS),
    *(f"{statistic}_{reading}" for reading in READINGS for statistic in ("mean", "std", "n")),
    *("difference", "verdict", "note"),
)
AVERAGED = ("num_steps", "total_epsilon")  # a condition on these selects several runs of a seed: their mean
Values = dict[str, pd.Series]  # the statistic by label ("" for a single number), each by seed


def where_of(claim: Stated, label: str) -> dict[str, Any]:
    """Return the columns that select the runs of a name that a claim uses."""
    own = SECTION_LABELS.get(claim.section, {})
    return {**claim.where, **(own.get(label) or LABELS[label])}


def selected(runs: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the runs that have every value, or meet every condition, of `where`."""
    for column, wanted in where.items():
        condition, bound = wanted if isinstance(wanted, tuple) else ("in", (wanted,))
        runs = runs[runs[column].notna()]
        runs = runs[OPERATORS[condition](runs[column], bound)]
    return runs


def by_seed(runs: pd.DataFrame, where: Mapping[str, Any], column: str) -> pd.DataFrame:
    """Return a column of the selected runs, a row a seed and a column a variant: the fields that are averaged over.

    Raises:
        ValueError: when nothing tells two runs of a seed apart, since picking one would be a choice.
    """
    averaged = [field for field in AVERAGED if isinstance(where.get(field), tuple)]
    found = selected(runs, where)
    twice = found[found.duplicated(["seed", *averaged], keep=False)]
    if not twice.empty:
        raise ValueError(
            f"two runs of seed {twice['seed'].iat[0]} match {dict(where)}: {', '.join(twice['label'].unique()[:2])}; "
            "pass one configuration per method and reading"
        )
    values = found.assign(variant=0) if not averaged else found
    return values.pivot(index="seed", columns=averaged or "variant", values=column)


def averages(claim: Stated, where: Mapping[str, Any], runs: pd.DataFrame, references: pd.DataFrame) -> pd.Series:
    """Return the claim's number per seed, over the seeds that have every run it needs."""
    table = by_seed(runs, where, claim.column)
    if claim.against == NOISE_FREE:
        table = by_seed(references, {**where, "method": "cnn"}, claim.column).reindex_like(table) - table
    steps = where.get("num_steps")
    if isinstance(steps, tuple) and steps[0] == "in":
        table = table.reindex(columns=list(steps[1]))
    return claim.factor * table.dropna().mean(axis="columns")


def values_of(claim: Stated, runs: pd.DataFrame, references: pd.DataFrame) -> Values:
    """Return the claim's number by label and seed, from runs of one reading.

    Args:
        claim: which.
        runs: of its section and one reading.
        references: runs that hold those without noise.
    """
    if not claim.column:
        return {"": pd.Series(dtype=float)}
    if isinstance(claim.value, tuple):
        return {label: averages(claim, where_of(claim, label), runs, references) for label in claim.value}
    ours = averages(claim, claim.where, runs, references)
    if claim.against in (BEST, WORST):
        theirs = pd.DataFrame({name: averages(claim, where_of(claim, name), runs, references) for name in BASELINES})
        known = theirs.dropna()
        ours = (ours - (known.max(axis=1) if claim.against == BEST else known.min(axis=1))).dropna()
    return {"": ours}


class Gap(NamedTuple):
    """A neighbouring difference of an ordering: two labels, and the better minus the worse by seed, in points."""

    worse: str
    better: str
    pairs: list[float]

    @property
    def shows(self) -> bool | None:
        """Tell whether the better one is above.

        It is when the 95 % interval of the mean lies above 0, which chance alone does in one of 40 cases; fewer than
        five pairs decide nothing, and return None.
        """
        found = paired_interval(self.pairs)
        return None if found is None or len(self.pairs) < FEWEST else found[0] > 0


def gaps(claim: Stated, values: Values) -> list[Gap]:
    """Return the neighbouring differences of an ordering; seeds that only one side has are left out."""
    sign = -1 if claim.against == NOISE_FREE else 1  # the smaller loss is the better one
    labels = claim.value if isinstance(claim.value, tuple) else ()
    return [
        Gap(worse, better, (sign * (values[better] - values[worse])).dropna().tolist())
        for worse, better in pairwise(labels)
    ]


def tolerance(unit: str, std: float) -> float:
    """Return how far the mean may be off: max(1 point, 2 std); other units, half the second printed decimal.

    >>> tolerance("%", 0.2), tolerance("%", 2.0), tolerance("epsilon", math.nan)
    (1.0, 4.0, 0.005)
    """
    return max(1.0 if unit in POINTS else 0.005, 0.0 if math.isnan(std) else 2 * std)


def is_within(off: float, allowed: float) -> bool:
    """Return whether a mean that is `off` by so much counts as reproduced.

    >>> is_within(97.68 - 96.68, 1.0), is_within(-1.01, 1.0)
    (True, False)
    """
    return abs(off) <= allowed + SLACK


def verdict(claim: Stated, values: Values) -> str:
    """Return the verdict on a claim from its values by label and seed (as `values_of` gives them)."""
    if claim.fixed:
        return claim.fixed
    if any(found.empty for found in values.values()):
        return NOT_RUN
    if isinstance(claim.value, tuple):
        steps = [gap.shows for gap in gaps(claim, values)]
        if None in steps:
            return TOO_FEW
        # Each neighbouring difference must show by itself, so that there are several does not make it easier.
        return REPRODUCED if all(steps) else NOT_REPRODUCED
    mean, std = values[""].mean(), values[""].std()
    return REPRODUCED if is_within(claim.value - mean, tolerance(claim.unit, std)) else NOT_REPRODUCED


def stopped(claim: Stated, runs: pd.DataFrame) -> str:
    """Return at which steps runs that a claim is about diverged, for a table cell; "" where none did."""
    labels = claim.value if isinstance(claim.value, tuple) else ()
    selectors = [where_of(claim, label) for label in labels] or [dict(claim.where)]
    ends = [selected(runs, where).query("status == 'diverged'")["last_step"] for where in selectors]
    steps = sorted(set(pd.concat(ends)))
    return f"; diverged at step {' and '.join(map(str, steps))}" if steps else ""


def describe(values: Values) -> str:
    """Return "mean ± std (n)" for one number, and the mean of each label that was run for an ordering."""
    known = {label: found for label, found in values.items() if len(found)}
    if not known:
        return ""
    count = min(map(len, known.values()))
    if set(values) != {""}:
        return "; ".join(f"{label} {found.mean():.2f}" for label, found in known.items()) + f" (n={count})"
    mean, std = values[""].mean(), values[""].std()
    return f"{mean:.2f} (n={count})" if math.isnan(std) else f"{mean:.2f} ± {std:.2f} (n={count})"


def own_runs(claim: Stated, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that a claim is compared with, of all readings; those that only stand beside are left out."""
    own = runs[(runs["section"] == claim.section) & (runs["beside"] == "")]
    own = own[own["dataset"] == claim.dataset] if claim.dataset else own
    # P2's epsilon is answered with the exact one where a run has a guarantee, not with what its accountant printed.
    return own.assign(epsilon=own["exact_epsilon"].fillna(own["rdp_epsilon"]))


def by_reading(own: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Return the runs of each reading, and those that hold its runs without noise: `reconstructed` lends its own."""
    parts = {reading: own[own["reading"] == reading] for reading in READINGS}
    return {
        reading: (mine, mine if (mine["method"] == "cnn").any() else parts["reconstructed"])
        for reading, mine in parts.items()
    }


def deciding(rebuilt: Values) -> str:
    """Return the reading that decides: `reconstructed` where it has runs, else `printed`."""
    return "reconstructed" if all(map(len, rebuilt.values())) else "printed"


def in_order(claim: Stated) -> tuple[str, ...]:
    """Return the labels of an ordering from the smallest number to the largest, as "<" joins them.

    The claim lists them from the worst to the best, and of losses the smallest is the best. () for a single number.

    >>> from cnndp.papers.claims import claims
    >>> [in_order(claim) for claim in claims("fig08_loss") if "loses less than CDP" in claim.what]
    [('CNN-DP-GAN', 'CDP'), ('CNN-DP-GAN', 'CDP')]
    """
    labels = claim.value if isinstance(claim.value, tuple) else ()
    return labels[::-1] if claim.against == NOISE_FREE else labels


def row(claim: Stated, own: pd.DataFrame) -> dict[str, Any]:
    """Return the row of `compare` for one claim, from its `own_runs`."""
    parts = by_reading(own)
    measured = {reading: values_of(claim, *part) for reading, part in parts.items()}
    found = verdict(claim, measured[deciding(measured["reconstructed"])])
    if found == NOT_RUN and claim.column not in ("", *ALWAYS) and len(selected(own, claim.where)):
        found = NOT_TESTABLE  # a number that a run need not have
    stated = " < ".join(in_order(claim)) if isinstance(claim.value, tuple) else float(claim.value)
    described = {name: describe(values) for name, values in measured.items()}
    numbers: dict[str, Any] = {}
    for reading, values in measured.items():
        single = values.get("", pd.Series(dtype=float))
        numbers |= {f"mean_{reading}": single.mean(), f"std_{reading}": single.std()}
        numbers[f"n_{reading}"] = min(map(len, values.values()), default=0)
    return {
        **{name: getattr(claim, name) for name in OF_CLAIM},
        "paper": stated,
        **{name: text + (stopped(claim, parts[name][0]) if text else "") for name, text in described.items()},
        **numbers,
        "difference": math.nan if isinstance(stated, str) else numbers["mean_reconstructed"] - stated,
        "verdict": found,
        "note": claim.note,
    }


def compare(runs: pd.DataFrame, *, stated: Sequence[Stated] = STATED) -> pd.DataFrame:
    """Return one row per claim: the paper's value, each reading's, the difference and the verdict.

    Every run counts, diverged ones with the accuracy they ended at; none is picked. A claim without runs stays,
    as "not yet run"; an ordering with fewer than five seeds in common is "too few seeds". The `reconstructed` reading
    decides where it has runs, else `printed`. A reading without noise-free runs takes its losses against those of
    `reconstructed`. Runs that only stand beside a method's own (`beside`) are left out.

    Args:
        runs: one configuration per section, method and reading.
        stated: what to compare; settings, cited numbers and claims without a section are skipped.

    >>> from cnndp.runs.frames import frame
    >>> found = compare(frame([]))
    >>> sorted(set(found["verdict"]))
    ['inconsistent with its source', 'inconsistent within the paper', 'not testable', 'not yet run']
    """
    tested = [claim for claim in stated if claim.kind == "claim" and claim.section]
    return pd.DataFrame([row(claim, own_runs(claim, runs)) for claim in tested], columns=COLUMNS)


def as_markdown(verdicts: pd.DataFrame) -> str:
    """Return the frame of `compare` as a Markdown table, with a column of private runs where there are any.

    >>> from cnndp.papers.claims import claims
    >>> from cnndp.runs.frames import frame
    >>> header = as_markdown(compare(frame([]), stated=claims("fig07_ablation")[:1])).splitlines()[0]
    >>> [cell.strip() for cell in header.strip("|").split("|")]
    ['where in the paper', 'claim', 'paper', 'printed', 'reconstructed', 'difference', 'verdict']
    """
    shown = [reading for reading in READINGS if reading != "private" or (verdicts["private"] != "").any()]
    units = [
        f" ({unit})" if unit and isinstance(paper, float) else ""
        for unit, paper in zip(verdicts["unit"], verdicts["paper"], strict=True)
    ]
    cells = pd.DataFrame(
        {
            "where in the paper": verdicts["place"],
            "claim": verdicts["what"] + units,
            "paper": verdicts["paper"],
            **{reading: verdicts[reading] for reading in shown},
            "difference": [number if math.isnan(number) else f"{number:+.2f}" for number in verdicts["difference"]],
            "verdict": verdicts["verdict"],
        }
    ).map(plain)
    sides = ("left", "left", *("right" for _ in range(len(shown) + 2)), "left")
    return str(cells.to_markdown(index=False, disable_numparse=True, colalign=sides))


def plain(value: object) -> str:
    """Return a value as the text of a table cell that Markdown leaves alone."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return re.sub(r"([|*_`$\\]|<(?! ))", r"\\\1", " ".join(str(value).split()))
