"""Eq. (6), (8), (10) and (11) against numpy in float64, and the problem that they solve."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from cnndp.equations import stepsize

RNG = np.random.default_rng(0)
# loss, gradient, cap: the cap binds in about half of them
CASES = [(RNG.exponential(2.0), RNG.normal(size=5), 10 ** RNG.uniform(-2, 1)) for _ in range(100)]


def tensors(*values):
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


def binds(loss, gradient, cap):
    return loss / (gradient**2).sum() > cap


def test_the_cases_cover_both_sides_of_the_cap():
    assert 20 < sum(binds(*case) for case in CASES) < 80


def test_eq6_eq8_eq10_and_eq11_equal_numpy():
    for loss, gradient, cap in CASES:
        squared = (gradient**2).sum()
        weights = RNG.normal(size=5)
        l, w, g, G = tensors(loss, weights, gradient, squared)  # noqa: E741
        assert stepsize.polyak_step(l, G).item() == pytest.approx(loss / squared)
        assert stepsize.capped_step(l, G, cap).item() == pytest.approx(min(cap, loss / squared))
        assert stepsize.slack(l, G, cap).item() == pytest.approx(max(loss - cap * squared, 0))
        np.testing.assert_allclose(stepsize.descend(w, 0.3, g).numpy(), weights - 0.3 * gradient)
        np.testing.assert_allclose(
            stepsize.printed_polyak_update(w, l, g).numpy(), weights - loss / squared * gradient, rtol=1e-12
        )


def test_the_capped_step_solves_the_linearised_passive_aggressive_problem():
    """Minimise 1/2 ||w - w_t||^2 + lambda s subject to l + <g, w - w_t> <= s and s >= 0."""
    for loss, gradient, cap in CASES:

        def objective(move, loss=loss, gradient=gradient, cap=cap):
            slack = np.maximum(loss + move @ gradient, 0)
            return 0.5 * (move**2).sum(axis=-1) + cap * slack

        l, G = tensors(loss, (gradient**2).sum())  # noqa: E741
        alpha = stepsize.capped_step(l, G, cap).item()
        best = objective(-alpha * gradient)
        # The problem is convex, so no better neighbour in any direction means no better point at all.
        for radius in (1e-4, 1e-2, 1.0):
            assert objective(-alpha * gradient + radius * RNG.normal(size=(200, 5))).min() >= best - 1e-12
        along = minimize_scalar(lambda a: objective(-a * gradient), bounds=(0, 2 * cap), method="bounded")  # noqa: B023
        assert along.fun >= best - 1e-12
        # The slack of Eq. (11) is what the constraint leaves at that point.
        assert stepsize.slack(l, G, cap).item() == pytest.approx(max(loss - alpha * (gradient**2).sum(), 0), abs=1e-12)


def test_slack_is_positive_exactly_when_the_cap_binds():
    for loss, gradient, cap in CASES:
        l, G = tensors(loss, (gradient**2).sum())  # noqa: E741
        bound = stepsize.capped_step(l, G, cap).item() < stepsize.polyak_step(l, G).item()
        assert (stepsize.slack(l, G, cap).item() > 0) == bound == binds(loss, gradient, cap)


def test_a_huge_cap_is_eq6_and_eq10():
    for loss, gradient, _ in CASES:
        l, w, g, G = tensors(loss, np.ones(5), gradient, (gradient**2).sum())  # noqa: E741
        step = stepsize.capped_step(l, G, 1e12)
        assert step == stepsize.polyak_step(l, G)
        assert stepsize.slack(l, G, 1e12) == 0
        torch.testing.assert_close(stepsize.descend(w, step, g), stepsize.printed_polyak_update(w, l, g))


def test_without_gradient_eq6_is_infinite_and_the_cap_holds():
    l, G = tensors(2.0, 0.0)  # noqa: E741
    assert stepsize.polyak_step(l, G) == float("inf")
    assert stepsize.capped_step(l, G, 0.3) == 0.3
    assert stepsize.slack(l, G, 0.3) == 2.0


@pytest.mark.parametrize("value", [0.0, -0.3, float("inf"), float("nan")])
@pytest.mark.parametrize("function", [stepsize.capped_step, stepsize.slack])
def test_a_cap_that_is_not_above_0_is_refused(function, value):
    with pytest.raises(ValueError, match=rf"^max_step={value} must be a finite number above 0; pass one"):
        function(*tensors(1.0, 1.0), value)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_debiasing_removes_the_noise_on_average(mechanism):
    num_params, scale = 1000, 0.1
    gradient = np.full(num_params, (5 / num_params) ** 0.5)
    rng = np.random.default_rng(1)
    noise = (rng.laplace if mechanism == "laplace" else rng.normal)(scale=scale, size=(3000, num_params))
    variance = {"laplace": 2 * scale**2, "gaussian": scale**2}[mechanism]
    squared = torch.tensor(((gradient + noise) ** 2).sum(axis=1))
    found = stepsize.debiased_squared_norm(squared, num_params, variance)
    assert squared.mean().item() == pytest.approx(5 + num_params * variance, abs=0.2)  # 25 or 15
    assert found.mean().item() == pytest.approx(5, abs=0.2)


def test_the_debiased_norm_has_a_floor_and_without_noise_is_the_norm():
    squared = torch.tensor([0.0, 1e-6, 3.0, 10.0], dtype=torch.float64)
    torch.testing.assert_close(stepsize.debiased_squared_norm(squared, 4, 1.0)[:3], torch.full((3,), 1e-3).double())
    assert stepsize.debiased_squared_norm(squared, 4, 1.0)[3] == 6.0
    assert stepsize.debiased_squared_norm(squared, 4, 0.0)[3] == 10.0
    with pytest.raises(ValueError, match=r"noise_variance=-1.0 must be"):
        stepsize.debiased_squared_norm(squared, 4, -1.0)


@pytest.mark.parametrize("clip_norm", [None, 100.0, 1.0, 0.03])
def test_the_floor_is_below_the_gradients_that_a_clip_lets_through(clip_norm):
    longest = min(clip_norm or 1.0, 1.0)
    squared = torch.tensor([0.0, 0.01, 1.0], dtype=torch.float64) * longest**2
    found = stepsize.debiased_squared_norm(squared, 4, 0.0, clip_norm)
    torch.testing.assert_close(found, torch.tensor([1e-3, 0.01, 1.0], dtype=torch.float64) * longest**2)


def test_decay_is_time_based_from_the_second_step():
    assert stepsize.decayed_rate(0.3, 0.5, 1) == 0.3
    assert [stepsize.decayed_rate(0.3, 0.5, t) for t in (2, 3, 11)] == pytest.approx([0.2, 0.15, 0.05])
    assert stepsize.decayed_rate(0.3, 0.0, 1000) == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-0.3, 0.0, 1), "learning_rate=-0.3"), ((0.3, -1.0, 1), "decay=-1.0"), ((0.3, 0.0, 0), "t=0")],
)
def test_a_bad_rate_is_refused_by_name_and_value(arguments, message):
    with pytest.raises(ValueError, match=rf"^{message} must be .*(pass 0|smallest allowed is 1)"):
        stepsize.decayed_rate(*arguments)


def test_momentum_0_is_the_direction_itself_and_momentum_accumulates():
    velocity, direction = torch.tensor([5.0, 5.0]), torch.tensor([1.0, -2.0])
    assert torch.equal(stepsize.heavy_ball(velocity, direction, 0.0), direction)
    velocity = torch.zeros(2)
    for _ in range(3):
        velocity = stepsize.heavy_ball(velocity, direction, 0.5)
    torch.testing.assert_close(velocity, 1.75 * direction)  # 1 + 1/2 + 1/4


@pytest.mark.parametrize("momentum", [1.0, -0.1, 2.0, float("nan")])
def test_a_momentum_outside_0_to_1_is_refused(momentum):
    with pytest.raises(ValueError, match=rf"momentum={momentum} must lie in \[0, 1\); the baselines use 0.9"):
        stepsize.heavy_ball(torch.zeros(1), torch.ones(1), momentum)
