"""Noise that adapts: from released outputs alone, within a filter's budget, ended before the step too many."""

import inspect

import pytest
import torch

from cnndp.data.datasets import pixels
from cnndp.equations.noise import unit_noise
from cnndp.papers.presets import preset
from cnndp.privacy.filters import pure_filter, renyi_filter
from cnndp.training import adaptive
from cnndp.training.adaptive import adaptive_steps
from cnndp.training.batches import poisson
from cnndp.training.gradients import flatten
from cnndp.training.intended import intended
from cnndp.training.methods import compose
from cnndp.training.models import build

CPU = torch.device("cpu")


def private(mechanism="gaussian", method="dp_sgd", **changes):
    changes = {"mechanism": mechanism, "batch_size": 12, "target_epsilon": 8.0, **changes}
    return preset(method, "private", "digits", 40, **changes)


def steps(few, rule, budget, mechanism="gaussian", config=None):
    config = config or private(mechanism)
    count = len(few.train_labels)
    method = compose(config, count, plan=intended(config, count))
    model = build("mnist_cnn", num_classes=10, activation="tanh", generator=torch.Generator().manual_seed(0))
    weights = flatten(model)
    order = poisson(count, method.sampling_prob, 40, torch.Generator().manual_seed(1))
    draws = unit_noise(mechanism, len(weights), 40, torch.Generator().manual_seed(2), CPU)
    return adaptive_steps(
        method, rule, budget, model, weights, pixels(few.train_images), few.train_labels, order, draws
    )


def costs(budget, taken):
    """Return what a filter has spent after each step."""
    spent = []
    for state in taken:
        budget = budget.admit(state.noisy.releases)
        spent.append(budget.spent)
    return spent


@pytest.mark.parametrize(
    ("mechanism", "budget"), [("gaussian", renyi_filter(2.0, 1e-5, 12.0)), ("laplace", pure_filter(3.0))]
)
def test_the_filter_ends_the_run_before_the_step_too_many(few, mechanism, budget):
    taken = list(steps(few, lambda t, first, last: 2.0, budget, mechanism))
    spent = costs(budget, taken)
    assert 0 < len(taken) < 40
    assert spent[-1] <= budget.budget < spent[-1] + (spent[-1] - spent[-2]) * 1.001  # one more does not fit
    again = list(steps(few, lambda t, first, last: 4.0, budget, mechanism))
    assert len(again) > len(taken)


def test_a_rule_sees_the_released_gradients_and_its_answer_is_the_noise(few):
    seen = []

    def rule(t, first, last):
        seen.append((t, first, last))
        return 4.0 - 0.1 * t

    taken = list(steps(few, rule, renyi_filter(2.0, 1e-5, 12.0)))
    assert seen[0] == (1, None, None)
    for (t, first, last), state in zip(seen[1:], taken, strict=False):
        assert first is taken[0].noisy.gradient
        assert last is state.noisy.gradient
        assert taken[t - 2].noisy.releases[0].scale == pytest.approx((4.0 - 0.1 * (t - 1)) * 1.0)


def test_a_rule_gets_nothing_that_was_not_released():
    """What could leak - batch, raw loss, weights' gradients without noise - is no argument of a rule."""
    (call,) = [line for line in inspect.getsource(adaptive.adaptive_steps).splitlines() if "rule(" in line]
    assert call.strip() == "multiplier = float(rule(t, first, last))"


def test_methods_that_are_not_private_or_release_a_loss_are_refused(few):
    plain = preset("dp_sgd", "reconstructed", "digits", 40, batch_size=12)
    polyak = private("laplace", "cnn_dp_gan_polyak")
    for config, message in ((plain, "norm=None"), (polyak, r"loss_clip=4\.0")):
        count = len(few.train_labels)
        method = compose(config, count, plan=intended(config, count))
        model = build("mnist_cnn", num_classes=10, activation="tanh", generator=torch.Generator().manual_seed(0))
        with pytest.raises(ValueError, match=message):
            next(adaptive_steps(method, lambda *_: 1.0, pure_filter(1.0), model, flatten(model), *few[1:3], [], []))


@pytest.mark.parametrize("answer", [0.0, -1.0, float("nan")])
def test_noise_that_is_no_noise_is_refused(few, answer):
    with pytest.raises(ValueError, match="multiplier="):
        next(steps(few, lambda t, first, last: answer, pure_filter(1.0)))
