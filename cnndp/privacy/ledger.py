"""What a run released: the loop writes it, accounting prices it afterwards."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import isfinite, sqrt
from typing import NamedTuple

from cnndp.checks import within

MECHANISMS = ("laplace", "gaussian")


class Release(NamedTuple):
    """`steps` releases in a row that share everything else.

    Attributes:
        quantity: "gradient" or "loss", or the name of a one-off release such as "feature mean".
        mechanism: "laplace", "gaussian", or "none" for a value used raw.
        scale: of the noise on the sum (Laplace scale or standard deviation).
        sensitivity: what the clip guarantees for the sum under add/remove adjacency; None without a bound.
        sampling: how batches were drawn: "poisson", "all" (every record takes part), or "reshuffled" (fixed
            size, each record at most once an epoch).
        steps: how many releases in a row.
        sampling_prob: q, the chance of each record to be in a batch, for sampling "poisson".
        first_step: the step of the first of these releases, from 1; None for releases outside the steps. Poisson
            releases of one step share their batch and are one joint event.
        norm: "l1" or "l2", the norm of `sensitivity`; None for a single number, where they are the same.
    """

    quantity: str
    mechanism: str
    scale: float
    sensitivity: float | None
    sampling: str
    steps: int
    sampling_prob: float | None = None
    first_step: int | None = None
    norm: str | None = None


class Event(NamedTuple):
    """One joint release, `times` times: all that its price depends on.

    Attributes:
        mechanism: "laplace" or "gaussian".
        noise_multiplier: noise scale over sensitivity; for Laplace, 1 / epsilon of one release.
        sampling_prob: q; 1 for all records.
        times: how often.
    """

    mechanism: str
    noise_multiplier: float
    sampling_prob: float
    times: int


def merge(releases: Iterable[Release]) -> list[Release]:
    """Return the releases with equal neighbours joined into one entry, where their steps follow each other.

    >>> merge([Release("loss", "none", 0.0, None, "reshuffled", 1)] * 3)[0].steps
    3
    """
    merged: list[Release] = []
    for _, group in groupby(releases, key=lambda release: release._replace(steps=0, first_step=None)):
        for release in group:
            if merged and _continues(merged[-1], release):
                merged[-1] = merged[-1]._replace(steps=merged[-1].steps + release.steps)
            else:
                merged.append(release)
    return merged


def _continues(before: Release, after: Release) -> bool:
    follows = after.first_step if before.first_step is None else before.first_step + before.steps
    return after._replace(steps=0, first_step=None) == before._replace(steps=0, first_step=None) and (
        follows == after.first_step and (before.first_step is None) == (after.first_step is None)
    )


def up_to(releases: Iterable[Release], step: int) -> list[Release]:
    """Return what had been released after `step` steps; releases outside the steps count from the start.

    >>> up_to([Release("gradient", "gaussian", 2.0, 1.0, "poisson", 9, 0.1, first_step=1)], 4)[0].steps
    4
    """
    return [
        release
        if release.first_step is None
        else release._replace(steps=min(release.steps, step + 1 - release.first_step))
        for release in releases
        if release.first_step is None or release.first_step <= step
    ]


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
        return "the loss is used raw in the step size" if "loss" in raw else f"no noise was added to the {raw[0]}"
    if any(release.sampling == "reshuffled" for release in listed):
        return "batches are reshuffled, so accounting for Poisson sampling does not apply"
    single = next((gap for release in listed if (gap := _release_gap(release))), None)
    return single or next((gap for _, parts in _joint(listed) if (gap := _joint_gap(parts))), None)


def events(releases: Iterable[Release]) -> tuple[Event, ...]:
    """Return the joint events that releases consist of, in no particular order.

    Poisson releases of one step see one batch, so their noise counts together *inside* the sampling. With r the
    ratio of sensitivity to noise scale of each part, the joint noise multiplier is 1 / sqrt(sum r^2) for Gaussian
    noise (exact, since the parts are one Gaussian vector) and 1 / sum r for Laplace noise (exact for one L1 clip over
    all parts, else an upper bound).

    Raises:
        ValueError: when `guarantee_gap` names a reason.

    >>> both = [Release(name, "laplace", 4.0, 1.0, "poisson", 2, 0.1, 1, "l1") for name in ("gradient", "loss")]
    >>> events(both)  # 1 / (1/4 + 1/4)
    (Event(mechanism='laplace', noise_multiplier=2.0, sampling_prob=0.1, times=2),)
    """
    listed = list(releases)
    gap = guarantee_gap(listed)
    if gap:
        raise ValueError(f"these releases cannot be accounted for: {gap}")
    for release in listed:  # beyond, squares of them overflow or vanish
        within(1e-12, 1e12, noise_multiplier=1 / ratio(release))
    alone = [(release.steps, [release]) for release in listed if release.sampling == "all"]
    return tuple(_event(count, parts) for count, parts in alone + _joint(listed))


def ratio(release: Release) -> float:
    """Return sensitivity over noise scale, the inverse of the noise multiplier."""
    assert release.sensitivity is not None  # guarantee_gap comes first
    return release.sensitivity / release.scale


def _event(count: int, parts: Sequence[Release]) -> Event:
    ratios = [ratio(part) for part in parts]
    total = sum(ratios) if parts[0].mechanism == "laplace" else sqrt(sum(one * one for one in ratios))
    return Event(parts[0].mechanism, 1 / total, parts[0].sampling_prob or 1.0, count)


def _joint(releases: Iterable[Release]) -> list[tuple[int, list[Release]]]:
    """Return (number of steps, Poisson releases in each of them) for each stretch of equal steps."""
    ends = [
        (release, release.first_step, release.first_step + release.steps)
        for release in releases
        if release.sampling == "poisson" and release.first_step is not None
    ]
    cuts = sorted({cut for _, first, after in ends for cut in (first, after)})
    parts: list[list[Release]] = [[] for _ in cuts]
    for release, first, after in ends:
        for index in range(bisect_left(cuts, first), bisect_left(cuts, after)):
            parts[index].append(release)
    return [(cuts[index + 1] - cuts[index], found) for index, found in enumerate(parts) if found]


def _release_gap(release: Release) -> str | None:
    name, mechanism, q = release.quantity, release.mechanism, release.sampling_prob
    if mechanism not in MECHANISMS:
        return f"the mechanism {mechanism!r} of the {name} is not known"
    if release.sensitivity is None:
        return f"nothing bounds what one record adds to the {name}"
    if not (
        isfinite(release.scale) and release.scale > 0 and isfinite(release.sensitivity) and release.sensitivity > 0
    ):
        return f"noise scale {release.scale} and sensitivity {release.sensitivity} of the {name} must be above 0"
    if mechanism == "laplace" and release.norm == "l2":
        return f"Laplace noise on the {name} needs an L1 sensitivity, and its clip bounds the L2 norm"
    if mechanism == "laplace" and name == "gradient" and release.norm is None:
        return "Laplace noise on the gradient needs an L1 sensitivity, and it is not said which norm its clip bounds"
    if release.steps < 1:
        return f"the {name} has {release.steps} releases; an entry holds at least one"
    if release.sampling == "all":
        return None if q in (None, 1) else f"all records take part in the {name}, but sampling_prob is {q}"
    if release.sampling != "poisson":
        return f"the sampling {release.sampling!r} of the {name} is not known"
    if q is None or not 0 < q <= 1:
        return f"the sampling probability of the {name} is {q}; accounting needs one in (0, 1]"
    if release.first_step is None:
        return f"the step of the {name} is not recorded, so whether it shares a batch is not known"
    return None


def _joint_gap(parts: Sequence[Release]) -> str | None:
    names = " and ".join(sorted(part.quantity for part in parts))
    if len({part.mechanism for part in parts}) > 1:
        return f"{names} of one batch carry different mechanisms, which no joint accounting covers"
    if len({part.sampling_prob for part in parts}) > 1:
        return f"{names} of one step have different sampling probabilities, so their batch is not one"
    return None
