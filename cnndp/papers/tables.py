"""P1's Tables I and II as data."""

from __future__ import annotations

from typing import NamedTuple


class TableOne(NamedTuple):
    """One column of Table I, the experimental parameters of a dataset."""

    batch_size: int
    num_rounds: int
    initial_scale: float
    min_scale: float
    epsilon: float
    learning_rate: float
    l2_coefficient: float
    clip_norm: float


class TableTwo(NamedTuple):
    """One row of Table II: sensitivity and total budget at a number of iterations."""

    sensitivity: float
    total_epsilon: float


TABLE_I: dict[str, TableOne] = {
    "mnist": TableOne(250, 100, 2, 0.18, 1, 0.001, 0.5, 0.002),
    "fashion_mnist": TableOne(256, 100, 2, 0.16, 1, 0.001, 0.5, 0.002),
    "cifar10": TableOne(1500, 100, 15, 0.10, 1, 0.001, 0.5, 0.002),
}


TABLE_II: dict[str, dict[int, TableTwo]] = {
    "mnist": {300: TableTwo(0.5, 72.5), 600: TableTwo(0.5, 141.0), 1200: TableTwo(0.5, 279.5)},
    "fashion_mnist": {300: TableTwo(0.5, 143.0), 600: TableTwo(0.5, 283.5), 1200: TableTwo(0.5, 960.0)},
    "cifar10": {300: TableTwo(0.5, 217.5), 600: TableTwo(0.5, 312.5), 1200: TableTwo(0.5, 687.6)},
}


# What a row of Table I is called in words, its unit, and what there is to say about it.
TABLE_I_ROWS: dict[str, tuple[str, str, str]] = {
    "batch_size": ("batch size", "examples", ""),
    "num_rounds": (
        "training rounds",
        "rounds",
        "Read as epochs, far more than the 300 to 1200 steps of Table II.",
    ),
    "initial_scale": ("initial noise scale", "scale", ""),
    "min_scale": ("smallest noise scale", "scale", ""),
    "epsilon": ("privacy budget", "epsilon", "Not the total of Table II; read as a budget per step."),
    "learning_rate": ("learning rate", "", "With the clip of 0.002 the printed setting cannot train."),
    "l2_coefficient": ("regularisation coefficient", "", ""),
    "clip_norm": ("gradient clip", "norm", "Whether the clip is per example or per batch is not printed."),
}
