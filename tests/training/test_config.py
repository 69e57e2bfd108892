"""A Config refuses what cannot be run, and its digest is the identity of a run."""

import dataclasses
import json

import pytest

from cnndp.training import rules
from cnndp.training.config import CLIPS, NUMERICS_VERSION, Config

PLAIN = {"method": "cnn", "reading": "reconstructed", "dataset": "digits", "num_steps": 10}
FULL = {
    "method": "cnn_dp_gan_polyak",
    "reading": "reconstructed",
    "dataset": "mnist",
    "num_steps": 300,
    "clip": "example_l1",
    "clip_norm": 0.5,
    "mechanism": "laplace",
    "total_epsilon": 72.5,
    "step": "polyak",
    "max_step": 0.3,
    "debias": True,
}
OTHER = {
    "method": "mine",
    "reading": "printed",
    "dataset": "npz-mine-0123456789ab",
    "num_steps": 301,
    "seed": 1,
    "secret_seed": True,
    "split": "official",
    "split_seed": 1,
    "batch_size": 256,
    "model": "cifar_cnn",
    "activation": "relu",
    "loss": "brier",
    "init": "kaiming",
    "normalise": True,
    "evaluate": "epochs",
    "clip": "example_l2",
    "clip_norm": 0.25,
    "mechanism": "gaussian",
    "noise_on": "mean",
    "total_epsilon": 72.0,
    "noise_multiplier": 1.3,
    "growth": 2.0,
    "nominal_sensitivity": 1.0,
    "calibration": "zcdp",
    "initial_scale": 2.0,
    "min_scale": 0.18,
    "step": "fixed",
    "learning_rate": 0.1,
    "decay": 0.5,
    "momentum": 0.9,
    "max_step": 1.0,
    "debias": False,
    "l2_coefficient": 0.5,
    "l2_over": "train",
    "precision": "bf16",
    "sampling": "poisson",
    "target_epsilon": 2.0,
    "delta": 1e-6,
    "loss_clip": 3.0,
    "loss_share": 0.1,
    "mean_noise": 16.0,
    "moment_noise": 21.0,
    "projection": 7,
    "numerics_version": NUMERICS_VERSION + 1,
}
SCATTERING = {
    **PLAIN,
    "features": "scattering",
    "model": "scattering_linear",
    "mean_noise": 15.0,
    "moment_noise": 20.0,
}
PRIVATE = {
    **PLAIN,
    "reading": "private",
    "sampling": "poisson",
    "mechanism": "gaussian",
    "clip": "example_l2",
    "clip_norm": 1.0,
    "step": "polyak",
    "target_epsilon": 3.0,
    "loss_clip": 4.0,
}


PARTNERS = {"features", "model_shapes"}  # decided by the model, so that they never change alone


def test_features_and_their_model_come_together():
    assert Config(**SCATTERING).digest != Config(**PLAIN).digest
    for name in ("features", "model", "mean_noise", "moment_noise"):
        with pytest.raises(ValueError, match="needs features='scattering' and noise on"):
            Config(**{key: value for key, value in SCATTERING.items() if key != name})


def test_every_field_has_another_value_here():
    assert set(OTHER) | PARTNERS == {field.name for field in dataclasses.fields(Config)}


def base_for(name):
    """A Config in which the field `name` alone can take its value of OTHER."""
    if name in ("features", "mean_noise", "moment_noise", "projection"):
        return Config(**SCATTERING)
    if name in ("target_epsilon", "delta", "loss_clip", "loss_share", "secret_seed"):
        return Config(**PRIVATE)
    gaussian = {**FULL, "mechanism": "laplace" if name == "mechanism" else "gaussian"}
    if name == "noise_multiplier":
        gaussian |= {
            "total_epsilon": None,
            "noise_multiplier": 1.0,
            "growth": 1.0,
            "initial_scale": None,
            "min_scale": 0.0,
        }
    uncapped = {"max_step": None, "debias": False} if name == "step" else {}
    return Config(**{**gaussian, **uncapped})


@pytest.mark.parametrize("name", OTHER)
def test_the_digest_changes_with_every_field(name):
    base = base_for(name)
    changed = base.replace(**{name: OTHER[name]})
    assert getattr(changed, name) == OTHER[name] != getattr(base, name)
    assert changed.digest != base.digest
    others = {base_for(key).replace(**{key: value}).digest for key, value in OTHER.items()}
    assert len(others) == len(OTHER)


def test_the_digest_of_stored_runs_stays_what_it_is():
    assert Config(**FULL, numerics_version=1).digest == "fdf32358523e"
    assert Config(**PLAIN, numerics_version=1).digest == "6547417cbdb1"


def test_a_field_at_its_default_does_not_count_and_the_numerics_version_does():
    assert Config(**PLAIN, growth=1.0, seed=0, clip_norm=None).digest == Config(**PLAIN).digest
    assert Config(**PLAIN, numerics_version=NUMERICS_VERSION + 1).digest != Config(**PLAIN).digest


@pytest.mark.parametrize(("name", "whole"), [("total_epsilon", 72), ("growth", 3), ("max_step", 1), ("decay", 1)])
def test_1_and_1_point_0_have_one_digest(name, whole):
    base = Config(**FULL)
    assert base.replace(**{name: whole}).digest == base.replace(**{name: float(whole)}).digest
    assert type(base.replace(**{name: whole}).to_dict()[name]) is float


@pytest.mark.parametrize("values", [PLAIN, FULL, PRIVATE, SCATTERING])
def test_a_config_survives_json(values):
    config = Config(**values)
    back = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert back == config
    assert back.digest == config.digest
    assert Config.from_dict(dict(reversed(config.to_dict().items()))).digest == config.digest


def test_a_config_cannot_be_changed_in_place_and_replace_leaves_it_alone():
    config = Config(**PLAIN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3
    assert config.replace(seed=3).seed == 3
    assert config.seed == 0


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("num_steps", 10.0, "int"),
        ("num_steps", True, "int"),
        ("seed", "0", "int"),
        ("seed", None, "int"),
        ("learning_rate", "0.3", "float"),
        ("learning_rate", True, "float"),
        ("max_step", "0.3", "float or None"),
        ("debias", 1, "bool"),
        ("dataset", 3, "str"),
    ],
)
def test_a_wrong_type_is_refused_with_name_value_and_type(name, value, wanted):
    with pytest.raises(TypeError, match=rf"^{name}={value!r} is of type {type(value).__name__}; pass {wanted}$"):
        Config(**{**FULL, name: value})


@pytest.mark.parametrize("name", ["clip_norm", "total_epsilon", "growth", "nominal_sensitivity", "max_step"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_must_be_positive_is_refused_with_name_value_and_remedy(name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value} must be a finite number above 0; pass one, for example"):
        Config(**{**FULL, name: value})


@pytest.mark.parametrize("name", ["learning_rate", "decay", "momentum", "l2_coefficient", "min_scale"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_what_must_not_be_negative_is_refused_with_name_value_and_remedy(name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value} must be a finite number of at least 0; pass 0"):
        Config(**{**FULL, name: value})


@pytest.mark.parametrize(
    ("name", "value", "minimum"), [("num_steps", 0, 1), ("batch_size", 0, 1), ("seed", -1, 0), ("split_seed", -1, 0)]
)
def test_counts_have_a_smallest_value(name, value, minimum):
    with pytest.raises(ValueError, match=rf"^{name}={value} must be a whole number; the smallest allowed is {minimum}"):
        Config(**{**PLAIN, name: value})


@pytest.mark.parametrize(
    ("name", "value", "closest"),
    [
        ("reading", "print", "printed"),
        ("split", "oficial", "official"),
        ("sampling", "reshufled", "reshuffled"),
        ("model", "mnist", "mnist_cnn"),
        ("activation", "tan", "tanh"),
        ("loss", "brie", "brier"),
        ("clip", "example", "example_l"),
        ("mechanism", "laplac", "laplace"),
        ("noise_on", "means", "mean"),
        ("calibration", "steps", "step"),
        ("step", "polya", "polyak"),
        ("l2_over", "trian", "train"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(name, value, closest):
    with pytest.raises(ValueError, match=rf"^{name}='{value}' is not known; did you mean '{closest}.*Known: "):
        Config(**{**FULL, name: value})


def test_an_unknown_field_is_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"'learning_rat' is not known; did you mean 'learning_rate'\?"):
        Config.from_dict({**PLAIN, "learning_rat": 0.1})
    with pytest.raises(ValueError, match=r"did you mean 'max_step'\?"):
        Config(**PLAIN).replace(max_stp=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_norm": None}, r"clip='example_l1' with clip_norm=None: give both, or neither"),
        ({"clip": "none"}, r"clip='none' with clip_norm=0.5: give both, or neither"),
        ({"total_epsilon": None}, r"mechanism='laplace' with total_epsilon=None: noise needs a budget"),
        ({"mechanism": "none"}, r"mechanism='none' with total_epsilon=72.5: .*a budget needs a mechanism"),
        ({"max_step": None}, r"debias=True with max_step=None: .*give max_step"),
    ],
)
def test_combinations_that_mean_nothing_are_refused_with_a_remedy(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**{**FULL, **changes})


@pytest.mark.parametrize("clip", [clip for clip in CLIPS if clip != "none"])
def test_every_clip_needs_its_norm(clip):
    with pytest.raises(ValueError, match=f"clip='{clip}' with clip_norm=None"):
        Config(**PLAIN, clip=clip)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret_seed": True}, "secret_seed=True with reading='reconstructed'"),
        ({"noise_on": "mean"}, "noise_on='mean' with mechanism='none'"),
    ],
)
def test_what_would_be_ignored_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**{**PLAIN, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_on": "mean"}, "noise_on='mean' with mechanism='gaussian', noise_multiplier=1.0"),
        ({"min_scale": 0.1}, "noise_multiplier=1.0 with initial_scale=None, min_scale=0.1"),
        ({"initial_scale": 2.0}, "noise_multiplier=1.0 with initial_scale=2.0, min_scale=0.0"),
    ],
)
def test_what_a_noise_multiplier_leaves_no_room_for_is_refused(changes, message):
    fixed = {"mechanism": "gaussian", "clip": "example_l2", "clip_norm": 1.0, "noise_multiplier": 1.0}
    Config(**{**PLAIN, **fixed})
    with pytest.raises(ValueError, match=message):
        Config(**{**PLAIN, **fixed, **changes})


MULTIPLIED = {"mechanism": "gaussian", "clip": "example_l2", "clip_norm": 1.0, "noise_multiplier": 1.0}
ZCDP = {"mechanism": "gaussian", "total_epsilon": 1.0, "calibration": "zcdp"}
OWN = {"model": "mine:network", "model_shapes": "weight [10, 784]"}
# One Config for each rule that breaks it, and no rule before it.
BROKEN = {
    "features come with their model and noise": {**PLAIN, "features": "scattering"},
    "only features are projected": {**PLAIN, "projection": 5},
    "an own network comes with its shapes": {**PLAIN, "model": "mine:network"},
    "an own network brings its activation and weights": {**PLAIN, **OWN, "activation": "relu"},
    "a clip comes with its norm": {**PLAIN, "clip": "batch"},
    "noise comes with a budget": {**PLAIN, "mechanism": "laplace"},
    "noise on the mean follows from a budget": {**PLAIN, "noise_on": "mean"},
    "a multiplier is not clamped": {**PLAIN, **MULTIPLIED, "min_scale": 0.1},
    "a multiplier is the same in every step": {**PLAIN, **MULTIPLIED, "growth": 2.0},
    "a multiplier needs a sensitivity": {**PLAIN, **MULTIPLIED, "clip": "batch"},
    "Laplace noise has an L1 bound": {**FULL, "clip": "example_l2"},
    "zCDP noise is Gaussian": {**PLAIN, **ZCDP, "mechanism": "laplace"},
    "zCDP has one scale": {**PLAIN, **ZCDP, "growth": 2.0},
    "a secret seed keeps a guarantee": {**PLAIN, "secret_seed": True},
    "targets and released losses are private": {**PRIVATE, "reading": "reconstructed"},
    "private noise fits its clip": {**PRIVATE, "clip": "example_l1"},
    "private batches are Poisson samples": {**PRIVATE, "sampling": "reshuffled"},
    "private noise follows from its target": {**PRIVATE, "min_scale": 0.1},
    "one number decides private noise": {**PRIVATE, "noise_multiplier": 1.0},
    "a private Polyak step releases its loss": {**PRIVATE, "loss_clip": None},
    "cap and de-biasing are of Polyak steps": {**PLAIN, "max_step": 0.3},
    "a de-biased step has a cap": {**FULL, "max_step": None},
}


def test_every_rule_on_combinations_has_a_name_and_a_case_here():
    assert [rule.name for rule in rules.RULES] == list(BROKEN)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.name)
def test_a_broken_rule_names_its_fields_their_values_and_the_remedy(rule):
    with pytest.raises(ValueError, match=r"\w") as caught:
        Config(**BROKEN[rule.name])
    values = {**{field.name: field.default for field in dataclasses.fields(Config)}, **BROKEN[rule.name]}
    for name in rule.fields:
        assert f"{name}={values[name]!r}" in str(caught.value)
    assert str(caught.value).endswith(f": {rule.remedy}")


@pytest.mark.parametrize("values", [PLAIN, FULL, PRIVATE, SCATTERING, {**PLAIN, **MULTIPLIED}, {**PLAIN, **ZCDP}])
def test_what_means_something_breaks_no_rule(values):
    assert not [rule.name for rule in rules.RULES if rule.broken(Config(**values))]
