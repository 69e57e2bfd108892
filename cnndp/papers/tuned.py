"""What was chosen on validation images, as data: tuned.json beside this file, written by `python -m cnndp tune`."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("tuned.json")


class Choice(NamedTuple):
    """The best rate of one run of a tuning section: a learning rate, or the cap of a Polyak step.

    Attributes:
        name, panel, target, projection: which run, as columns of `runs.frames`.
        rate: the value whose mean accuracy on validation images is the highest.
    """

    name: str
    panel: str
    target: str
    projection: int | None
    rate: float


@cache
def stored() -> dict[str, Any]:
    """Return the content of the file: by section and dataset, the choices and what they were made from."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def choices(section: str, dataset: str) -> list[Choice]:
    """Return what a tuning section chose on a dataset, MNIST's for a dataset that was not tuned.

    >>> choices("frontier_cnn_tuning", "digits")[0]
    Choice(name='CNN, DP-SGD', panel='', target='ε = 1', projection=None, rate=4.0)
    """
    by_dataset = stored().get(section, {})
    entry = by_dataset.get(dataset) or by_dataset.get("mnist") or {"chosen": []}
    return [Choice(**choice) for choice in entry["chosen"]]


def rate(
    section: str, dataset: str, name: str, *, panel: str = "", target: str = "", projection: int | None = None
) -> float | None:
    """Return the rate that was chosen for one run, None where nothing was.

    >>> rate("equal_terms_tuning", "mnist", "momentum", panel="clip 0.5")
    0.1
    """
    wanted = name, panel, target, projection
    return next((one.rate for one in choices(section, dataset) if one[:4] == wanted), None)
