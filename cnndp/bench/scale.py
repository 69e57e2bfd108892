"""What the run store costs as it grows: time and memory of reading it, with copies of its own records in it."""

import json
import os
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from cnndp.papers import claims
from cnndp.report import findings, verdicts
from cnndp.runs import experiment, store
from cnndp.training.config import Config

SIZES = (200, 2_000, 20_000)
PAGE = ("fig09_comparison", "mnist")


def grown(source: Path, target: Path, count: int) -> int:
    """Copy records of a store, and then copies of them with other seeds, until there are `count`; return how many.

    The originals come first, so that pages are what they are, and of these the ones of `PAGE`.
    """
    found = sorted(source.glob("*/*/*.json"), key=lambda path: path.parts[-3:-1] != PAGE)
    found = [path for path in found if "config" in json.loads(path.read_text(encoding="utf-8"))]
    for path in found[:count]:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for number, path in zip(range(len(found), count), cycle(found), strict=False):
        record = store.load(path)
        config = Config.from_dict(record["config"]).replace(seed=1_000 + number)
        record |= {"config": config.to_dict(), "digest": config.digest}
        store.save(record, store.path_for(target, record["section"], config))
    return len(list(target.glob("*/*/*.json")))


def status() -> None:
    """Do what `python -m cnndp status` does for one dataset and section."""
    experiment.status(findings.study_of(*PAGE))


def page() -> None:
    """Read the runs of one page."""
    findings.runs_of(*PAGE)


def all_claims() -> None:
    """Make the table of all claims."""
    verdicts.compare(findings.all_runs(), stated=claims.claims())


TASKS: dict[str, Callable[[], None]] = {"status": status, "one page": page, "all claims": all_claims}


def measured(task: Callable[[], None]) -> tuple[float, float]:
    """Return seconds, and then, of a second turn, the peak of memory in MB: tracing it takes time of its own."""
    start = time.perf_counter()
    task()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    try:
        task()
        return seconds, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def measure(sizes: Iterable[int] = SIZES) -> pd.DataFrame:
    """Return a row for each size of the store and task: records, seconds, peak memory in MB.

    Args:
        sizes: of the stores, made of copies of the one at hand in a temporary folder, one after the other.
    """
    source, rows = store.default_root(), []
    findings.study_of(*PAGE)  # what is worked out once a process is not the store's
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, CNNDP_RESULTS=folder):
            held = grown(source, Path(folder), count)
            for name, task in TASKS.items():
                seconds, peak = measured(task)
                rows.append({"records": held, "task": name, "seconds": seconds, "peak MB": peak})
    return pd.DataFrame(rows)
