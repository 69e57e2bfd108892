"""From noise to (epsilon, delta), through dp-accounting. Add/remove adjacency and Poisson sampling throughout."""

from collections.abc import Iterable

from dp_accounting import LaplaceDpEvent, PoissonSampledDpEvent
from dp_accounting.dp_event import DpEvent, GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from cnndp.checks import at_least, positive

DELTA = 1e-5


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
    _check(sampling_prob, delta, num_steps)
    positive(noise_multiplier=noise_multiplier)
    event = _sampled(GaussianDpEvent(noise_multiplier), sampling_prob)
    return float(RdpAccountant().compose(event, num_steps).get_epsilon(delta))


def laplace_epsilon(
    steps: Iterable[tuple[float, int]], sampling_prob: float, delta: float = DELTA, interval: float = 1e-4
) -> float:
    """Return the exact epsilon of Poisson-sampled Laplace releases by privacy loss distributions.

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
        _check(sampling_prob, delta, count)
        positive(step_epsilon=step_epsilon)
        accountant.compose(_sampled(LaplaceDpEvent(1 / step_epsilon), sampling_prob), count)
    return float(accountant.get_epsilon(delta))


def _sampled(event: DpEvent, sampling_prob: float) -> DpEvent:
    return event if sampling_prob == 1 else PoissonSampledDpEvent(sampling_prob, event)


def _check(sampling_prob: float, delta: float, count: int) -> None:
    at_least(1, num_steps=count)
    positive(sampling_prob=sampling_prob, delta=delta)
    if sampling_prob > 1 or delta >= 1:
        raise ValueError(f"sampling_prob={sampling_prob}, delta={delta}: both are probabilities; pass values up to 1")
