"""What a practitioner can take from "what survives": one sentence a comparison, and each turns with the numbers.

Comparisons are rows of the frame that `survive.effects` gives.
"""

from collections.abc import Collection

import pandas as pd

from cnndp.report.pairs import FINAL
from cnndp.report.survive import BASE

MISSING = "The runs at hand are too few for a conclusion."


def winners(found: pd.DataFrame) -> list[str]:
    """Return the names that gain at every epsilon they were run at, with all comparisons taken into account.

    >>> winners(pd.DataFrame({"name": ["a", "a", "b"], "gains": [True, True, False]}))
    ['a']
    """
    always = found.groupby("name", sort=False)["gains"].all()
    return [str(name) for name in always.index[always]]


def steps(found: pd.DataFrame, untuned: Collection[str]) -> str:
    """Return which step and budget to take.

    Args:
        found: differences to a tuned fixed step with the same noise in every step.
        untuned: the names among them that have nothing to tune.
    """
    free = found["name"].isin(list(untuned))
    if free.all() or not free.any():
        return MISSING
    best = winners(found[~free])
    start = (
        f"Take {' or '.join(best)}: it gains at every ε on a tuned fixed rate with equal noise"
        if best
        else "Spend the budget in equal parts at a tuned fixed rate, since no tuned idea gains on that at every ε"
    )
    changes = found[free].groupby("name", sort=False)["mean"].mean()
    name, change = changes.idxmax(), changes.max()
    return (
        f"{start}. Where no rate can be tuned, “{name}” {'gains' if change > 0 else 'loses'} "
        f"{abs(change):.2f} points on average."
    )


def tuning(runs: pd.DataFrame) -> str:
    """Return whether a Polyak step makes tuning less urgent: what the worst value of the same grid loses."""
    means = runs.groupby(["name", "target_epsilon", "rate"])[FINAL].mean().unstack()
    worst = (means.max(axis=1) - means.min(axis=1)).unstack()  # a row a name, a column an epsilon
    polyak = runs.loc[runs["step"] == "polyak", "name"].unique()
    if BASE not in worst.index or not len(polyak):
        return MISSING
    name = worst.loc[polyak].max(axis=1).idxmin()
    less = (worst.loc[name] < worst.loc[BASE]).all()
    lead = "A Polyak step makes tuning less urgent" if less else "A Polyak step does not make tuning less urgent"
    parts = (
        f"at numerical ε = {epsilon:g} the worst cap of “{name}” loses {worst.loc[name, epsilon]:.2f} points, "
        f"the worst fixed rate {loss:.2f}"
        for epsilon, loss in worst.loc[BASE].items()
    )
    return f"{lead}: {'; '.join(parts)}."


def cap(runs: pd.DataFrame) -> str:
    """Return whether the best cap follows the budget, on the grid that was tried."""
    best = runs.groupby(["target_epsilon", "rate"])[FINAL].mean().unstack().idxmax(axis=1)
    if len(best) < 2:
        return MISSING
    found = ", ".join(f"{value:g} at numerical ε = {epsilon:g}" for epsilon, value in best.items())
    if best.nunique() == 1:
        return f"One cap serves every budget tried: the best is {found}."
    lead = "Raise the cap with the budget" if best.is_monotonic_increasing else "Tune the cap anew for each budget"
    return f"{lead}: the best is {found}."


def noise(found: pd.DataFrame) -> str:
    """Return which noise to take, from differences between Laplace noise and its Gaussian twin by dimension."""
    if found.empty:
        return MISSING
    lead = "Compare both noises" if found["gains"].any() else "Take Gaussian noise"
    high, low = (
        f"{-one['mean']:.2f} points (d = {one['projection']:,.0f}, numerical ε = {one['epsilon']:g})"
        for one in (found.loc[found["mean"].idxmin()], found.loc[found["mean"].idxmax()])
    )
    return f"{lead}: Laplace noise with its L1 clip costs from {low} to {high}."
