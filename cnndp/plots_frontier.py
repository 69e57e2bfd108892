"""Accuracy against exact epsilon: the figure and the tables of the frontier page."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from cnndp.accounting import epsilon_by_step
from cnndp.experiment import Result
from cnndp.field import anchors_of, headlines
from cnndp.plan import Plan
from cnndp.plots import COLOURS, legend_below, mean_and_std, panels, style
from cnndp.report import STATISTICS, by_label, final_spread, spread, table
from cnndp.results import Record

MARKERS = ("s", "^", "D", "v")


def spending(plan: Plan, points: int = 6) -> Figure:
    """Draw the exact epsilon that a plan has spent after each of some numbers of steps, and its target.

    Args:
        plan: with at least one step.
        points: at how many numbers of steps epsilon is worked out.
    """
    last = max((one.first_step or 0) + one.steps - 1 for one in plan.releases)
    steps = sorted({round(last * k / points) for k in range(points + 1)})
    epsilons = epsilon_by_step(plan.releases, steps, plan.delta)
    figure, (axes,) = panels(1, height=3.4)
    figure.set_figwidth(6.0)
    axes.plot(steps, epsilons, marker="o", color=COLOURS[0], label="spent")
    axes.axhline(plan.target_epsilon, color=COLOURS[1], linestyle="--", label="target")
    axes.set(xlabel="steps taken", ylabel=f"exact ε at δ = {plan.delta:g}", ylim=(0, 1.1 * plan.target_epsilon))
    axes.legend(frameon=False, fontsize=9)
    return figure


def exact(records: Sequence[Record]) -> float:
    """Return the largest exact epsilon of runs that share a target."""
    return float(max(record["privacy"]["exact_epsilon"] for record in records))


def by_epsilon(results: Sequence[Result]) -> dict[float, list[float]]:
    """Return the final test accuracies of each label by exact epsilon, smallest first."""
    grouped = sorted(by_label(results).values(), key=exact)
    return {exact(records): [STATISTICS["final"](record) for record in records] for records in grouped}


def frontier(lines: Mapping[str, Sequence[Result]], dataset: str) -> Figure:
    """Draw test accuracy against exact epsilon, beside the field's results and the papers' headline accuracies.

    Args:
        lines: private runs of this project by name; the first has the ticks of its epsilons labelled.
        dataset: whose anchors and headlines are drawn.
    """
    figure, (axes,) = panels(1, height=4.8)
    figure.set_figwidth(7.2)
    ticks: list[float] = []
    for index, (line, results) in enumerate(lines.items()):
        points = by_epsilon(results)
        means, spreads = zip(*(mean_and_std(values) for values in points.values()), strict=True)
        axes.errorbar(list(points), means, spreads, marker="o", capsize=3, label=f"here: {line}", **style(index))
        ticks += [epsilon for epsilon in points if all(abs(epsilon / tick - 1) > 0.1 for tick in ticks)]
    names = list(dict.fromkeys((one.who, one.model) for one in anchors_of(dataset)))
    for index, (who, model) in enumerate(names):
        published = [one for one in anchors_of(dataset) if (one.who, one.model) == (who, model)]
        axes.plot(
            [one.epsilon for one in published],
            [one.accuracy for one in published],
            MARKERS[index % len(MARKERS)],
            color=COLOURS[(len(lines) + index) % len(COLOURS)],
            label=f"{who}: {model}",
        )
    for name, value in headlines(dataset).items():
        axes.axhline(value, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(f"{name}: {value:g} %", (max(ticks), value), fontsize=9, color="0.25", va="bottom", ha="right")
    axes.set(xscale="log", xlabel="exact ε at δ = 1e-5 (log)", ylabel="test accuracy (%)")
    axes.set_xticks(ticks, [f"{epsilon:.2g}" if epsilon < 10 else f"{epsilon:.0f}" for epsilon in ticks], minor=False)
    axes.minorticks_off()
    legend_below(figure, axes, columns=2, fontsize=8.5)
    return figure


def frontier_table(results: Sequence[Result]) -> str:
    """Return a Markdown table: exact epsilon, test accuracy as mean ± std (n), seconds a run."""
    rows = [
        [
            label,
            f"{exact(records):.4f}",
            final_spread(records),
            spread([record["provenance"]["seconds"] for record in records], digits=0),
        ]
        for label, records in by_label(results).items()
    ]
    return table(rows, ("Target", "Exact ε", "Test %", "Seconds, features read from the cache"))


def headlines_note(lines: Mapping[str, Sequence[Result]], dataset: str) -> str:
    """Return a Markdown table: the smallest epsilon at which each line reaches each headline accuracy on average."""
    stated = headlines(dataset)
    if not stated:
        return "Neither paper has a headline accuracy on this dataset."
    rows = []
    for line, results in lines.items():
        means = {epsilon: fmean(values) for epsilon, values in by_epsilon(results).items()}
        reached = [next((epsilon for epsilon in means if means[epsilon] >= value), None) for value in stated.values()]
        rows.append([line, *("not reached" if epsilon is None else f"{epsilon:.3g}" for epsilon in reached)])
    header = ("Exact ε at which the mean reaches", *(f"{name}'s {value:g} %" for name, value in stated.items()))
    return table(rows, header)
