"""Config, the options of sections, notebooks and commands, under generated values."""

import math
import re
import sys
import typing
from functools import cache

import pytest
import torch
from endings import check_sentence, ending, some
from hypothesis import given
from hypothesis import strategies as st

from cnndp.__main__ import main
from cnndp.papers.presets import METHODS, preset
from cnndp.papers.sections.plan import PROFILES, SECTIONS
from cnndp.runs import experiment, store, verify
from cnndp.runs.recording import make_record
from cnndp.training.clipping import ENGINES
from cnndp.training.config import BOUNDS, CHOICES, READINGS, Config, hints
from cnndp.training.intended import intended
from cnndp.training.methods import compose

FIELDS = list(Config.__dataclass_fields__)
NUM_TRAIN = 1437  # of digits
BASES = [
    preset("cnn", "reconstructed", "digits", 20),
    preset("cnn_noisy", "reconstructed", "mnist", 20),
    preset("cnn_dp_gan_polyak", "reconstructed", "digits", 20),
    preset("cnn_dp_gan", "printed", "cifar10", 20),
    preset("cdp", "reconstructed", "digits", 20),
    preset("dp_sgd", "private", "digits", 20, target_epsilon=3.0),
    preset("cnn_dp_gan_polyak", "private", "mnist", 20, target_epsilon=3.0),
]
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 10, 250, 0.0, 0.5, 1.0, 2.0, 1e-5, 0.9, 5e-324, 1e-300, 1e300, 10**30, -0.0]),
    st.floats(),
    st.integers(),
    st.floats(1e-3, 1e3),
)
OTHERS = st.one_of(st.none(), st.booleans(), st.text(max_size=12), st.lists(st.integers(0, 9), max_size=3))
NAMES = st.sampled_from(sorted({name for choices in CHOICES.values() for name in choices} | {*METHODS, "none"}))
VALUES = st.one_of(NUMBERS, NAMES, OTHERS)


def mostly(fine, bad):
    """Return values, three of four of which are fine by themselves."""
    return st.integers(0, 3).flatmap(lambda kind: fine if kind else bad)


def fine(name):
    """Return values that a field takes, where no other field stands against them."""
    kinds = typing.get_args(hints()[name]) or (hints()[name],)
    if name in CHOICES:
        return st.sampled_from(list(CHOICES[name]))
    if bool in kinds:
        return st.booleans()
    if float in kinds:
        low, high = BOUNDS.get(name, (0.0, 1.0))
        low, high = max(low, 1e-12), min(high, 1e12)
        return st.floats(math.log(low), math.log(high)).map(lambda power: min(max(math.exp(power), low), high))
    if int in kinds:
        low, high = BOUNDS.get(name, (1, 2))
        return st.one_of(st.integers(int(low), min(int(high), 60)), st.integers(int(low), int(high)))
    return st.sampled_from(["cnn", "mine", "digits", "npz-mine-0123456789ab", "mnist_cnn", "cifar_cnn"])


def fitting(name):
    """Return values for a field, mostly of the kind that it takes."""
    return mostly(fine(name), VALUES) if name in FIELDS else VALUES


@st.composite
def changes(draw):
    """Return up to four fields with other values."""
    names = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True))
    return {name: draw(fitting(name)) for name in names}


def config_holds(base, changed):
    """Make a Config; one that is made has an identity, comes back from JSON, and has noise at every step."""
    config = Config.from_dict({**base.to_dict(), **changed})
    again = Config.from_dict(config.to_dict())
    assert (again, again.digest) == (config, config.digest)
    if config.num_steps <= 100 and config.batch_size <= NUM_TRAIN and config.reading != "private":
        scale = compose(config, NUM_TRAIN).scale
        for t in (1, config.num_steps):
            assert config.mechanism == "none" or math.isfinite(scale(t, 1.0))


@some(250)
@given(base=st.sampled_from(BASES), changed=changes())
def test_a_config_is_one_or_is_refused_by_field_and_remedy(note, base, changed):
    note("Config", ending(lambda: config_holds(base, changed), *FIELDS))


# Sixty images under a name of their own, since those of digits are held to its size.
DIGITS = [
    base.replace(batch_size=8, num_steps=2, dataset="npz-few-0123456789ab")
    for base in BASES
    if base.dataset == "digits"
]
TRAINED = [name for name in FIELDS if name not in ("num_steps", "dataset", "batch_size", "features", "projection")]


def training_holds(base, changed, few):
    """Train a Config that is one for two steps; its record can be made and is as the checks want it."""
    config = Config.from_dict({**base.to_dict(), **changed})
    record = make_record(config, few, "fig07_ablation", torch.device("cpu"))
    store.canonical(record)
    wrong = verify.problems(record)
    assert {name for name in wrong if name != "content"} <= ({"identity"} if config.numerics_version != 1 else set())


@some(10, shrink=False)
@given(base=st.sampled_from(DIGITS), names=st.lists(st.sampled_from(TRAINED), max_size=2, unique=True), data=st.data())
def test_a_config_that_is_one_trains_to_a_record_or_is_refused(note, few, base, names, data):
    changed = {name: data.draw(fine(name)) for name in names}
    note("training", ending(lambda: training_holds(base, changed, few), *FIELDS))


PRIVATE_FIELDS = ("target_epsilon", "noise_multiplier", "delta", "growth", "batch_size", "num_steps", "loss_share")


def plan_holds(changed):
    """Plan a private run; a plan that is made spends its target and no more."""
    method = "cnn_dp_gan_polyak" if changed.pop("loss", False) else "dp_sgd"
    config = preset(method, "private", "digits", **{"num_steps": 2, "target_epsilon": 3.0, **changed})
    made = intended(config, NUM_TRAIN)
    if made is not None:
        assert 0.99 * made.target_epsilon <= made.check().epsilon <= made.target_epsilon


@some(8, shrink=False)
@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            "target_epsilon": fitting("target_epsilon"),
            "delta": fitting("delta"),
            "growth": fitting("growth"),
            "batch_size": st.integers(0, 1_500),
            "num_steps": st.integers(0, 5),
            "loss": st.booleans(),
        },
    )
)
def test_a_private_plan_spends_its_target_or_is_refused(note, changed):
    note("plan", ending(lambda: plan_holds(changed), *PRIVATE_FIELDS))


# Sections, in a notebook or on the command line

TARGET = re.compile(r"ε = ([\d.]+)")
PARAMETERS = [*experiment.PARAMETERS, *experiment.GRIDS, *experiment.TUNING, "secret_seed", *FIELDS]
SLOW = ("private_fig10",)  # works out a cap for every budget, seconds each: with its own values alone
FAST = [name for name in SECTIONS if name not in SLOW]
NO_DATASET = st.sampled_from(["mnst", "", ".", "~nobody/x.npz", "\0.npz"])
NO_NETWORK = st.sampled_from(["os:getcwd", "no.such:thing", "math:pi", ":", "a:", "torch.nn:Identity"])
GIVEN = {
    "dataset": mostly(st.sampled_from(["digits", "mnist", "fashion_mnist", "cifar10"]), NO_DATASET | VALUES),
    "profile": mostly(st.sampled_from(PROFILES), VALUES),
    "num_steps": mostly(st.integers(1, 2_000) | st.none(), VALUES),
    "methods": mostly(st.lists(st.sampled_from(METHODS), min_size=1, max_size=3), VALUES),
    "readings": mostly(st.lists(st.sampled_from(READINGS), min_size=1, max_size=3), VALUES),
    "seeds": mostly(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), st.lists(NUMBERS) | VALUES),
    "batch_size": mostly(st.integers(1, 1_000), VALUES),
    "device": mostly(st.just("cpu"), st.sampled_from(["meta", "cuda:7", "tpu", "cpu:3"]) | VALUES),
    "refresh": mostly(st.booleans(), VALUES),
    "engine": mostly(st.sampled_from(ENGINES), VALUES),
    "max_physical_batch": mostly(st.integers(1, 99), VALUES),
    **dict.fromkeys(
        experiment.GRIDS, mostly(st.lists(st.floats(0.01, 900), min_size=1, max_size=3), st.lists(NUMBERS) | VALUES)
    ),
    "model": mostly(st.sampled_from(["mnist_cnn", "cifar_cnn", "mnist_cnn_valid"]), NO_NETWORK | VALUES),
}
parameters_of = cache(experiment.parameters_of)


@st.composite
def asked(draw):
    """Return a section and up to three parameters, most of which its notebook takes."""
    section = draw(st.sampled_from(FAST))
    other = st.one_of(st.sampled_from(PARAMETERS), st.text(min_size=1, max_size=8))
    names = draw(st.lists(mostly(st.sampled_from(parameters_of(section)), other), max_size=3, unique=True))
    return section, {name: draw(GIVEN[name] if name in GIVEN else fitting(name)) for name in names}


def section_holds(study):
    """Check that the label of every run says what its config has."""
    for run in study.runs:
        stated = TARGET.search(run.label)
        if stated and run.config.reading == "private":
            assert float(stated[1]) == pytest.approx(run.config.target_epsilon, rel=0.01), run.label
        assert run.config.dataset in ("digits", "mnist", "cifar10", "fashion_mnist")
    assert study.runs


@some(100)
@given(asked=asked())
def test_a_section_is_planned_with_right_labels_or_refused(note, asked):
    section, chosen = asked
    note("section", ending(lambda: section_holds(experiment.prepare(section, **chosen))))


NOT_PLAIN = st.sampled_from([range(3), {1, 2}, object(), b"bytes", 1j, print])


@some(60)
@given(
    asked=asked(),
    odd=mostly(st.just({}), st.dictionaries(st.sampled_from(PARAMETERS[:9]), NOT_PLAIN, max_size=1)),
)
def test_the_parameters_of_a_notebook_are_taken_or_refused(note, asked, odd):
    """What is no plain value is refused under the name of a parameter, and not left out in silence."""
    section, chosen = asked
    namespace = {"__name__": "__main__", "_i": "", "In": [], "print": print, **chosen, **odd}
    public = {name: value for name, value in namespace.items() if not name.startswith("_")}
    ended = ending(lambda: section_holds(experiment.from_notebook(section, namespace)))
    assert ended == "refused" or not odd, public
    note("notebook", ended)


def in_words(section, chosen):
    """Return how a shell would be given parameters."""
    options = {name: f"--{name}" for name in ("dataset", "profile", "device")}
    words = ["run", section]
    for name, value in chosen.items():
        words += [options[name], str(value)] if name in options else ["-p", f"{name}={value!r}"]
    return words


WORDS = st.one_of(
    st.sampled_from(["run", "sweep", "status", "replay", "data", "verify", "seal", *FAST, "--help", "-p", "--dataset"]),
    st.sampled_from(["--profile", "small", "--device", "cpu", "digits", "--steps", "--check", "--jobs", "1", "--", ""]),
    st.builds("{}={}".format, st.sampled_from(PARAMETERS), VALUES.map(repr)),
    st.text(max_size=10),
)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Return a function that calls the command line in this process, where nothing is trained and nothing fetched."""
    from click.testing import CliRunner

    place = tmp_path_factory.mktemp("commands")
    environment = {"CNNDP_RESULTS": str(place / "store"), "CNNDP_DATA": str(place / "data"), "CNNDP_OFFLINE": "1"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(experiment, "run", lambda prepared: [])
        patched.setattr(sys.modules[main.callback.__module__], "summary", lambda finished: "")
        yield lambda words: CliRunner(env=environment).invoke(main, words)


@some(120)
@given(
    words=st.one_of(
        st.lists(WORDS, max_size=6),
        st.tuples(st.just("run"), st.sampled_from(FAST), st.just("-p"), WORDS).map(list),
        asked().map(lambda asked: in_words(*asked)),
    )
)
def test_a_command_runs_or_says_in_a_sentence_why_not(note, commands, words):
    finished = commands(words)
    assert finished.exception is None or isinstance(finished.exception, SystemExit), (words, finished.exception)
    said = finished.output
    if finished.exit_code == 2:
        assert "Usage" in said or "Error" in said, (words, said)
    elif finished.exit_code == 1:
        last = next((part for part in said.split("error: ")[1:]), None)
        if last is None:
            assert re.search(r"replay: nothing to replay|seal: ", said), (words, said)
        else:
            check_sentence(last)
    note("command", "refused" if finished.exit_code else "ran")
