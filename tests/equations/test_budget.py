"""Eq. (4), Eq. (5) and their inverses, by hand, in exact fractions and against the paper's table."""

import math
from fractions import Fraction

import pytest

from cnndp.equations.budget import Budget, budget_for_scales, budget_for_total, step_epsilon, total_epsilon, zcdp_rho
from cnndp.equations.noise import laplace_scale

CASES = [(E, T, r) for E in (0.1, 72.5, 960.0) for T in (1, 2, 3, 300, 22_400) for r in (0.25, 1.0, 2.0, 11.1)]


def test_eq4_counts_from_t_minus_1():
    budget = Budget(0.25, 0.01)
    assert step_epsilon(1, budget) == 0.25  # exactly
    assert [step_epsilon(t, Budget(1, 2)) for t in (1, 2, 3)] == [1, 3, 5]


def test_eq5_for_three_steps_in_fractions():
    budget = Budget(Fraction(1, 3), Fraction(1, 7))
    by_hand = Fraction(1, 3) + (Fraction(1, 3) + Fraction(1, 7)) + (Fraction(1, 3) + Fraction(2, 7))
    assert by_hand == Fraction(10, 7)
    assert total_epsilon(3, budget) == by_hand
    assert sum(step_epsilon(t, budget) for t in (1, 2, 3)) == by_hand


@pytest.mark.parametrize(("total", "num_steps", "growth"), CASES)
def test_budget_for_total_undoes_eq5(total, num_steps, growth):
    budget = budget_for_total(total, num_steps, growth)
    assert total_epsilon(num_steps, budget) == pytest.approx(total, rel=1e-12)
    assert math.fsum(step_epsilon(t, budget) for t in range(1, num_steps + 1)) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(("total", "num_steps", "growth"), [case for case in CASES if case[1] > 1])
def test_the_last_step_gets_growth_times_the_first(total, num_steps, growth):
    budget = budget_for_total(total, num_steps, growth)
    assert step_epsilon(num_steps, budget) / step_epsilon(1, budget) == pytest.approx(growth, rel=1e-9)


def test_growth_one_is_a_constant_budget_and_one_step_ignores_growth():
    assert budget_for_total(6.0, 3, growth=1.0) == Budget(2.0, 0.0)
    assert budget_for_total(6.0, 1, growth=5.0) == Budget(6.0, 0.0)


def test_mnist_300_steps_doubling_as_in_the_readings():
    budget = budget_for_total(72.5, 300, growth=2.0)
    assert budget.initial_epsilon == pytest.approx(0.16111, abs=5e-6)
    assert budget.increment == pytest.approx(5.388e-4, abs=5e-8)


@pytest.mark.parametrize(("first", "last"), [(2.0, 0.18), (15.0, 0.1), (0.5, 3.0), (1.0, 1.0)])
def test_budget_for_scales_has_its_two_ends(first, last):
    budget = budget_for_scales(first, last, sensitivity=0.5, num_steps=7)
    ends = [laplace_scale(0.5, step_epsilon(t, budget)) for t in (1, 7)]
    assert ends == pytest.approx([first, last])
    assert budget_for_scales(first, last, 0.5, num_steps=1) == Budget(0.5 / first, 0.0)


def test_an_arithmetic_budget_is_time_based_decay_of_the_scale():
    budget = budget_for_total(141.0, 600, growth=3.0)
    k = budget.increment / budget.initial_epsilon
    first = laplace_scale(0.5, budget.initial_epsilon)
    for t in (1, 2, 37, 600):
        assert laplace_scale(0.5, step_epsilon(t, budget)) == pytest.approx(first / (1 + k * (t - 1)))


@pytest.mark.parametrize("budget", [Budget(0.0, 0.0), Budget(-1.0, 0.1), Budget(1.0, -0.5)])
def test_a_step_without_budget_is_refused_with_its_number(budget):
    with pytest.raises(ValueError, match=r"epsilon_t=\S+ at t=3 .*raise initial_epsilon or increment"):
        step_epsilon(3, budget)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("total_epsilon", lambda v: budget_for_total(v, 10, 2.0)),
        ("growth", lambda v: budget_for_total(1.0, 10, v)),
        ("initial_scale", lambda v: budget_for_scales(v, 1.0, 0.5, 10)),
        ("final_scale", lambda v: budget_for_scales(1.0, v, 0.5, 10)),
        ("sensitivity", lambda v: budget_for_scales(2.0, 1.0, v, 10)),
        ("sensitivity", lambda v: laplace_scale(v, 1.0)),
        ("epsilon", lambda v: laplace_scale(0.5, v)),
        ("epsilon", lambda v: zcdp_rho(v)),
        ("delta", lambda v: zcdp_rho(1.0, v)),
    ],
)
def test_what_must_be_positive_is_refused_with_name_value_and_remedy(name, call, value):
    with pytest.raises(ValueError, match=rf"^{name}={value} must be a finite number above 0; pass one"):
        call(value)


@pytest.mark.parametrize("value", [0, -3, 2.0, True])
def test_iterations_are_whole_numbers_from_1(value):
    budget = Budget(1.0, 0.0)
    for name, call in {
        "t": lambda: step_epsilon(value, budget),
        "num_steps": lambda: total_epsilon(value, budget),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}={value} must be a whole number; the smallest allowed is 1"):
            call()
    with pytest.raises(ValueError, match="num_steps"):
        budget_for_total(1.0, value, 2.0)


@pytest.mark.parametrize("epsilon", [0.01, 1.0, 8.0, 279.5])
@pytest.mark.parametrize("delta", [1e-5, 1e-2])
def test_zcdp_rho_undoes_its_conversion(epsilon, delta):
    rho = zcdp_rho(epsilon, delta)
    assert rho + 2 * math.sqrt(rho * math.log(1 / delta)) == pytest.approx(epsilon, rel=1e-9)
    assert rho > 0
