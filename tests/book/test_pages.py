"""What pages of notebooks have beside their cells, on a small book that is built here."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pages
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cnndp.papers.sections.plan import SECTIONS
from cnndp.runs.experiment import prepare

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def page(path, title):
    """Write an executed notebook in the order of the book's."""
    picture = new_output("display_data", data={"image/png": PIXEL, "text/plain": "picture"})
    figure = {"figure": {"name": f"fig-{path.parent.name}-{path.stem}", "caption": "One pixel."}, "image": {"alt": "x"}}
    cells = [
        new_markdown_cell(f"# {title}\n\nWhat is claimed."),
        new_code_cell("dataset = 'mnist'", metadata={"tags": ["parameters"]}),
        new_code_cell("import cnndp", metadata={"tags": ["setup"]}),
        new_code_cell("draw()", outputs=[picture], metadata={"mystnb": figure, "tags": ["hide-input"]}),
        new_markdown_cell("## Provenance\n\nRecords."),
        new_code_cell("check()", metadata={"tags": ["live-check"]}, outputs=[new_output("stream", text="pass")]),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build three sections, one of them on two datasets, and return the folder."""
    root = tmp_path_factory.mktemp("book")
    names = ("mnist/fig08_loss", "mnist/fig09_comparison", "cifar10/fig09_comparison", "mnist/fig10_thresholds")
    for name in names:
        page(root / "notebooks" / "runs" / f"{name}.ipynb", name)
    (root / "book").mkdir()
    for name in ("index", "method", "rerun", "parameters"):
        (root / "book" / f"{name}.md").write_text(f"# The {name}\n\nText.\n", encoding="utf-8")
    for section in {name.split("/")[1] for name in names}:
        page(root / "notebooks" / f"{section}.ipynb", "source")
    fig09 = {"file": f"notebooks/runs/{names[1]}", "sections": [{"file": f"notebooks/runs/{names[2]}"}]}
    files = [{"file": f"book/{name}"} for name in ("method", "rerun", "parameters")]
    chapters = [*files, {"file": f"notebooks/runs/{names[0]}"}, fig09, {"file": f"notebooks/runs/{names[3]}"}]
    (root / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "book/index", "chapters": chapters}))
    config = {
        "only_build_toc_files": True,
        "execute": {"execute_notebooks": "off"},
        "sphinx": {
            "local_extensions": {"pages": str(ROOT / "book" / "_ext")},
            "config": {"repository_address": "someone/something", "nb_render_markdown_format": "myst"},
        },
    }
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", root]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return root / "_build" / "html"


def article(built, name):
    text = (built / "notebooks" / "runs" / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser")


slow = pytest.mark.slow


@slow
def test_the_figure_comes_before_parameters_imports_and_the_live_check(built):
    found = article(built, "mnist/fig09_comparison").find("article")
    text = found.get_text()
    places = [
        text.index(part) for part in ("What is claimed", "One pixel", "How to re-run", "Records.", "import cnndp")
    ]
    assert places == sorted(places)
    folded = found.find("details", class_="setup").get_text()
    for part in ("dataset = 'mnist'", "import cnndp", "check()", "pass"):
        assert part in folded, part
    assert "draw()" not in folded


@slow
def test_a_section_switches_between_its_datasets(built):
    switch = article(built, "mnist/fig09_comparison").find(class_="datasets")
    assert switch.find("strong").get_text() == "MNIST"
    assert [link.get_text() for link in switch.find_all("a")] == ["CIFAR-10"]
    assert switch.find("a")["href"] == "../cifar10/fig09_comparison.html"
    assert article(built, "mnist/fig10_thresholds").find(class_="datasets") is None  # it has one page here


@slow
def test_previous_and_next_follow_the_story_and_not_the_datasets(built):
    def ways(name):
        found = [article(built, name).find("a", class_=kind) for kind in ("left-prev", "right-next")]
        return [link and link["href"] for link in found]

    assert ways("mnist/fig09_comparison") == ["fig08_loss.html", "fig10_thresholds.html"]
    assert ways("cifar10/fig09_comparison") == ["../mnist/fig08_loss.html", "../mnist/fig10_thresholds.html"]
    assert ways("mnist/fig10_thresholds") == ["fig09_comparison.html", None]


@slow
def test_under_each_figure_is_the_command_that_makes_it_and_the_page_says_how_to_run_it_again(built):
    found = article(built, "mnist/fig10_thresholds")
    commands = found.find("details", class_="figure-command").get_text()
    assert "python notebooks/figure.py fig10_thresholds 1 -p dataset mnist -p profile paper\n" in commands
    assert "-p thresholds '[0.03, 0.3]'" in commands
    rerun = found.find(id="how-to-re-run")
    assert (
        "papermill notebooks/fig10_thresholds.ipynb out.ipynb -p dataset mnist -p profile paper\n" in rerun.get_text()
    )
    assert "-y 'thresholds: [0.03, 0.3]'" in rerun.get_text()
    links = {link.get_text(): link["href"] for link in rerun.find_all("a")}
    assert links["fig10_thresholds.ipynb"].startswith("../../../_downloads/")
    assert links["Open in Colab"].endswith("github/someone/something/blob/main/notebooks/fig10_thresholds.ipynb")
    assert links["Open in Binder"].startswith("https://mybinder.org/v2/gh/someone/something/main")


@slow
def test_a_search_for_a_figure_finds_its_page(built):
    text = (built / "searchindex.js").read_text(encoding="utf-8")
    assert '"fig. 9"' in text
    assert '"fig 9"' in text
    assert '"figure 9"' in text


def test_without_an_address_there_are_no_launch_buttons():
    section = pages.rerun(pages.Page("mnist", "fig09_comparison"), repository="")
    assert "Colab" not in section.astext()


def test_every_notebook_has_an_entry_and_every_entry_a_notebook():
    assert set(pages.extras()) == SOURCES
    for name, entry in pages.extras().items():
        assert set(entry) <= {"index", "needs", "change", "stays"}, name
        for needed in entry.get("needs", ()):
            assert (ROOT / f"{needed}.md").is_file() or needed in SOURCES, needed


@pytest.mark.parametrize("section", SECTIONS)
def test_the_change_that_a_page_proposes_is_one_that_its_section_takes(section):
    study = prepare(section, dataset=SECTIONS[section].datasets[0], **pages.change_of(section))
    assert study.runs
