"""Joint events composed into one privacy loss distribution, nearly equal events in groups."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from math import ceil, exp, floor, inf, log, log1p, sqrt
from typing import Any, NamedTuple

import numpy as np
from dp_accounting.pld import pld_pmf
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray
from scipy import special

from cnndp.privacy.ledger import Event

Values = NDArray[np.float64]

INTERVAL = 1e-4  # of the discretised losses, where affordable
LEAST_INTERVAL = 1e-7  # below it, rounding errors of the discretisation begin to show
POINTS = 1e5  # of all discretised events together, under a second of work: a grid need not be finer than FINE
MOST_POINTS = 4e5  # a few seconds of work: from here on a coarser grid costs accuracy
MOST_INTERVAL = 500.0  # exp of a step of the grid must be a float
FINE = 0.1  # interval over rms loss of a step, adds about 0.1 % to epsilon
LEAST_CUT = 1e-15  # below it, the tail of a convolution is rounding noise
LOST_MASS = 1e-4  # of delta, cut off the tails of all events together and counted as lost


def condensed(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events sorted, equal ones counted together, unsampled Gaussian ones as one.

    k Gaussian releases that all records enter are one release: 1 / sigma^2 = sum of 1 / sigma_i^2.

    >>> condensed([Event("gaussian", 5.0, 1.0, 9), Event("gaussian", 5.0, 1.0, 16)])
    (Event(mechanism='gaussian', noise_multiplier=1.0, sampling_prob=1.0, times=1),)
    """
    listed = sorted(events)
    whole = [event for event in listed if _is_whole(event)]
    others = (event for event in listed if not _is_whole(event))
    together = [
        alike._replace(times=sum(event.times for event in group))
        for alike, group in groupby(others, key=lambda event: event._replace(times=0))
    ]
    if whole:
        precision = sum(event.times / event.noise_multiplier**2 for event in whole)
        together.append(Event("gaussian", 1 / sqrt(precision), 1.0, 1))
    return tuple(together)


def _is_whole(event: Event) -> bool:
    return event.mechanism == "gaussian" and event.sampling_prob == 1


class Bracket(NamedTuple):
    """Fewer events that cost at least as much, and at most as much, as the ungrouped ones."""

    upper: tuple[Event, ...]
    lower: tuple[Event, ...]


def bracket(events: Sequence[Event], width: float) -> Bracket:
    """Return events in groups whose noise multipliers, and sampling probabilities, differ by a factor of e^width.

    In `upper`, a group takes its smallest noise multiplier and largest sampling probability, in `lower` the
    opposite ends. More noise and rarer sampling never cost more, so the truth lies between.

    >>> bracket([Event("laplace", 1.0, 0.1, 1), Event("laplace", 1.02, 0.1, 2)], width=0.1)
    Bracket(upper=(Event(mechanism='laplace', noise_multiplier=1.0, sampling_prob=0.1, times=3),),
            lower=(Event(mechanism='laplace', noise_multiplier=1.02, sampling_prob=0.1, times=3),))
    """
    least_noise = min(event.noise_multiplier for event in events)
    least_prob = min(event.sampling_prob for event in events)
    cells: dict[tuple[str, int, int], list[Event]] = {}
    for event in events:
        noise_cell = floor(log(event.noise_multiplier / least_noise) / width)
        # q = 1 stays by itself: without sampling, the add and remove directions are one and cheaper to compute
        prob_cell = -1 if event.sampling_prob == 1 else floor(log(event.sampling_prob / least_prob) / width)
        cells.setdefault((event.mechanism, prob_cell, noise_cell), []).append(event)
    upper, lower = [], []
    for (mechanism, _, _), group in cells.items():
        count = sum(event.times for event in group)
        noises = [event.noise_multiplier for event in group]
        probs = [event.sampling_prob for event in group]
        upper.append(Event(mechanism, min(noises), max(probs), count))
        lower.append(Event(mechanism, max(noises), min(probs), count))
    return Bracket(tuple(upper), tuple(lower))


class Losses(NamedTuple):
    """The privacy loss ln(P/Q) of one event under P, the side with the record."""

    mean: float
    rms: float
    largest: float  # where the tail is cut


@lru_cache(maxsize=4096)
def losses(mechanism: str, noise_multiplier: float, sampling_prob: float, log_mass: float) -> Losses:
    """Return mean, root mean square and cut-off of one event's loss from 2,001 points: enough to choose a grid."""
    shift = 1 / noise_multiplier
    reach = sqrt(-2 * log_mass) if mechanism == "gaussian" else -log_mass
    noise = np.linspace(-reach, shift + reach, 2001)
    if mechanism == "gaussian":
        log_without, log_with = -(noise**2) / 2, -((noise - shift) ** 2) / 2
    else:
        log_without, log_with = -np.abs(noise), -np.abs(noise - shift)
    raw = log_with - log_without
    rest = _log_rest(sampling_prob)
    loss = np.logaddexp(rest, log(sampling_prob) + raw)
    density = np.exp(np.logaddexp(rest + log_without, log(sampling_prob) + log_with))
    density /= density.sum()
    return Losses(float(density @ loss), float(np.sqrt(density @ loss**2)), float(loss[-1]))


class Grid(NamedTuple):
    """How losses are made discrete."""

    interval: float
    log_mass: float  # log of the tail mass of one event that is cut off


def grid(events: Sequence[Event], delta: float) -> Grid:
    """Return a grid fine enough to add at most about 0.1 % to epsilon, or as fine as affordable.

    The connect-the-dots discretisation adds about a tenth of (interval / rms loss)^2 to epsilon. The interval is 1e-4,
    or a tenth of the rms loss of a step where that is finer (3e-5 for sigma = 15, q = 1/224) or where 1e-4 would be
    slow. However coarse, the result stays an upper bound.

    Raises:
        ValueError: noise so small, or so much of it, that losses no longer fit a float.
    """
    num_events = sum(event.times for event in events)
    log_mass = log(LOST_MASS * delta / num_events)
    listed = [(event.times, losses(*event[:3], log_mass)) for event in events]
    square = sum(count * loss.rms**2 for count, loss in listed)
    largest = max(loss.largest for _, loss in listed)
    # the sum of all losses lies within its mean and 8 deviations, or one large loss beyond
    reach = sum(count * loss.mean for count, loss in listed) + 16 * sqrt(square) + largest
    extent = max(sum(loss.largest for _, loss in listed), reach)
    fine = FINE * sqrt(square / num_events)
    interval = max(min(max(INTERVAL, extent / POINTS), fine), extent / MOST_POINTS, LEAST_INTERVAL)
    if not interval <= MOST_INTERVAL:
        least = min(event.noise_multiplier for event in events)
        raise ValueError(
            f"noise_multiplier={least:.3g} in {num_events:,} releases at delta={delta:g} gives losses that no float "
            "holds; give more noise, fewer steps or a smaller target_epsilon"
        )
    return Grid(interval, log_mass)


def composed(events: Sequence[Event], on: Grid) -> Any:
    """Return the privacy loss distribution of all events together, an upper bound under add/remove adjacency.

    Counts are worked off bit by bit, as in powers by repeated squaring, all events together.
    """
    cut = max(exp(on.log_mass), LEAST_CUT)
    singles = [single(event, on) for event in events]
    parts: list[Any] = []
    for bit in reversed(range(max(event.times for event in events).bit_length())):
        parts = [part.compose(part, cut) for part in parts]
        parts += [one for one, event in zip(singles, events, strict=True) if event.times >> bit & 1]
        while len(parts) > 1:  # neighbours in pairs, so that long distributions meet only at the end
            pairs = [first.compose(second, cut) for first, second in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + parts[len(pairs) * 2 :]
    return parts[0]


def single(event: Event, on: Grid) -> Any:
    """Return the privacy loss distribution of one event, by dp-accounting's connect-the-dots discretisation.

    dp-accounting's own constructors give the same values one loss at a time, which is too slow for many events.
    """
    reach = _reach(event.mechanism, 1 / event.noise_multiplier, on.log_mass)
    return sampled_losses(partial(delta_whole, event), reach, event.sampling_prob, on.interval)


def sampled_losses(whole: Callable[[Values], Values], reach: float, sampling_prob: float, interval: float) -> Any:
    """Return the privacy loss distribution of one event, given delta(epsilon) of it without sampling.

    Args:
        whole: delta(epsilon) where every record enters, the same in both directions.
        reach: the largest loss without sampling.
        sampling_prob: q.
        interval: of the discretised losses.
    """
    rest, log_prob = _log_rest(sampling_prob), log(sampling_prob)
    least, most = (float(np.logaddexp(rest, log_prob + raw)) for raw in (-reach, reach))
    remove = _discrete(partial(delta_remove, whole, sampling_prob), least, most, interval)
    if sampling_prob == 1:
        return pld.PrivacyLossDistribution(remove)
    return pld.PrivacyLossDistribution(
        remove, _discrete(partial(delta_add, whole, sampling_prob), -most, -least, interval)
    )


def _discrete(delta: Callable[[Values], Values], least: float, most: float, interval: float) -> Any:
    first, last = floor(least / interval), ceil(most / interval)
    # The difference of two numbers near the least float can come out below 0, which dp-accounting refuses.
    deltas = np.maximum(delta(interval * np.arange(first, last + 1, dtype=np.float64)), 0.0)
    return pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(interval, first, last, deltas)


def delta_remove(whole: Callable[[Values], Values], sampling_prob: float, epsilon: Values) -> Values:
    """Return delta(epsilon) of one event when the record is removed: q delta_1(ln(1 + (e^epsilon - 1) / q)).

    delta_1 is `whole`, the one without sampling; where the logarithm does not exist, delta is 1 - e^epsilon.
    """
    q = sampling_prob
    inside = np.expm1(np.minimum(epsilon, 30.0)) / q
    exists = inside > -1
    raw = np.where(epsilon < 30, np.log1p(np.where(exists, inside, 0.0)), epsilon - log(q))
    return np.where(exists, q * whole(raw), -np.expm1(np.minimum(epsilon, 0.0)))


def delta_add(whole: Callable[[Values], Values], sampling_prob: float, epsilon: Values) -> Values:
    """Return delta(epsilon) of one event when the record is added: c delta_1(ln(q e^epsilon / c)), q below 1.

    delta_1 is `whole`; c = 1 - (1 - q) e^epsilon; where it is not above 0, delta is 0.
    """
    q = sampling_prob
    c = -np.expm1(np.minimum(epsilon + log1p(-q), 0.0))
    raw = epsilon + log(q) - np.log(np.where(c > 0, c, 1.0))
    return np.where(c > 0, c * whole(raw), 0.0)


def delta_whole(event: Event, epsilon: Values) -> Values:
    """Return delta(epsilon) of one event that every record enters; both directions are equal.

    Gaussian, with mu = 1 / noise_multiplier: Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu) (Balle and
    Wang 2018, Theorem 5). Laplace: 1 - e^((epsilon - mu)/2) between -mu and mu.

    >>> round(float(delta_whole(Event("laplace", 1.0, 1.0, 1), np.array(0.0))), 4)  # 1 - exp(-1/2)
    0.3935
    """
    mu = 1 / event.noise_multiplier
    if event.mechanism == "gaussian":
        return special.ndtr(mu / 2 - epsilon / mu) - np.exp(epsilon + special.log_ndtr(-mu / 2 - epsilon / mu))
    inner = -np.expm1((np.clip(epsilon, -mu, mu) - mu) / 2)
    return np.where(epsilon < -mu, -np.expm1(np.minimum(epsilon, 0.0)), inner)


def _reach(mechanism: str, mu: float, log_mass: float) -> float:
    """Return the largest loss without sampling, where the Gaussian tail is cut."""
    return mu if mechanism == "laplace" else mu * mu / 2 + mu * sqrt(-2 * log_mass)


def _log_rest(sampling_prob: float) -> float:
    return log1p(-sampling_prob) if sampling_prob < 1 else -inf
