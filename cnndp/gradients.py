"""Gradients of any `nn.Module` without batch statistics, with its parameters as one flat vector."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

Loss = Callable[[Tensor, Tensor], Tensor]


def refuse_batch_statistics(model: nn.Module) -> None:
    """Raise `ValueError` when a layer mixes the examples of a batch, which leaves no per-example gradient.

    Raises:
        ValueError: naming the layer and the remedy.
    """
    for name, layer in model.named_modules():
        batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        tracking = isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.track_running_stats
        if batch_norm or tracking:
            raise ValueError(
                f"layer {name!r} ({type(layer).__name__}) uses statistics of the whole batch, so one example "
                "changes the gradients of the others; replace it by nn.GroupNorm, or remove it"
            )


def flatten(model: nn.Module) -> Tensor:
    """Return all parameters of `model` as one detached vector `[P]`, in the order of `model.parameters()`."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def unflatten(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """Return views of `vector` `[P]` under the names and in the shapes of the parameters of `model`."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    parts = torch.split(vector, [parameter.numel() for parameter in parameters])
    return {name: part.view(parameter.shape) for name, part, parameter in zip(names, parts, parameters, strict=True)}


def predict(model: nn.Module, vector: Tensor, inputs: Tensor) -> Tensor:
    """Return the logits `[B, K]` of `model` with the parameters `vector` `[P]` on `inputs` `[B, C, H, W]`."""
    logits: Tensor = functional_call(model, unflatten(model, vector), (inputs,))
    return logits


def batch_gradient(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the *sum* of their gradients `[P]`, in one backward pass.

    Raises:
        ValueError: when a layer of `model` uses batch statistics.
    """
    refuse_batch_statistics(model)
    vector = vector.detach().requires_grad_(True)
    losses = loss(predict(model, vector, inputs), labels)
    (gradient,) = torch.autograd.grad(losses.sum(), vector)
    return losses.detach(), gradient


def per_example_gradients(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the gradient of each, `[B, P]`.

    Raises:
        ValueError: when a layer of `model` uses batch statistics.
    """
    refuse_batch_statistics(model)

    def one(weights: Tensor, image: Tensor, label: Tensor) -> Tensor:
        return loss(predict(model, weights, image.unsqueeze(0)), label.unsqueeze(0)).squeeze(0)

    gradients, losses = vmap(grad_and_value(one), in_dims=(None, 0, 0))(vector.detach(), inputs, labels)
    return losses, gradients
