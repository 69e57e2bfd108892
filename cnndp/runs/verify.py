"""Checks of a stored run that need no training: does each part of the record follow from the others?

Each check returns what is wrong, one line a fault. They read the record as a forger would have to write it: the hash
may be right and the content still not hang together. What no check here can see, training it again can (`replay`), and
what is too long for that the manifest holds (`seal`).
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from scipy import stats

from cnndp.data.datasets import split_sizes
from cnndp.privacy.ledger import guarantee_gap
from cnndp.runs import store
from cnndp.runs.recording import releases_of, repriced, significant
from cnndp.runs.replay import each_scale
from cnndp.runs.store import Record
from cnndp.training.config import NUMERICS_VERSION, Config
from cnndp.training.intended import intended, one_off
from cnndp.training.loop import NUM_EVALUATED, TRACE_STEPS, evaluated_after
from cnndp.training.methods import Method, compose, scale_part

CHANCE = 1e-6  # of a random sample as far from the whole as this
SCALE_TOLERANCE = 5e-3  # another machine may end calibration a little elsewhere, by no more than its tolerance
PRICE_TOLERANCE = 1e-3
PRICES = ("exact_epsilon", "pure_epsilon", "renyi_epsilon")


def sizes_of(config: Config) -> tuple[int, int] | None:
    """Return how many training and test images a run had; None for a dataset that the code does not know."""
    return split_sizes(config.dataset, config.split)


# Each yields what is wrong.


def identity(record: Record) -> Iterator[str]:
    """Check that digest, section and versions are those of the config."""
    config = Config.from_dict(record["config"])
    if record["digest"] != config.digest:
        yield f"digest {record['digest']} is not that of the config, {config.digest}"
    if config.numerics_version != NUMERICS_VERSION:
        yield f"numerics_version is {config.numerics_version}, this code has {NUMERICS_VERSION}"
    if not re.fullmatch(r"[0-9a-f]{10}(-dirty)?", record["provenance"]["commit"]):
        yield f"commit {record['provenance']['commit']!r} is none"
    if not re.fullmatch(r"[0-9a-f]{64}", record["provenance"]["dataset_sha256"]):
        yield "dataset_sha256 is no SHA-256"


def content(record: Record) -> Iterator[str]:
    """Check that trace, history and final metrics hold what the config says, and agree where they overlap."""
    config = Config.from_dict(record["config"])
    final, history, trace = record["final"], record["history"], record["trace"]
    finished, last = record["status"] == "finished", final["last_step"]
    sizes = sizes_of(config)
    if record["status"] not in ("finished", "diverged"):
        yield f"status {record['status']!r} is none"
    if (last == config.num_steps) != finished:
        yield f"a run of {config.num_steps} steps that is {record['status']} ended at step {last}"
    steps = evaluated_after(config, sizes[0] if sizes else config.batch_size)
    if history["step"] != [step for step in steps if finished or step < last]:
        yield "the history has not the evaluation points of the config"
    if trace["step"] != list(range(1, min(TRACE_STEPS, last) + 1)):
        yield "the trace has not the first steps"
    for name, columns in (("history", history), ("trace", trace)):
        if {len(column) for column in columns.values()} != {len(columns["step"])}:
            yield f"columns of the {name} differ in length"
    rows = dict(zip(trace["step"], zip(*(trace[name] for name in SHARED), strict=True), strict=True))
    for step, *values in zip(history["step"], *(history[name] for name in SHARED), strict=True):
        if step in rows and tuple(values) != rows[step]:
            yield f"history and trace disagree at step {step}"
    yield from counts(record, sizes)


SHARED = ("loss", "gradient_norm", "step_size")


def counts(record: Record, sizes: tuple[int, int] | None) -> Iterator[str]:
    """Check that accuracies are counts of images, and that the whole test set agrees with the part of the curves.

    The curves are measured on the first 2,000 images of each part. Those of a permuted split are a random sample, so
    their hits are hypergeometric; the official test images keep their order, see `plausible`.
    """
    final, history = record["final"], record["history"]
    if record["status"] != "finished" or sizes is None:
        return
    if final["train_accuracy"] != history["train_accuracy"][-1]:
        yield "train_accuracy at the end is not the last of the history"
    for name, size in (("train", sizes[0]), ("test", sizes[1])):
        for value in history[f"{name}_accuracy"]:
            if not is_count(value, min(NUM_EVALUATED, size)):
                yield f"{name}_accuracy {value} is no number of {min(NUM_EVALUATED, size):,} images"
    hits, of_all, of_part = final["test_accuracy"] * sizes[1] / 100, sizes[1], min(NUM_EVALUATED, sizes[1])
    part = round(history["test_accuracy"][-1] * of_part / 100)
    if not is_count(final["test_accuracy"], of_all):
        yield f"test_accuracy {final['test_accuracy']} is no number of {of_all:,} images"
    elif not 0 <= round(hits) - part <= of_all - of_part:
        yield f"{round(hits)} hits on all test images do not hold {part} on the first {of_part:,}"
    elif record["config"]["split"] == "official":
        wrong, low, high = 100 - history["test_accuracy"][-1], *plausible(100 - final["test_accuracy"], of_part)
        if not low <= wrong <= high:
            yield f"{wrong:.2f} % wrong of the first images do not go with {100 - final['test_accuracy']:.2f} % of all"
    elif tail(part, of_all, round(hits), of_part) < CHANCE:
        yield f"test_accuracy {final['test_accuracy']} is far from {history['test_accuracy'][-1]} on a random part"


def is_count(accuracy: float, size: int) -> bool:
    """Return whether an accuracy in percent, of seven digits, is a whole number of `size` images.

    >>> is_count(98.55, 2000), is_count(98.57, 2000)
    (True, False)
    """
    hits = accuracy * size / 100
    return 0 <= accuracy <= 100 and abs(hits - round(hits)) <= 1e-6 * size


def plausible(wrong: float, drawn: int) -> tuple[float, float]:
    """Return how much of the first official images a network may get wrong that gets `wrong` percent of all wrong.

    The first 2,000 of MNIST hold 1.1 to 1.4 times as many errors as all, those of the others 0.9 to 1: a factor of the
    images, with room for chance.
    """
    room = 4 * math.sqrt(wrong * (100 - wrong) / drawn)
    return 0.8 * wrong - room, 1.6 * wrong + room


def tail(part: int, whole: int, hits: int, drawn: int) -> float:
    """Return the chance, on both sides, of so many hits among images drawn from the whole."""
    sample = stats.hypergeom(whole, hits, drawn)
    return float(2 * min(sample.cdf(part), sample.sf(part - 1)))


def ledger(record: Record) -> Iterator[str]:
    """Check that what was released follows from the config, step by step, and that the history shows its scales."""
    config = Config.from_dict(record["config"])
    gradient = [entry for entry in record["ledger"] if entry["quantity"] == "gradient"]
    scales = [scale for entry in gradient for scale in each_scale(entry)]
    if len(scales) != record["final"]["last_step"]:
        yield f"the ledger has {len(scales)} gradient releases in {record['final']['last_step']} steps"
        return
    for step, shown in zip(record["history"]["step"], record["history"]["noise_scale"], strict=True):
        if step and not math.isclose(shown, scales[step - 1], rel_tol=1e-6):
            yield f"the history shows noise of scale {shown} at step {step}, the ledger {scales[step - 1]}"
    yield from (private_ledger if config.reading == "private" else nominal_ledger)(config, record)


def nominal_ledger(config: Config, record: Record) -> Iterator[str]:
    """Check the releases of a run without a guarantee, its nominal total, and that it names a reason."""
    gradient = [entry for entry in record["ledger"] if entry["quantity"] == "gradient"]
    if {entry["mechanism"] for entry in gradient} != {config.mechanism}:
        yield f"the noise on the gradient is not {config.mechanism!r}"
    rule, stored = scale_part(config), [scale for entry in gradient for scale in each_scale(entry)]
    expected = (rule(t, gradient[0]["sensitivity"]) for t in range(1, len(stored) + 1))
    if not all(math.isclose(one, other, rel_tol=1e-6) for one, other in zip(stored, expected, strict=True)):
        yield "noise scales are not those of the config"
    if any(entry["quantity"] == "loss" for entry in record["ledger"]) != (config.step == "polyak"):
        yield "the loss is in the ledger and the step does not read it, or the other way round"
    privacy = record["privacy"]
    nominal, total = privacy["nominal_epsilon"], config.total_epsilon
    if (nominal is None) != (total is None) or (nominal is not None and abs(nominal - (total or 0)) > 1e-6):
        yield f"nominal epsilon {nominal} is not the total of the config, {total}"
    gap = guarantee_gap(releases_of(record["ledger"]))  # none where a reader has asked for Poisson batches, too
    if (privacy["exact_epsilon"] is None, bool(privacy["no_guarantee"])) != (gap is not None, gap is not None):
        yield "a run without a guarantee has an epsilon, or no reason why it has none"


def private_ledger(config: Config, record: Record) -> Iterator[str]:
    """Check that what a private run released is what the plan of its config holds."""
    entries = [entry for entry in record["ledger"] if entry["sampling"] == "poisson"]
    wanted = {"gradient", *(["loss"] if config.loss_clip else [])}
    if len(entries) != len(wanted) or {entry["quantity"] for entry in entries} != wanted:
        yield f"each step must release {' and '.join(sorted(wanted))}, once"
        return
    sizes = sizes_of(config)
    num_train = sizes[0] if sizes else round(config.batch_size / entries[0]["sampling_prob"])
    method = planned(config.replace(seed=0), num_train)
    for entry in entries:
        loss = entry["quantity"] == "loss"
        bound = config.loss_clip if loss else config.clip_norm
        kind = (config.mechanism, "l1" if config.mechanism == "laplace" else "l2", 1, bound)
        if (entry["mechanism"], entry["norm"], entry["first_step"], entry["sensitivity"]) != kind:
            yield f"the {entry['quantity']} is released as {entry}, not as {kind}"
        if not math.isclose(entry["sampling_prob"], config.batch_size / num_train):
            yield f"sampling_prob is {entry['sampling_prob']}, not {config.batch_size} of {num_train:,}"
        for t, scale in enumerate(each_scale(entry), start=1):
            wanted_scale = method.loss_scale(t) if loss else method.scale(t, config.clip_norm)
            if not math.isclose(scale, wanted_scale, rel_tol=SCALE_TOLERANCE):
                yield f"noise on the {entry['quantity']} at step {t} is {scale}, its plan says {wanted_scale:.7g}"
                break
    others = [
        (entry["quantity"], entry["mechanism"], each_scale(entry), entry["sensitivity"])
        for entry in record["ledger"]
        if entry["sampling"] != "poisson"
    ]
    planned_others = [
        (one.quantity, one.mechanism, [significant(one.scale)], one.sensitivity) for one in one_off(config)
    ]
    if others != planned_others:
        yield f"outside the steps {others} was released, not {planned_others}"


@lru_cache(maxsize=1024)
def planned(config: Config, num_train: int) -> Method:
    """Return what a private config intends to do, whatever its seed."""
    return compose(config, num_train, plan=intended(config, num_train))


def price(record: Record) -> Iterator[str]:
    """Check that stored epsilons are what the ledger costs, and those of a private run within its target."""
    config, privacy = Config.from_dict(record["config"]), record["privacy"]
    if config.reading != "private" and privacy["no_guarantee"]:
        return
    again = price_of(json.dumps([record["ledger"], config.delta]))
    for name in PRICES:
        stored, found = privacy[name], again[name]
        if (stored is None) != (found is None) or (
            stored is not None and found is not None and not math.isclose(stored, found, rel_tol=PRICE_TOLERANCE)
        ):
            yield f"{name} is {stored} in the record, and its ledger costs {found}"
    if privacy["delta"] != config.delta:
        yield f"epsilon is stated for delta {privacy['delta']}, the config has {config.delta}"
    target = config.target_epsilon
    if target is not None and not 0.99 * target < (privacy["exact_epsilon"] or 0) <= target:
        yield f"numerical epsilon {privacy['exact_epsilon']} does not use up the target {target}"
    if privacy["no_guarantee"] is not None:
        yield f"a private run says {privacy['no_guarantee']!r}"


@lru_cache(maxsize=1024)
def price_of(text: str) -> dict[str, float | None]:
    """Return what a ledger costs, written as JSON with its delta: many runs share one."""
    entries, delta = json.loads(text)
    return repriced({"ledger": entries, "config": {"delta": delta}})


CHECKS: dict[str, Callable[[Record], Iterator[str]]] = {
    check.__name__: check for check in (identity, content, ledger, price)
}


def problems(record: Record) -> dict[str, list[str]]:
    """Return what is wrong with a record, by the name of the check that says so; a check that cannot read it says so.

    >>> list(problems({"config": {}}))
    ['identity', 'content', 'ledger', 'price']
    """
    found = {}
    for name, check in CHECKS.items():
        try:
            lines = list(check(record))
        except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
            lines = [f"{type(error).__name__}: {error}"]
        if lines:
            found[name] = lines
    return found


def whole_store() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the file name and the problems of every stored run."""
    root = store.default_root()
    for path, record in store.load_all(root):
        found = problems(record)
        if path != store.path_for(root, record["section"], Config.from_dict(record["config"])):
            found.setdefault("identity", []).append("the file is not where section and config say")
        yield path.relative_to(root).as_posix(), found
