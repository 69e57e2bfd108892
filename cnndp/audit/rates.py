"""Guesses counted as two rates, and the exact test whether what was promised allows them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from cnndp.audit.canaries import Flags, Values
from cnndp.privacy.curves import Curve, most_true_positives

SIGNIFICANCE = 0.05
CHOOSING = 5  # one canary in so many chooses the threshold, the others count
OUTSIDE = 0.02  # share of the significance that goes to where the rate of false alarms lies
CELLS, FINER, ROUNDS = 12, 8, 3  # of that rate, and how often those that stay open are cut, into how many
# Deviations, and chance, of numbers of false alarms; rarer ones are taken to come with the best guesses.
WINDOW, RARE = 6.0, 1e-9


class Rates(NamedTuple):
    """Guesses of one threshold on the canaries that did not choose it."""

    score: str  # name of the statistic
    threshold: float  # guess "in" at or above it
    true_positives: int
    num_in: int
    false_positives: int
    num_out: int


def guess(
    scores: Mapping[str, Values], included: Flags, promised: Curve | None = None, significance: float = SIGNIFICANCE
) -> Rates:
    """Return how good the best statistic and threshold are: chosen on every fifth canary, counted on the rest.

    Chosen is what breaks the promise most, with its confidence limits, or, where nothing does, the largest difference
    of the two rates over its standard error. Coins and noise of different canaries are drawn independently, so the
    choice knows nothing of the canaries that count.

    Args:
        scores: values `[m]` by name; high where a canary seems to be in.
        included: `[m]`.
        promised: what the ledger promises; None to choose by the difference alone.
        significance: of the limits, half for each rate.

    Raises:
        ValueError: when one part has no canary that is in, or none that is out.
    """
    choosing = chooses(len(included))
    chosen, best = ("", np.inf), (-np.inf, -np.inf)
    for name, values in scores.items():
        inside, outside = (np.sort(values[choosing & side]) for side in (included, ~included))
        _both(inside, outside)
        thresholds = np.unique(values[choosing])
        hits = len(inside) - np.searchsorted(inside, thresholds)
        alarms = len(outside) - np.searchsorted(outside, thresholds)
        share = (hits / len(inside) + alarms / len(outside)) / 2
        apart = (hits / len(inside) - alarms / len(outside)) / np.sqrt(share * (1 - share) + 0.5 / choosing.sum())
        broken = np.zeros(len(thresholds))
        if promised is not None:
            least = lower_limit(hits, len(inside), significance / 2)
            most = upper_limit(alarms, len(outside), significance / 2)
            broken = np.maximum(least - most_true_positives(promised, most), 0.0)
        place = np.lexsort((apart, broken))[-1]
        if (broken[place], apart[place]) > best:
            chosen, best = (name, float(thresholds[place])), (float(broken[place]), float(apart[place]))
    name, threshold = chosen
    inside, outside = (scores[name][~choosing & side] for side in (included, ~included))
    _both(inside, outside)
    found, false = int((inside >= threshold).sum()), int((outside >= threshold).sum())
    return Rates(name, threshold, found, len(inside), false, len(outside))


def chooses(num_canaries: int) -> Flags:
    """Return which canaries `[m]` choose the threshold.

    >>> chooses(7).tolist()
    [True, False, False, False, False, True, False]
    """
    return np.asarray(np.arange(num_canaries) % CHOOSING == 0)


def lower_limit(hits: ArrayLike, total: int, significance: float) -> Values:
    """Return the one-sided lower confidence limit of a rate (Clopper and Pearson 1934).

    >>> round(float(lower_limit(10, 10, 0.05)), 3)  # 0.05^(1/10)
    0.741
    """
    count = np.asarray(hits)
    limit = stats.beta.ppf(significance, np.maximum(count, 1), total - count + 1)
    return np.asarray(np.where(count > 0, limit, 0.0))


def upper_limit(hits: ArrayLike, total: int, significance: float) -> Values:
    """Return the one-sided upper confidence limit of a rate: one minus the lower limit of its opposite."""
    return 1 - lower_limit(total - np.asarray(hits), total, significance)


def _both(inside: Values, outside: Values) -> None:
    if not (len(inside) and len(outside)):
        raise ValueError(
            f"a part of the canaries holds {len(inside)} that are in and {len(outside)} that are out; a rate needs "
            "both: plant more canaries"
        )


def breaks(promised: Curve, rates: Rates, significance: float) -> bool:
    """Return whether guesses are too good for a promise: none that keeps it is guessed so well by chance.

    An exact test of two binomials. How well is k_in / n_in - T(k_out / n_out), with T the most true positives that the
    promise leaves. Its chance is largest where the rate of true positives is T of that of false alarms, so that one
    unknown is left, the rate of false alarms. The chance is bounded wherever that lies in its confidence interval, and
    what the interval leaves out is added (Berger and Boos 1994). Two separate confidence limits, the usual way, need
    the rates to be further apart: both must be unlucky at once.

    Args:
        promised: of the mechanism.
        rates: what was counted.
        significance: the chance that a promise that is kept is called broken, at most.

    >>> nothing = Curve(np.zeros(1), np.zeros(1))  # a promise of no leak at all: both rates are equal
    >>> [breaks(nothing, Rates("", 0.0, hits, 20, 5, 20), 0.05) for hits in (10, 11)]
    [False, True]
    """
    spent = OUTSIDE * significance
    low = float(lower_limit(rates.false_positives, rates.num_out, spent / 2))
    high = float(upper_limit(rates.false_positives, rates.num_out, spent / 2))
    edges = np.linspace(low, high, CELLS + 1)
    below, above = edges[:-1], edges[1:]
    for _ in range(ROUNDS):
        # Better guesses come with more hits and fewer false alarms: a cell's worst ends bound all of it.
        bound = chance_of_so_well(promised, rates, most_true_positives(promised, above), below)
        unsettled = bound > significance - spent
        below, above = below[unsettled], above[unsettled]
        if not len(below):
            return True
        reached = chance_of_so_well(promised, rates, most_true_positives(promised, below), below)
        if (reached > significance - spent).any():
            return False
        edges = np.linspace(below, above, FINER + 1)
        below, above = edges[:-1].ravel(), edges[1:].ravel()
    return False


def chance_of_so_well(promised: Curve, rates: Rates, hit_rate: Values, alarm_rate: Values) -> Values:
    """Return the chance `[G]` that guesses with given rates are at least as far above a promise as those counted.

    Args:
        promised: whose T decides how far guesses are above it, see `breaks`.
        rates: what was counted.
        hit_rate, alarm_rate: `[G]`, true rates.

    >>> nothing = Curve(np.zeros(1), np.zeros(1))
    >>> chance_of_so_well(nothing, Rates("", 0.0, 1, 1, 0, 1), np.array([0.5]), np.array([0.5]))  # 1/2 times 1/2
    array([0.25])
    """
    ends = np.array([alarm_rate.min(), alarm_rate.max()]) * rates.num_out
    first, last = ends + WINDOW * np.array([-1, 1]) * (np.sqrt(ends) + WINDOW)
    alarms = np.arange(max(int(first), 0), min(int(last), rates.num_out) + 1)  # [A]
    chance = np.asarray(stats.binom.pmf(alarms, rates.num_out, alarm_rate[:, None]))  # [G, A]
    row, column = np.nonzero(chance > RARE)
    among, place = np.unique(column, return_inverse=True)
    allowed = most_true_positives(promised, np.append(alarms[among], rates.false_positives) / rates.num_out)
    # hits for guesses as far above the promise
    needed = np.ceil(rates.true_positives + rates.num_in * (allowed[:-1] - allowed[-1]) - 1e-9)[place]
    weights = chance[row, column]
    both = weights * stats.binom.sf(needed - 1, rates.num_in, hit_rate[row])
    rest = 1 - np.bincount(row, weights, len(alarm_rate))
    return np.asarray(np.bincount(row, both, len(alarm_rate)) + np.maximum(rest, 0.0))
