"""Intervals hold what they say: simulated coverage with as few seeds as there are, and many comparisons together."""

import math

import numpy as np
import pytest
from scipy import stats

from cnndp.report.intervals import FEWEST, adjusted, chance_of, paired_interval

TRIALS = 4000


def differences(kind, count, generator):
    """Return paired differences of mean 0.3 over `count` seeds, in points."""
    if kind == "normal":
        return 0.3 + 0.2 * generator.normal(size=count)
    # Two networks whose accuracies vary from seed to seed, each a count of 14,000 images.
    seeds = generator.normal(97.0, 0.2, size=count)
    hits = [generator.binomial(14_000, (seeds + shift) / 100) for shift in (0.0, 0.3)]
    return (hits[1] - hits[0]) / 140


def coverage(interval, kind, count):
    generator = np.random.default_rng(count)
    ends = (interval(list(differences(kind, count, generator))) for _ in range(TRIALS))
    return np.mean([low <= 0.3 <= high for low, high in ends])


def percentile_bootstrap(pairs):
    rng = np.random.default_rng(0)
    means = rng.choice(pairs, size=(500, len(pairs))).mean(axis=1)
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize("kind", ["normal", "counts"])
@pytest.mark.parametrize("count", [3, 5])
def test_the_interval_covers_the_truth_in_19_of_20_cases(kind, count):
    assert coverage(paired_interval, kind, count) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("count", "reached"), [(3, 0.75), (5, 0.85)])
def test_a_percentile_bootstrap_does_not(count, reached):
    """The mistake that was made here: as an interval of 95 % it fails the test above."""
    assert coverage(percentile_bootstrap, "normal", count) == pytest.approx(reached, abs=0.05)


def test_the_interval_is_scipys():
    pairs = [0.1, 0.5, 0.2, 0.4]
    assert paired_interval(pairs) == pytest.approx(stats.ttest_1samp(pairs, 0).confidence_interval())
    assert paired_interval([1.0]) is None


def test_fewer_than_five_pairs_decide_nothing():
    assert FEWEST == 5
    assert math.isnan(chance_of([1.0, 1.1, 0.9, 1.0]))
    assert chance_of([1.0] * 5) == 0.0
    assert chance_of([0.0] * 5) == 1.0


def test_a_difference_is_told_just_where_its_interval_leaves_zero_out():
    generator = np.random.default_rng(0)
    for _ in range(200):
        pairs = list(generator.normal(0.2, 0.2, size=5))
        low, high = paired_interval(pairs)
        assert (chance_of(pairs) < 0.05) == (low > 0 or high < 0)


def test_of_twenty_comparisons_without_a_difference_hardly_any_is_called_one():
    generator = np.random.default_rng(0)
    alone, together = 0, 0
    for _ in range(300):
        chances = [chance_of(list(generator.normal(size=5))) for _ in range(20)]
        alone += any(one < 0.05 for one in chances)
        together += any(one < 0.05 for one in adjusted(chances))
    assert alone / 300 > 0.5
    assert together / 300 < 0.09
