"""P2's experiments as data. One epoch of the official 60,000 training images is 240 steps of 250."""

from typing import Any

from cnndp.papers.sections.entries import Entry
from cnndp.training.config import Config

# Sec. IV and Table 1 as the tutorial behind them has it; "printed" takes the text literally.
STATED: dict[str, Any] = {
    "batch_size": 250,
    "activation": "relu",
    "clip": "example_l2",
    "clip_norm": 1.5,
    "mechanism": "gaussian",
    "noise_multiplier": 1.3,
    "learning_rate": 0.25,
    "evaluate": "epochs",
}
DATASETS = ("fashion_mnist", "mnist")  # the one P2 names, and its tutorial's
OFFICIAL = ("mnist", "fashion_mnist", "cifar10")  # datasets that come as training and test images
PRINTED = {"model": "mnist_cnn_valid", "learning_rate": 0.0025}  # "valid" padding and "0.25 %"
NO_NOISE = {"clip": "none", "clip_norm": None, "mechanism": "none", "noise_multiplier": None}


def split_of(dataset: str) -> str:
    """Return the official split of a dataset that has one, else P1's."""
    return "official" if dataset in OFFICIAL else "8:2"


def p2_training(dataset: str, num_steps: int) -> list[Entry]:
    """P2's Tables 2, 3 and Fig. 7: DP-SGD with the tutorial's rate, as printed, and without clip and noise."""

    def run(method: str, reading: str, **changes: Any) -> Config:
        values = {"method": method, "reading": reading, "dataset": dataset, "num_steps": num_steps, **STATED}
        values["split"] = split_of(dataset)
        return Config.from_dict({**values, **changes})

    return [
        Entry("noise-free", run("cnn", "reconstructed", **NO_NOISE)),
        Entry("DP-SGD", run("dp_sgd", "reconstructed")),
        Entry("DP-SGD", run("dp_sgd", "printed", **PRINTED)),
    ]
