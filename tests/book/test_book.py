"""The book's own code: the page check finds each planted fault, and numbers come from records alone."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from docutils.parsers.rst.states import Inliner
from docutils.utils import new_document

from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import findings, tables, verdicts
from cnndp.runs import experiment, store

BOOK = Path(__file__).resolve().parents[2] / "book"
README = BOOK.parent / "README.md"
RECORDED = sorted((BOOK / "results" / "fig07_ablation" / "mnist").glob("*.json"))


def module(name):
    path = BOOK / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"book_{path.stem}", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def check_html():
    return module("check_html")


@pytest.fixture(scope="module")
def readme():
    return module("readme")


@pytest.fixture(scope="module")
def companion():
    return module("_ext/companion")


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "store"))


@pytest.fixture
def own_store(monkeypatch):
    """Read the records of the repository, whatever the environment says."""
    monkeypatch.delenv("CNNDP_RESULTS", raising=False)


# The check of the built pages

TEXT = "Enough words to be a page that somebody would want to read to its end."


def page(body, head=""):
    return (
        f"<html><head>{head}</head><body><article><h1 id='top'>A page</h1><p>{TEXT}</p>{body}</article></body></html>"
    )


GOOD = page(
    "<h2 id='part'>Part</h2><a href='other.html#part%20two'>a</a> <a href='#part'>b</a> <a href='#'>c</a>"
    "<a href='other.html'>d</a> <a href='https://example.org/page'>e</a> <a href='mailto:a@example.org'>f</a>"
    "<img src='figure.png' alt='Two curves of accuracy'>",
    head="<link rel='stylesheet' href='style.css'><link rel='canonical' href='https://example.org'>"
    "<script src='code.js'></script>",
)


@pytest.fixture
def site(tmp_path):
    """Return a function that builds a book of three pages whose first one is given."""

    def build(text):
        folder = tmp_path / "html" / "book"
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(text, encoding="utf-8")
        (folder / "other.html").write_text(page("<h2 id='part two'>Part</h2>"), encoding="utf-8")
        (folder.parent / "index.html").write_text("<meta http-equiv='Refresh' content='0; url=book/index.html'>")
        (folder.parent / "search.html").write_text("<html></html>")
        return folder.parent

    return build


def test_a_good_page_passes(check_html, site):
    assert check_html.problems(site(GOOD)) == []


@pytest.mark.parametrize(
    ("body", "head", "message"),
    [
        ("<a href='other.html#nothing'>x</a>", "", "links to other.html#nothing, which has no such anchor"),
        ("<a href='#nothing'>x</a>", "", "links to #nothing, which has no such anchor"),
        ("<a href='missing.html'>x</a>", "", "links to missing.html, which does not exist"),
        ("<a href='../_sources/missing.ipynb'>x</a>", "", "links to ../_sources/missing.ipynb, which does not exist"),
        ("", "<script src='https://cdn.example.org/a.js'></script>", "loads https://cdn.example.org/a.js from outside"),
        ("", "<script src='//cdn.example.org/a.js'></script>", "loads //cdn.example.org/a.js from outside"),
        ("", "<link rel='stylesheet' href='http://example.org/a.css'>", "loads http://example.org/a.css from outside"),
        ("<img src='https://example.org/a.png' alt='A very good text'>", "", "loads https://example.org/a.png"),
        ("<iframe src='https://example.org'></iframe>", "", "loads https://example.org from outside"),
        ("<img src='a.png'>", "", "picture a.png has alternative text ''"),
        ("<img src='a.png' alt='a.png'>", "", "picture a.png has alternative text 'a.png'"),
    ],
)
def test_a_planted_fault_is_found(check_html, site, body, head, message):
    (problem,) = check_html.problems(site(page(body, head)))
    assert problem.startswith("book/index.html: ")
    assert message in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html><body></body></html>", "has no heading"),
        (f"<article><p>{TEXT}</p></article>", "has no heading"),
        ("<article><h1>Title</h1></article>", "has hardly any text"),
    ],
)
def test_an_empty_page_is_found(check_html, site, text, message):
    assert check_html.problems(site(text)) == [f"book/index.html: {message}"]


def test_a_build_without_a_book_is_a_problem(check_html, tmp_path):
    (problem,) = check_html.problems(tmp_path)
    assert "book/index.html is missing" in problem


@pytest.mark.parametrize(("text", "status"), [(GOOD, 0), (page("<a href='missing.html'>x</a>"), 1)])
def test_the_exit_status_tells_whether_there_are_problems(site, text, status):
    command = [sys.executable, str(BOOK / "check_html.py"), str(site(text))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert ended.stdout == f"4 pages checked, {status} problems\n"


# README's card


def test_what_stands_between_the_markers_is_replaced(readme):
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    once = readme.fill(text, "new | card")
    assert once == f"before\n{readme.BEGIN}\n\nnew | card\n\n{readme.END}\nafter\n"
    assert readme.fill(once, "new | card") == once


@pytest.mark.parametrize("markers", ["", "{begin}", "{end}", "{end} {begin}"])
def test_a_readme_without_its_markers_is_refused(readme, markers):
    text = markers.format(begin=readme.BEGIN, end=readme.END)
    with pytest.raises(ValueError, match=r"README\.md needs the lines .*, in this order"):
        readme.fill(text, "card")


def test_the_readme_has_the_markers_once(readme):
    text = README.read_text(encoding="utf-8")
    assert (text.count(readme.BEGIN), text.count(readme.END)) == (1, 1)
    readme.fill(text, "card")


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_the_card_is_what_the_records_give(readme, own_store):
    assert f"{readme.BEGIN}\n\n{readme.card()}\n\n{readme.END}" in README.read_text(encoding="utf-8")


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_a_changed_record_reaches_no_card(readme, tmp_path, monkeypatch):
    folder = tmp_path / "fig07_ablation" / "mnist"
    folder.mkdir(parents=True)
    for path in RECORDED:
        (folder / path.name).write_bytes(path.read_bytes())
    shutil.copytree(BOOK / "results" / "audits", tmp_path / "audits")
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    assert readme.card()
    changed = next(folder.glob("cnn-reconstructed-s0-*.json"))
    changed.write_text(
        re.sub(r'("test_accuracy": )9', r"\g<1>8", changed.read_text(encoding="utf-8")), encoding="utf-8"
    )
    with pytest.raises(store.RecordError, match="was changed after it was written"):
        readme.card()


def test_without_records_there_is_no_card(readme, empty_store):
    with pytest.raises(ValueError, match=r"label='noise-free' has no records"):
        readme.card()


# The Sphinx extension


@pytest.fixture
def role(companion):
    """Return a function that renders the role: (text, messages)."""

    def render(text):
        inliner, document = Inliner(), new_document("page")
        document.reporter.report_level = 5
        inliner.reporter, inliner.document, inliner.parent = document.reporter, document, document
        found, messages = companion.measured_role("measured", f"{{measured}}`{text}`", text, 1, inliner)
        return "".join(node.astext() for node in found), messages

    return render


@pytest.mark.skipif(not RECORDED, reason="needs the recorded runs of Fig. 7 on MNIST")
def test_a_number_in_prose_is_the_records(role, own_store):
    text, messages = role("fig07_ablation:mnist:noise-free:final")
    study = experiment.prepare("fig07_ablation", dataset="mnist", profile="paper")
    final = [
        result.record["final"]["test_accuracy"] for result in experiment.stored(study) if result.label == "noise-free"
    ]
    assert messages == []
    assert text.startswith(f"{sum(final) / len(final):.2f} ± ")
    assert text.endswith(f" % ({len(final)})")


@pytest.mark.skipif(not list((BOOK / "results").glob("equal_terms/mnist/*.json")), reason="needs equal terms on MNIST")
def test_a_label_may_hold_a_colon(role, own_store):
    text, messages = role("equal_terms:mnist:no clip: SGD:final")
    assert messages == []
    assert text.endswith("% (5)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fig07_ablation:mnist:noise-free:final", "has no records"),
        ("fig07_ablaton:mnist:CNN:final", "did you mean 'fig07_ablation'"),
        ("fig07_ablation:mnst:CNN:final", "did you mean 'mnist'"),
        ("fig07_ablation:CNN", "not enough values"),
    ],
)
def test_a_number_without_records_is_an_error_of_the_build(role, empty_store, text, message):
    _, (error,) = role(text)
    assert error["level"] == 3
    assert message in error.astext()


@pytest.mark.skipif(not RECORDED, reason="needs the recorded runs of Fig. 7 on MNIST")
def test_an_unknown_statistic_is_an_error_of_the_build(role, own_store):
    _, (error,) = role("fig07_ablation:mnist:noise-free:median")
    assert "median" in error.astext()


def rows(markdown):
    lines = markdown.splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    return lines[2:]


def test_the_comparison_keeps_every_claim_without_records(empty_store):
    assert all(
        "not yet run" in row or "inconsistent" in row or "not testable" in row for row in rows(findings.comparison())
    )
    part = rows(findings.comparison("fig07_ablation"))
    assert 0 < len(part) < len(rows(findings.comparison()))


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_the_comparison_has_a_verdict_where_there_are_records(own_store):
    table = rows(findings.comparison("fig07_ablation"))
    assert any("reproduced |" in row for row in table)


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_headlines_are_rows_of_the_whole_table_and_the_summary_counts_it(own_store):
    frame = verdicts.compare(findings.all_records())
    whole, head = rows(verdicts.as_markdown(frame)), rows(findings.headlines(frame))
    assert set(head) <= set(whole)
    assert len(head) == len(findings.HEADLINES) == len(set(findings.HEADLINES))
    counts = [int(number) for number in re.findall(r"(\d+) (?!claims)", findings.claim_summary(frame))]
    assert sum(counts) == len(whole)


def test_private_runs_stand_beside_the_papers_methods_with_the_papers_noise_alone():
    def record(method, mechanism, reading="private"):
        return {"config": {"method": method, "mechanism": mechanism, "reading": reading}}

    assert findings.is_own_method(record("cnn_dp_gan_polyak", "laplace"))
    assert findings.is_own_method(record("dp_sgd", "gaussian"))
    assert not findings.is_own_method(record("cnn_dp_gan_polyak", "gaussian"))  # a twin of ours
    assert not findings.is_own_method(record("scattering_linear", "gaussian"))
    assert not findings.is_own_method(record("cnn", "none", "reconstructed"))


def test_a_figure_shows_its_private_runs_with_exact_epsilons_or_says_that_there_are_none(monkeypatch):
    def record(seed, epsilon, accuracy):
        config = {"num_steps": 720, "seed": seed}
        measured = {"privacy": {"exact_epsilon": epsilon}, "final": {"test_accuracy": accuracy}}
        return {"config": config, "status": "finished", **measured}

    labels = ("DP-SGD (private), T = 720", "DP-SGD (private), T = 4800")
    found = [experiment.Result(label, record(seed, 0.5123, 90.0 + seed)) for label in labels for seed in (0, 1, 2)]
    monkeypatch.setattr(findings, "results_of", lambda section, dataset: found if section == "private_p2" else [])
    study = experiment.prepare("p2_table3", dataset="mnist", profile="paper")
    intro, _, *table = findings.private_note(study).splitlines()
    assert "{doc}`private_p2`" in intro
    assert rows("\n".join(table)) == [f"| {label} | 720 | 0.5123, numerical | 91.00 ± 1.00 (3) |" for label in labels]
    found = found[:-1]  # a page with a run missing is none
    assert findings.private_note(study) == "The private reading of this page is not yet run on MNIST."
    for section, dataset, name in (("fig08_loss", "cifar10", "CIFAR-10"), ("p2_table3", "digits", "digits")):
        note = findings.private_note(experiment.prepare(section, dataset=dataset, profile="small"))
        assert note == f"The private reading of this page is not yet run on {name}."


@pytest.mark.parametrize("section", findings.PRIVATE_PAGES)
def test_each_figure_of_the_papers_shows_the_private_reading(section):
    cells = nbformat.read(BOOK.parent / "notebooks" / f"{section}.ipynb", as_version=4).cells
    assert any(cell.source == "Markdown(findings.private_note(study))" for cell in cells)


def test_cifar_10_is_shown_at_the_size_that_the_book_has():
    assert findings.study_of("fig08_loss", "cifar10").options.profile == "reduced"
    assert findings.study_of("fig08_loss", "mnist").options.profile == "paper"


def test_the_statistics_have_one_row_a_run_and_say_what_is_missing(companion, empty_store):
    table = rows(companion.run_statistics())
    assert len(table) == sum(len(section.datasets) for section in SECTIONS.values())
    assert all("not yet run" in row for row in table)
    for section in SECTIONS:
        assert any(f"`{section}`" in row for row in table)


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_the_statistics_count_the_records(companion, own_store):
    (row,) = [row for row in rows(companion.run_statistics()) if "`fig07_ablation` | MNIST" in row]
    assert "| 41 of 41 |" in row


def test_the_extension_registers_what_its_pages_use(companion):
    registered = []

    class App:
        def add_role(self, name, function):
            registered.append(name)

        def add_directive(self, name, directive):
            registered.append(name)

        def connect(self, event, function):
            registered.append(event)

    assert companion.setup(App())["parallel_read_safe"]
    assert registered == ["measured", "comparison", "claim-summary", "run-statistics", "forgeries", "config-inited"]


def test_every_number_that_the_pages_ask_for_names_a_run_of_the_plan(companion):
    """A label that was renamed would else be found only by a build with all records."""
    asked = {
        companion.parts_of(found)
        for path in BOOK.glob("*.md")
        for found in re.findall(r"\{measured\}`([^`]+)`", path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 10
    for section, dataset, label, statistic in asked:
        labels = {run.label for run in findings.study_of(section, dataset).runs}
        assert label in labels, (section, label)
        assert statistic in (*tables.STATISTICS, *tables.PRIVACY)
