"""The contract of clipping: one record more or less never moves a sum by more than its sensitivity."""

import numpy as np
import pytest
import torch
import twins
from torch import nn

from cnndp.equations.losses import LOSSES, cross_entropy
from cnndp.training import clipping
from cnndp.training.clipping import batch_clipped_sum, clip_rows, example_clipped_sum, unclipped_sum
from cnndp.training.gradients import flatten, per_example_gradients, unflatten

ORDERS = pytest.mark.parametrize("order", [1, 2])
ROUNDING = 1 + 1e-5  # float32


def records(kind, seed=0):
    """Return 200 gradients in float32, most of them ordinary."""
    rows = torch.randn(200, 300, generator=torch.Generator().manual_seed(seed))
    if kind == "outliers":
        rows[::7] *= 1e6
        rows[3], rows[4, 5] = 1e20, -1e30
    if kind == "small":
        rows *= 1e-6
        rows[3] = 0
    return rows


@ORDERS
@pytest.mark.parametrize("kind", ["ordinary", "outliers", "small"])
@pytest.mark.parametrize("clip_norm", [1e-3, 0.5, 40.0])
def test_no_clipped_row_is_longer_than_the_clip_norm(order, kind, clip_norm):
    rows = records(kind)
    clipped = clip_rows(rows, clip_norm, order)
    assert clipped.isfinite().all()
    assert torch.linalg.vector_norm(clipped.double(), ord=order, dim=1).max() <= clip_norm * ROUNDING


@ORDERS
@pytest.mark.parametrize("kind", ["ordinary", "outliers", "small"])
def test_adding_or_removing_one_record_moves_a_sum_of_clipped_rows_by_at_most_the_clip_norm(order, kind):
    clip_norm = 0.5
    rows, added = records(kind), records("outliers", seed=1)
    clipped = clip_rows(rows, clip_norm, order).double().sum(dim=0)
    for i in range(0, 200, 3):
        without = clip_rows(torch.cat([rows[:i], rows[i + 1 :]]), clip_norm, order).double().sum(dim=0)
        with_one = clip_rows(torch.cat([rows, added[i : i + 1]]), clip_norm, order).double().sum(dim=0)
        for neighbour in (without, with_one):
            assert torch.linalg.vector_norm(clipped - neighbour, ord=order) <= clip_norm * ROUNDING


@ORDERS
def test_clipping_keeps_directions_and_leaves_short_rows_alone(order):
    rows = records("ordinary").double()
    norms = torch.linalg.vector_norm(rows, ord=order, dim=1)
    clip_norm = norms.median().item()
    clipped = clip_rows(rows, clip_norm, order)
    short = norms <= clip_norm
    torch.testing.assert_close(clipped[short], rows[short])
    torch.testing.assert_close(clipped[~short], rows[~short] * (clip_norm / norms[~short, None]))


@ORDERS
def test_the_two_norms_differ(order):
    clipped = clip_rows(torch.tensor([[3.0, -4.0]]), 1.0, order)
    expected = {1: [[3 / 7, -4 / 7]], 2: [[0.6, -0.8]]}[order]
    torch.testing.assert_close(clipped, torch.tensor(expected))


@pytest.fixture
def small():
    """Return a small convolutional network in float64 with its weights."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 8, stride=5), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10)).double()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return model, flatten(model)


@pytest.fixture
def crowd(batch):
    """Return 10 images with three outliers: huge, negative huge, and wrongly labelled; another to add."""
    inputs, labels = batch[0][:10].clone(), batch[1][:10].clone()
    inputs[3], inputs[4] = 1e4 * inputs[3], -1e3 * inputs[4]
    labels[5] = (labels[5] + 1) % 10
    return inputs, labels


def neighbours(inputs, labels):
    """Yield every batch with one record removed, and some with one added."""
    for i in range(len(labels)):
        keep = torch.arange(len(labels)) != i
        yield inputs[keep], labels[keep]
    for scale in (1.0, 1e5):
        yield torch.cat([inputs, -scale * inputs[:1]]), torch.cat([labels, (labels[:1] + 1) % 10])


@ORDERS
@pytest.mark.parametrize("clip_norm", [0.05, 2.0])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_adding_or_removing_one_record_moves_the_example_clipped_sum_by_at_most_its_sensitivity(
    small, crowd, order, clip_norm, loss
):
    model, weights = small

    def clipped(inputs, labels):
        return example_clipped_sum(model, weights, inputs, labels, loss, clip_norm=clip_norm, order=order)

    whole = clipped(*crowd)
    assert whole.sensitivity == clip_norm
    moves = [
        torch.linalg.vector_norm(whole.total - clipped(*other).total, ord=order).item() for other in neighbours(*crowd)
    ]
    assert max(moves) <= whole.sensitivity * ROUNDING
    if loss is cross_entropy and clip_norm == 0.05:
        assert max(moves) >= 0.99 * whole.sensitivity  # and the bound is met, so a halved one would be wrong


@ORDERS
def test_only_per_example_clipping_promises_a_sensitivity(linear, batch, order):
    model, weights = linear
    assert unclipped_sum(model, weights, *batch, cross_entropy).sensitivity is None
    assert batch_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=0.5).sensitivity is None
    found = example_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=0.3, order=order)
    assert found.sensitivity == 0.3


def test_the_batch_clips_norm_does_not_bound_what_one_record_moves():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).double()
    weights = torch.zeros(8, dtype=torch.float64)
    inputs = torch.ones(10, 1, 2, 2, dtype=torch.float64)
    inputs[9] *= -1000  # one record against nine
    labels = torch.zeros(10, dtype=torch.int64)
    clip_norm = 0.1
    whole = batch_clipped_sum(model, weights, inputs, labels, cross_entropy, clip_norm=clip_norm).total
    without = batch_clipped_sum(model, weights, inputs[:9], labels[:9], cross_entropy, clip_norm=clip_norm).total
    assert (whole - without).norm().item() == pytest.approx((10 + 9) * clip_norm)  # 19 times the clip norm


def test_the_batch_clip_bounds_the_mean_in_l2(linear, batch):
    model, weights = linear
    total = unclipped_sum(model, weights, *batch, cross_entropy).total
    for clip_norm in (0.002, 1e6):
        clipped = batch_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=clip_norm).total
        expected = total * min(1.0, clip_norm / (total.norm().item() / 24))
        torch.testing.assert_close(clipped, expected)


def test_the_norm_is_joint_over_all_layers(network, batch):
    model, weights = network()
    one = batch[0][:1], batch[1][:1]
    clip_norm = 0.1
    clipped = example_clipped_sum(model, weights, *one, cross_entropy, clip_norm=clip_norm, order=2).total
    assert clipped.norm().item() == pytest.approx(clip_norm)
    row = per_example_gradients(model, weights, *one, cross_entropy)[1][0].numpy()
    wrong = twins.clip_layer_by_layer(row, [part.numel() for part in unflatten(model, weights).values()], clip_norm)
    assert np.linalg.norm(wrong) > 1.5 * clip_norm  # the planted bug breaks the contract above


@ORDERS
@pytest.mark.parametrize("count", [127, 128, 129, 600])
def test_chunks_do_not_change_the_sum(digits, linear, order, count):
    model, weights = linear
    inputs, labels = digits.train_images[:count].double() / 255, digits.train_labels[:count]
    found = example_clipped_sum(model, weights, inputs, labels, cross_entropy, clip_norm=0.5, order=order)
    losses, rows = per_example_gradients(model, weights, inputs, labels, cross_entropy)
    torch.testing.assert_close(found.losses, losses)
    torch.testing.assert_close(found.total, clip_rows(rows, 0.5, order).sum(dim=0))


def test_more_examples_than_fit_at_once_are_worked_on_in_several_parts(linear, batch, monkeypatch):
    model, weights = linear
    options = {"clip_norm": 0.5, "order": 2, "engine": "general"}
    whole = example_clipped_sum(model, weights, *batch, cross_entropy, **options)
    sizes, original = [], clipping.general_weighted_sum

    def watched(model, weights, inputs, labels, loss, **others):
        sizes.append((len(inputs), len(labels)))
        return original(model, weights, inputs, labels, loss, **others)

    monkeypatch.setattr(clipping, "general_weighted_sum", watched)
    found = example_clipped_sum(model, weights, *batch, cross_entropy, **options, max_physical_batch=7)
    assert sizes == [(7, 7), (7, 7), (7, 7), (3, 3)]
    torch.testing.assert_close(found.total, whole.total)
    torch.testing.assert_close(found.losses, whole.losses)


@ORDERS
def test_an_infinite_clip_norm_is_the_unclipped_sum_in_the_limit(small, batch, order):
    model, weights = small
    plain = unclipped_sum(model, weights, *batch, cross_entropy)
    clipped = example_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=1e12, order=order)
    torch.testing.assert_close(clipped.total, plain.total)
    torch.testing.assert_close(clipped.losses, plain.losses)


@pytest.mark.parametrize("function", [unclipped_sum, batch_clipped_sum, example_clipped_sum])
def test_losses_are_raw_and_model_weights_and_inputs_untouched(small, crowd, function):
    model, weights = small
    options = {
        unclipped_sum: {},
        batch_clipped_sum: {"clip_norm": 1e-3},
        example_clipped_sum: {"clip_norm": 1e-3, "order": 2},
    }
    kept = [tensor.clone() for tensor in (weights, *crowd)]
    found = function(model, weights, *crowd, cross_entropy, **options[function])
    torch.testing.assert_close(found.losses, cross_entropy(model(crowd[0]), crowd[1]).detach())
    assert all(torch.equal(one, two) for one, two in zip(kept, (weights, *crowd), strict=True))
    assert torch.equal(flatten(model), weights)


@pytest.mark.parametrize("value", [0.0, -0.5, float("nan"), float("inf")])
def test_a_clip_norm_that_is_not_above_0_is_refused(linear, batch, value):
    model, weights = linear
    for call in (
        lambda: clip_rows(torch.ones(2, 3), value, 2),
        lambda: batch_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=value),
        lambda: example_clipped_sum(model, weights, *batch, cross_entropy, clip_norm=value, order=1),
    ):
        with pytest.raises(ValueError, match=rf"^clip_norm={value} must be a finite number above 0; pass one"):
            call()


@pytest.mark.parametrize("order", [0, 3, float("inf"), "2"])
def test_another_norm_is_refused(order):
    with pytest.raises(ValueError, match=rf"order={order!r} is not a norm used here; pass 1 \(Laplace\) or 2"):
        clip_rows(torch.ones(2, 3), 1.0, order)
