"""What a run released: the loop writes it, accounting prices it afterwards."""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple


class Release(NamedTuple):
    """`steps` releases in a row that share everything else.

    Attributes:
        quantity: "gradient" or "loss".
        mechanism: "laplace", "gaussian", or "none" for a value used raw.
        scale: of the noise on the sum (Laplace scale or standard deviation).
        sensitivity: what the clip guarantees for the sum under add/remove adjacency; None without a bound.
        sampling: how batches were drawn ("reshuffled": fixed size, each record at most once an epoch).
        steps: how many releases in a row.
    """

    quantity: str
    mechanism: str
    scale: float
    sensitivity: float | None
    sampling: str
    steps: int


def merge(releases: Iterable[Release]) -> list[Release]:
    """Return the releases with equal neighbours joined into one entry.

    >>> merge([Release("loss", "none", 0.0, None, "reshuffled", 1)] * 3)[0].steps
    3
    """
    merged = []
    for _, group in groupby(releases, key=lambda release: release._replace(steps=0)):
        run = list(group)
        merged.append(run[0]._replace(steps=sum(release.steps for release in run)))
    return merged


def guarantee_gap(releases: Iterable[Release]) -> str | None:
    """Return why these releases carry no accounted guarantee, or None when nothing stands in the way.

    >>> guarantee_gap([Release("gradient", "none", 0.0, None, "reshuffled", 600)])
    'no noise was added to the gradient'
    """
    listed = list(releases)
    raw = sorted({release.quantity for release in listed if release.mechanism == "none"})
    if "gradient" in raw:
        return "no noise was added to the gradient"
    if any(release.sensitivity is None for release in listed if release.quantity == "gradient"):
        reason = "no per-example clip bounds what one record adds to the gradient"
        return reason + ("; the loss is used raw in the step size" if "loss" in raw else "")
    if raw:
        return "the loss is used raw in the step size"
    if any(release.sampling != "poisson" for release in listed):
        return "batches are reshuffled, so accounting for Poisson sampling does not apply"
    return None
