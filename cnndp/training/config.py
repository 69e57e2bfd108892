"""Config: everything that determines the numbers of one run, and nothing else."""

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Self

from cnndp.checks import at_least, below_one, file_name, non_negative, one_of, positive, type_names, within
from cnndp.data.datasets import SPLITS
from cnndp.equations.losses import LOSSES
from cnndp.equations.noise import MECHANISMS, check_clamp
from cnndp.training import rules
from cnndp.training.gradients import PRECISIONS
from cnndp.training.models import ACTIVATIONS, INITS, MODELS

NUMERICS_VERSION = 1  # raised when a change of code changes results: every stored run is then out of date
READINGS = ("printed", "reconstructed", "private")
FEATURES = ("none", "scattering")
SAMPLINGS = ("reshuffled", "poisson")
CLIPS = ("none", "batch", "example_l1", "example_l2")
CHOICES = {  # what a field that is a name may be; `model` may be a user's own, too
    "reading": READINGS,
    "split": SPLITS,
    "sampling": SAMPLINGS,
    "features": FEATURES,
    "activation": ACTIVATIONS,
    "init": INITS,
    "evaluate": ("spread", "epochs"),
    "loss": LOSSES,
    "precision": PRECISIONS,
    "clip": CLIPS,
    "mechanism": MECHANISMS,
    "noise_on": ("sum", "mean"),
    "calibration": ("step", "zcdp"),
    "step": ("fixed", "polyak"),
    "l2_over": ("batch", "train"),
}
# Far beyond what any run of the book has, and within what floats, torch and the accountant carry without overflow.
BOUNDS: dict[str, tuple[float, float]] = {
    "num_steps": (1, 1e7),
    "batch_size": (1, 1e7),
    "seed": (0, 2**62),
    "split_seed": (0, 2**62),
    "projection": (1, 20_000),
    "delta": (1e-10, 1),  # below, rounding errors of composed probabilities are of its size
    "growth": (1e-3, 1e3),
    "target_epsilon": (1e-6, 1e6),
    "noise_multiplier": (1e-7, 1e6),  # audits read batches from runs with next to no noise
    **dict.fromkeys(("total_epsilon", "nominal_sensitivity", "clip_norm", "loss_clip"), (1e-12, 1e12)),
    **dict.fromkeys(("mean_noise", "moment_noise", "initial_scale", "max_step"), (1e-12, 1e12)),
    **dict.fromkeys(("min_scale", "decay", "l2_coefficient"), (0, 1e12)),
    "learning_rate": (0, 1e38),  # a run that diverges is a result
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run as plain values, checked on construction; `digest` is its identity.

    What must not change the numbers (device, engine, folder, block size) is not in it. Units: epsilons are pure
    numbers, scales and clip norms are in units of the summed gradient, accuracies elsewhere are percent.

    >>> Config(method="cnn", reading="reconstructed", dataset="digits", num_steps=0)
    Traceback (most recent call last):
        ...
    ValueError: num_steps=0 must be a whole number; the smallest allowed is 1
    """

    method: str  # a name of P1, or your own for a new composition
    reading: str  # "printed", "reconstructed" or "private"
    dataset: str  # a name that data.load knows, or the content name of an .npz
    num_steps: int  # T, mini-batch steps
    seed: int = 0  # initial weights, batches and noise
    secret_seed: bool = False  # batches and noise from the operating system: a private run that nobody can repeat

    split: str = "8:2"  # of all images, or "official"; with " validation", of its training part alone, 9:1
    split_seed: int = 0
    batch_size: int = 250  # B, Table I; the expected size where batches are Poisson samples
    sampling: str = "reshuffled"  # fixed-size batches of a new permutation each epoch; "poisson": q = B/N, N public

    features: str = "none"  # what the network gets: images, or "scattering" features, privately prepared
    mean_noise: float | None = None  # of that preparation: standard deviation of the noise on the sum of features
    moment_noise: float | None = None  # and on the sum of each of the two second moments
    projection: int | None = None  # d: how many random mixtures of the prepared features the network gets; None for all

    model: str = "mnist_cnn"  # a name of `models.MODELS`, or "package.module:function" of your own
    model_shapes: str | None = None  # of a network of your own: the shapes of its parameters, see `own.described`
    activation: str = "tanh"
    init: str = "uniform"  # "uniform" on +-1/sqrt(fan_in), or "kaiming"
    normalise: bool = False  # subtract the dataset's public channel means and divide by the deviations
    loss: str = "cross_entropy"

    clip: str = "none"
    clip_norm: float | None = None  # C; needed unless clip is "none"
    mechanism: str = "none"
    noise_on: str = "sum"  # where the noise of scale sensitivity / epsilon_t goes: "sum" or "mean"
    total_epsilon: float | None = None  # E of Eq. (5); with noise, this or the next
    noise_multiplier: float | None = None  # the same scale in every step: this many times the sensitivity
    target_epsilon: float | None = None  # the numerical epsilon that all releases may spend; decides the noise
    delta: float = 1e-5  # the chance that a numerical epsilon does not hold
    growth: float = 1.0  # r = epsilon_T / epsilon_1
    nominal_sensitivity: float = 0.5  # Table II's; used only where the clip guarantees none
    calibration: str = "step"  # scale = sensitivity / epsilon_t, or "zcdp": one scale for the zCDP total
    initial_scale: float | None = None  # no later scale exceeds it (Table I)
    min_scale: float = 0.0  # no scale falls below it (Table I)

    step: str = "fixed"  # "fixed" or "polyak"
    learning_rate: float = 0.3  # eta, for step="fixed"
    decay: float = 0.0  # eta_t = eta / (1 + decay (t - 1))
    momentum: float = 0.0
    max_step: float | None = None  # lambda of Eq. (11), for step="polyak"; None is no cap, as Eq. (10) prints
    debias: bool = False  # take the expected noise out of ||g||^2 first
    loss_clip: float | None = None  # releases the batch's loss with noise: each example counts at most this much
    loss_share: float = 0.05  # the part of a step's budget that goes to that loss
    l2_coefficient: float = 0.0  # lambda of Eq. (1)
    l2_over: str = "batch"  # n of Eq. (1): "batch" (B) or "train" (N)

    evaluate: str = "spread"  # when: at 15 points, denser early, or after all "epochs"

    precision: str = "float32"  # of the network's passes; "tf32" and "bf16" change results

    numerics_version: int = NUMERICS_VERSION

    def __post_init__(self) -> None:
        for name, hint in hints().items():
            _check_type(name, getattr(self, name), hint)
        for name, choices in CHOICES.items():
            one_of(choices, **{name: getattr(self, name)})
        file_name(method=self.method, dataset=self.dataset)
        if not rules.is_own(self.model):
            one_of(MODELS, model=self.model)
        at_least(1, num_steps=self.num_steps, batch_size=self.batch_size)
        at_least(0, seed=self.seed, split_seed=self.split_seed)
        if self.projection is not None:
            at_least(1, projection=self.projection)
        positive(growth=self.growth, nominal_sensitivity=self.nominal_sensitivity, delta=self.delta)
        below_one(delta=self.delta, loss_share=self.loss_share)
        if self.loss_clip is not None:
            positive(loss_share=self.loss_share)
        non_negative(
            learning_rate=self.learning_rate,
            decay=self.decay,
            momentum=self.momentum,
            l2_coefficient=self.l2_coefficient,
            min_scale=self.min_scale,
        )
        optional = ("clip_norm", "initial_scale", "max_step", "loss_clip", "mean_noise", "moment_noise")
        for name in (*optional, "total_epsilon", "noise_multiplier", "target_epsilon"):
            if getattr(self, name) is not None:
                positive(**{name: getattr(self, name)})
        for name, bounds in BOUNDS.items():
            if (value := getattr(self, name)) is not None:
                within(*bounds, **{name: value})
        rules.check(self)
        check_clamp(self.initial_scale, self.min_scale)
        below_one(momentum=self.momentum)

    @cached_property
    def digest(self) -> str:
        """Return 12 hexadecimal digits: the identity of a run.

        Fields at their default are left out, so that a field added later keeps the digests of old runs; a
        changed default changes what a digest means and needs a new `NUMERICS_VERSION`.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        chosen = {
            name: value
            for name, value in self.to_dict().items()
            if value != defaults[name] or name == "numerics_version"
        }
        text = json.dumps(chosen, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types; whole floats stay floats, so 1 and 1.0 have one digest."""
        types_of = hints()
        return {
            name: float(value) if _is_float(types_of[name]) and value is not None else value
            for name, value in self._fields().items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the Config with these fields; an unknown name is an error that suggests the closest."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            one_of(known, parameter=name)
        return cls(**values)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return type(self).from_dict({**self._fields(), **changes})

    def _fields(self) -> dict[str, Any]:
        """Return the fields as they are; `dataclasses.asdict` would copy each of thousands of values a page."""
        return {name: getattr(self, name) for name in hints()}


@cache
def hints() -> dict[str, Any]:
    """Return the types of the fields of a Config."""
    return typing.get_type_hints(Config)


def _is_float(hint: Any) -> bool:
    return hint is float or float in typing.get_args(hint)


def _check_type(name: str, value: Any, hint: Any) -> None:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    # An int is a fine float; a bool is not a fine int.
    fits = type(value) in allowed or (type(value) is int and float in allowed)
    if not fits:
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; pass {type_names(allowed)}")
