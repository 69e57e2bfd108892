"""Methods as compositions of the parts: gradient sum, noise scale, step. Eq. (3) and (9) happen here.

`compose` turns the plain values of a Config into functions; `noisy_gradient` and `update` are one training
step. A new method is a new Config: see `presets.py` for the named ones.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cnndp.equations.budget import budget_for_total, step_epsilon, zcdp_rho
from cnndp.equations.losses import LOSSES, l2_factor
from cnndp.equations.noise import clamped_scale, laplace_scale
from cnndp.equations.stepsize import (
    capped_step,
    debiased_squared_norm,
    decayed_rate,
    descend,
    heavy_ball,
    polyak_step,
    slack,
)
from cnndp.privacy.calibration import split
from cnndp.privacy.ledger import Release, ratio
from cnndp.privacy.plan import Plan
from cnndp.training.batches import sampling_prob_for
from cnndp.training.clipping import GradientSum, batch_clipped_sum, example_clipped_sum, unclipped_sum
from cnndp.training.config import Config

NORMS = {"example_l1": "l1", "example_l2": "l2"}


class Noisy(NamedTuple):
    """What one step released, and what it drew it from."""

    gradient: Tensor  # [P], (clipped sum + noise) / B
    loss: Tensor  # scalar, the batch's mean loss: raw, or with noise where the method releases it
    noise_std: float | Tensor  # of one coordinate of `gradient`
    releases: tuple[Release, ...] = ()


class Step(NamedTuple):
    """How far one step went."""

    size: Tensor  # scalar, alpha or eta_t
    slack: Tensor | None  # scalar, Eq. (11); None where nothing caps the step


GradientPart = Callable[..., GradientSum]  # see Method.gradient_sum
ScalePart = Callable[[int, float | None], float]
StepPart = Callable[[float | Tensor, Noisy], Step]


class Method(NamedTuple):
    """One method: four functions and the constants around them."""

    gradient_sum: GradientPart  # (model, weights, inputs, labels) -> clipped sum with its sensitivity
    scale: ScalePart  # (t, sensitivity) -> noise scale on the sum
    rate: Callable[[int], float]  # t -> eta_t; not used by the Polyak step
    step: StepPart  # (eta_t, noisy) -> step size
    in_parts: bool  # whether a batch can be summed in parts, some examples not `present`
    mechanism: str
    divisor: int  # B, public
    l2: float  # factor of w in the update, outside clip and noise
    momentum: float
    sampling: str
    raw_loss: bool  # whether the step size reads the loss without noise
    sampling_prob: float | None = None  # q, where batches are Poisson samples
    norm: str | None = None  # of the clip per example: "l1" or "l2"
    loss_clip: float | None = None  # C_l, where the loss is released with noise: no example counts more
    loss_scale: Callable[[int], float] = lambda t: 0.0  # of the noise on the sum of clipped losses


def compose(
    config: Config,
    num_train: int,
    *,
    plan: Plan | None = None,
    engine: str = "auto",
    max_physical_batch: int | None = None,
) -> Method:
    """Return the functions that the plain values of `config` name.

    Args:
        config: one run.
        num_train: N, the number of training examples (Eq. (1)'s n where the reading says so; q = B/N).
        plan: where `config.target_epsilon` decides the noise, what the run intends to release (`intended.intended`).
        engine, max_physical_batch: how sums of clipped gradients are computed, see `clipping.example_clipped_sum`;
            neither changes results beyond rounding.
    """
    private = config.reading == "private"
    if config.target_epsilon is not None and plan is None:
        raise ValueError(
            f"target_epsilon={config.target_epsilon} without a plan: pass private.intended(config, num_train)"
        )
    losses = multipliers(config, plan, "loss") if config.loss_clip is not None else ()
    return Method(
        gradient_sum=gradient_part(config, engine, max_physical_batch),
        scale=scale_part(config, plan),
        rate=partial(decayed_rate, config.learning_rate, config.decay),
        step=step_part(config),
        in_parts=config.clip.startswith("example"),
        mechanism=config.mechanism,
        divisor=config.batch_size,
        l2=l2_factor(config.l2_coefficient, num_train if config.l2_over == "train" else config.batch_size),
        momentum=config.momentum,
        sampling=config.sampling,
        raw_loss=config.step == "polyak" and config.loss_clip is None,
        sampling_prob=sampling_prob_for(config.batch_size, num_train) if config.sampling == "poisson" else None,
        norm=NORMS[config.clip] if private else None,
        loss_clip=config.loss_clip,
        loss_scale=partial(multiplied, losses, sensitivity=config.loss_clip) if losses else no_scale,
    )


def multipliers(config: Config, plan: Plan | None, quantity: str) -> tuple[float, ...]:
    """Return noise scale over sensitivity of "gradient" or "loss" at each step of a private run."""
    if plan is not None:
        steps = [release for release in plan.releases if release.quantity == quantity and release.first_step]
        return tuple(1 / ratio(release) for release in steps for _ in range(release.steps))
    assert config.noise_multiplier is not None  # Config asks for one or the other
    both = split(config.noise_multiplier, config.loss_share if config.loss_clip else 0.0, config.mechanism)
    chosen = both[0] if quantity == "gradient" else both[1]
    assert chosen is not None  # asked for only where the loss is released
    return (chosen,) * config.num_steps


def gradient_part(config: Config, engine: str, max_physical_batch: int | None) -> GradientPart:
    """Return the gradient sum of `config.clip`."""
    common: dict[str, Any] = {"loss": LOSSES[config.loss], "precision": config.precision}
    if config.clip == "none":
        return partial(unclipped_sum, **common)
    common["clip_norm"] = config.clip_norm
    if config.clip == "batch":
        return partial(batch_clipped_sum, **common)
    order = {"example_l1": 1, "example_l2": 2}[config.clip]
    return partial(example_clipped_sum, order=order, engine=engine, max_physical_batch=max_physical_batch, **common)


def scale_part(config: Config, plan: Plan | None = None) -> ScalePart:
    """Return the noise scale on the sum: Eq. (4)'s budget through Eq. (3)'s scale, clamped as in Table I.

    Args:
        config: one run.
        plan: what a private run intends to release; decides the noise in place of a budget.
    """
    if plan is not None or config.noise_multiplier is not None:
        return partial(multiplied, multipliers(config, plan, "gradient"))
    if config.total_epsilon is None:
        return no_scale
    total, on_sum = config.total_epsilon, 1 if config.noise_on == "sum" else config.batch_size
    budget = budget_for_total(total, config.num_steps, config.growth)

    def scale(t: int, sensitivity: float | None) -> float:
        bound = config.nominal_sensitivity if sensitivity is None else sensitivity
        if config.calibration == "zcdp":
            return on_sum * bound * sqrt(config.num_steps / (2 * zcdp_rho(total)))
        per_step = laplace_scale(bound, step_epsilon(t, budget))
        return on_sum * clamped_scale(per_step, initial_scale=config.initial_scale, min_scale=config.min_scale)

    return scale


def multiplied(multiplier: Sequence[float], t: int, sensitivity: float | None) -> float:
    """Return the scale that a noise multiplier gives at step t; only a clip's own sensitivity counts."""
    assert sensitivity is not None  # Config asks for a clip per example
    return multiplier[t - 1] * sensitivity


def no_scale(t: int, sensitivity: float | None = None) -> float:
    """Return 0, the scale of a method without noise."""
    return 0.0


def step_part(config: Config) -> StepPart:
    """Return the step rule: fixed or decayed, or Polyak's with the cap and de-bias of the reading."""
    if config.step == "fixed":

        def fixed(rate: float | Tensor, noisy: Noisy) -> Step:
            return Step(torch.as_tensor(rate, dtype=torch.float32), slack=None)

        return fixed

    def polyak(rate: float | Tensor, noisy: Noisy) -> Step:
        squared_norm = noisy.gradient.square().sum()
        # Noise can push a released loss below 0; a raw one never is.
        loss = noisy.loss.clamp(min=0)
        if config.debias:
            num_params, variance = len(noisy.gradient), noisy.noise_std**2
            squared_norm = debiased_squared_norm(squared_norm, num_params, variance, config.clip_norm)
        if config.max_step is None:
            return Step(polyak_step(loss, squared_norm), slack=None)
        return Step(capped_step(loss, squared_norm, config.max_step), slack(loss, squared_norm, config.max_step))

    return polyak


def noisy_gradient(
    method: Method, model: nn.Module, weights: Tensor, inputs: Tensor, labels: Tensor, t: int, unit_noise: Tensor
) -> Noisy:
    """Return the noisy mean gradient of one batch: clip, sum, noise, divide, in this order. Eq. (3), (9).

    Eq. (3) and (9) add Lap(Delta f / epsilon_t) to the gradient; the scale comes from `method.scale` and the
    draw is `scale * unit_noise`.

    Args:
        method: the composition.
        model, weights: the network and its parameters `[P]`.
        inputs, labels: one batch, `[B, C, H, W]` and `[B]`.
        t: iteration, counted from 1.
        unit_noise: `[P]`, noise of scale 1.
    """
    summed = method.gradient_sum(model, weights, inputs, labels)
    scale = method.scale(t, summed.sensitivity)
    loss = mean_loss(method, loss_sum(method, summed.losses), len(labels))
    noisy = add_noise(method, summed.total, loss, scale, unit_noise, method.loss_scale(t))
    return noisy._replace(releases=releases(method, scale, summed.sensitivity, t))


def loss_sum(method: Method, losses: Tensor) -> Tensor:
    """Return the sum of a batch's losses; where it is released, each counts at least 0 and at most C_l.

    A loss that is not a number counts as 0 then, so that one broken example cannot spoil the sum or the bound.
    """
    if method.loss_clip is None:
        return losses.sum()
    return losses.nan_to_num(nan=0.0, posinf=method.loss_clip).clamp(0.0, method.loss_clip).sum()


def mean_loss(method: Method, total: Tensor, count: Tensor | int) -> Tensor:
    """Return the sum of losses over the public B where batches are Poisson samples, else over their size."""
    return total / (method.divisor if method.sampling == "poisson" else count)


def add_noise(
    method: Method,
    total: Tensor,
    loss: Tensor,
    scale: float | Tensor,
    unit_noise: Tensor,
    loss_scale: float | Tensor = 0.0,
) -> Noisy:
    """Return (sum + scale * noise) / B and what goes with it. Eq. (3), (9).

    Args:
        method: the composition.
        total: the sum of gradients, clipped where the method clips, `[P]`.
        loss: the batch's mean loss, scalar.
        scale: of the noise on the sum.
        unit_noise: noise of scale 1, `[P]`, or `[P + 1]` where the loss is released: its last value is for the loss.
        loss_scale: of the noise on the sum of clipped losses, where that is released.
    """
    if method.loss_clip is not None:
        unit_noise, drawn = unit_noise[:-1], unit_noise[-1]
        loss = loss + loss_scale * drawn / method.divisor
    gradient = (total + scale * unit_noise) / method.divisor
    return Noisy(gradient, loss, noise_std(method.mechanism, scale) / method.divisor)


def releases(method: Method, scale: float, sensitivity: float | None, t: int) -> tuple[Release, ...]:
    """Return what step t gives away: the gradient, and the loss where the step size reads it, raw or with noise."""
    first_step = t if method.sampling == "poisson" else None
    shared = (method.sampling, 1, method.sampling_prob, first_step)
    gradient = Release("gradient", method.mechanism, scale, sensitivity, *shared, method.norm)
    if method.loss_clip is not None:
        loss = Release("loss", method.mechanism, method.loss_scale(t), method.loss_clip, *shared, method.norm)
        return gradient, loss
    return (gradient, Release("loss", "none", 0.0, None, *shared)) if method.raw_loss else (gradient,)


def noise_std(mechanism: str, scale: float | Tensor) -> float | Tensor:
    """Return the standard deviation of one noise value: sqrt(2) b for Laplace, sigma for Gaussian, else 0.

    >>> noise_std("gaussian", 2.0)
    2.0
    """
    return {"laplace": sqrt(2) * scale, "gaussian": scale, "none": 0.0}[mechanism]


def is_healthy(method: Method, noisy: Noisy, weights: Tensor) -> Tensor:
    """Return whether a run can go on, as a scalar: weights are finite, and so is a loss that is not private.

    That a private run stops must follow from what it released alone.
    """
    finite = torch.isfinite(weights).all()
    return finite if method.sampling == "poisson" else finite & torch.isfinite(noisy.loss)


def update(method: Method, weights: Tensor, velocity: Tensor, noisy: Noisy, t: int) -> tuple[Tensor, Tensor, Step]:
    """Return weights, velocity and step after iteration t. Eq. (8) with the gradient of Eq. (3) or (9).

    The L2 term of Eq. (2) enters here as `l2 * w`: it depends on no record, so it needs no noise.
    """
    return move(method, weights, velocity, noisy, method.rate(t))


def move(
    method: Method, weights: Tensor, velocity: Tensor, noisy: Noisy, rate: float | Tensor
) -> tuple[Tensor, Tensor, Step]:
    """Return weights, velocity and step, with the fixed step size `rate` where the method uses one."""
    step = method.step(rate, noisy)
    velocity = heavy_ball(velocity, noisy.gradient + method.l2 * weights, method.momentum)
    return descend(weights, step.size, velocity), velocity, step
