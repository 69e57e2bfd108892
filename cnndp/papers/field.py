"""The field's own numbers beside ours: test accuracy at a stated epsilon, trained from scratch, delta = 1e-5.

Their accounting is mostly Renyi's, which is looser than ours, so at the same letter of guarantee they stand a little
too far to the right.
"""

from typing import NamedTuple

from cnndp.papers import claims


class Anchor(NamedTuple):
    """One published result."""

    dataset: str
    epsilon: float
    accuracy: float  # percent, on the official test images
    who: str
    model: str
    source: str  # arXiv number


ANCHORS = (
    *(
        Anchor("mnist", epsilon, accuracy, "Tramèr and Boneh", "scattering, linear", "2011.11660")
        for epsilon, accuracy in ((1.2, 98.1), (2.0, 98.5), (2.32, 98.6), (2.93, 98.7))
    ),
    Anchor("mnist", 2.93, 98.1, "Papernot et al.", "CNN, tanh", "2007.14191"),
    *(
        Anchor("mnist", epsilon, accuracy, "Bao and Bindschaedler", "WRN-16-4, 500 seeds", "2508.15141")
        for epsilon, accuracy in ((1.0, 96.80), (4.0, 98.27), (8.0, 98.51))
    ),
    *(
        Anchor("fashion_mnist", epsilon, accuracy, "Tramèr and Boneh", "scattering, linear", "2011.11660")
        for epsilon, accuracy in ((2.7, 89.5), (3.0, 89.7))
    ),
    Anchor("fashion_mnist", 2.7, 86.1, "Papernot et al.", "CNN, tanh", "2007.14191"),
    Anchor("cifar10", 3.0, 67.0, "Tramèr and Boneh", "scattering, linear", "2011.11660"),
    Anchor("cifar10", 3.0, 69.3, "Tramèr and Boneh", "scattering, CNN", "2011.11660"),
    *(
        Anchor("cifar10", epsilon, accuracy, "De et al., reproduced", "WRN-16-4, augmult", "2508.15141")
        for epsilon, accuracy in ((1.0, 56.80), (2.0, 62.90), (4.0, 69.45), (8.0, 78.74))
    ),
)
# What the two papers are quoted for, as keys of `claims.claims`.
HEADLINES = {
    "mnist": {"P1": "p1.fig09.mnist.polyak", "P2": "p2.table3.e20.accuracy.on_mnist"},
    "fashion_mnist": {"P2, 3 epochs": "p2.table3.e3.accuracy", "P2, 20 epochs": "p2.table3.e20.accuracy"},
    "cifar10": {"P1": "p1.fig09.cifar10.polyak"},
}


def headlines(dataset: str) -> dict[str, float]:
    """Return the accuracies, in percent, that the papers are quoted for on a dataset.

    >>> headlines("cifar10")
    {'P1': 92.08}
    """
    stated = {claim.key: claim.value for claim in claims.claims() if isinstance(claim.value, float)}
    return {name: float(stated[key]) for name, key in HEADLINES.get(dataset, {}).items()}


def anchors_of(dataset: str) -> list[Anchor]:
    """Return the anchors on one dataset, by epsilon.

    >>> anchors_of("fashion_mnist")[-1].accuracy
    89.7
    """
    return sorted((anchor for anchor in ANCHORS if anchor.dataset == dataset), key=lambda anchor: anchor.epsilon)
