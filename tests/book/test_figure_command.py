"""notebooks/figure.py: the picture of the book, byte for byte, and errors that say what to pass."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pages
import pytest
import scripts
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
PROGRAM = NOTEBOOKS / "figure.py"


@pytest.fixture(scope="module")
def figure():
    return scripts.load("notebooks/figure.py")


def run(folder, *arguments):
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def committed(figure, page, number):
    notebook = nbformat.read(NOTEBOOKS / "runs" / page, as_version=4)
    return figure.picture_of(notebook.cells[figure.figure_cells(notebook)[number - 1]])


def drawing(*sources):
    """Return a notebook whose second and following cells draw."""
    cells = [new_code_cell("before = 1"), *(new_code_cell(source) for source in sources), new_code_cell("after = 1")]
    for cell in cells[1:-1]:
        cell.metadata["mystnb"] = {"figure": {"name": "fig-a"}}
    return new_notebook(cells=cells)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "number"), [("mnist/table2_budgets", 1), ("mnist/eq01_05_adaptive_noise", 1)])
def test_a_figure_is_the_one_in_the_book_byte_for_byte(figure, tmp_path, page, number):
    dataset, section = page.split("/")
    ended = run(tmp_path, section, str(number), "-p", "dataset", dataset)  # the rest is the page's
    assert ended.returncode == 0, ended.stderr
    made = tmp_path / f"{section}-{dataset}-{number}.png"
    assert ended.stdout == f"{made.name}\n"
    assert made.read_bytes() == committed(figure, f"{page}.ipynb", number)


@pytest.mark.slow
def test_another_parameter_gives_another_picture(figure, tmp_path):
    changed = ("-p", "dataset", "mnist", "-p", "seeds", "[0]")  # whose records the page has, with others
    ended = run(tmp_path, "fig07_ablation", "2", *changed, "-o", "mine.png")
    assert ended.returncode == 0, ended.stderr
    made = (tmp_path / "mine.png").read_bytes()
    assert made.startswith(b"\x89PNG")
    assert made != committed(figure, "mnist/fig07_ablation.ipynb", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig10_threshold", "1"], "section='fig10_threshold' is not known; did you mean 'fig10_thresholds'?"),
        (["table2_budgets", "7"], "number=7: table2_budgets has 1 figure; pass a number from 1 to 1"),
        (["table2_budgets", "0"], "number=0: table2_budgets has 1 figure"),
        (["fig07_ablation", "9"], "number=9: fig07_ablation has"),
        (["fig07_ablation", "1", "-p", "num_step", "3"], "parameter='num_step' is not known; did you mean 'num_steps'"),
        (["fig07_ablation", "1", "-o", "mine.pdf"], "-o mine.pdf: figures are PNG files; pass a name such as mine.png"),
        (["fig07_ablation", "1", "-o", "nowhere/mine.png"], "there is no folder nowhere; make it first"),
    ],
)
def test_a_mistake_is_named_before_anything_is_executed(figure, monkeypatch, arguments, message):
    monkeypatch.setattr(figure.papermill, "execute_notebook", lambda *given, **more: pytest.fail("executed"))
    with pytest.raises((figure.FigureError, ValueError)) as error:
        figure.main(arguments)
    assert message in str(error.value)


@pytest.mark.slow
def test_a_cell_that_fails_says_so_and_leaves_no_picture(tmp_path):
    ended = run(tmp_path, "fig07_ablation", "1", "-p", "dataset", "digits", "-p", "seeds", "[-1]")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: fig07_ablation.ipynb with {")
    assert "seeds=-1 must be a whole number" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_is_executed_no_further_than_its_figure(figure):
    part = figure.up_to(drawing("first", "second"), "some", 1)
    assert [cell.source for cell in part.cells] == ["before = 1", "first"]
    with pytest.raises(figure.FigureError, match="number=3: some has 2 figures; pass a number from 1 to 2"):
        figure.up_to(drawing("first", "second"), "some", 3)


def test_what_is_not_given_is_the_pages(figure):
    assert figure.complete("fig09_comparison", {"dataset": "cifar10"}) == {"dataset": "cifar10", "profile": "reduced"}
    own = {"dataset": "mnist", "profile": "small", "num_steps": 30}
    assert figure.complete("fig09_comparison", own) == own
    assert figure.complete("fig09_comparison", {"dataset": "mine.npz"}) == {"dataset": "mine.npz"}
    assert figure.complete("audit", {}) == {}


def test_every_figure_of_the_book_has_its_number(figure):
    """The command counts what draws, and a reader what is shown."""
    for path in sorted(NOTEBOOKS.glob("runs/*/*.ipynb")):
        made = nbformat.read(path, as_version=4)
        shown = [
            place
            for place, cell in enumerate(made.cells)
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        ]
        assert figure.figure_cells(made) == shown, path
        source = nbformat.read(NOTEBOOKS / path.name, as_version=4)
        assert len(figure.figure_cells(source)) == len(shown), path


def test_the_pages_print_this_command(figure):
    page = pages.Page("mnist", "fig10_thresholds")
    assert pages.figure_commands(page, 1).splitlines()[0] == figure.command(
        page.section, 1, {"dataset": "mnist", "profile": "paper"}
    )
