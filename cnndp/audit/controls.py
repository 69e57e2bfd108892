"""Negative controls: known mistakes planted in a private run, each of which something must notice.

A control exchanges one part of a run and leaves what the ledger says as it was: the mistake is one that nobody wrote
down. Mistakes that do show in the ledger are stopped by the guard before the weights move.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnndp.audit.runs import Change, Loop
from cnndp.equations.losses import cross_entropy
from cnndp.training.batches import reshuffled
from cnndp.training.clipping import GradientSum, batch_clipped_sum, example_clipped_sum
from cnndp.training.gradients import flatten
from cnndp.training.methods import Method
from cnndp.training.wiring import Material, State, Wiring, as_it_is, eager_steps, take_step

AUDIT, LOSS_AUDIT, GUARD = "audit", "loss audit", "guard"
NOISE, LOSS_NOISE, SUMS, BATCHES = (
    "noise_is_as_stated",
    "loss_noise_is_as_stated",
    "steps_are_clipped_sums",
    "batches_are_poisson",
)
LOUDEST = 3.2  # loss of the first canary of `loss_heights`; each next one's is half of it


class Control(NamedTuple):
    """One mistake, and how it is looked for.

    Attributes:
        name: what is wrong.
        change: plants it.
        caught_by: all that must notice it: "audit" (the bound exceeds the claim), "loss audit", "guard", and the names
            of checks, `divisor_is_public` or one of `outside`, which look at `loop.train` itself.
        mechanism: of the run.
        method: a name of `presets.PRIVATE`.
        num_steps, batch_size, target_epsilon: of the run; batches of 40 of 320 records mean q = 1/8.
        num_canaries, width: see `canaries.plant`.
        hidden: size of the network, see `runs.small_network`.
        order: norm of the clip that the attacker counts on; None for the one that the mechanism needs.
        loop: takes the steps.
    """

    name: str
    change: Change
    caught_by: tuple[str, ...] = (AUDIT,)
    mechanism: str = "gaussian"
    method: str = "dp_sgd"
    num_steps: int = 24
    batch_size: int = 40
    target_epsilon: float = 4.0
    num_canaries: int = 2000
    width: int = 1
    hidden: int = 40
    order: int | None = None
    loop: Loop = eager_steps


def half_the_noise(wiring: Wiring) -> Wiring:
    """Draw noise of half the scale that the ledger names."""
    return wiring._replace(draws=(draw / 2 for draw in wiring.draws))


def one_layer_without_noise(wiring: Wiring) -> Wiring:
    """Leave the largest layer but one without noise."""
    sizes = [parameter.numel() for parameter in wiring.material.model.parameters()]
    layer = sizes.index(sorted(sizes)[-2])
    start = sum(sizes[:layer])

    def quiet(draw: Tensor) -> Tensor:
        draw = draw.clone()
        draw[start : start + sizes[layer]] = 0
        return draw

    return wiring._replace(draws=(quiet(draw) for draw in wiring.draws))


def same_noise_every_step(wiring: Wiring) -> Wiring:
    """Seed the noise alike in every step."""
    order, first = list(wiring.order), next(iter(wiring.draws))
    return wiring._replace(order=order, draws=[first] * len(order))


def clipped_per_batch(wiring: Wiring) -> Wiring:
    """Clip the mean gradient of the batch, and claim the sensitivity of a clip per example."""
    return with_sum(wiring, batch_clipped_sum)


def l2_clip(wiring: Wiring) -> Wiring:
    """Clip in the L2 norm, and claim that it bounds the L1 norm."""
    return with_sum(wiring, partial(example_clipped_sum, order=2))


def with_sum(wiring: Wiring, clip: Callable[..., GradientSum]) -> Wiring:
    """Return the run with another sum of gradients that claims the sensitivity of the right one."""
    material = wiring.material
    one = material.to_input(material.inputs[:1])
    bound = wiring.method.gradient_sum(material.model, wiring.weights, one, material.labels[:1]).sensitivity
    assert bound is not None  # a private method

    def gradient_sum(model: nn.Module, weights: Tensor, inputs: Tensor, labels: Tensor) -> GradientSum:
        summed = clip(model, weights, inputs, labels, loss=cross_entropy, clip_norm=bound)
        return summed._replace(sensitivity=bound)

    return wiring._replace(method=wiring.method._replace(gradient_sum=gradient_sum))


def every_record_in_every_batch(wiring: Wiring) -> Wiring:
    """Take all records each time, and claim Poisson batches."""
    everyone = torch.arange(len(wiring.material.labels))
    return wiring._replace(order=[everyone for _ in wiring.order])


def reshuffled_batches(wiring: Wiring) -> Wiring:
    """Deal out the records once an epoch, in batches of the expected size, and claim Poisson batches."""
    q, count, order = wiring.method.sampling_prob, len(wiring.material.labels), list(wiring.order)
    assert q is not None  # a private method
    generator = torch.Generator().manual_seed(int(order[0].sum()))
    return wiring._replace(order=reshuffled(count, int(q * count), len(order), generator))


def raw_loss_in_the_ledger(wiring: Wiring) -> Wiring:
    """Use the raw loss in the step size, as P1 does, and say so."""
    draws = (draw[:-1] for draw in wiring.draws)
    return wiring._replace(method=wiring.method._replace(loss_clip=None, raw_loss=True), draws=draws)


def raw_loss(wiring: Wiring) -> Wiring:
    """Use the raw loss in the step size, as P1 does, and claim that it had noise."""

    def quiet(draw: Tensor) -> Tensor:
        return torch.cat([draw[:-1], draw.new_zeros(1)])

    return wiring._replace(draws=(quiet(draw) for draw in wiring.draws))


def realised_size_steps(wiring: Wiring) -> Iterator[State]:
    """Take the steps of `wiring.eager_steps`, with the size of each batch for the public divisor."""
    method, (model, inputs, labels, to_input), weights, order, draws, guard = wiring
    velocity = torch.zeros_like(weights)
    for t, (batch, draw) in enumerate(zip(order, draws, strict=True), start=1):
        wrong, images = method._replace(divisor=max(1, len(batch))), to_input(inputs[batch])
        state, velocity, guard = take_step(wrong, model, weights, velocity, images, labels[batch], t, draw, guard)
        weights = state.weights
        yield state


def divisor_is_public(loop: Loop, method: Method, material: Material) -> bool:
    """Return whether two halves of a batch, each divided, add up to the whole batch divided: the divisor is one number.

    Without noise and guard, since what is tested is the division alone. A one-run audit does not see this mistake: that
    one canary is in changes the size of a batch no more than that any other is.

    Args:
        loop: takes the steps, as `wiring.eager_steps` does.
        method: a private one without a released loss.
        material: the network and a batch.
    """
    start, everyone = flatten(material.model), torch.arange(len(material.labels))
    half = len(everyone) // 2
    silent = Wiring(method, material, start, order=(), draws=[torch.zeros_like(start)])
    first, second, whole = (
        next(loop(silent._replace(order=[one]))).noisy.gradient for one in (everyone[:half], everyone[half:], everyone)
    )
    return bool(torch.allclose(first + second, whole, rtol=1e-3, atol=1e-6))


def loss_heights(num_canaries: int, num_classes: int = 10) -> Tensor:
    """Return logits of class 0 that make losses of 3.2, 1.6, 0.8, ...: any sum of them tells which are in it.

    The loss ln(1 + (K - 1) e^-h) is l at h = ln(K - 1) - ln(e^l - 1).
    """
    losses = canary_losses(num_canaries)
    return (math.log(num_classes - 1) - torch.log(torch.expm1(losses))).float()


def canary_losses(num_canaries: int) -> Tensor:
    """Return 3.2, 1.6, 0.8, ..., `[m]` in float64.

    >>> canary_losses(2)
    tensor([3.2000, 1.6000], dtype=torch.float64)
    """
    return LOUDEST * 0.5 ** torch.arange(num_canaries, dtype=torch.float64)


CORRECT = (
    Control("correct, Gaussian", as_it_is, caught_by=()),
    Control("correct, Laplace", as_it_is, caught_by=(), mechanism="laplace"),
)
CONTROLS = (
    Control("half the noise, Gaussian", half_the_noise, (AUDIT, NOISE)),
    Control("half the noise, Laplace", half_the_noise, (AUDIT, NOISE), mechanism="laplace"),
    Control("one layer without noise", one_layer_without_noise, (AUDIT, NOISE)),
    Control("the same noise in every step", same_noise_every_step, (AUDIT, NOISE)),
    Control("clip per batch", clipped_per_batch, (AUDIT, SUMS)),
    # What an L2 clip lets through beyond the promise is rare and large: few loud steps, and many canaries.
    Control(
        "L2 clip with Laplace noise",
        l2_clip,
        (AUDIT, SUMS),
        mechanism="laplace",
        num_steps=2,
        batch_size=160,
        num_canaries=3000,
        width=12,
        order=2,
        hidden=120,
    ),
    Control("every record in every batch", every_record_in_every_batch, (AUDIT, BATCHES), num_canaries=400),
    # Dealing out once an epoch gives more away only where noise does not hide in which step a record was.
    Control("reshuffled batches", reshuffled_batches, (AUDIT, BATCHES), num_steps=8, target_epsilon=20.0),
    Control(
        "raw loss in the step size",
        raw_loss,
        caught_by=(LOSS_AUDIT, LOSS_NOISE),
        method="cnn_dp_gan_polyak",
        target_epsilon=1.0,
        num_steps=60,
        num_canaries=13,
    ),
    Control(
        "raw loss in the step size, in the ledger",
        raw_loss_in_the_ledger,
        caught_by=(GUARD,),
        method="cnn_dp_gan_polyak",
        num_canaries=13,
    ),
    Control("divided by the realised batch size", as_it_is, caught_by=("divisor_is_public",), loop=realised_size_steps),
)
