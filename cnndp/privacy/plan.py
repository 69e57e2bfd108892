"""What a run intends to release: a plan that overspends does not start, and a run that leaves its plan stops."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cnndp.checks import positive
from cnndp.privacy.accounting import DELTA, Spent, exact_epsilon
from cnndp.privacy.calibration import calibrate, noise_factor
from cnndp.privacy.composition import condensed
from cnndp.privacy.ledger import Release, events, guarantee_gap, merge, ratio

ROUNDING = 1e-9  # relative; noise scales computed in another order are still as planned


class OverspendError(ValueError):
    """Releases would spend more than their target; nothing has been released when this is raised."""


class Plan(NamedTuple):
    """The releases a run intends, all fixed before it starts, and what they may spend together.

    Attributes:
        releases: those of every step, with their `first_step`, and those outside the steps.
        target_epsilon: the most they may spend.
        delta: the chance that epsilon does not hold.
    """

    releases: tuple[Release, ...]
    target_epsilon: float
    delta: float = DELTA

    def check(self) -> Spent:
        """Return what the plan spends.

        Raises:
            OverspendError: when that is more than the target; the message says by how much the noise falls short.
            ValueError: when the releases cannot be accounted for.
        """
        positive(target_epsilon=self.target_epsilon)
        spent = exact_epsilon(self.releases, self.delta)
        if spent.epsilon > self.target_epsilon:
            raise OverspendError(
                f"the plan spends epsilon={spent.epsilon:.4g} at delta={self.delta:g}, its target is "
                f"target_epsilon={self.target_epsilon:g}; {self._remedy()}"
            )
        return spent

    def _remedy(self) -> str:
        steps = events(release for release in self.releases if release.first_step is not None)
        fixed = events(release for release in self.releases if release.first_step is None)
        if not steps:
            return "give the one-off releases more noise, or raise the target"
        try:
            factor, _ = noise_factor(condensed(steps), fixed, self.target_epsilon, self.delta)
        except ValueError as error:
            return str(error)
        return f"{factor:.4g} times the noise in every step would fit"

    def at(self, step: int | None) -> list[Release]:
        """Return the releases planned for one step, each once; `None` for those outside the steps, as they stand."""
        if step is None:
            return [release for release in self.releases if release.first_step is None]
        return [
            release._replace(steps=1, first_step=step)
            for release in self.releases
            if release.first_step is not None and release.first_step <= step < release.first_step + release.steps
        ]


def make_plan(
    target_epsilon: float,
    shape: Sequence[float],
    sampling_prob: float,
    sensitivity: float,
    *,
    mechanism: str = "gaussian",
    delta: float = DELTA,
    one_off: Iterable[Release] = (),
    loss_share: float = 0.0,
    loss_sensitivity: float | None = None,
) -> Plan:
    """Return the plan with the least noise that meets the target; its steps count from 1.

    Args:
        target_epsilon, shape, sampling_prob, mechanism, delta, one_off, loss_share: as in `calibration.calibrate`.
        sensitivity: what the clip guarantees for the gradient sum (L1 for Laplace, L2 for Gaussian noise).
        loss_sensitivity: the same for the loss sum; needed where `loss_share` is above 0.

    >>> plan = make_plan(1.0, [1.0] * 20, 0.1, sensitivity=0.5, loss_share=0.1, loss_sensitivity=1.0)
    >>> [release.quantity for release in plan.releases], plan.check().epsilon <= 1.0
    (['gradient', 'loss'], True)
    """
    if (loss_share > 0) != (loss_sensitivity is not None):
        raise ValueError(f"loss_share={loss_share} with loss_sensitivity={loss_sensitivity}: give both, or neither")
    listed = tuple(one_off)
    found = calibrate(target_epsilon, delta, shape, sampling_prob, mechanism, listed, loss_share)
    planned = [("gradient", found.gradient_multiplier, sensitivity)]
    if found.loss_multiplier is not None and loss_sensitivity is not None:
        planned.append(("loss", found.loss_multiplier, loss_sensitivity))
    norm = "l1" if mechanism == "laplace" else "l2"
    steps = [
        Release(name, mechanism, multiplier * noise * bound, bound, "poisson", 1, sampling_prob, step, norm)
        for name, multiplier, bound in planned
        for step, noise in enumerate(shape, start=1)
    ]
    return Plan((*listed, *merge(steps)), target_epsilon, delta)


class Guard(NamedTuple):
    """Lets a run release what its plan holds and nothing more: `guard = guard.admit(releases)` before each release.

    More noise than planned, a step left out or an early end only spend less, and are let through.

    Attributes:
        plan: a checked plan.
        next_step: the first step not taken yet.
        taken: releases outside the steps made so far.
    """

    plan: Plan
    next_step: int = 1
    taken: tuple[Release, ...] = ()

    def admit(self, releases: Iterable[Release]) -> "Guard":
        """Return the guard after these releases, all of one step or all outside the steps.

        Raises:
            OverspendError: when one of them is not in the plan; the message says which, and what is planned.
        """
        asked = list(releases)
        steps = {release.first_step for release in asked}
        if len(steps) != 1:
            raise ValueError(f"releases of steps {sorted(map(str, steps))}: ask for one step at a time")
        step = steps.pop()
        if step is not None and step < self.next_step:
            raise OverspendError(f"stopped before step {step}: it was taken already, and again it is not in the plan")
        left = _without(self.plan.at(step), self.taken if step is None else ())
        for release in asked:
            left = _match(release, left, "the one-off release" if step is None else f"step {step}")
        if step is None:
            return self._replace(taken=(*self.taken, *asked))
        return self._replace(next_step=step + 1)


def _without(planned: list[Release], taken: Iterable[Release]) -> list[Release]:
    for release in taken:
        planned = _match(release, planned, "the one-off release")
    return planned


def _match(asked: Release, planned: list[Release], where: str) -> list[Release]:
    """Return what is left of `planned` when it holds `asked`."""
    gap = guarantee_gap([asked])
    if gap:
        raise OverspendError(f"stopped before {where}: {gap}")
    alike = [one for one in planned if _kind(one) == _kind(asked)]
    fitting = [one for one in alike if asked.steps <= one.steps and ratio(asked) <= ratio(one) * (1 + ROUNDING)]
    if fitting:
        chosen = min(fitting, key=ratio)
        return [one for one in planned if one is not chosen]
    described = "; ".join(f"noise multiplier {1 / ratio(one):.6g}, {one.steps} time(s)" for one in alike)
    raise OverspendError(
        f"stopped before {where}: {asked.mechanism} noise on the {asked.quantity} with noise multiplier "
        f"{1 / ratio(asked):.6g}, {asked.sampling} sampling and sampling_prob={asked.sampling_prob} is not in the plan "
        f"(planned and not yet released: {described or 'nothing of this kind'})"
    )


def _kind(release: Release) -> tuple[str, str, str, float]:
    return release.quantity, release.mechanism, release.sampling, release.sampling_prob or 1.0
