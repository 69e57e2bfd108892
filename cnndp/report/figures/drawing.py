"""What all figures share. Every function of this folder returns a figure, and none touches matplotlib's global state.

Runs and their histories are frames of `runs.frames`.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnndp.report.figures.said import describe, description, finals
from cnndp.report.intervals import paired_interval
from cnndp.report.numbers import divergence
from cnndp.report.tables import by_label

# Okabe and Ito's colours, told apart by most colour-blind readers; line styles repeat the distinction.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
LINES = ("-", "--", "-.", ":")
# Of each name of a run: its colour and its marker, the same on every page. A circle is a paper's number or the choice
# of a tuning, and a cross a run that diverged, so neither is a method's marker. Two names share a colour only where no
# figure draws both.
STAR = (4, 1, 0)  # of four points
METHODS: dict[str, tuple[str, Any]] = {
    "noise-free": ("#000000", "s"),
    "CNN": ("#56B4E9", "v"),
    "CNN+L2": ("#E69F00", "<"),
    "CNN-DP": ("#009E73", "D"),
    "CNN-DP+L2": ("#CC79A7", ">"),
    "CNN-DP-GAN": ("#0072B2", "^"),
    "CNN-DP-GAN-Polyak": ("#D55E00", "P"),
    "CNN-DP-GAN, Gaussian": ("#56B4E9", "d"),
    "CNN-DP-GAN-Polyak, Gaussian": ("#E69F00", "h"),
    "DP-SGD": ("#8A5A2B", "p"),
    "DPGDM": ("#CC79A7", "*"),
    "CDP": ("#999999", STAR),
    "scattering, linear": ("#009E73", "H"),
    "CNN, DP-SGD": ("#8A5A2B", "p"),
    "SGD": ("#8A5A2B", "p"),
    "momentum": ("#CC79A7", "*"),
    "growth": ("#0072B2", "^"),
    "Polyak": ("#D55E00", "P"),
    "zCDP": ("#999999", STAR),
    "no noise": ("#000000", "s"),
}
# Colour and line of a numerical epsilon, and the colour of a threshold or cap: one each in the whole book.
TARGETS = {
    "ε = 0.5": ("#56B4E9", ":"),
    "ε = 1": ("#0072B2", "-"),
    "ε = 2": ("#E69F00", "--"),
    "ε = 3": ("#D55E00", "--"),
    "ε = 8": ("#009E73", "-."),
    "Table II": ("#CC79A7", ":"),
}
THRESHOLDS = {
    **{0.01: "#E69F00", 0.1: "#D55E00", 0.3: "#CC79A7", 1.0: "#009E73", 3.0: "#56B4E9", 30.0: "#999999"},
    np.inf: "#0072B2",  # no cap
}
BUDGETS = (0.05, 5.0)  # of a step, in Fig. 10: the ends of the scale of their colours
# What others have published: no method of this book, so open and without a colour.
FIELD: Any = {"color": "#555555", "mfc": "none", "linestyle": "none"}
# How plotly calls the markers.
PLOTLY: dict[Any, str] = {
    **{"s": "square", "v": "triangle-down", "<": "triangle-left", "D": "diamond", ">": "triangle-right"},
    **{"^": "triangle-up", "P": "cross", "d": "diamond-tall", "h": "hexagon", "p": "pentagon", "*": "star"},
    **{STAR: "star-diamond", "H": "hexagon2"},
}
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
READINGS = {"printed": {"mfc": "white", "linestyle": ":"}}  # of a reading that shares its method's figure
NARROW = 15  # points; an axis is cut where all accuracies lie closer together
CLOSE = 85  # percent; where nothing is below, an axis is cut to what is there
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
    return describe(figure, text)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG of 256 colours: the same bytes for the same figure, so an unchanged page stays so.

    Few colours take a third of the space and look the same. The picture holds what it shows in words (`described`).

    Raises:
        ValueError: the figure carries no text.
    """
    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    picture = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    words = PngInfo()
    words.add_itxt("Description", description(figure))  # a keyword of the format for this
    picture.save(reduced, "png", optimize=True, pnginfo=words)
    return reduced.getvalue()


def described(picture: bytes) -> str:
    """Return what a PNG of `png` shows in words; "" for a picture without."""
    with Image.open(io.BytesIO(picture)) as opened:
        return str(opened.info.get("Description", ""))


def style(index: int) -> dict[str, Any]:
    """Return colour and line style of the n-th line of a panel."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}


def method_style(name: str, reading: str = "", index: int = 0) -> dict[str, Any]:
    """Return colour, marker and line of a method, the same in the whole book.

    Args:
        name: of a run, with what stands beside it after a bracket or a comma.
        reading: "printed" has open markers and a dotted line.
        index: of the line in its panel, for a name that is a setting and no method.

    >>> method_style("DPGDM")
    {'color': '#CC79A7', 'marker': '*', 'linestyle': '-'}
    >>> method_style("DPGDM", "printed")["mfc"]
    'white'
    """
    known = METHODS.get(name) or METHODS.get(name.split(" (")[0])
    if known is None:
        return {**setting_style(name, index), "marker": "."}
    colour, marker = known
    return {"color": colour, "marker": marker, "linestyle": "-", **READINGS.get(reading, {})}


def setting_style(name: str, index: int = 0) -> dict[str, Any]:
    """Return colour and line of a setting: a target's or a threshold's own, else those of the n-th line of a panel.

    >>> setting_style("cap 0.3"), setting_style("cap 0.3, de-biased")
    ({'color': '#CC79A7', 'linestyle': '-'}, {'color': '#CC79A7', 'linestyle': '--'})
    >>> setting_style("ε = 8")
    {'color': '#009E73', 'linestyle': '-.'}
    """
    if name in TARGETS:
        colour, line = TARGETS[name]
        return {"color": colour, "linestyle": line}
    cap = re.match(r"(?:cap|threshold) ([\d.]+)(, de-biased)?$|(Eq\. \(10\))", name)
    threshold = np.inf if cap and cap[3] else float(cap[1]) if cap else None
    if threshold not in THRESHOLDS:
        return style(index)
    return {"color": THRESHOLDS[threshold], "linestyle": "--" if cap and cap[2] else "-"}


def budget_colour(budget: float) -> Any:
    """Return the colour of the budget of a step, from dark for a small one to light, on a logarithmic scale.

    >>> budget_colour(0.05) == budget_colour(0.01)  # beyond the end of the scale
    True
    """
    low, high = np.log(BUDGETS)
    return mpl.colormaps["viridis"](0.9 * float(np.clip((np.log(budget) - low) / (high - low), 0, 1)))


def plotly_style(look: Mapping[str, Any]) -> dict[str, str]:
    """Return a style of this module as plotly takes it.

    >>> plotly_style({**method_style("DPGDM"), "mfc": "white", "linestyle": "--"})
    {'color': '#CC79A7', 'symbol': 'star-open', 'dash': 'dash'}
    """
    symbol = PLOTLY.get(look.get("marker"), "circle") + "-open" * ("mfc" in look)
    return {"color": look["color"], "symbol": symbol, "dash": DASHES[look["linestyle"]]}


def style_of(runs: pd.DataFrame, index: int = 0) -> dict[str, Any]:
    """Return the style of the method that a group of runs, or of their histories, is of."""
    first = runs.iloc[0]
    return method_style(first["name"], first["reading"], index)


def names_in(figure: Figure) -> set[str]:
    """Return the texts that a figure draws: of its legends, axes, titles, ticks and annotations.

    >>> figure, (axes,) = panels(1)
    >>> _ = axes.set(xlabel="iteration", title="loss")
    >>> {"iteration", "loss"} <= names_in(figure)
    True
    """
    return {text for one in figure.findobj(Text) if one.get_visible() and (text := one.get_text().strip())}


def sparse(values: Any) -> int:
    """Return every how many points of a line a marker stands, so that about eight do."""
    return max(1, len(values) // 8)


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
    axes.errorbar(points.index, points["mean"], points["std"], capsize=3, label=label, **{"marker": ".", **look})


def band(axes: Axes, history: pd.DataFrame, column: str, label: str, look: dict[str, Any]) -> None:
    """Draw the mean of a history column over seeds, and mean +- std as a band; a cross where a run diverged."""
    values = curves(history, column)
    mean, std = values.mean(axis=1, skipna=False), values.std(axis=1).fillna(0.0)
    axes.plot(
        values.index,
        mean,
        label=label + divergence(history.groupby("run").last()),
        **look,
        ms=5,
        markevery=sparse(mean),
    )
    axes.fill_between(values.index, mean - std, mean + std, color=look["color"], alpha=0.15, linewidth=0)
    for _, run in history[history["status"] == "diverged"].groupby("run"):
        end = run["last_step"].iat[-1], run[column].iat[-1]
        cross(axes, *end, look["color"])


def cross(axes: Axes, x: float, y: float, colour: str) -> None:
    """Mark where a run diverged, above all lines and whole at the edge of a panel."""
    axes.plot(x, y, "x", color=colour, markersize=10, markeredgewidth=2.5, clip_on=False, zorder=6)


def legend_below(figure: Figure, axes: Axes, columns: int = 4, fontsize: float = 9) -> None:
    """Put one legend, of the lines of `axes`, under all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=fontsize, frameon=False)


def final_accuracies(runs: pd.DataFrame) -> Figure:
    """Draw one row a label: seeds as dots, their mean as a marker with its 95 % interval, final accuracy in percent.

    Each panel of runs has its own axis, cut to what is there where all of it is close: tenths of a point would be lost
    in a full one.
    """
    frame = runs["panel"].where(runs["panel"] != "", next((name for name in runs["panel"] if name), ""))
    groups = [group for _, group in runs.groupby(frame, sort=False)]
    counts = [group["label"].nunique() for group in groups]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.36 * sum(counts) + 0.6 + 0.5 * len(groups)), layout="constrained")
        grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=counts)[:, 0]
    for axes, group in zip(grid, groups, strict=True):
        final_rows(axes, group)
    for axes in grid:
        axes.set_xlabel("final test accuracy (%)")
    grid[-1].set_xlabel("final test accuracy (%); bars: 95 % interval of the mean; dots: seeds")
    first, *others = (finals(group, 2) for group in groups)
    return describe(figure, f"Mean final test accuracy, highest first: {first}", *others)


def final_rows(axes: Axes, runs: pd.DataFrame) -> None:
    """Draw the rows of `final_accuracies` that share an axis."""
    labels = list(runs["label"].unique())
    for row, (_, group) in enumerate(by_label(runs)):
        values, look = group["test_accuracy"], style_of(group)
        axes.plot(values, [row] * len(values), ".", color="0.45", markersize=5)
        ends = paired_interval(list(values))
        if ends is not None:
            axes.plot(ends, [row, row], color=look["color"], linewidth=2, zorder=1.5)
        axes.plot(values.mean(), row, color=look["color"], marker=look["marker"], mfc=look.get("mfc"), markersize=7)
        text = f"{values.mean():.2f}{divergence(group)}"
        axes.annotate(text, (1.01, row), xycoords=axes.get_yaxis_transform(), va="center", fontsize=10)
    axes.set_yticks(range(len(labels)), labels)
    if np.ptp(runs["test_accuracy"]) > NARROW or runs["test_accuracy"].min() < NARROW:
        axes.set(xlim=(0, 103), xticks=range(0, 101, 20))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
