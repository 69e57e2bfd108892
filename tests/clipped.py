"""Networks, batches and slow clipped sums that the tests of the engines share."""

import numpy as np
import pytest
import torch
import twins
from torch import nn

from cnndp.equations.losses import cross_entropy
from cnndp.training.clipping import example_clipped_sum
from cnndp.training.gradients import flatten
from cnndp.training.models import build

ORDERS = pytest.mark.parametrize("order", [1, 2])
ENGINES = pytest.mark.parametrize("name", ["fast", "general"])
SHAPES = {"mnist_cnn": (1, 28, 28), "mnist_cnn_valid": (1, 28, 28), "cifar_cnn": (3, 32, 32)}


def images(count, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(count, *shape, dtype=torch.float64, generator=generator)
    return inputs, torch.arange(count) % 10


def paper_network(name, activation="tanh"):
    generator = torch.Generator().manual_seed(0)
    return build(name, num_classes=10, activation=activation, generator=generator).double()


def drawn(model):
    """Return `model` in float64 with weights of its own, without the global generator."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.double().parameters():
        nn.init.uniform_(parameter, -0.4, 0.4, generator=generator)
    return model


def loop(model, inputs, labels, loss=cross_entropy):
    losses, rows = twins.gradients_one_by_one(model, inputs, labels, loss)
    return losses, rows.numpy()


def clipped_loop(rows, clip_norm, order):
    norms = np.linalg.norm(rows, ord=order, axis=1)
    return torch.from_numpy(np.minimum(1, clip_norm / norms) @ rows)


def clip_norms(rows, order):
    """Return one that clips every row, one that clips about half of them, and one that clips none."""
    norms = np.linalg.norm(rows, ord=order, axis=1)
    return norms.min() / 3, (norms.min() + norms.max()) / 2, 2 * norms.max()


def summed(model, inputs, labels, loss=cross_entropy, **options):
    return example_clipped_sum(model, flatten(model), inputs, labels, loss, **{"clip_norm": 1.0, "order": 2, **options})


def assert_equal(found, expected, rtol=1e-9):
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * expected.abs().max().item())


def assert_equals_the_loop(model, inputs, labels, name, loss=cross_entropy):
    losses, rows = loop(model, inputs, labels, loss)
    for order in (1, 2):
        for clip_norm in clip_norms(rows, order):
            found = summed(model, inputs, labels, loss, clip_norm=clip_norm, order=order, engine=name)
            assert_equal(found.losses, losses)
            assert_equal(found.total, clipped_loop(rows, clip_norm, order))


def ends_in(features):
    return [nn.Flatten(), nn.Linear(features, 10)]
