"""Runs on several workers: the same records as in one process, and nothing lost when workers die.

A worker takes seconds to import torch, so clusters are small but in `make faults`, which sets CNNDP_FAULTS.
"""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from endings import FULL

from cnndp.runs import executors, experiment, store
from cnndp.runs.experiment import prepare
from cnndp.runs.recording import make_record

pytestmark = pytest.mark.slow

SECTION = "fig07_ablation"
TIMED = ("provenance", store.HASH)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("own") / "mine.npz"
    np.savez(path, x=rng.integers(0, 256, (50, 8, 8), dtype=np.uint8), y=np.arange(50) % 4)
    return str(path)


@pytest.fixture
def asked(own, tmp_path, monkeypatch):
    """Return what prepares an experiment of so many seeds in a store of its own."""

    def make(seeds=3, folder="store", **options):
        monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / folder))
        given = {"num_steps": 3, "batch_size": 8, "device": "cpu", "methods": ["cnn"], **options}
        return prepare(SECTION, dataset=own, seeds=list(range(seeds)), **given)

    return make


def kept(results):
    return [{key: part for key, part in result.record.items() if key not in TIMED} for result in results]


class Here(executors.Executor):
    """An executor that calls at once, in this process; `fault` is called before with the number of the call."""

    def __init__(self, fault=lambda number, task: None):
        self.calls, self.fault = 0, fault

    def submit(self, function, /, *arguments, **named):
        future = executors.Future()
        self.calls += 1
        try:
            self.fault(self.calls, arguments[0])
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def here(fault=lambda number, task: None, slots=2):
    return executors.Pool(Here(fault), slots, "cpu", torch.get_num_threads())


def died(*_):
    raise executors.BrokenExecutor("killed")


def test_records_are_those_of_one_process(asked):
    alone = experiment.run(asked(folder="alone"))
    assert kept(executors.run(asked(), here())) == kept(alone)


def test_what_is_stored_is_not_trained_again(asked):
    first = executors.run(asked(), here())
    assert executors.run(asked(), here(died)) == first


def test_a_run_whose_worker_died_once_is_tried_again_and_said(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_PROGRESS", str(tmp_path / "said"))
    assert len(executors.run(asked(), here(lambda number, task: died() if number == 1 else None))) == 3
    said = (tmp_path / "said").read_text()
    assert said.count("worker died: cnn s0") == 1
    assert "is tried again" in said
    assert "[3/3 runs]" in said


def test_a_run_that_kills_two_workers_is_reported_and_the_rest_goes_on(asked):
    culprit = here(lambda number, task: died() if task.config.seed == 1 else None)
    with pytest.raises(executors.Unfinished, match=r"1 of 3 runs of fig07_ablation .* 2 times \(cnn s1 "):
        executors.run(asked(), culprit)
    assert culprit.executor.calls == 4
    assert {store.load(path)["config"]["seed"] for path in store.paths_in(store.default_root())} == {0, 2}


def test_an_error_of_a_run_is_not_taken_for_a_death(asked):
    def wrong(number, task):
        raise ValueError("clip_norm=-1")

    with pytest.raises(ValueError, match="clip_norm=-1"):
        executors.run(asked(), here(wrong))
    assert len(executors.run(asked(), here())) == 3  # no lock is left


def test_a_run_that_another_process_holds_is_left_to_it(asked):
    study = asked()
    config = study.runs[0].config
    held = threading.Event()

    def end():
        lock = store.lock_of(study.root, config)
        lock.acquire()
        held.set()
        time.sleep(0.5)
        record = make_record(config, experiment.load_for(config, study.source), SECTION, torch.device("cpu"))
        store.save(record, store.path_for(study.root, SECTION, config))
        lock.release()

    other = threading.Thread(target=end)
    pool = here()
    other.start()
    held.wait()
    assert len(executors.run(study, pool)) == 3
    other.join()
    assert pool.executor.calls == 2


def kill_children(count, seen):
    """Kill `count` workers as they turn up, each as soon as it is there."""
    killed = set()
    until = time.monotonic() + 20
    while len(killed) < count and time.monotonic() < until:
        for child in multiprocessing.active_children():
            if child.pid not in killed and len(killed) < count:
                os.kill(child.pid, signal.SIGKILL)
                killed.add(child.pid)
        time.sleep(0.02)
    seen.extend(killed)


def test_processes_that_are_killed_lose_no_run(asked):
    alone = experiment.run(asked(2, folder="alone"))
    pool, seen = executors.processes(1, "cpu"), []
    killer = threading.Thread(target=kill_children, args=(1, seen))
    killer.start()
    try:
        assert kept(executors.run(asked(2), pool)) == kept(alone)
    finally:
        killer.join()
        pool.executor.shutdown()
    assert len(seen) == 1


def test_a_job_whose_call_fails_gives_the_error_itself():
    assert executors.caught(int, "3") == (3, None)
    result, error = executors.caught(int, "three")
    assert result is None
    assert isinstance(error, ValueError)


@pytest.mark.skipif(FULL == 1, reason="a cluster takes long to start beside other tests; make faults has it")
def test_a_dask_cluster_whose_worker_is_killed_loses_no_run(asked):
    distributed = pytest.importorskip("distributed")
    workers = 2
    alone = experiment.run(asked(2 * workers, folder="alone"))
    study, seen = asked(2 * workers), []
    options = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=60) as cluster:
        pool = executors.dask(cluster.scheduler_address, "cpu")
        assert pool.slots == workers

        def kill():
            time.sleep(1)
            seen.extend(pid for pid in worker_pids(cluster)[:1])
            os.kill(seen[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            assert kept(executors.run(study, pool)) == kept(alone)
        finally:
            killer.join()
            pool.stop()
    assert seen


def worker_pids(cluster):
    return [nanny.pid for nanny in cluster.workers.values()]


def test_nobody_at_the_address_of_a_scheduler_is_said():
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="scheduler='nonsense://x' does not answer"):
        executors.dask("nonsense://x")


def test_jobs_of_slurms_local_executor_return_the_same_records(asked):
    pytest.importorskip("submitit")
    count = 1 if FULL == 1 else 2
    alone = experiment.run(asked(count, folder="alone"))
    study = asked(count)
    pool = executors.slurm_jobs(count, "cpu", cluster="local")
    try:
        assert kept(executors.run(study, pool)) == kept(alone)
    finally:
        pool.stop()
    assert len(store.paths_in(store.default_root())) == count
