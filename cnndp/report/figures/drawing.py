"""What all figures share. Every function of this folder returns a figure, and none touches matplotlib's global state.

Runs and their histories are frames of `runs.frames`.
"""

import io
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cnndp.report.numbers import divergence
from cnndp.report.tables import by_label

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


def curves(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of histories, a row an iteration and a column a run.

    A run that diverged has a shorter history; its last value stands for the rest.
    """
    longest = history.loc[history["run"] == history["run"].mode().iat[0], "iteration"]
    table = history.pivot(index="point", columns="run", values=column)
    lengths = history.groupby("run")["point"].max()
    for run, last in lengths[lengths < table.index.max()].items():
        table.loc[last + 1 :, run] = table.loc[last, run]
    return table.set_axis(longest, axis="index").astype(float)


def spreads(runs: pd.DataFrame, by: str, column: str = "test_accuracy") -> pd.DataFrame:
    """Return mean and standard deviation over seeds, a row a value of `by`; 0 stands for that of a single seed."""
    return runs.groupby(by)[column].agg(["mean", "std"]).fillna(0.0)


def error_line(axes: Axes, runs: pd.DataFrame, by: str, label: str, **look: Any) -> None:
    """Draw mean +- std of the final test accuracy over seeds against a column, as one line."""
    points = spreads(runs, by)
    axes.errorbar(points.index, points["mean"], points["std"], marker=".", capsize=3, label=label, **look)


def band(axes: Axes, history: pd.DataFrame, column: str, label: str, index: int) -> None:
    """Draw the mean of a history column over seeds, and mean +- std as a band; a cross where a run diverged."""
    values = curves(history, column)
    mean, std = values.mean(axis=1, skipna=False), values.std(axis=1).fillna(0.0)
    axes.plot(values.index, mean, label=label + divergence(history.groupby("run").last()), **style(index))
    axes.fill_between(values.index, mean - std, mean + std, color=style(index)["color"], alpha=0.15, linewidth=0)
    for _, run in history[history["status"] == "diverged"].groupby("run"):
        end = run["last_step"].iat[-1], run[column].iat[-1]
        axes.plot(*end, "x", color=style(index)["color"], markersize=9, markeredgewidth=2)


def legend_below(figure: Figure, axes: Axes, columns: int = 4, fontsize: float = 9) -> None:
    """Put one legend, of the lines of `axes`, under all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=fontsize, frameon=False)


def final_accuracies(runs: pd.DataFrame) -> Figure:
    """Draw one row a label: each seed as a dot, their mean as a bar, final test accuracy in percent."""
    labels = list(runs["label"].unique())
    figure, (axes,) = panels(1, height=0.34 * len(labels) + 1.1)
    figure.set_figwidth(8)
    for row, (_, group) in enumerate(by_label(runs)):
        values = group["test_accuracy"]
        axes.barh(row, values.mean(), color=COLOURS[5], height=0.6, alpha=0.7)
        axes.plot(values, [row] * len(values), ".", color="black", markersize=5)
        axes.annotate(f"{values.mean():.2f}{divergence(group)}", (101, row), va="center", fontsize=9)
    axes.set(xlim=(0, 110), xlabel="final test accuracy (%); dots are seeds", yticks=range(len(labels)))
    axes.set_yticklabels(labels)
    axes.set_xticks(range(0, 101, 20))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure
