"""How often audits refute a correct mechanism: simulated runs, whose noise is just what the ledger states.

The significance is the rate that an audit may have, and its derivation could hold a mistake. So runs are drawn, far
more than could be trained, and what is counted is what `bounds.judge` would have said of each.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnndp.audit.bounds import scores_of
from cnndp.audit.canaries import Seen, ideal
from cnndp.audit.rates import SIGNIFICANCE, breaks, guess, upper_limit
from cnndp.checks import at_least
from cnndp.privacy.curves import curve
from cnndp.report.numbers import listed
from cnndp.report.tables import table
from cnndp.training.config import Config
from cnndp.training.intended import intended

Row = dict[str, Any]


def stated(config: Config, num_train: int) -> Seen:
    """Return the view of a run's plan, without canaries: noise, sensitivity and sampling that its ledger will state.

    Args:
        config: a private run with noise on the gradient alone.
        num_train: N.

    Raises:
        ValueError: a run without a plan, or one that releases more than gradients.

    >>> config = Config(method="dp_sgd", reading="private", dataset="digits", num_steps=9, batch_size=40,
    ...     sampling="poisson", mechanism="gaussian", clip="example_l2", clip_norm=0.5, target_epsilon=1.0)
    >>> view = stated(config, 320)
    >>> view.sampling_prob, view.sensitivity, len(view.scales)
    (0.125, 0.5, 9)
    """
    plan = intended(config, num_train)
    quantities = {release.quantity for release in plan.releases} if plan else set()
    if plan is None or quantities != {"gradient"}:
        raise ValueError(
            f"config releases {listed(sorted(quantities)) or 'nothing that is planned'}; simulated are runs that "
            "release noisy gradients alone: pass a private Config with a target_epsilon and a step that reads no loss"
        )
    first = plan.releases[0]
    assert first.sensitivity is not None  # a plan has one
    scales = np.array([release.scale for release in plan.releases for _ in range(release.steps)])
    return Seen(
        included=np.zeros(0, dtype=np.bool_),
        sums=np.zeros((len(scales), 0, 1)),
        scales=scales,
        sensitivity=first.sensitivity,
        sampling_prob=first.sampling_prob or 1.0,
        mechanism=first.mechanism,
        losses=np.zeros(len(scales)),
        releases=tuple(plan.releases),
    )


def simulated(view: Seen, num_canaries: int, seed: int, number: int, significance: float = SIGNIFICANCE) -> bool:
    """Return whether the audit of one simulated run refutes the correct mechanism.

    Args:
        view: as `stated` gives it.
        num_canaries: m.
        seed, number: of the draws: each run can be repeated by itself.
        significance: of the audit.
    """
    drawn = ideal(view, num_canaries, np.random.default_rng((seed, number)))
    promised = curve(view.releases)
    return breaks(promised, guess(scores_of(drawn), drawn.included, promised, significance), significance)


def false_refutations(
    config: Config, num_train: int, num_canaries: int, runs: int, significance: float = SIGNIFICANCE
) -> Row:
    """Return how often simulated runs of a correct mechanism are refuted.

    Args:
        config: of the runs; its seed is that of the draws.
        num_train: N.
        num_canaries: m.
        runs: how many.
        significance: of the audits.

    Returns:
        What was simulated, `runs`, and `refuted`, the numbers of those whose claim is.
    """
    at_least(1, runs=runs)
    begun, view = time.perf_counter(), stated(config, num_train)
    wrong = [number for number in range(runs) if simulated(view, num_canaries, config.seed, number, significance)]
    return {
        "digest": config.digest,
        "seed": config.seed,
        "mechanism": config.mechanism,
        "num_steps": config.num_steps,
        "target_epsilon": config.target_epsilon,
        "batch_size": config.batch_size,
        "num_train": num_train,
        "num_canaries": num_canaries,
        "significance": significance,
        "runs": runs,
        "refuted": wrong,
        "seconds": round(time.perf_counter() - begun, 2),
    }


def most_likely(refuted: int, runs: int) -> float:
    """Return the upper 95 % limit of the rate of false refutations (Clopper and Pearson 1934).

    >>> round(most_likely(0, 59), 3)  # 1 - 0.05^(1/59)
    0.05
    """
    return float(upper_limit(refuted, runs, 0.05))


def validity_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: false refutations of each noise and number of canaries, all epsilons together."""
    lines = []
    for mechanism in dict.fromkeys(row["mechanism"] for row in rows):
        for size in sorted({row["num_canaries"] for row in rows}):
            group = [row for row in rows if (row["mechanism"], row["num_canaries"]) == (mechanism, size)]
            if group:
                runs, wrong = sum(row["runs"] for row in group), sum(len(row["refuted"]) for row in group)
                epsilons = listed([f"{epsilon:g}" for epsilon in sorted({row["target_epsilon"] for row in group})])
                rate, most = 100 * wrong / runs, 100 * most_likely(wrong, runs)
                lines.append([mechanism, f"{size:,}", epsilons, f"{runs:,}", f"{wrong} ({rate:.1f} %)", f"{most:.1f}"])
    header = ("Noise", "Canaries", "Target ε", "Simulated runs", "Refuted", "Rate at most %, with 95 % confidence")
    return table(lines, header)


def validity_note(rows: Sequence[Row]) -> str:
    """Return one sentence: how many simulated runs of a correct mechanism are refuted, against how many may be.

    >>> row = {"runs": 1000, "refuted": [3, 8], "significance": 0.05}
    >>> validity_note([row]).split(":")[0]
    'Of 1,000 simulated runs of a correct mechanism 2 are refuted, 0.2 %'
    """
    runs, wrong = sum(row["runs"] for row in rows), sum(len(row["refuted"]) for row in rows)
    allowed = max(row["significance"] for row in rows)
    kept = "within" if wrong <= allowed * runs else "**more than**"
    return (
        f"Of {runs:,} simulated runs of a correct mechanism {wrong} are refuted, {100 * wrong / runs:.1f} %: {kept} "
        f"the {100 * allowed:g} % that an audit may refute wrongly. With 95 % confidence the rate is at most "
        f"{100 * most_likely(wrong, runs):.1f} %."
    )


def again(row: Row, config: Config, runs: int) -> bool:
    """Return whether the first runs of a row end as they were recorded.

    Args:
        row: of `false_refutations`.
        config: of its runs.
        runs: how many; those that were refuted first, then from the first on.
    """
    view, wrong = stated(config, row["num_train"]), set(row["refuted"])
    chosen = [*row["refuted"], *(number for number in range(row["runs"]) if number not in wrong)][:runs]
    asked = row["num_canaries"], row["seed"]
    return all(simulated(view, *asked, number, row["significance"]) == (number in wrong) for number in chosen)
