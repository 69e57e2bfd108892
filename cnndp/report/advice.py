"""What a practitioner can take from "what survives": one sentence a comparison, and each turns with the numbers."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from statistics import fmean

from cnndp.report.survive import BASE, MIXTURE, Effect, means_by_rate
from cnndp.runs.experiment import Result

MISSING = "The runs at hand are too few for a conclusion."


def winners(found: Sequence[Effect]) -> list[str]:
    """Return the names that gain at every epsilon they were run at, with all comparisons taken into account.

    >>> winners([Effect("a", 1.0, [1.0], 0.01), Effect("a", 3.0, [1.0], 0.01), Effect("b", 1.0, [1.0], 0.2)])
    ['a']
    """
    names = dict.fromkeys(effect.name for effect in found)
    return [name for name in names if all(effect.gains for effect in found if effect.name == name)]


def average(found: Sequence[Effect], name: str) -> float:
    """Return the mean difference of a name over its epsilons, in points."""
    return fmean(fmean(effect.values) for effect in found if effect.name == name)


def steps(found: Sequence[Effect], untuned: Collection[str]) -> str:
    """Return which step and budget to take.

    Args:
        found: differences to a tuned fixed step with the same noise in every step.
        untuned: the names among them that have nothing to tune.
    """
    tuned = [effect for effect in found if effect.name not in untuned]
    free = [name for name in dict.fromkeys(effect.name for effect in found) if name in untuned]
    if not tuned or not free:
        return MISSING
    best = winners(tuned)
    start = (
        f"Take {' or '.join(best)}: it gains at every ε on a tuned fixed rate with equal noise"
        if best
        else "Spend the budget in equal parts at a tuned fixed rate, since no tuned idea gains on that at every ε"
    )
    name = max(free, key=lambda one: average(found, one))
    change = average(found, name)
    return (
        f"{start}; who cannot tune takes “{name}” and {'gains' if change > 0 else 'loses'} "
        f"{abs(change):.2f} points on average."
    )


def tuning(results: Sequence[Result]) -> str:
    """Return whether a Polyak step makes tuning less urgent: what the worst value of the same grid loses."""
    worst: dict[str, dict[float, float]] = {}
    for (name, epsilon), means in means_by_rate(results).items():
        worst.setdefault(name, {})[epsilon] = max(means.values()) - min(means.values())
    polyak = [name for name in worst if name.startswith("Polyak")]
    if BASE not in worst or not polyak:
        return MISSING
    name = min(polyak, key=lambda one: max(worst[one].values()))
    less = all(worst[name][epsilon] < loss for epsilon, loss in worst[BASE].items())
    lead = "A Polyak step makes tuning less urgent" if less else "A Polyak step does not make tuning less urgent"
    parts = (
        f"at numerical ε = {epsilon:g} the worst cap of “{name}” loses {worst[name][epsilon]:.2f} points, "
        f"the worst fixed rate {loss:.2f}"
        for epsilon, loss in worst[BASE].items()
    )
    return f"{lead}: {'; '.join(parts)}."


def cap(results: Sequence[Result]) -> str:
    """Return whether the best cap follows the budget, on the grid that was tried."""
    best = {
        epsilon: max(means, key=lambda rate: means[rate])
        for (_, epsilon), means in sorted(means_by_rate(results).items(), key=lambda item: item[0][1])
    }
    if len(best) < 2:
        return MISSING
    caps = list(best.values())
    found = ", ".join(f"{value:g} at numerical ε = {epsilon:g}" for epsilon, value in best.items())
    if len(set(caps)) == 1:
        return f"One cap serves every budget tried: the best is {found}."
    rises = all(first <= second for first, second in pairwise(caps))
    lead = "Raise the cap with the budget" if rises else "Tune the cap anew for each budget"
    return f"{lead}: the best is {found}."


def noise(found: Sequence[Effect]) -> str:
    """Return which noise to take, from differences between Laplace noise and its Gaussian twin by dimension."""
    rows = [
        (fmean(effect.values), int(match["size"]), effect)
        for effect in found
        if (match := MIXTURE.fullmatch(effect.name))
    ]
    if not rows:
        return MISSING
    lead = "Compare both noises" if any(effect.gains for _, _, effect in rows) else "Take Gaussian noise"
    high, low = (
        f"{-change:.2f} points (d = {size:,}, numerical ε = {effect.epsilon:g})"
        for change, size, effect in (min(rows), max(rows))
    )
    return f"{lead}: Laplace noise with its L1 clip costs from {low} to {high}."
