"""Private preparation of unit features: centring, whitening, norm 1. What it learns from the data is released.

Three noisy sums over the training images are the only place where records meet:

    m   = (sum_i u_i + noise) / N                                    mean of the unit features u_i
    M_c = (sum_i V_i V_i^T + noise) / N,  M_s = (sum_i V_i^T V_i + noise) / N        second moments

with V_i = (u_i - m) / ||u_i - m|| as a matrix of channels x positions. Everything afterwards (the roots of M_c and
M_s, and preparing any image, training, validation or test) is post-processing of what was released.

How far one record moves each sum (add/remove adjacency; N is public, so it does not move):

- sum u_i: ||u_i||_2 <= 1.
- sum V_i V_i^T: with singular values s of V_i, ||V_i V_i^T||_F^2 = sum s^4 <= (sum s^2)^2 = ||V_i||_F^4 <= 1, and the
  bound is met by a V_i of rank 1. The same for V_i^T V_i. m is released already when V_i is made, so the three are
  an adaptive composition.

A second moment is symmetric. Noise of standard deviation s on *every* entry is valid, since the Frobenius norm
counts every entry, and taking the mean of the noisy matrix and its transpose is post-processing that leaves s on
the diagonal and s / sqrt(2) beside it. (Releasing the upper triangle with noise s on each entry has sensitivity 1 as
well, met by a V_i with a single entry, and more noise off the diagonal: s instead of s / sqrt(2).)

What bounds them is the division by the norm *inside* each sum: `unit_sum` and `second_moments` do it themselves, so
that the bound holds whatever they are given.

Sources: arXiv 2011.11660 (private normalisation of scattering features), Dwork et al., STOC 2014 (noise on second
moments, "Analyze Gauss").
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from cnndp.checks import at_least, non_negative, positive
from cnndp.data.datasets import Images
from cnndp.data.features import unit
from cnndp.equations.noise import gaussian

CHUNK = 500  # images at once, in float32
UNIT_SENSITIVITY = 1.0  # of all three sums, derived above


class Statistic(NamedTuple):
    """A one-off release over all training records: what a ledger needs to know of it."""

    quantity: str
    mechanism: str
    scale: float  # standard deviation of the noise on the sum
    sensitivity: float  # of the sum, in the L2 (Frobenius) norm, under add/remove adjacency


class Preparation(NamedTuple):
    """What was released of the training images, ready to be applied to any image."""

    mean: Tensor  # [D] float32, D = channels * positions
    channels: Tensor  # [C, C] float32, a power of the noisy M_c
    positions: Tensor  # [P, P] float32, a power of the noisy M_s
    constant: float
    statistics: tuple[Statistic, ...]


def prepare(
    units: Tensor,
    num_records: int,
    *,
    mean_noise: float,
    moment_noise: float,
    generator: Generator,
    power: float = 0.25,
    ridge: float = 0.003,
    constant: float = 0.1,
) -> Preparation:
    """Release mean and second moments of the training features, and return how to prepare any features.

    Args:
        units: the *training* features, rows of norm 1, `[N, C, P]`, any float type.
        num_records: N as publicly known: the divisor. It is not counted from `units`, whose length is private.
        mean_noise: standard deviation of the noise on the sum of the features.
        moment_noise: the same, for the sums of each of the second moments.
        generator: CPU generator of the noise.
        power: a, see `apply`; 0 whitens nothing (and releases the moments all the same).
        ridge: see `apply`.
        constant: the number appended to each row, as a bias.
    """
    at_least(1, num_records=num_records)
    positive(mean_noise=mean_noise, moment_noise=moment_noise, ridge=ridge)
    non_negative(power=power, constant=constant)
    mean = (noisy(unit_sum(units), mean_noise, generator) / num_records).float()
    moments = [noisy(moment, moment_noise, generator) / num_records for moment in second_moments(units, mean)]
    channels, positions = (inverse_power(symmetric(moment), power, ridge).float() for moment in moments)
    return Preparation(mean, channels, positions, constant, statistics(mean_noise, moment_noise))


def prepare_images(features: Images, num_records: int, **options: Any) -> tuple[Images, Preparation]:
    """Return a dataset with prepared features, float32 `[N, D]`, and what was released of its training part.

    The preparation is learnt from the training features alone and then applied to both parts.

    Args:
        features: from `features.load`.
        num_records, options: as in `prepare`.
    """
    preparation = prepare(features.train_images, num_records, **options)
    train, test = (apply(preparation, part) for part in (features.train_images, features.test_images))
    return features._replace(train_images=train, test_images=test), preparation


def project(rows: Tensor, size: int, generator: Generator) -> Tensor:
    """Return random mixtures of features, each row over its L2 norm, `[N, d]`.

    The matrix is drawn without a look at the data, so it is public and costs nothing.

    Args:
        rows: `[N, D]`.
        size: d.
        generator: CPU generator of the matrix `[D, d]`.

    >>> mixtures = project(torch.eye(3), 5, Generator().manual_seed(0))
    >>> mixtures.shape, torch.allclose(mixtures.norm(dim=1), torch.ones(3))
    (torch.Size([3, 5]), True)
    """
    at_least(1, size=size)
    return unit(rows @ torch.randn(rows.shape[1], size, generator=generator))


def statistics(mean_noise: float, moment_noise: float) -> tuple[Statistic, ...]:
    """Return what `prepare` releases with these noises, in order: known before any data is read.

    >>> [round(fact.scale / fact.sensitivity) for fact in statistics(15, 20)]  # noise multipliers
    [15, 20, 20]
    """
    scales = {"feature mean": mean_noise, "channel moments": moment_noise, "position moments": moment_noise}
    return tuple(Statistic(name, "gaussian", scale, UNIT_SENSITIVITY) for name, scale in scales.items())


def apply(preparation: Preparation, units: Tensor) -> Tensor:
    """Return prepared features of any images, float32 `[N, C * P + 1]`, each row of norm 1.

    V = (u - m) / ||u - m||, then (M_c + ridge I)^-a V (M_s + ridge I)^-a, again over its norm, then a constant
    appended, and again over the norm. It reads nothing but what was released, so it costs no privacy.

    Args:
        preparation: from `prepare`.
        units: `[N, C, P]`, any float type.
    """
    count, channels, positions = units.shape
    rows = torch.empty(count, channels * positions + 1)
    for prepared, part in zip(torch.split(rows, CHUNK), centred(units, preparation.mean), strict=True):
        whitened = preparation.channels @ part @ preparation.positions
        prepared[:, :-1] = unit(whitened.flatten(1))
        prepared[:, -1] = preparation.constant
        prepared.copy_(unit(prepared))
    return rows


def unit_sum(units: Tensor) -> Tensor:
    """Return the sum of the features, each over its norm, float64 `[D]`.

    Guarantees:
        Adding or removing one record moves it by at most 1 in the L2 norm (up to rounding).

    >>> unit_sum(torch.tensor([[[3.0, 4.0]], [[2.0, 0.0]]]))
    tensor([1.6000, 0.8000], dtype=torch.float64)
    """
    total = torch.zeros(units[0].numel(), dtype=torch.float64)
    for part in torch.split(units, CHUNK):
        total += unit(part.float().flatten(1)).sum(dim=0, dtype=torch.float64)
    return total


def second_moments(units: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum V V^T `[C, C]` and sum V^T V `[P, P]` of the centred features V of norm 1, float64.

    Guarantees:
        For a fixed `mean`, adding or removing one record moves each by at most 1 in the Frobenius norm (up to
        rounding), however large the features are.

    >>> across, along = second_moments(torch.tensor([[[3.0, 4.0]]]), mean=torch.zeros(2))
    >>> across, along
    (tensor([[1.]], dtype=torch.float64), tensor([[0.3600, 0.4800],
            [0.4800, 0.6400]], dtype=torch.float64))
    """
    _, channels, positions = units.shape
    across = torch.zeros(channels, channels, dtype=torch.float64)
    along = torch.zeros(positions, positions, dtype=torch.float64)
    for part in centred(units, mean):
        rows = part.transpose(0, 1).flatten(1)  # [C, n P]
        across += rows @ rows.T
        columns = part.flatten(0, 1)  # [n C, P]
        along += columns.T @ columns
    return across, along


def centred(units: Tensor, mean: Tensor) -> Iterator[Tensor]:
    """Yield (u - mean) / ||u - mean|| of the unit features u, float32 `[n, C, P]`, some images at a time."""
    for part in torch.split(units, CHUNK):
        yield unit(unit(part.float().flatten(1)) - mean).view(part.shape)


def noisy(total: Tensor, scale: float, generator: Generator) -> Tensor:
    """Return a sum with independent normal noise of standard deviation `scale` on every entry."""
    return total + gaussian(total.numel(), scale, generator).view(total.shape)


def symmetric(matrix: Tensor) -> Tensor:
    """Return the mean of a matrix and its transpose.

    >>> symmetric(torch.tensor([[1.0, 4.0], [2.0, 3.0]]))
    tensor([[1., 3.],
            [3., 3.]])
    """
    return (matrix + matrix.T) / 2


def inverse_power(matrix: Tensor, power: float, ridge: float) -> Tensor:
    """Return (M + ridge I)^-power of a symmetric matrix, negative eigenvalues taken as 0 first.

    >>> inverse_power(torch.tensor([[15.0, 0.0], [0.0, -3.0]]), power=0.25, ridge=1.0)
    tensor([[0.5000, 0.0000],
            [0.0000, 1.0000]])
    """
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = (vectors * (values.clamp(min=0) + ridge) ** -power) @ vectors.T
    return powered
