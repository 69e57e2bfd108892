"""Intervals of paired differences over a few seeds, and what many of them on one page allow to say.

A percentile bootstrap over five seeds covers the true difference in about 85 of 100 cases, over three in 75, where it
says 95 (tests/report/test_intervals.py simulates it). Student's interval does what it says, since differences of
accuracies over seeds are close to normal.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST = 5  # pairs, for a verdict


def paired_interval(pairs: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the interval of the mean of paired differences by Student's t, None for fewer than two pairs.

    mean -+ t s / sqrt(n), with s the sample standard deviation and t the quantile of n - 1 degrees of freedom.

    >>> paired_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    >>> [round(end, 2) for end in paired_interval([-1.0, 0.0, 1.0])]  # 4.303 / sqrt(3)
    [-2.48, 2.48]
    """
    if len(pairs) < 2:
        return None
    mean, error = float(np.mean(pairs)), float(stats.sem(pairs))
    width = error * float(stats.t.ppf((1 + confidence) / 2, len(pairs) - 1))
    return mean - width, mean + width


def chance_of(pairs: Sequence[float]) -> float:
    """Return the two-sided p value of a paired t test that the mean difference is 0; NaN for fewer than `FEWEST` pairs.

    >>> round(chance_of([1.0, 1.2, 0.8, 1.1, 0.9]), 6)
    0.000145
    """
    if len(pairs) < FEWEST:
        return math.nan
    if np.ptp(pairs) == 0:
        return 1.0 if pairs[0] == 0 else 0.0
    return float(stats.ttest_1samp(pairs, 0.0).pvalue)


def adjusted(chances: Sequence[float]) -> list[float]:
    """Return p values of comparisons made together, by Benjamini and Hochberg: of those below 5 %, one in 20 is wrong.

    Comparisons without a p value stay so, and do not count.

    >>> [round(one, 3) for one in adjusted([0.01, 0.04, math.nan])]
    [0.02, 0.04, nan]
    """
    known = [place for place, one in enumerate(chances) if not math.isnan(one)]
    found = list(chances)
    if known:
        for place, one in zip(known, stats.false_discovery_control([chances[k] for k in known]), strict=True):
            found[place] = float(one)
    return found
