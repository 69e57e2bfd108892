"""Accuracy against numerical epsilon: the figure and the tables of the frontier page."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnndp.papers.field import anchors_of, headlines
from cnndp.privacy.accounting import epsilon_by_step
from cnndp.privacy.plan import Plan
from cnndp.report.figures.drawing import COLOURS, legend_below, panels, spreads, style
from cnndp.report.tables import table

MARKERS = ("s", "^", "D", "v")
TICKS: tuple[float, ...] = (99.5, 99, 98, 95, 90, 80, 60, 40, 20)  # these first, then what has room between them
TICKS += (98.5, 97, 96, 94, 92, 88, 85, 70, 50, 30, 10)
GAP = 3.5  # points of a line whose epsilons are further apart than by this factor are not joined


def spending(plan: Plan, points: int = 6) -> Figure:
    """Draw the numerical epsilon that a plan has spent after each of some numbers of steps, and its target.

    Args:
        plan: with at least one step.
        points: at how many numbers of steps epsilon is worked out.
    """
    last = max((one.first_step or 0) + one.steps - 1 for one in plan.releases)
    steps = sorted({round(last * k / points) for k in range(points + 1)})
    epsilons = epsilon_by_step(plan.releases, steps, plan.delta)
    figure, (axes,) = panels(1, height=3.4)
    figure.set_figwidth(6.0)
    axes.plot(steps, epsilons, marker="o", color=COLOURS[0], label="spent")
    axes.axhline(plan.target_epsilon, color=COLOURS[1], linestyle="--", label="target")
    axes.set(xlabel="steps taken", ylabel=f"numerical ε at δ = {plan.delta:g}", ylim=(0, 1.1 * plan.target_epsilon))
    axes.legend(frameon=False, fontsize=9)
    return figure


def spread_out(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where an accuracy in percent stands on an axis that gives more room to small errors.

    >>> spread_out(np.array([90.5, 99.5])).tolist()  # errors of 9.5 and 0.5 points, 0.5 added to each
    [-1.0, -0.0]
    """
    return -np.log10(100.5 - np.minimum(accuracy, 100.0))


def spread_back(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the accuracy that stands at a place of `spread_out`."""
    return 100.5 - 10.0**-place


def readable_ticks(low: float, high: float) -> list[float]:
    """Return the accuracies of `TICKS` between two ends that stand far enough apart to be read.

    >>> readable_ticks(20.0, 99.2)
    [40, 60, 80, 90, 95, 97, 98, 99]
    """
    kept: list[float] = []
    start, stop = spread_out(np.array([low, high]))
    for tick in TICKS:
        places = spread_out(np.array([tick, *kept]))
        if low <= tick <= high and all(abs(places[1:] - places[0]) > 0.07 * (stop - start)):
            kept.append(tick)
    return sorted(kept)


def by_epsilon(runs: pd.DataFrame) -> pd.DataFrame:
    """Return numerical epsilon, and mean and standard deviation of the accuracy over seeds, smallest epsilon first."""
    points = spreads(runs, "label").assign(epsilon=runs.groupby("label")["exact_epsilon"].max())
    return points.sort_values("epsilon")


def broken(points: pd.DataFrame) -> pd.DataFrame:
    """Return points of `by_epsilon` with an empty row at each gap, where a line is not drawn.

    >>> broken(pd.DataFrame({"epsilon": [1.0, 2.0, 72.0], "mean": [90.0, 91.0, 92.0]}))["mean"].tolist()
    [90.0, 91.0, nan, 92.0]
    """
    part = (points["epsilon"] / points["epsilon"].shift() > GAP).cumsum()
    parts = [group for _, group in points.reset_index(drop=True).groupby(part.to_numpy())]
    empty = pd.DataFrame(np.nan, index=[0], columns=points.columns)
    return pd.concat([parts[0], *(one for later in parts[1:] for one in (empty, later))])


def frontier(runs: pd.DataFrame, dataset: str) -> Figure:
    """Draw test accuracy against numerical epsilon, beside the field's results and the papers' headline accuracies.

    Args:
        runs: private runs of this project, with the `line` that each belongs to.
        dataset: whose anchors and headlines are drawn.
    """
    figure, (axes,) = panels(1, height=4.8)
    figure.set_figwidth(7.2)
    axes.set_yscale("function", functions=(spread_out, spread_back))
    ticks: list[float] = []
    lines = runs.groupby("line", sort=False)
    for index, (line, group) in enumerate(lines):
        points, look = by_epsilon(group), style(index)
        joined = broken(points)
        axes.plot(joined["epsilon"], joined["mean"], marker="o", label=f"here: {line}", **look)
        axes.errorbar(points["epsilon"], points["mean"], points["std"], fmt="none", capsize=3, color=look["color"])
        ticks += [epsilon for epsilon in points["epsilon"] if all(abs(epsilon / tick - 1) > 0.1 for tick in ticks)]
    names = list(dict.fromkeys((one.who, one.model) for one in anchors_of(dataset)))
    for index, (who, model) in enumerate(names):
        published = [one for one in anchors_of(dataset) if (one.who, one.model) == (who, model)]
        axes.plot(
            [one.epsilon for one in published],
            [one.accuracy for one in published],
            MARKERS[index % len(MARKERS)],
            color=COLOURS[(lines.ngroups + index) % len(COLOURS)],
            label=f"{who}: {model}",
        )
    for name, value in headlines(dataset).items():
        axes.axhline(value, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)))
        text = f"{name}:\n{value:g} %"
        beside = axes.get_yaxis_transform()
        axes.annotate(
            text, (1.01, value), xycoords=beside, annotation_clip=False, fontsize=9, color="0.25", va="center"
        )
    axes.set(xscale="log", xlabel="numerical ε at δ = 1e-5 (log)", ylabel="test accuracy (%)")
    axes.set_xticks(ticks, [f"{epsilon:.2g}" if epsilon < 10 else f"{epsilon:.0f}" for epsilon in ticks], minor=False)
    marks = readable_ticks(*axes.get_ylim())
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()
    legend_below(figure, axes, columns=2, fontsize=9)
    return figure


def headlines_note(runs: pd.DataFrame, dataset: str) -> str:
    """Return a Markdown table: the smallest epsilon at which each line reaches each headline accuracy on average."""
    stated = headlines(dataset)
    if not stated:
        return "Neither paper has a headline accuracy on this dataset."
    rows = []
    for line, group in runs.groupby("line", sort=False):
        points, row = by_epsilon(group), {"Numerical ε at which the mean reaches": line}
        for name, value in stated.items():
            reached = points.loc[points["mean"] >= value, "epsilon"]
            row[f"{name}'s {value:g} %"] = "not reached" if reached.empty else f"{reached.iat[0]:.3g}"
        rows.append(row)
    return table(rows)
