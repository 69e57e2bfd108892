"""What survives of the papers' ideas under a valid guarantee: every idea on one cheap model, at equal epsilon.

The model is the linear one on scattering features, as on the frontier but with batches of 1,024. Whatever is compared
spends the same numerical epsilon, all releases counted, and gets the best of five rates (caps, for a Polyak step) on a
tenth of the official training images. The official test images are used for the final runs alone.
"""

from math import sqrt
from typing import Any

from cnndp.papers import tuned
from cnndp.papers.presets import LOSS_CLIP
from cnndp.papers.sections.entries import Entry, spending, target_name, with_rate
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
        spending(name, row(name, dataset, num_steps, epsilon, rate, **validation(dataset)), epsilon)
        for epsilon in EPSILONS
        for name in ROWS
        for rate in RATES
    ]


def survive_steps(dataset: str, num_steps: int) -> list[Entry]:
    """Every row with its tuned rate, and the Polyak steps that have nothing to tune, on test images."""
    runs = []
    for epsilon in EPSILONS:
        for name in ROWS:
            rate = chosen("survive_tuning", dataset, name, epsilon)
            runs.append(spending(name, row(name, dataset, num_steps, epsilon, rate), epsilon))
        for name, changes in UNTUNED.items():
            runs.append(spending(name, base(dataset, num_steps, epsilon, **changes), epsilon))
    return runs


def survive_cap(dataset: str, num_steps: int) -> list[Entry]:
    """The de-biased Polyak step with every cap at three epsilons, on the validation part, for Fig. 10's question."""
    step = "Polyak, cap and de-bias"
    return [
        spending("cap", row(step, dataset, num_steps, epsilon, rate, **validation(dataset)), epsilon)
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
        spending(mechanism.title(), projected(mechanism, size, dataset, num_steps, epsilon, rate, **own), epsilon)
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
                rate = chosen("survive_laplace_tuning", dataset, name, epsilon, size)
                runs.append(spending(name, projected(mechanism, size, dataset, num_steps, epsilon, rate), epsilon))
    return runs


def chosen(section: str, dataset: str, name: str, epsilon: float, size: int | None = None) -> float:
    """Return the rate that tuning chose; an untuned dataset takes MNIST's, and without that the middle of the grid."""
    return tuned.rate(section, dataset, name, target=target_name(epsilon), projection=size) or RATES[2]
