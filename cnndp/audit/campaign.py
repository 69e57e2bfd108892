"""Stored audits: what the page on auditing shows, made by `python -m cnndp audit`, on digits that all have."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import torch

from cnndp.audit.audit import Row, audit, detect, few
from cnndp.audit.controls import AUDIT, CONTROLS, CORRECT, GUARD, LOSS_AUDIT, Control
from cnndp.audit.membership import attack
from cnndp.audit.runs import small_network
from cnndp.audit.validity import again, false_refutations
from cnndp.checks import at_least, one_of
from cnndp.data import datasets
from cnndp.data.datasets import Images
from cnndp.papers.presets import preset
from cnndp.progress import progress_bar
from cnndp.runs import provenance, store
from cnndp.runs.experiment import check_parameters
from cnndp.runs.store import Record
from cnndp.training.config import Config
from cnndp.training.randomness import streams

EPSILONS = (1.0, 2.0, 4.0, 8.0)  # of the bounds
CANARIES = 10_000  # at each of them
FEWER = (500, 2000, 5000)  # at the last one, to see what canaries are worth
BOUND_SEEDS = 5
HIDDEN = 60  # a network of 16,090 parameters: each canary has one of its own
SIMULATED_CANARIES = (500, 2000, 10_000)
SIMULATED_RUNS, SIMULATED_SEEDS = 50, 3  # of each epsilon, noise and number of canaries
CONTROL_SEEDS, CORRECT_SEEDS = 10, 40  # a false alarm is allowed in one of 20, so many runs are needed to see none
MEMBERSHIP_SEEDS = 3
MECHANISMS = ("gaussian", "laplace")
NUM_AGAIN = 20  # simulated runs that a live check repeats

Task = Callable[[], list[Row]]  # one audit; its rows are plain JSON types
Check = Callable[[Sequence[Row], Images], str]  # what does not come out again, "" where all does


def bound_tasks(images: Images, seeds: int | None) -> Iterator[Task]:
    """Yield audits of a correct mechanism, both noises: at several numerical epsilons, and with fewer canaries."""
    sizes = [*((epsilon, CANARIES) for epsilon in EPSILONS), *((EPSILONS[-1], fewer) for fewer in FEWER)]
    for mechanism, (epsilon, num_canaries) in product(MECHANISMS, sizes):
        for seed in range(seeds or BOUND_SEEDS):
            yield partial(bound, correct(mechanism, epsilon, seed), few(images), num_canaries)


def correct(mechanism: str, epsilon: float, seed: int) -> Config:
    """Return the private run on digits whose mechanism is audited as it is."""
    changes = {"target_epsilon": epsilon, "mechanism": mechanism, "seed": seed}
    return preset("dp_sgd", "private", "digits", 24, batch_size=40, **changes)


def bound(config: Config, images: Images, num_canaries: int, libraries: bool = True) -> list[Row]:
    """Return the row of one audit, with the bounds of both libraries."""
    model = small_network(streams(config.seed).weights, HIDDEN)
    return [audit(config, images, num_canaries, model=model, libraries=libraries)]


def validity_tasks(images: Images, seeds: int | None) -> Iterator[Task]:
    """Yield simulations of correct runs that are audited, both noises; no image is looked at but for their number."""
    num_train = len(few(images).train_labels)
    for mechanism, epsilon, num_canaries in product(MECHANISMS, EPSILONS, SIMULATED_CANARIES):
        for seed in range(seeds or SIMULATED_SEEDS):
            yield partial(simulation, correct(mechanism, epsilon, seed), num_train, num_canaries)


def simulation(config: Config, num_train: int, num_canaries: int) -> list[Row]:
    """Return the row of simulated runs with one number of canaries."""
    return [false_refutations(config, num_train, num_canaries, SIMULATED_RUNS)]


def detection_tasks(images: Images, seeds: int | None) -> Iterator[Task]:
    """Yield each control, and the mechanism as it is, with every seed."""
    for control in (*CORRECT, *CONTROLS):
        for seed in range(seeds or (CORRECT_SEEDS if control in CORRECT else CONTROL_SEEDS)):
            yield partial(detection, control, images, seed)


def membership_tasks(images: Images, seeds: int | None) -> Iterator[Task]:
    """Yield attacks on a private network, and on one without noise that is trained until it remembers."""
    for seed in range(seeds or MEMBERSHIP_SEEDS):
        private = preset("dp_sgd", "private", "digits", 60, batch_size=60, target_epsilon=3.0, seed=seed)
        plain = preset("cnn", "reconstructed", "digits", 1500, batch_size=60, seed=seed)
        for config in (private, plain):
            yield partial(membership, config, images)


def detection(control: Control, images: Images, seed: int) -> list[Row]:
    """Return the row of one control and seed."""
    return [detect(control, images, seed)]


def membership(config: Config, images: Images) -> list[Row]:
    """Return the rows of both attacks on one run."""
    return [{**row, "seed": config.seed} for row in attack(config, images)]


KINDS: dict[str, Callable[[Images, int | None], Iterator[Task]]] = {
    "bounds": bound_tasks,
    "validity": validity_tasks,
    "detections": detection_tasks,
    "membership": membership_tasks,
}


def make(kind: str, seeds: int | None = None) -> Record:
    """Run the audits of one kind and return them as a record, without the hash that storing adds.

    Args:
        kind: a key of `KINDS`.
        seeds: how many for each audit; None takes the book's numbers.

    Raises:
        ValueError: an unknown kind, or no seed.
        ImportError: "bounds" without the extra `audit`.
    """
    one_of(KINDS, kind=kind)
    if seeds is not None:
        at_least(1, seeds=seeds)
    begun, images, rows = time.perf_counter(), datasets.load("digits"), []
    tasks = list(KINDS[kind](images, seeds))
    with progress_bar(len(tasks), "audit") as bar:
        for task in tasks:
            rows += task()
            bar.update()
    seconds = time.perf_counter() - begun
    return {"kind": kind, "rows": rows, "provenance": provenance.describe(torch.device("cpu"), seconds, images.sha256)}


def path_for(root: Path, kind: str, *, own: bool = False) -> Path:
    """Return the file of one kind of audit: <root>/audits/<kind>.json, or <root>/own/audit-<kind>.json.

    Args:
        root: the run store.
        kind: a key of `KINDS`.
        own: whether it is a user's, which stands beside those that the book shows.
    """
    return root / store.OWN / f"audit-{kind}.json" if own else root / "audits" / f"{kind}.json"


def from_notebook(namespace: Mapping[str, Any]) -> dict[str, Record]:
    """Return the stored audits by kind, made first when a notebook's parameters say so.

    Args:
        namespace: the notebook's `globals()`, right after the parameters cell: `measure` and `seeds`.

    Raises:
        ValueError: an unknown parameter.
        store.RecordError: audits that are not stored, or were changed.
    """
    given = check_parameters(namespace, "measure", "seeds")
    if given["measure"]:
        return {kind: make(kind, given["seeds"]) for kind in KINDS}
    return {kind: store.load(path_for(store.default_root(), kind)) for kind in KINDS}


def source(record: Record) -> str:
    """Return where and when one kind of audit was made."""
    made = record["provenance"]
    return (
        f"*Source.* {len(record['rows'])} rows of `book/results/audits/{record['kind']}.json`; "
        f"commit `{made['commit']}`, torch {made['torch']}; {made['device']}, {made['seconds']:,.0f} seconds in all."
    )


def summary(rows: Sequence[Row]) -> str:
    """Return how many planted mistakes were caught in every run, by what, and how often a correct run was called wrong.

    A mistake counts for the audit where its bound exceeds the claim, whatever else sees it; for the guard where that
    stops the run; and for a named check where nothing but such a check sees it.
    """
    planted = [row for row in rows if row["expected"]]
    correct = [row for row in rows if not row["expected"]]
    always: dict[str, set[str]] = {}
    for row in planted:
        always[row["control"]] = always.get(row["control"], set(row["caught_by"])) & set(row["caught_by"])
    audited = [name for name, found in always.items() if found & {AUDIT, LOSS_AUDIT}]
    guarded = [name for name, found in always.items() if GUARD in found]
    alone = sorted({*chain.from_iterable(found for name, found in always.items() if name not in (*audited, *guarded))})
    checked = [name for name, found in always.items() if found and name not in (*audited, *guarded)]
    missed = [name for name, found in always.items() if not found]
    parts = [f"{len(audited)} by the audit's bound", f"{len(guarded)} by the guard before the weights move"]
    parts += [f"{len(checked)} by a check alone ({', '.join(f'`{name}`' for name in alone)})"] if checked else []
    parts += [f"{len(missed)} not in every run ({', '.join(missed)})"] if missed else []
    return (
        f"{len(always)} mistakes are planted, {len(planted)} runs in all. Caught in every run: {'; '.join(parts)}. "
        f"Of {len(correct)} runs of the correct mechanism {sum(row['caught'] for row in correct)} are called wrong."
    )


def live_check(records: Mapping[str, Record], control: str = "half the noise, Gaussian") -> str:
    """Return "pass" when one stored audit of each kind comes out again on this machine, else what differs.

    They are the shortest: one detection, the bound with the fewest canaries, and a few simulated runs.

    Args:
        records: by kind; kinds that are missing are not looked at.
        control: the mistake that is planted again.
    """
    images = datasets.load("digits")
    checks: dict[str, Check] = {
        "detections": partial(detected_again, control=control),
        "bounds": bounded_again,
        "validity": valid_again,
    }
    found = (check(records[kind]["rows"], images) for kind, check in checks.items() if kind in records)
    return next((f"fail: {difference}" for difference in found if difference), "pass")


def detected_again(rows: Sequence[Row], images: Images, control: str) -> str:
    """Return how a planted mistake is caught otherwise than recorded; "" where it is not."""
    kept = next(row for row in rows if row["control"] == control)
    planted = next(one for one in (*CORRECT, *CONTROLS) if one.name == control)
    again = detect(planted, images, kept["seed"])
    if again["caught_by"] != kept["caught_by"]:
        return f"caught by {', '.join(again['caught_by'])}, recorded {', '.join(kept['caught_by'])}"
    return _differ(again, kept)


def bounded_again(rows: Sequence[Row], images: Images) -> str:
    """Return how the bound with the fewest canaries differs from the recorded one; "" where it does not."""
    kept = min(rows, key=lambda row: row["num_canaries"])
    config = correct(kept["mechanism"], max(EPSILONS), kept["seed"])
    return _differ(bound(config, few(images), kept["num_canaries"], libraries=False)[0], kept)


def valid_again(rows: Sequence[Row], images: Images) -> str:
    """Return which simulated runs do not end as recorded; "" where all do."""
    kept = min(rows, key=lambda row: row["num_canaries"])
    config = correct(kept["mechanism"], kept["target_epsilon"], kept["seed"])
    same = again(kept, config, NUM_AGAIN)
    return "" if same else f"simulated runs with {kept['num_canaries']:,} canaries are refuted otherwise than recorded"


def _differ(again: Row, kept: Row) -> str:
    found, recorded = (math.inf if row["bound"] is None else row["bound"] for row in (again, kept))
    close = found == recorded or abs(found - recorded) <= 0.05 * kept["claimed"]
    return "" if close else f"bound {again['bound']}, recorded {kept['bound']}"
