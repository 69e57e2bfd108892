"""Black-box membership inference: P1's attacker with background knowledge, who sees losses of the trained network only.

Two attacks on the loss of a record: the plain one (Yeom et al. 2018: members have low losses), and the one that
compares with networks trained on other records (Watson et al. 2022; P1's background knowledge). What an attack does not
find is no bound: how much it could have found is stated with it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from cnndp.audit.canaries import Values
from cnndp.audit.rates import SIGNIFICANCE, lower_limit, upper_limit
from cnndp.checks import at_least
from cnndp.data.datasets import Images, network_input
from cnndp.equations.losses import cross_entropy
from cnndp.privacy.curves import Curve, curve, most_true_positives
from cnndp.privacy.ledger import guarantee_gap
from cnndp.report.tables import table
from cnndp.training.config import Config
from cnndp.training.gradients import predict
from cnndp.training.loop import Outcome, train

Row = dict[str, Any]

FALSE_POSITIVE_RATES = (0.01, 0.1)
RESAMPLED = 200  # bootstrap samples behind an interval


class Split(NamedTuple):
    """Training sets of the attack, all of one distribution: a third each of all training images."""

    members: Images
    outsiders: Images
    others: Images  # what the attacker trains networks of his own on


def split(images: Images) -> Split:
    """Return the training images in three equal parts; the test images stay what they are.

    The parts are in the order of the split, which is a seeded permutation.
    """
    size = len(images.train_labels) // 3
    at_least(2, third=size)
    parts = (slice(start, start + size) for start in (0, size, 2 * size))
    return Split(
        *(images._replace(train_images=images.train_images[p], train_labels=images.train_labels[p]) for p in parts)
    )


def losses_on(model: nn.Module, weights: Tensor, config: Config, images: Images) -> Values:
    """Return the cross-entropy `[N]` of each training image of `images`."""
    inputs = network_input(config.dataset, normalise=config.normalise)(images.train_images)
    with torch.no_grad():
        return cross_entropy(predict(model, weights, inputs), images.train_labels).double().numpy()


def attack(config: Config, images: Images, num_references: int = 2) -> list[Row]:
    """Train a network, attack it, and return one row for each attack.

    Args:
        config: the run that is attacked; its training set is a third of the training images.
        images: the data.
        num_references: networks that the attacker trains on another third, with the same Config and other seeds.

    Returns:
        See `measured`; a row also names the `attack`, the Config's `digest`, `reading` and test accuracy.
    """
    at_least(1, num_references=num_references)
    parts = split(images)
    target = train(config, parts.members)
    references = [
        train(config.replace(seed=config.seed + 1 + number), parts.others) for number in range(num_references)
    ]
    promised = None if guarantee_gap(target.releases) else curve(target.releases)
    asked = (parts.members, parts.outsiders)
    own = [_losses(target, config, part) for part in asked]
    known = [np.mean([_losses(one, config, part) for one in references], axis=0) for part in asked]
    scores = {
        "low loss": [-one for one in own],
        "lower than other networks' loss": [other - one for other, one in zip(known, own, strict=True)],
    }
    return [
        {
            "attack": name,
            "digest": config.digest,
            "reading": config.reading,
            "test_accuracy": target.final["test_accuracy"],
            **measured(inside, outside, promised, seed=config.seed),
        }
        for name, (inside, outside) in scores.items()
    ]


def _losses(outcome: Outcome, config: Config, images: Images) -> Values:
    return losses_on(outcome.model, outcome.weights, config, images)


def measured(
    members: Values,
    outsiders: Values,
    promised: Curve | None = None,
    *,
    seed: int = 0,
    significance: float = SIGNIFICANCE,
) -> Row:
    """Return how well scores tell members, with 95 % intervals, and what could have been seen at all.

    Args:
        members, outsiders: scores, high where a record seems to be a member.
        promised: the curve of the run that is attacked; None for one without a guarantee.
        seed: of the bootstrap.
        significance: one minus the confidence of the intervals.

    Returns:
        A dictionary with these keys.

        - "auc" and "auc_interval": area under the curve of hits against false alarms (scikit-learn), bootstrap;
        - "smallest_auc": the least area that as many records tell from 0.5 in four of five trials;
        - "rates": for each false positive rate, the `rate`, the `hits` with `interval` (the wider ends of bootstrap and
          Clopper and Pearson), and the `most` that the numerical epsilon leaves to any attack (None without one);
        - "members" and "outsiders": their numbers.

    >>> found = measured(np.arange(100.0) + 50, np.arange(100.0))
    >>> round(found["auc"], 3), found["rates"][1]["hits"]
    (0.875, 0.6)
    """
    labels = np.r_[np.ones(len(members)), np.zeros(len(outsiders))]
    generator = np.random.default_rng(seed)
    areas, hits = [], []
    for _ in range(RESAMPLED):
        inside, outside = (generator.choice(scores, size=len(scores)) for scores in (members, outsiders))
        areas.append(roc_auc_score(labels, np.r_[inside, outside]))
        hits.append([hit_rate(rate, inside, outside) for rate in FALSE_POSITIVE_RATES])
    ends = [significance / 2, 1 - significance / 2]
    rates = []
    for rate, resampled in zip(FALSE_POSITIVE_RATES, np.transpose(hits), strict=True):
        found, (low, high) = hit_rate(rate, members, outsiders), np.quantile(resampled, ends)
        count = round(found * len(members))
        # A bootstrap of no hits at all sees none either; the binomial limits do not know that the threshold varies.
        low = min(low, float(lower_limit(count, len(members), ends[0])))
        high = max(high, float(upper_limit(count, len(members), ends[0])))
        most = None if promised is None else float(most_true_positives(promised, rate))
        rates.append({"rate": rate, "hits": found, "interval": [float(low), float(high)], "most": most})
    return {
        "members": len(members),
        "outsiders": len(outsiders),
        "auc": float(roc_auc_score(labels, np.r_[members, outsiders])),
        "auc_interval": [float(end) for end in np.quantile(areas, ends)],
        "smallest_auc": smallest_auc(len(members), len(outsiders), significance),
        "rates": rates,
    }


def hit_rate(rate: float, members: Values, outsiders: Values) -> float:
    """Return the share of members above the threshold that at most a share `rate` of the outsiders is above.

    >>> hit_rate(0.5, np.array([0.0, 3.0]), np.array([1.0, 2.0]))
    0.5
    """
    threshold = np.sort(outsiders)[::-1][math.floor(rate * len(outsiders))]
    return float((members > threshold).mean())


def smallest_auc(num_members: int, num_outsiders: int, significance: float = SIGNIFICANCE, power: float = 0.8) -> float:
    """Return the least area that a two-sided test tells from 0.5 with the given power.

    The area's standard error without any effect is sqrt((m + n + 1) / (12 m n)) (Mann and Whitney 1947).

    >>> round(smallest_auc(479, 479), 3)
    0.552
    """
    error = math.sqrt((num_members + num_outsiders + 1) / (12 * num_members * num_outsiders))
    return 0.5 + error * float(stats.norm.ppf(1 - significance / 2) + stats.norm.ppf(power))


def membership_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of attacks: area, hits at each rate of false alarms, and the most that epsilon leaves."""
    lines = []
    for row in rows:
        low, high = row["auc_interval"]
        cells = [
            row["reading"],
            row["attack"],
            f"{row['test_accuracy']:.2f}",
            f"{row['auc']:.3f} ({low:.3f}–{high:.3f})",
        ]
        for rate in row["rates"]:
            low, high = (100 * end for end in rate["interval"])
            most = "no bound" if rate["most"] is None else f"at most {100 * rate['most']:.1f}"
            cells.append(f"{100 * rate['hits']:.1f} ({low:.1f}–{high:.1f}); {most}")
        lines.append([*cells, f"{row['members']:,} / {row['outsiders']:,}", f"{row['smallest_auc']:.3f}"])
    rates = (f"Hits % at {100 * rate:g} % false alarms" for rate in FALSE_POSITIVE_RATES)
    header = ("Reading", "Attack", "Test %", "Area (95 %)", *rates, "Members / others", "Least area seen")
    return table(lines, header)
