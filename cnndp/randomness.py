"""Separate random streams from one seed, so that two methods start alike and meet the same batches."""

import hashlib
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


def streams(seed: int) -> Streams:
    """Return the generators of one run.

    Args:
        seed: a whole number, at least 0. Runs that share it share initial weights, batches and noise draws.
    """
    at_least(0, seed=seed)
    return Streams(*(generator_for(seed, use) for use in Streams._fields))
