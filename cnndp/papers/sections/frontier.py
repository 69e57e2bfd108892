"""How accurate a valid guarantee can be: a linear model on scattering features, at numerical epsilons, by one rule.

Everything was chosen on a validation tenth of the official training images: steps without momentum, a clip far below
the features' norm of 1, a rate that grows with epsilon up to 4, noise on the features' statistics that falls with its
root. All settings that were tried are in book/tuning/scattering_linear.csv. P1's network stands beside it, with larger
batches and normalised inputs; its rates are chosen by the section frontier_cnn_tuning.
"""

from typing import Any

from cnndp.data.datasets import CHANNELS
from cnndp.papers import claims, tuned
from cnndp.papers.presets import preset
from cnndp.papers.sections.entries import Entry, spending, target_name, with_rate
from cnndp.papers.sections.p2 import split_of
from cnndp.training.config import Config

LINEAR, CNN = "scattering, linear", "CNN, DP-SGD"
EPSILONS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0)
SCATTERING: dict[str, Any] = {
    "method": "scattering_linear",
    "reading": "private",
    "sampling": "poisson",
    "mechanism": "gaussian",
    "clip": "example_l2",
    "clip_norm": 0.03,
    "features": "scattering",
    "model": "scattering_linear",
    "init": "zeros",
}
RATE = 2000.0  # for epsilon = 1; in proportion to epsilon up to 4, and no higher
MEAN_NOISE, MOMENT_NOISE = 26.0, 35.0  # for epsilon = 1; in inverse proportion to its root elsewhere
TABLE_II_RATE = 3000.0  # with P1's batches of 250, at Table II's totals
BATCH_SIZE = {"digits": 400}  # elsewhere 4,096
CNN_TARGETS = (1.0, 3.0, 8.0, None)  # None is Table II's total
CNN_RATES = (1.0, 2.0, 4.0, 8.0, 16.0)
CNN_BATCH_SIZE = {"digits": 400}  # elsewhere 1,024


def scattering_linear(dataset: str, num_steps: int, epsilon: float, **changes: Any) -> Config:
    """Return the run that the rule gives for a target.

    >>> config = scattering_linear("mnist", 300, epsilon=4.0)
    >>> config.learning_rate, config.mean_noise, config.moment_noise
    (8000.0, 13.0, 17.5)
    """
    root = epsilon**0.5
    values = {
        **SCATTERING,
        "split": split_of(dataset),
        "batch_size": BATCH_SIZE.get(dataset, 4096),
        "target_epsilon": epsilon,
        "learning_rate": RATE * min(epsilon, 4.0),
        "mean_noise": MEAN_NOISE / root,
        "moment_noise": MOMENT_NOISE / root,
    }
    return Config.from_dict({"dataset": dataset, "num_steps": num_steps, **values, **changes})


def frontier(dataset: str, num_steps: int, targets: tuple[float, ...] = EPSILONS) -> list[Entry]:
    """Every numerical epsilon."""
    return [Entry(LINEAR, scattering_linear(dataset, num_steps, epsilon)) for epsilon in targets]


def frontier_table2(dataset: str, num_steps: int) -> list[Entry]:
    """P1's split, batch size and total of Table II, spent as numerical epsilon."""
    total = claims.total_epsilon(dataset, num_steps)
    own = {"split": "8:2", "batch_size": 250, "learning_rate": TABLE_II_RATE}
    return [Entry(LINEAR, scattering_linear(dataset, num_steps, total, **own))]


def cnn(dataset: str, num_steps: int, epsilon: float | None, rate: float, split: str) -> Config:
    """Return DP-SGD on P1's network, with normalised inputs where public constants are known.

    `epsilon=None` spends Table II's total.
    """
    target = {} if epsilon is None else {"target_epsilon": epsilon}
    changes = {"batch_size": CNN_BATCH_SIZE.get(dataset, 1024), "normalise": dataset in CHANNELS, "split": split}
    return with_rate(preset("dp_sgd", "private", dataset, num_steps, **changes, **target), rate)


def frontier_cnn_tuning(dataset: str, num_steps: int) -> list[Entry]:
    """P1's network at every target with every rate, on the validation part."""
    split = f"{split_of(dataset)} validation"
    return [
        spending(CNN, cnn(dataset, num_steps, epsilon, rate, split), epsilon)
        for epsilon in CNN_TARGETS
        for rate in CNN_RATES
    ]


def frontier_cnn(dataset: str, num_steps: int) -> list[Entry]:
    """P1's network at every target, each with its tuned rate; an untuned dataset takes MNIST's."""
    return [
        spending(CNN, cnn(dataset, num_steps, epsilon, rate, split_of(dataset)), epsilon)
        for epsilon in CNN_TARGETS
        for rate in [tuned.rate("frontier_cnn_tuning", dataset, CNN, target=target_name(epsilon)) or CNN_RATES[2]]
    ]
