"""Accuracy against numerical epsilon: the figure and the tables of the frontier page."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnndp.papers.field import Anchor, anchors_of, headlines
from cnndp.privacy.accounting import epsilon_by_step
from cnndp.privacy.plan import Plan
from cnndp.report.figures.drawing import COLOURS, FIELD, method_style, panels, spreads
from cnndp.report.figures.said import describe, ends
from cnndp.report.tables import table

MARKERS = ("s", "^", "D", "v")
TICKS: tuple[float, ...] = (99.5, 99, 98, 95, 90, 80, 60, 40, 20)  # these first, then what has room between them
TICKS += (98.5, 97, 96, 94, 92, 88, 85, 70, 50, 30, 10)
ROOM = 0.24  # of the width, behind the last point: for the names of lines that end there
APART = 0.085  # of the height, between the middles of two names of two lines
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
    spent = f"{epsilons[-1]:.3g} after {steps[-1]:,} steps, of a target of {plan.target_epsilon:g}"
    return describe(figure, f"Numerical ε rises from {epsilons[0]:.2g} to {spent}")


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


def line_styles(methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the style of each line: its method's, open and dashed where the style stands a second time.

    Args:
        methods: the name of the runs of each line.

    >>> styles = line_styles({"ours": "DP-SGD", "P1's": "CNN, DP-SGD", "linear": "scattering, linear"})
    >>> [(one["color"], one["linestyle"], "mfc" in one) for one in styles.values()]
    [('#8A5A2B', '-', False), ('#8A5A2B', '--', True), ('#009E73', '-', False)]
    """
    styles: dict[str, dict[str, Any]] = {}
    for index, (line, method) in enumerate(methods.items()):
        look = method_style(method, "", index)
        again = any((one["color"], one["marker"]) == (look["color"], look["marker"]) for one in styles.values())
        styles[line] = {**look, **({"mfc": "white", "linestyle": "--"} if again else {})}
    return styles


def line_end(points: pd.DataFrame) -> tuple[float, float]:
    """Return where the name of a line stands: behind the last point of its last joined part, or behind its last point.

    >>> line_end(pd.DataFrame({"epsilon": [1.0, 3.0, 72.0], "mean": [90.0, 91.0, 92.0]}))
    (3.0, 91.0)
    """
    joined = points["epsilon"] / points["epsilon"].shift() <= GAP
    last = points[joined].iloc[-1] if joined.any() else points.iloc[-1]
    return float(last["epsilon"]), float(last["mean"])


def kept_apart(places: Sequence[float], least: float) -> list[float]:
    """Return places moved up so far that none is nearer than `least` to the one below it.

    >>> kept_apart([0.5, 0.55, 0.1], 0.1)
    [0.5, 0.6, 0.1]
    """
    moved = np.array(places, dtype=float)
    order = np.argsort(moved)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + least)
    return [float(round(place, 9)) for place in moved]


def frontier(runs: pd.DataFrame, dataset: str) -> Figure:
    """Draw test accuracy against numerical epsilon, beside the field's results and the papers' headline accuracies.

    Args:
        runs: private runs of this project, with the `line` that each belongs to.
        dataset: whose anchors and headlines are drawn.
    """
    figure, (axes,) = panels(1, height=5.0)
    figure.set_figwidth(8.6)
    axes.set_yscale("function", functions=(spread_out, spread_back))
    lines = {line: by_epsilon(group) for line, group in runs.groupby("line", sort=False)}
    styles = line_styles(runs.groupby("line", sort=False)["name"].first())
    for line, points in lines.items():
        joined, look = broken(points), styles[line]
        axes.plot(joined["epsilon"], joined["mean"], label=line, **look)
        axes.errorbar(points["epsilon"], points["mean"], points["std"], fmt="none", capsize=3, color=look["color"])
    for marker, (who, published) in zip(itertools.cycle(MARKERS), by_source(dataset).items(), strict=False):
        places = [(one.epsilon, one.accuracy) for one in published]
        axes.plot(*zip(*places, strict=True), marker=marker, label=who, **FIELD)
    for name, value in headlines(dataset).items():
        axes.axhline(value, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)))
        beside: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "annotation_clip": False}
        axes.annotate(f"{name}:\n{value:g} %", (1.01, value), fontsize=9, color="0.25", va="center", **beside)
    axes.set(xscale="log", xlabel="numerical ε at δ = 1e-5 (log)", ylabel="test accuracy (%)")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** ROOM)
    marks = readable_ticks(*axes.get_ylim())
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    ticks = apart_in_ratio(epsilon for points in lines.values() for epsilon in points["epsilon"])
    axes.set_xticks(ticks, [f"{epsilon:.2g}" if epsilon < 10 else f"{epsilon:.0f}" for epsilon in ticks], minor=False)
    axes.minorticks_off()
    name_lines(axes, lines, {line: look["color"] for line, look in styles.items()})
    handles, labels = axes.get_legend_handles_labels()
    theirs = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label not in lines]
    if theirs:
        figure.legend(*zip(*theirs, strict=True), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    said = [f"{line}: {ends(points.set_index('epsilon')['mean'], at='ε = ')}" for line, points in lines.items()]
    return describe(figure, *said, *reached(lines, dataset))


def name_lines(axes: Axes, lines: Mapping[str, pd.DataFrame], colours: Mapping[str, str]) -> None:
    """Write the name of each line at its end, those that end together one above the other.

    Args:
        axes: with its limits set.
        lines: their points, by name.
        colours: of the names.
    """
    low, high = spread_out(np.array(axes.get_ylim()))
    ends_of = {line: line_end(points) for line, points in lines.items()}
    columns: dict[int, list[str]] = {}
    for line, (epsilon, _) in ends_of.items():
        columns.setdefault(round(2 * np.log10(epsilon)), []).append(line)
    for column in columns.values():
        places = [float((spread_out(np.array(ends_of[line][1])) - low) / (high - low)) for line in column]
        for line, place in zip(column, kept_apart(places, APART), strict=True):
            axes.annotate(
                in_lines(line),
                (ends_of[line][0], place),
                xycoords=axes.get_xaxis_transform(),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=colours[line],
                linespacing=1.0,
                bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none"},
            )


def in_lines(name: str) -> str:
    """Return a name with the last of its parts on a line of its own.

    >>> in_lines("CNN, DP-SGD, batches of 1,024")
    'CNN, DP-SGD,\\nbatches of 1,024'
    """
    head, comma, tail = name.rpartition(", ")
    return f"{head},\n{tail}" if comma else name


def apart_in_ratio(values: Iterable[float]) -> list[float]:
    """Return the values that differ from all kept before them by more than a tenth.

    >>> apart_in_ratio([1.0, 1.01, 3.0])
    [1.0, 3.0]
    """
    kept: list[float] = []
    for value in values:
        kept += [value] if all(abs(value / other - 1) > 0.1 for other in kept) else []
    return kept


def by_source(dataset: str) -> dict[str, list[Anchor]]:
    """Return the field's results on a dataset by who has published them, and with which model."""
    found: dict[str, list[Anchor]] = {}
    for one in anchors_of(dataset):
        found.setdefault(f"{one.who}: {one.model}", []).append(one)
    return found


def reached(lines: Mapping[str, pd.DataFrame], dataset: str) -> list[str]:
    """Return for each headline accuracy the smallest epsilon at which the mean of a line reaches it.

    Args:
        lines: points of `by_epsilon`, by name.
        dataset: whose headlines.
    """
    said = []
    for name, value in headlines(dataset).items():
        found = {line: points.loc[points["mean"] >= value, "epsilon"] for line, points in lines.items()}
        least = {line: float(epsilons.min()) for line, epsilons in found.items() if len(epsilons)}
        first = min(least, key=lambda line: least[line], default="")
        by = f"first reached by {first} at ε = {least[first]:.2g}" if least else "not reached"
        said.append(f"{value:g} % ({name}) is {by}")
    return said


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
