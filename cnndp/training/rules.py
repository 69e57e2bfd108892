"""Which fields of a Config go together: a table of named rules, each with what it says when it is broken."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """One combination that would mean nothing, be ignored, or promise what does not hold.

    Attributes:
        name: for people and tests.
        fields: whose values open the message.
        broken: tells whether a Config breaks it.
        remedy: why it is refused, and what to pass instead.
    """

    name: str
    fields: tuple[str, ...]
    broken: Callable[[Any], bool]
    remedy: str

    def message(self, config: Any) -> str:
        """Return the values of the fields, and the remedy."""
        first, *others = (f"{name}={getattr(config, name)!r}" for name in self.fields)
        return f"{first} with {', '.join(others)}: {self.remedy}"


def is_own(model: str) -> bool:
    """Return whether a network is a user's own function, `package.module:function`.

    >>> is_own("mnist_cnn"), is_own("mine:network")
    (False, True)
    """
    return ":" in model


def is_clamped(config: Any) -> bool:
    """Return whether noise scales are held between bounds."""
    return config.initial_scale is not None or config.min_scale > 0


def has_noised_statistics(config: Any) -> bool:
    """Return whether both statistics of prepared features get noise."""
    return config.mean_noise is not None and config.moment_noise is not None


def is_private(config: Any) -> bool:
    """Return whether a run promises a valid guarantee."""
    return bool(config.reading == "private")


NORM_OF = {"laplace": "example_l1", "gaussian": "example_l2"}  # the clip whose norm the noise needs
RULES = (
    Rule(
        "features come with their model and noise",
        ("features", "model", "mean_noise", "moment_noise"),
        lambda c: (
            not (c.model == "scattering_linear") == (c.features == "scattering") == has_noised_statistics(c)
            or (c.mean_noise is None) != (c.moment_noise is None)
        ),
        "model='scattering_linear' needs features='scattering' and noise on both of their statistics (15 and 20 suit "
        "60,000 images), and no other network takes them",
    ),
    Rule(
        "only features are projected",
        ("projection", "features"),
        lambda c: c.projection is not None and c.features != "scattering",
        "only features are projected; pass features='scattering', or projection=None",
    ),
    Rule(
        "an own network comes with its shapes",
        ("model", "model_shapes"),
        lambda c: is_own(c.model) != (c.model_shapes is not None),
        "a network of your own is known by name and shapes, the others by name alone; pass "
        "**own.described(model, num_classes) for one of yours, or model_shapes=None",
    ),
    Rule(
        "an own network brings its activation and weights",
        ("model", "activation", "init"),
        lambda c: is_own(c.model) and (c.activation, c.init) != ("tanh", "uniform"),
        "a network of your own has its own activation and initial weights, so both would be ignored; leave them out",
    ),
    Rule(
        "a clip comes with its norm",
        ("clip", "clip_norm"),
        lambda c: (c.clip == "none") != (c.clip_norm is None),
        "give both, or neither (clip='none')",
    ),
    Rule(
        "noise comes with a budget",
        ("mechanism", "total_epsilon"),
        lambda c: (
            (c.mechanism == "none")
            != all(budget is None for budget in (c.total_epsilon, c.noise_multiplier, c.target_epsilon))
        ),
        "noise needs a budget (or a noise_multiplier, or a target_epsilon), and a budget needs a mechanism ('laplace' "
        "or 'gaussian')",
    ),
    Rule(
        "noise on the mean follows from a budget",
        ("noise_on", "mechanism", "noise_multiplier"),
        lambda c: c.noise_on == "mean" and (c.mechanism == "none" or c.noise_multiplier is not None),
        "only noise that follows from a budget can go on the mean; leave it at 'sum'",
    ),
    Rule(
        "a multiplier is not clamped",
        ("noise_multiplier", "initial_scale", "min_scale"),
        lambda c: c.noise_multiplier is not None and is_clamped(c),
        "the multiplier fixes every scale; leave these at None and 0",
    ),
    Rule(
        "a multiplier is the same in every step",
        ("noise_multiplier", "total_epsilon", "calibration", "growth"),
        lambda c: c.noise_multiplier is not None and (c.total_epsilon, c.calibration, c.growth) != (None, "step", 1),
        "the multiplier fixes one scale for all steps; leave these at None, 'step' and 1",
    ),
    Rule(
        "a multiplier needs a sensitivity",
        ("noise_multiplier", "clip"),
        lambda c: c.noise_multiplier is not None and not c.clip.startswith("example"),
        "it multiplies the sensitivity that a clip per example guarantees; pass clip='example_l2' or 'example_l1'",
    ),
    Rule(
        "Laplace noise has an L1 bound",
        ("mechanism", "clip"),
        lambda c: c.mechanism == "laplace" and c.clip == "example_l2",
        "Laplace noise needs an L1 bound; pass clip='example_l1', or mechanism='gaussian'",
    ),
    Rule(
        "zCDP noise is Gaussian",
        ("calibration", "mechanism"),
        lambda c: c.calibration == "zcdp" and c.mechanism != "gaussian",
        "zCDP noise is 'gaussian'",
    ),
    Rule(
        "zCDP has one scale",
        ("calibration", "growth", "initial_scale", "min_scale"),
        lambda c: c.calibration == "zcdp" and (c.growth != 1 or is_clamped(c)),
        "it uses one scale throughout; leave these at 1, None and 0",
    ),
    Rule(
        "a secret seed keeps a guarantee",
        ("secret_seed", "reading"),
        lambda c: c.secret_seed and not is_private(c),
        "there is no guarantee that a known seed would break; leave it at False, or pass reading='private'",
    ),
    Rule(
        "targets and released losses are private",
        ("reading", "target_epsilon", "loss_clip"),
        lambda c: not is_private(c) and (c.target_epsilon is not None or c.loss_clip is not None),
        "both belong to reading='private'",
    ),
    Rule(
        "private noise fits its clip",
        ("reading", "mechanism", "clip"),
        lambda c: is_private(c) and c.clip != NORM_OF.get(c.mechanism),
        "it needs Laplace noise with clip='example_l1', or Gaussian noise with clip='example_l2'",
    ),
    Rule(
        "private batches are Poisson samples",
        ("reading", "sampling", "noise_on"),
        lambda c: is_private(c) and (c.sampling, c.noise_on) != ("poisson", "sum"),
        "what is accounted for is Poisson sampling with noise on the sum; pass sampling='poisson', noise_on='sum'",
    ),
    Rule(
        "private noise follows from its target",
        ("reading", "total_epsilon", "calibration", "initial_scale", "min_scale"),
        lambda c: is_private(c) and (c.total_epsilon is not None or c.calibration != "step" or is_clamped(c)),
        "its noise follows from target_epsilon (or noise_multiplier) and growth alone; leave these at None, 'step', "
        "None and 0",
    ),
    Rule(
        "one number decides private noise",
        ("target_epsilon", "noise_multiplier"),
        lambda c: is_private(c) and c.target_epsilon is not None and c.noise_multiplier is not None,
        "either decides the noise; give one",
    ),
    Rule(
        "a private Polyak step releases its loss",
        ("reading", "step", "loss_clip"),
        lambda c: is_private(c) and (c.step == "polyak") != (c.loss_clip is not None),
        "a Polyak step reads the loss, which must be released with noise (give loss_clip), and no other step does "
        "(leave it at None)",
    ),
    Rule(
        "cap and de-biasing are of Polyak steps",
        ("step", "debias", "max_step"),
        lambda c: c.step == "fixed" and (c.debias or c.max_step is not None),
        "both belong to step='polyak'",
    ),
    Rule(
        "a de-biased step has a cap",
        ("debias", "max_step"),
        lambda c: c.debias and c.max_step is None,
        "without a cap the de-biased norm makes steps of any size; give max_step (0.3 is the reconstruction's)",
    ),
)


def check(config: Any) -> None:
    """Raise `ValueError` at the first rule that a Config breaks."""
    for rule in RULES:
        if rule.broken(config):
            raise ValueError(rule.message(config))
