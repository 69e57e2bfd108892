"""P1's Tables I and II as budgets: what P1's sum makes of them, and what they would cost if they were guarantees.

Everything here is conditional: P1 bounds nothing that one record adds to a gradient. The epsilons hold for
Laplace noise whose scale is an L1 sensitivity of 0.5 over the budget of a step, and Poisson-sampled batches.
"""

from collections.abc import Mapping
from itertools import combinations
from math import exp, log1p
from typing import Any

from cnndp.checks import one_of
from cnndp.equations.budget import Budget, budget_for_total, budget_through, step_epsilon, total_epsilon
from cnndp.papers import claims
from cnndp.papers.presets import table_one
from cnndp.papers.sections.p1 import NUM_TRAIN
from cnndp.privacy.accounting import laplace_epsilon
from cnndp.report.numbers import pretty
from cnndp.report.tables import table
from cnndp.runs.experiment import check_parameters
from cnndp.training.batches import steps_per_epoch

MAX_POINTS = 2e6  # of a discretised privacy loss; a coarser grid only makes the bound larger


def pairs_table(dataset: str) -> str:
    """Return what P1's sum through each two of Table II's totals gives for the third, and for the budgets' signs."""
    row = claims.TABLE_II[dataset]
    lines = []
    for first, second in combinations(row, 2):
        (third,) = set(row) - {first, second}
        budget = budget_through((first, row[first].total_epsilon), (second, row[second].total_epsilon))
        predicted, printed = total_epsilon(third, budget), row[third].total_epsilon
        last = budget.initial_epsilon + (max(row) - 1) * budget.increment
        lines.append(
            [
                f"{first}, {second}",
                f"{budget.initial_epsilon:.5f}",
                f"{budget.increment:+.2e}",
                f"{third}",
                f"{predicted:.1f}",
                f"{printed:g}",
                "falls below 0" if last < 0 else "falls" if budget.increment < 0 else "grows",
            ]
        )
    header = ("Through T =", "ε₁", "d", "third T", "Eq. (5) gives", "Table II prints", "budget of a step")
    return table(lines, header)


def totals_table(dataset: str) -> str:
    """Return Table II's totals with what they would be as guarantees: four kinds of accounting."""
    sampling_prob = table_one(dataset).batch_size / NUM_TRAIN[dataset]
    lines = []
    for num_steps, cell in claims.TABLE_II[dataset].items():
        total = cell.total_epsilon
        mean = total / num_steps
        amplified = num_steps * log1p(sampling_prob * (exp(mean) - 1))
        lines.append(
            [
                f"{num_steps}",
                f"{total:g}",
                f"{mean:.4f}",
                f"{amplified:.3f}",
                f"{conditional_epsilon(mean, num_steps, 1.0):.2f}",
                f"{conditional_epsilon(mean, num_steps, sampling_prob):.3f}",
            ]
        )
    header = (
        "T",
        "total, δ = 0",
        "mean of a step",
        "with sampling, δ = 0",
        "numerical ε without sampling, δ = 1e-5",
        "numerical ε, δ = 1e-5",
    )
    return table(lines, header)


def scales_table(dataset: str) -> str:
    """Return what Table I's noise scales would cost if one were used throughout, for 600 steps and for 100 rounds."""
    column = table_one(dataset)
    sampling_prob = column.batch_size / NUM_TRAIN[dataset]
    rounds = column.num_rounds * steps_per_epoch(NUM_TRAIN[dataset], column.batch_size)
    lines = []
    for name, scale in (("initial", column.initial_scale), ("minimum", column.min_scale)):
        per_step = 0.5 / scale
        costs = (conditional_epsilon(per_step, num_steps, sampling_prob) for num_steps in (600, rounds))
        lines.append([f"{name} {scale:g}", f"{per_step:.3f}", *(f"{cost:.3g}" for cost in costs)])
    header = (
        "Noise scale",
        "budget of a step, 0.5 / scale",
        "numerical ε, 600 steps",
        f"numerical ε, {rounds:,} steps",
    )
    return table(lines, header)


def conditional_epsilon(per_step: float, num_steps: int, sampling_prob: float) -> float:
    """Return the numerical epsilon of equal steps at delta 1e-5, on a grid that fits the memory.

    >>> round(conditional_epsilon(0.25, 10, 1.0), 1)  # ten steps of 0.25 cost 2.5 at delta 0
    2.5
    """
    interval = max(1e-4, per_step * num_steps / MAX_POINTS)
    return laplace_epsilon([(per_step, num_steps)], sampling_prob, interval=interval)


def check_notebook(namespace: Mapping[str, Any]) -> None:
    """Stop a notebook whose parameters are not a dataset of Table II."""
    given = check_parameters(namespace, "dataset")
    one_of(claims.TABLE_II, dataset=given["dataset"])


def totals(dataset: str) -> dict[int, float]:
    """Return Table II's totals by number of iterations."""
    return {num_steps: cell.total_epsilon for num_steps, cell in claims.TABLE_II[dataset].items()}


def fits(dataset: str) -> dict[str, Budget]:
    """Return the budget through each two of Table II's totals, by a name for a legend."""
    points = totals(dataset)
    return {
        f"through T = {first} and {second}": budget_through((first, points[first]), (second, points[second]))
        for first, second in combinations(points, 2)
    }


def schedule_notes(dataset: str) -> str:
    """Return `schedule_note` for each T, as a list."""
    return "\n".join(f"- {schedule_note(dataset, num_steps)}" for num_steps in claims.TABLE_II[dataset])


def schedule_note(dataset: str, num_steps: int, growth: float = 2.0) -> str:
    """Return one sentence on the schedule that this book uses in place of Table II's contradictory pairs."""
    total = claims.total_epsilon(dataset, num_steps)
    budget = budget_for_total(total, num_steps, growth)
    first, last = budget.initial_epsilon, step_epsilon(num_steps, budget)
    return (
        f"{pretty(dataset)}, T = {num_steps}: the total {total:g} with a last step {growth:g} times the first gives "
        f"ε₁ = {first:.5f} and d = {budget.increment:.3e}, up to {last:.5f}."
    )
