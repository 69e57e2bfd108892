"""What CIFAR-10 has of its own: the tuning of its rates, MNIST's constants beside them, each departure put back.

Its network takes about a second a step on two cores, so the profile "reduced" has one seed and fewer runs.
"""

from typing import Any

from cnndp.papers.presets import CIFAR10_PLAIN, CIFAR10_TUNED, LEARNING_RATE, MAX_STEP, MOMENTUM, preset
from cnndp.papers.sections import p1
from cnndp.papers.sections.entries import Entry, Facts, named, with_rate
from cnndp.training.config import Config

RATES = (0.03, 0.1, 0.3, 1.0, 3.0)  # with momentum 0.9, which goes ten times as far; without it, ten times these
BACK: dict[str, dict[str, Any]] = {
    "raw pixels": {"normalise": False},
    "uniform weights": {"init": "uniform"},
    "no momentum": {"momentum": 0.0},
}
PUT_BACK: dict[str, Any] = {name: value for change in BACK.values() for name, value in change.items()}
BESIDE = "MNIST's constants"  # of runs that no claim is about
FACTOR = round(1 / (1 - MOMENTUM))


def rates_of(method: str) -> tuple[float, ...]:
    """Return the grid of a method.

    >>> rates_of("dp_sgd")
    (0.3, 1.0, 3.0, 10.0, 30.0)
    """
    return tuple(round(FACTOR * rate, 6) for rate in RATES) if method in CIFAR10_PLAIN else RATES


def cifar10_tuning(dataset: str, num_steps: int) -> list[Entry]:
    """Every method that has a rate of its own, with every rate of its grid, on the validation part."""
    return [
        Entry(name, with_rate(preset(method, "reconstructed", dataset, num_steps, split="8:2 validation"), rate))
        for method, name in CIFAR10_TUNED.items()
        for rate in rates_of(method)
    ]


def with_mnists_constants(config: Config) -> Config:
    """Return a run as it is on the grey datasets: raw pixels, uniform weights, no momentum, rate or cap 0.3."""
    changes = (
        {**PUT_BACK, "max_step": MAX_STEP} if config.step == "polyak" else {**PUT_BACK, "learning_rate": LEARNING_RATE}
    )
    return config.replace(**changes)


def fig09_comparison(dataset: str, num_steps: int) -> list[Entry]:
    """Fig. 9's runs, and the reference and P1's two methods with MNIST's constants."""
    runs = p1.fig09_comparison(dataset, num_steps)
    constants = [
        Entry(name, with_mnists_constants(named(runs)[name].config), Facts(beside=BESIDE))
        for name in ("noise-free", "CNN-DP-GAN-Polyak")
    ]
    return [*runs, *constants] if dataset == "cifar10" else runs


def eq01_05_adaptive_noise(dataset: str, num_steps: int) -> list[Entry]:
    """CNN-DP-GAN, each of CIFAR-10's departures put back alone, and a few of P1's printed choices."""
    runs = named(p1.eq01_05_adaptive_noise(dataset, num_steps))
    base = runs["reconstructed"]
    kept = ("noise on the mean", "learning rate 0.001", "growth 1", "L2 over B", "printed")
    back = BACK if dataset == "cifar10" else {}
    departures = [Entry(name, base.config.replace(**change)) for name, change in back.items()]
    return [base, *departures, *(runs[name] for name in kept)]
