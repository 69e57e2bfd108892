"""The privacy budget over the iterations: Eq. (4), its total Eq. (5), and the inverse of both."""

from math import log, sqrt
from typing import NamedTuple

from cnndp.checks import at_least, positive


class Budget(NamedTuple):
    """An arithmetic budget: what iteration 1 gets and what each later one gets more (P1's epsilon_1 and d)."""

    initial_epsilon: float
    increment: float


def step_epsilon(t: int, budget: Budget) -> float:
    """Return the budget of iteration `t`. Eq. (4): epsilon_t = epsilon_1 + (t - 1) d.

    Args:
        t: iteration, counted from 1.
        budget: epsilon_1 and d.

    Raises:
        ValueError: when the budget of this iteration is not above 0.

    >>> step_epsilon(3, Budget(initial_epsilon=0.2, increment=0.05))  # 0.2 + 2 * 0.05
    0.30000000000000004
    """
    at_least(1, t=t)
    epsilon = budget.initial_epsilon + (t - 1) * budget.increment
    if epsilon <= 0:
        raise ValueError(
            f"epsilon_t={epsilon:.6g} at t={t} is not above 0 (initial_epsilon={budget.initial_epsilon:.6g}, "
            f"increment={budget.increment:.6g}); raise initial_epsilon or increment"
        )
    return epsilon


def total_epsilon(num_steps: int, budget: Budget) -> float:
    """Return the sum of Eq. (4) over all iterations. Eq. (5): epsilon = T epsilon_1 + T (T - 1) d / 2.

    Args:
        num_steps: T, the number of iterations.
        budget: epsilon_1 and d.

    >>> total_epsilon(3, Budget(1.0, 0.5))  # 1.0 + 1.5 + 2.0
    4.5
    """
    at_least(1, num_steps=num_steps)
    return num_steps * budget.initial_epsilon + num_steps * (num_steps - 1) * budget.increment / 2


def budget_for_total(total: float, num_steps: int, growth: float) -> Budget:
    """Return the budget whose Eq. (5) total is `total` and whose last step gets `growth` times the first.

    The inverse of Eq. (5): epsilon_1 = 2 E / (T (1 + r)) and d = (r - 1) epsilon_1 / (T - 1).

    Args:
        total: E, the total of Eq. (5).
        num_steps: T.
        growth: r = epsilon_T / epsilon_1, above 0; 1 is a constant budget. With T = 1 it has no meaning and
            is ignored.

    >>> budget_for_total(9.0, 3, growth=2.0)  # 2 + 3 + 4
    Budget(initial_epsilon=2.0, increment=1.0)
    """
    positive(total_epsilon=total, growth=growth)
    at_least(1, num_steps=num_steps)
    if num_steps == 1:
        return Budget(total, 0.0)
    initial = 2 * total / (num_steps * (1 + growth))
    return Budget(initial, (growth - 1) * initial / (num_steps - 1))


def budget_for_scales(initial_scale: float, final_scale: float, sensitivity: float, num_steps: int) -> Budget:
    """Return the budget whose Laplace scale runs from `initial_scale` at t = 1 to `final_scale` at t = T.

    Since scale = sensitivity / epsilon_t, the ends are epsilon_1 = sensitivity / initial_scale and
    epsilon_T = sensitivity / final_scale.

    >>> budget_for_scales(2.0, 0.5, sensitivity=0.5, num_steps=4)  # 0.25, 0.5, 0.75, 1.0
    Budget(initial_epsilon=0.25, increment=0.25)
    """
    positive(initial_scale=initial_scale, final_scale=final_scale, sensitivity=sensitivity)
    at_least(1, num_steps=num_steps)
    first, last = sensitivity / initial_scale, sensitivity / final_scale
    return Budget(first, (last - first) / (num_steps - 1) if num_steps > 1 else 0.0)


def budget_through(first: tuple[int, float], second: tuple[int, float]) -> Budget:
    """Return the one budget whose Eq. (5) totals are those of two pairs (T, total).

    Eq. (5) divided by T is a line in T: total / T = epsilon_1 + (T - 1) d / 2. The increment may come out
    negative, which is how Table II contradicts Eq. (4).

    >>> budget_through((3, 4.5), (1, 1.0))
    Budget(initial_epsilon=1.0, increment=0.5)
    """
    (steps_a, total_a), (steps_b, total_b) = first, second
    if steps_a == steps_b:
        raise ValueError(f"both pairs have T={steps_a}; give two different numbers of steps")
    increment = 2 * (total_a / steps_a - total_b / steps_b) / (steps_a - steps_b)
    return Budget(total_a / steps_a - (steps_a - 1) * increment / 2, increment)


def zcdp_rho(epsilon: float, delta: float = 1e-5) -> float:
    """Return the rho for which rho-zCDP implies (epsilon, delta)-DP by epsilon = rho + 2 sqrt(rho ln(1/delta)).

    Bun and Steinke 2016, Prop. 1.3, solved for rho: rho = (sqrt(L + epsilon) - sqrt(L))^2, L = ln(1/delta).
    """
    positive(epsilon=epsilon, delta=delta)
    if delta >= 1:
        raise ValueError(f"delta={delta!r} must be below 1; 1e-5 is the usual choice here")
    log_term = log(1 / delta)
    return (sqrt(log_term + epsilon) - sqrt(log_term)) ** 2
