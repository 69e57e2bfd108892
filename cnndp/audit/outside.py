"""What a run did, worked out from outside: its batches and its noise, from the weights before and after each step.

Nothing here asks the run what it drew. The gradients of single examples are made one by one; B times the distance
over the step size, less the clipped sum of the examples in the batch, is the noise. Which examples were in the batch
is found first, in a run of the same seed with hardly any noise: the gradients are far from one another, so the sum
has one solution, of zeros and ones. The ledger is only asked for the scale that it states.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cnndp.data.datasets import Images, network_input
from cnndp.privacy.ledger import Release
from cnndp.training.config import Config
from cnndp.training.gradients import flatten
from cnndp.training.loop import Outcome, train
from cnndp.training.wiring import Wiring, as_it_is

Values = NDArray[np.float64]
QUIET = {"gaussian": 1e-3, "laplace": 1e-6}  # noise multiplier at which batches can be read
CHANCE = 1e-6  # below this chance of a correct run, something is wrong
DISTRIBUTIONS = {"gaussian": stats.norm, "laplace": stats.laplace}


class Recovered(NamedTuple):
    """What was found out about the first T steps of a run."""

    members: Values  # [T, N], 1 for an example in the batch, 0 for one that is not, anything else for nonsense
    noise: Values  # [at most T, P], over the scale that the ledger states of that step; of steps that moved the weights
    losses: Values  # [T], of the released loss, the same; empty where the loss is not released
    mechanism: str
    sampling_prob: float


def recover(
    config: Config, images: Images, num_steps: int, change: Callable[[Wiring], Wiring] = as_it_is, **options: bool
) -> Recovered:
    """Return what `loop.train` did in its first steps.

    Args:
        config: a private run with momentum 0 and without an L2 term, whose step size is in its trace.
        images: a few dozen training images are enough, and fewer than the network has parameters are needed.
        num_steps: T, at most 10, the length of the trace.
        change, options: for `loop.train`.
    """
    if config.momentum or config.l2_coefficient or config.clip_norm is None:
        raise ValueError(
            f"momentum={config.momentum}, l2_coefficient={config.l2_coefficient}, clip_norm={config.clip_norm}: a step "
            "is told from the weights where they move by the clipped gradient alone; pass 0, 0 and a clip norm"
        )
    quiet = config.replace(target_epsilon=None, noise_multiplier=QUIET[config.mechanism], growth=1.0)
    path = walked(quiet, images, num_steps, change, **options)
    members = np.stack([solved(total, parts) for total, parts, _ in steps_of(quiet, images, path)])
    path = walked(config, images, num_steps, change, **options)
    noise, losses = [], []
    for t, (total, parts, values) in enumerate(steps_of(config, images, path), start=1):
        chosen = torch.from_numpy(members[t - 1].round())
        if path[-1].trace["step_size"][t - 1] > 0:  # a Polyak step is 0 where the released loss is not above 0
            noise.append((total - parts @ chosen).numpy() / scale_at(path[-1].releases, "gradient", t))
        if config.loss_clip is not None:
            released = config.batch_size * path[-1].trace["loss"][t - 1]
            counted = float(values.clamp(0, config.loss_clip) @ chosen)
            losses.append((released - counted) / scale_at(path[-1].releases, "loss", t))
    stated = next(one.sampling_prob for one in path[-1].releases if one.sampling == "poisson")
    assert stated is not None  # a private run
    return Recovered(members, np.array(noise), np.array(losses), config.mechanism, stated)


def walked(
    config: Config, images: Images, num_steps: int, change: Callable[[Wiring], Wiring], **options: bool
) -> list[Outcome]:
    """Return how the run stands after 1, 2, ..., `num_steps` steps, each time trained from the start."""
    return [
        train(config, images, last_step=step, change=change, **options)  # type: ignore[arg-type]  # graph=True or False
        for step in range(1, num_steps + 1)
    ]


def steps_of(config: Config, images: Images, path: list[Outcome]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return for each step what the weights say B times the noisy gradient was, and what each example would add.

    Returns:
        (B times the noisy gradient, `[P]`; clipped gradients of all training examples, `[P, N]`; their losses, `[N]`),
        in float64.
    """
    found, before = [], flatten(path[0].model)
    for t, outcome in enumerate(path):
        size = outcome.trace["step_size"][t]
        total = config.batch_size * (before.double() - outcome.weights.double()) / (size or 1.0)
        found.append((total, *one_by_one(outcome.model, before, config, images)))
        before = outcome.weights
    return found


def one_by_one(model: nn.Module, weights: Tensor, config: Config, images: Images) -> tuple[Tensor, Tensor]:
    """Return the clipped gradient `[P, N]` and the loss `[N]` of each training image by itself, in float64."""
    order = 1 if config.mechanism == "laplace" else 2
    assert config.clip_norm is not None  # a private run
    to_input = network_input(config.dataset, normalise=config.normalise)
    gradients, losses = [], []
    torch.nn.utils.vector_to_parameters(weights.clone(), model.parameters())
    for image, label in zip(images.train_images, images.train_labels, strict=True):
        loss = cross_entropy(model(to_input(image[None])), label[None])
        parts = torch.autograd.grad(loss, list(model.parameters()))
        gradient = torch.cat([part.flatten() for part in parts]).double()
        norm = float(gradient.norm(p=order))  # 0 where the network is certain and right
        gradients.append(gradient * (min(1.0, config.clip_norm / norm) if norm else 1.0))
        losses.append(loss.detach().double())
    return torch.stack(gradients, dim=1), torch.stack(losses)


def solved(total: Tensor, parts: Tensor) -> Values:
    """Return the weights `[N]` with which columns `[P, N]` add up to a sum `[P]`, by least squares."""
    return np.asarray(torch.linalg.lstsq(parts, total[:, None], driver="gelsd").solution[:, 0].numpy())


def scale_at(releases: list[Release], quantity: str, step: int) -> float:
    """Return the noise scale that the ledger states of a quantity at a step."""
    return next(
        one.scale
        for one in releases
        if one.quantity == quantity and one.first_step and one.first_step <= step < one.first_step + one.steps
    )


# What must hold. Each returns what is wrong, "" for nothing.


def steps_are_clipped_sums(found: Recovered) -> str:
    """Return "" when the weights moved by sums of clipped gradients, each example taken once or not at all."""
    members = found.members.round()
    if np.abs(found.members - members).max() > 0.1 or not np.isin(members, (0, 1)).all():
        return "a step is no sum of clipped gradients"
    return ""


def noise_is_as_stated(found: Recovered) -> str:
    """Return "" when the noise of all steps has the stated distribution and scale, and no step repeats another."""
    if len(found.noise) < 2 or not np.isfinite(found.noise).all():
        return "fewer than two steps moved the weights, so no noise can be told"
    chances = [float(stats.kstest(one, DISTRIBUTIONS[found.mechanism].cdf).pvalue) for one in found.noise]
    if min(chances) < CHANCE:
        worst = found.noise[chances.index(min(chances))]
        return f"noise of a step is {worst.std() / std_of(found.mechanism):.3f} times as stated"
    likeness = np.corrcoef(found.noise) - np.eye(len(found.noise))
    if np.abs(likeness).max() > limit_of_likeness(found.noise.shape[1]):
        return f"noise of two steps is alike: correlation {np.abs(likeness).max():.3f}"
    return ""


def loss_noise_is_as_stated(found: Recovered) -> str:
    """Return "" when the noise on the released losses is neither too small nor too large; "" without such losses."""
    if not found.losses.size:
        return ""
    count = found.losses.size
    # The sum of squares of normal values, and twice the sum of |x| of Laplace ones, are chi-squared.
    amount, freedom = (
        (float(np.square(found.losses).sum()), count)
        if found.mechanism == "gaussian"
        else (2 * float(np.abs(found.losses).sum()), 2 * count)
    )
    if two_sided(stats.chi2(freedom), amount) < CHANCE:
        return f"noise on {count} losses is {amount / freedom:.3f} times as stated"
    return ""


def batches_are_poisson(found: Recovered) -> str:
    """Return "" when each example was in each batch by itself, with the stated chance."""
    members, q = found.members.round(), found.sampling_prob
    steps, count = members.shape
    variance = q * (1 - q)
    how_many = two_sided(stats.binom(members.size, q), members.sum())
    sizes = two_sided(stats.chi2(steps), float(np.square(members.sum(axis=1) - q * count).sum()) / (count * variance))
    turns = two_sided(stats.chi2(count), float(np.square(members.sum(axis=0) - q * steps).sum()) / (steps * variance))
    for chance, what in (
        (how_many, "are too large or too small on average"),
        (sizes, "do not vary in size as they would"),
        (turns, "take examples in turn, or the same again and again"),
    ):
        if chance < CHANCE:
            return f"batches {what}"
    return ""


def two_sided(distribution: Any, value: float) -> float:
    """Return the chance of a value as far out as this one, on either side."""
    return float(2 * min(distribution.cdf(value), distribution.sf(value)))


def std_of(mechanism: str) -> float:
    """Return the standard deviation of noise of scale 1."""
    return float(DISTRIBUTIONS[mechanism].std())


def limit_of_likeness(count: int) -> float:
    """Return the correlation of independent rows of `count` values that chance exceeds in one of a million cases."""
    return float(stats.norm.isf(CHANCE / 2) / count**0.5)


CHECKS: dict[str, Callable[[Recovered], str]] = {
    check.__name__: check for check in (noise_is_as_stated, loss_noise_is_as_stated, batches_are_poisson)
}


def failed(found: Recovered) -> dict[str, str]:
    """Return what is wrong with a run, by the name of the check that says so.

    Where steps are no clipped sums, nothing else can be told of them.
    """
    if wrong := steps_are_clipped_sums(found):
        return {steps_are_clipped_sums.__name__: wrong}
    return {name: wrong for name, check in CHECKS.items() if (wrong := check(found))}
