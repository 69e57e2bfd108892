"""Gradients of any `nn.Module` without batch statistics, with its parameters as one flat vector."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from cnndp.checks import one_of

Loss = Callable[[Tensor, Tensor], Tensor]
PRECISIONS = ("float32", "tf32", "bf16")  # of the network alone; loss, norms, clip, sum and noise stay in float32
PART = 256  # examples at once on a CPU: on 1,500 the network for CIFAR-10 takes 0.7 times as long in parts


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


def channels_last(images: Tensor) -> Tensor:
    """Return `[B, C, H, W]` with the channels innermost in memory, on a CPU; anything else as it is.

    The numbers are the same. On CPUs pooling and convolutions are several times faster on this layout, and
    layers hand it on; on GPUs in float32 the usual layout is the faster one.
    """
    if images.ndim != 4 or images.device.type != "cpu":
        return images
    # Tensor.to(memory_format=...) keeps the strides of a single channel, and layers then guess the usual layout.
    return torch.empty_like(images, memory_format=torch.channels_last).copy_(images)


def predict(model: nn.Module, vector: Tensor, inputs: Tensor) -> Tensor:
    """Return the logits `[B, K]` of `model` with the parameters `vector` `[P]` on `inputs` `[B, C, H, W]`."""
    logits: Tensor = functional_call(model, unflatten(model, vector), (channels_last(inputs),))
    return logits


def losses_of(logits: Tensor, labels: Tensor, loss: Loss, dtype: torch.dtype) -> Tensor:
    """Return the losses `[B]`, computed in `dtype` whatever precision the network ran in."""
    with torch.autocast(logits.device.type, enabled=False):
        return loss(logits.to(dtype), labels)


def batch_gradient(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, *, precision: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the *sum* of their gradients `[P]`, on a CPU a part of the batch after the other.

    Raises:
        ValueError: when a layer of `model` uses batch statistics.
    """
    refuse_batch_statistics(model)
    vector = vector.detach().requires_grad_(True)
    size = PART if vector.device.type == "cpu" else max(1, len(labels))
    losses: list[Tensor] = []
    gradients: list[Tensor] = []
    for images, targets in zip(torch.split(inputs, size), torch.split(labels, size), strict=True):
        with torch.enable_grad(), network_precision(precision, vector.device):
            part = losses_of(predict(model, vector, images), targets, loss, vector.dtype)
            gradients += torch.autograd.grad(part.sum(), vector)
        losses.append(part.detach())
    return torch.cat(losses), torch.stack(gradients).sum(dim=0) if len(gradients) > 1 else gradients[0]


def per_example_gradients(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, *, precision: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the gradient of each, `[B, P]`, of any model.

    Raises:
        ValueError: when a layer of `model` uses batch statistics.
    """
    refuse_batch_statistics(model)

    def one(weights: Tensor, image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, unflatten(model, weights), (image.unsqueeze(0),))
        return losses_of(logits, label.unsqueeze(0), loss, vector.dtype).squeeze(0)

    with network_precision(precision, vector.device):
        gradients, losses = vmap(grad_and_value(one), in_dims=(None, 0, 0))(vector.detach(), inputs, labels)
    return losses, gradients


def general_weighted_sum(
    model: nn.Module,
    vector: Tensor,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    order: int,
    factors: Callable[[Tensor], Tensor],
    precision: str = "float32",
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the sum of c_i g_i, `[P]`, of any model: the general engine.

    The contract is that of `engine.weighted_sum`: c = `factors(norms)`, and an example whose norm is not finite
    counts as zero.
    """
    losses, gradients = per_example_gradients(model, vector, inputs, labels, loss, precision=precision)
    norms: Tensor = torch.linalg.vector_norm(gradients, ord=order, dim=1)
    finite = norms.isfinite()
    c = torch.where(finite, factors(norms), 0.0)
    return losses, c @ torch.where(finite.unsqueeze(1), gradients, 0.0)


@contextmanager
def network_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Run the forward and backward pass of a network inside this block in `precision`.

    Args:
        precision: "float32", even where torch would use TF32 unasked; "tf32", whose products keep 10 of float32's
            23 digits after the point (GPUs from Ampere on, no effect elsewhere); or "bf16", whose layers compute
            in bfloat16 with 7 of them.
        device: where the network is.
    """
    one_of(PRECISIONS, precision=precision)
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(_tf32(allowed=precision == "tf32"))
        if precision == "bf16":
            stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False))
        yield


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
