"""Single numbers from runs, as text: for prose, and for the cells of tables. Frames are those of `runs.frames`."""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from cnndp.checks import one_of
from cnndp.privacy.pairs import pair_epsilon
from cnndp.report.intervals import paired_interval
from cnndp.runs.frames import select

DATASET_NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
PERCENT = ("test_accuracy", "max_test_accuracy", "train_accuracy", "capped")
EPSILONS = ("exact_epsilon", "renyi_epsilon", "pair_epsilon")  # the same for every seed


def spread(values: Iterable[float], digits: int = 2, unit: str = "") -> str:
    """Return "mean ± std (n)"; with one value there is no std to show.

    >>> spread([96.0, 98.0]), spread([96.0, 98.0], unit=" %")
    ('97.00 ± 1.41 (2)', '97.00 ± 1.41 % (2)')
    """
    found = list(values)
    deviation = f" ± {stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{fmean(found):.{digits}f}{deviation}{unit} ({len(found)})"


def final_spread(runs: pd.DataFrame) -> str:
    """Return the final test accuracy in percent as mean ± std (n), and whether runs diverged on the way."""
    return spread(runs["test_accuracy"]) + divergence(runs)


def divergence(runs: pd.DataFrame) -> str:
    """Return at which steps runs stopped because a weight or a loss was no number any more; "" where none did.

    >>> divergence(pd.DataFrame({"status": ["diverged", "finished"], "last_step": [16, 300]}))
    '; 1 of 2 diverged, at step 16'
    """
    stopped = runs.loc[runs["status"] == "diverged", "last_step"]
    if stopped.empty:
        return ""
    at = " and ".join(map(str, sorted(set(stopped))))
    return f"; diverged at step {at}" if len(runs) == 1 else f"; {len(stopped)} of {len(runs)} diverged, at step {at}"


def measured(runs: pd.DataFrame, statistic: str, /, **where: Any) -> str:
    """Return one number for prose: an accuracy with its spread, "98.01 ± 0.10 % (5)", or an epsilon, "0.989".

    Args:
        runs: of one section and dataset.
        statistic: one of `PERCENT`, or of `EPSILONS`.
        where: columns with their values; what they select must differ in its seeds alone.

    Raises:
        ValueError: an unknown column or value, with the nearest known one; several kinds of run, with the columns that
            tell them apart; or no epsilon. So prose can never show a number without records.
    """
    one_of([*PERCENT, *EPSILONS], statistic=statistic)
    found = select(runs, **where)
    if found.empty:
        raise ValueError(f"no run is recorded, so there is no {statistic}")
    labels = found["label"].unique()
    if len(labels) > 1:
        apart = ", ".join(apart_in(found))
        raise ValueError(f"{where} selects {len(labels)} kinds of run, such as {listed(labels[:3])}; state {apart}")
    if statistic in PERCENT:
        return spread(found[statistic], unit=" %") + divergence(found)
    first = found.iloc[0]
    epsilon = priced_as_pair(first) if statistic == "pair_epsilon" else first[statistic]
    if pd.isna(epsilon):
        raise ValueError(f"the records of {labels[0]!r} hold no {statistic}")
    return f"{epsilon:.3g}"


STATED = (  # what tells runs apart in words
    *("name", "reading", "num_steps", "panel", "target", "target_epsilon", "budget", "cap_factor", "variant"),
    *("beside", "mechanism", "projection", "max_step", "rate", "method"),
)


def apart_in(runs: pd.DataFrame) -> list[str]:
    """Return which columns differ among runs, of those that a reader would tell them apart by."""
    return [column for column in STATED if column in runs and runs[column].nunique(dropna=False) > 1]


def priced_as_pair(run: pd.Series) -> float | None:
    """Return what the Laplace noise on gradient and loss of a run costs as a pair; None for other runs.

    Only where the noise is the same in every step.
    """
    entries = [entry for entry in run["ledger"] if entry["sampling"] == "poisson"]
    if len(entries) != 2 or any(entry["mechanism"] != "laplace" or len(entry["scales"]) > 1 for entry in entries):
        return None
    first, second = (entry["sensitivity"] / entry["scales"][0][0] for entry in entries)
    return pair_epsilon(first, second, entries[0]["sampling_prob"], entries[0]["scales"][0][1], run["delta"])


def epsilon_of(run: pd.Series) -> str:
    """Return the numerical epsilon of a private run, else the nominal total, or a dash where no noise was added."""
    if pd.notna(run["exact_epsilon"]):
        return f"{run['exact_epsilon']:.4g}, numerical"
    return "–" if pd.isna(run["nominal_epsilon"]) else f"{run['nominal_epsilon']:.6g}"


def interval(values: Sequence[float]) -> str:
    """Return mean and 95 % interval (Student's t) of a paired difference, in points.

    >>> interval([1.0, 1.0])
    '1.00 points, 95 % interval 1.00 to 1.00 (n = 2)'
    """
    found = paired_interval(values)
    if found is None:
        return f"{fmean(values):.2f} points (n = {len(values)}: too few for an interval)"
    return f"{fmean(values):.2f} points, 95 % interval {found[0]:.2f} to {found[1]:.2f} (n = {len(values)})"


def pretty(dataset: str) -> str:
    """Return how a reader knows a dataset."""
    return DATASET_NAMES.get(dataset, dataset)


def listed(values: Iterable[Any]) -> str:
    """Return the different values in order, separated by commas.

    >>> listed([2, 1, 2])
    '2, 1'
    """
    return ", ".join(str(value) for value in dict.fromkeys(values))


def counted(count: int, word: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "time"), counted(2, "time")
    ('1 time', '2 times')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"
