"""The networks have the papers' sizes, start within their bounds, and draw from their generator only."""

import pytest
import torch
from torch import Generator, nn

from cnndp.training.gradients import flatten, refuse_batch_statistics
from cnndp.training.models import ACTIVATIONS, MODELS, accuracy, build

SIZES = {"mnist_cnn": 26_010, "mnist_cnn_valid": 18_842, "cifar_cnn": 131_466}
SHAPES = {"mnist_cnn": (1, 28, 28), "mnist_cnn_valid": (1, 28, 28), "cifar_cnn": (3, 32, 32)}


def make(name="mnist_cnn", seed=0, num_classes=10, activation="tanh"):
    return build(name, num_classes=num_classes, activation=activation, generator=Generator().manual_seed(seed))


def test_every_model_is_tested_here():
    assert {*SIZES, "scattering_linear"} == set(MODELS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_shapes_are_those_of_the_papers(name, activation):
    model = make(name, activation=activation)
    assert len(flatten(model)) == SIZES[name]
    images = torch.rand(3, *SHAPES[name], generator=Generator().manual_seed(0))
    assert model(images).shape == (3, 10)
    assert make(name, num_classes=4)(images).shape == (3, 4)
    assert sum(isinstance(layer, ACTIVATIONS[activation]) for layer in model.modules()) >= 3
    refuse_batch_statistics(model)


@pytest.mark.parametrize("name", SIZES)
def test_weights_and_biases_fill_plus_minus_one_over_the_root_of_fan_in(name):
    for layer in make(name):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in (layer.weight, layer.bias):
                assert parameter.abs().max() <= bound
                assert parameter.unique().numel() > 1
            assert layer.weight.abs().max() > 0.9 * bound
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)


@pytest.mark.parametrize("num_features", [None, 15_553])
def test_the_linear_model_has_one_weight_a_feature_and_class_and_can_start_at_zero(num_features):
    model = build(
        "scattering_linear",
        num_classes=10,
        activation="tanh",
        init="zeros",
        num_features=num_features,
        generator=Generator().manual_seed(0),
    )
    assert torch.equal(flatten(model), torch.zeros(10 * (num_features or 3970)))


def test_the_generator_decides_the_weights_and_the_global_state_is_untouched():
    before = torch.get_rng_state()
    assert torch.equal(flatten(make(seed=0)), flatten(make(seed=0)))
    assert not torch.equal(flatten(make(seed=0)), flatten(make(seed=1)))
    assert torch.equal(flatten(make(activation="relu")), flatten(make(activation="tanh")))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mnist_cn"}, r"model='mnist_cn' is not known; did you mean 'mnist_cnn'\?"),
        ({"activation": "tan"}, r"activation='tan' is not known; did you mean 'tanh'\?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
def test_accuracy_is_the_percentage_of_right_answers(batch_size):
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [1.0, 5.0], [2.0, 1.0]]).reshape(5, 1, 1, 2)
    labels = torch.tensor([0, 1, 1, 1, 0])  # the third one is wrong
    identity = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert accuracy(model, identity, inputs, labels, batch_size) == pytest.approx(80.0)
    assert accuracy(model, -identity, inputs, labels, batch_size) == pytest.approx(20.0)
