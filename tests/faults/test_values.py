"""Config, the options of sections, notebooks and commands, under generated values."""

import math
import re
import sys

import pytest
from endings import check_sentence, ending, some
from hypothesis import given
from hypothesis import strategies as st

from cnndp.__main__ import main
from cnndp.papers.presets import METHODS, preset
from cnndp.papers.sections.plan import PROFILES, SECTIONS
from cnndp.runs import experiment
from cnndp.training.config import CHOICES, READINGS, Config
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


def fitting(name):
    """Return values for a field, mostly of the kind that it takes."""
    if name in CHOICES:
        return st.one_of(st.sampled_from(list(CHOICES[name])), VALUES)
    return VALUES


@st.composite
def changes(draw):
    """Return up to four fields with other values."""
    names = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique=True))
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


PRIVATE_FIELDS = ("target_epsilon", "noise_multiplier", "delta", "growth", "batch_size", "num_steps", "loss_share")


def plan_holds(changed):
    """Plan a private run; a plan that is made spends its target and no more."""
    method = "cnn_dp_gan_polyak" if changed.pop("loss", False) else "dp_sgd"
    config = preset(method, "private", "digits", **{"num_steps": 2, "target_epsilon": 3.0, **changed})
    made = intended(config, NUM_TRAIN)
    if made is not None:
        assert 0.99 * made.target_epsilon <= made.check().epsilon <= made.target_epsilon


@some(8)
@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            "target_epsilon": st.one_of(st.floats(1e-6, 1e6), NUMBERS),
            "delta": st.one_of(st.floats(1e-10, 1), NUMBERS),
            "growth": st.one_of(st.floats(1e-3, 1e3), NUMBERS),
            "batch_size": st.integers(-1, 2_000),
            "num_steps": st.integers(-1, 5),
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
GIVEN = {
    "dataset": st.one_of(st.sampled_from(["digits", "mnist", "cifar10", "mnst", "", ".", "~nobody/x.npz", "\0.npz"])),
    "profile": st.one_of(st.sampled_from(PROFILES), VALUES),
    "methods": st.one_of(st.lists(st.sampled_from(METHODS), max_size=3), VALUES),
    "readings": st.one_of(st.lists(st.sampled_from(READINGS), max_size=3), VALUES),
    "seeds": st.one_of(st.lists(NUMBERS, max_size=3), VALUES),
    "device": st.one_of(st.sampled_from(["cpu", "auto", "meta", "cuda:7", "tpu"]), VALUES),
    **dict.fromkeys(experiment.GRIDS, st.one_of(st.lists(NUMBERS, max_size=3), VALUES)),
    "model": st.one_of(
        st.sampled_from(["mnist_cnn", "cifar_cnn", "os:getcwd", "no.such:thing", "math:pi", ":", "a:"]), VALUES
    ),
}


@st.composite
def parameters(draw):
    """Return up to three parameters of a section, few of which do not exist."""
    names = draw(
        st.lists(st.one_of(st.sampled_from(PARAMETERS), st.text(min_size=1, max_size=8)), max_size=3, unique=True)
    )
    return {name: draw(GIVEN[name] if name in GIVEN else fitting(name)) for name in names}


def section_holds(study):
    """Check that the label of every run says what its config has."""
    for run in study.runs:
        stated = TARGET.search(run.label)
        if stated and run.config.reading == "private":
            assert float(stated[1]) == pytest.approx(run.config.target_epsilon, rel=0.01), run.label
        assert run.config.dataset in ("digits", "mnist", "cifar10", "fashion_mnist")
    assert len({run.config.digest for run in study.runs}) >= 1


@some(100)
@given(section=st.sampled_from(FAST), chosen=parameters())
def test_a_section_is_planned_with_right_labels_or_refused(note, section, chosen):
    note("section", ending(lambda: section_holds(experiment.prepare(section, **chosen))))


NOT_PLAIN = st.sampled_from([range(3), {1, 2}, object(), b"bytes", 1j, print])


@some(60)
@given(
    section=st.sampled_from(FAST),
    chosen=parameters(),
    odd=st.dictionaries(st.sampled_from(PARAMETERS[:9]), NOT_PLAIN, max_size=1),
)
def test_the_parameters_of_a_notebook_are_taken_or_refused(note, section, chosen, odd):
    """What is no plain value is refused under the name of a parameter, and not left out in silence."""
    namespace = {"__name__": "__main__", "_i": "", "In": [], "print": print, **chosen, **odd}
    public = {name: value for name, value in namespace.items() if not name.startswith("_")}
    ended = ending(lambda: section_holds(experiment.from_notebook(section, namespace)))
    assert ended == "refused" or not odd, public
    note("notebook", ended)


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
