"""Runs on several processes or machines: a coordinator hands them out, and stores what comes back."""

import multiprocessing
import os
import queue
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import BaseFileLock
from tqdm import tqdm

from cnndp.checks import Refusal
from cnndp.data.datasets import Images
from cnndp.progress import progress_bar
from cnndp.runs import experiment, store
from cnndp.runs.estimate import announcement
from cnndp.runs.experiment import Experiment, Result
from cnndp.runs.recording import make_record
from cnndp.runs.store import Record
from cnndp.training.config import Config

MINUTES = 24 * 60  # that a SLURM job may take


class Pool(NamedTuple):
    """Where runs are trained."""

    executor: Executor
    slots: int  # runs handed out at once
    device: str  # as in `experiment.pick_device`, which each worker asks for itself
    threads: int  # of torch, in each worker
    died: tuple[type[BaseException], ...] = (BrokenExecutor,)  # how the executor says that a worker died
    tries: int = 2  # how often a run may be on a worker that dies; 1 where the executor itself has tried again
    stop: Callable[[], None] = lambda: None  # ends what is running, once nobody waits for it


class Task(NamedTuple):
    """One run, as it travels to a worker."""

    config: Config
    source: str  # what data.load takes: a name, or a path that the worker can read too
    section: str
    device: str
    threads: int
    engine: str
    max_physical_batch: int | None


class Unfinished(Refusal):
    """Runs that ended their workers; the others are stored."""


ALONE = threading.Lock()  # a worker of several threads trains one run at a time: torch's threads are the process's


def train_task(task: Task) -> Record:
    """Train one run and return its record; nothing is stored here."""
    with ALONE:
        torch.set_num_threads(task.threads)
        images = images_for(experiment.data_of(task.config), task.source)(task.config)
        return make_record(
            task.config,
            images,
            task.section,
            experiment.pick_device(task.device),
            engine=task.engine,
            max_physical_batch=task.max_physical_batch,
        )


@lru_cache(maxsize=1)  # one kind of data in memory at a time
def images_for(part: tuple[str, str, int, str], source: str) -> Callable[[Config], Images]:
    """Return what loads the data that `part`, as `experiment.data_of` returns it, describes: once a worker."""
    loaded: list[Images] = []

    def load(config: Config) -> Images:
        if not loaded:
            loaded.append(experiment.load_for(config, source))
        return loaded[0]

    return load


def run(asked: Experiment, pool: Pool) -> list[Result]:
    """Return a record for every run of the experiment, as `experiment.run`, training what is missing on `pool`.

    A run whose worker dies is tried again; one that was on `pool.tries` workers that died is left out, and the rest
    goes on.

    Raises:
        Unfinished: when all others are stored; it names the runs that were left out.
        store.RecordError: a stored record that was changed, or a disk that refuses.
    """
    unique = {planned.config.digest: planned.config for planned in asked.runs}
    found = {} if asked.refresh else {key: experiment.stored_run(asked.root, one) for key, one in unique.items()}
    records = {key: record for key, record in found.items() if record is not None}
    missing = [config for key, config in unique.items() if key not in records]
    lost = train_on(pool, asked, missing, records) if missing else []
    if lost:
        names = ", ".join(name(config) for config in lost)
        raise Unfinished(
            f"{len(lost)} of {len(unique)} runs of {asked.section} ended their workers {pool.tries} times ({names}): "
            "the others are stored; give workers more memory or time, then run the same again"
        )
    return [Result(planned, records[planned.config.digest]) for planned in asked.runs]


def name(config: Config) -> str:
    """Return what a run is called in a message."""
    return f"{config.method} s{config.seed} {config.digest}"


def train_on(pool: Pool, asked: Experiment, missing: list[Config], records: dict[str, Record]) -> list[Config]:
    """Train `missing`, store each as it ends and put it into `records`; return those whose workers died too often."""
    with progress_bar(sum(config.num_steps for config in missing), "step") as bar:
        bar.write(f"{asked.section}: {announcement(missing)}; {pool.slots} at once", file=bar.fp)
        coordinator = Coordinator(pool, asked, missing, records, bar)
        try:
            while coordinator.step():
                pass
        except BaseException as error:
            pool.stop()
            if isinstance(error, KeyboardInterrupt):
                done = f"{coordinator.done} of {len(missing)} new runs are stored"
                bar.write(f"interrupted: {done}; run the same again to go on from there", file=bar.fp)
            raise
        finally:
            for _, lock, _ in coordinator.out.values():
                lock.release()
    return coordinator.lost


class Coordinator:
    """Hands out at most `pool.slots` runs at once, each under its lock, and stores what comes back.

    Runs that another process holds are waited for after all others.
    """

    def __init__(
        self, pool: Pool, asked: Experiment, missing: list[Config], records: dict[str, Record], bar: "tqdm[Any]"
    ) -> None:
        self.pool, self.asked, self.records, self.bar = pool, asked, records, bar
        self.waiting, self.elsewhere = deque(missing), deque[Config]()
        self.out: dict[Future[Record], tuple[Config, BaseFileLock, Path]] = {}
        self.deaths: Counter[str] = Counter()
        self.lost: list[Config] = []
        self.done, self.total = 0, len(missing)

    def step(self) -> bool:
        """Hand out what can be, take in what has ended, and return whether there is more."""
        if not self.waiting and not self.out and self.elsewhere:
            with store.lock_of(self.asked.root, self.elsewhere[0]):  # until the other process has ended it, or died
                self.waiting.append(self.elsewhere.popleft())
        while self.waiting and len(self.out) < self.pool.slots:
            self.hand_out(self.waiting.popleft())
        if self.out:
            for future in wait(self.out, return_when=FIRST_COMPLETED).done:
                self.take_in(future)
        return bool(self.waiting or self.out or self.elsewhere)

    def hand_out(self, config: Config) -> None:
        """Submit a run, unless another process is training it or has trained it meanwhile."""
        lock = store.lock_of(self.asked.root, config)
        if not store.taken(lock):
            self.elsewhere.append(config)
            return
        try:
            again = None if self.asked.refresh else experiment.stored_run(self.asked.root, config)
            if again is not None:
                self.ended(config, again)
                return
            path = store.prepared_place(self.asked.root, self.asked.section, config)
            future = self.pool.executor.submit(train_task, task_of(config, self.asked, self.pool))
            self.out[future] = config, lock, path
        finally:
            if all(lock is not held for _, held, _ in self.out.values()):
                lock.release()

    def take_in(self, future: "Future[Record]") -> None:
        """Store a run that has ended; one whose worker died is to be handed out again, or is lost."""
        config, lock, path = self.out.pop(future)
        try:
            store.save(future.result(), path, refresh=self.asked.refresh)
            self.ended(config, store.load(path))
        except self.pool.died:
            self.deaths[config.digest] += 1
            last = self.deaths[config.digest] >= self.pool.tries
            (self.lost if last else self.waiting).append(config)
            verdict = "left out" if last else "tried again"
            self.bar.write(f"worker died: {name(config)} is {verdict}", file=self.bar.fp)
        finally:
            lock.release()

    def ended(self, config: Config, record: Record) -> None:
        """Count a run that has its record."""
        self.records[config.digest] = record
        self.done += 1
        self.bar.set_description(f"{self.asked.section} [{self.done}/{self.total} runs]", refresh=False)
        self.bar.update(config.num_steps)


def task_of(config: Config, asked: Experiment, pool: Pool) -> Task:
    """Return a run as it travels to a worker of `pool`."""
    return Task(config, asked.source, asked.section, pool.device, pool.threads, asked.engine, asked.max_physical_batch)


class Processes(Executor):
    """Processes of this machine, each a pool of its own, so that one that dies is known to have held one run only."""

    def __init__(self, count: int) -> None:
        self.free: queue.LifoQueue[ProcessPoolExecutor | None] = queue.LifoQueue()  # the one used last comes first
        for _ in range(count):
            self.free.put(None)
        self.children: set[Any] = set()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Give a call to a free process, which is started at its first call; wait for one."""
        pool = self.free.get() or ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=prepare)
        before = set(multiprocessing.active_children())
        future = pool.submit(function, *arguments, **named)
        self.children |= set(multiprocessing.active_children()) - before
        future.add_done_callback(lambda ended: self.free.put(self.kept(pool, ended)))
        return future

    @staticmethod
    def kept(pool: ProcessPoolExecutor, ended: Future[Any]) -> ProcessPoolExecutor | None:
        """Return the pool of a call that has ended, or None if its process died."""
        return None if ended.cancelled() or isinstance(ended.exception(), BrokenExecutor) else pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes that are free."""
        while not self.free.empty():
            if (pool := self.free.get()) is not None:
                pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stop(self) -> None:
        """End all processes at once."""
        for child in self.children:
            child.terminate()


def prepare() -> None:
    """Make a process leave Ctrl-C to its coordinator, and end when that has died: its runs are not locked any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def processes(count: int, device: str = "auto") -> Pool:
    """Return a pool of `count` processes of this machine, which share its cores."""
    executor = Processes(count)
    threads = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // count))
    return Pool(executor, count, device, threads, stop=executor.stop)


def dask(scheduler: str, device: str = "auto", threads: int = 1) -> Pool:
    """Return the workers of a Dask cluster that runs already; with `device="cuda"`, those with the resource GPU.

    Args:
        scheduler: its address, for example "tcp://10.0.0.1:8786".
        device: "auto", "cpu" or "cuda", on each worker.
        threads: of torch, in each worker.

    Raises:
        ValueError: nobody answers there, or `distributed` is not installed.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise ValueError(f"scheduler={scheduler!r} needs distributed; pip install 'cnndp[cluster]'") from None
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler={scheduler!r} does not answer ({error}); start dask scheduler there") from None
    slots = len(client.scheduler_info(n_workers=-1)["workers"])
    if not slots:
        client.close()
        raise ValueError(f"scheduler={scheduler!r} has no workers; start some: dask worker {scheduler} --nthreads 1")
    resources = {"resources": {"GPU": 1}} if device == "cuda" else {}
    executor = client.get_executor(pure=False, **resources)

    def stop() -> None:
        executor.shutdown(wait=False)
        client.close()

    return Pool(executor, slots, device, threads, (KilledWorker,), tries=1, stop=stop)


class Jobs(ThreadPoolExecutor):
    """SLURM jobs, one a call, through submitit; a thread waits for each."""

    def __init__(self, executor: Any, count: int) -> None:
        super().__init__(count)
        self.executor = executor
        self.jobs: set[Any] = set()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Submit a call as a job."""
        return super().submit(self.result_of, function, *arguments, **named)

    def result_of(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what a job returns, when it has ended."""
        job = self.executor.submit(caught, function, *arguments, **named)
        self.jobs.add(job)
        try:
            result, error = job.result()
        finally:
            self.jobs.discard(job)
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        """Cancel all jobs."""
        self.shutdown(wait=False, cancel_futures=True)
        for job in list(self.jobs):
            job.cancel(check=False)


def caught(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, Exception | None]:
    """Return what a call returns, or its error: submitit would say of both an error and a death that a job failed."""
    try:
        return function(*arguments, **named), None
    except Exception as error:
        return None, error


def slurm_jobs(count: int, device: str = "auto", threads: int = 1, cluster: str = "slurm", **options: Any) -> Pool:
    """Return a pool of at most `count` SLURM jobs at once, one a run.

    Args:
        count: jobs that are queued or running at once.
        device: "auto", "cpu" or "cuda", on each node; with "cuda" a job asks for one GPU.
        threads: of torch; a job asks for so many cores.
        cluster: "slurm", or "local" for processes of this machine.
        options: of `submitit.AutoExecutor.update_parameters`, for example `slurm_partition`.

    Raises:
        ValueError: `submitit` is not installed, or there is no SLURM here.
    """
    try:
        import submitit
    except ImportError:
        raise ValueError("slurm needs submitit; pip install 'cnndp[cluster]'") from None
    try:
        executor = submitit.AutoExecutor(folder=store.default_root() / store.JOBS, cluster=cluster)
    except RuntimeError as error:
        raise ValueError(f"slurm cannot be used ({error}); run it where sbatch is") from None
    gpus = {"gpus_per_node": 1} if device == "cuda" else {}
    executor.update_parameters(**{"name": "cnndp", "timeout_min": MINUTES, "cpus_per_task": threads, **gpus, **options})
    jobs = Jobs(executor, count)
    died = (submitit.core.utils.UncompletedJobError,)
    return Pool(jobs, count, device, threads, died, stop=jobs.stop)


def chosen(device: str, jobs: int | None, scheduler: str | None, *, slurm: bool, threads: int) -> Pool | None:
    """Return the pool that a command asks for, or None for this very process.

    >>> chosen("cpu", 1, None, slurm=False, threads=1) is None
    True
    """
    if scheduler:
        return dask(scheduler, device, threads)
    if slurm:
        return slurm_jobs(jobs or 1, device, threads)
    return processes(jobs, device) if jobs and jobs > 1 else None
