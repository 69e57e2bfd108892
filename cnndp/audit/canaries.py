"""Canaries: records that an attacker plants, whose gradients are told apart from all others, and what is seen of them.

A canary owns coordinates of the flat gradient, spread over all layers of the network. It goes through sampling, clip,
sum, noise and division like any record, because to the training loop it is one.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from cnndp.checks import at_least, positive
from cnndp.privacy.ledger import Release
from cnndp.training.methods import Method, loss_sum
from cnndp.training.wiring import State

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

PULL = 20.0  # norm of a canary's gradient over the clip norm, before the clip: it binds, and batches keep their size


# Beyond some distance all Laplace values have one ratio. Rounding errors would tell them apart, and with them "in" from
# "out": that is the floating-point leak of Mironov (2012), which is no part of what is audited.
DIGITS = 9


class WithCanaries(nn.Module):
    """A network to which some records are canaries: the gradient of canary i is long and lies in its own coordinates.

    A record is `[F + 2]`: its F pixels, then the number of its canary (-1 for a real record), then the canary's logit
    of class 0, which decides its loss. The parameters are those of the network, in their order, and real records get
    its logits. Canary i of class 0 gets the logit `height + pull * sum_j (w_j - stop(w_j))` over its coordinates j:
    constant in value, with a gradient that no training step saturates.

    Args:
        model: any network that the general engine takes.
        shape: of an image, `(C, H, W)`.
        places: `[m, width]`, the coordinates of each canary in the flat gradient, all different.
        pull: length of the derivative of the canary's logit in each coordinate.
        num_classes: K.
    """

    places: Tensor

    def __init__(
        self, model: nn.Module, shape: Sequence[int], places: Tensor, pull: float, num_classes: int = 10
    ) -> None:
        super().__init__()
        self.model, self.shape, self.pull, self.num_classes = model, tuple(shape), pull, num_classes
        self.register_buffer("places", places)

    def forward(self, records: Tensor) -> Tensor:
        """Return the logits `[B, K]` of records `[B, F + 2]`."""
        images, number, height = records[:, :-2].unflatten(1, self.shape), records[:, -2], records[:, -1]
        weights = torch.cat([parameter.reshape(-1) for parameter in self.model.parameters()])
        lever = weights - weights.detach()  # 0, with derivative 1
        own = lever[self.places[number.clamp(min=0).long()]].sum(dim=1)
        planted = F.pad((height + self.pull * own).unsqueeze(1), (0, self.num_classes - 1))
        return torch.where((number < 0).unsqueeze(1), self.model(images), planted)


class Planted(NamedTuple):
    """A training set with canaries in it."""

    model: WithCanaries
    records: Tensor  # [N + n, F + 2]: the N real ones, then the n canaries that are in
    labels: Tensor  # [N + n]
    num_real: int  # N
    included: Flags  # [m], a fair coin for each


def plant(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    clip_norm: float,
    num_canaries: int,
    generator: Generator,
    *,
    width: int = 1,
    heights: Tensor | None = None,
    num_classes: int = 10,
) -> Planted:
    """Return a training set in which each of m canaries is with probability 1/2.

    Args:
        model: the network that is trained.
        inputs, labels: the real records as the network gets them, `[N, C, H, W]` and `[N]`.
        clip_norm: C; a canary's gradient is 20 times as long before the clip.
        num_canaries: m; with `width` coordinates each, no more than the network has parameters.
        generator: of coordinates and coins.
        width: coordinates of one canary; 1 is the worst case of Gaussian noise with an L2 clip and of Laplace noise
            with an L1 clip, many are the worst case of Laplace noise with an L2 clip.
        heights: `[m]`, the logit that decides a canary's loss; None for 0, a loss of ln K.

    Raises:
        ValueError: more coordinates asked for than there are parameters.
    """
    at_least(1, num_canaries=num_canaries, width=width)
    positive(clip_norm=clip_norm)
    sizes = [parameter.numel() for parameter in model.parameters()]
    places = spread_places(sizes, num_canaries * width, generator).view(num_canaries, width)
    included = torch.rand(num_canaries, generator=generator) < 0.5
    heights = torch.zeros(num_canaries) if heights is None else heights
    pixels = inputs.flatten(1)
    real = torch.cat([pixels, torch.tensor([-1.0, 0.0]).expand(len(pixels), 2)], dim=1)
    chosen = included.nonzero()
    blank = torch.zeros(len(chosen), pixels.shape[1])
    canaries = torch.cat([blank, chosen.float(), heights[included].unsqueeze(1)], dim=1)
    pull = PULL * clip_norm / width**0.5 / (1 - 1 / num_classes)
    return Planted(
        WithCanaries(model, inputs.shape[1:], places, pull, num_classes),
        torch.cat([real, canaries]),
        torch.cat([labels, torch.zeros(len(chosen), dtype=labels.dtype)]),
        len(inputs),
        included.numpy(),
    )


def spread_places(sizes: Sequence[int], count: int, generator: Generator) -> Tensor:
    """Return `[count]` different coordinates in random order: from each layer equally many, as far as it has them.

    Args:
        sizes: number of values of each parameter tensor, in order.
        count: how many coordinates.
        generator: of the choice.

    Raises:
        ValueError: when there are fewer parameters.

    >>> sorted(spread_places([100, 2], 6, Generator().manual_seed(0)).tolist())[-2:]  # both of the small layer
    [100, 101]
    """
    if count > sum(sizes):
        raise ValueError(
            f"{count} coordinates are asked for and the network has {sum(sizes)} parameters; plant fewer canaries, "
            "or narrower ones"
        )
    starts = np.cumsum([0, *sizes[:-1]])
    orders = [start + torch.randperm(size, generator=generator) for start, size in zip(starts, sizes, strict=True)]
    turns = torch.cat([torch.arange(size) for size in sizes])  # the k-th of every layer before any (k + 1)-th
    picked = torch.cat(orders)[torch.argsort(turns, stable=True)[:count]]
    return picked[torch.randperm(count, generator=generator)]


class Seen(NamedTuple):
    """What a white-box attacker sees of the canaries: T steps, m canaries."""

    included: Flags  # [m]
    sums: Values  # [T, m, width], noisy sum at the canaries' coordinates, real records taken out; positive where in
    scales: Values  # [T], of the noise that the ledger states
    sensitivity: float
    sampling_prob: float
    mechanism: str
    losses: Values  # [T], the loss that was released, times the public batch size, real records taken out
    releases: tuple[Release, ...]  # the ledger, with the step of each


def observe(states: Iterable[State], start: Tensor, method: Method, planted: Planted, order: Iterable[Tensor]) -> Seen:
    """Return what the attacker sees, who knows all other records, their batches and all weights, as in the definition.

    Args:
        states: of all steps, as `wiring.eager_steps` yields them.
        start: the initial weights, `[P]`.
        method: what the run claims to do; the attacker works out the real records' part with it.
        planted: the training set.
        order: the batches.
    """
    sums, losses, releases, weights = [], [], [], start
    for state, batch in zip(states, order, strict=True):
        real = batch[batch < planted.num_real]
        known = method.gradient_sum(planted.model, weights, planted.records[real], planted.labels[real])
        noisy = method.divisor * state.noisy.gradient - known.total
        sums.append(-noisy[planted.model.places].double())  # a canary of class 0 pulls its coordinates down
        losses.append(method.divisor * state.noisy.loss.double() - loss_sum(method, known.losses.double()))
        releases.append(state.noisy.releases)
        weights = state.weights
    gradients = [next(one for one in step if one.quantity == "gradient") for step in releases]
    assert gradients[0].sensitivity is not None  # a private method
    return Seen(
        included=planted.included,
        sums=torch.stack(sums).numpy(),
        scales=np.array([release.scale for release in gradients]),
        sensitivity=gradients[0].sensitivity,
        sampling_prob=gradients[0].sampling_prob or 1.0,
        mechanism=gradients[0].mechanism,
        losses=torch.stack(losses).numpy(),
        releases=tuple(release for step in releases for release in step),
    )


def likelihood_score(seen: Seen, order: int) -> Values:
    """Return the log-likelihood ratio `[m]` of each canary being in, for the noise that the ledger states.

    With x the values at a canary's coordinates, s the shift that it causes in each of them and b_t the scale, step t
    adds ln(1 - q + q e^l): l = sum_j (s x_j - s^2 / 2) / b_t^2 for Gaussian and sum_j (|x_j| - |x_j - s|) / b_t for
    Laplace noise. This is the best statistic there is (Neyman and Pearson) against the stated mechanism: it weighs the
    steps of a schedule by their noise, and a large Laplace value counts no more than s / b_t.

    Args:
        seen: the attacker's view.
        order: norm of the clip that the attacker counts on: s = C / width^(1 / order).
    """
    width = seen.sums.shape[2]
    shift = seen.sensitivity / width ** (1 / order)
    scales = seen.scales[:, None]
    if seen.mechanism == "gaussian":
        ratio = (shift * seen.sums.sum(axis=2) - width * shift**2 / 2) / scales**2
    else:
        ratio = (np.abs(seen.sums) - np.abs(seen.sums - shift)).sum(axis=2) / scales
    ratio = ratio.round(DIGITS)
    if seen.sampling_prob == 1:
        return np.asarray(ratio.sum(axis=0))
    q = seen.sampling_prob
    return np.asarray(np.logaddexp(np.log1p(-q), np.log(q) + ratio).sum(axis=0))


def restless_score(seen: Seen) -> Values:
    """Return how much the values of each canary vary from step to step, `[m]`: the same noise in all steps cancels."""
    return np.asarray(seen.sums.sum(axis=2).std(axis=0))


def ideal(seen: Seen, num_canaries: int, generator: np.random.Generator) -> Seen:
    """Return what the attacker would see of m worst-case canaries if the mechanism were just as the ledger states.

    Args:
        seen: whose ledger is simulated.
        num_canaries: m.
        generator: of coins, sampling and noise.
    """
    size = (len(seen.scales), num_canaries)
    included = generator.random(num_canaries) < 0.5
    drawn = included & (generator.random(size) < seen.sampling_prob)
    noise = generator.normal(size=size) if seen.mechanism == "gaussian" else generator.laplace(size=size)
    sums = seen.sensitivity * drawn + seen.scales[:, None] * noise
    return seen._replace(included=included, sums=sums[:, :, None], losses=np.zeros(len(seen.scales)))
