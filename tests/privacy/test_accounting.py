"""Epsilons agree with what others have computed, and with a plain integral."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from cnndp.privacy.accounting import laplace_epsilon, rdp_epsilon

Q_P2 = 250 / 60_000


@pytest.mark.parametrize(("epochs", "epsilon"), [(3, 0.5632), (20, 1.0917)])
def test_p2s_settings_give_what_the_tutorials_accountant_prints(epochs, epsilon):
    assert rdp_epsilon(1.3, Q_P2, 240 * epochs) == pytest.approx(epsilon, abs=1e-4)


def test_p2s_100_needs_a_noise_multiplier_below_a_quarter_of_the_stated_one():
    needed = brentq(lambda multiplier: rdp_epsilon(multiplier, Q_P2, 4800) - 100.09, 0.25, 0.4)
    assert needed == pytest.approx(0.294, abs=0.004)
    assert rdp_epsilon(needed, Q_P2, 720) > 40  # and then the first three epochs alone would cost 46, not 0.56


@pytest.mark.parametrize(
    ("num_steps", "total", "sampled", "unsampled"), [(300, 72.5, 0.053, 24.3), (600, 141.0, 0.075, 37.9)]
)
def test_table_ii_as_laplace_noise(num_steps, total, sampled, unsampled):
    steps = [(total / num_steps, num_steps)]
    assert laplace_epsilon(steps, 250 / 56_000) == pytest.approx(sampled, abs=5e-4)
    assert laplace_epsilon(steps, 1.0) == pytest.approx(unsampled, abs=0.05)


def test_one_gaussian_release_is_bounded_by_renyi_and_not_by_much():
    """The exact delta of one release: Phi(1/2s - e s) - exp(e) Phi(-1/2s - e s)."""
    sigma, delta = 2.0, 1e-5

    def exact(epsilon):
        upper, lower = norm.cdf(0.5 / sigma - epsilon * sigma), norm.cdf(-0.5 / sigma - epsilon * sigma)
        return upper - math.exp(epsilon) * lower

    tight = brentq(lambda epsilon: exact(epsilon) - delta, 0.1, 10)
    assert tight <= rdp_epsilon(sigma, 1.0, 1) <= 1.25 * tight


def test_one_laplace_release_costs_its_own_budget_and_order_does_not_matter():
    assert laplace_epsilon([(0.5, 1)], 1.0, delta=1e-12) == pytest.approx(0.5, abs=1e-3)
    growing = [(0.1, 50), (0.2, 50)]
    assert laplace_epsilon(growing, 0.01) == pytest.approx(laplace_epsilon(growing[::-1], 0.01))


def test_more_steps_more_sampling_and_less_noise_cost_more():
    base = rdp_epsilon(1.3, 0.01, 100)
    assert rdp_epsilon(1.3, 0.01, 200) > base
    assert rdp_epsilon(1.3, 0.02, 100) > base
    assert rdp_epsilon(1.0, 0.01, 100) > base


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.1, 10), "noise_multiplier=0.0 must be a finite number above 0"),
        ((1.0, 1.5, 10), "sampling_prob=1.5, delta=1e-05: both are probabilities"),
        ((1.0, 0.1, 0), "num_steps=0 must be a whole number"),
    ],
)
def test_bad_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rdp_epsilon(*arguments)
    with pytest.raises(ValueError, match=r"step_epsilon=-1 must be"):
        laplace_epsilon([(-1, 1)], 1.0)
