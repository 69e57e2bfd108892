"""notebooks/run.py: a mistake stops it before anything runs, and only whole, stripped notebooks are kept."""

import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import scripts
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import contents
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import findings
from cnndp.runs import experiment

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module")
def runner():
    return scripts.load("notebooks/run.py")


@pytest.fixture(autouse=True)
def apart(runner, tmp_path, monkeypatch):
    """Leave the store of the repository and the kernels of later tests alone."""
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "store"))
    monkeypatch.setattr(runner.kernels, "use", lambda: None)
    monkeypatch.delenv("CNNDP_PROGRESS", raising=False)


def notebook(path, *sources, figure=None):
    """Write a small notebook: a heading, a parameters cell, a cell for each source."""
    cells = [new_markdown_cell("# A small one\n\nSee `fig-a` and `fig-a-b`."), new_code_cell("value = 1")]
    cells[1].metadata["tags"] = ["parameters"]
    cells += [new_code_cell(source) for source in sources]
    if figure:
        cells[-1].metadata["mystnb"] = {"figure": {"name": figure, "caption": "A figure."}}
    made = new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, path)
    return path


def matrix(path, **sections):
    content = {"runs": {"digits": sections}, "own": {"fig07_ablation": {"profile": "small"}}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


# The matrix


def test_the_matrix_of_the_book_is_valid_and_has_every_section(runner):
    entries = runner.read_matrix(NOTEBOOKS / "matrix.yml")
    listed = {(section, dataset) for dataset, section, _ in entries if section in SECTIONS}
    assert {("fig07_ablation", "mnist"), ("fig08_loss", "mnist")} <= listed
    assert all(dataset in SECTIONS[section].datasets for section, dataset in listed)
    for dataset, section, parameters in entries:
        if section in SECTIONS:
            assert parameters["profile"] == findings.study_of(section, dataset).options.profile, (section, dataset)
    shared = [section for dataset, section, _ in entries if dataset == runner.SHARED]
    assert shared == [
        "fig01_06_mechanisms",
        "p2_fig05_network",
        "cost_of_privacy",
        "your_own_data",
        "your_own_plan",
        "audit",
    ]


def test_a_section_of_the_matrix_has_all_its_records_so_that_a_build_trains_nothing(runner, monkeypatch):
    monkeypatch.delenv("CNNDP_RESULTS")
    for dataset, section, parameters in runner.read_matrix(NOTEBOOKS / "matrix.yml"):
        if section in SECTIONS:
            rows = experiment.status(experiment.prepare(section, dataset=dataset, **parameters))
            assert all(row["recorded"] for row in rows), (section, dataset)


def test_the_matrix_adds_the_pages_of_ones_own_file(runner, tmp_path):
    entries = runner.read_matrix(matrix(tmp_path / "matrix.yml", fig07_ablation={}), "mine.npz")
    assert entries == [("digits", "fig07_ablation", {}), ("mine.npz", "fig07_ablation", {"profile": "small"})]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"fig07_ablation": {"num_stesp": 3}},
            r"fig07_ablation\.ipynb has no parameter 'num_stesp'; known: .*num_steps",
        ),
        ({"fig08": {}}, r"section 'fig08' has no notebook; known: .*fig07_ablation"),
    ],
)
def test_a_mistake_in_the_matrix_is_named(runner, tmp_path, sections, message):
    with pytest.raises(runner.RunError, match=message):
        runner.read_matrix(matrix(tmp_path / "matrix.yml", **sections))


def test_an_unknown_dataset_in_the_matrix_is_named(runner, tmp_path):
    (tmp_path / "matrix.yml").write_text("runs: {mnst: {fig07_ablation: {}}}\nown: {}\n", encoding="utf-8")
    with pytest.raises(runner.RunError, match=r"matrix\.yml: dataset 'mnst' is unknown; known: digits, mnist"):
        runner.read_matrix(tmp_path / "matrix.yml")


@pytest.mark.parametrize("text", ["", "[1]", "runs: {}", "runs: {}\nown: {}\nmore: {}"])
def test_a_file_that_is_no_matrix_is_refused(runner, tmp_path, text):
    (tmp_path / "matrix.yml").write_text(text, encoding="utf-8")
    with pytest.raises(runner.RunError, match=r"matrix\.yml must hold the keys 'runs' and 'own', and may hold"):
        runner.read_matrix(tmp_path / "matrix.yml")


def test_a_notebook_without_a_parameters_cell_is_refused(runner, tmp_path, monkeypatch):
    path = notebook(tmp_path / "small.ipynb", "1")
    made = nbformat.read(path, as_version=4)
    del made.cells[1]
    nbformat.write(made, path)
    monkeypatch.setattr(runner, "NOTEBOOKS", tmp_path)
    with pytest.raises(runner.RunError, match=r"small\.ipynb has no cell tagged 'parameters'"):
        runner.check_parameters("small", {})


def test_nothing_is_executed_when_any_entry_is_wrong(runner, tmp_path, monkeypatch):
    """The last entry is at fault; none before it may have run."""
    wrong = matrix(tmp_path / "matrix.yml", eq06_11_polyak={}, fig07_ablation={"num_stesp": 3})
    original = runner.read_matrix
    monkeypatch.setattr(runner, "read_matrix", lambda path, own, chosen: original(wrong, own))
    monkeypatch.setattr(runner, "execute", lambda *arguments: pytest.fail("a notebook was executed"))
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(runner.RunError, match="num_stesp"):
        runner.main()


def test_an_unknown_section_after_only_is_refused(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(runner, "execute", lambda *arguments: pytest.fail("a notebook was executed"))
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "fig07_ablaton"])
    with pytest.raises((runner.RunError, ValueError, SystemExit), match="fig07_ablaton"):
        runner.main()


def test_a_file_of_ones_own_that_is_not_there_is_named(runner, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "--dataset", "nowhere.npz", "--only", "fig07_ablation"])
    monkeypatch.setattr(runner, "execute", lambda *arguments: None)
    with pytest.raises(ValueError, match=r"nowhere\.npz': there is no such file"):
        runner.main()


# Execution


def test_several_at_once_report_each_and_stop_at_the_first_error(runner, monkeypatch, capsys):
    """Threads stand in for the processes, which do not know the functions planted here."""
    monkeypatch.setenv("CNNDP_PROGRESS", os.devnull)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(runner, "ProcessPoolExecutor", lambda jobs, mp_context, initializer: ThreadPoolExecutor(jobs))
    entries = [("digits", f"section{number}", {}) for number in range(9)]
    done = []

    def work(entry):
        if entry[1] == "section3":
            raise runner.RunError("section3 failed: planted")
        time.sleep(0.05)
        done.append(entry[1])
        return f"{entry[1]}: done"

    monkeypatch.setattr(runner, "execute_entry", work)
    with pytest.raises(runner.RunError, match="planted"):
        runner.execute_all(entries, jobs=2)
    assert set(done) < {entry[1] for entry in entries} - {"section3"}  # what had not begun was left
    runner.execute_all(entries[:3], jobs=2)
    assert "[3/3] section" in capsys.readouterr().err


def test_a_number_of_jobs_below_one_is_refused(runner, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--jobs", "0"])
    monkeypatch.setattr(runner, "read_matrix", lambda path, own, chosen: [])
    with pytest.raises(ValueError, match="jobs=0 must be a whole number"):
        runner.main()


def test_a_value_of_the_wrong_type_stops_the_notebook_with_its_name(runner, tmp_path):
    target = tmp_path / "runs" / "fig07_ablation.ipynb"
    message = r"fig07_ablation\.ipynb with .* failed: TypeError: parameter seeds='0' is of type str; pass list or"
    with pytest.raises(runner.RunError, match=message):
        runner.execute(NOTEBOOKS / "fig07_ablation.ipynb", target, {"seeds": "0"}, "-digits", "(digits)")
    assert not target.exists()


def test_a_failing_notebook_leaves_the_previous_run_and_no_remains(runner, tmp_path):
    source = notebook(tmp_path / "failing.ipynb", "print('before')", "raise RuntimeError('planted')")
    target = tmp_path / "runs" / "digits" / "failing.ipynb"
    target.parent.mkdir(parents=True)
    target.write_text("the previous run")
    with pytest.raises(runner.RunError, match=r"failing\.ipynb with \{\} failed: RuntimeError: planted"):
        runner.execute(source, target, {}, "", "")
    assert target.read_text() == "the previous run"
    assert list(target.parent.iterdir()) == [target]


def test_two_executions_are_the_same_bytes_and_hold_nothing_of_this_machine(runner, tmp_path, capfd):
    source = notebook(
        tmp_path / "small.ipynb",
        "import os, sys\nprint('bar', file=sys.stderr)\nvalue",
        "progress = open(os.environ['CNNDP_PROGRESS'], 'a')\n_ = progress.write('to the terminal')\nprogress.close()",
        figure="fig-a",
    )
    targets = [tmp_path / "runs" / name / "small.ipynb" for name in ("one", "two")]
    for target in targets:
        runner.execute(source, target, {"value": 3}, "-digits", "(digits)")
        assert [path.name for path in target.parent.iterdir()] == ["small.ipynb"]
    first, second = (target.read_text(encoding="utf-8") for target in targets)
    assert first == second
    assert str(tmp_path) not in first
    assert not re.search(r"papermill|\"(start|end)_time|duration|20\d\d-\d\d-\d\dT", first)
    made = nbformat.reads(first, as_version=4)
    nbformat.validate(made)
    assert [output["data"]["text/plain"] for cell in made.cells for output in cell.get("outputs", [])] == ["3"]
    assert made.cells[0].source.startswith("# A small one (digits)\n")
    assert "`fig-a-digits` and `fig-a-b`" in made.cells[0].source
    assert made.cells[-1].metadata.mystnb.figure.name == "fig-a-digits"
    assert "to the terminal" in capfd.readouterr().err
    assert nbformat.read(source, as_version=4).cells[-1].metadata.mystnb.figure.name == "fig-a"


# Parts


def test_strip_removes_ids_times_versions_and_stderr_and_keeps_the_rest(runner):
    cell = new_code_cell("1 + 1", id="random", execution_count=2)
    cell.metadata.update(
        papermill={"duration": 1.0}, execution={"iopub": "now"}, tags=[], mystnb={"figure": {"name": "a"}}
    )
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="warning"),
        nbformat.v4.new_output("stream", name="stdout", text="2"),
    ]
    made = new_notebook(
        cells=[cell],
        metadata={"papermill": {"input_path": "x"}, "language_info": {"name": "python", "version": "3.11.7"}},
    )
    stripped = runner.strip(made)
    assert stripped.metadata.keys() == {"kernelspec", "language_info"}
    assert stripped.metadata.language_info == {"name": "python"}
    assert stripped.cells[0].id == "cell-00"
    assert dict(stripped.cells[0].metadata) == {"mystnb": {"figure": {"name": "a"}}}
    assert [output.text for output in stripped.cells[0].outputs] == ["2"]
    assert stripped.cells[0].execution_count == 2


def test_labels_of_two_datasets_are_different_and_text_follows(runner, tmp_path):
    names, mentions = set(), set()
    for dataset in ("mnist", "digits"):
        made = nbformat.read(notebook(tmp_path / "small.ipynb", "1", figure="fig-a"), as_version=4)
        runner.rename_labels(made, f"-{dataset}")
        names.add(made.cells[-1].metadata.mystnb.figure.name)
        mentions.add(re.search(r"`(fig-a[^`]*)`", made.cells[0].source)[1])
    assert names == mentions == {"fig-a-mnist", "fig-a-digits"}


def test_only_the_first_heading_gets_the_dataset(runner):
    made = new_notebook(cells=[new_markdown_cell("# Fig. 7\n\n## Part\n\n# no heading of the page")])
    runner.add_to_title(made, "(MNIST)")
    assert made.cells[0].source == "# Fig. 7 (MNIST)\n\n## Part\n\n# no heading of the page"


def test_the_toc_has_every_run_in_the_place_of_its_section(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "RUNS", tmp_path / "notebooks" / "runs")
    entries = [
        ("mnist", "table1_settings", {}),
        ("mnist", "frontier", {}),
        ("cifar10", "frontier", {}),
        ("mnist", "frontier_cnn", {}),
        (runner.SHARED, "audit", {}),
        ("mine.npz", "fig07_ablation", {}),
        ("mnist", "table2_budgets", {}),
    ]
    monkeypatch.setattr(runner.datasets, "name_of", lambda name: Path(name).stem)
    target = tmp_path / "_toc.yml"
    runner.write_toc(entries, NOTEBOOKS / "toc.yml", target)
    made, base = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (target, NOTEBOOKS / "toc.yml"))
    parts = {part["caption"]: part["chapters"] for part in made["parts"]}
    captions = [part["caption"] for part in base["parts"]]
    assert list(parts) == ["Your data", *(caption for caption in captions if caption != "P2")]
    assert parts["Your data"] == [{"file": "notebooks/runs/mine/fig07_ablation"}]
    assert [chapter["file"] for chapter in parts["P1"]] == ["notebooks/runs/mnist/table1_settings"]
    (valid,) = [chapter for chapter in parts["Under a valid guarantee"] if chapter["file"].endswith("frontier")]
    below = ["notebooks/runs/cifar10/frontier", "notebooks/runs/mnist/frontier_cnn"]
    assert [chapter["file"] for chapter in valid["sections"]] == below
    before = target.stat().st_mtime_ns
    runner.write_toc(entries, NOTEBOOKS / "toc.yml", target)
    assert target.stat().st_mtime_ns == before  # unchanged content is an unchanged file
    with pytest.raises(contents.ContentsError, match=r"section 'costs' has no place"):
        runner.write_toc([*entries, (runner.SHARED, "costs", {})], NOTEBOOKS / "toc.yml", target)


def test_every_page_of_the_base_toc_exists():
    base = yaml.safe_load((NOTEBOOKS / "toc.yml").read_text(encoding="utf-8"))

    def files(chapters):
        for chapter in chapters:
            yield from [chapter["file"]] if "file" in chapter else []
            yield from files(chapter.get("sections", ()))

    pages = [base["root"], *(page for part in base["parts"] for page in files(part["chapters"]))]
    assert len(pages) >= 30
    for page in pages:
        assert (NOTEBOOKS.parent / f"{page}.md").is_file(), page
