"""The whole trade-off that a ledger promises: how often an attack may be right, at every rate of false alarms.

A single (epsilon, delta) is one point of it. An audit tests the promise where it sees most, which for delta = 1e-5
is far from that point.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnndp.checks import positive
from cnndp.privacy.accounting import FEW, price
from cnndp.privacy.composition import bracket, composed, condensed, grid, losses
from cnndp.privacy.ledger import Event, Release, events

Values = NDArray[np.float64]

EPSILONS = np.concatenate([np.linspace(0.0, 6.0, 241), np.geomspace(6.1, 80.0, 60)])
COARSE = 0.2  # interval of the losses over the rms loss of a step: adds under 1 % to epsilon, and is fast
WIDTH = 0.005  # nearly equal steps are counted as equal: the curve then promises less, never more
FALSE_POSITIVES = (0.01, 0.001)  # at which an attack is told in words
LEAST_DELTA = 1e-8  # below it, more canaries would be needed than anybody plants


class Curve(NamedTuple):
    """delta(epsilon) of a mechanism under add/remove adjacency, the worse of both directions.

    Attributes:
        epsilons: `[E]`, from 0 up.
        deltas: `[E]`, an upper bound.
    """

    epsilons: Values
    deltas: Values


def curve(releases: Iterable[Release], noise: float = 1.0) -> Curve:
    """Return the exact curve of everything that was released, by privacy loss distributions.

    Args:
        releases: the ledger.
        noise: factor on the noise of every release; a family of mechanisms of one shape.

    Raises:
        ValueError: when the releases cannot be accounted for, or `noise` is not above 0.

    >>> once = curve([Release("gradient", "laplace", 1.0, 1.0, "all", 1, norm="l1")])
    >>> round(float(once.deltas[0]), 4)  # the total variation distance, 1 - exp(-1/2)
    0.3935
    """
    positive(noise=noise)
    return curve_of(condensed(events(releases)), noise)


@lru_cache(maxsize=1024)
def curve_of(listed: tuple[Event, ...], noise: float = 1.0) -> Curve:
    """Return the curve of condensed events: `curve` behind the ledger."""
    scaled = louder(listed, noise)
    grouped = bracket(scaled, WIDTH).upper if len(scaled) > FEW else scaled
    fine = grid(grouped, LEAST_DELTA)
    rms = min(losses(*event[:3], fine.log_mass).rms for event in grouped)
    share = min(1.0, sum(event.times for event in grouped) / FEW)  # of a few steps, one loss counts more
    on = fine._replace(interval=max(fine.interval, COARSE * share * rms))
    found = composed(grouped, on).get_delta_for_epsilon(EPSILONS)
    return Curve(EPSILONS, np.clip(np.asarray(found, dtype=float), 0.0, 1.0))


def louder(listed: tuple[Event, ...], noise: float) -> tuple[Event, ...]:
    """Return the events with `noise` times their noise."""
    return tuple(event._replace(noise_multiplier=noise * event.noise_multiplier) for event in listed)


@lru_cache(maxsize=1024)
def epsilon_of(listed: tuple[Event, ...], noise: float, delta: float) -> float:
    """Return the numerical epsilon of condensed events with `noise` times their noise."""
    return price(condensed(louder(listed, noise)), delta).epsilon


def most_true_positives(promised: Curve, false_positive_rate: ArrayLike) -> Values:
    """Return the highest rate of true positives that the promise leaves to any attack.

    For every (epsilon, delta) of the curve: TPR <= e^epsilon FPR + delta, and, since it holds for "out" as for "in",
    1 - FPR <= e^epsilon (1 - TPR) + delta (Kairouz, Oh and Viswanath 2015, Theorem 2.1).

    Args:
        promised: of the mechanism.
        false_positive_rate: any shape.

    Returns:
        The shape of `false_positive_rate`.

    >>> once = curve([Release("gradient", "laplace", 1.0, 1.0, "all", 1, norm="l1")])
    >>> round(float(most_true_positives(once, 0.1)), 2)  # e^1 times
    0.27
    """
    fpr = np.asarray(false_positive_rate, dtype=float)[..., None]
    factor = np.exp(promised.epsilons)
    above = (factor * fpr + promised.deltas).min(axis=-1)
    below = (1 - (1 - fpr - promised.deltas) / factor).min(axis=-1)
    return np.asarray(np.clip(np.minimum(above, below), 0.0, 1.0))


class BestAttack(NamedTuple):
    """What the best attack on membership reaches at most: an epsilon in words that people can use.

    Attributes:
        at_percent: share of those who are in that it finds, while it accuses 1 % of those who are out.
        at_permille: the same at 0.1 %.
        advantage: found minus accused, where that is largest; twice the right guesses beyond a coin's half.
    """

    at_percent: float
    at_permille: float
    advantage: float


def best_attack(promised: Curve) -> BestAttack:
    """Return the rates of true positives that a promise leaves to any attack, and its advantage: delta at epsilon 0.

    The advantage of an attack is at most the total variation distance, which is delta(0) (Kairouz, Oh and Viswanath
    2015, Theorem 2.1, with epsilon = 0).

    Args:
        promised: of the mechanism.

    >>> once = curve([Release("gradient", "laplace", 1.0, 1.0, "all", 1, norm="l1")])
    >>> [round(rate, 4) for rate in best_attack(once)]  # a little above e^1 times 1 % and 0.1 %; 1 - exp(-1/2)
    [0.0279, 0.0028, 0.3935]
    """
    at_percent, at_permille = most_true_positives(promised, FALSE_POSITIVES)
    return BestAttack(float(at_percent), float(at_permille), float(promised.deltas[0]))
