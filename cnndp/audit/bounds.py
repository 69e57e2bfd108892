"""Lower bounds on epsilon from what was seen of canaries in one run; no valid claim lies below them.

Three estimators, from the fewest assumptions to the most power:

- `one_run` (Steinke, Nasr and Jagielski 2023): holds for any mechanism and however canaries influence each other;
- `one_run_fdp` (Mahloujifar, Melis and Chaudhuri 2024): the same, if the trade-off is that of a Gaussian, or better at
  every rate of false alarms, as that of Poisson-sampled Gaussian noise with the same (epsilon, delta) is;
- `curve`: compares hits and false alarms with everything the ledger promises, by the exact test of `rates.breaks`. It
  takes the outcomes of different canaries as independent, which white-box canaries in coordinates of their own are,
  once the real records' part is taken out. For Laplace noise it is the only one of the last two that is valid: on one
  release with epsilon = 1, which gives more away at usual rates than a Gaussian of the same (epsilon, 1e-5),
  `one_run_fdp` reports more than 1.

The first two come from jax-privacy and are checked by opake-auditing (the extra `audit`); the last needs neither.
jax-privacy 2.0.0's `epsilon_from_gdp` is not used: it takes either sign of the separation as a leak, and so reports
more than the truth on ideal data.
"""

from math import log
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from cnndp.audit.canaries import Flags, Seen, Values, ideal, likelihood_score, restless_score
from cnndp.audit.rates import SIGNIFICANCE, Rates, breaks, chooses, guess
from cnndp.privacy.accounting import DELTA
from cnndp.privacy.composition import condensed
from cnndp.privacy.curves import curve_of, epsilon_of
from cnndp.privacy.ledger import Event, events

SPACING = 1.01  # of the noise levels that a bound is looked for among: it is rounded down by at most that much noise
LEAST_NOISE, MOST_NOISE = -160, 340  # powers of SPACING: 0.2 to 30 times the noise of the ledger
SIMULATED = 20  # ideal runs behind a ceiling
ENOUGH = 0.8  # power below which an audit that finds nothing is no evidence


def refuted(listed: tuple[Event, ...], noise: float, rates: Rates, significance: float) -> bool:
    """Return whether no mechanism that keeps its promise, with `noise` times the noise, would be guessed so well."""
    return breaks(curve_of(listed, noise), rates, significance)


def curve_bound(listed: tuple[Event, ...], rates: Rates, delta: float, significance: float) -> float:
    """Return the epsilon that the run shows, among mechanisms of the ledger's shape: the largest that is refuted.

    The shape is the ledger with all its noise multiplied by a factor; factors are 1.01^k, and 1 is among them, so that
    the bound exceeds the claim exactly when the claim is refuted. More noise promises more, so what is refuted with
    some noise is with more of it, and the edge is found by halving. 0 when nothing is refuted; infinity when even a
    fifth of the noise does not explain what is seen, so that the mechanism has another shape.
    """
    low, high = LEAST_NOISE, MOST_NOISE
    if not refuted(listed, SPACING**high, rates, significance):
        return 0.0
    if refuted(listed, SPACING**low, rates, significance):
        return float("inf")
    low, high = (low, 0) if refuted(listed, 1.0, rates, significance) else (0, high)
    while high - low > 1:  # refuted at `high`, not at `low`
        middle = (low + high) // 2
        low, high = (low, middle) if refuted(listed, SPACING**middle, rates, significance) else (middle, high)
    return epsilon_of(listed, SPACING**high, delta)


def scores_of(seen: Seen, order: int | None = None) -> dict[str, Values]:
    """Return the statistics that an attacker tries: the best one against the ledger, and one against repeated noise.

    Args:
        seen: the attacker's view.
        order: norm of the clip that the attacker counts on; None for the one that the mechanism needs.
    """
    needed = 1 if seen.mechanism == "laplace" else 2
    return {"likelihood ratio": likelihood_score(seen, order or needed), "variation over steps": restless_score(seen)}


class Finding(NamedTuple):
    """What an audit found.

    Attributes:
        claimed: the numerical epsilon of the ledger.
        bound: the lower bound of the `curve` estimator.
        refuted: whether the claim is.
        rates: the guesses behind it.
    """

    claimed: float
    bound: float
    refuted: bool
    rates: Rates


def judge(seen: Seen, *, delta: float = DELTA, significance: float = SIGNIFICANCE, order: int | None = None) -> Finding:
    """Return the lower bound on epsilon that one run shows, and whether it refutes the ledger.

    Args:
        seen: the attacker's view.
        delta: the chance that epsilon does not hold.
        significance: the chance that a valid claim is refuted, at most.
        order: as in `scores_of`.
    """
    listed = condensed(events(seen.releases))
    rates = guess(scores_of(seen, order), seen.included, curve_of(listed), significance)
    return Finding(
        claimed=epsilon_of(listed, 1.0, delta),
        bound=curve_bound(listed, rates, delta, significance),
        refuted=refuted(listed, 1.0, rates, significance),
        rates=rates,
    )


class Ceiling(NamedTuple):
    """What an audit of this size can show at best.

    Attributes:
        ideal: median bound when the mechanism is exactly the ledger's, with worst-case canaries.
        all_right: of `one_run`, when every guess is right: ln(p / (1 - p)) with p^m = significance.
        power: share of simulated runs with half the noise whose claim is refuted.
    """

    ideal: float
    all_right: float
    power: float


def ceiling(seen: Seen, *, delta: float = DELTA, significance: float = SIGNIFICANCE, seed: int = 0) -> Ceiling:
    """Return what as many canaries can show of this ledger, by simulation: report a bound against it, not against 1.

    Args:
        seen, delta, significance: as in `judge`.
        seed: of the simulation.
    """
    listed, m = condensed(events(seen.releases)), len(seen.included)
    generator = np.random.default_rng(seed)
    promised = curve_of(listed)

    def guessed(simulated: Seen) -> Rates:
        return guess(scores_of(simulated), simulated.included, promised, significance)

    bounds, hits = [], 0
    for _ in range(SIMULATED):
        bounds.append(curve_bound(listed, guessed(ideal(seen, m, generator)), delta, significance))
        halved = ideal(seen._replace(scales=seen.scales / 2), m, generator)._replace(scales=seen.scales)
        hits += refuted(listed, 1.0, guessed(halved), significance)
    right = significance ** (1 / m)
    return Ceiling(median(bounds), log(right / (1 - right)), hits / SIMULATED)


def one_run_epsilon(correct: int, num_canaries: int, delta: float = DELTA, significance: float = SIGNIFICANCE) -> float:
    """Return the lower bound on epsilon when all m canaries are guessed, `correct` of them rightly.

    Steinke, Nasr and Jagielski (2023), Theorem 5.2, with a guess for each canary and a rule fixed in advance: under
    (epsilon, delta) with p = e^epsilon / (1 + e^epsilon), the chance of v or more right guesses is at most
    beta + 2 m delta max_i (P[Bin(m, p) >= v - i] - beta) / i, with beta = P[Bin(m, p) >= v].

    Args:
        correct: v.
        num_canaries: m.
        delta, significance: as in `judge`.

    >>> round(one_run_epsilon(500, 500), 1)  # even when all are right
    5.1
    """
    back = np.arange(1, correct + 1)

    def chance(epsilon: float) -> float:
        right = 1 / (1 + np.exp(-epsilon))
        beta = stats.binom.sf(correct - 1, num_canaries, right)
        more = (stats.binom.sf(correct - back - 1, num_canaries, right) - beta) / back
        return float(beta + 2 * num_canaries * delta * max(more.max(initial=0.0), 0.0))

    low, high = 0.0, 2.0 * log(num_canaries / significance)
    if chance(low) > significance:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) > significance else (middle, high)
    return low


def loss_guesses(seen: Seen, losses: Values) -> Flags:
    """Return which canaries `[m]` the released losses show: in are those whose loss is part of the sum at any step.

    Each loss is more than the sum of all later ones, so that the sum tells which are in it, if it carries no noise.

    Args:
        seen: the attacker's view.
        losses: `[m]`, of each canary, from the largest.
    """
    found = np.zeros(len(losses), dtype=np.bool_)
    for rest in seen.losses:
        for number, loss in enumerate(losses):
            if rest > loss - losses[-1] / 2:
                found[number], rest = True, rest - loss
    return found


def library_bounds(
    scores: Values, included: Flags, *, mechanism: str, delta: float = DELTA, significance: float = SIGNIFICANCE
) -> dict[str, float | None]:
    """Return the bounds that two libraries find in the same scores, by the name of the estimator.

    Args:
        scores: `[m]`, high where a canary seems to be in.
        included: `[m]`.
        mechanism: "gaussian" or "laplace": estimators that count on a Gaussian trade-off give None for the latter.
        delta, significance: as in `judge`.

    Returns:
        A dictionary with these keys.

        - "one_run", "one_run_fdp": jax-privacy's, all thresholds with Bonferroni's correction;
        - "opake_one_run", "opake_gdp": opake-auditing's (Xiang, Zhao and Weinberger 2025), on the canaries that did not
          choose the threshold, since it corrects for no choice of threshold by itself.

    Raises:
        ImportError: when the extra `audit` is not installed.
    """
    try:
        from jax_privacy.auditing import CanaryScoreAuditor
        from opake import auditing as opake
        from opake.auditing.types import CoinFlip
    except ImportError as error:
        raise ImportError(
            f"{error.name or error} is needed for the bounds of other libraries; run: pip install 'cnndp[audit]' "
            "(audit.judge does without)"
        ) from error
    auditor = CanaryScoreAuditor(scores[included], scores[~included])
    threshold = guess({"score": scores}, included).threshold
    counting = ~chooses(len(scores))
    number = np.arange(len(scores))[counting]
    counted, inside = scores[counting], included[counting]
    flip = CoinFlip(len(number), number, inside, number[inside], number[~inside])
    found = opake.one_run(opake.canary_scores(counted, canary_indices=number), coin_flip=flip)
    gaussian = mechanism == "gaussian"
    asked: dict[str, Any] = {"delta": delta, "significance": significance, "threshold": threshold}
    return {
        "one_run": float(auditor.epsilon_one_run(significance, delta)),
        "one_run_fdp": float(auditor.epsilon_one_run_fdp(significance, delta)) if gaussian else None,
        "opake_one_run": float(found.eps_delta().epsilon_at(**asked)),
        "opake_gdp": float(found.gdp(grid_size=1000).epsilon_at(**asked)) if gaussian else None,
    }
