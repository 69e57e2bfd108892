"""Runs as tidy pandas frames: a row a run, or in long form a row a measurement. All reports are made from these."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cnndp.checks import one_of
from cnndp.papers.sections.entries import Facts, rate_of
from cnndp.runs.experiment import Result
from cnndp.training.config import Config

# Of a measurement, by the names that a record has them under: those that a Config has, too, are called otherwise.
POINTS = {"step": "iteration", "loss": "batch_loss"}
FINAL = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "rdp_epsilon", "steps_at_cap", "last_step")
PRIVACY = ("nominal_epsilon", "exact_epsilon", "renyi_epsilon", "no_guarantee")
MADE = ("commit", "torch", "device", "seconds", "dataset_sha256")
COLUMNS = (
    *("section", "label", "title", "name", *Facts._fields),
    *(
        *Config.__dataclass_fields__,
        "rate",
        "digest",
        "status",
        *FINAL,
        "max_test_accuracy",
        "curve_test_accuracy",
        "capped",
    ),
    *(*PRIVACY, *MADE, "ledger"),
)


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """Return a row a run, in order; the index counts them.

    Columns: `section`, `label`, `title`, `name` and the facts of its section (`entries.Facts`); every field of
    `Config`, and `rate`, the one number that is tuned; `digest`, `status`; what it ended at (`FINAL`, accuracies in
    percent), `max_test_accuracy`, `curve_test_accuracy` (where its curve ends, on the fewer images of curves), `capped`
    (the share of steps at the cap, in percent); `PRIVACY`; `MADE`; and the `ledger`. What a run has none of is missing.

    >>> from cnndp import prepare, run
    >>> study = prepare("fig07_ablation", dataset="mnist", profile="paper", methods=["cnn"], seeds=[0, 1])
    >>> frame(run(study))[["name", "seed", "num_steps"]].to_numpy().tolist()
    [['noise-free', 0, 600], ['noise-free', 1, 600]]
    """
    return pd.DataFrame([row(result) for result in results], columns=COLUMNS).rename_axis("run")


def row(result: Result) -> dict[str, Any]:
    """Return one row of `frame`."""
    run, record = result
    final = record["final"]
    return {
        "section": run.section,
        "label": run.label,
        "title": run.title,
        "name": run.name,
        **run.facts._asdict(),
        **run.config.to_dict(),
        "rate": rate_of(run.config),
        "digest": record["digest"],
        "status": record["status"],
        **{name: final.get(name) for name in FINAL},
        "max_test_accuracy": highest(record),
        "curve_test_accuracy": curve_end(record),
        "capped": 100 * final["steps_at_cap"] / final["last_step"],
        **{name: record["privacy"].get(name) for name in PRIVACY},
        **{name: record["provenance"][name] for name in MADE},
        "ledger": record["ledger"],
    }


def curve_end(record: Mapping[str, Any]) -> float:
    """Return the test accuracy that its curve ends at; of a run that diverged, or has no curve, the final one."""
    curve = record["history"]["test_accuracy"]
    ended = record["status"] == "finished" and curve and curve[-1] is not None
    return float(curve[-1] if ended else record["final"]["test_accuracy"])


def highest(record: Mapping[str, Any]) -> float:
    """Return the highest test accuracy that was measured; the final one where none was."""
    seen = [value for value in record["history"]["test_accuracy"] if value is not None]
    return float(max(seen, default=record["final"]["test_accuracy"]))


def history(results: Iterable[Result]) -> pd.DataFrame:
    """Return a row a measurement: `run` and the columns of `frame`, with these in place of what the run ended at.

    `point` counts the measurements of a run from 0; `iteration`, `batch_loss`, `train_accuracy`, `test_accuracy`,
    `train_loss`, `test_loss`, `step_size`, `slack`, `noise_scale`, `gradient_norm`: at that iteration. A run that
    diverged has fewer rows.
    """
    kept = list(results)
    parts = [pd.DataFrame(result.record["history"], dtype=float).rename(columns=POINTS) for result in kept]
    if not parts:
        return pd.DataFrame()
    points = pd.concat(parts, keys=range(len(parts)), names=["run", "point"]).reset_index().astype({"iteration": int})
    runs = frame(kept)
    return points.merge(runs.drop(columns=runs.columns.intersection(points.columns)), on="run")


def having(runs: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have every value of `where`, none if there is no such row; None is a missing value.

    Raises:
        ValueError: an unknown column; the message names what is nearest.
    """
    for column, value in where.items():
        one_of(list(runs.columns), column=column)
        runs = runs[runs[column].isna() if value is None else runs[column] == value]
    return runs


def select(runs: pd.DataFrame, /, **where: Any) -> pd.DataFrame:
    """Return the rows that have every value of `where`; None is a missing value.

    Raises:
        ValueError: an unknown column, or no such row; the message names what is nearest.

    >>> runs = pd.DataFrame({"name": ["CDP", "DPGDM"], "num_steps": [300, 300]})
    >>> select(runs, name="CDP").index.tolist()
    [0]
    >>> select(runs, name="DPGMD")
    Traceback (most recent call last):
      ...
    ValueError: name='DPGMD' is not known; did you mean 'DPGDM'? Known: CDP, DPGDM
    """
    for column, value in where.items():
        found = having(runs, {column: value})
        if found.empty:
            refuse(column, value, runs[column])
        runs = found
    return runs


def refuse(column: str, value: Any, known: pd.Series) -> None:
    """Raise the error of `select` for a value that no row has, beside those that are left."""
    values = known.dropna().unique().tolist()
    if values and all(isinstance(one, str) for one in [value, *values]):
        one_of(values, **{column: value})
    raise ValueError(f"{column}={value!r} has no runs here; pass one of {', '.join(map(repr, values)) or 'none'}")
