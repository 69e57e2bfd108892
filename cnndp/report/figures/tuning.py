"""Figures of the tuning pages and of the private reading: accuracy against the rate, the cap, and numerical epsilon."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnndp.papers.sections.labels import sized
from cnndp.report.figures.drawing import (
    CLOSE,
    STYLE,
    band,
    budget_colour,
    cross,
    curves,
    error_line,
    legend_below,
    method_style,
    nothing,
    panels,
    setting_style,
    style_of,
)
from cnndp.report.figures.said import describe, ranked, short

MANY = 5  # methods in several panels are drawn apart, one panel a method: their lines would coincide
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
    if len(names) > MANY and shown["frame"].nunique() > 1:
        return apart(shown, names)
    limits = limits_of(shown["test_accuracy"])
    figure, axes = panels(shown["frame"].nunique(), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, (title, lines) in zip(axes, shown.groupby("frame", sort=False), strict=True):
        for line, group in lines.groupby("line", sort=False):
            look, means = method_style(line, "", names.index(line)), group.groupby("rate")["test_accuracy"].mean()
            axis.plot(means.index, means, label=line, **look, ms=5)
            mark(axis, group, means, look["color"], ring=11)
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
    return describe(figure, *best_rates(shown))


def best_rates(shown: pd.DataFrame) -> list[str]:
    """Return a sentence for each panel of `by_rate`: the highest accuracy of each line and its rate.

    Args:
        shown: tuning runs, with the `frame` and the `line` of each.
    """
    said = []
    for frame, runs in shown.groupby("frame", sort=False):
        best, rates = {}, {}
        for line, group in runs.groupby("line", sort=False):
            means = group.groupby("rate")["test_accuracy"].mean()
            best[line] = float(means.max())
            rates[line] = f"rate {short(means.idxmax())}"
        said.append(f"{frame and f'{frame}: '}{ranked(best, rates, most=5)}")
    return ["Best accuracy on validation images of each line", *said]


def mark(axis: Axes, group: pd.DataFrame, means: pd.Series, colour: str, ring: float) -> None:
    """Put a cross where a run diverged, and a ring around the best rate.

    Args:
        axis: where the line is drawn.
        group: the runs of the line.
        means: their mean accuracy by rate.
        colour: of the line.
        ring: its size.
    """
    for rate in group.loc[group["status"] == "diverged", "rate"].unique():
        cross(axis, rate, means[rate], colour)
    axis.plot(means.idxmax(), means.max(), "o", mfc="none", color=colour, markersize=ring)


def limits_of(finals: pd.Series) -> tuple[float, float]:
    """Return the ends of an axis of accuracies: tenths of a point would be lost in a full one.

    >>> limits_of(pd.Series([10.0, 90.0])), [round(end, 2) for end in limits_of(pd.Series([97.0, 98.0]))]
    ((0, 103), [96.9, 98.1])
    """
    least, most = float(finals.min()), float(finals.max())
    room = 0.05 * (most - least) + 0.05
    return (0, 103) if least < CLOSE else (least - room, most + room)


def apart(shown: pd.DataFrame, names: list[str]) -> Figure:
    """Draw a panel a method and a line a setting, all on one pair of axes; rings and crosses as in `by_rate`."""
    columns, frames = 3, list(shown["frame"].unique())
    rows = -(-len(names) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 2.3 * rows + 0.8), layout="constrained")
        grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axis, name in zip(grid, names, strict=False):
        for index, frame in enumerate(frames):
            group = shown[(shown["line"] == name) & (shown["frame"] == frame)]
            if group.empty:
                continue
            means, look = group.groupby("rate")["test_accuracy"].mean(), setting_style(frame, index)
            axis.plot(means.index, means, marker=".", label=frame, **look)
            mark(axis, group, means, look["color"], ring=10)
        axis.set(xscale="log", ylim=limits_of(shown["test_accuracy"]))
        axis.xaxis.set_major_formatter("{x:g}")  # exponents would be too small to read
        axis.set_title(name, fontsize=11)
        axis.grid(axis="x", which="minor", visible=False)
    for axis in grid[len(names) :]:
        axis.set_visible(False)
    for column in range(columns):  # the lowest panel that is drawn carries the ticks
        lowest = max(place for place in range(len(names)) if place % columns == column)
        grid[lowest].tick_params(labelbottom=True)
        grid[lowest].set_xlabel("rate or cap (log)")
    figure.supylabel("accuracy on validation images (%)", fontsize=11)
    legend_below(figure, grid[0])
    return describe(figure, *best_rates(shown))


def by_epsilon(history: pd.DataFrame) -> Figure:
    """Draw test accuracy against the iteration, one panel an epsilon, one line a method, mean +- std over seeds.

    Args:
        history: of section private_fig07_08; runs that are not private are drawn in every panel.
    """
    targets = [target for target in history["target"].unique() if target]
    figure, axes = panels(max(1, len(targets)), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    said = []
    for axis, target in zip(axes, targets or [""], strict=True):
        shown = history[history["target"].isin(["", target])]
        lasts = {}
        for index, (name, group) in enumerate(shown.groupby("name", sort=False)):
            band(axis, group, "test_accuracy", name, style_of(group, index))
            lasts[name] = float(curves(group, "test_accuracy").iloc[-1].mean())
        said.append(f"Mean test accuracy at the last iteration{target and f', {target}'}: {ranked(lasts)}")
        axis.set(title=target and f"numerical {target}", xlabel="iteration", ylim=(0, 103))
    axes[0].set_ylabel("test accuracy (%)")
    legend_below(figure, axes[0], columns=4 if len(axes) > 1 else 2)
    return describe(figure, *said)


def by_cap(runs: pd.DataFrame) -> Figure:
    """Draw final test accuracy against the cap of the private Polyak step, one line a budget, one panel a mechanism.

    Args:
        runs: of section private_fig10.
    """
    capped = runs[runs["budget"].notna()]
    if capped.empty:
        return nothing("Not drawn: no private run with a cap is at hand; add 'cnn_dp_gan_polyak' to methods.")
    mechanisms = sorted(capped["mechanism"].unique(), reverse=True)  # Laplace first
    by = "cap_factor" if capped["cap_factor"].notna().all() else "max_step"
    figure, axes = panels(len(mechanisms), height=4.4, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    budgets = sorted(capped["budget"].unique())
    said = []
    for axis, mechanism in zip(axes, mechanisms, strict=True):
        best = {}
        for budget, group in capped[capped["mechanism"] == mechanism].groupby("budget"):
            error_line(axis, group, by, f"{budget:g} a step", color=budget_colour(budget))
            means = group.groupby(by)["test_accuracy"].mean()
            best[f"cap {short(means.idxmax())}, budget {budget:g}:"] = float(means.max())
        said.append(f"{mechanism.title()} noise: {ranked(best)}")
        axis.set(
            xscale="log",
            xlabel="cap / its reference (log)" if by == "cap_factor" else "cap (log)",
            title=f"{mechanism.title()} noise",
            ylim=(0, 103),
        )
    axes[0].set_ylabel("final test accuracy (%)")
    handles = {handle.get_label(): handle for axis in axes for handle in axis.get_legend_handles_labels()[0]}
    names = {f"{budget:g} a step": epsilons_of(capped[capped["budget"] == budget]) for budget in budgets}
    texts = [f"{name}, numerical ε = {epsilons}" for name, epsilons in names.items()]
    lines = [handles[name] for name in names]
    figure.legend(lines, texts, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return describe(figure, "Best mean final test accuracy of each budget of a step, with its cap", *said)


def epsilons_of(runs: pd.DataFrame) -> str:
    """Return the numerical epsilons of runs, as one number or as a range."""
    ends = dict.fromkeys(f"{epsilon:.3g}" for epsilon in (runs["exact_epsilon"].min(), runs["exact_epsilon"].max()))
    return " to ".join(ends)
