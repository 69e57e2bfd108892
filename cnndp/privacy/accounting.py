"""From noise to (epsilon, delta), through dp-accounting. Add/remove adjacency and Poisson sampling throughout."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from math import expm1, isfinite, log1p
from typing import NamedTuple

import numpy as np
from absl import logging
from dp_accounting import LaplaceDpEvent, PoissonSampledDpEvent
from dp_accounting.dp_event import DpEvent, GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS as ORDERS

from cnndp.checks import at_least, non_negative, positive
from cnndp.privacy.composition import Bracket, Grid, bracket, composed, condensed, grid
from cnndp.privacy.ledger import Event, Release, events, up_to

DELTA = 1e-5
OVERSHOOT = 0.01  # of epsilon, at most, by counting nearly equal steps as equal
FEW = 16  # events that are composed one by one
FIRST_WIDTH = 0.1  # of groups, only to see how fast epsilon changes with the noise
UNDERFLOW = 700.0  # below the epsilon of 708 from which on exp(-epsilon) is no normal float
RENYI_WIDTH = 0.005  # Renyi epsilon is for comparison: one width, at most about 1 % above


class Spent(NamedTuple):
    """What releases cost.

    Attributes:
        epsilon: an upper bound; the releases are (epsilon, delta)-DP for the delta asked for.
        overshoot: epsilon is at most this much above what composing every step by itself gives on the same grid.
        interval: of that grid of losses, which adds about 0.1 % by itself (see `composition.grid`).
    """

    epsilon: float
    overshoot: float
    interval: float


def exact_epsilon(releases: Iterable[Release], delta: float = DELTA) -> Spent:
    """Return the numerical epsilon of everything that was released, by privacy loss distributions.

    The releases are composed as fixed in advance: for noise that depends on earlier outputs see `filters`.
    Steps whose noise differs by little are counted in groups, each with its smallest noise multiplier; a second
    composition with the largest ones proves by how much that overshoots, and groups shrink until it is at most 1 %.

    Args:
        releases: the ledger.
        delta: the chance that epsilon does not hold.

    Raises:
        ValueError: when the releases cannot be accounted for; the message says why.

    >>> steps = Release("gradient", "gaussian", 1.3 * 1.5, 1.5, "poisson", 720, 250 / 60_000, first_step=1)
    >>> round(exact_epsilon([steps]).epsilon, 3)  # Renyi accounting gives 0.563
    0.37
    """
    return price(condensed(events(releases)), delta)


def exact_delta(releases: Iterable[Release], epsilon: float) -> float:
    """Return the exact delta of everything that was released, at this epsilon; arguments as in `exact_epsilon`.

    >>> once = Release("gradient", "laplace", 1.0, 1.0, "all", 1, norm="l1")
    >>> round(exact_delta([once], 0.0), 4)  # the total variation distance, 1 - exp(-1/2)
    0.3935
    """
    non_negative(epsilon=epsilon)
    listed = condensed(events(releases))
    if not listed:
        return 0.0
    grouped = _grouped(listed, DELTA)[0]
    return min(1.0, float(composed(grouped, grid(grouped, 1e-12)).get_delta_for_epsilon(epsilon)))


def epsilon_by_step(releases: Iterable[Release], steps: Sequence[int], delta: float = DELTA) -> list[float]:
    """Return the numerical epsilon spent after each number of steps; releases outside the steps count from the start.

    >>> step = Release("gradient", "laplace", 4.0, 1.0, "all", 8, first_step=1, norm="l1")
    >>> [round(epsilon, 1) for epsilon in epsilon_by_step([step], [0, 1, 2], delta=1e-9)]  # 1/4 a step
    [0.0, 0.2, 0.5]
    """
    listed = list(releases)
    return [exact_epsilon(up_to(listed, step), delta).epsilon for step in steps]


def pure_epsilon(releases: Iterable[Release]) -> float | None:
    """Return the epsilon that holds with delta = 0: sum of ln(1 + q (e^eps_t - 1)); None with Gaussian noise.

    eps_t is sensitivity over scale of a joint release (Balle, Barthe and Gaboardi 2018 for the sampling).

    >>> pure_epsilon([Release("gradient", "laplace", 4.0, 1.0, "all", 8, norm="l1")])  # 8 / 4
    2.0
    """
    listed = events(releases)
    if any(event.mechanism != "laplace" for event in listed):
        return None
    return sum(event.times * pure_step(event) for event in listed)


def pure_step(event: Event) -> float:
    """Return ln(1 + q (e^eps_t - 1)) of one Laplace event."""
    step_epsilon = 1 / event.noise_multiplier
    if event.sampling_prob == 1:
        return step_epsilon
    if step_epsilon > 500:  # e^eps_t no longer fits a float; ln q + eps_t + ln(1 + (1/q - 1) e^-eps_t) <= eps_t
        return step_epsilon
    return log1p(event.sampling_prob * expm1(step_epsilon))


def renyi_epsilon(releases: Iterable[Release], delta: float = DELTA) -> float | None:
    """Return epsilon by Renyi differential privacy, for comparison; None with Poisson-sampled Laplace noise.

    The Renyi accountant has no bound for Laplace noise on Poisson batches (it does without sampling).
    """
    check_sampling(1.0, delta, 1)
    listed = condensed(events(releases))
    sampled_laplace = any(event.mechanism == "laplace" and event.sampling_prob < 1 for event in listed)
    return None if sampled_laplace else _renyi(listed, delta)


@lru_cache(maxsize=1024)
def _renyi(listed: tuple[Event, ...], delta: float) -> float:
    """Return the least bound of all of dp-accounting's orders: it falls with the order up to the best one, then rises.

    So a bisection finds it with a tenth of the work, and were it not so, the result would still be a bound.
    """
    grouped = bracket(listed, RENYI_WIDTH).upper if len(listed) > FEW else listed

    @cache
    def at(place: int) -> float:
        accountant = RdpAccountant([ORDERS[place]])
        for event in grouped:
            accountant.compose(dp_event(event), event.times)
        return float(accountant.get_epsilon(delta))

    low, high = 0, len(ORDERS) - 1
    with _quiet():
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if at(middle) <= at(middle + 1) else (middle + 1, high)
        return at(low)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dp-accounting from warning of each order it leaves out: any order gives a bound, the best one is taken."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


@lru_cache(maxsize=1024)
def price(listed: tuple[Event, ...], delta: float) -> Spent:
    """Return what condensed events cost: `exact_epsilon` behind the ledger."""
    check_sampling(1.0, delta, 1)
    return _grouped(listed, delta)[1] if listed else Spent(0.0, 0.0, 0.0)


@lru_cache(maxsize=64)
def _grouped(listed: tuple[Event, ...], delta: float) -> tuple[tuple[Event, ...], Spent]:
    """Return events in groups that overshoot by at most 1 %, and what they cost."""
    width = FIRST_WIDTH
    while True:
        groups = bracket(listed, width)
        if 2 * len(groups.upper) > len(listed) or len(listed) <= FEW:  # then both ends cost more time than the truth
            groups = Bracket(listed, listed)
        on = grid(groups.upper, delta)
        epsilon = _epsilon(groups.upper, on, delta)
        least = epsilon if groups.lower == groups.upper else _epsilon(groups.lower, on, delta)
        overshoot = epsilon - least if isfinite(epsilon) else 0.0
        if overshoot <= OVERSHOOT * epsilon:
            return groups.upper, Spent(epsilon, max(overshoot, 0.0), on.interval)
        width *= 0.9 * OVERSHOOT * epsilon / overshoot  # overshoot is nearly proportional to width


def _epsilon(listed: tuple[Event, ...], on: Grid, delta: float) -> float:
    """Return the numerical epsilon on a grid.

    dp-accounting divides by a sum of exp(-loss). Where that is no normal float any more its answer is up to a point too
    large, or infinite, so there the epsilon is looked for by bisection.
    """
    whole = composed(listed, on)
    with np.errstate(over="ignore"):
        epsilon = float(whole.get_epsilon_for_delta(delta))
    low, high = UNDERFLOW, epsilon if isfinite(epsilon) else UNDERFLOW + 100
    if epsilon < low or whole.get_delta_for_epsilon(high) > delta:
        return epsilon
    while high - low > on.interval / 10:
        middle = (low + high) / 2
        low, high = (middle, high) if whole.get_delta_for_epsilon(middle) > delta else (low, middle)
    return high


def dp_event(event: Event) -> DpEvent:
    """Return the event, once, as dp-accounting's."""
    kind = {"laplace": LaplaceDpEvent, "gaussian": GaussianDpEvent}[event.mechanism]
    return _sampled(kind(event.noise_multiplier), event.sampling_prob)


def rdp_epsilon(noise_multiplier: float, sampling_prob: float, num_steps: int, delta: float = DELTA) -> float:
    """Return the epsilon of Poisson-sampled Gaussian releases by Renyi differential privacy.

    What TensorFlow Privacy's accountant prints for DP-SGD, and so what P2 states.

    Args:
        noise_multiplier: standard deviation of the noise on the sum over the clip norm.
        sampling_prob: q, the chance of each record to be in a batch; 1 for all.
        num_steps: T.
        delta: the chance that epsilon does not hold.

    >>> round(rdp_epsilon(1.3, 250 / 60_000, num_steps=720), 4)  # P2 prints 0.56
    0.5632
    """
    check_sampling(sampling_prob, delta, num_steps)
    positive(noise_multiplier=noise_multiplier)
    event = _sampled(GaussianDpEvent(noise_multiplier), sampling_prob)
    return float(RdpAccountant().compose(event, num_steps).get_epsilon(delta))


def laplace_epsilon(
    steps: Iterable[tuple[float, int]], sampling_prob: float, delta: float = DELTA, interval: float = 1e-4
) -> float:
    """Return the numerical epsilon of Poisson-sampled Laplace releases by privacy loss distributions.

    Args:
        steps: (step_epsilon, count) of releases whose scale is the L1 sensitivity over `step_epsilon`.
        sampling_prob: q; 1 for all records in every batch.
        delta: the chance that epsilon does not hold.
        interval: of the discretised losses; the result is an upper bound that is the tighter the finer.

    >>> round(laplace_epsilon([(72.5 / 300, 300)], 250 / 56_000), 3)
    0.053
    """
    accountant = PLDAccountant(value_discretization_interval=interval)
    for step_epsilon, count in steps:
        check_sampling(sampling_prob, delta, count)
        positive(step_epsilon=step_epsilon)
        accountant.compose(_sampled(LaplaceDpEvent(1 / step_epsilon), sampling_prob), count)
    return float(accountant.get_epsilon(delta))


def _sampled(event: DpEvent, sampling_prob: float) -> DpEvent:
    return event if sampling_prob == 1 else PoissonSampledDpEvent(sampling_prob, event)


def check_sampling(sampling_prob: float, delta: float, num_steps: int) -> None:
    """Raise `ValueError` unless both probabilities are above 0, delta is below 1, and there is at least one step."""
    at_least(1, num_steps=num_steps)
    positive(sampling_prob=sampling_prob, delta=delta)
    if sampling_prob > 1 or delta >= 1:
        raise ValueError(f"sampling_prob={sampling_prob}, delta={delta}: both are probabilities; pass values up to 1")
