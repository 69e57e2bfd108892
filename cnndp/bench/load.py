"""What handing runs out costs: many small runs, bare, in one process, in several, and on a Dask cluster."""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cnndp.runs import executors, experiment
from cnndp.runs.experiment import Experiment
from cnndp.runs.recording import make_record

SECTION = "fig07_ablation"


def small_runs(count: int, root: Path) -> Experiment:
    """Return an experiment of `count` runs of one step on digits, whose records go to `root`."""
    given: dict[str, Any] = {"methods": ["cnn"], "num_steps": 1, "batch_size": 8, "device": "cpu"}
    return experiment.prepare(SECTION, dataset="digits", seeds=list(range(count)), **given)._replace(root=root)


def bare(asked: Experiment) -> None:
    """Train all runs in this process, and store nothing."""
    for planned in asked.runs:
        images = experiment.load_for(planned.config, asked.source)
        make_record(planned.config, images, asked.section, asked.device)


def overhead(seconds: float, slots: int, runs: int, bare_seconds: float) -> float:
    """Return the milliseconds that a run costs beyond its training.

    >>> overhead(seconds=6.0, slots=2, runs=100, bare_seconds=0.1)  # 12 s of two cores for 10 s of training
    20.0
    """
    return round(1e3 * (seconds * slots / runs - bare_seconds), 1)


def measure(count: int, slots: int = 2, *, dask: bool = True) -> pd.DataFrame:
    """Return a row for each way: seconds of all runs, milliseconds a run beyond its training, the coordinator's MB.

    Workers are started, and have trained one run each, before the clock runs.
    """
    ways: dict[str, Callable[[Experiment], object]] = {"bare": bare, "one process": experiment.run}
    local = executors.processes(slots, "cpu")
    ways[f"{slots} processes"] = lambda asked: executors.run(asked, local)
    cluster = cluster_of(slots) if dask else None
    if cluster is not None:
        remote = executors.dask(cluster.scheduler_address, "cpu")
        ways[f"Dask, {slots} workers"] = lambda asked: executors.run(asked, remote)
    rows: list[dict[str, Any]] = []
    for name, train in ways.items():
        with tempfile.TemporaryDirectory() as warm, tempfile.TemporaryDirectory() as folder:
            train(small_runs(2 * slots, Path(warm)))
            asked, start = small_runs(count, Path(folder)), time.perf_counter()
            train(asked)
            seconds = time.perf_counter() - start
        used = 1 if name in ("bare", "one process") else slots
        first = rows[0]["seconds"] / count if rows else seconds / count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(
            {
                "way": name,
                "runs": count,
                "seconds": seconds,
                "ms a run beyond training": overhead(seconds, used, count, first),
                "peak MB": peak,
            }
        )
    local.executor.shutdown()
    if cluster is not None:
        remote.stop()
        cluster.close()
    return pd.DataFrame(rows)


def cluster_of(count: int) -> Any:
    """Return a Dask cluster of `count` workers of this machine."""
    from distributed import LocalCluster

    return LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None, silence_logs=60)
