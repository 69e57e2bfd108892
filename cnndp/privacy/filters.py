"""Budgets for noise that is chosen along the way: a filter stops a run before the release that would overspend.

A plan's numerical epsilon holds for noise fixed in advance. Where the noise of a step depends on what earlier steps
released, composition by privacy loss distributions is not valid in general; these two filters are.
"""

from collections.abc import Iterable
from math import log, log1p
from typing import NamedTuple

from dp_accounting.rdp import RdpAccountant

from cnndp.checks import positive
from cnndp.privacy.accounting import dp_event, pure_step
from cnndp.privacy.ledger import Event, Release, events
from cnndp.privacy.plan import OverspendError


class Filter(NamedTuple):
    """What may still be released: `now = now.admit(releases)` before each step.

    Attributes:
        budget: Renyi divergence of `order`, or pure epsilon, that all releases together may spend.
        order: of the Renyi divergence; None for pure epsilon.
        spent: so far, at most `budget`.
    """

    budget: float
    order: float | None
    spent: float = 0.0

    def admit(self, releases: Iterable[Release]) -> "Filter":
        """Return the filter after these releases: all of one step, so that those of one batch count as one event.

        Raises:
            OverspendError: when they would exceed the budget.
            ValueError: when the filter has no bound for them.
        """
        cost = sum(event.times * self.cost(event) for event in events(releases))
        if self.spent + cost > self.budget:
            raise OverspendError(
                f"stopped before a step that costs {cost:.4g}: {self.spent:.4g} of {self.budget:.4g} "
                f"({self._unit()}) are spent; add more noise to it, or end here"
            )
        return self._replace(spent=self.spent + cost)

    def cost(self, event: Event) -> float:
        """Return what one event costs in the filter's unit."""
        if self.order is None:
            if event.mechanism != "laplace":
                raise ValueError(f"{event.mechanism} noise has no pure epsilon; use renyi_filter")
            return pure_step(event)
        if event.mechanism == "laplace" and event.sampling_prob < 1:
            raise ValueError("no Renyi bound for Laplace noise on Poisson batches; use pure_filter")
        return float(RdpAccountant(orders=[self.order]).compose(dp_event(event)).rdp[0])

    def _unit(self) -> str:
        return "pure epsilon" if self.order is None else f"Renyi divergence of order {self.order:g}"


def pure_filter(target_epsilon: float) -> Filter:
    """Return a filter for Laplace noise: sum of ln(1 + q (e^eps_t - 1)) <= epsilon, with delta = 0.

    Valid for eps_t chosen from earlier releases: Rogers, Roth, Ullman and Vadhan 2016 (arXiv 1605.08294).

    >>> half = Release("gradient", "laplace", 2.0, 1.0, "all", 1, norm="l1")
    >>> pure_filter(1.2).admit([half]).admit([half]).spent  # a third does not fit
    1.0
    """
    positive(target_epsilon=target_epsilon)
    return Filter(target_epsilon, None)


def renyi_filter(target_epsilon: float, delta: float, order: float) -> Filter:
    """Return a filter for Gaussian noise: total Renyi divergence of one order, fixed beforehand.

    Feldman and Zrnic 2021 (arXiv 2008.11193): the sum of the steps' divergences, each given what came before, may
    reach the budget rho. Then (epsilon, delta) follows as for any Renyi bound, so
    rho = epsilon - ln(1 - 1/order) + ln(delta order) / (order - 1) (Canonne, Kamath and Steinke 2020, Prop. 12).

    Args:
        target_epsilon, delta: what the run may spend.
        order: above 1; `renyi_order` finds a good one. It must not depend on the data.

    Raises:
        ValueError: when this order leaves nothing to spend.
    """
    positive(target_epsilon=target_epsilon, delta=delta)
    if delta >= 1 or order <= 1.01:
        raise ValueError(f"delta={delta}, order={order}: pass delta below 1 and an order above 1.01, for example 16")
    budget = _renyi_budget(target_epsilon, delta, order)
    if budget <= 0:
        raise ValueError(
            f"order={order:g} leaves nothing of target_epsilon={target_epsilon:g} at delta={delta:g}; "
            "pass a higher order, see renyi_order"
        )
    return Filter(budget, order)


def renyi_order(target_epsilon: float, delta: float, expected: Iterable[Release]) -> float:
    """Return the order at which releases like the expected ones can be repeated most often.

    >>> steps = Release("gradient", "gaussian", 2.0, 1.0, "poisson", 300, 0.01, first_step=1)
    >>> renyi_order(1.0, 1e-5, [steps])
    17.0
    """
    listed = events(expected)
    if not listed or any(event.mechanism != "gaussian" for event in listed):
        raise ValueError("expected: pass the Gaussian releases that the run is likely to make; Laplace: pure_filter")
    accountant = RdpAccountant()
    for event in listed:
        accountant.compose(dp_event(event), event.times)
    orders = [float(order) for order in accountant.orders]
    return max(
        (_renyi_budget(target_epsilon, delta, order) / divergence, order)
        for order, divergence in zip(orders, accountant.rdp, strict=True)
        if order > 1.01
    )[1]


def _renyi_budget(target_epsilon: float, delta: float, order: float) -> float:
    return target_epsilon - log1p(-1 / order) + log(delta * order) / (order - 1)
