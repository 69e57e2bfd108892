"""Separate random streams from one seed, so that two methods start alike and meet the same batches."""

import hashlib
import secrets
from typing import NamedTuple

from torch import Generator

from cnndp.checks import at_least


class Streams(NamedTuple):
    """One CPU generator for each use of chance in a run."""

    weights: Generator
    batches: Generator
    noise: Generator


def generator_for(seed: int, use: str) -> Generator:
    """Return a CPU generator whose state depends on `seed` and `use` and on nothing else."""
    digest = hashlib.sha256(f"{seed}/{use}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def secret_generator() -> Generator:
    """Return a CPU generator seeded by the operating system; the seed is kept nowhere, so no draw can be repeated.

    It is torch's Mersenne twister all the same, which is no cryptographic generator.
    """
    return Generator().manual_seed(secrets.randbits(63))


def generator_of(seed: int, use: str, *, secret: bool) -> Generator:
    """Return a generator of private draws: from the seed, or from the operating system where the seed is secret."""
    return secret_generator() if secret else generator_for(seed, use)


def streams(seed: int, *, secret: bool = False) -> Streams:
    """Return the generators of one run.

    Args:
        seed: a whole number, at least 0. Runs that share it share initial weights, batches and noise draws.
        secret: take batches and noise from the operating system instead; the weights, which tell nothing of the
            data, keep the seed.
    """
    at_least(0, seed=seed)
    return Streams(*(generator_of(seed, use, secret=secret and use != "weights") for use in Streams._fields))
