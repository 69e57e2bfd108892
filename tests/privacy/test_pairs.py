"""A joint Laplace release as a pair: never above the ledger's rule, never below what either part alone costs."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from cnndp.privacy.accounting import laplace_epsilon
from cnndp.privacy.composition import delta_whole
from cnndp.privacy.ledger import Event
from cnndp.privacy.pairs import delta_pair, pair_epsilon

Q = 250 / 56_000
RATIOS = [(1.0, 0.5), (0.3, 2.0), (3.0, 3.0), (4.75, 0.25)]


def alone(ratio, epsilon):
    return float(delta_whole(Event("laplace", 1 / ratio, 1.0, 1), np.array(epsilon)))


@pytest.mark.parametrize(("first", "second"), RATIOS)
@pytest.mark.parametrize("epsilon", [-4.0, -0.5, 0.0, 0.2, 1.0, 2.9, 5.0])
def test_the_closed_form_is_the_mean_over_the_second_loss(first, second, epsilon):
    kinks = [point for point in (epsilon - first, epsilon + first) if -second < point < second]
    between, _ = quad(
        lambda loss: np.exp(-(second - loss) / 2) / 4 * alone(first, epsilon - loss), -second, second, points=kinks
    )
    ends = alone(first, epsilon - second) / 2 + np.exp(-second) * alone(first, epsilon + second) / 2
    assert float(delta_pair(first, second, np.array(epsilon))) == pytest.approx(ends + between, abs=1e-10)


@pytest.mark.parametrize(("first", "second"), RATIOS)
def test_it_is_what_two_draws_of_noise_show(first, second):
    generator = np.random.default_rng(0)
    draws = generator.laplace(size=(2, 400_000)) + np.array([[first], [second]])
    loss = stats.laplace.logpdf(draws) - stats.laplace.logpdf(draws - np.array([[first], [second]]))
    total = -loss.sum(axis=0)  # ln of the density with the record over that without
    for epsilon in (0.0, 0.5 * first, first):
        found = np.maximum(0, 1 - np.exp(epsilon - total)).mean()
        assert float(delta_pair(first, second, np.array(epsilon))) == pytest.approx(found, abs=3e-3)


@pytest.mark.parametrize(("first", "second"), RATIOS)
def test_a_pair_costs_no_more_than_the_ledgers_rule_and_no_less_than_either_part(first, second):
    pair = pair_epsilon(first, second, Q, 300)
    assert pair < laplace_epsilon([(first + second, 300)], Q)
    assert pair > max(laplace_epsilon([(one, 300)], Q) for one in (first, second))


def test_a_second_part_of_nothing_costs_nothing():
    assert pair_epsilon(2.0, 1e-6, Q, 300) == pytest.approx(laplace_epsilon([(2.0, 300)], Q), rel=1e-3)


def test_without_sampling_the_rule_and_the_pair_differ_too():
    assert pair_epsilon(0.1, 0.1, 1.0, 50) < laplace_epsilon([(0.2, 50)], 1.0)


def test_ratios_that_are_none_are_refused():
    with pytest.raises(ValueError, match="second_ratio=0"):
        pair_epsilon(1.0, 0.0, Q, 300)
