"""Both engines compute what a loop over batches of one computes, the fast one for every kind of layer it takes."""

import numpy as np
import pytest
import torch
from clipped import (
    ENGINES,
    ORDERS,
    SHAPES,
    assert_equal,
    assert_equals_the_loop,
    clip_norms,
    drawn,
    ends_in,
    images,
    loop,
    paper_network,
    summed,
)
from torch import nn

from cnndp.equations.losses import LOSSES
from cnndp.training import engine
from cnndp.training.clipping import pick_engine
from cnndp.training.engine import gram_power

# The sum


@ENGINES
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("count", [1, 7, 24])
def test_the_clipped_sum_of_the_papers_networks_is_that_of_a_loop_over_batches_of_one(network, count, loss, name):
    count = min(count, 9) if network == "cifar_cnn" else count
    assert_equals_the_loop(paper_network(network), *images(count, *SHAPES[network]), name, loss)


def test_some_rows_are_clipped_and_others_are_not():
    rows = loop(paper_network("mnist_cnn"), *images(24, 1, 28, 28))[1]
    for order in (1, 2):
        few, some, none = (
            (np.linalg.norm(rows, ord=order, axis=1) > clip_norm).sum() for clip_norm in clip_norms(rows, order)
        )
        assert few == 24 > some > 0 == none


@ENGINES
@ORDERS
def test_an_empty_batch_adds_nothing_and_keeps_the_sensitivity(name, order):
    model = paper_network("mnist_cnn")
    found = summed(model, *images(0, 1, 28, 28), clip_norm=0.3, order=order, engine=name)
    assert torch.equal(found.total, torch.zeros(26_010, dtype=torch.float64))
    assert (found.losses.shape, found.losses.dtype) == ((0,), torch.float64)
    assert found.sensitivity == 0.3


@ENGINES
@ORDERS
def test_how_many_examples_are_worked_on_at_once_changes_the_sum_only_by_rounding(name, order):
    model = paper_network("mnist_cnn")
    for count in (1, 5, 13, 24):  # as Poisson sampling varies them
        batch = images(count, 1, 28, 28, seed=count)
        whole = summed(model, *batch, order=order, engine=name, max_physical_batch=24)
        for size in (1, 5, 1000):
            found = summed(model, *batch, order=order, engine=name, max_physical_batch=size)
            assert_equal(found.total, whole.total, rtol=1e-12)
            assert_equal(found.losses, whole.losses, rtol=1e-12)


@ORDERS
def test_how_many_windows_are_made_at_once_changes_the_sum_only_by_rounding(order, monkeypatch):
    model, batch = paper_network("mnist_cnn"), images(7, 1, 28, 28)
    whole = summed(model, *batch, order=order, engine="fast").total
    for numbers in (1, 2 * 196 * 64, 2**30):  # one example, two of the first layer, all of them
        monkeypatch.setattr(engine, "SLICE", numbers)
        assert_equal(summed(model, *batch, order=order, engine="fast").total, whole, rtol=1e-12)


@ENGINES
@ORDERS
def test_absent_examples_count_for_nothing(name, order):
    model, (inputs, labels) = paper_network("mnist_cnn"), images(7, 1, 28, 28)
    expected = summed(model, inputs, labels, order=order, engine=name)
    filled = torch.cat([inputs, inputs[:1].expand(4, -1, -1, -1)]), torch.cat([labels, labels[:1].expand(4)])
    present = torch.arange(11) < 7
    for size in (3, 100):
        found = summed(model, *filled, order=order, engine=name, present=present, max_physical_batch=size)
        assert_equal(found.total, expected.total, rtol=1e-12)
        assert_equal(found.losses, torch.cat([expected.losses, torch.zeros(4)]), rtol=1e-12)


@ENGINES
@ORDERS
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_one_broken_example_counts_as_zero_and_leaves_the_others_alone(name, order, value):
    model = paper_network("mnist_cnn", "relu").float()
    inputs, labels = images(6, 1, 28, 28)
    inputs[2] = value
    others = torch.arange(6) != 2
    expected = summed(model, inputs[others].float(), labels[others], order=order, engine=name)
    found = summed(model, inputs.float(), labels, order=order, engine=name)
    assert expected.total.abs().max() > 1e-3
    assert_equal(found.total, expected.total, rtol=1e-5)
    assert_equal(found.losses[others], expected.losses, rtol=1e-5)


# Every kind of layer


LAYERS = {
    "stride": (lambda: [nn.Conv2d(2, 3, 3, stride=2), nn.Tanh(), *ends_in(60)], (2, 9, 11)),
    "non-square kernel": (lambda: [nn.Conv2d(2, 3, (2, 4)), nn.Tanh(), *ends_in(192)], (2, 9, 11)),
    "non-square stride": (lambda: [nn.Conv2d(2, 3, (4, 2), stride=(3, 1)), *ends_in(60)], (2, 9, 11)),
    "padding": (lambda: [nn.Conv2d(2, 3, 3, padding=(2, 1), stride=3), nn.Tanh(), *ends_in(48)], (2, 9, 11)),
    "no bias": (lambda: [nn.Conv2d(2, 3, 4, bias=False), nn.Tanh(), *ends_in(144)], (2, 9, 11)),
    "convolution of the whole image": (lambda: [nn.Conv2d(2, 5, (4, 3)), *ends_in(5)], (2, 4, 3)),
    "one-pixel windows": (lambda: [nn.Conv2d(2, 9, 1), nn.Tanh(), nn.Conv2d(9, 3, 1), *ends_in(24)], (2, 4, 2)),
    "linear without bias": (lambda: [nn.Flatten(), nn.Linear(8, 5, bias=False), nn.Tanh(), *ends_in(5)], (1, 2, 4)),
    "linear at few positions": (lambda: [nn.Flatten(1, 2), nn.Linear(9, 8), nn.Tanh(), *ends_in(32)], (1, 4, 9)),
    "linear at many positions": (lambda: [nn.Flatten(1, 2), nn.Linear(3, 2), nn.Tanh(), *ends_in(24)], (2, 6, 3)),
    "nested": (
        lambda: [
            nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), nn.Sequential(), nn.Identity()),
            nn.Sequential(*ends_in(72)),
        ],
        (1, 8, 8),
    ),
    "max pool": (lambda: [nn.Conv2d(1, 2, 3), nn.MaxPool2d(3, stride=2, padding=1), *ends_in(18)], (1, 8, 8)),
    "average pool": (lambda: [nn.AvgPool2d(2), nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), *ends_in(2)], (1, 8, 8)),
    "adaptive pool": (lambda: [nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d((2, 3)), *ends_in(12)], (1, 8, 8)),
    **{
        activation.__name__: (
            lambda activation=activation: [nn.Conv2d(1, 2, 3), activation(), *ends_in(72)],
            (1, 8, 8),
        )
        for activation in engine.ACTIVATIONS
    },
}


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_equals_the_loop(kind):
    layers, shape = LAYERS[kind]
    model = drawn(nn.Sequential(*layers()))
    assert pick_engine(model, "auto") == "fast"
    assert_equals_the_loop(model, *images(5, *shape), "fast")


@pytest.mark.parametrize("features", [3, 4])
def test_a_linear_layer_on_images_equals_the_loop(features):
    model = drawn(nn.Sequential(nn.Linear(8, features), nn.Tanh(), *ends_in(3 * 8 * features)))
    assert_equals_the_loop(model, *images(5, 3, 8, 8), "auto")


def size(layer):
    return "x".join(map(str, layer.weight.shape[:2]))


@pytest.mark.parametrize(
    ("network", "order", "materialised", "gram", "outer"),
    [
        ("mnist_cnn", 2, ["16x1"], ["32x16"], ["32x512", "10x32"]),
        ("mnist_cnn", 1, ["16x1", "32x16"], [], ["32x512", "10x32"]),
        ("cifar_cnn", 2, ["32x3", "64x32"], ["64x64", "128x64"], ["10x128"]),
    ],
)
def test_each_way_to_a_norm_is_taken_where_it_is_the_cheapest(network, order, materialised, gram, outer, monkeypatch):
    taken = {"materialised": [], "gram_power": [], "ordinary_gradient": []}

    def watched(name):
        original = getattr(engine, name)

        def call(*arguments):
            taken[name].append(arguments[0])
            return original(*arguments)

        monkeypatch.setattr(engine, name, call)

    for name in taken:
        watched(name)
    summed(paper_network(network), *images(2, *SHAPES[network]), order=order, engine="fast")
    assert [size(layer) for layer in taken["materialised"]] == materialised
    assert [size(layer) for layer in taken["ordinary_gradient"]] == gram + outer
    assert len(taken["gram_power"]) == len(gram)


def cancelling(draw):
    """Return float32 E and U of 32 examples whose rows cancel in E^T U up to a remainder of 1e-5 to 1 of them."""
    generator = torch.Generator().manual_seed(draw)
    e, u = (torch.randn(32, 8, size, generator=generator) * 1e3 for size in (16, 40))
    remainder = 10 ** torch.linspace(-5, 0, 32).view(-1, 1, 1) * torch.randn(u.shape, generator=generator)
    return torch.cat([e, -e], dim=1), torch.cat([u, u + 1e3 * remainder], dim=1)


def test_cancellation_cannot_hide_a_gradient_from_its_gram_norm():
    too_low = 0
    for draw in range(50):
        E, U = cancelling(draw)
        true = torch.bmm(E.double().transpose(1, 2), U.double()).square().sum(dim=(1, 2))
        found = gram_power(E, U).double()
        rounding = 16 * 2.0**-23 * E.double().square().sum(dim=(1, 2)) * U.double().square().sum(dim=(1, 2))
        assert (found >= (1 - 1e-3) * true).all()
        assert (found <= (1 + 1e-3) * true + rounding).all()
        plain = (torch.bmm(E, E.transpose(1, 2)) * torch.bmm(U, U.transpose(1, 2))).sum(dim=(1, 2))
        too_low += (plain.double() < (1 - 1e-3) * true).sum().item()
    assert too_low > 0  # without its rounding term
