"""Figures of what a private step costs, from benchmark records."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cnndp.bench.cost import TITLES, ratios
from cnndp.bench.timing import VARIANTS
from cnndp.report.figures.drawing import COLOURS, STYLE, legend_below, panels
from cnndp.report.figures.said import describe
from cnndp.runs.store import Record


def costs(record: Record, batch_sizes: Sequence[int] = (250, 1500)) -> Figure:
    """Draw the time of each kind of step as a multiple of ordinary SGD's, one panel a network and batch size.

    Args:
        record: a benchmark.
        batch_sizes: which of its batch sizes.
    """
    networks, said = list(TITLES), []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.4 * len(networks)), layout="constrained")
        grid = figure.subplots(len(networks), len(batch_sizes), squeeze=False, sharey=True, sharex="row")
    for row, network in enumerate(networks):
        for axes, size in zip(grid[row], batch_sizes, strict=True):
            names = [name for name in VARIANTS if ratios(record, network, size, name, "SGD")]
            times = []
            for place, name in enumerate(names):
                values = ratios(record, network, size, name, "SGD")
                low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
                times.append(f"{name} {middle:.2f}")
                axes.barh(place, middle, color=COLOURS[bar_colour(name)], height=0.65)
                axes.plot([low, high], [place, place], color="black", linewidth=1.5)
                axes.annotate(f" {middle:.2f}", (max(high, middle), place), va="center", fontsize=9)
            axes.axvline(1, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
            axes.set(yticks=range(len(names)), yticklabels=names)
            axes.set_title(f"{TITLES[network]}, B = {size:,}", fontsize=10)
            said.append(f"{TITLES[network]}, B = {size:,}: {'; '.join(times)}")
            axes.margins(x=0.14)
            axes.grid(axis="y", visible=False)
            axes.set_xlabel("time of a step, ordinary SGD = 1")
    grid[0][0].invert_yaxis()
    return describe(figure, "Median time of a step, ordinary SGD = 1", *said)


def bar_colour(name: str) -> int:
    """Return the index of a variant's colour: ordinary training, this package, or Opacus."""
    return 7 if name.startswith(("SGD", "forward")) else 1 if name.startswith("Opacus") else 0


def step_parts(record: Record) -> Figure:
    """Draw what a step of the fast engine spends its time on, in percent, one bar a network."""
    profiles, said = record["profile"], []
    figure, (axes,) = panels(1, height=0.75 * len(profiles) + 1.9)
    figure.set_figwidth(8.6)
    for place, profile in enumerate(profiles):
        start, total = 0.0, sum(profile["ms"].values())
        parts = ", ".join(f"{part} {100 * one / total:.0f} %" for part, one in profile["ms"].items())
        said.append(f"{TITLES[profile['network']]}, B = {profile['batch_size']}: {parts}")
        for index, (part, milliseconds) in enumerate(profile["ms"].items()):
            share = 100 * milliseconds / total
            colour = COLOURS[index % len(COLOURS)]
            axes.barh(place, share, left=start, color=colour, height=0.6, label=part if place == 0 else None)
            if share >= 5:
                light = "black" if index in (3, 4, 5) else "white"
                axes.annotate(f"{share:.0f}", (start + share / 2, place), ha="center", va="center", color=light)
            start += share
    names = [f"{TITLES[one['network']]},\nB = {one['batch_size']}, {one['variant']}" for one in profiles]
    axes.set(xlim=(0, 100), xlabel="share of the step's time (%)", yticks=range(len(profiles)), yticklabels=names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    legend_below(figure, axes, columns=3)
    return describe(figure, *said)
