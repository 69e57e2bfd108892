"""Accuracy against numerical epsilon: the figure and the tables of the frontier page."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnndp.papers.field import anchors_of, headlines
from cnndp.privacy.accounting import epsilon_by_step
from cnndp.privacy.plan import Plan
from cnndp.report.figures.drawing import COLOURS, legend_below, mean_and_std, panels, style
from cnndp.report.tables import STATISTICS, by_label, final_spread, spread, table
from cnndp.runs.experiment import Result
from cnndp.runs.store import Record

MARKERS = ("s", "^", "D", "v")
TICKS: tuple[float, ...] = (99.5, 99, 98, 95, 90, 80, 60, 40, 20)  # these first, then what has room between them
TICKS += (98.5, 97, 96, 94, 92, 88, 86, 70, 50, 30, 10)


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
    [40, 60, 80, 86, 90, 95, 97, 98, 99]
    """
    kept: list[float] = []
    start, stop = spread_out(np.array([low, high]))
    for tick in TICKS:
        places = spread_out(np.array([tick, *kept]))
        if low <= tick <= high and all(abs(places[1:] - places[0]) > 0.07 * (stop - start)):
            kept.append(tick)
    return sorted(kept)


def exact(records: Sequence[Record]) -> float:
    """Return the largest numerical epsilon of runs that share a target."""
    return float(max(record["privacy"]["exact_epsilon"] for record in records))


def by_epsilon(results: Sequence[Result]) -> dict[float, list[float]]:
    """Return the final test accuracies of each label by numerical epsilon, smallest first."""
    grouped = sorted(by_label(results).values(), key=exact)
    return {exact(records): [STATISTICS["final"](record) for record in records] for records in grouped}


def frontier(lines: Mapping[str, Sequence[Result]], dataset: str) -> Figure:
    """Draw test accuracy against numerical epsilon, beside the field's results and the papers' headline accuracies.

    Args:
        lines: private runs of this project by name.
        dataset: whose anchors and headlines are drawn.
    """
    figure, (axes,) = panels(1, height=4.8)
    figure.set_figwidth(7.2)
    axes.set_yscale("function", functions=(spread_out, spread_back))
    ticks: list[float] = []
    for index, (line, results) in enumerate(lines.items()):
        points = by_epsilon(results)
        means, spreads = zip(*(mean_and_std(values) for values in points.values()), strict=True)
        axes.plot(list(points), means, marker="o", label=f"here: {line}", **style(index))
        axes.errorbar(list(points), means, spreads, fmt="none", capsize=3, color=style(index)["color"])
        ticks += [epsilon for epsilon in points if all(abs(epsilon / tick - 1) > 0.1 for tick in ticks)]
    names = list(dict.fromkeys((one.who, one.model) for one in anchors_of(dataset)))
    for index, (who, model) in enumerate(names):
        published = [one for one in anchors_of(dataset) if (one.who, one.model) == (who, model)]
        axes.plot(
            [one.epsilon for one in published],
            [one.accuracy for one in published],
            MARKERS[index % len(MARKERS)],
            color=COLOURS[(len(lines) + index) % len(COLOURS)],
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
    legend_below(figure, axes, columns=2, fontsize=8.5)
    return figure


def frontier_table(results: Sequence[Result]) -> str:
    """Return a Markdown table: numerical epsilon, test accuracy as mean ± std (n), seconds a run."""
    rows = [
        [
            label,
            f"{exact(records):.4f}",
            final_spread(records),
            spread([record["provenance"]["seconds"] for record in records], digits=0),
        ]
        for label, records in by_label(results).items()
    ]
    return table(rows, ("Target", "Numerical ε", "Test %", "Seconds, features read from the cache"))


def headlines_note(lines: Mapping[str, Sequence[Result]], dataset: str) -> str:
    """Return a Markdown table: the smallest epsilon at which each line reaches each headline accuracy on average."""
    stated = headlines(dataset)
    if not stated:
        return "Neither paper has a headline accuracy on this dataset."
    rows = []
    for line, results in lines.items():
        means = {epsilon: fmean(values) for epsilon, values in by_epsilon(results).items()}
        reached = [next((epsilon for epsilon in means if means[epsilon] >= value), None) for value in stated.values()]
        rows.append([line, *("not reached" if epsilon is None else f"{epsilon:.3g}" for epsilon in reached)])
    header = ("Numerical ε at which the mean reaches", *(f"{name}'s {value:g} %" for name, value in stated.items()))
    return table(rows, header)
