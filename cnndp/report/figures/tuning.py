"""Figures of the tuning pages and of the private reading: accuracy against the rate, the cap, and numerical epsilon."""

import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cnndp.report.figures.drawing import STYLE, band, legend_below, mean_and_std, nothing, panels, style
from cnndp.report.tables import STATISTICS, by_label
from cnndp.report.verdicts import diverged_at
from cnndp.runs.experiment import Result

PRIVATE = re.compile(r"(?P<name>.+) \((?P<panel>private, [^)]+)\)")
CLOSE = 85  # percent; where nothing is below, the axis is cut to what is there
SINGLE = 6.5  # inches, of a single panel: room for the legend below it
EXACT = re.compile(r"(?P<name>.+), (?P<panel>ε = [^,]+)")


def panel_and_name(label: str) -> tuple[str, str]:
    """Return the panel that a label belongs to ("" where there is one) and the name of its line.

    >>> panel_and_name("DP-SGD (private, ε = 8)"), panel_and_name("no clip: SGD"), panel_and_name("CDP")
    (('private, ε = 8', 'DP-SGD'), ('no clip', 'SGD'), ('', 'CDP'))
    >>> panel_and_name("growth 2, ε = 3")
    ('ε = 3', 'growth 2')
    """
    found = PRIVATE.fullmatch(label) or EXACT.fullmatch(label)
    if found:
        return found["panel"], found["name"]
    panel, colon, name = label.partition(": ")
    return (panel, name) if colon else ("", label)


def by_rate(results: Sequence[Result]) -> Figure:
    """Draw accuracy against the rate (the cap, for a Polyak step), one line a method and one panel a setting.

    A single method has one panel, with one line a setting. A cross marks a rate at which a run diverged.

    Args:
        results: of a tuning section, labels "NAME, rate X".
    """
    curves: dict[str, dict[str, dict[float, list[float]]]] = {}
    stopped: set[tuple[str, float]] = set()
    for label, records in by_label(results).items():
        name, _, rate = label.rpartition(", rate ")
        panel, line = panel_and_name(name)
        values = [STATISTICS["final"](record) for record in records]
        if diverged_at(records):
            stopped.add((line, float(rate)))
        curves.setdefault(panel, {}).setdefault(line, {})[float(rate)] = values
    names = list(dict.fromkeys(line for lines in curves.values() for line in lines))  # one style in all panels
    if len(names) == 1 < len(curves):
        curves = {"": {panel: points for panel, lines in curves.items() for points in lines.values()}}
        names = list(curves[""])
    finals = [
        value for lines in curves.values() for points in lines.values() for one in points.values() for value in one
    ]
    room = 0.05 * (max(finals) - min(finals)) + 0.05
    # Tenths of a point would be lost in a full axis.
    limits = (0, 103) if min(finals) < CLOSE else (min(finals) - room, max(finals) + room)
    figure, axes = panels(len(curves), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, (panel, lines) in zip(axes, curves.items(), strict=True):
        for line, points in lines.items():
            index = names.index(line)
            rates = sorted(points)
            means = [float(np.mean(points[rate])) for rate in rates]
            axis.plot(rates, means, marker=".", label=line, **style(index))
            crosses = [(rate, mean) for rate, mean in zip(rates, means, strict=True) if (line, rate) in stopped]
            for cross in crosses:
                axis.plot(*cross, "x", color=style(index)["color"], markersize=9, markeredgewidth=2)
            best = int(np.argmax(means))
            axis.plot(rates[best], means[best], "o", mfc="none", color=style(index)["color"], markersize=9)
        axis.set(xscale="log", xlabel="rate or cap (log)", title=panel, ylim=limits)
        axis.grid(axis="x", which="minor", visible=False)
    axes[0].set_ylabel("accuracy on validation images (%)")
    handles = {handle.get_label(): handle for axis in axes for handle in axis.get_legend_handles_labels()[0]}
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=3 if len(curves) == 1 else 4,
        fontsize=9,
        frameon=False,
    )
    return figure


def by_epsilon(results: Sequence[Result]) -> Figure:
    """Draw test accuracy against the iteration, one panel an epsilon, one line a method, mean +- std over seeds.

    Args:
        results: of section private_fig07_08; runs that are not private are drawn in every panel.
    """
    grouped = by_label(results)
    parsed = {label: panel_and_name(label) for label in grouped}
    titles = list(dict.fromkeys(panel for panel, _ in parsed.values() if panel))
    figure, axes = panels(max(1, len(titles)), height=4.6, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, title in zip(axes, titles or [""], strict=True):
        shown = [label for label, (panel, _) in parsed.items() if panel in ("", title)]
        for index, label in enumerate(shown):
            band(axis, grouped[label], "test_accuracy", parsed[label][1], index)
        axis.set(title=title.replace("private, ", "numerical "), xlabel="iteration", ylim=(0, 103))
    axes[0].set_ylabel("test accuracy (%)")
    legend_below(figure, axes[0], columns=4 if len(axes) > 1 else 2)
    return figure


def by_cap(results: Sequence[Result]) -> Figure:
    """Draw final test accuracy against the cap of the private Polyak step, one line a budget, one panel a mechanism.

    Args:
        results: of section private_fig10.
    """
    curves: dict[str, dict[tuple[float, float], dict[float, list[float]]]] = {"laplace": {}, "gaussian": {}}
    for label, record in results:
        found = re.fullmatch(r".*, budget (\S+) \(private\)", label)
        if found:
            key = float(found[1]), record["privacy"]["exact_epsilon"]
            points = curves[record["config"]["mechanism"]].setdefault(key, {})
            points.setdefault(record["config"]["max_step"], []).append(STATISTICS["final"](record))
    curves = {mechanism: lines for mechanism, lines in curves.items() if lines}
    if not curves:
        return nothing("Not drawn: no private run with a cap is at hand; add 'cnn_dp_gan_polyak' to methods.")
    figure, axes = panels(len(curves), height=4.4, sharey=True)
    figure.set_figwidth(max(SINGLE, figure.get_figwidth()))
    for axis, (mechanism, lines) in zip(axes, curves.items(), strict=True):
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, max(1, len(lines))))
        for ((budget, exact), points), colour in zip(sorted(lines.items()), colours, strict=False):
            caps = sorted(points)
            means, spreads = zip(*(mean_and_std(points[cap]) for cap in caps), strict=True)
            label = f"{budget:g} a step, numerical ε = {exact:.3g}"
            axis.errorbar(caps, means, spreads, marker=".", capsize=3, color=colour, label=label)
        axis.set(xscale="log", xlabel="cap (log)", title=f"{mechanism.title()} noise", ylim=(0, 103))
        with mpl.rc_context(STYLE):
            axis.legend(fontsize=8.5, frameon=False)
    axes[0].set_ylabel("final test accuracy (%)")
    return figure
