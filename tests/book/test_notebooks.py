"""Notebooks: sources are bare and described, executed ones are whole, and parameters do what they say."""

import ast
import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
import rows
import yaml
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from cnndp.bench import cost
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report.figures import drawing
from cnndp.runs import store
from cnndp.runs.experiment import GRIDS, PARAMETERS, parameters_of

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("*.ipynb"))
RUNS = sorted(NOTEBOOKS.glob("runs/*/*.ipynb"))
SECTION_SOURCES = [path for path in SOURCES if path.stem in SECTIONS]
EVERY_SECTION = pytest.mark.parametrize("path", SECTION_SOURCES, ids=lambda path: path.stem)
EVERY_SOURCE = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
EVERY_RUN = pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def cells_of(path, kind="code"):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def figures_of(path):
    return [cell for cell in cells_of(path) if "figure" in cell.metadata.get("mystnb", {})]


def labels_of(path):
    return [cell.metadata.mystnb.figure.name for cell in figures_of(path)]


def outputs_of(cell, kind):
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


# Sources


def test_every_section_has_its_notebook():
    assert [path.stem for path in SECTION_SOURCES] == sorted(SECTIONS)
    pages = {
        "audit",
        "your_own_data",
        "your_own_plan",
        "cost_of_privacy",
        "fig01_06_mechanisms",
        "p2_fig03_04_data",
        "p2_fig05_network",
        "table2_budgets",
    }
    assert {path.stem for path in SOURCES} - set(SECTIONS) == pages


@EVERY_SOURCE
def test_a_source_is_valid_and_holds_no_outputs(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in cells_of(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@EVERY_SECTION
def test_a_source_has_one_parameters_cell_with_exactly_what_it_takes(path):
    tagged = [cell for cell in cells_of(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    names = [target.id for line in ast.parse(tagged[0].source).body for target in line.targets]
    assert names == parameters_of(path.stem)
    defaults = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(tagged[0].source).body}
    assert all(type(value) in {**PARAMETERS, **GRIDS}[name] for name, value in defaults.items())
    assert (defaults["dataset"], defaults["profile"]) == ("digits", "small")  # needs no network and little time


@EVERY_SECTION
def test_parameters_are_checked_in_the_next_code_cell_under_the_notebooks_own_name(path):
    code = cells_of(path)
    assert f'experiment.from_notebook("{path.stem}", globals())' in code[1].source


def unsaid(cell, least=r"\d|not yet run"):
    """Return what is wrong with the text of a figure for those who do not see it: it is to end with the results."""
    said, text = drawing.described(base64.b64decode(*outputs_of(cell, "image/png"))), cell.metadata.mystnb.image.alt
    if not re.search(least, said):
        return "the picture says no result"
    if not text.endswith(f" {said}"):
        return f"the text is not what the picture says: {said}"
    return "the text is the caption" if cell.metadata.mystnb.figure.caption in text else ""


@EVERY_RUN
def test_the_text_of_every_figure_states_the_result_that_its_picture_holds(path):
    least = r"\w" if path.stem == "fig01_06_mechanisms" else r"\d|not yet run"  # diagrams have no numbers
    assert [found for cell in figures_of(path) if (found := unsaid(cell, least))] == []


def test_a_text_with_another_number_or_none_is_noticed():
    (cell,) = figures_of(NOTEBOOKS / "runs" / "mnist" / "table2_budgets.ipynb")
    assert unsaid(cell) == ""
    image = cell.metadata.mystnb.image
    honest = image.alt
    image.alt = re.sub(r"\d", "7", honest)
    assert "not what the picture says" in unsaid(cell)
    image.alt = f"{cell.metadata.mystnb.figure.caption} {honest}"
    assert unsaid(cell) == "the text is the caption"
    (output,) = [one for one in cell.outputs if "image/png" in one.get("data", {})]
    bare = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))).save(bare, "png")
    output["data"]["image/png"] = base64.b64encode(bare.getvalue()).decode()
    assert unsaid(cell) == "the picture says no result"


@EVERY_SOURCE
def test_every_figure_has_a_text_for_those_who_do_not_see_it_and_a_caption(path):
    figures = figures_of(path)
    assert figures
    for cell in figures:
        assert len(cell.metadata.mystnb.image.alt.split()) >= 8
        assert len(cell.metadata.mystnb.figure.caption.split()) >= 8
        assert cell.metadata.mystnb.figure.name.startswith("fig-")
    assert sum("drawing.png(" in cell.source for cell in cells_of(path)) == len(figures)


@EVERY_SOURCE
def test_notebooks_compute_nothing_themselves(path):
    for cell in cells_of(path):
        if "parameters" in cell.metadata.get("tags", []):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
                assert node.end_lineno - node.lineno < 2
        lines = [line for line in cell.source.splitlines() if line and not line.startswith(("import ", "from "))]
        assert len(lines) <= 10


@EVERY_SECTION
def test_a_source_names_its_records_checks_one_live_and_says_what_is_guaranteed(path):
    code = "\n".join(cell.source for cell in cells_of(path))
    for part in ("tables.source_note(", "replay.live_check(", "tables.guarantee_note("):
        assert part in code


def test_the_page_of_costs_checks_its_parameters_and_both_engines(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    code = cells_of(NOTEBOOKS / "cost_of_privacy.ipynb")
    assert "parameters" in code[0].metadata["tags"]
    assert "cost.from_notebook(globals())" in code[1].source
    assert "cost.engines_agree()" in code[-1].source
    given = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(code[0].source).body}
    with pytest.raises(store.RecordError, match=r"no benchmark is stored .*; pass measure=True, or run make bench"):
        cost.from_notebook(given)
    with pytest.raises(ValueError, match="parameter='mesure' is not known; did you mean 'measure'"):
        cost.from_notebook({**given, "mesure": True})


def test_labels_are_unique_across_the_sources():
    labels = [label for path in SOURCES for label in labels_of(path)]
    assert len(labels) == len(set(labels))


# Executed ones


@EVERY_RUN
def test_a_run_is_whole(path):
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    for cell in cells_of(path):
        assert cell.execution_count is not None
        assert not any(output.output_type == "error" for output in cell.outputs)
        assert not any(output.get("name") == "stderr" for output in cell.outputs)
        assert "papermill" not in cell.metadata
        assert "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    assert made.metadata.keys() == {"kernelspec", "language_info"}
    assert path.stat().st_size < 400_000


@EVERY_RUN
def test_a_run_holds_no_place_of_the_machine_that_made_it(path):
    made = nbformat.read(path, as_version=4)
    for cell in made.cells:
        texts = [cell.source, *(output.get("text", "") for output in cell.get("outputs", []))]
        texts += [
            text
            for output in cell.get("outputs", [])
            for kind, text in output.get("data", {}).items()
            if "text" in kind
        ]
        if path.parent.name.startswith("npz-") and "injected-parameters" in cell.metadata.get("tags", []):
            continue
        assert not re.search(r"/(home|root|tmp|work|Users|private)/|[A-Z]:\\", "\n".join(texts))


@EVERY_RUN
def test_a_run_has_its_pictures_and_its_source_still_reads_the_same(path):
    for cell in figures_of(path):
        (picture,) = outputs_of(cell, "image/png")
        assert isinstance(picture, str)
        assert len(picture) > 5000
    source, executed = (
        [cell.source for cell in cells_of(one) if "injected-parameters" not in cell.metadata.get("tags", [])]
        for one in (NOTEBOOKS / path.name, path)
    )
    assert executed == source


@EVERY_RUN
def test_a_run_has_the_parameters_of_the_matrix(path):
    matrix = yaml.safe_load((NOTEBOOKS / "matrix.yml").read_text(encoding="utf-8"))
    own = path.parent.name.startswith("npz-")
    shared = path.parent.name == "shared"
    part = matrix["own"] if own else matrix["shared"] if shared else matrix["runs"][path.parent.name]
    injected = [cell for cell in cells_of(path) if "injected-parameters" in cell.metadata.get("tags", [])]
    lines = [line for cell in injected for line in ast.parse(cell.source).body]
    given = {line.targets[0].id: ast.literal_eval(line.value) for line in lines}
    assert own or given.get("dataset") == (None if shared else path.parent.name)
    assert {name: value for name, value in given.items() if name != "dataset"} == part[path.stem]


@EVERY_RUN
def test_the_live_check_of_a_run_passed(path):
    checks = [
        output.text
        for cell in cells_of(path)
        if "live_check(" in cell.source or "engines_agree(" in cell.source
        for output in cell.outputs
        if "text" in output
    ]
    trains = path.stem in SECTIONS or path.stem in ("audit", "cost_of_privacy")
    assert len(checks) == int(trains)
    assert all(check.endswith("pass\n") for check in checks)


def test_labels_are_unique_across_all_runs():
    labels = [label for path in RUNS for label in labels_of(path)]
    assert len(labels) == len(set(labels))


# Smoke: through papermill as a reader would call it


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return a function that executes Fig. 7 in `tmp_path` and returns its code cells."""
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "folder"))
    monkeypatch.setenv("CNNDP_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def execute(**parameters):
        target = tmp_path / "out.ipynb"
        given = {"num_steps": 4, "seeds": [0], "device": "cpu", **parameters}
        source = str(NOTEBOOKS / "fig07_ablation.ipynb")
        papermill.execute_notebook(source, str(target), given, cwd=str(tmp_path), progress_bar=False)
        return cells_of(target)

    return execute


def check_smoke(cells, folder, num_runs, dataset):
    stored = [record for _, record in store.load_all(folder)]
    assert len(stored) == num_runs
    assert {record["config"]["num_steps"] for record in stored} == {4}
    assert {record["config"]["dataset"][: len(dataset)] for record in stored} == {dataset}
    pictures = [Image.open(io.BytesIO(decoded(cell))) for cell in cells if outputs_of(cell, "image/png")]
    assert len(pictures) == 2
    assert all(picture.width > 900 for picture in pictures)
    text = rows.narrow("\n".join(output for cell in cells for output in outputs_of(cell, "text/markdown")))
    for part in ("| CNN-DP-GAN | reconstructed | 4 |", "**No guarantee**", "*Source.* records: "):
        assert part in text
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert printed.endswith("4 of 4 steps trained again on this machine: pass\n")
    assert "step/s" not in printed  # the bar went elsewhere


def decoded(cell):
    return base64.b64decode(outputs_of(cell, "image/png")[0])


def test_a_notebook_runs_on_the_digits_with_parameters(call, tmp_path):
    cells = call(dataset="digits", batch_size=50)
    check_smoke(cells, tmp_path / "folder", 8, "digits")
    assert "step" in (tmp_path / "progress").read_text(encoding="utf-8")


def test_a_notebook_runs_on_a_file_of_ones_own_by_relative_path(call, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=rng.integers(0, 256, (80, 20, 20, 3), dtype=np.uint8), y=np.arange(80) % 3)
    cells = call(dataset="mine.npz", batch_size=20)
    check_smoke(cells, tmp_path / "folder", 8, "npz-mine-")


def test_a_misspelt_parameter_stops_the_notebook_with_its_name(call, tmp_path):
    with pytest.raises(PapermillExecutionError, match=r"parameter='bath_size' is not known; did you mean 'batch_size'"):
        call(dataset="digits", bath_size=50)
    assert not (tmp_path / "folder").exists()
