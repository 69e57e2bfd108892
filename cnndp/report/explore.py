"""What the explorers of the book show, from records: plain values for JSON, the rows of their tables, and hints.

Missing numbers are None, as JSON has no NaN.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cnndp.equations.budget import Budget, step_epsilon, total_epsilon
from cnndp.papers import field
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import findings
from cnndp.report.explore_grid import at_most
from cnndp.report.numbers import pretty
from cnndp.runs import experiment, frames

# Models that the hints compare, as `findings.with_others` names them.
COMPARED = ("scattering, linear", "CNN, DP-SGD, batches of 1,024", "CNN, CNN-DP-GAN-Polyak")
# How the readings of Fig. 10 are called; the private one with each kind of noise.
READINGS = {
    "reconstructed": ("fig10_thresholds", "CNN-DP-GAN-Polyak", "reconstructed"),
    "private, Laplace noise": ("private_fig10", "CNN-DP-GAN-Polyak", "private"),
    "private, Gaussian noise": ("private_fig10", "CNN-DP-GAN-Polyak, Gaussian", "private"),
}
EXAMPLE: Mapping[str, float] = {
    "initial": 0.1, "growth": 2.0, "steps": 300, "batch": 250, "records": 60_000, "sensitivity": 1.0
}  # fmt: skip


def number(value: Any, digits: int = 2) -> float | None:
    """Return a number rounded for a page; None where it is missing or not finite.

    >>> number(98.9142), number(float("nan"))
    (98.91, None)
    """
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def significant(value: Any) -> float | None:
    """Return a number at four significant digits; None where it is missing or not finite.

    >>> significant(0.0092718)
    0.009272
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


# --- the frontier -----------------------------------------------------------------------------------------


def frontier() -> dict[str, Any]:
    """Return by dataset its name, `lines` (`model`, `points`), `anchors` and what the papers state.

    A point has its target `epsilon`, the largest numerical one that was `spent`, the accuracy of each of its `seeds`
    in percent, their `mean`, and how many `diverged`.
    """
    return {name: frontier_of(name) for name in SECTIONS["frontier"].datasets}


def frontier_of(dataset: str) -> dict[str, Any]:
    """Return the part of `frontier` of a dataset."""
    runs = findings.with_others(findings.runs_of("frontier", dataset), dataset)
    lines = [
        {
            "model": line,
            "method": group["name"].iat[0],
            "points": [point(float(epsilon), part) for epsilon, part in group.groupby("target_epsilon")],
        }
        for line, group in runs.groupby("line", sort=False)
    ]
    anchors = [
        {"epsilon": one.epsilon, "accuracy": one.accuracy, "who": f"{one.who}: {one.model}"}
        for one in field.anchors_of(dataset)
    ]
    return {"name": pretty(dataset), "lines": lines, "anchors": anchors, "papers": field.headlines(dataset)}


def point(epsilon: float, runs: pd.DataFrame) -> dict[str, Any]:
    """Return the runs of one model at one target."""
    return {
        "epsilon": epsilon,
        "spent": number(runs["exact_epsilon"].max(), 4),
        "seeds": [number(one) for one in runs["test_accuracy"]],
        "mean": number(runs["test_accuracy"].mean()),
        "diverged": int((runs["status"] == "diverged").sum()),
    }


def frontier_rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of `frontier`: dataset, model, epsilon, mean, least to most of the seeds, seeds."""
    return [
        (
            part["name"],
            line["model"],
            f"{one['epsilon']:g}",
            f"{one['mean']:.2f}",
            f"{min(one['seeds']):.2f} to {max(one['seeds']):.2f}",
            seeds_of(len(one["seeds"]), one["diverged"]),
        )
        for part in data.values()
        for line in part["lines"]
        for one in line["points"]
    ]


def seeds_of(count: int, diverged: int) -> str:
    """Return how many seeds there are, and how many of them diverged.

    >>> seeds_of(5, 0), seeds_of(3, 1)
    ('5', '3, of which 1 diverged')
    """
    return f"{count}, of which {diverged} diverged" if diverged else str(count)


# --- Fig. 10 ----------------------------------------------------------------------------------------------


def thresholds() -> dict[str, Any]:
    """Return by dataset its name and `readings`: by reading, its settings as `cells`.

    A cell has its `threshold`, `budget` of a step, numerical `epsilon` (None where none is known), `iterations`, the
    mean curves `accuracy` and `step` over its seeds, the mean share of steps at the cap `capped`, the mean `final`
    accuracy on the whole test set (percent), the number of `seeds`, and how many `diverged`.
    """
    return {
        name: {"name": pretty(name), "readings": readings_of(name)} for name in SECTIONS["fig10_thresholds"].datasets
    }


def readings_of(dataset: str) -> dict[str, list[dict[str, Any]]]:
    """Return the cells of each reading of Fig. 10 on a dataset, without readings that have no runs."""
    sections = dict.fromkeys(section for section, _, _ in READINGS.values())
    stored = {section: experiment.stored(findings.study_of(section, dataset)) for section in sections}
    frames_of = {
        section: (frames.history(results), frames.frame(results)) for section, results in stored.items() if results
    }
    found = {}
    for name, (section, method, reading) in READINGS.items():
        if section not in frames_of:
            continue
        history, finals = frames_of[section]
        chosen = history[(history["name"] == method) & (history["reading"] == reading)]
        found[name] = [
            cell(float(threshold), float(budget), part, finals.loc[part["run"].unique()])
            for (threshold, budget), part in chosen.groupby(["max_step", "budget"])
        ]
    return {name: cells for name, cells in found.items() if cells}


def cell(threshold: float, budget: float, history: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """Return the runs of one threshold and budget.

    Where a run diverged, the mean at later iterations would be of the others alone, so the curves end there.
    """
    counts = history.groupby("iteration")["run"].nunique()
    whole = history[history["iteration"].isin(counts.index[counts == len(runs)])]
    means = whole.groupby("iteration")[["test_accuracy", "step_size"]].mean()
    return {
        "threshold": threshold,
        "budget": budget,
        "epsilon": significant(runs["exact_epsilon"].max()),
        "iterations": [int(one) for one in means.index],
        "accuracy": [number(one) for one in means["test_accuracy"]],
        "step": [significant(one) for one in means["step_size"]],
        "capped": number(runs["capped"].mean(), 1),
        "final": number(runs["test_accuracy"].mean()),
        "seeds": len(runs),
        "diverged": int((runs["status"] == "diverged").sum()),
    }


def threshold_rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of `thresholds`: dataset, reading, threshold, budget, epsilon, final, capped, seeds."""
    return [
        (
            part["name"],
            reading,
            f"{one['threshold']:g}",
            f"{one['budget']:g}",
            "no guarantee" if one["epsilon"] is None else f"{one['epsilon']:g}",
            f"{one['final']:.2f}",
            f"{one['capped']:g}",
            seeds_of(one["seeds"], one["diverged"]),
        )
        for part in data.values()
        for reading, cells in part["readings"].items()
        for one in cells
    ]


# --- the budget -------------------------------------------------------------------------------------------


def schedule(initial: float, growth: float, steps: int) -> Budget:
    """Return the growing budget from its first step and by how much the last one is larger."""
    return Budget(initial, 0.0 if steps == 1 else (growth - 1) * initial / (steps - 1))


def budget_answer(
    grid: Mapping[str, Any],
    initial: float,
    growth: float,
    steps: int,
    batch: float,
    records: float,
    sensitivity: float,
) -> dict[str, Any]:
    """Return what the explorer answers for a schedule; its JavaScript does the same.

    Args:
        grid: of `explore_grid.made`.
        initial: epsilon_1.
        growth: epsilon_T over epsilon_1, above 0.
        steps: T.
        batch: expected size of a batch.
        records: N.
        sensitivity: the L2 clip norm.

    Returns:
        `first` and `last` standard deviation of the noise, the `nominal` total of its steps, the least
        `noise_multiplier`, and `price`, None where the grid does not bound it.
    """
    budget = schedule(initial, growth, steps)
    ends = step_epsilon(1, budget), step_epsilon(steps, budget)
    least = 1 / max(ends)
    return {
        "first": sensitivity / ends[0],
        "last": sensitivity / ends[1],
        "nominal": total_epsilon(steps, budget),
        "noise_multiplier": least,
        "price": at_most(grid, least, batch / records, steps),
    }


def budget_rows(grid: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of the budget: first steps of several sizes, everything else as in `EXAMPLE`."""
    rows = []
    for initial in (0.025, 0.05, 0.1, 0.2, 0.4, 0.7):
        found = budget_answer(grid, **{**EXAMPLE, "initial": initial})  # type: ignore[arg-type]  # steps is whole
        price = found["price"]
        priced = (
            (f"{price.epsilon:g}", *(f"{100 * one:.3g}" for one in price[1:]))
            if price
            else ("not priced here: use plan", "", "", "")
        )
        rows.append((f"{initial:g}", f"{found['first']:.3g}", f"{found['last']:.3g}", f"{found['nominal']:g}", *priced))
    return rows


# --- what to try ------------------------------------------------------------------------------------------


def frontier_hints(data: Mapping[str, Any]) -> list[str]:
    """Return what to try in the explorer of the frontier; a hint about runs that are missing is left out."""
    lines = by_model(data["mnist"]) if "mnist" in data else {}
    linear, network, polyak = (lines.get(name, {}) for name in COMPARED)
    hints = []
    if 1.0 in linear and 1.0 in network:
        hints.append(
            f"On MNIST compare the linear model with the CNN in batches of 1,024 at ε = 1: "
            f"{linear[1.0]['mean']:.2f} % against {network[1.0]['mean']:.2f} %."
        )
    if linear and polyak:
        hints.append(
            f"Move the upper end of ε to its greatest: CNN-DP-GAN-Polyak ends at {polyak[max(polyak)]['mean']:.2f} % "
            f"with ε = {max(polyak):g}; the linear model {linear[min(linear)]['mean']:.2f} % at ε = {min(linear):g}."
        )
    for dataset in ("fashion_mnist", "cifar10"):
        points = by_model(data.get(dataset, {"lines": []})).get(COMPARED[0])
        if points:
            hints.append(
                f"Choose {pretty(dataset)}: from ε = {min(points):g} to {max(points):g} the linear model goes from "
                f"{points[min(points)]['mean']:.2f} % to {points[max(points)]['mean']:.2f} %."
            )
    return hints


def by_model(part: Mapping[str, Any]) -> dict[str, dict[float, Any]]:
    """Return the points of a dataset by model and epsilon."""
    return {line["model"]: {one["epsilon"]: one for one in line["points"]} for line in part["lines"]}


def best(cells: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the cell with the highest final accuracy."""
    return max(cells, key=lambda one: one["final"])


def threshold_hints(data: Mapping[str, Any]) -> list[str]:
    """Return what to try in the explorer of Fig. 10; a hint about runs that are missing is left out."""
    readings = data["mnist"]["readings"] if "mnist" in data else {}
    own, laplace, gaussian = (readings.get(name) for name in READINGS)
    hints = []
    if own:
        found, high = best(own), max(own, key=lambda one: one["capped"])
        hints += [
            f"In the reconstructed reading on MNIST choose each threshold in turn: the best final accuracy, "
            f"{found['final']:.2f} %, is at {found['threshold']:g} with a budget of {found['budget']:g}.",
            f"Look at the share of steps at the cap: at threshold {high['threshold']:g} and budget {high['budget']:g} "
            f"it is {high['capped']:g} %; in those steps the threshold, and not Polyak's rule, sets the step.",
        ]
    if laplace and gaussian:
        noisy, normal = best(laplace), best(gaussian)
        hints.append(
            f"Change to the private readings: the best setting with Laplace noise reaches {noisy['final']:.2f} % "
            f"(ε = {noisy['epsilon']:g}), with Gaussian noise {normal['final']:.2f} % (ε = {normal['epsilon']:g})."
        )
    return hints


def budget_hints(grid: Mapping[str, Any]) -> list[str]:
    """Return what to try in the explorer of the budget."""

    def at(**changed: float) -> Any:
        return budget_answer(grid, **{**EXAMPLE, **changed})  # type: ignore[arg-type]  # steps is whole

    start, flat, longer = at(), at(growth=1.0), at(steps=1200)
    whole = at(batch=60_000)
    return [
        f"Set the growth to 1: Eq. (5)'s total goes from {start['nominal']:g} to {flat['nominal']:g}, the numerical ε "
        f"from at most {start['price'].epsilon:g} to at most {flat['price'].epsilon:g}.",
        f"Set T to 1,200: the nominal total becomes {longer['nominal'] / start['nominal']:g} times as large, the "
        f"numerical bound {longer['price'].epsilon / start['price'].epsilon:.1f} times.",
        "Set the batch to all 60,000 records: "
        + ("the grid still prices it." if whole["price"] else "the grid has no bound for that, and the page says so."),
    ]
