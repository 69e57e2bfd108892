"""What the two papers state, as data: every claim, setting and cited number, with its place and what to know of it.

The numbers are in `cnndp.papers.p1`, `cnndp.papers.p2` and `cnndp.papers.tables`; this module is their public face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cnndp.papers import p1, p2
from cnndp.papers.kinds import NOISE_FREE
from cnndp.papers.p1 import LABELS, SECTION_LABELS
from cnndp.papers.tables import TABLE_I, TABLE_I_ROWS, TABLE_II

__all__ = ["STATED", "TABLE_I", "TABLE_II", "Stated", "claims", "total_epsilon"]

FASHION_LIKELY_TOTAL = 560.0  # Table II prints 960, which leaves the pattern of its own column


class Stated(NamedTuple):
    """One number, or one ordering, that a paper states.

    Args:
        key: stable name, such as "p1.fig07.cnn.max_test_accuracy".
        paper: "P1" or "P2".
        place: where it is printed, further places after a semicolon.
        what: the statement in our own words.
        value: the number; for an ordering, the labels from worst to best.
        unit: unit of the value.
        kind: "claim", "setting" or "cited"; only claims are compared with runs.
        column: of `runs.frames`, whose value it is, averaged over the runs of a seed; "" where no run gives it.
        against: what it is a difference to: "" (nothing), `kinds.NOISE_FREE`, `kinds.BEST` or `kinds.WORST`.
        factor: times which the paper prints it.
        section: the section whose runs test it, "" for none.
        dataset: the dataset it is about, "" for none.
        where: Config fields that select the runs, each a value or a pair (operator, number).
        fixed: the verdict that holds whatever the runs say, "" where they decide.
        note: what to know, and the reason of that verdict.
    """

    key: str
    paper: str
    place: str
    what: str
    value: float | tuple[str, ...]
    unit: str = ""
    kind: str = "claim"
    column: str = ""
    against: str = ""
    factor: float = 1.0
    section: str = ""
    dataset: str = ""
    where: Mapping[str, object] = {}
    fixed: str = ""
    note: str = ""


def total_epsilon(dataset: str, num_steps: int, *, misprint: bool = True) -> float:
    """Return Table II's total budget for `num_steps` iterations.

    A number of iterations that is not printed gets the mean budget per step of the nearest printed one (the
    smaller of two equally near); a dataset that is not printed gets MNIST's row.

    Args:
        dataset: name of the dataset.
        num_steps: number of iterations T.
        misprint: read Fashion-MNIST's 960 at T = 1200 as 560; False takes it as printed.

    >>> total_epsilon("mnist", 300)
    72.5
    >>> total_epsilon("digits", 60)  # 72.5 * 60 / 300
    14.5
    """
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps!r} must be at least 1; pass the number of iterations")
    row = TABLE_II.get(dataset, TABLE_II["mnist"])
    nearest = min(row, key=lambda printed: (abs(printed - num_steps), printed))
    total = row[nearest].total_epsilon
    if misprint and row is TABLE_II["fashion_mnist"] and nearest == 1200:
        total = FASHION_LIKELY_TOTAL
    return total * num_steps / nearest


def _from_groups(
    paper: str, groups: tuple[tuple[dict[str, Any], tuple[tuple[Any, ...], ...]], ...]
) -> Iterator[Stated]:
    """Yield a `Stated` for each row of the grouped data; a row's own fields win over its group's."""
    for common, rows in groups:
        for key, value, what, *rest in rows:
            label = rest[0] if rest else ""
            own = rest[1] if len(rest) > 1 else {}
            fields = {**common, **own}
            section_labels = SECTION_LABELS.get(fields.get("section", ""), {})
            selector = section_labels.get(label, LABELS[label]) if label else {}
            fields["where"] = {**selector, **fields.get("where", {})}
            yield Stated(key=f"{paper.lower()}.{key}", paper=paper, what=what, value=value, **fields)


def _from_tables() -> Iterator[Stated]:
    """Yield a setting for each cell of P1's Tables I and II."""
    for dataset, column in TABLE_I.items():
        for field, value in column._asdict().items():
            what, unit, note = TABLE_I_ROWS[field]
            key = f"p1.table1.{dataset}.{field}"
            yield Stated(key, "P1", "Table I", what, value, unit, "setting", dataset=dataset, note=note)
    for dataset, row in TABLE_II.items():
        for num_steps, cell in row.items():
            key, where = f"p1.table2.{dataset}.t{num_steps}", {"num_steps": num_steps}
            for field, what, unit, note in (
                (
                    "sensitivity",
                    "sensitivity",
                    "",
                    "The text speaks of different sensitivities; only 0.5 is printed.",
                ),
                ("total_epsilon", "total privacy budget", "epsilon", ""),
            ):
                yield Stated(
                    key=f"{key}.{field}",
                    paper="P1",
                    place="Table II",
                    what=f"{what} at T = {num_steps}",
                    value=getattr(cell, field),
                    unit=unit,
                    kind="setting",
                    dataset=dataset,
                    where=where,
                    note=note,
                )


STATED: tuple[Stated, ...] = (
    *_from_tables(),
    *_from_groups("P1", p1.GROUPS),
    *_from_groups("P2", p2.GROUPS),
)


def claims(section: str = "", paper: str = "") -> list[Stated]:
    """Return the claims (no settings, no cited numbers), of one section or one paper where given.

    >>> [claim.value for claim in claims("fig07_ablation")][:2]
    [50.08, 98.38]
    """
    return [
        stated
        for stated in STATED
        if stated.kind == "claim" and section in ("", stated.section) and paper in ("", stated.paper)
    ]


def label_of(claim: Stated) -> str:
    """Return the method's name in a claim about one method, "" where it is about none.

    >>> label_of(claims("fig07_ablation")[0])
    'CNN'
    """
    own = {**LABELS, **SECTION_LABELS.get(claim.section, {})}
    return next((label for label, where in own.items() if where.items() <= dict(claim.where).items()), "")


def numbers_of(section: str, dataset: str) -> list[tuple[Stated, float]]:
    """Return the claims of a section about one method's number on a dataset, such as P1's mean over T of CDP."""
    return [
        (claim, float(claim.value))
        for claim in claims(section)
        if claim.dataset == dataset and not isinstance(claim.value, tuple) and claim.against in ("", NOISE_FREE)
    ]


def losses(dataset: str) -> dict[str, dict[str, float]]:
    """Return the losses that P1 states for a dataset in Fig. 8, by part ("train", "test") and method."""
    stated: dict[str, dict[str, float]] = {"train": {}, "test": {}}
    for claim, value in numbers_of("fig08_loss", dataset):
        stated["train" if claim.column == "train_accuracy" else "test"][label_of(claim)] = value
    return stated


def means(dataset: str) -> dict[str, float]:
    """Return the means over T that P1 states for a dataset in Fig. 9, by method.

    >>> means("mnist")["CNN-DP-GAN-Polyak"]
    97.68
    """
    return {label_of(claim): value for claim, value in numbers_of("fig09_comparison", dataset)}
