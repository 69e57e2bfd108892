"""From a target (epsilon, delta) back to the noise, with every release of the plan inside."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import expm1, inf, isfinite, log, log1p, sqrt
from typing import NamedTuple

from cnndp.checks import below_one, one_of, positive
from cnndp.equations.budget import budget_for_total, step_epsilon
from cnndp.privacy.accounting import DELTA, FEW, FIRST_WIDTH, Spent, check_sampling, price
from cnndp.privacy.composition import bracket, condensed
from cnndp.privacy.ledger import MECHANISMS, Event, Release, events

TOLERANCE = 0.005  # the result spends between 99.5 % of the target and all of it
MOST_STEPS = 80


class Calibrated(NamedTuple):
    """The noise that a target allows, for a step whose relative noise is 1.

    Attributes:
        noise_multiplier: of gradient and loss as one joint event.
        gradient_multiplier: noise scale on the gradient sum over its sensitivity.
        loss_multiplier: the same for the loss; None where no loss is released.
        spent: what the whole plan costs.
    """

    noise_multiplier: float
    gradient_multiplier: float
    loss_multiplier: float | None
    spent: Spent


def calibrate(
    target_epsilon: float,
    delta: float,
    shape: Sequence[float],
    sampling_prob: float,
    mechanism: str = "gaussian",
    one_off: Iterable[Release] = (),
    loss_share: float = 0.0,
) -> Calibrated:
    """Return the smallest common noise with which all releases together spend at most the target.

    The result spends between 99.5 % and 100 % of the target.

    Args:
        target_epsilon: what gradient, loss and one-off releases may spend together.
        delta: the chance that epsilon does not hold.
        shape: relative noise of each step, `[T]`: `[1.0] * T` for a constant one, or `growth_shape`.
        sampling_prob: q; 1 for all records in every batch.
        mechanism: "gaussian" or "laplace", of gradient and loss.
        one_off: releases outside the steps, whose noise is given, such as feature statistics.
        loss_share: the part of each step's budget that goes to the loss, see `split`; 0 releases no loss.

    Raises:
        ValueError: when the one-off releases alone spend the target; the message says how much.

    >>> result = calibrate(3.0, 1e-5, [1.0], sampling_prob=1.0, mechanism="laplace")  # one release: 1 / 3, nearly
    >>> round(result.noise_multiplier, 1), result.spent.epsilon <= 3.0
    (0.3, True)
    """
    one_of(MECHANISMS, mechanism=mechanism)
    below_one(loss_share=loss_share)
    check_sampling(sampling_prob, delta, 1)
    positive(**{f"shape[{index}]": noise for index, noise in enumerate(shape)})
    steps = condensed(Event(mechanism, noise, sampling_prob, 1) for noise in shape)
    if not steps:
        raise ValueError("shape=[] has no steps; pass the relative noise of each step, for example [1.0] * 300")
    factor, spent = noise_factor(steps, events(one_off), target_epsilon, delta)
    gradient, loss = split(factor, loss_share, mechanism)
    return Calibrated(factor, gradient, loss, spent)


def split(noise_multiplier: float, loss_share: float, mechanism: str) -> tuple[float, float | None]:
    """Return the multipliers of gradient and loss whose joint event has this noise multiplier.

    With p the loss's share: Laplace 1/m_loss = p / m; Gaussian 1/m_loss^2 = p / m^2; the gradient gets 1 - p.

    >>> split(2.0, 0.5, "laplace")  # 1/4 + 1/4 = 1/2
    (4.0, 4.0)
    """
    power = 1.0 if mechanism == "laplace" else 0.5
    gradient = noise_multiplier / (1 - loss_share) ** power
    return gradient, noise_multiplier / loss_share**power if loss_share else None


def growth_shape(num_steps: int, growth: float) -> tuple[float, ...]:
    """Return the relative noise of each step of a linearly growing budget: epsilon_1 / epsilon_t, so 1 at first.

    Args:
        num_steps: T.
        growth: r = epsilon_T / epsilon_1, so the last value is 1 / r.

    >>> [round(noise, 3) for noise in growth_shape(3, growth=2.0)]  # budgets 1, 1.5, 2
    [1.0, 0.667, 0.5]
    """
    budget = budget_for_total(1.0, num_steps, growth)
    return tuple(budget.initial_epsilon / step_epsilon(t, budget) for t in range(1, num_steps + 1))


@lru_cache(maxsize=256)
def noise_factor(
    steps: tuple[Event, ...], fixed: tuple[Event, ...], target_epsilon: float, delta: float
) -> tuple[float, Spent]:
    """Return the smallest factor on the noise of `steps` with which they and `fixed` meet the target, and the cost.

    Raises:
        ValueError: when `fixed` alone spends the target, or delta lets the steps go without noise.
    """
    positive(target_epsilon=target_epsilon)
    refuse_without_noise(steps, target_epsilon, delta)
    alone = price(condensed(fixed), delta).epsilon
    if alone >= target_epsilon:
        raise ValueError(
            f"target_epsilon={target_epsilon:g} is out of reach: the one-off releases alone spend {alone:.4g}; "
            "give them more noise, or raise the target"
        )

    def spend(some: tuple[Event, ...], factor: float) -> Spent:
        scaled = (event._replace(noise_multiplier=factor * event.noise_multiplier) for event in some)
        return price(condensed((*scaled, *fixed)), delta)

    start, slope = 1.0, 1.0
    if len(steps) > FEW:  # a few groups tell nearly where to look
        rough = bracket(steps, max(FIRST_WIDTH, _span(steps) / FEW)).upper
        start, slope = _solve(lambda factor: spend(rough, factor).epsilon, target_epsilon, start, slope)
    factor, _ = _solve(lambda factor: spend(steps, factor).epsilon, target_epsilon, start, slope)
    return factor, spend(steps, factor)


def refuse_without_noise(steps: Iterable[Event], target_epsilon: float, delta: float) -> None:
    """Refuse a delta that is the chance of a record to be in any batch, or more: it would allow steps without noise.

    >>> refuse_without_noise([Event("gaussian", 1.0, 0.5, 2)], target_epsilon=1.0, delta=0.8)
    Traceback (most recent call last):
        ...
    ValueError: delta=0.8 with target_epsilon=1: a record is in any batch with chance 0.75, so no noise at all would
        meet this; pass a delta far below one over the number of records, for example delta=1e-05
    """
    entered = -expm1(
        sum(event.times * (log1p(-event.sampling_prob) if event.sampling_prob < 1 else -inf) for event in steps)
    )
    if delta >= entered:
        raise ValueError(
            f"delta={delta:g} with target_epsilon={target_epsilon:g}: a record is in any batch with chance "
            f"{entered:.4g}, so no noise at all would meet this; pass a delta far below one over the number of records,"
            f" for example delta={DELTA:g}"
        )


def _span(steps: Sequence[Event]) -> float:
    noises = [event.noise_multiplier for event in steps]
    return log(max(noises) / min(noises))


def _solve(spend: Callable[[float], float], target: float, factor: float, slope: float) -> tuple[float, float]:
    """Return a factor that spends the target to within the tolerance, and how ln epsilon falls with ln factor there.

    Secant steps in logarithms, where spending is nearly a line, kept inside what is known to overspend and to fit.
    """
    too_little, enough = 0.0, inf
    before: tuple[float, float] | None = None
    for _ in range(MOST_STEPS):
        epsilon = spend(factor)
        if target * (1 - TOLERANCE) <= epsilon <= target or enough < too_little * (1 + 1e-12):
            return factor, slope
        if epsilon > target:
            too_little = max(too_little, factor)
        else:
            enough = min(enough, factor)
        measurable = isfinite(epsilon) and epsilon > 0
        if measurable:
            if before and before[0] != factor and before[1] != epsilon:
                slope = max(0.01, -log(epsilon / before[1]) / log(factor / before[0]))
            before = factor, epsilon
            change = (
                (epsilon / (target * (1 - TOLERANCE / 2))) ** (1 / slope) if abs(log(epsilon / target)) < 50 else inf
            )
        else:
            change = inf if epsilon > target else 0.0
        factor *= min(max(change, 1 / 8), 8.0)
        if not too_little < factor < enough:
            factor = sqrt(too_little * enough)
    raise ValueError(
        f"target_epsilon={target:g} was not met within {MOST_STEPS} tries (last noise factor {factor:g}); "
        "the one-off releases may leave too little of it: give them more noise, or raise the target"
    )
