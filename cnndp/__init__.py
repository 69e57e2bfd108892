"""Mechanisms of two papers on CNNs trained with differential privacy, small enough to read.

What a user of the mechanisms needs is here by name, and read from its room when it is first asked for:

>>> from cnndp import load, plan, preset
>>> config = preset("dp_sgd", "private", "digits", num_steps=60, target_epsilon=3.0)
>>> plan(config, num_train=len(load("digits").train_labels)).check().epsilon <= 3.0
True
"""

from pkgutil import resolve_name
from typing import Any

__version__ = "0.1.0"

FACE = {  # name: where it is
    "load": "cnndp.data.datasets:load",
    "Config": "cnndp.training.config:Config",
    "preset": "cnndp.papers.presets:preset",
    "described": "cnndp.training.own:described",
    "calibrate": "cnndp.privacy.calibration:calibrate",
    "plan": "cnndp.training.intended:intended",
    "train": "cnndp.training.loop:train",
    "exact_epsilon": "cnndp.privacy.accounting:exact_epsilon",
    "audit_run": "cnndp.audit.audit:audit",
    "prepare": "cnndp.runs.experiment:prepare",
    "run": "cnndp.runs.experiment:run",
    "frame": "cnndp.runs.frames:frame",
}
__all__ = list(FACE)


def __getattr__(name: str) -> Any:
    """Return a name of `FACE`; importing torch and the rest waits until then."""
    if name not in FACE:
        raise AttributeError(f"module 'cnndp' has no attribute {name!r}; it has {', '.join(FACE)}")
    return resolve_name(FACE[name])


def __dir__() -> list[str]:
    return [*globals(), *FACE]
