"""Figures of audits: the lower bound, what could be shown at best, and the numerical epsilon."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, FixedLocator, NullLocator

from cnndp.report.figures.drawing import COLOURS, panels, style
from cnndp.report.figures.said import describe, ends

Row = dict[str, Any]


def bounds(rows: Sequence[Row]) -> Figure:
    """Draw audited bound, and that of ideal runs, against the numerical epsilon, one panel a mechanism; dots are seeds.

    Args:
        rows: of `audit.audit`, at several epsilons; those with fewer canaries than most are left out.
    """
    rows = [row for row in rows if row["num_canaries"] == max(row["num_canaries"] for row in rows)]
    mechanisms = list(dict.fromkeys(row["mechanism"] for row in rows))
    figure, axes = panels(len(mechanisms), sharey=True)
    said = []
    for panel, mechanism in zip(axes, mechanisms, strict=True):
        chosen = [row for row in rows if row["mechanism"] == mechanism]
        most = max(row["claimed"] for row in chosen)
        lasts = []
        panel.plot([0, most], [0, most], label="numerical ε", **style(0))
        for index, (name, label) in enumerate(
            (("ceiling", "median bound of ideal runs"), ("bound", "audited bound")), start=1
        ):
            grouped: dict[float, list[float]] = {}
            for row in chosen:
                if row[name] is not None:
                    grouped.setdefault(round(row["claimed"], 3), []).append(row[name])
            points = sorted(grouped)
            panel.plot(points, [fmean(grouped[point]) for point in points], label=label, **style(index))
            lasts += [f"{label} {fmean(grouped[points[-1]]):.2f}"] if points else []
            if name == "bound":
                dots = [(point, value) for point in points for value in grouped[point]]
                panel.plot(*zip(*dots, strict=True), ".", color=COLOURS[index], markersize=5)
        said.append(f"{mechanism.capitalize()} noise at numerical ε = {most:.3g}: {', '.join(lasts)}")
        panel.set(title=f"{mechanism.capitalize()} noise", xlabel="numerical ε at δ = 1e-5")
        panel.xaxis.set_major_locator(AutoLocator())
    axes[0].set_ylabel("ε is at least")
    axes[0].legend(frameon=False, fontsize=9)
    return describe(figure, *said)


def canaries(rows: Sequence[Row]) -> Figure:
    """Draw the audited bound against the number of canaries, with both ceilings, one panel a mechanism; dots are seeds.

    Args:
        rows: of `audit.audit`; drawn are those at the largest epsilon.
    """
    mechanisms = list(dict.fromkeys(row["mechanism"] for row in rows))
    most = max(row["claimed"] for row in rows)
    rows = [row for row in rows if row["claimed"] > 0.9 * most]
    figure, axes = panels(len(mechanisms), sharey=True)
    said = []
    for panel, mechanism in zip(axes, mechanisms, strict=True):
        grouped: dict[int, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row["num_canaries"]):
            if row["mechanism"] == mechanism:
                grouped.setdefault(row["num_canaries"], []).append(row)
        sizes = [*grouped]
        claimed = fmean(row["claimed"] for group in grouped.values() for row in group)
        panel.axhline(claimed, label="numerical ε", **style(0))
        first = [group[0] for group in grouped.values()]
        known = {size: [row["bound"] for row in grouped[size] if row["bound"] is not None] for size in sizes}
        panel.plot(sizes, [row["one_run_ceiling"] for row in first], label="all guesses right", **style(1))
        panel.plot(sizes, [row["ceiling"] for row in first], label="median bound of ideal runs", **style(2))
        means = {size: fmean(values) for size, values in known.items() if values}
        panel.plot([*means], [*means.values()], label="audited bound", **style(3))
        for size, values in known.items():
            panel.plot([size] * len(values), values, ".", color=COLOURS[3], markersize=5)
        panel.set(title=f"{mechanism.capitalize()} noise", xlabel="canaries (log)", xscale="log", ylim=(0, None))
        panel.xaxis.set_major_locator(FixedLocator(sizes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticklabels([f"{size:,}" for size in sizes])
        bounds = pd.Series(means, dtype=float)
        said.append(
            f"{mechanism.capitalize()} noise, numerical ε {claimed:.2f}, audited bound {ends(bounds, '')} canaries"
        )
    axes[0].set_ylabel("ε is at least")
    axes[0].legend(frameon=False, fontsize=9)
    return describe(figure, *said)


def detections(rows: Sequence[Row]) -> Figure:
    """Draw the audited bound over the claimed epsilon of each control, dots are seeds; right of 1 the claim is refuted.

    Args:
        rows: of `audit.detect`; those without a bound, or with one above the whole family, stand at the edge.
    """
    shown = [row for row in rows if row["claimed"] is not None]
    names = list(dict.fromkeys(row["control"] for row in shown))
    edge = 1.25 * max((row["bound"] / row["claimed"] for row in shown if row["bound"] is not None), default=1.0)
    figure, (axes,) = panels(1, height=0.34 * len(names) + 1.1)
    figure.set_figwidth(8)
    for row in shown:
        ratio = edge if row["bound"] is None else max(row["bound"] / row["claimed"], 0.05)
        colour = COLOURS[1] if row["caught"] else COLOURS[0]
        axes.plot(ratio, names.index(row["control"]), "o" if row["caught"] else "s", color=colour, markersize=5)
    axes.axvline(1, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set(xscale="log", xlabel="audited bound / claimed ε (log); round: caught", yticks=range(len(names)))
    axes.set_yticklabels(names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return describe(figure, *(caught(name, [row for row in shown if row["control"] == name]) for name in names))


def caught(name: str, rows: Sequence[Row]) -> str:
    """Return how often a control was caught, and the largest bound as a multiple of the claim.

    >>> caught("no noise", [{"caught": True, "bound": 6.0, "claimed": 3.0}])
    'no noise: 1 of 1 runs caught, bound at most 2 times the claim'
    """
    ratios = [row["bound"] / row["claimed"] for row in rows if row["bound"] is not None]
    above = (
        "above every mechanism of the shape"
        if len(ratios) < len(rows)
        else f"at most {max(ratios):.3g} times the claim"
    )
    return f"{name}: {sum(row['caught'] for row in rows)} of {len(rows)} runs caught, bound {above}"


def areas(rows: Sequence[Row]) -> Figure:
    """Draw the area of each membership attack with its interval, one row a network and attack, one mark a seed.

    Args:
        rows: of `membership.attack`.
    """
    names = list(dict.fromkeys((row["reading"], row["attack"]) for row in rows))
    figure, (axes,) = panels(1, height=0.55 * len(names) + 1.1)
    figure.set_figwidth(8)
    least = max(row["smallest_auc"] for row in rows)
    axes.axvspan(1 - least, least, color="0.85", label="not told from guessing")
    for place, name in enumerate(names):
        chosen = [row for row in rows if (row["reading"], row["attack"]) == name]
        for number, row in enumerate(chosen):
            height = place + 0.18 * (number - (len(chosen) - 1) / 2)
            axes.plot(row["auc_interval"], [height, height], color=COLOURS[0], linewidth=1.5)
            axes.plot(row["auc"], height, "o", color=COLOURS[0], markersize=5)
    axes.axvline(0.5, color="0.35", linewidth=0.8)
    axes.set(xlabel="area under the curve of hits against false alarms", yticks=range(len(names)))
    axes.set_yticklabels([f"{reading}: {attack}" for reading, attack in names])
    axes.xaxis.set_major_locator(AutoLocator())
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, fontsize=9)
    said = []
    for reading, attack in names:
        found = [row["auc"] for row in rows if (row["reading"], row["attack"]) == (reading, attack)]
        said.append(f"{reading}, {attack}: area {min(found):.3f} to {max(found):.3f}")
    return describe(figure, *said, f"From {1 - least:.3f} to {least:.3f} it is not told from guessing")
