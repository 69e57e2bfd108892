"""Audits as data: one run a row, the controls with what caught them, and both as Markdown tables.

A row is plain JSON types: the same Config, control and seed give the same row, whatever the machine, but for `seconds`.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import nn

from cnndp.audit.bounds import ENOUGH, ceiling, judge, library_bounds, loss_guesses, one_run_epsilon
from cnndp.audit.canaries import Seen, likelihood_score
from cnndp.audit.controls import (
    AUDIT,
    CONTROLS,
    CORRECT,
    GUARD,
    LOSS_AUDIT,
    Control,
    canary_losses,
    divisor_is_public,
    loss_heights,
)
from cnndp.audit.outside import failed, recover
from cnndp.audit.rates import SIGNIFICANCE
from cnndp.audit.runs import audited_run, small_network
from cnndp.data.datasets import Images, pixels
from cnndp.papers.presets import preset
from cnndp.privacy.composition import condensed
from cnndp.privacy.curves import epsilon_of
from cnndp.privacy.ledger import events
from cnndp.privacy.plan import OverspendError
from cnndp.report.numbers import spread
from cnndp.report.tables import table
from cnndp.training.config import Config
from cnndp.training.intended import intended
from cnndp.training.loop import TRACE_STEPS
from cnndp.training.methods import compose
from cnndp.training.randomness import streams
from cnndp.training.wiring import Material, eager_steps

Row = dict[str, Any]

NUM_RECORDS = 320  # real ones in a control's run
LIBRARIES = ("jax-privacy", "opake-auditing")
WORDS = {
    "refuted": "the claim is refuted",
    "consistent": "no contradiction, and half the noise would have been noticed",
    "no evidence": "nothing was seen, or an audit of this size would not notice half the noise",
}


def audit(
    config: Config,
    images: Images,
    num_canaries: int = 1000,
    *,
    model: nn.Module | None = None,
    libraries: bool = False,
    significance: float = SIGNIFICANCE,
) -> Row:
    """Train once with canaries and return the lower bound on epsilon beside the claim and what could be shown at best.

    >>> from cnndp import load, preset
    >>> config = preset("dp_sgd", "private", "digits", num_steps=4, target_epsilon=2.0)
    >>> row = audit(config, load("digits"), num_canaries=100)
    >>> row["bound"] <= row["claimed"] <= 2.0
    True

    Args:
        config: a private run.
        images: its data.
        num_canaries: m; one in five chooses the threshold, the others count.
        model: the network; None for the one that `config` names.
        libraries: whether other libraries' bounds are added (the extra `audit`).
        significance: the chance that the bound is above the true epsilon, at most.

    Returns:
        What was run, `claimed` epsilon, `bound`, `ceiling`, `power`, `verdict` (a key of `WORDS`), the guesses,
        `libraries`, `seconds`. A bound above all mechanisms of the ledger's shape is None, with `verdict` "refuted".

    Raises:
        ValueError: when `config` is not private.
        ImportError: when `libraries` is asked for and the extra is not installed.
    """
    begun = time.perf_counter()
    seen = audited_run(config, images, num_canaries, model=model)
    return _row(config, seen, significance, libraries) | {"seconds": round(time.perf_counter() - begun, 2)}


def _row(config: Config, seen: Seen, significance: float, libraries: bool, order: int | None = None) -> Row:
    finding = judge(seen, delta=config.delta, significance=significance, order=order)
    best = ceiling(seen, delta=config.delta, significance=significance)
    blind = finding.bound == 0 or best.power < ENOUGH
    row: Row = {
        **_identity(config, seen, significance),
        "claimed": finding.claimed,
        "bound": finding.bound if math.isfinite(finding.bound) else None,
        "verdict": "refuted" if finding.refuted else "no evidence" if blind else "consistent",
        "ceiling": best.ideal if math.isfinite(best.ideal) else None,
        "one_run_ceiling": best.all_right,
        "power": best.power,
        **finding.rates._asdict(),
        "threshold": float(finding.rates.threshold),
    }
    if libraries:
        score = likelihood_score(seen, 1 if seen.mechanism == "laplace" else 2)
        row["libraries"] = library_bounds(
            score, seen.included, mechanism=seen.mechanism, delta=config.delta, significance=significance
        )
    return row


def _identity(config: Config, seen: Seen, significance: float) -> Row:
    return {
        "digest": config.digest,
        "seed": config.seed,
        "mechanism": config.mechanism,
        "num_steps": config.num_steps,
        "num_canaries": len(seen.included),
        "width": seen.sums.shape[2],
        "delta": config.delta,
        "significance": significance,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions that a row depends on; a library that is not installed is left out."""
    found = {"torch": str(torch.__version__), "numpy": np.__version__}
    for name in ("dp-accounting", *LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def control_config(control: Control, seed: int) -> Config:
    """Return the private run on digits that a control is planted in."""
    return preset(
        control.method,
        "private",
        "digits",
        control.num_steps,
        batch_size=control.batch_size,
        target_epsilon=control.target_epsilon,
        mechanism=control.mechanism,
        seed=seed,
    )


def few(images: Images, count: int = NUM_RECORDS) -> Images:
    """Return images with the first training images alone, 320 unless told, on which an audit takes seconds."""
    return images._replace(train_images=images.train_images[:count], train_labels=images.train_labels[:count])


def detect(control: Control, images: Images, seed: int, significance: float = SIGNIFICANCE) -> Row:
    """Plant one mistake, look for it in every way, and return what noticed it.

    The audit plants it in a run with canaries, the checks of `outside` in `loop.train`.

    Args:
        control: the mistake.
        images: digits; the first 320 training images are used, and the first 60 by the checks.
        seed: of the run.
        significance: of the audit.

    Returns:
        `control`, `expected` (what should notice it), `caught_by` (what did), `caught`, `claimed` and `bound` (None
        without one), with what the run was, and `seconds`.
    """
    begun = time.perf_counter()
    config = control_config(control, seed)
    row: Row = {"control": control.name, "expected": list(control.caught_by), "claimed": None, "bound": None}
    try:
        found, caught = _audited(control, config, few(images), significance)
        row |= found
    except OverspendError:
        caught = [GUARD]
        row |= {"digest": config.digest, "seed": seed, "significance": significance, "versions": versions()}
    if config.loss_clip is None and not _divides_by_public_number(control, config, few(images)):
        caught.append(divisor_is_public.__name__)
    if control.loop is eager_steps and GUARD not in caught:  # training takes its own steps
        caught += checked_from_outside(control, images, seed)
    row |= {"caught_by": caught, "caught": bool(caught)}
    return row | {"seconds": round(time.perf_counter() - begun, 2)}


def _audited(control: Control, config: Config, images: Images, significance: float) -> tuple[Row, list[str]]:
    """Return what the audit of one control found, and whether it refutes the claim."""
    by_loss = config.loss_clip is not None
    seen = audited_run(
        config,
        images,
        control.num_canaries,
        model=small_network(streams(config.seed).weights, control.hidden),
        width=control.width,
        heights=loss_heights(control.num_canaries) if by_loss else None,
        change=control.change,
        loop=control.loop,
    )
    row = _identity(config, seen, significance)
    if by_loss:
        losses = canary_losses(control.num_canaries).numpy()
        correct = int((loss_guesses(seen, losses) == seen.included).sum())
        claimed = epsilon_of(condensed(events(seen.releases)), 1.0, config.delta)
        bound = one_run_epsilon(correct, control.num_canaries, config.delta, significance)
        return row | {"claimed": claimed, "bound": bound}, [LOSS_AUDIT] if bound > claimed else []
    finding = judge(seen, delta=config.delta, significance=significance, order=control.order)
    row |= {"claimed": finding.claimed, "bound": finding.bound if math.isfinite(finding.bound) else None}
    return row | finding.rates._asdict(), [AUDIT] if finding.refuted else []


def checked_from_outside(control: Control, images: Images, seed: int) -> list[str]:
    """Return the names of the checks of `outside` that see a mistake planted in `loop.train`."""
    config = preset(
        control.method,
        "private",
        "digits",
        TRACE_STEPS,
        batch_size=20,
        target_epsilon=control.target_epsilon,
        mechanism=control.mechanism,
        seed=seed,
    )
    return list(failed(recover(config, few(images, 60), TRACE_STEPS, control.change)))


def _divides_by_public_number(control: Control, config: Config, images: Images) -> bool:
    count = len(images.train_labels)
    method = compose(config, count, plan=intended(config, count))
    part = slice(2 * config.batch_size)
    material = Material(
        small_network(streams(config.seed).weights), images.train_images[part], images.train_labels[part], pixels
    )
    return divisor_is_public(control.loop, method, material)


def detection_rows(
    images: Images, seeds: Iterable[int], controls: Sequence[Control] = (*CORRECT, *CONTROLS)
) -> list[Row]:
    """Return one row for each control and seed, see `detect`."""
    return [detect(control, images, seed) for control in controls for seed in seeds]


def detection_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: each control, what caught it, and in how many runs.

    Rows of a correct mechanism come last, and for them what counts is how rarely they are called wrong.
    """
    lines = []
    for (name,), group in _by(rows, "control").items():
        wrong = bool(group[0]["expected"])
        hits = sum(row["caught"] for row in group)
        claims = [row["claimed"] for row in group if row["claimed"] is not None]
        counts = Counter(what for row in group for what in row["caught_by"])
        lines.append(
            (
                not wrong,
                [
                    name,
                    f"{claims[0]:.2f}" if claims else "–",
                    shown([row["bound"] for row in group]) if claims else "–",
                    ", ".join(f"{what_it_is(what)} ({count})" for what, count in counts.items()) or "nothing",
                    f"{hits} of {len(group)}" if wrong else f"{hits} of {len(group)} false alarms",
                ],
            )
        )
    header = ("Mistake", "Claimed ε", "Audited: ε is above", "Caught by (runs)", "Runs caught")
    return table([line for _, line in sorted(lines, key=lambda one: one[0])], header)


def what_it_is(name: str) -> str:
    """Return what noticed a mistake, in words: the audits' bounds, the guard, or a named check.

    >>> what_it_is("audit"), what_it_is("guard"), what_it_is("batches_are_poisson")
    ("the audit's bound", 'the guard', 'check `batches_are_poisson`')
    """
    words = {AUDIT: "the audit's bound", LOSS_AUDIT: "the loss audit's bound", GUARD: "the guard"}
    return words.get(name, f"check `{name}`")


def bounds_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: numerical epsilon, audited bound and that of ideal runs of each mechanism."""
    lines = []
    for group in _by(rows, "mechanism", "num_steps", "num_canaries", "claimed").values():
        row = group[0]
        others = [
            "–" if (values := _library(group, name)) is None else shown(values)
            for name in ("one_run", "one_run_fdp", "opake_one_run", "opake_gdp")
        ]
        verdicts = Counter(one["verdict"] for one in group)
        lines.append(
            [
                row["mechanism"],
                f"{row['num_canaries']:,}",
                f"{row['claimed']:.2f}",
                shown([one["bound"] for one in group]),
                "–" if row["ceiling"] is None else f"{row['ceiling']:.2f}",
                *others,
                "; ".join(f"{verdict} ({count})" for verdict, count in verdicts.items()),
            ]
        )
    header = (
        "Noise", "Canaries", "Numerical ε", "Bound", "Median of ideal runs", "One run", "One run, f-DP",
        "Opake, one run", "Opake, GDP", "Verdict",
    )  # fmt: skip
    return table(lines, header)


def legend() -> str:
    """Return what the verdicts mean, as a Markdown list."""
    return "\n".join(f"- *{verdict}*: {meaning}" for verdict, meaning in WORDS.items())


def _library(group: Sequence[Row], name: str) -> list[float | None] | None:
    values = [row["libraries"][name] for row in group if "libraries" in row]
    return None if not values or values[0] is None else values


def shown(bounds: Sequence[float | None]) -> str:
    """Return the mean, deviation and number of bounds; None, a bound above the whole family, is said in words.

    >>> shown([1.0, None])
    '1.00 (1); above all of its shape (1)'
    """
    known = [bound for bound in bounds if bound is not None]
    missing = len(bounds) - len(known)
    words = [spread(known)] if known else []
    return "; ".join([*words, *([f"above all of its shape ({missing})"] if missing else [])])


def _by(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(round(row[name], 3) if isinstance(row[name], float) else row[name] for name in names)
        grouped.setdefault(key, []).append(row)
    return grouped
