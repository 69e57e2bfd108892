"""What steps with Gaussian noise cost, on a grid that is priced once: the answers of the explorer of the budget.

Noise only falls in cost as it grows, and the cost only grows with the share of records and the number of steps. So the
next point of the grid with at most the noise, and at least the share and the steps, bounds what is asked from above.
"""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

from cnndp.checks import at_least, positive
from cnndp.privacy.accounting import DELTA, price
from cnndp.privacy.curves import best_attack, curve_of
from cnndp.privacy.ledger import Event

NOISE = tuple(round(0.7 * 2 ** (power / 4), 4) for power in range(20))
# The batches of P1 on MNIST, 250 of 60,000, by factors of sqrt(2); rounded up, so that those batches are on the grid.
SHARES = tuple(math.ceil(250 / 60_000 * 2 ** (power / 2) * 1e6) / 1e6 for power in range(-4, 9))
STEPS = (10, 30, 60, 100, 200, 300, 600, 1200, 2400, 4800)


class Price(NamedTuple):
    """What a mechanism costs at most; all are upper bounds.

    Attributes:
        epsilon: numerical, at `DELTA`.
        at_percent, at_permille, advantage: of the best attack, see `curves.BestAttack`.
    """

    epsilon: float
    at_percent: float
    at_permille: float
    advantage: float


def upwards(value: float, digits: int = 3) -> float:
    """Return a number rounded up to significant digits.

    >>> upwards(0.12301), upwards(83.71)
    (0.124, 83.8)
    """
    if value == 0 or not math.isfinite(value):
        return value
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return rounded if rounded >= value else round(rounded + 10.0**-places, places)


def priced(noise_multiplier: float, sampling_prob: float, num_steps: int) -> Price:
    """Return what steps of Poisson-sampled Gaussian noise cost, by the project's own accountant.

    Args:
        noise_multiplier: standard deviation over the L2 clip norm.
        sampling_prob: q, the chance of each record to be in a batch.
        num_steps: T.
    """
    positive(noise_multiplier=noise_multiplier, sampling_prob=sampling_prob)
    at_least(1, num_steps=num_steps)
    listed = (Event("gaussian", noise_multiplier, sampling_prob, num_steps),)
    return Price(price(listed, DELTA).epsilon, *best_attack(curve_of(listed)))


def made() -> dict[str, Any]:
    """Return the whole grid as plain values for JSON: the axes, and `prices` by noise, then share, then steps.

    It takes a few minutes.
    """
    prices = [[upwards(one) for one in priced(*point)] for point in product(NOISE, SHARES, STEPS)]
    return {"delta": DELTA, "noise": NOISE, "shares": SHARES, "steps": STEPS, "prices": prices}


def at_most(grid: Mapping[str, Any], noise_multiplier: float, sampling_prob: float, num_steps: int) -> Price | None:
    """Return an upper bound of what steps cost from a grid; None where no point of it bounds them.

    Args:
        grid: as `made` gives it.
        noise_multiplier: the least of all steps.
        sampling_prob: q.
        num_steps: T.

    >>> grid = {"noise": [1, 2], "shares": [0.1], "steps": [10, 20], "prices": [[n] * 4 for n in (3, 4, 1, 2)]}
    >>> at_most(grid, 1.9, 0.05, 11).epsilon  # as with noise 1, a share of 0.1 and 20 steps
    4
    >>> at_most(grid, 0.9, 0.05, 11) is None
    True
    """
    quieter = [place for place, noise in enumerate(grid["noise"]) if noise <= noise_multiplier]
    larger = [place for place, share in enumerate(grid["shares"]) if share >= sampling_prob]
    longer = [place for place, steps in enumerate(grid["steps"]) if steps >= num_steps]
    if not (quieter and larger and longer):
        return None
    place = (quieter[-1] * len(grid["shares"]) + larger[0]) * len(grid["steps"]) + longer[0]
    return Price(*grid["prices"][place])
