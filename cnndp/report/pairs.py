"""Differences between runs, paired by seed, so that what two runs share cancels."""

from typing import Any

import pandas as pd

from cnndp.report.numbers import final_spread, interval, spread
from cnndp.report.tables import accuracy_table, by_label, table
from cnndp.runs.frames import having

FINAL = "test_accuracy"


def own(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the methods themselves: not as printed, nothing set apart, none that only stand beside."""
    return runs[(runs["reading"] != "printed") & (runs["variant"] == "") & (runs["beside"] == "")]


def difference_table(runs: pd.DataFrame, **base: Any) -> str:
    """Return a Markdown table: final test accuracy of each label, and its difference to another run's, in points.

    Args:
        runs: of one section.
        base: columns with their values, which select the run to compare with; without one there are no differences.
    """
    against = having(runs, base)
    if against.empty:
        return accuracy_table(runs)
    title, other = against["label"].iat[0], against.set_index("seed")[FINAL]
    rows = []
    for label, group in by_label(runs):
        paired = (group.set_index("seed")[FINAL] - other).dropna()
        rows.append(
            {
                "Run": label,
                "Final test %": final_spread(group),
                f"Difference to {title!r}, points": "" if label == title or paired.empty else spread(paired),
            }
        )
    return table(rows)


def pair_note(runs: pd.DataFrame, first: str, second: str) -> str:
    """Return a Markdown list: final test accuracy of `first` minus that of `second`, by name, for each T."""
    several = runs["num_steps"].nunique() > 1
    lines = []
    for num_steps, group in own(runs).groupby("num_steps"):
        final = group.pivot(index="seed", columns="name", values=FINAL).reindex(columns=[first, second]).dropna()
        if len(final):
            length = f", T = {num_steps}" if several else ""
            lines.append(f"- {first} minus {second}{length}: {interval(list(final[first] - final[second]))}.")
    return "\n".join(lines) or f"The runs at hand do not hold both {first} and {second}."


def with_threshold(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of Fig. 10 that have a threshold: not the printed ones, and not the reference."""
    return runs[runs["budget"].notna() & runs["max_step"].notna()]


def interaction_note(runs: pd.DataFrame, small: float = 0.1, large: float = 1.0) -> str:
    """Return whether a smaller threshold helps more at the smallest than at the largest budget, with its interval.

    The contrast of one seed is (accuracy with the small threshold minus that with the large one) at the smallest
    budget, minus the same at the largest.

    Args:
        runs: of section fig10_thresholds.
        small, large: the thresholds to compare.
    """
    words = "At a budget of {:g} a step, the threshold {:g} instead of {:g}"
    note = contrast_note(with_threshold(runs), "max_step", "budget", small, large, words)
    return note or "The runs at hand do not hold both thresholds at all budgets."


def contrast_note(runs: pd.DataFrame, setting: str, amount: str, small: float, large: float, words: str) -> str:
    """Return what `small` instead of `large` changes at the least and at the most, and the interaction; "" without.

    Args:
        runs: one a setting, amount and seed.
        setting, amount: columns.
        small, large: the settings to compare.
        words: with places for the amount, the small and the large setting.
    """
    final = runs.pivot(index="seed", columns=[setting, amount], values=FINAL)
    amounts = sorted(runs[amount].unique())
    if not amounts or any((one, at) not in final for one in (small, large) for at in amounts):
        return ""
    gains = final[small] - final[large]
    low, high = amounts[0], amounts[-1]
    lines = [
        f"- {words.format(at, small, large)} changes the accuracy by {spread(gains[at].dropna())} points."
        for at in (low, high)
    ]
    both = (gains[low] - gains[high]).dropna().tolist()
    return "\n".join([*lines, f"- The difference of the two, the interaction: {interval(both)}."])
