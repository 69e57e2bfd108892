"""Every notebook with every choice a reader can make: it shows what there is, or stops with one sentence."""

import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cells import execute

from cnndp.papers.presets import METHODS
from cnndp.papers.sections.plan import SECTIONS, NoRuns, Options, plan
from cnndp.report.figures import drawing

pytestmark = pytest.mark.slow

FILTERS = ("methods", "readings")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LONG = {"private_tuning", "survive_tuning", "survive_laplace_tuning"}  # many private runs, each with a noise of its own
CASES = [
    ("T = 2", {}),
    ("T = 1, colour", {"num_steps": 1, "dataset": "colour.npz"}),
    ("T = 10, two seeds", {"num_steps": 10, "seeds": [0, 3]}),
    *((name, {"methods": [name]}) for name in METHODS),
    ("two methods", {"methods": ["cnn", "cnn_dp_gan"]}),  # the example in every parameters cell
    *((name, {"readings": [name]}) for name in ("printed", "reconstructed", "private")),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a grey and a colour file of three classes, and a store that the tests of it share."""
    folder = tmp_path_factory.mktemp("subsets")
    rng = np.random.default_rng(0)
    for name, shape in (("grey", (28, 28)), ("colour", (32, 32, 3))):
        x = rng.integers(0, 256, (80, *shape), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", x=x, y=np.arange(80) % 3)
    return folder


# One process has all of a section, whose runs its tests share.
ALL = [pytest.param(section, marks=pytest.mark.xdist_group(f"subsets of {section}")) for section in SECTIONS]


@pytest.mark.parametrize("section", ALL)
@pytest.mark.parametrize(("name", "given"), CASES, ids=[name for name, _ in CASES])
def test_a_notebook_takes_every_choice(place, monkeypatch, capsys, section, name, given):
    if section in LONG and name not in ("T = 2", "dp_sgd"):
        pytest.skip("a tuning page: one look at all its runs, and at one method")
    monkeypatch.setenv("CNNDP_RESULTS", str(place / "store"))
    monkeypatch.chdir(place)
    parameters = {"dataset": "grey.npz", "num_steps": 2, **given}
    runs = chosen_runs(section, given)
    if not runs:
        with pytest.raises(NoRuns, match=rf"leave no run in section '{section}'"):
            execute(NOTEBOOKS / f"{section}.ipynb", monkeypatch, **parameters)
        return
    if same := next((other for other, choice in before(name) if chosen_runs(section, choice) == runs), None):
        pytest.skip(f"these are the runs of {same!r}, which another test shows")
    shown = execute(NOTEBOOKS / f"{section}.ipynb", monkeypatch, **parameters)
    text = "\n".join(shown)
    assert "*Source.*" in text
    assert "Guarantee**" in text or "No guarantee**" in text
    assert capsys.readouterr().out.rstrip().endswith(("pass", "which was not kept"))
    assert "nan" not in text.replace("nan)", "")


def chosen_runs(section, given):
    """Return the labels of the runs that a choice of methods and readings leaves a section."""
    return labels_of(section, *(tuple(given.get(name) or ()) or None for name in FILTERS))


@cache
def labels_of(section, methods, readings):
    try:
        runs = plan(section, Options("npz-grey-0", num_steps=2, methods=methods, readings=readings))
    except NoRuns:
        return ()
    return tuple(run.label for run in runs)


def before(name):
    """Yield the choices of methods and readings that come before the named one; none for another choice."""
    names = ["T = 2", *(other for other, given in CASES if set(given) & set(FILTERS))]
    choices = dict(CASES)
    yield from ((other, choices[other]) for other in names[: names.index(name) if name in names else 0])


def shows(figure, value):
    """Return whether a figure has a value in its texts, or a point at it."""
    texts = "\n".join(drawing.names_in(figure))
    places = [place for axes in figure.axes for line in axes.lines for place in line.get_xdata()]
    return bool(re.search(rf"(?<![\d.]){value:g}(?![\d.])", texts)) or value in places


GRIDS = [(section, name) for section, entry in SECTIONS.items() for name in entry.grids]


@pytest.mark.parametrize("values", [[0.7], [0.3, 2.0]], ids=["one", "two"])
@pytest.mark.parametrize(("section", "name"), GRIDS)
def test_a_notebook_takes_other_values_of_what_it_varies(place, monkeypatch, capsys, section, name, values):
    monkeypatch.setenv("CNNDP_RESULTS", str(place / "store"))
    monkeypatch.chdir(place)
    drawn = []
    given = {"dataset": "grey.npz", "num_steps": 2, name: values}
    shown = execute(NOTEBOOKS / f"{section}.ipynb", monkeypatch, drawn, **given)
    assert all(f"{value:g}" in "\n".join(shown) for value in values)
    assert [value for value in values if not any(shows(figure, value) for figure in drawn)] == []
    assert capsys.readouterr().out.rstrip().endswith(("pass", "which was not kept"))


# A network of one's own


@pytest.fixture
def mine(place, monkeypatch):
    """The name of a network in a file beside the data."""
    source = "from torch import nn\n\n\ndef network(num_classes):\n    return nn.Sequential({})\n"
    layers = "nn.Flatten(), nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, num_classes)"
    (place / "mine.py").write_text(source.format(layers), encoding="utf-8")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.chdir(place)
    monkeypatch.setenv("CNNDP_RESULTS", str(place / "store"))
    yield "mine:network"
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("section", ["fig07_ablation", "fig09_comparison", "private_fig07_08", "equal_terms"])
def test_a_section_takes_a_network_of_ones_own(mine, monkeypatch, capsys, section):
    given = {"dataset": "grey.npz", "num_steps": 2, "model": mine, "secret_seed": False}
    execute(NOTEBOOKS / f"{section}.ipynb", monkeypatch, **given)
    assert capsys.readouterr().out.endswith("pass\n")


def test_a_section_of_another_model_refuses_a_network_of_ones_own(mine, monkeypatch):
    with pytest.raises(ValueError, match=r"needs features='scattering'|cannot be set in section"):
        execute(NOTEBOOKS / "frontier.ipynb", monkeypatch, dataset="grey.npz", num_steps=2, model=mine)


@pytest.mark.parametrize("dataset", ["grey.npz", "colour.npz"])
def test_the_page_of_a_plan_takes_any_file(mine, monkeypatch, capsys, dataset):
    small = {"epochs": 1, "batch_size": 10, "num_canaries": 100}
    execute(NOTEBOOKS / "your_own_plan.ipynb", monkeypatch, dataset=dataset, **small)
    assert "for gradients and losses; 1.weight [32, " in capsys.readouterr().out
    if dataset == "grey.npz":
        execute(NOTEBOOKS / "your_own_plan.ipynb", monkeypatch, dataset=dataset, model=mine, **small)


# Pages without sections


@pytest.mark.parametrize("page", ["fig01_06_mechanisms", "p2_fig05_network"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_page_of_diagrams_takes_both_activations(monkeypatch, page, activation):
    execute(NOTEBOOKS / f"{page}.ipynb", monkeypatch, activation=activation)


@pytest.mark.parametrize("per_class", [1, 3])
def test_the_page_of_the_data_takes_any_file(place, monkeypatch, per_class):
    monkeypatch.chdir(place)
    for name in ("grey.npz", "colour.npz"):
        execute(NOTEBOOKS / "p2_fig03_04_data.ipynb", monkeypatch, dataset=name, per_class=per_class)


@pytest.mark.parametrize(
    ("page", "given", "message"),
    [
        ("your_own_plan", {"target_eps": 2.0}, r"parameter='target_eps' is not known; did you mean 'target_epsilon'"),
        ("your_own_plan", {"target_epsilon": -1.0}, "target_epsilon=-1.0 must be a finite number above 0"),
        ("your_own_plan", {"batch_size": 2000}, "batch_size=2000 is larger than the 1437 training examples"),
        ("p2_fig03_04_data", {"perclass": 3}, "parameter='perclass' is not known; did you mean 'per_class'"),
        ("p2_fig03_04_data", {"per_class": 0}, "per_class=0 must be a whole number; the smallest allowed is 1"),
        ("p2_fig05_network", {"activations": "relu"}, "parameter='activations' is not known"),
        ("p2_fig05_network", {"activation": "gelu"}, "activation='gelu' is not known; .*Known: tanh, relu"),
        ("fig01_06_mechanisms", {"dataset": "mnist"}, "parameter='dataset' is not known"),
        ("table2_budgets", {"datset": "mnist"}, "parameter='datset' is not known; did you mean 'dataset'"),
        ("audit", {"seed": 1}, "parameter='seed' is not known; did you mean 'seeds'"),
        ("cost_of_privacy", {"repeat": 1}, "parameter='repeat' is not known; did you mean 'repeats'"),
        (
            "fig07_ablation",
            {"learningrate": 1.0},
            "parameter='learningrate' is not known; did you mean 'learning_rate'",
        ),
    ],
)
def test_every_page_refuses_what_it_does_not_have(monkeypatch, page, given, message):
    with pytest.raises(ValueError, match=message):
        execute(NOTEBOOKS / f"{page}.ipynb", monkeypatch, **given)
