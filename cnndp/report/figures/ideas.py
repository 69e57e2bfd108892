"""Figures of what survives: differences with their intervals, and accuracy against the cap and the dimension."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnndp.report.figures.drawing import COLOURS, error_line, legend_below, panels, setting_style, spreads, style_of
from cnndp.report.figures.said import describe, ends


def forest(found: pd.DataFrame) -> Figure:
    """Draw each comparison of `survive.effects` with its 95 % interval, one panel an epsilon; the dots are seeds."""
    epsilons, names = sorted(found["epsilon"].unique()), list(found["what"].unique())
    figure, axes = panels(len(epsilons), height=0.38 * len(names) + 1.2, sharey=True)
    for panel, (epsilon, group) in zip(axes, found.groupby("epsilon"), strict=True):
        for effect in group.itertuples():
            row = names.index(effect.what)
            panel.plot([effect.low, effect.high], [row, row], color=COLOURS[0], linewidth=2)
            panel.plot(effect.mean, row, "D", color=COLOURS[0], markersize=6)
            panel.plot(effect.pairs, [row] * len(effect.pairs), ".", color="0.45", markersize=4)
        panel.axvline(0, color="0.35", linewidth=0.8)
        panel.set(title=f"numerical ε = {epsilon:g}", xlabel="difference (points)", yticks=range(len(names)))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6))  # fractions of a point
    axes[0].set_yticklabels(names)
    axes[0].invert_yaxis()
    said = [f"At ε = {epsilon:g}: {differences(group)}" for epsilon, group in found.groupby("epsilon")]
    return describe(figure, "Difference in points with its 95 % interval", *said)


def differences(found: pd.DataFrame) -> str:
    """Return each difference with its interval, and whether that holds 0."""
    return "; ".join(
        f"{one.what} {one.mean:+.2f}, {one.low:.2f} to {one.high:.2f}"
        f" ({'not told from 0' if one.low <= 0 <= one.high else 'better' if one.low > 0 else 'worse'})"
        for one in found.itertuples()
    )


def by_cap(runs: pd.DataFrame) -> Figure:
    """Draw accuracy against the cap, one line an epsilon, mean +- std over seeds."""
    figure, (axes,) = panels(1, height=4.0)
    figure.set_figwidth(6.5)
    said = []
    for index, (epsilon, group) in enumerate(runs.groupby("target_epsilon")):
        name = f"ε = {epsilon:g}"
        error_line(axes, group, "rate", f"numerical {name}", **setting_style(name, index))
        said.append(f"{name}: {ends(spreads(group, 'rate')['mean'], at='cap ')}")
    axes.set(xscale="log", xlabel="cap (log)", ylabel="accuracy on validation images (%)")
    axes.legend(fontsize=9, frameon=False)
    return describe(figure, "Mean accuracy on validation images", *said)


def by_dimension(runs: pd.DataFrame) -> Figure:
    """Draw final test accuracy against the dimension, Gaussian and Laplace, one panel an epsilon, mean +- std."""
    figure, axes = panels(runs["target_epsilon"].nunique(), height=4.0, sharey=True)
    said = []
    for panel, (epsilon, lines) in zip(axes, runs.groupby("target_epsilon"), strict=True):
        for index, (noise, group) in enumerate(lines.groupby("name", sort=False)):
            error_line(panel, group, "projection", noise, **style_of(group, index))
            said.append(f"{noise} noise at ε = {epsilon:g}: {ends(spreads(group, 'projection')['mean'], at='d = ')}")
            sizes = sorted(set(group["projection"].astype(int)))
        panel.set(xscale="log", xlabel="dimension d (log)", title=f"numerical ε = {epsilon:g}")
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.minorticks_off()
    axes[0].set_ylabel("final test accuracy (%)")
    legend_below(figure, axes[0])
    return describe(figure, "Mean final test accuracy", *said)
