"""The named methods under each reading, as Configs: the table of decisions in one place.

`printed` takes P1's equations and tables literally; `reconstructed` applies the smallest departures under
which training behaves as P1 describes (book/departures.md numbers them).
"""

from collections.abc import Mapping
from typing import Any

from cnndp.checks import one_of
from cnndp.papers import claims, tuned
from cnndp.papers.tables import TableOne
from cnndp.training.config import READINGS, Config

NOISY_LAPLACE = {"mechanism": "laplace"}
# Constants of the reconstruction, fitted once on MNIST and disclosed; the same on every dataset.
LEARNING_RATE = 0.3
MAX_STEP = 0.3
BASELINE_CLIP = 0.5
GROWTH = 2.0

# CIFAR-10's network hardly trains on the constants above, so every method there has its inputs normalised and its
# weights drawn by Kaiming's rule, all but DP-SGD and CDP have momentum, and each has a rate (Polyak: a cap) of its
# own, chosen on validation images by the section cifar10_tuning (`papers/tuned.json`). DP-SGD and
# CDP go without momentum because DPGDM is DP-SGD with it.
CIFAR10: dict[str, Any] = {"normalise": True, "init": "kaiming"}
CIFAR10_PLAIN = ("dp_sgd", "cdp")
# Names in that section; without noise, or with noise alone, a network takes CNN-DP-GAN's.
CIFAR10_TUNED = {
    "cnn_dp_gan": "CNN-DP-GAN",
    "cnn_dp_gan_polyak": "CNN-DP-GAN-Polyak",
    "dp_sgd": "DP-SGD",
    "dpgdm": "DPGDM",
    "cdp": "CDP",
}
MOMENTUM = 0.9

CLIPPED_GAUSSIAN = {"mechanism": "gaussian", "clip": "example_l2", "clip_norm": BASELINE_CLIP}

RECONSTRUCTED: dict[str, dict[str, Any]] = {
    "cnn": {"mechanism": "none"},
    "cnn_noisy": NOISY_LAPLACE,
    "cnn_dp": NOISY_LAPLACE,
    "cnn_dp_gan": {**NOISY_LAPLACE, "growth": GROWTH},
    "cnn_dp_gan_polyak": {
        **NOISY_LAPLACE,
        "growth": GROWTH,
        "step": "polyak",
        "max_step": MAX_STEP,
        "debias": True,
    },
    "dp_sgd": CLIPPED_GAUSSIAN,
    "dpgdm": {**CLIPPED_GAUSSIAN, "momentum": MOMENTUM},
    "cdp": {**CLIPPED_GAUSSIAN, "calibration": "zcdp"},
}
PRINTED: dict[str, dict[str, Any]] = {
    "cnn_dp": {},
    "cnn_dp_gan": {"growth": GROWTH},
    "cnn_dp_gan_polyak": {"growth": GROWTH, "step": "polyak", "max_step": None},
}
METHODS = tuple(RECONSTRUCTED)
# The same methods made valid. Clips are constants: with nearly all gradients clipped, only rate times clip counts.
PRIVATE_CLIP = {
    "laplace": {"clip": "example_l1", "clip_norm": 100.0},
    "gaussian": {"clip": "example_l2", "clip_norm": 1.0},
}
LOSS_CLIP = 4.0  # of one example; the loss of ten equal probabilities is ln 10 = 2.3
PRIVATE: dict[str, dict[str, Any]] = {
    "cnn_dp": {"mechanism": "laplace"},
    "cnn_dp_gan": {"mechanism": "laplace", "growth": GROWTH},
    "cnn_dp_gan_polyak": {
        "mechanism": "laplace",
        "growth": GROWTH,
        "step": "polyak",
        "max_step": MAX_STEP,
        "debias": True,
        "loss_clip": LOSS_CLIP,
    },
    "dp_sgd": {"mechanism": "gaussian"},
    "dpgdm": {"mechanism": "gaussian", "momentum": MOMENTUM},
}


def table_one(dataset: str) -> TableOne:
    """Return Table I's column for `dataset`; a dataset that P1 does not use takes MNIST's."""
    return claims.TABLE_I.get(dataset, claims.TABLE_I["mnist"])


def preset(method: str, reading: str, dataset: str, num_steps: int, **changes: Any) -> Config:
    """Return the Config of a named method under a reading.

    Args:
        method: one of `METHODS`.
        reading: "printed", "reconstructed" or "private".
        dataset: a dataset name; decides batch size, network and Table II's total.
        num_steps: T. Where Table II has no such T, the per-step budget of the nearest one is kept.
        changes: fields of `Config` to set otherwise. A private run spends Table II's total as numerical epsilon unless
            `target_epsilon` or `noise_multiplier` says otherwise, and `mechanism` turns Laplace noise with an L1 clip
            into its Gaussian twin with an L2 clip.

    Raises:
        ValueError: an unknown name, or a method that the reading does not define.

    >>> preset("cnn_dp_gan", "reconstructed", "mnist", 300).total_epsilon
    72.5
    """
    one_of(METHODS, method=method)
    one_of(READINGS, reading=reading)
    if reading == "printed" and method not in PRINTED:
        raise ValueError(
            f"method={method!r} has no reading='printed': P1 prints an update for {', '.join(PRINTED)} only; "
            "use reading='reconstructed'"
        )
    if reading == "private" and method not in PRIVATE:
        raise ValueError(
            f"method={method!r} has no reading='private': it exists for {', '.join(PRIVATE)} (at equal epsilon 'cdp' "
            "is 'dp_sgd', and 'cnn_noisy' is 'cnn_dp'; 'cnn' has no noise)"
        )
    column = table_one(dataset)
    colour = dataset == "cifar10"
    # Table II's 960 is what is printed; 560 is what was most likely meant.
    total = claims.total_epsilon(dataset, num_steps, misprint=reading != "printed")
    values: dict[str, Any] = {
        "batch_size": column.batch_size,
        "model": "cifar_cnn" if colour else "mnist_cnn",
        "activation": "relu" if colour else "tanh",
        "learning_rate": LEARNING_RATE,
        "total_epsilon": None if method == "cnn" else total,
    }
    if reading == "printed":
        values |= printed_values(method, column)
    elif reading == "reconstructed":
        values |= reconstructed_values(method, colour)
    else:
        values |= private_values(method, colour, total, changes)
    return Config.from_dict(
        {"method": method, "reading": reading, "dataset": dataset, "num_steps": num_steps, **values, **changes}
    )


def reconstructed_values(method: str, colour: bool) -> dict[str, Any]:
    """Return what the reconstruction does, with the departures that CIFAR-10's network needs."""
    values = RECONSTRUCTED[method]
    if not colour:
        return values
    # The noise-free network and the two of constant noise take CNN-DP-GAN's rate: a loss is against the same step.
    rate = tuned.rate("cifar10_tuning", "cifar10", CIFAR10_TUNED.get(method, "CNN-DP-GAN")) or 0.1
    momentum = 0.0 if method in CIFAR10_PLAIN else MOMENTUM
    step = {"max_step": rate} if values.get("step") == "polyak" else {"learning_rate": rate}
    return {**values, **CIFAR10, "momentum": momentum, **step}


def private_values(method: str, colour: bool, total: float, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method with the clip that its noise needs, Poisson batches, and an exact target."""
    values = PRIVATE[method]
    mechanism = changes.get("mechanism", values["mechanism"])
    target = None if "noise_multiplier" in changes else total
    return {
        **values,
        **PRIVATE_CLIP[mechanism],
        **(CIFAR10 if colour else {}),
        "total_epsilon": None,
        "target_epsilon": target,
        "sampling": "poisson",
    }


PRINTED_FIELDS = ("mechanism", "noise_on", "clip", "clip_norm", "learning_rate", "l2_coefficient", "l2_over")


def printed_values(method: str, column: TableOne) -> dict[str, Any]:
    """Return what P1 prints: clip of the batch gradient, Laplace noise on the mean, Table I's rate and L2."""
    return {
        "mechanism": "laplace",
        "noise_on": "mean",
        "clip": "batch",
        "clip_norm": column.clip_norm,
        "learning_rate": column.learning_rate,
        "l2_coefficient": column.l2_coefficient,
        "l2_over": "train",
        **PRINTED[method],
    }
