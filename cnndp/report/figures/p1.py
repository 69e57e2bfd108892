"""P1's Figs. 8 to 10 from records."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnndp.equations.budget import Budget, total_epsilon
from cnndp.papers.sections.p1 import THRESHOLDS
from cnndp.papers.sections.private import name_of
from cnndp.report.figures.drawing import COLOURS, STYLE, columns_of, legend_below, mean_and_std, nothing, panels, style
from cnndp.report.tables import budget_of, by_label
from cnndp.runs.experiment import Result
from cnndp.runs.store import Record

SAME = name_of("", None)  # on all labels of Fig. 9 under the private reading
REFERENCE = "noise-free"


def accuracy_lost(results: Sequence[Result], stated: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw Fig. 8: points of accuracy below the same network without noise, on training (a) and test images (b).

    Args:
        results: of section fig08_loss, seeds paired with those of the noise-free runs.
        stated: P1's numbers by panel ("train", "test") and label, drawn as open circles at the last step.
    """
    grouped = by_label(results)
    if REFERENCE not in grouped:
        return nothing("Not drawn: losses are against the network without noise; add 'cnn' to methods.")
    figure, axes = panels(2, height=4.2, sharey=True)
    reference = {record["config"]["seed"]: record for record in grouped[REFERENCE]}
    labels = [label for label in grouped if label != REFERENCE and "printed" not in label]
    if not labels:
        return nothing("Not drawn: no method with noise is among the runs at hand.")
    for panel, part, title in zip(axes, ("train", "test"), ("(a) training images", "(b) test images"), strict=True):
        for index, label in enumerate(labels):
            steps, lost = losses(grouped[label], reference, f"{part}_accuracy")
            mean, spread = mean_and_std(lost)
            panel.plot(steps, mean, label=label, **style(index))
            panel.fill_between(steps, mean - spread, mean + spread, alpha=0.15, color=COLOURS[index])
            if label in stated.get(part, {}):
                panel.plot(steps[-1], stated[part][label], "o", mfc="white", color=COLOURS[index], clip_on=False)
        panel.set(title=title, xlabel="iteration")
        panel.axhline(0, color="0.35", linewidth=0.8)
    axes[0].set_ylabel("accuracy lost (points)")
    legend_below(figure, axes[0])
    return figure


def losses(
    records: Sequence[Record], reference: Mapping[int, Record], column: str
) -> tuple[list[int], NDArray[np.float64]]:
    """Return the steps, and for each seed how far it is below the noise-free run of that seed."""
    paired = [record for record in records if record["config"]["seed"] in reference]
    steps, values = columns_of(paired, column)
    _, best = columns_of([reference[record["config"]["seed"]] for record in paired], column)
    return steps, best - values


def by_length(results: Sequence[Result], stated: Mapping[str, float]) -> Figure:
    """Draw Fig. 9: final test accuracy against T (left), and its mean over all T with a record (right).

    Args:
        results: of section fig09_comparison or private_fig09, labels "METHOD, T = ...".
        stated: P1's means over T by method, drawn as open circles.
    """
    finals: dict[str, dict[int, list[float]]] = {}
    for label, record in results:
        name = label.rsplit(", T = ", 1)[0].removesuffix(SAME)
        if "printed" not in name and "total" not in name:
            per_length = finals.setdefault(name, {})
            per_length.setdefault(record["config"]["num_steps"], []).append(record["final"]["test_accuracy"])
    if not finals:
        return nothing("Not drawn: no reconstructed run is among those at hand; the table has the printed ones.")
    figure, (left, right) = panels(2, height=4.4)
    for index, (name, per_length) in enumerate(finals.items()):
        lengths = sorted(per_length)
        means, spreads = zip(*(mean_and_std(per_length[length]) for length in lengths), strict=True)
        left.errorbar(range(len(lengths)), means, spreads, marker=".", capsize=3, label=name, **style(index))
        right.barh(index, float(np.mean(means)), color=COLOURS[index % len(COLOURS)], height=0.6)
        right.annotate(f"{np.mean(means):.1f}", (102, index), va="center", fontsize=9)
        if name in stated:
            right.plot(stated[name], index, "o", mfc="white", color="black")
    left.set(xlabel="iterations T", ylabel="final test accuracy (%)", title="for each T", xticks=range(len(lengths)))
    left.set_xticklabels([str(length) for length in lengths])
    over = "mean over T" if len(lengths) > 1 else f"T = {lengths[0]}"
    circles = "; circles: P1" if len(lengths) > 1 else ";\ncircles: P1's mean over T"
    right.set(
        xlabel="test accuracy (%)", title=over + (circles if stated else ""), yticks=range(len(finals)), xlim=(0, 112)
    )
    right.set_yticklabels(list(finals))
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    legend_below(figure, left)
    return figure


def thresholds(results: Sequence[Result]) -> Figure:
    """Draw Fig. 10: test accuracy against the iteration, one panel a threshold, one line a budget of a step."""
    grouped = by_label(results)
    if not any(label.startswith("threshold") for label in grouped):
        return nothing("Not drawn: no run with a threshold is at hand; add 'cnn_dp_gan_polyak' to methods.")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.8), layout="constrained")
        axes = figure.subplots(1, len(THRESHOLDS), sharey=True)
    budgets = sorted({budget_of(records[0]) for label, records in grouped.items() if label.startswith("threshold")})
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(budgets)))
    for panel, threshold, letter in zip(axes, THRESHOLDS, "abc", strict=True):
        for budget, colour in zip(budgets, colours, strict=True):
            records = grouped.get(f"threshold {threshold:g}, budget {budget:g}")
            if records:
                steps, values = columns_of(records, "test_accuracy")
                panel.plot(steps, values.mean(axis=0), color=colour, label=f"{budget:g}")
        if REFERENCE in grouped:
            steps, values = columns_of(grouped[REFERENCE], "test_accuracy")
            panel.plot(steps, values.mean(axis=0), color="0.5", linestyle=":", label=REFERENCE)
        panel.set(title=f"({letter}) threshold {threshold:g}", xlabel="iteration", ylim=(0, 103))
    axes[0].set_ylabel("test accuracy (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=8, fontsize=9, frameon=False, title="budget of a step"
    )
    return figure


def interaction(results: Sequence[Result]) -> Figure:
    """Draw final accuracy against the budget of a step, one line a threshold: crossing lines are an interaction."""
    grouped = by_label(results)
    if not any(label.startswith("threshold") for label in grouped):
        return nothing("Not drawn: no run with a threshold is at hand.")
    figure, (axes,) = panels(1, height=3.6)
    figure.set_figwidth(6.5)
    for index, threshold in enumerate(THRESHOLDS):
        chosen = [records for label, records in grouped.items() if label.startswith(f"threshold {threshold:g}, ")]
        finals = [[record["final"]["test_accuracy"] for record in records] for records in chosen]
        means, spreads = zip(*map(mean_and_std, finals), strict=True)
        budgets = [budget_of(records[0]) for records in chosen]
        axes.errorbar(budgets, means, spreads, marker=".", capsize=3, label=f"threshold {threshold:g}", **style(index))
    axes.set(xscale="log", xlabel="budget of a step (log)", ylabel="final test accuracy (%)")
    axes.legend(fontsize=9, frameon=False)
    return figure


def fits(budgets: Mapping[str, Budget], stated: Mapping[int, float]) -> Figure:
    """Draw Table II's totals as circles, and P1's sum with each of `budgets` as a line."""
    figure, (axes,) = panels(1, height=3.6)
    figure.set_figwidth(6.5)
    steps = np.arange(1, round(1.05 * max(stated)))
    for index, (name, budget) in enumerate(budgets.items()):
        axes.plot(steps, [total_epsilon(int(step), budget) for step in steps], label=name, **style(index))
    axes.plot(list(stated), list(stated.values()), "o", mfc="white", color="black", label="Table II")
    axes.set(xlabel="iterations T", ylabel="total budget")
    axes.legend(fontsize=9, frameon=False)
    return figure
