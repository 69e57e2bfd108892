"""One training step: what is added to the gradient, at which scale, how far it goes and what the ledger says."""

import math

import numpy as np
import pytest
import torch
import twins

from cnndp.equations import noise
from cnndp.equations.budget import budget_for_total, step_epsilon
from cnndp.equations.losses import cross_entropy
from cnndp.papers.presets import METHODS, PRINTED, preset
from cnndp.training.clipping import example_clipped_sum, unclipped_sum
from cnndp.training.config import Config
from cnndp.training.gradients import flatten, unflatten
from cnndp.training.methods import add_noise, compose, noise_std, noisy_gradient, releases, update
from cnndp.training.models import build

NOISY = [method for method in METHODS if method != "cnn"]
ALL = [(method, "reconstructed") for method in METHODS] + [(method, "printed") for method in PRINTED]
EVERY = pytest.mark.parametrize(("method", "reading"), ALL)
N = 1437


def config_for(method="cnn", reading="reconstructed", num_steps=300, **changes):
    return preset(method, reading, "mnist", num_steps, **{"batch_size": 24, **changes})


def draw(mechanism, count, seed=0):
    return noise.MECHANISMS[mechanism](count, 1.0, torch.Generator().manual_seed(seed)).double()


def released(config, subject, batch, t=1, seed=0, unit_noise=None):
    """Return the method, the unit noise and what one step released."""
    model, weights = subject
    method = compose(config, N)
    unit_noise = draw(config.mechanism, len(weights), seed) if unit_noise is None else unit_noise
    return method, unit_noise, noisy_gradient(method, model, weights, *batch, t, unit_noise)


# Limits


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("l2_coefficient", [0.0, 0.5])
@pytest.mark.parametrize("clip", ["none", "example_l2"])
def test_without_noise_and_clip_it_is_torch_sgd_step_for_step(digits, momentum, l2_coefficient, clip):
    size = 16
    config = config_for(
        batch_size=size,
        momentum=momentum,
        l2_coefficient=l2_coefficient,
        clip=clip,
        clip_norm=None if clip == "none" else 1e6,
    )
    method = compose(config, N)
    model, reference = (
        build("mnist_cnn", num_classes=10, activation="tanh", generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    )
    optimizer = torch.optim.SGD(
        reference.parameters(), lr=config.learning_rate, momentum=momentum, weight_decay=l2_coefficient / size
    )
    weights = flatten(model)
    velocity, start = torch.zeros_like(weights), weights.clone()
    for t in range(1, 6):
        inputs = digits.train_images[size * t : size * (t + 1)] / 255
        labels = digits.train_labels[size * t : size * (t + 1)]
        noisy = noisy_gradient(method, model, weights, inputs, labels, t, torch.zeros_like(weights))
        weights, velocity, step = update(method, weights, velocity, noisy, t)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(reference(inputs), labels)
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(noisy.loss, loss.detach())
        torch.testing.assert_close(weights, flatten(reference), rtol=1e-4, atol=1e-5)
        assert step.size.item() == pytest.approx(0.3)
        assert step.slack is None
    assert (weights - start).abs().max() > 0.01


@pytest.mark.parametrize(("method", "reading"), [pair for pair in ALL if pair != ("cnn_dp_gan_polyak", "printed")])
def test_every_method_without_noise_reduces_the_loss(digits, linear, method, reading):
    none = {"mechanism": "none", "total_epsilon": None, "calibration": "step", "noise_on": "sum"}
    config = config_for(method, reading, batch_size=64, **none)
    parts = compose(config, N)
    model, weights = linear
    velocity, zeros = torch.zeros_like(weights), torch.zeros_like(weights)
    inputs, labels = digits.train_images[: 5 * 64].double() / 255, digits.train_labels[: 5 * 64]

    def total_loss():
        return unclipped_sum(model, weights, inputs, labels, cross_entropy).losses.mean().item()

    before = total_loss()
    for t in range(1, 16):
        part = slice(64 * (t % 5), 64 * (t % 5) + 64)
        noisy = noisy_gradient(parts, model, weights, inputs[part], labels[part], t, zeros)
        weights, velocity, _ = update(parts, weights, velocity, noisy, t)
    # The printed settings hardly move: rate 0.001 on gradients clipped to 0.002.
    assert total_loss() < before - (0.2 if reading == "reconstructed" else 0.0)


def test_eq10_on_a_gradient_clipped_as_in_table_i_jumps_by_the_loss_over_the_clip_norm(linear, batch):
    """Why the printed Polyak method does not train even without noise: the step divides by the clip squared."""
    none = {"mechanism": "none", "total_epsilon": None, "noise_on": "sum"}
    config = config_for("cnn_dp_gan_polyak", "printed", l2_coefficient=0.0, **none)
    weights = linear[1]
    method, _, noisy = released(config, linear, batch)
    moved, _, step = update(method, weights, torch.zeros_like(weights), noisy, 1)
    assert noisy.gradient.norm().item() == pytest.approx(0.002)
    assert step.size.item() == pytest.approx(noisy.loss.item() / 0.002**2)
    assert (moved - weights).norm().item() == pytest.approx(noisy.loss.item() / 0.002)  # about 1150


# What the noise is


@pytest.mark.parametrize("method", NOISY)
def test_the_noise_is_scale_times_the_draw_over_b_at_every_coordinate_of_every_layer(network, batch, method):
    config = config_for(method)
    model, weights = subject = network()
    _, unit_noise, noisy = released(config, subject, batch)
    clean = released(config, subject, batch, unit_noise=torch.zeros_like(weights))[2]
    scale = noisy.releases[0].scale
    found = unflatten(model, (noisy.gradient - clean.gradient) * config.batch_size / scale)
    assert len(found) == 8
    for name, expected in unflatten(model, unit_noise).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-9)
        assert found[name].abs().mean() > 0.1
    assert torch.equal(noisy.loss, clean.loss)  # raw


@pytest.mark.parametrize("method", ["cnn", *NOISY])
def test_without_the_noise_it_is_the_clipped_sum_over_b(network, batch, method):
    config = config_for(method, batch_size=30)  # B is public: not the size of the batch at hand
    model, weights = subject = network()
    clean = released(config, subject, batch, unit_noise=torch.zeros_like(weights))[2].gradient
    if config.clip == "none":
        summed = unclipped_sum(model, weights, *batch, cross_entropy)
    else:
        summed = example_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=0.5, order=2)
    torch.testing.assert_close(clean, summed.total / 30)


@pytest.mark.parametrize("t", [1, 2, 150, 300])
@pytest.mark.parametrize("growth", [1.0, 2.0, 11.1])
@pytest.mark.parametrize(
    ("mechanism", "clip", "clip_norm", "sensitivity"),
    [
        ("laplace", "none", None, 0.5),  # Table II's, where nothing is guaranteed
        ("laplace", "batch", 0.002, 0.5),
        ("laplace", "example_l1", 0.1, 0.1),  # the clip's
        ("gaussian", "example_l2", 3.0, 3.0),
    ],
)
def test_the_scale_is_the_sensitivity_over_the_budget_of_eq4(
    linear, batch, t, growth, mechanism, clip, clip_norm, sensitivity
):
    config = config_for("cnn_dp_gan", mechanism=mechanism, clip=clip, clip_norm=clip_norm, growth=growth)
    release = released(config, linear, batch, t)[2].releases[0]
    budget = budget_for_total(72.5, 300, growth)
    assert release.scale == pytest.approx(sensitivity / step_epsilon(t, budget))
    assert release.scale == pytest.approx(
        sensitivity * 300 * (1 + growth) / (2 * 72.5) / (1 + (growth - 1) * (t - 1) / 299)
    )
    assert release.sensitivity == (None if clip in ("none", "batch") else clip_norm)


def test_a_step_at_its_first_and_last_scale_by_hand(linear, batch):
    config = config_for("cnn_dp_gan")  # 72.5 over 300 steps, doubling: 0.16111 to 0.32222
    scales = [released(config, linear, batch, t)[2].releases[0].scale for t in (1, 300)]
    assert scales == pytest.approx([3.1034, 1.5517], abs=1e-4)


@pytest.mark.parametrize(("t", "expected"), [(1, 2.0), (300, 1.8)])
def test_the_scale_is_clamped_between_table_is_ends(linear, batch, t, expected):
    config = config_for("cnn_dp_gan", initial_scale=2.0, min_scale=1.8)
    assert released(config, linear, batch, t)[2].releases[0].scale == expected


@pytest.mark.parametrize("method", ["cnn_dp_gan", "cdp"])
def test_noise_on_the_mean_is_b_times_larger_on_the_sum(linear, batch, method):
    on_sum, on_mean = (released(config_for(method, noise_on=where), linear, batch)[2] for where in ("sum", "mean"))
    assert on_mean.releases[0].scale == pytest.approx(24 * on_sum.releases[0].scale)
    assert on_mean.noise_std == pytest.approx(24 * on_sum.noise_std)


@pytest.mark.parametrize(
    ("num_steps", "sigma", "step_sigma"), [(300, 1.06, 2.07), (600, 0.97, 2.13), (1200, 0.90, 2.15)]
)
def test_sigmas_of_the_baselines_on_mnist(linear, batch, num_steps, sigma, step_sigma):
    found = {
        method: released(config_for(method, num_steps=num_steps), linear, batch, t=7)[2].releases[0].scale
        for method in ("cdp", "dp_sgd", "dpgdm")
    }
    assert found["cdp"] == pytest.approx(sigma, abs=0.005)
    total = {300: 72.5, 600: 141, 1200: 279.5}[num_steps]
    assert found["cdp"] == pytest.approx(twins.zcdp_sigma(total, num_steps, clip_norm=0.5), rel=1e-6)
    assert found["dp_sgd"] == found["dpgdm"] == pytest.approx(step_sigma, abs=0.005)


# The ledger


@EVERY
def test_the_ledger_holds_what_was_added(linear, batch, method, reading):
    config = config_for(method, reading)
    clean = released(config, linear, batch, unit_noise=torch.zeros_like(linear[1]))[2].gradient
    releases = [released(config, linear, batch, t=5, seed=seed)[2] for seed in range(4)]
    added = torch.cat([noisy.gradient - clean for noisy in releases]) * config.batch_size
    entry = releases[0].releases[0]
    assert (entry.quantity, entry.mechanism, entry.steps) == ("gradient", config.mechanism, 1)
    assert entry.sampling == "reshuffled"
    expected = {"laplace": math.sqrt(2), "gaussian": 1.0, "none": 0.0}[config.mechanism] * entry.scale
    assert added.std().item() == pytest.approx(expected, rel=0.03)
    assert releases[0].noise_std * config.batch_size == pytest.approx(expected)
    assert (entry.scale > 0) == (method != "cnn")
    assert entry.sensitivity == (0.5 if config.clip == "example_l2" else None)


@EVERY
def test_the_raw_loss_is_in_the_ledger_exactly_when_the_step_reads_it(linear, batch, method, reading):
    config = config_for(method, reading)
    entries = released(config, linear, batch)[2].releases
    raw = [entry for entry in entries if entry.quantity == "loss"]
    assert len(raw) == (1 if config.step == "polyak" else 0)
    for entry in raw:
        assert (entry.mechanism, entry.scale, entry.sensitivity, entry.steps) == ("none", 0.0, None, 1)


def test_noise_std_of_each_mechanism():
    assert [noise_std(name, 3.0) for name in ("laplace", "gaussian", "none")] == pytest.approx([18**0.5, 3.0, 0.0])


# The step


@pytest.mark.parametrize("total", [72.5, 1e4, 1e7])  # much noise, some, next to none
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_step": 1e-3},
        {"debias": False},
        {"debias": False, "max_step": None},
        {"l2_coefficient": 0.5, "momentum": 0.9},
    ],
    ids=["reconstructed", "small cap", "capped", "eq10", "l2 and momentum"],
)
def test_polyak_steps_agree_with_a_numpy_twin(linear, batch, total, changes):
    config = config_for("cnn_dp_gan_polyak", num_steps=10, total_epsilon=total, **changes)
    model, weights = linear
    method, velocity = compose(config, N), torch.zeros_like(weights)
    parts = [part.numpy() for part in unflatten(model, weights).values()]
    twin = twins.LogisticRegression(*parts)
    names = ("max_step", "debias", "l2_coefficient", "momentum", "growth", "num_steps")
    x = batch[0].reshape(24, -1).numpy()
    for t in range(1, 6):
        unit_noise = draw("laplace", len(weights), seed=t)
        noisy = noisy_gradient(method, model, weights, *batch, t, unit_noise)
        weights, velocity, step = update(method, weights, velocity, noisy, t)
        loss, alpha, slack = twin.step(
            x, batch[1].numpy(), t, unit_noise.numpy(), total=total, **{name: getattr(config, name) for name in names}
        )
        assert noisy.loss.item() == pytest.approx(loss)
        assert step.size.item() == pytest.approx(alpha)
        assert (step.slack is None) == (slack is None)
        assert slack is None or step.slack.item() == pytest.approx(slack, abs=1e-12)
        expected = np.concatenate([twin.weight.ravel(), twin.bias])
        np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("l2_over", ["batch", "train"])
def test_l2_enters_outside_clip_and_noise(network, batch, l2_over):
    changes = {"l2_coefficient": 0.5, "l2_over": l2_over}
    plain, regular = (config_for("dp_sgd", **options) for options in ({}, changes))
    subject = network()
    weights = subject[1]
    without, _, noisy = released(plain, subject, batch)
    method, _, noisy_too = released(regular, subject, batch)
    assert torch.equal(noisy.gradient, noisy_too.gradient)
    assert noisy.releases == noisy_too.releases
    zeros = torch.zeros_like(weights)
    moved, moved_too = (update(m, weights, zeros, noisy, 1)[0] for m in (without, method))
    factor = 0.5 / (24 if l2_over == "batch" else N)
    torch.testing.assert_close(moved - moved_too, 0.3 * factor * weights, rtol=1e-5, atol=1e-9)


def test_the_rate_decays_over_the_steps(linear, batch):
    method, _, noisy = released(config_for("cnn_dp", decay=0.5), linear, batch)
    sizes = [update(method, linear[1], torch.zeros_like(linear[1]), noisy, t)[2].size.item() for t in (1, 2, 3)]
    assert sizes == pytest.approx([0.3, 0.2, 0.15])


@EVERY
def test_a_step_leaves_its_arguments_the_model_and_the_global_state_alone(linear, batch, method, reading):
    model, weights = linear
    config = config_for(method, reading)
    unit_noise, velocity = draw(config.mechanism, len(weights)), torch.ones_like(weights)
    kept = [tensor.clone() for tensor in (weights, *batch, unit_noise, velocity, flatten(model))]
    state = torch.get_rng_state()
    parts = compose(config, N)
    results = []
    for _ in range(2):
        noisy = noisy_gradient(parts, model, weights, *batch, 3, unit_noise)
        results.append((noisy.gradient, *update(parts, weights, velocity, noisy, 3)[:2]))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
    now = (weights, *batch, unit_noise, velocity, flatten(model))
    assert all(torch.equal(one, two) for one, two in zip(kept, now, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_composition_of_ones_own_needs_no_name_of_the_papers(linear, batch):
    config = Config(
        method="mine",
        reading="reconstructed",
        dataset="digits",
        num_steps=20,
        batch_size=24,
        loss="brier",
        clip="example_l1",
        clip_norm=0.1,
        mechanism="laplace",
        total_epsilon=10.0,
        step="polyak",
        max_step=0.5,
        momentum=0.5,
    )
    method, _, noisy = released(config, linear, batch)
    _, _, step = update(method, linear[1], torch.zeros_like(linear[1]), noisy, 1)
    assert noisy.releases[0].scale == pytest.approx(0.1 / 0.5)
    assert 0 <= noisy.loss <= 1
    assert 0 < step.size <= 0.5


@pytest.mark.parametrize("method", ["cnn", "cnn_dp_gan", "cnn_dp_gan_polyak", "dp_sgd"])
def test_noise_is_added_to_the_sum_before_it_is_divided_whether_its_scale_is_a_number_or_a_tensor(method):
    """By hand: a sum of 8 with noise of scale 3 and a draw of 2, over a batch of 7."""
    parts = compose(config_for(method, batch_size=7), N)
    total, draw, loss = torch.tensor([8.0, -8.0]), torch.tensor([2.0, 0.0]), torch.tensor(0.5)
    number, tensor = (add_noise(parts, total, loss, scale, draw) for scale in (3.0, torch.tensor(3.0)))
    torch.testing.assert_close(number.gradient, torch.tensor([14 / 7, -8 / 7]))
    assert torch.equal(number.gradient, tensor.gradient)
    assert number.noise_std == pytest.approx(float(tensor.noise_std))
    assert number.loss is loss
    names = [entry.quantity for entry in releases(parts, 3.0, None, 1)]
    assert names == (["gradient", "loss"] if method == "cnn_dp_gan_polyak" else ["gradient"])
