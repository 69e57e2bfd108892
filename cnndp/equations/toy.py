"""A problem with two weights, small enough to follow the Polyak step by eye."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from cnndp.equations.noise import laplace
from cnndp.equations.stepsize import capped_step, debiased_squared_norm, descend, polyak_step, slack

CURVATURE = torch.tensor([1.0, 5.0], dtype=torch.float64)
START = torch.tensor([-3.0, 1.0], dtype=torch.float64)


class Path(NamedTuple):
    """Where a descent went: weights `[T + 1, 2]`, and loss, step size and slack of each step, `[T]`."""

    weights: Tensor
    losses: Tensor
    step_sizes: Tensor
    slacks: Tensor


def bowl(weights: Tensor) -> Tensor:
    """Return the loss 1/2 (w_1^2 + 5 w_2^2), whose minimum is 0 at the origin.

    >>> bowl(torch.tensor([2.0, 1.0], dtype=torch.float64))  # (4 + 5) / 2
    tensor(4.5000, dtype=torch.float64)
    """
    return (CURVATURE * weights.square()).sum(dim=-1) / 2


def polyak_path(
    num_steps: int,
    generator: Generator,
    *,
    noise_scale: float = 0.0,
    max_step: float | None = None,
    debias: bool = False,
) -> Path:
    """Follow Eq. (10) on the bowl from (-3, 1): the printed step, or the capped one of Eq. (11).

    Args:
        num_steps: T.
        generator: of the Laplace noise.
        noise_scale: b of the noise on each of the two gradient values.
        max_step: lambda; None for no cap.
        debias: take 2 * 2 b^2 out of the squared norm (with a cap only).
    """
    weights, columns = START, []
    points = [weights]
    for _ in range(num_steps):
        gradient = CURVATURE * weights + laplace(2, noise_scale, generator).double()
        loss, squared_norm = bowl(weights), gradient.square().sum()
        if debias:
            squared_norm = debiased_squared_norm(squared_norm, 2, 2 * noise_scale**2)
        if max_step is None:
            step, rest = polyak_step(loss, squared_norm), torch.zeros_like(loss)
        else:
            step, rest = capped_step(loss, squared_norm, max_step), slack(loss, squared_norm, max_step)
        weights = descend(weights, step, gradient)
        points.append(weights)
        columns.append(torch.stack([loss, step, rest]))
    losses, steps, slacks = torch.stack(columns, dim=1)
    return Path(torch.stack(points), losses, steps, slacks)
