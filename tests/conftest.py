"""Fixtures shared by the tests: digits, small networks, and an untouched global random state."""

import pytest
import torch
from torch import nn

from cnndp.data import datasets
from cnndp.data.datasets import pixels
from cnndp.report import findings
from cnndp.training.gradients import flatten
from cnndp.training.models import build

torch.set_num_threads(1)  # the tensors are small: threads that wait for each other cost more than they give


@pytest.fixture(scope="session")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="session")
def all_runs():
    """Return every run that the book shows, from the records of the repository; they take seconds to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CNNDP_RESULTS", raising=False)
        return findings.all_runs()


@pytest.fixture(scope="session")
def few(digits):
    """60 training and 30 test images: enough to see every part of a run."""
    return digits._replace(
        train_images=digits.train_images[:60],
        train_labels=digits.train_labels[:60],
        test_images=digits.test_images[:30],
        test_labels=digits.test_labels[:30],
    )


@pytest.fixture(scope="session")
def batch(digits):
    """Return 24 training images in float64 and their labels."""
    return pixels(digits.train_images[:24]).double(), digits.train_labels[:24]


@pytest.fixture
def network():
    """Return a function that builds the MNIST network in float64, with its weights."""

    def make(activation="tanh", seed=0):
        model = build(
            "mnist_cnn", num_classes=10, activation=activation, generator=torch.Generator().manual_seed(seed)
        ).double()
        return model, flatten(model)

    return make


@pytest.fixture
def linear():
    """Return softmax regression on 28x28 images in float64 (7,850 parameters), with its weights."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.03, 0.03, generator=generator)
    return model, flatten(model)
