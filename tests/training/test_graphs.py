"""Recorded steps are the eager steps: on a CPU to the last digit, on a GPU up to the order of its sums."""

import math

import pytest
import torch

from cnndp.data.datasets import pixels
from cnndp.equations.losses import cross_entropy
from cnndp.papers.presets import preset
from cnndp.training import wiring
from cnndp.training.clipping import example_clipped_sum
from cnndp.training.gradients import flatten
from cnndp.training.graphs import BLOCK, GraphSteps, Recorded, padded, staged
from cnndp.training.loop import TRACE_STEPS, evaluation_steps, train
from cnndp.training.methods import compose
from cnndp.training.models import build

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
METHODS = ["cnn", "cnn_dp_gan", "cnn_dp_gan_polyak", "dp_sgd", "dpgdm", "cdp"]
LATE = 30


def config_of(method, num_steps=12, reading="reconstructed", **changes):
    return preset(method, reading, "digits", num_steps, **{"batch_size": 16, **changes})


def assert_same(one, two):
    assert repr(one[:5]) == repr(two[:5])  # nan is nan here, and floats are written in full
    torch.testing.assert_close(one.weights, two.weights, rtol=0, atol=0, equal_nan=True)


def assert_near(one, two, rel):
    assert one.releases == two.releases
    assert one.final["last_step"] == two.final["last_step"]
    for name in ("loss", "gradient_norm", "step_size"):
        assert one.trace[name] == pytest.approx(two.trace[name], rel=rel)
        assert one.history[name][1:] == pytest.approx(two.history[name][1:], rel=rel)
    assert (one.weights - two.weights).norm() <= rel * two.weights.norm()


# Batches as rows of one size


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_a_batch_becomes_rows_of_one_size_filled_up_at_the_end(count, rows):
    batch = torch.arange(count) + 7
    found = padded(batch, 4)
    assert found.shape == (rows, 4)
    assert found.dtype == torch.int64
    assert torch.equal(found.flatten()[:count], batch)
    assert (found.flatten()[count:] == -1).all()


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40])
def test_staging_yields_every_batch_once_and_in_order(count):
    batches = [torch.arange(i, i + i * 7 % 11) for i in range(count)]  # the first is empty
    found = list(staged(iter(batches), 4, CPU))
    assert len(found) == count
    for (rows, size), batch in zip(found, batches, strict=True):
        assert torch.equal(rows, padded(batch, 4))
        assert (size.shape, size.item()) == ((), len(batch))


@pytest.mark.parametrize("count", [1, 3, 20])
def test_staging_takes_batches_without_any_example(count):
    found = list(staged([torch.zeros(0, dtype=torch.int64)] * count, 4, CPU))
    assert [(tuple(rows.shape), size.item()) for rows, size in found] == [((0, 4), 0.0)] * count


def test_staging_draws_one_block_ahead_and_no_more():
    drawn = []
    batches = (drawn.append(i) or torch.tensor([i]) for i in range(100))
    parts = staged(batches, 4, CPU)
    next(parts)
    assert len(drawn) == BLOCK


# A recorded function


def test_a_recorded_function_keeps_copies_of_its_arguments():
    given = torch.tensor([1.0, 2.0])
    recorded = Recorded(lambda x: x, given)
    given.zero_()
    assert torch.equal(recorded.arguments[0], torch.tensor([1.0, 2.0]))
    later = torch.tensor([3.0, 4.0])
    result = recorded(later)
    later.zero_()
    assert torch.equal(result, torch.tensor([3.0, 4.0]))
    recorded(torch.tensor([5.0, 6.0]))
    assert torch.equal(result, torch.tensor([5.0, 6.0]))  # the same tensor is written to each time


def test_a_recorded_function_wants_as_many_arguments_as_it_was_recorded_with():
    with pytest.raises(ValueError, match="zip"):
        Recorded(torch.add, torch.zeros(2), torch.zeros(2))(torch.zeros(2))


# Steps


def by_hand(method, model, weights, images, batches, draws):
    """Return weights and mean losses after each step, each batch summed at once."""
    velocity = torch.zeros_like(weights)
    for t, (batch, draw) in enumerate(zip(batches, draws, strict=True), start=1):
        inputs, labels = pixels(images.train_images[batch]), images.train_labels[batch]
        summed = example_clipped_sum(model, weights, inputs, labels, cross_entropy, clip_norm=0.5, order=2)
        gradient = (summed.total + method.scale(t, 0.5) * draw) / 16
        velocity = 0.9 * velocity + gradient
        weights = weights - method.rate(t) * velocity
        yield weights, summed.losses.mean().item() if len(batch) else 0.0


def test_batches_of_any_size_are_summed_and_the_initial_weights_left_alone(few):
    generator = torch.Generator().manual_seed(0)
    model = build("mnist_cnn", num_classes=10, activation="tanh", generator=generator)
    weights = flatten(model)
    kept = weights.clone()
    batches = [torch.randperm(60, generator=generator)[:size] for size in (16, 0, 3, 5, 11, 1, 60)]
    draws = [torch.randn(len(weights), generator=generator) for _ in batches]
    method = compose(config_of("dpgdm", decay=0.1), 60)
    steps = GraphSteps(
        method, model, weights, few.train_images, few.train_labels, physical_batch=5, num_steps=len(batches)
    )
    expected = by_hand(method, model, weights, few, batches, draws)
    for t, ((rows, count), draw, (moved, loss)) in enumerate(
        zip(staged(batches, 5, CPU), draws, expected, strict=True), start=1
    ):
        noisy, step = steps(t, rows, count, draw)
        torch.testing.assert_close(steps.weights, moved)
        assert noisy.loss.item() == pytest.approx(loss)
        assert step.size.item() == pytest.approx(method.rate(t))
        assert noisy.releases[0].scale == method.scale(t, 0.5)
        assert noisy.releases[0].sensitivity == 0.5
    assert int(steps.healthy_steps) == len(batches)
    assert torch.equal(weights, kept)
    assert torch.equal(flatten(model), kept)


@pytest.mark.parametrize("method", METHODS)
def test_recorded_training_is_eager_training(few, method):
    config = config_of(method)
    assert_same(train(config, few, graph=True), train(config, few))


@pytest.mark.parametrize(
    ("method", "reading", "changes"),
    [
        ("cnn_dp_gan", "printed", {}),
        ("cnn_dp_gan_polyak", "printed", {}),
        ("cnn_dp_gan_polyak", "reconstructed", {"clip": "example_l1", "clip_norm": 0.5}),
        ("cnn_dp_gan_polyak", "reconstructed", {"debias": False, "max_step": 0.0025}),
        ("cnn_dp_gan", "reconstructed", {"decay": 0.3, "initial_scale": 2.0, "min_scale": 1.9}),
    ],
)
def test_recorded_training_is_eager_training_under_other_readings(few, method, reading, changes):
    config = config_of(method, reading=reading, **changes)
    assert_same(train(config, few, graph=True), train(config, few))


@pytest.mark.parametrize("method", METHODS)
def test_recorded_training_in_parts_differs_by_rounding_only(few, method):
    config = config_of(method, num_steps=6)
    found = train(config, few, graph=True, max_physical_batch=5)
    assert_near(found, train(config, few), rel=1e-3)


def test_recorded_training_stops_early_where_it_is_told(few):
    config = config_of("dpgdm", num_steps=LATE)
    assert_same(train(config, few, graph=True, last_step=13), train(config, few, last_step=13))


# Divergence


@pytest.mark.parametrize("method", ["cnn", "cnn_dp_gan_polyak"])
@pytest.mark.parametrize("step", [1, 5, 10, 11, 13, 14, 22, 29, 30])
def test_a_run_that_diverges_between_two_looks_ends_where_the_eager_one_does(few, monkeypatch, method, step):
    original = wiring.unit_noise

    def planted(*arguments):
        for t, draw in enumerate(original(*arguments), start=1):
            yield torch.full_like(draw, math.inf) if t == step else draw

    monkeypatch.setattr(wiring, "unit_noise", planted)
    config = config_of(method, num_steps=LATE, **({"max_step": 1e-4} if method == "cnn_dp_gan_polyak" else {}))
    found, expected = train(config, few, graph=True), train(config, few)
    assert (expected.status, expected.final["last_step"]) == ("diverged", step)
    assert_same(found, expected)


def test_the_steps_planted_above_lie_on_both_sides_of_every_reason_to_look():
    looks = {*range(1, TRACE_STEPS + 1), *evaluation_steps(LATE)}
    assert {1, 5, 10, 14, 30} <= looks
    assert not {11, 13, 22, 29} & looks
    assert 5 not in evaluation_steps(LATE)


def test_weights_stop_where_the_loss_was_lost_although_the_velocity_would_move_them_on(few, monkeypatch):
    original = wiring.unit_noise

    def planted(*arguments):
        for t, draw in enumerate(original(*arguments), start=1):
            yield draw * (1e25 if t == 14 else 1)

    monkeypatch.setattr(wiring, "unit_noise", planted)
    config = config_of("dpgdm", num_steps=LATE, activation="relu")
    found, expected = train(config, few, graph=True), train(config, few)
    assert (expected.status, expected.final["last_step"]) == ("diverged", 15)  # the next look is at step 17
    assert expected.weights.isfinite().all()
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("cnn", {"learning_rate": 1e30, "activation": "relu"}),  # weights and loss
        ("dp_sgd", {"learning_rate": 1e25, "activation": "relu"}),  # the loss alone: such gradients count as zero
    ],
)
def test_a_run_that_explodes_ends_where_the_eager_one_does(few, method, changes):
    config = config_of(method, num_steps=15, **changes)
    found, expected = train(config, few, graph=True), train(config, few)
    assert expected.status == "diverged"
    assert expected.weights.isfinite().all() == (method == "dp_sgd")
    assert_same(found, expected)


# On a GPU


@NEEDS_GPU
@pytest.mark.parametrize("method", ["cnn_dp_gan_polyak", "dp_sgd"])
def test_captured_training_is_eager_training_and_follows_the_cpu(few, method):
    config = config_of(method)
    captured = train(config, few, device="cuda", graph=True)
    eager = train(config, few, device="cuda", graph=False)
    assert_near(captured, eager, rel=1e-5)
    assert captured.trace["loss"] == pytest.approx(train(config, few).trace["loss"], rel=1e-3)
    in_parts = train(config, few, device="cuda", max_physical_batch=5)
    assert in_parts.trace["loss"] == pytest.approx(eager.trace["loss"], rel=1e-3)


@NEEDS_GPU
@pytest.mark.parametrize("method", ["cnn_dp_gan_polyak", "dp_sgd"])
def test_a_captured_step_never_makes_the_host_wait(few, method):
    device = torch.device("cuda")
    generator = torch.Generator().manual_seed(0)
    model = build("mnist_cnn", num_classes=10, activation="tanh", generator=generator, device=device)
    weights = flatten(model)
    inputs, labels = few.train_images.to(device), few.train_labels.to(device)
    steps = GraphSteps(compose(config_of(method), 60), model, weights, inputs, labels, physical_batch=16, num_steps=12)
    parts = list(staged([torch.arange(16) + t for t in range(12)], 16, device))
    draws = torch.zeros(12, len(weights), device=device)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for t, ((rows, count), draw) in enumerate(zip(parts, draws, strict=True), start=1):
            steps(t, rows, count, draw)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert int(steps.healthy_steps) == 12
    assert not torch.equal(steps.weights, weights)
