"""What survives of the papers' ideas under a valid guarantee: every idea on one cheap model, at equal epsilon.

The model is the linear one on scattering features, as on the frontier but with batches of 1,024. Whatever is compared
spends the same numerical epsilon, all releases counted, and gets the best of five rates (caps, for a Polyak step) on a
tenth of the official training images. The official test images are used for the final runs alone.
"""

from math import sqrt
from typing import Any

from cnndp.papers.presets import LOSS_CLIP
from cnndp.papers.sections.entries import Entry, target_name, with_rate
from cnndp.papers.sections.frontier import BATCH_SIZE, SCATTERING, scattering_linear
from cnndp.papers.sections.p2 import split_of
from cnndp.training.config import Config

RATES = (300.0, 1000.0, 3000.0, 10000.0, 30000.0)
LAPLACE_RATES = (10.0, 30.0, 100.0, 300.0, 1000.0)  # as many, where that noise needs them
NO_CAP = 1e9  # a cap that never binds
GROWTHS = (0.5, 1.0, 2.0, 4.0)
EPSILONS = (1.0, 3.0)
CAP_EPSILONS = (0.5, 2.0, 8.0)
DECAY = 0.01  # the rate of step 301 is a quarter of the first
POLYAK: dict[str, Any] = {"step": "polyak", "loss_clip": LOSS_CLIP}
# By label, what is changed. "growth 1" is the fixed step that all others are compared with.
ROWS: dict[str, dict[str, Any]] = {
    **{f"growth {growth:g}": {"growth": growth} for growth in GROWTHS},
    "decayed": {"decay": DECAY},
    "Polyak, cap": POLYAK,
    "Polyak, cap and de-bias": {**POLYAK, "debias": True},
}
UNTUNED: dict[str, dict[str, Any]] = {
    "Polyak, neither": {**POLYAK, "max_step": None},
    "Polyak, de-bias alone": {**POLYAK, "debias": True, "max_step": NO_CAP},
}
DIMENSIONS = (20, 100, 500, 1500)
NOISES = {"gaussian": RATES, "laplace": LAPLACE_RATES}  # with their grids
# Chosen on validation images by the sections survive_tuning and survive_laplace_tuning; tests compare them with their
# records. By dataset, then by label.
TUNED: dict[str, dict[str, float]] = {
    "mnist": {
        "growth 0.5, ε = 1": 1000.0,
        "growth 1, ε = 1": 3000.0,
        "growth 2, ε = 1": 3000.0,
        "growth 4, ε = 1": 1000.0,
        "decayed, ε = 1": 3000.0,
        "Polyak, cap, ε = 1": 3000.0,
        "Polyak, cap and de-bias, ε = 1": 3000.0,
        "growth 0.5, ε = 3": 3000.0,
        "growth 1, ε = 3": 3000.0,
        "growth 2, ε = 3": 3000.0,
        "growth 4, ε = 3": 3000.0,
        "decayed, ε = 3": 10000.0,
        "Polyak, cap, ε = 3": 10000.0,
        "Polyak, cap and de-bias, ε = 3": 3000.0,
        "Gaussian, d = 20, ε = 1": 3000.0,
        "Laplace, d = 20, ε = 1": 300.0,
        "Gaussian, d = 100, ε = 1": 3000.0,
        "Laplace, d = 100, ε = 1": 300.0,
        "Gaussian, d = 500, ε = 1": 3000.0,
        "Laplace, d = 500, ε = 1": 100.0,
        "Gaussian, d = 1500, ε = 1": 3000.0,
        "Laplace, d = 1500, ε = 1": 30.0,
        "Gaussian, d = 20, ε = 3": 3000.0,
        "Laplace, d = 20, ε = 3": 1000.0,
        "Gaussian, d = 100, ε = 3": 3000.0,
        "Laplace, d = 100, ε = 3": 1000.0,
        "Gaussian, d = 500, ε = 3": 3000.0,
        "Laplace, d = 500, ε = 3": 300.0,
        "Gaussian, d = 1500, ε = 3": 3000.0,
        "Laplace, d = 1500, ε = 3": 100.0,
    },
}


def base(dataset: str, num_steps: int, epsilon: float, **changes: Any) -> Config:
    """Return the run that all others differ from: a fixed step, the same noise in every step."""
    values = {"batch_size": BATCH_SIZE.get(dataset, 1024), "momentum": 0.0, **changes}
    return scattering_linear(dataset, num_steps, epsilon, **values)


def validation(dataset: str) -> dict[str, str]:
    """Return the split that settings are chosen on."""
    return {"split": f"{split_of(dataset)} validation"}


def row(label: str, dataset: str, num_steps: int, epsilon: float, rate: float, **changes: Any) -> Config:
    """Return one of `ROWS` with its rate or cap."""
    own = {"max_step": rate, **ROWS[label]} if ROWS[label].get("step") == "polyak" else ROWS[label]
    return with_rate(base(dataset, num_steps, epsilon, **own, **changes), rate)


def survive_tuning(dataset: str, num_steps: int) -> list[Entry]:
    """Every row with every rate, on the validation part."""
    return [
        Entry(name, row(name, dataset, num_steps, epsilon, rate, **validation(dataset)))
        for epsilon in EPSILONS
        for name in ROWS
        for rate in RATES
    ]


def survive_steps(dataset: str, num_steps: int) -> list[Entry]:
    """Every row with its tuned rate, and the Polyak steps that have nothing to tune, on test images."""
    runs = []
    for epsilon in EPSILONS:
        for name in ROWS:
            rate = chosen(dataset, f"{name}, {target_name(epsilon)}")
            runs.append(Entry(name, row(name, dataset, num_steps, epsilon, rate)))
        for name, changes in UNTUNED.items():
            runs.append(Entry(name, base(dataset, num_steps, epsilon, **changes)))
    return runs


def survive_cap(dataset: str, num_steps: int) -> list[Entry]:
    """The de-biased Polyak step with every cap at three epsilons, on the validation part, for Fig. 10's question."""
    step = "Polyak, cap and de-bias"
    return [
        Entry("cap", row(step, dataset, num_steps, epsilon, rate, **validation(dataset)))
        for epsilon in CAP_EPSILONS
        for rate in RATES
    ]


def projected(
    mechanism: str, size: int, dataset: str, num_steps: int, epsilon: float, rate: float, **changes: Any
) -> Config:
    """Return a run on d random mixtures of the features, with Laplace noise and an L1 clip, or Gaussian and L2.

    The L1 clip is the L2 clip times sqrt(d), about as many times as the L1 norm of a row of d values is its L2 norm,
    so that both reach as far at the same rate.
    """
    bound = SCATTERING["clip_norm"]
    clip = (
        {"clip": "example_l1", "clip_norm": float(f"{bound * sqrt(size):.3g}")}
        if mechanism == "laplace"
        else {"clip": "example_l2", "clip_norm": bound}
    )
    own = {"mechanism": mechanism, "projection": size, "learning_rate": rate, **clip}
    return base(dataset, num_steps, epsilon, **own, **changes)


def survive_laplace_tuning(dataset: str, num_steps: int) -> list[Entry]:
    """Both noises in every dimension with every rate, on the validation part."""
    own = validation(dataset)
    return [
        Entry(mechanism.title(), projected(mechanism, size, dataset, num_steps, epsilon, rate, **own))
        for epsilon in EPSILONS
        for size in DIMENSIONS
        for mechanism, rates in NOISES.items()
        for rate in rates
    ]


def survive_laplace(dataset: str, num_steps: int) -> list[Entry]:
    """Both noises in every dimension with their tuned rates, on test images."""
    runs = []
    for epsilon in EPSILONS:
        for size in DIMENSIONS:
            for mechanism in NOISES:
                name = mechanism.title()
                rate = chosen(dataset, f"{name}, d = {size}, {target_name(epsilon)}")
                runs.append(Entry(name, projected(mechanism, size, dataset, num_steps, epsilon, rate)))
    return runs


def chosen(dataset: str, name: str) -> float:
    """Return the rate that tuning chose; an untuned dataset takes MNIST's, and without that the middle of the grid."""
    return (TUNED.get(dataset) or TUNED.get("mnist") or {}).get(name, RATES[2])
