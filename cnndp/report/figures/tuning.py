"""Figures of the tuning pages and of the private reading: accuracy against the rate, the cap, and numerical epsilon."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnndp.papers.sections.labels import sized
from cnndp.report.figures.drawing import STYLE, band, error_line, legend_below, nothing, panels, style

CLOSE = 85  # percent; where nothing is below, the axis is cut to what is there
SINGLE = 6.5  # inches, of a single panel: room for the legend below it


def by_rate(runs: pd.DataFrame) -> Figure:
    """Draw accuracy against the rate (the cap, for a Polyak step), one line a method and one panel a setting.

    A single method has one panel, with one line a setting. A cross marks a rate at which a run diverged.

    Args:
        runs: of a tuning section.
    """
    shown = runs.assign(
        frame=runs["panel"].where(runs["panel"] != "", runs["target"]),
        line=list(map(sized, runs["name"], runs["projection"].astype(object).where(runs["projection"].notna(), None))),
    )
    if shown["line"].nunique() == 1 < shown["frame"].nunique():
        shown = shown.assign(line=shown["frame"], frame="")
    names = list(shown["line"].unique())  # one style in all panels
    finals = shown["test_accuracy"]
    room = 0.05 * (finals.max() - finals.min()) + 0.05
    # Tenths of a point would be lost in a full axis.
    limits = (0, 103) if finals.min() < CLOSE else (finals.min() - room, finals.max() + room)
    figure, axes = panels(shown["frame"].nunique(), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, (title, lines) in zip(axes, shown.groupby("frame", sort=False), strict=True):
        for line, group in lines.groupby("line", sort=False):
            look, means = style(names.index(line)), group.groupby("rate")["test_accuracy"].mean()
            axis.plot(means.index, means, marker=".", label=line, **look)
            stopped = means[means.index.isin(group.loc[group["status"] == "diverged", "rate"])]
            axis.plot(stopped.index, stopped, "x", color=look["color"], markersize=9, markeredgewidth=2)
            axis.plot(means.idxmax(), means.max(), "o", mfc="none", color=look["color"], markersize=9)
        axis.set(xscale="log", xlabel="rate or cap (log)", title=title, ylim=limits)
        axis.grid(axis="x", which="minor", visible=False)
    axes[0].set_ylabel("accuracy on validation images (%)")
    handles = {handle.get_label(): handle for axis in axes for handle in axis.get_legend_handles_labels()[0]}
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=3 if len(axes) == 1 else 4,
        fontsize=9,
        frameon=False,
    )
    return figure


def by_epsilon(history: pd.DataFrame) -> Figure:
    """Draw test accuracy against the iteration, one panel an epsilon, one line a method, mean +- std over seeds.

    Args:
        history: of section private_fig07_08; runs that are not private are drawn in every panel.
    """
    targets = [target for target in history["target"].unique() if target]
    figure, axes = panels(max(1, len(targets)), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, target in zip(axes, targets or [""], strict=True):
        shown = history[history["target"].isin(["", target])]
        for index, (name, group) in enumerate(shown.groupby("name", sort=False)):
            band(axis, group, "test_accuracy", name, index)
        axis.set(title=target and f"numerical {target}", xlabel="iteration", ylim=(0, 103))
    axes[0].set_ylabel("test accuracy (%)")
    legend_below(figure, axes[0], columns=4 if len(axes) > 1 else 2)
    return figure


def by_cap(runs: pd.DataFrame) -> Figure:
    """Draw final test accuracy against the cap of the private Polyak step, one line a budget, one panel a mechanism.

    Args:
        runs: of section private_fig10.
    """
    capped = runs[runs["budget"].notna()]
    if capped.empty:
        return nothing("Not drawn: no private run with a cap is at hand; add 'cnn_dp_gan_polyak' to methods.")
    mechanisms = sorted(capped["mechanism"].unique(), reverse=True)  # Laplace first
    figure, axes = panels(len(mechanisms), height=4.4, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, mechanism in zip(axes, mechanisms, strict=True):
        lines = capped[capped["mechanism"] == mechanism].groupby(["budget", "exact_epsilon"])
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, lines.ngroups))
        for ((budget, exact), group), colour in zip(lines, colours, strict=True):
            error_line(axis, group, "max_step", f"{budget:g} a step, numerical ε = {exact:.3g}", color=colour)
        axis.set(xscale="log", xlabel="cap (log)", title=f"{mechanism.title()} noise", ylim=(0, 103))
        with mpl.rc_context(STYLE):
            axis.legend(fontsize=8.5, frameon=False)
    axes[0].set_ylabel("final test accuracy (%)")
    return figure
