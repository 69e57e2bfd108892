"""Networks of a user's own: any function `package.module:function` that returns a torch module."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Generator, nn

from cnndp.training.gradients import refuse_batch_statistics
from cnndp.training.rules import is_own

Function = Callable[..., nn.Module]
DRAWS = nn.modules.dropout._DropoutNd  # draws by itself, which cannot be repeated


def described(model: str, num_classes: int) -> dict[str, str]:
    """Return the fields of a Config that say which network a run has.

    Args:
        model: a name of `models.MODELS`, or "package.module:function" of your own; `function(num_classes=...)` returns
            an `nn.Module` without batch statistics, whose initial weights torch draws.
        num_classes: of the data.

    Raises:
        ValueError: a function that cannot be found, or a network that cannot be trained privately.

    >>> described("mnist_cnn", 10)
    {'model': 'mnist_cnn'}
    """
    if not is_own(model):
        return {"model": model}
    return {"model": model, "model_shapes": shapes_of(build(model, num_classes, Generator().manual_seed(0)))}


def function_of(model: str) -> Function:
    """Return the function that a name stands for.

    >>> function_of("torch.nn:Identity").__name__
    'Identity'
    """
    try:
        function: Function = resolve_name(model)
    except Exception as error:  # a module of a user's own can fail in any way while it is imported
        raise ValueError(
            f"model={model!r} cannot be found ({error}); pass 'package.module:function' of a module that Python finds "
            "from here, for example 'mine:network' for the function network in mine.py"
        ) from None
    if not callable(function):
        raise ValueError(f"model={model!r} is a {type(function).__name__}; pass a function that returns an nn.Module")
    return function


def called(model: str, num_classes: int) -> Any:
    """Return what a function gives for this many classes."""
    function = function_of(model)
    try:
        return function(num_classes=num_classes)
    except TypeError as error:
        raise ValueError(
            f"model={model!r} cannot be called with num_classes={num_classes} ({error}); let it take this argument "
            "and no other without a default"
        ) from None


def build(model: str, num_classes: int, generator: Generator) -> nn.Module:
    """Return a network of a user's own, its initial weights drawn from `generator` by way of torch's own state.

    The global random state of torch is as it was afterwards.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = called(model, num_classes)
    if not isinstance(network, nn.Module):
        raise ValueError(f"model={model!r} returned a {type(network).__name__}; let it return an nn.Module")
    refuse_batch_statistics(network)
    for layer in network.modules():
        if isinstance(layer, DRAWS):
            raise ValueError(f"model={model!r} has a {type(layer).__name__}, whose draws have no seed; leave it out")
    return network


def shapes_of(network: nn.Module) -> str:
    """Return the names and shapes of all parameters, in order.

    >>> shapes_of(nn.Linear(3, 2))
    'weight [2, 3], bias [2]'
    """
    return ", ".join(f"{name} {list(parameter.shape)}" for name, parameter in network.named_parameters())


def check_built(model: str, model_shapes: str | None, network: nn.Module, image_shape: Any, num_classes: int) -> None:
    """Raise `ValueError` unless a network has the shapes that its Config names, and gives logits for images.

    Args:
        model, model_shapes: of the Config.
        network: as `build` returns it.
        image_shape: `[C, H, W]`.
        num_classes: of the logits.
    """
    if shapes_of(network) != model_shapes:
        raise ValueError(
            f"model={model!r} has the parameters {shapes_of(network)}, not {model_shapes}, which the run was planned "
            "with; plan it again with own.described(model, num_classes)"
        )
    try:
        with torch.no_grad():
            shape = list(network(torch.zeros(2, *image_shape)).shape)
    except RuntimeError as error:
        raise ValueError(
            f"model={model!r} cannot take images of shape {list(image_shape)} ({str(error).splitlines()[0]}); change "
            "its first layer, or the data"
        ) from None
    if shape != [2, num_classes]:
        raise ValueError(
            f"model={model!r} gives outputs of shape {shape} for 2 images; it needs [2, {num_classes}], a logit a class"
        )


def source_sha256(model: str) -> str | None:
    """Return the SHA-256 of the file that defines a network of a user's own, or of the function alone in a notebook.

    None for the networks of this package, and where Python has no source.
    """
    if not is_own(model):
        return None
    function = function_of(model)
    try:
        path = Path(inspect.getsourcefile(function) or "")
        content = path.read_bytes() if path.is_file() else inspect.getsource(function).encode()
    except (OSError, TypeError):
        return None
    return hashlib.sha256(content).hexdigest()
