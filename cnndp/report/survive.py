"""What survives of the papers' ideas: paired differences with intervals, and one sentence for each question."""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnndp.report.figures.drawing import COLOURS, legend_below, mean_and_std, panels, style
from cnndp.report.intervals import CONFIDENCE, adjusted, chance_of, paired_interval
from cnndp.report.tables import contrast_note, finals_by_seed, interval, table
from cnndp.runs.experiment import Result

BASE = "growth 1"  # a fixed step, the same noise in every step
GOOD = 0.5  # points below the best at which a rate still counts as good
LABEL = re.compile(r"(?P<name>.+), ε = (?P<epsilon>[^,]+)(, rate (?P<rate>\S+))?")
MIXTURE = re.compile(r"(?P<noise>\w+), d = (?P<size>\d+)")


class Effect(NamedTuple):
    """A difference in final test accuracy, in points, paired by seed."""

    name: str
    epsilon: float
    values: list[float]
    chance: float = math.nan  # p value, adjusted for all comparisons made with it; NaN for too few pairs

    @property
    def ends(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean, of this difference alone; both ends are the value of a single seed."""
        return paired_interval(self.values) or (self.values[0], self.values[0])

    @property
    def gains(self) -> bool:
        """Return whether it is above 0, with all comparisons made with it taken into account."""
        return self.chance < 1 - CONFIDENCE and fmean(self.values) > 0

    @property
    def loses(self) -> bool:
        """Return whether it is below 0, in the same way."""
        return self.chance < 1 - CONFIDENCE and fmean(self.values) < 0


def judged(found: Sequence[Effect]) -> list[Effect]:
    """Return comparisons that are made together, each with its p value adjusted for their number."""
    chances = adjusted([chance_of(effect.values) for effect in found])
    return [effect._replace(chance=chance) for effect, chance in zip(found, chances, strict=True)]


def parsed(label: str) -> tuple[str, float, float | None]:
    """Return name, numerical epsilon and rate of a label.

    >>> parsed("growth 2, ε = 3"), parsed("decayed, ε = 1, rate 300")
    (('growth 2', 3.0, None), ('decayed', 1.0, 300.0))
    """
    found = LABEL.fullmatch(label)
    if found is None:
        raise ValueError(f"label={label!r} names no epsilon; it must look like 'NAME, ε = 1'")
    rate = found["rate"]
    return found["name"], float(found["epsilon"]), None if rate is None else float(rate)


def effects(results: Sequence[Result], pairs: Mapping[str, str]) -> list[Effect]:
    """Return, for each epsilon, the difference between each name of `pairs` and the name it is compared with.

    Args:
        results: labels as `parsed` reads them; those without a partner are left out.
        pairs: name -> name that it is compared with.
    """
    final = finals_by_seed(results)
    found = []
    for label, values in final.items():
        name, epsilon, _ = parsed(label)
        other = final.get(label.replace(name, pairs[name], 1), {}) if name in pairs else {}
        if paired := [value - other[seed] for seed, value in values.items() if seed in other]:
            found.append(Effect(name, epsilon, paired))
    return judged(found)


def against_fixed(results: Sequence[Result]) -> dict[str, str]:
    """Return every name of the results but the base, compared with the base."""
    names = dict.fromkeys(parsed(result.label)[0] for result in results)
    return {name: BASE for name in names if name != BASE}


def forest(found: Sequence[Effect]) -> Figure:
    """Draw each effect with its 95 % interval, one panel an epsilon; the dots are seeds."""
    epsilons = sorted({effect.epsilon for effect in found})
    names = list(dict.fromkeys(effect.name for effect in found))
    figure, axes = panels(len(epsilons), height=0.38 * len(names) + 1.2, sharey=True)
    for panel, epsilon in zip(axes, epsilons, strict=True):
        for effect in (one for one in found if one.epsilon == epsilon):
            row = names.index(effect.name)
            panel.plot(effect.ends, [row, row], color=COLOURS[0], linewidth=2)
            panel.plot(fmean(effect.values), row, "D", color=COLOURS[0], markersize=6)
            panel.plot(effect.values, [row] * len(effect.values), ".", color="0.45", markersize=4)
        panel.axvline(0, color="0.35", linewidth=0.8)
        panel.set(title=f"numerical ε = {epsilon:g}", xlabel="difference (points)", yticks=range(len(names)))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6))  # fractions of a point
    axes[0].set_yticklabels(names)
    axes[0].invert_yaxis()
    return figure


def effects_table(found: Sequence[Effect], pairs: Mapping[str, str]) -> str:
    """Return a Markdown table of effects with their intervals."""
    rows = [
        [f"{effect.name} minus {pairs[effect.name]}", f"{effect.epsilon:g}", interval(effect.values)]
        for effect in found
    ]
    return table(rows, ("Comparison", "Numerical ε", "Difference in final test accuracy"))


def verdict(found: Sequence[Effect], what: str) -> str:
    """Return one sentence on how often something gains or loses, and the largest and smallest difference.

    Args:
        found: the comparisons.
        what: what is compared with what, as the subject of the sentence.

    >>> lower = judged([Effect("growth 2", 1.0, [-0.1, -0.2, -0.1, -0.2, -0.15])])
    >>> verdict(lower, "a growing budget").split(" (")[0]
    'In 1 comparison a growing budget gains 0 times and loses 1 time'
    """
    if not found:
        return "The runs at hand hold no pair to compare."
    means = [fmean(effect.values) for effect in found]
    gains, losses = sum(effect.gains for effect in found), sum(effect.loses for effect in found)
    return (
        f"In {counted(len(found), 'comparison')} {what} gains {counted(gains, 'time')} and loses "
        f"{counted(losses, 'time')} (paired t tests at 5 %, adjusted for their number by Benjamini and Hochberg); the "
        f"differences go from {min(means):.2f} to {max(means):.2f} points."
    )


def counted(count: int, word: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "time"), counted(2, "time")
    ('1 time', '2 times')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"


def good_range(rates: Mapping[float, float], good: float = GOOD) -> tuple[float, float]:
    """Return the smallest and largest rate of the run of rates around the best that lose at most `good` points.

    Args:
        rates: accuracy in percent by rate.
        good: in points.

    >>> good_range({0.1: 90.0, 0.3: 97.8, 1.0: 98.0, 3.0: 97.0, 10.0: 97.9})
    (0.3, 1.0)
    """
    grid = sorted(rates)
    best = max(grid, key=lambda rate: rates[rate])
    low = high = grid.index(best)
    while low > 0 and rates[grid[low - 1]] >= rates[best] - good:
        low -= 1
    while high < len(grid) - 1 and rates[grid[high + 1]] >= rates[best] - good:
        high += 1
    return grid[low], grid[high]


def width_table(results: Sequence[Result]) -> str:
    """Return a Markdown table: the best rate or cap of each name, what the grid's worst loses, and the good range."""
    rows = []
    for (name, epsilon), rates in means_by_rate(results).items():
        best, (low, high) = max(rates, key=lambda rate: rates[rate]), good_range(rates)
        worst = rates[best] - min(rates.values())
        rows.append([name, f"{epsilon:g}", f"{best:g}", f"{rates[best]:.2f}", f"{worst:.2f}", f"{low:g} to {high:g}"])
    header = ("Run", "Numerical ε", "Best rate or cap", "Accuracy there %", "Worst of the grid, points below")
    return table(rows, (*header, f"Within {GOOD:g} points of the best"))


def by_cap(results: Sequence[Result]) -> Figure:
    """Draw accuracy against the cap, one line an epsilon, mean +- std over seeds."""
    figure, (axes,) = panels(1, height=4.0)
    figure.set_figwidth(6.5)
    for index, ((_, epsilon), points) in enumerate(sorted(finals_by_rate(results).items())):
        caps = sorted(points)
        means, spreads = zip(*(mean_and_std(list(points[cap].values())) for cap in caps), strict=True)
        axes.errorbar(caps, means, spreads, marker=".", capsize=3, label=f"numerical ε = {epsilon:g}", **style(index))
    axes.set(xscale="log", xlabel="cap (log)", ylabel="accuracy on validation images (%)")
    axes.legend(fontsize=9, frameon=False)
    return figure


def finals_by_rate(results: Sequence[Result]) -> dict[tuple[str, float], dict[float, dict[int, float]]]:
    """Return final accuracies by name and epsilon, by rate or cap, and by seed; other labels are left out."""
    points: dict[tuple[str, float], dict[float, dict[int, float]]] = {}
    for label, values in finals_by_seed(results).items():
        name, epsilon, rate = parsed(label)
        if rate is not None:
            points.setdefault((name, epsilon), {})[rate] = values
    return points


def means_by_rate(results: Sequence[Result]) -> dict[tuple[str, float], dict[float, float]]:
    """Return mean final accuracies over seeds by name and epsilon, and by rate or cap."""
    found = finals_by_rate(results)
    return {key: {rate: fmean(values.values()) for rate, values in points.items()} for key, points in found.items()}


def cap_note(results: Sequence[Result]) -> str:
    """Return what the second smallest cap instead of the second largest changes, at the least and the most epsilon."""
    points = finals_by_rate(results)
    final = {(cap, epsilon): values for (_, epsilon), caps in points.items() for cap, values in caps.items()}
    caps = sorted({cap for cap, _ in final})
    if len(caps) < 4:
        return "The runs at hand do not hold enough caps."
    words = "At numerical ε = {:g} a cap of {:g} instead of {:g}"
    return contrast_note(final, caps[1], caps[-2], words) or "The runs at hand do not hold all caps at all ε."


def by_dimension(results: Sequence[Result]) -> Figure:
    """Draw final test accuracy against the dimension, Gaussian and Laplace, one panel an epsilon, mean +- std."""
    curves = finals_by_size(results)
    figure, axes = panels(len(curves), height=4.0, sharey=True)
    for panel, (epsilon, lines) in zip(axes, sorted(curves.items()), strict=True):
        for index, (noise, points) in enumerate(lines.items()):
            sizes = sorted(points)
            means, spreads = zip(*(mean_and_std(points[size]) for size in sizes), strict=True)
            panel.errorbar(sizes, means, spreads, marker=".", capsize=3, label=noise, **style(index))
        panel.set(xscale="log", xlabel="dimension d (log)", title=f"numerical ε = {epsilon:g}")
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.minorticks_off()
    axes[0].set_ylabel("final test accuracy (%)")
    legend_below(figure, axes[0])
    return figure


def finals_by_size(results: Sequence[Result]) -> dict[float, dict[str, dict[int, list[float]]]]:
    """Return final accuracies of all seeds by epsilon, noise and dimension; other labels are left out."""
    curves: dict[float, dict[str, dict[int, list[float]]]] = {}
    for label, values in finals_by_seed(results).items():
        name, epsilon, _ = parsed(label)
        if found := MIXTURE.fullmatch(name):
            curves.setdefault(epsilon, {}).setdefault(found["noise"], {})[int(found["size"])] = list(values.values())
    return curves


def laplace_pairs(results: Sequence[Result]) -> dict[str, str]:
    """Return each Laplace name of the results, compared with its Gaussian twin."""
    names = dict.fromkeys(parsed(result.label)[0] for result in results)
    return {name: name.replace("Laplace", "Gaussian") for name in names if name.startswith("Laplace")}


def laplace_note(results: Sequence[Result]) -> str:
    """Return a Markdown list: for each epsilon, the dimension at which Laplace noise is best and what follows it."""
    lines = []
    for epsilon, curves in sorted(finals_by_size(results).items()):
        if "Laplace" not in curves:
            continue
        sizes = {size: fmean(values) for size, values in curves["Laplace"].items()}
        top, last = max(sizes, key=lambda size: sizes[size]), max(sizes)
        after = "the largest tried" if top == last else f"at d = {last:,} it is down to {sizes[last]:.2f} %"
        lines.append(
            f"- At numerical ε = {epsilon:g} Laplace noise is best at d = {top:,} ({sizes[top]:.2f} %), {after}."
        )
    return "\n".join(lines)
