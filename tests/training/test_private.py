"""The private reading: what a run releases is what was planned, bounded, noised, divided by public numbers and priced.

Each known pitfall is planted in a copy of the method, and must be noticed by the same check that the real one passes.
"""

import math

import pytest
import torch

from cnndp.data.datasets import pixels
from cnndp.papers.presets import PRIVATE, preset
from cnndp.privacy.accounting import exact_epsilon
from cnndp.privacy.ledger import guarantee_gap
from cnndp.privacy.plan import Guard, OverspendError
from cnndp.runs.recording import make_record
from cnndp.runs.replay import replay
from cnndp.training import loop, wiring
from cnndp.training.config import Config
from cnndp.training.gradients import flatten
from cnndp.training.intended import intended
from cnndp.training.loop import train
from cnndp.training.methods import add_noise, compose, loss_sum, mean_loss, noisy_gradient
from cnndp.training.models import build
from cnndp.training.wiring import Material, Wiring, eager_steps

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
TWINS = [(method, mechanism) for method in PRIVATE for mechanism in ("laplace", "gaussian")]


def private(method="dp_sgd", num_steps=6, **changes):
    target = {} if "noise_multiplier" in changes else {"target_epsilon": 3.0}
    changes = {"batch_size": 20, **target, **changes}
    return preset(method, "private", "digits", num_steps, **changes)


def polyak(**changes):
    return private("cnn_dp_gan_polyak", **{"mechanism": "gaussian", **changes})


def composed(config, num_train=60):
    return compose(config, num_train, plan=intended(config, num_train))


def network(config):
    model = build(config.model, num_classes=10, activation="tanh", generator=torch.Generator().manual_seed(0))
    return model, flatten(model)


# Config: what has no guarantee is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": "example_l1"}, "Gaussian noise with clip='example_l2'"),
        ({"clip": "none", "clip_norm": None}, "Gaussian noise with clip='example_l2'"),
        ({"clip": "batch"}, "Gaussian noise with clip='example_l2'"),
        ({"sampling": "reshuffled"}, "pass sampling='poisson'"),
        ({"noise_on": "mean"}, "noise_on='sum'"),
        ({"total_epsilon": 3.0}, "leave these at None"),
        ({"min_scale": 0.1}, "leave these at None"),
        ({"calibration": "zcdp"}, "leave these at None"),
        ({"noise_multiplier": 1.0}, "give one"),
        ({"step": "polyak"}, r"must be released with noise \(give loss_clip\)"),
        ({"loss_clip": 4.0}, "no other step does"),
        ({"delta": 0.0}, "delta=0.0 must be"),
        ({"delta": 1.0}, "delta=1.0 must lie"),
        ({"target_epsilon": None}, "noise needs a budget"),
        ({"target_epsilon": -1.0}, "target_epsilon=-1.0"),
    ],
)
def test_a_private_run_without_a_guarantee_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        private().replace(**changes)


def test_a_loss_needs_a_share_and_other_readings_have_neither_target_nor_released_loss():
    with pytest.raises(ValueError, match="loss_share=0"):
        polyak(loss_share=0.0)
    plain = preset("dp_sgd", "reconstructed", "digits", 6)
    for changes in ({"target_epsilon": 1.0, "total_epsilon": None}, {"loss_clip": 1.0}):
        with pytest.raises(ValueError, match="belong to reading='private'"):
            plain.replace(**changes)


def test_the_digest_of_an_old_run_knows_nothing_of_the_new_fields():
    old = preset("dp_sgd", "reconstructed", "mnist", 300)
    assert old.digest == old.replace(delta=1e-5, loss_share=0.05, sampling="reshuffled").digest
    assert private().digest != private(delta=1e-6).digest != private(target_epsilon=2.9).digest


def test_a_batch_larger_than_the_data_is_refused(few):
    with pytest.raises(ValueError, match="batch_size=61 is larger than the 60 training examples"):
        train(private(batch_size=61), few)


# What a run releases


@pytest.mark.parametrize(("method", "mechanism"), TWINS)
def test_a_run_releases_its_plan_and_the_ledger_costs_no_more_than_the_target(few, method, mechanism):
    config = private(method, mechanism=mechanism)
    outcome, plan = train(config, few), intended(config, 60)
    assert outcome.status == "finished"
    assert sum(release.steps for release in outcome.releases if release.quantity == "gradient") == 6
    assert guarantee_gap(outcome.releases) is None
    spent = exact_epsilon(outcome.releases, config.delta).epsilon
    assert 0.99 * 3.0 < spent <= 3.0
    assert spent == pytest.approx(plan.check().epsilon, rel=1e-6)
    assert {release.sampling_prob for release in outcome.releases} == {20 / 60}
    assert {release.quantity for release in outcome.releases} == (
        {"gradient", "loss"} if config.step == "polyak" else {"gradient"}
    )


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_a_record_says_what_it_cost(few, mechanism):
    privacy = make_record(private("cnn_dp_gan", mechanism=mechanism), few, "some", CPU)["privacy"]
    assert privacy["no_guarantee"] is None
    assert privacy["nominal_epsilon"] is None
    assert 2.97 < privacy["exact_epsilon"] <= 3.0
    assert privacy["delta"] == 1e-5
    assert (privacy["pure_epsilon"] is None) == (mechanism == "gaussian")
    assert (privacy["renyi_epsilon"] is None) == (mechanism == "laplace")
    assert privacy["renyi_epsilon"] is None or privacy["renyi_epsilon"] > privacy["exact_epsilon"]


def test_a_noise_multiplier_needs_no_target_and_is_priced_all_the_same(few):
    config = private(noise_multiplier=1.3)
    assert (config.target_epsilon, intended(config, 60)) == (None, None)
    outcome = train(config, few)
    assert outcome.releases[0].scale == pytest.approx(1.3 * config.clip_norm)
    assert make_record(config, few, "some", CPU)["privacy"]["exact_epsilon"] == pytest.approx(
        exact_epsilon(outcome.releases).epsilon, rel=1e-6
    )


def test_recorded_steps_do_the_same_as_plain_ones(few):
    for config in (private(), polyak()):
        plain, recorded = (train(config, few, graph=graph) for graph in (False, True))
        torch.testing.assert_close(plain.weights, recorded.weights, rtol=1e-4, atol=1e-6)
        assert plain.releases == recorded.releases
        assert plain.trace["loss"] == pytest.approx(recorded.trace["loss"], rel=1e-4)


def test_a_private_record_replays(few):
    record = make_record(polyak(), few, "some", CPU)
    assert replay(record, few, steps=6) == []
    record["trace"]["loss"][3] += 0.01
    assert replay(record, few, steps=6) != []


# The plan and the guard


def steps_with(config, few, change, guard=True):
    """Take all steps of a config with a changed method; return the weights after each."""
    plan = intended(config, 60)
    model, weights = network(config)
    order = [torch.arange(20)] * config.num_steps
    method = change(compose(config, 60, plan=plan))
    draws = [torch.zeros(len(weights) + (method.loss_clip is not None))] * config.num_steps
    material = Material(model, few.train_images, few.train_labels, pixels)
    wiring = Wiring(method, material, weights, order, draws, Guard(plan) if guard else None)
    return [state.weights for state in eager_steps(wiring)]


def test_the_real_method_passes_its_guard(few):
    assert len(steps_with(polyak(), few, lambda method: method)) == 6


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(lambda m: m._replace(scale=lambda t, s: 0.5 * m.scale(t, s)), id="half the noise"),
        pytest.param(
            lambda m: m._replace(scale=lambda t, s: m.scale(min(t + 1, 6), s)), id="the noise of the next step"
        ),
        pytest.param(lambda m: m._replace(loss_scale=lambda t: 0.9 * m.loss_scale(t)), id="less noise on the loss"),
        pytest.param(lambda m: m._replace(sampling_prob=0.5), id="another sampling probability"),
        pytest.param(lambda m: m._replace(sampling="reshuffled"), id="a sampler that is not the accountant's"),
        pytest.param(lambda m: m._replace(mechanism="laplace"), id="another mechanism"),
        pytest.param(lambda m: m._replace(loss_clip=8.0), id="a larger bound of the losses"),
        pytest.param(lambda m: m._replace(loss_clip=None, raw_loss=True), id="the raw loss in the step size"),
    ],
)
def test_a_step_that_leaves_the_plan_is_stopped_before_the_weights_move(few, planted):
    with pytest.raises(OverspendError, match="stopped before"):
        steps_with(polyak(), few, planted)


def test_training_refuses_a_plan_that_overspends(few, monkeypatch):
    def generous(config, num_train):
        plan = intended(config, num_train)
        halved = tuple(release._replace(scale=release.scale / 2) for release in plan.releases)
        return plan._replace(releases=halved)

    monkeypatch.setattr(wiring, "intended", generous)
    with pytest.raises(OverspendError, match="target_epsilon=3"):
        train(private(), few)


def test_a_target_without_a_plan_is_refused():
    with pytest.raises(ValueError, match="without a plan"):
        compose(private(), 60)


# One step: clip, sum, noise, divide by public numbers


def one_step(config, inputs, labels, draw=None):
    model, weights = network(config)
    size = len(weights) + (config.loss_clip is not None)
    return noisy_gradient(
        composed(config), model, weights, inputs, labels, 1, torch.zeros(size) if draw is None else draw
    )


@pytest.mark.parametrize(("mechanism", "order"), [("gaussian", 2), ("laplace", 1)])
def test_one_record_moves_gradient_and_loss_by_at_most_what_the_ledger_says(few, mechanism, order):
    config = polyak(mechanism=mechanism, clip_norm=0.7, loss_clip=1.5)
    inputs, labels = pixels(few.train_images[:12]), few.train_labels[:12]
    whole = one_step(config, inputs, labels)
    gradient_bound, loss_bound = (release.sensitivity for release in whole.releases)
    moved = []
    for left_out in range(12):
        kept = torch.arange(12) != left_out
        less = one_step(config, inputs[kept], labels[kept])
        moved.append(20 * torch.linalg.vector_norm(whole.gradient - less.gradient, ord=order).item())
        assert 20 * abs(whole.loss - less.loss).item() <= loss_bound * (1 + 1e-4)
    assert max(moved) <= gradient_bound * (1 + 1e-4)
    assert max(moved) > 0.99 * gradient_bound  # the bound is not idle: these gradients are longer than the clip


def test_the_divisor_is_the_public_batch_size_whatever_was_drawn(few):
    inputs, labels = pixels(few.train_images), few.train_labels
    config = polyak(clip_norm=1e6)  # nothing is clipped, so sums are plain
    parts = [one_step(config, inputs[:30], labels[:30]), one_step(config, inputs[30:], labels[30:])]
    whole = one_step(config, inputs, labels)
    torch.testing.assert_close(parts[0].gradient + parts[1].gradient, whole.gradient, rtol=1e-4, atol=1e-6)
    assert (parts[0].loss + parts[1].loss).item() == pytest.approx(whole.loss.item(), rel=1e-5)


def test_an_empty_batch_releases_noise_alone():
    for config in (private(), polyak()):
        weights = network(config)[1]
        draw = torch.randn(len(weights) + (config.loss_clip is not None), generator=torch.Generator().manual_seed(0))
        noisy = one_step(config, torch.zeros(0, 1, 28, 28), torch.zeros(0, dtype=torch.int64), draw)
        scale = noisy.releases[0].scale
        torch.testing.assert_close(noisy.gradient, scale * draw[: len(weights)] / 20)
        expected = noisy.releases[1].scale * draw[-1] / 20 if config.loss_clip else torch.zeros(())
        assert noisy.loss.item() == pytest.approx(expected.item())


def test_a_broken_example_counts_nothing_and_does_not_stop_the_run(few):
    """Whether a run stops would otherwise tell that the example is there."""
    broken = pixels(few.train_images[:5]).clone()
    broken[2] = math.nan
    for config in (private(), polyak()):
        clean = one_step(config, broken[[0, 1, 3, 4]], few.train_labels[[0, 1, 3, 4]])
        spoilt = one_step(config, broken, few.train_labels[:5])
        torch.testing.assert_close(spoilt.gradient, clean.gradient, rtol=1e-4, atol=1e-6)
        if config.loss_clip:
            assert spoilt.loss.item() == pytest.approx(clean.loss.item(), rel=1e-5)
        images = few._replace(train_images=pixels(few.train_images))
        images.train_images[7] = math.nan

        def plain(dataset, normalise, device):
            return lambda inputs: inputs

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wiring, "network_input", plain)
            patch.setattr(loop.models, "evaluate", lambda *arguments: loop.models.Score(0.0, 0.0))
            assert train(config, images).status == "finished"


def test_losses_are_cut_to_their_bound_one_by_one():
    method = composed(polyak(loss_clip=2.0))
    losses = torch.tensor([0.5, 3.0, math.inf, math.nan, -1.0])
    assert loss_sum(method, losses).item() == 0.5 + 2.0 + 2.0 + 0.0 + 0.0
    assert mean_loss(method, torch.tensor(4.5), 5).item() == pytest.approx(4.5 / 20)  # B, not the 5 that came


def test_loss_and_gradient_carry_the_noise_that_the_ledger_names():
    method = composed(polyak(loss_clip=2.0))
    scale, loss_scale, size = 3.0, method.loss_scale(1), 200_000
    draw = torch.randn(size + 1, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(method, torch.zeros(size), torch.tensor(1.0), scale, draw, loss_scale)
    assert noisy.gradient.std().item() == pytest.approx(scale / 20, rel=0.01)
    assert noisy.loss.item() == pytest.approx(1.0 + loss_scale * draw[-1].item() / 20, rel=1e-5)
    assert noisy.noise_std == pytest.approx(scale / 20)


def test_a_loss_that_noise_pushed_below_zero_makes_no_step_backwards():
    method = composed(polyak())
    noisy = add_noise(method, torch.ones(9), torch.tensor(-5.0), 0.0, torch.zeros(10))
    step = method.step(0.3, noisy)
    assert (step.size.item(), step.slack.item()) == (0.0, 0.0)


def test_the_l2_term_is_outside_clip_and_noise_and_releases_nothing(few):
    with_l2 = private(l2_coefficient=0.5)
    assert intended(with_l2, 60) == intended(private(), 60)
    inputs, labels = pixels(few.train_images[:12]), few.train_labels[:12]
    assert torch.equal(one_step(with_l2, inputs, labels).gradient, one_step(private(), inputs, labels).gradient)
    assert composed(with_l2).l2 == 0.5 / 20


def test_the_noise_of_a_growing_budget_falls_as_its_budget_grows():
    config = private("cnn_dp_gan", mechanism="gaussian")
    method = composed(config)
    scales = [method.scale(t, config.clip_norm) for t in range(1, 7)]
    assert scales[0] / scales[-1] == pytest.approx(2.0)  # growth
    assert [scales[0] / scale for scale in scales] == pytest.approx([1 + 0.2 * k for k in range(6)])


def test_a_config_written_by_hand_needs_no_preset(few):
    config = Config(
        method="my own",
        reading="private",
        dataset="digits",
        num_steps=3,
        batch_size=20,
        sampling="poisson",
        mechanism="gaussian",
        clip="example_l2",
        clip_norm=0.5,
        target_epsilon=2.0,
    )
    assert make_record(config, few, "some", CPU)["privacy"]["exact_epsilon"] <= 2.0
