"""The papers' networks, and accuracy. No layer uses batch statistics."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from cnndp.checks import one_of
from cnndp.equations.losses import cross_entropy
from cnndp.training.gradients import Loss, predict

INITS = ("uniform", "kaiming", "zeros")
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def mnist_cnn(num_classes: int, activation: str, padding: int = 3) -> nn.Sequential:
    """Return the network of P2's Table 1 and of the DP tutorials, for `[B, 1, 28, 28]`.

    26,010 parameters for 10 classes with `padding=3` ("same"); 18,842 with `padding=0`, as P2 prints it.
    """
    act = ACTIVATIONS[activation]
    side = 4 if padding == 3 else 3
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=padding),  # [B, 16, 14, 14]
        act(),
        nn.MaxPool2d(2, stride=1),  # [B, 16, 13, 13]
        nn.Conv2d(16, 32, 4, stride=2),  # [B, 32, 5, 5]
        act(),
        nn.MaxPool2d(2, stride=1),  # [B, 32, 4, 4]
        nn.Flatten(),
        nn.Linear(32 * side * side, 32),
        act(),
        nn.Linear(32, num_classes),
    )


def cifar_cnn(num_classes: int, activation: str) -> nn.Sequential:
    """Return the 131,466-parameter network (10 classes) for `[B, 3, 32, 32]`, four 3x3 convolutions."""
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        act(),
        nn.AvgPool2d(2),  # [B, 32, 16, 16]
        nn.Conv2d(32, 64, 3, padding=1),
        act(),
        nn.AvgPool2d(2),  # [B, 64, 8, 8]
        nn.Conv2d(64, 64, 3, padding=1),
        act(),
        nn.AvgPool2d(2),  # [B, 64, 4, 4]
        nn.Conv2d(64, 128, 3, padding=1),
        act(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )


def scattering_linear(num_classes: int, activation: str, num_features: int = 3970) -> nn.Sequential:
    """Return softmax regression on prepared scattering features `[B, D]`; the activation is not used.

    No bias: the features carry a constant. The norm of an example's gradient is ||x|| ||p - y||, so the fast
    engine clips a batch with two matrix products and makes no gradient of a single example.

    Args:
        num_classes: of the logits.
        activation: not used.
        num_features: D: 3,970 for 28x28 grey images (39,700 parameters with 10 classes), 15,553 for 32x32 colour.
    """
    return nn.Sequential(nn.Linear(num_features, num_classes, bias=False))


MODELS: dict[str, Callable[..., nn.Sequential]] = {
    "mnist_cnn": mnist_cnn,
    "mnist_cnn_valid": partial(mnist_cnn, padding=0),
    "cifar_cnn": cifar_cnn,
    "scattering_linear": scattering_linear,
}


INPUT_CHANNELS = {"mnist_cnn": 1, "mnist_cnn_valid": 1, "cifar_cnn": 3}  # that a network's first layer takes


def check_channels(model: str, channels: int) -> None:
    """Refuse images that a network of this module cannot take.

    Args:
        model: any name; networks that are not in `INPUT_CHANNELS` take what they get.
        channels: of the images, 1 or 3.

    >>> check_channels("cifar_cnn", 1)
    Traceback (most recent call last):
        ...
    ValueError: model='cifar_cnn' takes images of 3 channels, and these have 1; pass model='mnist_cnn' or
        'mnist_cnn_valid'
    """
    if INPUT_CHANNELS.get(model, channels) != channels:
        fitting = " or ".join(repr(name) for name, taken in INPUT_CHANNELS.items() if taken == channels)
        raise ValueError(
            f"model={model!r} takes images of {INPUT_CHANNELS[model]} channels, and these have {channels}; "
            f"pass model={fitting}"
        )


def num_params(name: str, num_classes: int = 10) -> int:
    """Return P, the number of parameters of a network.

    >>> num_params("mnist_cnn")
    26010
    """
    one_of(MODELS, model=name)
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MODELS[name](num_classes, "tanh").parameters())


def build(
    name: str,
    *,
    num_classes: int,
    activation: str,
    generator: Generator,
    init: str = "uniform",
    num_features: int | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Return a network with its initial parameters drawn from `generator`.

    With `init="uniform"` weights and biases are uniform on +-1/sqrt(fan_in); with "kaiming" weights are normal
    of variance 2/fan_in (He et al., arXiv 1502.01852) and biases 0; with "zeros" all are 0, which suits a model
    without hidden layers only.

    `num_features` is D of `scattering_linear`; None for its default, and for the other networks.

    The global random state of torch is neither read nor changed.

    >>> model = build("mnist_cnn", num_classes=10, activation="tanh", generator=Generator().manual_seed(0))
    >>> sum(parameter.numel() for parameter in model.parameters())
    26010
    """
    one_of(MODELS, model=name)
    one_of(ACTIVATIONS, activation=activation)
    one_of(INITS, init=init)
    make = MODELS[name] if num_features is None else partial(MODELS[name], num_features=num_features)
    with torch.device("meta"):  # allocates nothing and draws nothing
        model = make(num_classes, activation)
    model = model.to_empty(device="cpu")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw_parameters(layer, init, generator)
    return model.to(device)


def draw_parameters(layer: nn.Conv2d | nn.Linear, init: str, generator: Generator) -> None:
    """Fill a layer's weight and bias, as `build` says."""
    fan_in = layer.weight[0].numel()
    for parameter in layer.parameters(recurse=False):
        if init == "zeros":
            nn.init.zeros_(parameter)
        elif init == "uniform":
            nn.init.uniform_(parameter, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        elif parameter is layer.weight:
            nn.init.normal_(parameter, std=math.sqrt(2 / fan_in), generator=generator)
        else:
            nn.init.zeros_(parameter)


class Score(NamedTuple):
    """How a network does on a set of images."""

    accuracy: float  # percent
    loss: float  # mean over the images


def evaluate(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, batch_size: int = 500
) -> Score:
    """Return accuracy and mean loss of `model` with parameters `vector` on `inputs` `[N, C, H, W]`."""
    hits, total = torch.zeros((), device=vector.device), torch.zeros((), device=vector.device, dtype=torch.float64)
    with torch.no_grad():
        for images, targets in zip(torch.split(inputs, batch_size), torch.split(labels, batch_size), strict=True):
            logits = predict(model, vector, images)
            hits += (logits.argmax(dim=1) == targets).sum()
            total += loss(logits, targets).sum()
    return Score(100 * hits.item() / len(labels), total.item() / len(labels))


def accuracy(model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, batch_size: int = 500) -> float:
    """Return the share of `inputs` `[N, C, H, W]` that `model` with parameters `vector` labels right, in percent."""
    return evaluate(model, vector, inputs, labels, cross_entropy, batch_size).accuracy
