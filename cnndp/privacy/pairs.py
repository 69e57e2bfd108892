"""What a joint Laplace release of two quantities costs, priced as a pair: how much the ledger's rule overstates.

The Polyak step releases a gradient and a loss of one batch, each with its own clip and its own Laplace noise. The
ledger counts them as *one* L1 budget: noise multiplier 1 / (r_1 + r_2), with r the sensitivity over the scale of each.
That is never too little, since one Laplace variable moved by r_1 + r_2 can be told from its neighbour at least as well
as two moved by r_1 and r_2. The pair itself is the product of two Laplace mechanisms, and its loss the sum of theirs.
"""

from functools import partial
from math import exp

import numpy as np

from cnndp.checks import at_least, positive
from cnndp.privacy.composition import INTERVAL, LEAST_CUT, Values, delta_whole, sampled_losses
from cnndp.privacy.ledger import Event


def pair_epsilon(
    first_ratio: float, second_ratio: float, sampling_prob: float, num_steps: int, delta: float = 1e-5
) -> float:
    """Return an upper bound on epsilon of `num_steps` joint releases of two quantities with Laplace noise.

    Args:
        first_ratio, second_ratio: r_1 and r_2, sensitivity over noise scale of each.
        sampling_prob: q, of the Poisson batch that both are made from.
        num_steps: T.
        delta: the chance that epsilon does not hold.

    >>> from cnndp.privacy.accounting import laplace_epsilon
    >>> q = 250 / 56_000
    >>> round(pair_epsilon(1.5, 1.0, q, 300), 3), round(laplace_epsilon([(1.5 + 1.0, 300)], q), 3)
    (0.666, 0.835)
    """
    positive(first_ratio=first_ratio, second_ratio=second_ratio, sampling_prob=sampling_prob, delta=delta)
    at_least(1, num_steps=num_steps)
    whole = partial(delta_pair, first_ratio, second_ratio)
    interval = min(INTERVAL, sampling_prob * (first_ratio + second_ratio) / 50)
    once = sampled_losses(whole, first_ratio + second_ratio, sampling_prob, interval)
    return float(once.self_compose(num_steps, LEAST_CUT).get_epsilon_for_delta(delta))


def delta_pair(first_ratio: float, second_ratio: float, epsilon: Values) -> Values:
    """Return delta(epsilon) of one joint release that every record enters; both directions are equal.

    delta(epsilon) = E[delta_1(epsilon - l)], with delta_1 that of the first alone and l the loss of the second, which
    is r with probability 1/2, -r with probability e^-r / 2, and has the density e^-((r - l) / 2) / 4 between.

    >>> pair = delta_pair(1.0, 1e-9, np.array([0.0, 0.5]))
    >>> bool(np.allclose(pair, delta_whole(Event("laplace", 1.0, 1.0, 1), np.array([0.0, 0.5]))))
    True
    """
    r, s = first_ratio, second_ratio
    alone = partial(delta_whole, Event("laplace", 1 / r, 1.0, 1))
    ends = alone(epsilon - s) / 2 + exp(-s) * alone(epsilon + s) / 2
    # Between: delta_1 is 0 up to l = epsilon - r, then 1 - e^((x - r) / 2), and from epsilon + r on 1 - e^x, of
    # x = epsilon - l.
    low, high = np.clip(epsilon - r, -s, s), np.clip(epsilon + r, -s, s)

    def mass(start: Values | float, stop: Values | float) -> Values:
        return np.asarray((np.exp((stop - s) / 2) - np.exp((start - s) / 2)) / 2)

    middle = mass(low, high) - np.exp((epsilon - r - s) / 2) * (high - low) / 4
    beyond = mass(high, s) - (np.exp(epsilon - (s + high) / 2) - np.exp(epsilon - s)) / 2
    return ends + middle + beyond
