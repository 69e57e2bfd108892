"""From one run to its record: what was measured, what was released, and where it was made."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from cnndp.data.datasets import Images
from cnndp.equations.budget import budget_for_total, total_epsilon
from cnndp.privacy.accounting import exact_epsilon, pure_epsilon, rdp_epsilon, renyi_epsilon
from cnndp.privacy.ledger import Release, guarantee_gap
from cnndp.runs import provenance
from cnndp.runs.store import Record
from cnndp.training import own
from cnndp.training.config import Config
from cnndp.training.loop import Outcome, train

NOT_REPLAYABLE = "batches and noise came from the operating system's entropy, which was not kept"


def make_record(
    config: Config,
    images: Images,
    section: str,
    device: torch.device,
    on_step: Callable[[int], object] = lambda step: None,
    *,
    engine: str = "auto",
    max_physical_batch: int | None = None,
) -> Record:
    """Train one run and return its record, without the hash that storing adds; arguments as in `loop.train`."""
    start = time.perf_counter()
    outcome = train(
        config, images, device=device, engine=engine, max_physical_batch=max_physical_batch, on_step=on_step
    )
    seconds = time.perf_counter() - start
    return {
        "config": config.to_dict(),
        "digest": config.digest,
        "section": section,
        "status": outcome.status,
        "history": rounded(outcome.history),
        "trace": rounded(outcome.trace),
        "final": rounded({**outcome.final, **conditional(config, len(images.train_labels))}),
        "ledger": ledger_columns(outcome.releases),
        "privacy": privacy(config, outcome),
        "provenance": {**provenance.describe(device, seconds, images.sha256), **source_of(config)},
        **({"not_replayable": NOT_REPLAYABLE} if config.secret_seed else {}),
    }


def source_of(config: Config) -> dict[str, str | None]:
    """Return the hash of the source of a network of a user's own; nothing for the others."""
    return {"model_sha256": own.source_sha256(config.model)} if config.model_shapes else {}


def conditional(config: Config, num_train: int) -> dict[str, float]:
    """Return what an accountant says of a noise multiplier *if* batches were Poisson samples, as P2 assumes."""
    if config.noise_multiplier is None or config.mechanism != "gaussian":
        return {}
    sampling_prob = config.batch_size / num_train
    return {"rdp_epsilon": rdp_epsilon(config.noise_multiplier, sampling_prob, config.num_steps)}


def privacy(config: Config, outcome: Outcome) -> dict[str, Any]:
    """Return the nominal total of Eq. (5), or the numerical epsilon of the ledger, or why there is none."""
    nominal = None
    if config.total_epsilon is not None:
        budget = budget_for_total(config.total_epsilon, config.num_steps, config.growth)
        nominal = round(total_epsilon(config.num_steps, budget), 6)
    gap = guarantee_gap(outcome.releases)
    return {"nominal_epsilon": nominal, "exact_epsilon": None, "no_guarantee": gap, **exact(config, outcome, gap)}


def exact(config: Config, outcome: Outcome, gap: str | None) -> dict[str, float | None]:
    """Return what the ledger costs, when nothing stands in the way; `pure_epsilon` holds with delta = 0."""
    return {} if gap is not None else spent_by(outcome.releases, config.delta)


def spent_by(releases: Sequence[Release], delta: float) -> dict[str, float | None]:
    """Return what releases cost by each way of accounting, as a record holds it."""
    spent = exact_epsilon(releases, delta)
    return {
        "exact_epsilon": significant(spent.epsilon),
        "overshoot": significant(spent.overshoot),
        "delta": delta,
        "pure_epsilon": significant(pure_epsilon(releases)),
        "renyi_epsilon": significant(renyi_epsilon(releases, delta)),
    }


def ledger_columns(releases: Iterable[Release]) -> list[dict[str, Any]]:
    """Return the ledger as JSON: one entry for what shares all but the scale, scales as [scale, steps]."""
    entries: dict[tuple[Any, ...], dict[str, Any]] = {}
    for release in releases:
        shared = {
            "quantity": release.quantity,
            "mechanism": release.mechanism,
            "sensitivity": release.sensitivity,
            "sampling": release.sampling,
        }
        if release.sampling_prob is not None:
            shared |= {"sampling_prob": release.sampling_prob, "norm": release.norm}
        key = tuple(shared.values())
        if release.sampling_prob is not None:  # steps follow each other without gaps, so the first one is enough
            shared["first_step"] = release.first_step
        entry = entries.setdefault(key, {**shared, "scales": []})
        entry["scales"].append([significant(release.scale), release.steps])
    return list(entries.values())


def releases_of(ledger: Iterable[Mapping[str, Any]]) -> list[Release]:
    """Return the releases that the ledger of a record names: `ledger_columns` backwards.

    >>> step = Release("gradient", "gaussian", 2.0, 1.0, "poisson", 9, 0.1, first_step=1, norm="l2")
    >>> releases_of(ledger_columns([step])) == [step]
    True
    """
    found = []
    for entry in ledger:
        rest = {name: value for name, value in entry.items() if name not in ("scales", "first_step")}
        first = entry.get("first_step")
        for scale, steps in entry["scales"]:
            found.append(Release(**rest, scale=scale, steps=steps, first_step=first))
            first = None if first is None else first + steps
    return found


def repriced(record: Record) -> dict[str, float | None]:
    """Return what the ledger of a stored private run costs, worked out anew: the numbers of `exact`."""
    return spent_by(releases_of(record["ledger"]), record["config"]["delta"])


def significant(value: Any) -> Any:
    """Return a float with 7 significant digits (all that float32 holds); None for one that is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if abs(value) < float("inf") else None


def rounded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return scalars and columns with floats as `significant` gives them."""
    return {
        key: [significant(item) for item in value] if isinstance(value, list) else significant(value)
        for key, value in content.items()
    }
