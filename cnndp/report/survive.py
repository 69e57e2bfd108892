"""What survives of the papers' ideas: paired differences with intervals, and one sentence for each question.

Runs are frames of `runs.frames`; a comparison is a row of the frame that `effects` gives.
"""

import math
from collections.abc import Mapping
from statistics import fmean

import pandas as pd

from cnndp.papers.sections.labels import sized
from cnndp.report.intervals import CONFIDENCE, adjusted, chance_of, paired_interval
from cnndp.report.numbers import counted, interval
from cnndp.report.pairs import FINAL, contrast_note
from cnndp.report.tables import table

BASE = "growth 1"  # a fixed step, the same noise in every step
GOOD = 0.5  # points below the best at which a rate still counts as good
NOISES = {"Laplace": "Gaussian"}  # and what it is compared with
SAME = ["target_epsilon", "projection"]  # runs that are compared have one epsilon and one dimension


def effects(runs: pd.DataFrame, against: Mapping[str, str]) -> pd.DataFrame:
    """Return, for each epsilon and dimension, the differences between each name and the name it is compared with.

    Args:
        runs: of one section; those without a partner are left out.
        against: name -> name that it is compared with.

    Returns:
        a row a comparison, with `name`, `what` and `other` (as shown), `epsilon`, `projection`, `pairs` (differences in
        final test accuracy, in points, one a seed), their `mean`, the ends `low` and `high` of its 95 % interval,
        for this difference alone; and whether it `gains` or `loses`, with all comparisons made with it taken into
        account.
    """
    rows = []
    for (epsilon, size), group in runs.groupby(SAME, dropna=False, sort=False):
        final = group.pivot(index="seed", columns="name", values=FINAL)
        for name in group["name"].unique():
            pairs = (final[name] - final[against[name]]).dropna().tolist() if against.get(name) in final else []
            if pairs:
                shown = [sized(one, None if math.isnan(size) else size) for one in (name, against[name])]
                rows.append([name, *shown, epsilon, size, pairs])
    return judged(pd.DataFrame(rows, columns=["name", "what", "other", "epsilon", "projection", "pairs"]))


def judged(found: pd.DataFrame) -> pd.DataFrame:
    """Return comparisons that are made together with what they show, each p value adjusted for their number."""
    mean = [fmean(pairs) for pairs in found["pairs"]]
    ends = [paired_interval(pairs) or (pairs[0], pairs[0]) for pairs in found["pairs"]]
    shown = [chance < 1 - CONFIDENCE for chance in adjusted([chance_of(pairs) for pairs in found["pairs"]])]
    return found.assign(
        mean=mean,
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
        gains=[clear and value > 0 for clear, value in zip(shown, mean, strict=True)],
        loses=[clear and value < 0 for clear, value in zip(shown, mean, strict=True)],
    )


def against_fixed(runs: pd.DataFrame) -> dict[str, str]:
    """Return every name of the runs but the base, compared with the base."""
    return {name: BASE for name in runs["name"].unique() if name != BASE}


def effects_table(found: pd.DataFrame) -> str:
    """Return a Markdown table of comparisons with their intervals."""
    return table(
        [
            {
                "Comparison": f"{one.what} minus {one.other}",
                "Numerical ε": f"{one.epsilon:g}",
                "Difference in final test accuracy": interval(one.pairs),
            }
            for one in found.itertuples()
        ]
    )


def verdict(found: pd.DataFrame, what: str) -> str:
    """Return one sentence on how often something gains or loses, and the largest and smallest difference.

    Args:
        found: the comparisons.
        what: what is compared with what, as the subject of the sentence.

    >>> lower = judged(pd.DataFrame({"pairs": [[-0.1, -0.2, -0.1, -0.2, -0.15]]}))
    >>> verdict(lower, "a growing budget").split(" (")[0]
    'In 1 comparison a growing budget gains 0 times and loses 1 time'
    """
    if found.empty:
        return "The runs at hand hold no pair to compare."
    return (
        f"In {counted(len(found), 'comparison')} {what} gains {counted(found['gains'].sum(), 'time')} and loses "
        f"{counted(found['loses'].sum(), 'time')} (paired t tests at 5 %, adjusted for their number by Benjamini and "
        f"Hochberg); the differences go from {found['mean'].min():.2f} to {found['mean'].max():.2f} points."
    )


def good_range(rates: Mapping[float, float], good: float = GOOD) -> tuple[float, float]:
    """Return the smallest and largest rate of the run of rates around the best that lose at most `good` points.

    Args:
        rates: accuracy in percent by rate.
        good: in points.

    >>> good_range({0.1: 90.0, 0.3: 97.8, 1.0: 98.0, 3.0: 97.0, 10.0: 97.9})
    (0.3, 1.0)
    """
    grid = sorted(rates.keys())
    best = max(grid, key=lambda rate: rates[rate])
    low = high = grid.index(best)
    while low > 0 and rates[grid[low - 1]] >= rates[best] - good:
        low -= 1
    while high < len(grid) - 1 and rates[grid[high + 1]] >= rates[best] - good:
        high += 1
    return grid[low], grid[high]


def width_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table: the best rate or cap of each name, what the grid's worst loses, and the good range."""
    rows = []
    for (name, epsilon, size), group in runs.groupby(["name", *SAME], dropna=False, sort=False):
        rates = group.groupby("rate")[FINAL].mean()
        best, (low, high) = rates.idxmax(), good_range(rates)
        rows.append(
            {
                "Run": sized(name, None if math.isnan(size) else size),
                "Numerical ε": f"{epsilon:g}",
                "Best rate or cap": f"{best:g}",
                "Accuracy there %": f"{rates[best]:.2f}",
                "Worst of the grid, points below": f"{rates[best] - rates.min():.2f}",
                f"Within {GOOD:g} points of the best": f"{low:g} to {high:g}",
            }
        )
    return table(rows)


def cap_note(runs: pd.DataFrame) -> str:
    """Return what the second smallest cap instead of the second largest changes, at the least and the most epsilon."""
    caps = sorted(runs["rate"].unique())
    if len(caps) < 4:
        return "The runs at hand do not hold enough caps."
    words = "At numerical ε = {:g} a cap of {:g} instead of {:g}"
    note = contrast_note(runs, "rate", "target_epsilon", caps[1], caps[-2], words)
    return note or "The runs at hand do not hold all caps at all ε."


def laplace_note(runs: pd.DataFrame) -> str:
    """Return a Markdown list: for each epsilon, the dimension at which Laplace noise is best and what follows it."""
    lines = []
    for epsilon, group in runs[runs["name"] == "Laplace"].groupby("target_epsilon"):
        sizes = group.groupby("projection")[FINAL].mean()
        top, last = sizes.idxmax(), sizes.index.max()
        after = "the largest tried" if top == last else f"at d = {last:,.0f} it is down to {sizes[last]:.2f} %"
        lines.append(
            f"- At numerical ε = {epsilon:g} Laplace noise is best at d = {top:,.0f} ({sizes[top]:.2f} %), {after}."
        )
    return "\n".join(lines)
