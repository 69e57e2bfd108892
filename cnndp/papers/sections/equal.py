"""Figs. 8 and 9 again on equal terms: the same clip, or none, for every method, and each method's rate tuned alike.

In P1's comparison as reconstructed the baselines clip and P1's methods do not, and all share one rate. Here every
method of a panel clips alike, and its rate (the cap, for the Polyak step) comes from one grid, by accuracy on a
validation part of the training images that the tuning runs do not train on.
"""

from collections.abc import Mapping
from typing import Any

from cnndp.papers import tuned
from cnndp.papers.presets import preset
from cnndp.papers.sections.entries import Entry, Facts, with_rate
from cnndp.training.config import Config

RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
PLAIN = {"momentum": 0.0}  # also on CIFAR-10, whose presets have it
POLYAK = {"step": "polyak", "debias": True}
# The methods of each panel: the preset they start from, and what is changed.
PANELS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "no clip": {
        "SGD": ("cnn_dp", PLAIN),
        "momentum": ("cnn_dp", {"momentum": 0.9}),
        "growth": ("cnn_dp_gan", PLAIN),
        "Polyak": ("cnn_dp_gan_polyak", PLAIN),
    },
    "clip 0.5": {
        "SGD": ("dp_sgd", {}),
        "momentum": ("dpgdm", {}),
        "zCDP": ("cdp", {}),
        "growth": ("dp_sgd", {"growth": 2.0}),
        "Polyak": ("dp_sgd", {"growth": 2.0, **POLYAK}),
    },
}


def methods(dataset: str, num_steps: int, **changes: Any) -> list[Entry]:
    """Return each panel's methods, with the smallest rate of the grid."""

    def run(base: str, own: Mapping[str, Any]) -> Config:
        cap = {"max_step": RATES[0]} if own.get("step") == "polyak" else {}
        return with_rate(preset(base, "reconstructed", dataset, num_steps, **own, **cap, **changes), RATES[0])

    return [
        Entry(name, run(*entry), Facts(panel=panel)) for panel, rows in PANELS.items() for name, entry in rows.items()
    ]


def equal_terms_tuning(dataset: str, num_steps: int) -> list[Entry]:
    """Every method of both panels with every rate of the grid, on the validation part."""
    return [
        entry._replace(config=with_rate(entry.config, rate))
        for entry in methods(dataset, num_steps, split="8:2 validation")
        for rate in RATES
    ]


def equal_terms(dataset: str, num_steps: int) -> list[Entry]:
    """Every method of both panels with the rate that tuning chose; an untuned dataset takes MNIST's."""

    def chosen(entry: Entry) -> float:
        return tuned.rate("equal_terms_tuning", dataset, entry.name, panel=entry.facts.panel) or RATES[2]

    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *(entry._replace(config=with_rate(entry.config, chosen(entry))) for entry in methods(dataset, num_steps)),
    ]
