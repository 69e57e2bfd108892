"""Choosing rates from the records of the tuning sections, and writing down what they were chosen from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cnndp.papers.sections.plan import SECTIONS, book_profile
from cnndp.papers.tuned import Choice
from cnndp.runs import experiment
from cnndp.runs.frames import frame

KEYS = ["name", "panel", "target", "projection"]


def best(runs: pd.DataFrame) -> list[Choice]:
    """Return the rate with the highest mean accuracy of each run of a tuning section; of equals, the smallest."""
    runs = runs.astype({"projection": float})  # of None alone it would be none
    means = runs.groupby([*KEYS, "rate"], dropna=False, sort=False)["test_accuracy"].mean().reset_index()
    means = means.sort_values("rate", kind="stable").sort_values("test_accuracy", ascending=False, kind="stable")
    found = runs[KEYS].drop_duplicates().merge(means.drop_duplicates(KEYS), on=KEYS)
    return [
        Choice(row.name, row.panel, row.target, None if pd.isna(row.projection) else int(row.projection), row.rate)
        for row in found.itertuples()
    ]


def fingerprint(runs: pd.DataFrame) -> str:
    """Return the SHA-256 of what a choice was made from: the digest and the accuracy of every run, sorted."""
    lines = sorted(map(list, zip(runs["digest"], runs["test_accuracy"], strict=True)))
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def lost(content: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Return the sections and datasets whose rates `stored` has and new content lacks.

    >>> lost({"a_tuning": {"mnist": {}}}, {"a_tuning": {"mnist": {}, "cifar10": {}}})
    ['a_tuning on cifar10']
    """
    return [
        f"{section} on {dataset}"
        for section, datasets in stored.items()
        for dataset in datasets
        if dataset not in content.get(section, {})
    ]


def tune() -> dict[str, Any]:
    """Return the content of `papers/tuned.json` as the stored runs have it.

    A dataset on which a section is not complete is left out: what was not tried cannot be chosen.
    """
    content: dict[str, Any] = {}
    for section, entry in SECTIONS.items():
        if not entry.tuned:
            continue
        content[section] = {}
        for dataset in entry.datasets:
            study = experiment.prepare(section, dataset=dataset, profile=book_profile(section, dataset))
            runs = frame(experiment.stored(study))
            if len(runs) == len(study.runs):
                content[section][dataset] = {
                    "chosen": [choice._asdict() for choice in best(runs)],
                    "runs": len(runs),
                    "sha256": fingerprint(runs),
                }
    return content
