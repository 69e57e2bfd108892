"""How long runs will take, said before they start: from what the book's own records took on one CPU core."""

from collections.abc import Iterable

from cnndp.training.config import Config

# Seconds an example and step, the median of the records of each network; a test holds them to the records.
SECONDS_AN_EXAMPLE = {"mnist_cnn": 1.3e-4, "cifar_cnn": 1.2e-3, "scattering_linear": 2e-5}
OTHER = "mnist_cnn"  # what a network of a user's own counts as
SECONDS_A_RUN = 1.0  # to prepare and measure it


def expected_seconds(configs: Iterable[Config]) -> float:
    """Return about how many seconds runs take, one after the other on one core.

    >>> run = Config.from_dict({"method": "cnn", "reading": "reconstructed", "dataset": "mnist", "num_steps": 400})
    >>> round(expected_seconds([run]))  # 1 + 400 steps x 250 examples x 0.13 ms
    14
    """
    return sum(
        SECONDS_A_RUN
        + config.num_steps * config.batch_size * SECONDS_AN_EXAMPLE.get(config.model, SECONDS_AN_EXAMPLE[OTHER])
        for config in configs
    )


def announcement(configs: Iterable[Config]) -> str:
    """Return how many runs are to be trained, and about how long that takes."""
    runs = list(configs)
    steps = sum(config.num_steps for config in runs)
    return f"{len(runs)} runs of {steps:,} steps in all to train, about {duration(expected_seconds(runs))} on one core"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(40), duration(90), duration(400), duration(8000)
    ('40 s', '2 minutes', '7 minutes', '2.2 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes <= 90 else f"{seconds / 3600:.1f} hours"
