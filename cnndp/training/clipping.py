"""Sums of gradients over a batch, and the sensitivity that each way of clipping guarantees.

Adjacency throughout: two datasets are neighbours when one record is added or removed. `sensitivity` is
returned by the clip and typed in nowhere; None means that no bound holds.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnndp.checks import at_least, one_of, positive
from cnndp.training.engine import weighted_sum, why_not
from cnndp.training.gradients import Loss, batch_gradient, general_weighted_sum, refuse_batch_statistics

ENGINES = ("auto", "fast", "general")
# Examples worked on at once: on a CPU as many as its caches like, on a GPU as many as make its kernels large.
PHYSICAL_BATCH = {"cpu": 128, "cuda": 2048}


class GradientSum(NamedTuple):
    """The sum of a batch's gradients, before noise."""

    losses: Tensor  # [B], raw
    total: Tensor  # [P]
    sensitivity: float | None  # how far one record can move `total`, in the norm of the clip


def clip_rows(gradients: Tensor, clip_norm: float, order: int) -> Tensor:
    """Return each row g scaled to g * min(1, C / ||g||): one norm over all parameters jointly.

    Args:
        gradients: `[B, P]`, one row an example.
        clip_norm: C, above 0.
        order: 1 for the L1 norm (Laplace noise), 2 for the L2 norm (Gaussian noise).

    Guarantees:
        No row of the result has a norm above `clip_norm` (up to rounding). A row whose norm is not finite
        counts as zero, so that one broken example cannot spoil the sum or the bound.

    >>> clip_rows(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), clip_norm=1.0, order=2)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    check_order(order)
    norms: Tensor = torch.linalg.vector_norm(gradients, ord=order, dim=-1, keepdim=True)
    return torch.where(norms.isfinite(), gradients * clip_factors(norms, clip_norm), 0.0)


def clip_factors(norms: Tensor, clip_norm: float, present: Tensor | None = None) -> Tensor:
    """Return min(1, C / norm) for each norm, and 0 where an example is not `present`.

    >>> clip_factors(torch.tensor([5.0, 0.5]), clip_norm=1.0)
    tensor([0.2000, 1.0000])
    """
    positive(clip_norm=clip_norm)
    factors = clip_norm / norms.clamp(min=clip_norm)
    return factors if present is None else factors * present


def check_order(order: int) -> None:
    """Raise `ValueError` unless `order` is 1 or 2."""
    if order not in (1, 2):
        raise ValueError(f"order={order!r} is not a norm used here; pass 1 (Laplace) or 2 (Gaussian)")


def unclipped_sum(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, *, precision: str = "float32"
) -> GradientSum:
    """Return the plain sum of gradients. Nothing bounds what one record adds, so there is no sensitivity."""
    losses, total = batch_gradient(model, vector, inputs, labels, loss, precision=precision)
    return GradientSum(losses, total, sensitivity=None)


def batch_clipped_sum(
    model: nn.Module,
    vector: Tensor,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    clip_norm: float,
    precision: str = "float32",
) -> GradientSum:
    """Return the sum whose *mean* over the batch is clipped to `clip_norm` in L2 (Table I taken literally).

    One record can turn the clipped mean around and rescale what all others contribute, so no sensitivity in
    the sense of the other clips follows from `clip_norm` alone.
    """
    losses, total = batch_gradient(model, vector, inputs, labels, loss, precision=precision)
    mean = clip_rows(total.unsqueeze(0) / len(labels), clip_norm, order=2).squeeze(0)
    return GradientSum(losses, mean * len(labels), sensitivity=None)


def example_clipped_sum(
    model: nn.Module,
    vector: Tensor,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    clip_norm: float,
    order: int,
    present: Tensor | None = None,
    engine: str = "auto",
    max_physical_batch: int | None = None,
    precision: str = "float32",
) -> GradientSum:
    """Return the sum of gradients clipped example by example.

    Args:
        model, vector: the network and its parameters `[P]`.
        inputs, labels: a batch of any size, 0 included, `[B, C, H, W]` and `[B]`.
        loss: `(logits, labels) -> [B]`.
        clip_norm: C, above 0.
        order: 1 for the L1 norm (Laplace noise), 2 for the L2 norm (Gaussian noise).
        present: `[B]` of booleans, False where an example only fills the batch up and must not count.
        engine: "fast" (`cnndp.training.engine`, for chains of plain layers), "general" (`torch.func`, any model), or
            "auto", the fast one where it can. They agree up to rounding.
        max_physical_batch: how many examples are worked on at once; None takes 128 on a CPU and 2,048 on a GPU. It
            bounds the memory and changes the result only by rounding.
        precision: of the network's passes, see `precision.network_precision`.

    Guarantees:
        Adding or removing one record moves the sum by at most `sensitivity` = `clip_norm`, in the L1 norm
        for `order=1` and in the L2 norm for `order=2`.

    Raises:
        ValueError: when a layer of `model` uses batch statistics, or when the fast engine is asked for and
            cannot compute this model.
    """
    check_order(order)
    size = physical_batch(max_physical_batch, vector.device)
    refuse_batch_statistics(model)
    weigh = weighted_sum if pick_engine(model, engine) == "fast" else general_weighted_sum
    if present is None:
        present = torch.ones_like(labels, dtype=torch.bool)
    total, losses = torch.zeros_like(vector), [vector.new_zeros(0)]
    parts = (torch.split(tensor, size) for tensor in (inputs, labels, present))
    for images, targets, counted in zip(*parts, strict=True):
        if len(targets):  # an empty batch, which Poisson sampling can draw, adds nothing
            factors = partial(clip_factors, clip_norm=clip_norm, present=counted)
            part = weigh(model, vector, images, targets, loss, order=order, factors=factors, precision=precision)
            losses.append(torch.where(counted, part[0], 0.0))
            total += part[1]
    return GradientSum(torch.cat(losses), total, sensitivity=clip_norm)


def physical_batch(asked: int | None, device: torch.device) -> int:
    """Return how many examples are worked on at once.

    >>> physical_batch(None, torch.device("cpu"))
    128
    """
    if asked is None:
        return PHYSICAL_BATCH.get(device.type, PHYSICAL_BATCH["cpu"])
    at_least(1, max_physical_batch=asked)
    return asked


def pick_engine(model: nn.Module, engine: str) -> str:
    """Return "fast" or "general".

    Raises:
        ValueError: for an unknown engine, and for "fast" with a model that it cannot compute, with the reason.

    >>> pick_engine(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), "auto")
    'fast'
    """
    one_of(ENGINES, engine=engine)
    if engine == "general":
        return engine
    reason = why_not(model)
    if reason is not None and engine == "fast":
        raise ValueError(f"engine='fast' cannot compute this model: {reason}; pass engine='auto' or 'general'")
    return "fast" if reason is None else "general"
