"""Sums of gradients over a batch, and the sensitivity that each way of clipping guarantees.

Adjacency throughout: two datasets are neighbours when one record is added or removed. `sensitivity` is
returned by the clip and typed in nowhere; None means that no bound holds.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnndp.checks import positive
from cnndp.gradients import Loss, batch_gradient, per_example_gradients

CHUNK = 256  # examples whose gradients are in memory at once


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
    positive(clip_norm=clip_norm)
    if order not in (1, 2):
        raise ValueError(f"order={order!r} is not a norm used here; pass 1 (Laplace) or 2 (Gaussian)")
    norms: Tensor = torch.linalg.vector_norm(gradients, ord=order, dim=-1, keepdim=True)
    clipped = gradients * (clip_norm / norms.clamp(min=clip_norm))
    return torch.where(norms.isfinite(), clipped, 0.0)


def unclipped_sum(model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss) -> GradientSum:
    """Return the plain sum of gradients. Nothing bounds what one record adds, so there is no sensitivity."""
    losses, total = batch_gradient(model, vector, inputs, labels, loss)
    return GradientSum(losses, total, sensitivity=None)


def batch_clipped_sum(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, *, clip_norm: float
) -> GradientSum:
    """Return the sum whose *mean* over the batch is clipped to `clip_norm` in L2 (Table I taken literally).

    One record can turn the clipped mean around and rescale what all others contribute, so no sensitivity in
    the sense of the other clips follows from `clip_norm` alone.
    """
    losses, total = batch_gradient(model, vector, inputs, labels, loss)
    mean = clip_rows(total.unsqueeze(0) / len(labels), clip_norm, order=2).squeeze(0)
    return GradientSum(losses, mean * len(labels), sensitivity=None)


def example_clipped_sum(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, *, clip_norm: float, order: int
) -> GradientSum:
    """Return the sum of gradients clipped example by example.

    Guarantees:
        Adding or removing one record moves the sum by at most `sensitivity` = `clip_norm`, in the L1 norm
        for `order=1` and in the L2 norm for `order=2`.

    Raises:
        ValueError: when a layer of `model` uses batch statistics.
    """
    total = torch.zeros_like(vector)
    losses = []
    for images, targets in zip(torch.split(inputs, CHUNK), torch.split(labels, CHUNK), strict=True):
        chunk_losses, gradients = per_example_gradients(model, vector, images, targets, loss)
        total += clip_rows(gradients, clip_norm, order).sum(dim=0)
        losses.append(chunk_losses)
    return GradientSum(torch.cat(losses), total, sensitivity=clip_norm)
