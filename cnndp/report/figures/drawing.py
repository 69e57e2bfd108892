"""Figures from records. Every function returns a figure, and none touches matplotlib's global state."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from cnndp.equations.budget import Budget, step_epsilon
from cnndp.equations.noise import laplace_scale
from cnndp.equations.toy import CURVATURE, Path
from cnndp.report.tables import STATISTICS, by_label, divergence
from cnndp.runs.experiment import Result
from cnndp.runs.store import Record

# Okabe and Ito's colours, told apart by most colour-blind readers; line styles repeat the distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
LINES = ("-", "--", "-.", ":")
STYLE: Any = {
    "figure.facecolor": "white",  # opaque, so that a dark page cannot swallow black text
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 11,
}


def panels(columns: int, height: float = 3.6, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, in the project's style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.1 * columns, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False, **options)
    for panel in axes[0]:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    return figure, list(axes[0])


def nothing(text: str) -> Figure:
    """Return a figure that says what is missing for the one that belongs here."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 1.6), layout="constrained")
        axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure


def png(figure: Figure) -> bytes:
    """Return the figure as PNG of 256 colours: the same bytes for the same figure, so an unchanged page stays so.

    Few colours take a third of the space and look the same.
    """
    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    picture = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(reduced, "png", optimize=True)
    return reduced.getvalue()


def style(index: int) -> dict[str, Any]:
    """Return colour and line style of the n-th line of a panel."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}


def band(axes: Axes, records: Sequence[Record], column: str, label: str, index: int) -> None:
    """Draw the mean of a history column over seeds, and mean +- std as a band; a cross where a run diverged."""
    steps, values = columns_of(records, column)
    mean, std = mean_and_std(values)
    axes.plot(steps, mean, label=label + divergence(records), **style(index))
    axes.fill_between(steps, mean - std, mean + std, color=style(index)["color"], alpha=0.15, linewidth=0)
    for record in records:
        if record["status"] == "diverged":
            end = record["final"]["last_step"], record["history"][column][-1]
            axes.plot(*end, "x", color=style(index)["color"], markersize=9, markeredgewidth=2)


def mean_and_std(values: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation over the first axis; one row has no deviation, so 0 stands for it.

    >>> mean_and_std([[1.0], [3.0]])
    (array([2.]), array([1.41421356]))
    """
    rows = np.asarray(values, dtype=float)
    return rows.mean(axis=0), rows.std(axis=0, ddof=1) if len(rows) > 1 else 0 * rows[0]


def legend_below(figure: Figure, axes: Axes, columns: int = 4, fontsize: float = 9) -> None:
    """Put one legend, of the lines of `axes`, under all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=fontsize, frameon=False)


def columns_of(records: Sequence[Record], column: str) -> tuple[list[int], NDArray[np.float64]]:
    """Return the steps of the longest history, and one row of a column for each record.

    A run that diverged has a shorter history; its last value stands for the rest.
    """
    steps: list[int] = max((record["history"]["step"] for record in records), key=len)
    rows = [record["history"][column] for record in records]
    return steps, np.array([row + [row[-1]] * (len(steps) - len(row)) for row in rows], dtype=float)


def ablation(results: Sequence[Result], stated: Mapping[str, float], num_steps: int) -> Figure:
    """Draw Fig. 7: accuracy on training (a) and test images (b) against the iteration, mean +- std over seeds.

    Args:
        results: of section fig07_ablation; runs of other lengths than `num_steps` are left out.
        stated: P1's numbers in percent, drawn as dotted lines with their names.
        num_steps: T.
    """
    figure, axes = panels(2, height=4.2, sharey=True)
    shown = [result for result in results if result.record["config"]["num_steps"] == num_steps]
    for panel, column, title in zip(
        axes, ("train_accuracy", "test_accuracy"), ("(a) training images", "(b) test images"), strict=True
    ):
        for index, (label, records) in enumerate(by_label(shown).items()):
            band(panel, records, column, label, index)
        panel.set(title=title, xlabel="iteration", ylim=(0, 109))
        magnify(panel, by_label(shown), column, num_steps)
        for name, value in stated.items():
            panel.axhline(value, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
            panel.annotate(
                f"P1 {name} {value:.2f} %",
                (num_steps, value),
                ha="right",
                va="bottom",
                fontsize=9,
                color="0.25",
                xytext=(0, 1),
                textcoords="offset points",
            )
    axes[0].set_ylabel("accuracy (%)")
    legend_below(figure, axes[0])
    return figure


def magnify(axes: Axes, grouped: Mapping[str, Sequence[Record]], column: str, num_steps: int) -> None:
    """Draw what crowds at the top again in an inset from 92 to 100 %, when at least two labels end there."""
    ends = {label: columns_of(records, column)[1][:, -1].mean() for label, records in grouped.items()}
    if sum(end > 92 for end in ends.values()) < 2:
        return
    inset = axes.inset_axes((0.36, 0.15, 0.62, 0.23))
    for index, (label, records) in enumerate(grouped.items()):
        if ends[label] > 92:
            band(inset, records, column, label, index)
    inset.set(xlim=(num_steps / 6, num_steps), ylim=(92, 100), xticks=[])
    inset.set_title(f"magnified, from iteration {num_steps // 6}", fontsize=8, loc="left", pad=2)
    inset.tick_params(labelsize=8)


def final_accuracies(results: Sequence[Result], statistic: str = "final") -> Figure:
    """Draw one row a label: each seed as a dot, their mean as a bar, test accuracy in percent."""
    grouped = by_label(results)
    figure, (axes,) = panels(1, height=0.34 * len(grouped) + 1.1)
    figure.set_figwidth(8)
    for row, records in enumerate(grouped.values()):
        values = [STATISTICS[statistic](record) for record in records]
        axes.barh(row, float(np.mean(values)), color=COLOURS[5], height=0.6, alpha=0.7)
        axes.plot(values, [row] * len(values), ".", color="black", markersize=5)
        axes.annotate(f"{np.mean(values):.2f}{divergence(records)}", (101, row), va="center", fontsize=9)
    axes.set(xlim=(0, 110), xlabel="final test accuracy (%); dots are seeds", yticks=range(len(grouped)))
    axes.set_yticklabels(list(grouped))
    axes.set_xticks(range(0, 101, 20))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def schedules(budgets: Mapping[str, Budget], num_steps: int, sensitivity: float, clamp: tuple[float, float]) -> Figure:
    """Draw Eq. (4), the budget of each iteration, and the Laplace scale that Eq. (3) makes of it.

    Args:
        budgets: by name.
        num_steps: T.
        sensitivity: Delta f.
        clamp: Table I's initial value and minimum of the scale, drawn as dotted lines.
    """
    figure, (left, right) = panels(2)
    steps = range(1, num_steps + 1)
    for index, (name, budget) in enumerate(budgets.items()):
        epsilons = [step_epsilon(t, budget) for t in steps]
        scales = [laplace_scale(sensitivity, epsilon) for epsilon in epsilons]
        left.plot(steps, epsilons, label=name, **style(index))
        right.plot(steps, scales, label=name, **style(index))
    for bound, name, side in zip(clamp, ("initial", "minimum"), ("top", "bottom"), strict=True):
        right.axhline(bound, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
        right.annotate(f"Table I {name} {bound:g}", (1, bound), ha="left", va=side, fontsize=9)
    left.set(title="Eq. (4): budget", xlabel="iteration t", ylabel="budget of one iteration", ylim=(0, None))
    right.set(title="Eq. (3): Laplace scale", xlabel="iteration t", ylabel="scale Δf / ε_t", ylim=(0, None))
    left.legend(frameon=False)
    return figure


def bowl_paths(paths: Mapping[str, Path]) -> Figure:
    """Draw descents on the two-weight bowl, over its level lines, and the step size of each."""
    figure, (left, right) = panels(2, height=4.0)
    x, y = np.meshgrid(np.linspace(-3.6, 2.6, 80), np.linspace(-1.9, 1.9, 60))
    level = (float(CURVATURE[0]) * x**2 + float(CURVATURE[1]) * y**2) / 2
    left.contour(x, y, level, levels=[0.1, 0.5, 1.5, 3, 5, 8], colors="0.8", linewidths=0.8)
    for index, (name, path) in enumerate(paths.items()):
        weights = path.weights.numpy()
        left.plot(*weights.T, marker=".", markersize=5, linewidth=1.2, label=name, **style(index))
        steps = np.arange(1, len(path.step_sizes) + 1)
        right.plot(steps, path.step_sizes.numpy(), marker=".", label=name, **style(index))
    left.plot(0, 0, "k*", markersize=9)
    left.set(title="weights, star: minimum", xlabel="w₁", ylabel="w₂", xlim=(-3.6, 2.6), ylim=(-1.9, 1.9))
    left.grid(visible=False)
    right.set(title="step size", xlabel="iteration", ylabel="step size (log)", yscale="log")
    right.legend(fontsize=8, frameon=False)
    return figure


def step_sizes(results: Sequence[Result]) -> Figure:
    """Draw the step size and the test accuracy of each label against the iteration, mean over seeds."""
    figure, (left, right) = panels(2, height=4.4)
    for index, (label, records) in enumerate(by_label(results).items()):
        band(right, records, "test_accuracy", label, index)
        steps, values = columns_of(records, "step_size")
        left.plot(steps[1:], values.mean(axis=0)[1:], label=label, **style(index))  # step 0 has no step size
    left.set(title="step size", xlabel="iteration", ylabel="step size (log)", yscale="log")
    right.set(title="test accuracy", xlabel="iteration", ylabel="accuracy (%)", ylim=(0, 103))
    legend_below(figure, right)
    return figure
