"""Which examples each step sees."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from cnndp.checks import at_least, positive


def reshuffled(num_train: int, batch_size: int, num_steps: int, generator: Generator) -> Iterator[Tensor]:
    """Yield `[batch_size]` example numbers a step: consecutive parts of a new permutation each epoch.

    What is left over at the end of an epoch (fewer than `batch_size`) is not used in that epoch.

    Args:
        num_train: N.
        batch_size: B, at most N.
        num_steps: T.
        generator: CPU generator.

    Raises:
        ValueError: when the batch is larger than the data.
    """
    sampling_prob_for(batch_size, num_train)
    at_least(1, num_steps=num_steps)
    given = 0
    while True:
        permutation = torch.randperm(num_train, generator=generator)
        for start in range(0, num_train - batch_size + 1, batch_size):
            if given == num_steps:
                return
            yield permutation[start : start + batch_size]
            given += 1


def sampling_prob_for(batch_size: int, num_train: int) -> float:
    """Return q = B/N, the chance with which a Poisson batch has B examples on average.

    Raises:
        ValueError: when B is larger than N.

    >>> sampling_prob_for(250, 50_000)
    0.005
    """
    at_least(1, num_train=num_train, batch_size=batch_size)
    if batch_size > num_train:
        raise ValueError(
            f"batch_size={batch_size} is larger than the {num_train} training examples; "
            f"pass a batch_size of at most {num_train}"
        )
    return batch_size / num_train


def poisson(num_train: int, sampling_prob: float, num_steps: int, generator: Generator) -> Iterator[Tensor]:
    """Yield example numbers of any count, 0 included: each example is in each batch with the same chance, by itself.

    What accounting for Poisson sampling assumes (Abadi et al. 2016; Mironov, Talwar and Zhang 2019).

    Args:
        num_train: N.
        sampling_prob: q, above 0 and at most 1.
        num_steps: T.
        generator: CPU generator.

    >>> from torch import Generator
    >>> [len(batch) for batch in poisson(5, 1.0, num_steps=2, generator=Generator())]
    [5, 5]
    """
    at_least(1, num_train=num_train, num_steps=num_steps)
    positive(sampling_prob=sampling_prob)
    if sampling_prob > 1:
        raise ValueError(f"sampling_prob={sampling_prob} is a chance; pass at most 1")
    for _ in range(num_steps):
        # In float64: 24 bits would turn a small q into the next multiple of 2**-24.
        chosen = torch.rand(num_train, dtype=torch.float64, generator=generator) < sampling_prob
        yield chosen.nonzero().squeeze(1)


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """Return how many whole batches one pass over the data holds.

    >>> steps_per_epoch(56_000, 250)
    224
    """
    return num_train // batch_size
