"""Noise that adapts along the way: chosen from what was released before, under a filter that may end the run.

P1 calls its noise adaptive, but its schedule is fixed in advance, so a plan covers it. Noise that really follows the
training must not look at anything that was not released, and its budget needs a filter (`cnndp.privacy.filters`). The
norm of a noisy gradient is mostly that of its noise, so a rule that follows it follows itself: de-bias it first.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from cnndp.checks import positive
from cnndp.privacy.filters import Filter
from cnndp.privacy.plan import OverspendError
from cnndp.training.methods import Method, multiplied
from cnndp.training.wiring import State, take_step

# (t, noisy gradient of the first step, that of the last one) -> noise multiplier of step t; None before there is one.
Rule = Callable[[int, Tensor | None, Tensor | None], float]


def adaptive_steps(
    method: Method,
    rule: Rule,
    budget: Filter,
    model: nn.Module,
    weights: Tensor,
    inputs: Tensor,
    labels: Tensor,
    order: Iterable[Tensor],
    draws: Iterable[Tensor],
) -> Iterator[State]:
    """Yield the state after each step, until the filter stops: before the weights move by what does not fit.

    Args:
        method: a private one that releases gradients alone, from `methods.compose`; its own scale is not used.
        rule: chooses the noise multiplier of each step.
        budget: from `filters.renyi_filter` (Gaussian noise) or `filters.pure_filter` (Laplace).
        model, weights: the network and its parameters `[P]`.
        inputs, labels: all training data as the network gets it, `[N, ...]` and `[N]`.
        order: Poisson batches, from `batches.poisson`.
        draws: noise of scale 1, from `noise.unit_noise`.

    Raises:
        ValueError: another kind of method, or a multiplier that is not above 0.
    """
    if method.norm is None or method.loss_clip is not None:
        raise ValueError(
            f"norm={method.norm!r}, loss_clip={method.loss_clip}: noise adapts for private methods that release "
            "gradients alone; compose a Config of reading='private' with step='fixed'"
        )
    velocity = torch.zeros_like(weights)
    first: Tensor | None = None
    last: Tensor | None = None
    for t, (batch, draw) in enumerate(zip(order, draws, strict=True), start=1):
        multiplier = float(rule(t, first, last))
        positive(multiplier=multiplier)
        adapted = method._replace(scale=partial(multiplied, (multiplier,) * t))
        try:
            state, velocity, budget = take_step(
                adapted, model, weights, velocity, inputs[batch], labels[batch], t, draw, budget
            )
        except OverspendError:
            return
        weights, last = state.weights, state.noisy.gradient
        first = last if first is None else first
        yield state
