"""The book's own code: the page check finds each planted fault, and numbers come from records alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

import nbformat
import pytest
import rows
import scripts
from docutils.parsers.rst.states import Inliner
from docutils.utils import new_document

from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import findings, numbers, verdicts
from cnndp.runs import experiment, store
from cnndp.runs.frames import MADE, frame, select

BOOK = Path(__file__).resolve().parents[2] / "book"
README = BOOK.parent / "README.md"
RECORDED = sorted((BOOK / "results" / "fig07_ablation" / "mnist").glob("*.json"))


@pytest.fixture(scope="module")
def check_html():
    return scripts.load("book/check_html.py")


@pytest.fixture(scope="module")
def readme():
    return scripts.load("book/readme.py")


@pytest.fixture(scope="module")
def companion():
    return scripts.load("book/_ext/companion.py")


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
    with pytest.raises(ValueError, match="name='noise-free' has no runs here"):
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
    text, messages = role('fig07_ablation mnist name="noise-free" :: test_accuracy')
    study = experiment.prepare("fig07_ablation", dataset="mnist", profile="paper")
    final = [
        result.record["final"]["test_accuracy"]
        for result in experiment.stored(study)
        if result.run.config.method == "cnn"
    ]
    assert messages == []
    assert text == f"{fmean(final):.2f} ± {stdev(final):.2f} % ({len(final)})"


@pytest.mark.skipif(not list((BOOK / "results").glob("equal_terms/mnist/*.json")), reason="needs equal terms on MNIST")
def test_several_columns_tell_runs_of_one_name_apart(role, own_store):
    (clipped, none), (free, no_error) = (
        role(f'equal_terms mnist name="SGD" panel="{panel}" :: test_accuracy') for panel in ("clip 0.5", "no clip")
    )
    assert none == no_error == []
    assert clipped.endswith("% (5)")
    assert free.endswith("% (5)")
    assert clipped != free
    _, (error,) = role('equal_terms mnist name="SGD" :: test_accuracy')
    assert "selects 2 kinds of run" in error.astext()
    assert "state panel" in error.astext()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a b :: capped", ("a", "b", {}, "capped")),
        ("a b  rate=0.1 :: capped", ("a", "b", {"rate": 0.1}, "capped")),
        ('a b name="no clip: SGD" :: capped', ("a", "b", {"name": "no clip: SGD"}, "capped")),
        ("a b name='CNN, DP-SGD' seed=0 :: capped ", ("a", "b", {"name": "CNN, DP-SGD", "seed": 0}, "capped")),
        ('a b variant="total = 960" :: capped', ("a", "b", {"variant": "total = 960"}, "capped")),
    ],
)
def test_a_role_names_section_dataset_columns_and_statistic(companion, text, parts):
    assert companion.parts_of(text) == parts


@pytest.fixture
def known(monkeypatch):
    """Let every page of every dataset have the same few runs: two of DP-SGD in two lengths, one of CDP."""
    found = rows.runs(
        *rows.seeds("DP-SGD", 90.0, 92.0, label="DP-SGD, T = 300", num_steps=300),
        *rows.seeds("DP-SGD", 94.0, 96.0, label="DP-SGD, T = 600", num_steps=600),
        rows.run("CDP", 50.0, panel="clip 0.5"),
    )
    monkeypatch.setattr(findings, "runs_of", lambda section, dataset: found)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("name=DP-SGD num_steps=300 :: test_accuracy", "91.00 ± 1.41 % (2)"),
        ('name="DP-SGD" num_steps=600 :: max_test_accuracy', "95.00 ± 1.41 % (2)"),
        ("name=DP-SGD num_steps=600 seed=1 :: test_accuracy", "96.00 % (1)"),
        ('panel="clip 0.5" :: test_accuracy', "50.00 % (1)"),
    ],
)
def test_columns_select_the_runs_of_a_number(role, known, where, shown):
    assert role(f"a_page mnist {where}") == (shown, [])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nam=CDP :: test_accuracy", "column='nam' is not known; did you mean 'name'?"),
        ("statistic=CDP :: test_accuracy", "column='statistic' is not known"),
        ("runs=CDP :: test_accuracy", "column='runs' is not known"),
        ("name=CPD :: test_accuracy", "name='CPD' is not known; did you mean 'CDP'?"),
        ("name=CDP panel='clip 0.4' :: test_accuracy", "panel='clip 0.4' is not known; did you mean 'clip 0.5'?"),
        ("name=CDP num_steps=600 :: test_accuracy", "num_steps=600 has no runs here; pass one of 60"),
        ("name=DP-SGD num_steps=900 :: test_accuracy", "num_steps=900 has no runs here; pass one of 300, 600"),
        ("name=DP-SGD num_steps=many :: test_accuracy", "num_steps='many' has no runs here; pass one of 300, 600"),
        (
            "name=DP-SGD :: test_accuracy",
            "selects 2 kinds of run, such as DP-SGD, T = 300, DP-SGD, T = 600; state num_steps",
        ),
        (":: test_accuracy", "selects 3 kinds of run, such as DP-SGD, T = 300, DP-SGD, T = 600, CDP; state name, "),
        ("name=CDP :: median", "statistic='median' is not known; "),
        ("name=CDP :: test_acuracy", "statistic='test_acuracy' is not known; did you mean 'test_accuracy'?"),
        ("name=CDP :: exact_epsilon", "the records of 'CDP' hold no exact_epsilon"),
        ("name=CDP ::", "it must look like 'SECTION DATASET COLUMN=VALUE ... :: STATISTIC'"),
        ("name=CDP test_accuracy", "it must look like"),
        ("name=CDP:test_accuracy", "it must look like"),
        ("CDP :: test_accuracy", "it must look like"),
        ("=CDP :: test_accuracy", "is no KEY=VALUE"),
        ("name='CDP :: test_accuracy", "No closing quotation"),
    ],
)
def test_a_role_that_selects_no_one_kind_of_run_is_an_error_of_the_build(role, known, where, message):
    shown, (error,) = role(f"a_page mnist {where}")
    assert error["level"] == 3
    assert message in error.astext()
    assert shown == f"{{measured}}`a_page mnist {where}`"  # no number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('fig07_ablation mnist name="noise-free" :: test_accuracy', "name='noise-free' has no runs here"),
        ("fig07_ablaton mnist name=CNN :: test_accuracy", "did you mean 'fig07_ablation'"),
        ("fig07_ablation mnst name=CNN :: test_accuracy", "did you mean 'mnist'"),
        ("fig07_ablation :: test_accuracy", "it must look like"),
        ("fig07_ablation mnist :: test_accuracy", "no run is recorded, so there is no test_accuracy"),
        ("fig07_ablation:mnist:CNN:final", "it must look like"),
    ],
)
def test_a_number_without_records_is_an_error_of_the_build(role, empty_store, text, message):
    shown, (error,) = role(text)
    assert error["level"] == 3
    assert message in error.astext()
    assert shown == f"{{measured}}`{text}`"


def lines_of(markdown):
    lines = rows.narrow(markdown).splitlines()
    ruler = lines.pop(1)
    assert re.fullmatch(r"(\|:?-+:?)+\|", ruler)
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {ruler.count("|")}
    return lines[1:]


def test_the_comparison_keeps_every_claim_without_records(empty_store):
    assert all(
        "not yet run" in row or "inconsistent" in row or "not testable" in row
        for row in lines_of(findings.comparison())
    )
    part = lines_of(findings.comparison("fig07_ablation"))
    assert 0 < len(part) < len(lines_of(findings.comparison()))


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_the_comparison_has_a_verdict_where_there_are_records(own_store):
    table = lines_of(findings.comparison("fig07_ablation"))
    assert any("reproduced |" in row for row in table)


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
@pytest.mark.xdist_group("all runs")
def test_headlines_are_rows_of_the_whole_table_and_the_summary_counts_it(own_store, all_runs):
    frame = verdicts.compare(all_runs)
    whole, head = lines_of(verdicts.as_markdown(frame)), lines_of(findings.headlines(frame))
    assert set(head) <= set(whole)
    assert len(head) == len(findings.HEADLINES) == len(set(findings.HEADLINES))
    counts = [int(number) for number in re.findall(r"(\d+) (?!claims)", findings.claim_summary(frame))]
    assert sum(counts) == len(whole)


def test_private_runs_stand_beside_the_papers_methods_with_the_papers_noise_alone():
    found = rows.runs(
        rows.run("Polyak", method="cnn_dp_gan_polyak", mechanism="laplace", reading="private"),
        rows.run("DP-SGD", method="dp_sgd", mechanism="gaussian", reading="private"),
        rows.run("a twin of ours", method="cnn_dp_gan_polyak", mechanism="gaussian", reading="private"),
        rows.run("ours", method="scattering_linear", mechanism="gaussian", reading="private"),
        rows.run("P1's reading", method="dp_sgd", mechanism="gaussian", reading="reconstructed"),
        rows.run("no noise", method="cnn", mechanism="none", reading="reconstructed"),
    )
    assert list(found[findings.is_own_method(found)]["name"]) == ["Polyak", "DP-SGD"]


def test_a_claim_is_compared_with_the_private_runs_of_its_own_methods_too(monkeypatch):
    valid = {"reading": "private", "method": "dp_sgd"}
    pages = {
        ("p2_table3", "mnist"): rows.run("DP-SGD", section="p2_table3"),
        ("private_p2", "mnist"): rows.run("DP-SGD", section="private_p2", mechanism="gaussian", **valid),
        ("private_p2", "fashion_mnist"): rows.run("a twin", section="private_p2", mechanism="laplace", **valid),
    }
    monkeypatch.setattr(
        findings, "runs_of", lambda section, dataset: rows.runs(*filter(None, [pages.get((section, dataset))]))
    )
    found = findings.claimed_runs("p2_table3")
    assert found[["section", "reading"]].values.tolist() == [
        ["p2_table3", "reconstructed"],
        ["p2_table3", "private"],
    ]
    assert set(findings.claimed_runs("private_p2")["section"]) == {"private_p2"}


def test_a_figure_shows_its_private_runs_with_exact_epsilons_or_says_that_there_are_none(monkeypatch):
    private = {"exact_epsilon": 0.5123, "num_steps": 720}
    labels = ("DP-SGD (private), T = 720", "DP-SGD (private), T = 4800")
    found = rows.runs(*(one for label in labels for one in rows.seeds(label, 90.0, 91.0, 92.0, **private)))
    none = found[:0]
    monkeypatch.setattr(findings, "runs_of", lambda section, dataset: found if section == "private_p2" else none)
    study = experiment.prepare("p2_table3", dataset="mnist", profile="paper")
    intro, _, *table = findings.private_note(study).splitlines()
    assert "{doc}`private_p2`" in intro
    assert lines_of("\n".join(table)) == [
        f"| {label} | 720 | 0.5123, numerical | 91.00 ± 1.00 (3) |" for label in labels
    ]
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
    table = lines_of(companion.run_statistics())
    assert len(table) == sum(len(section.datasets) for section in SECTIONS.values())
    assert all("not yet run" in row for row in table)
    for section in SECTIONS:
        assert any(f"`{section}`" in row for row in table)


@pytest.mark.skipif(len(RECORDED) < 40, reason="needs the recorded runs of Fig. 7 on MNIST, all eight labels")
def test_the_statistics_count_the_records(companion, own_store):
    (row,) = [row for row in lines_of(companion.run_statistics()) if "`fig07_ablation` | MNIST" in row]
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
    assert registered == [
        "measured",
        "comparison",
        "claim-summary",
        "lead",
        "run-statistics",
        "forgeries",
        "config-inited",
    ]


def planned(section, dataset):
    """Return the runs of a page as a frame, as if each had ended at 90 %."""
    ended = {"digest": "", "status": "finished", "ledger": [], "privacy": {}, "history": {"test_accuracy": []}}
    ended["final"] = {"test_accuracy": 90.0, "train_accuracy": 90.0, "steps_at_cap": 0, "last_step": 1}
    ended["provenance"] = dict.fromkeys(MADE)
    return frame(
        experiment.Result(run, {**ended, "config": run.config.to_dict()})
        for run in findings.study_of(section, dataset).runs
    )


def test_every_number_that_the_pages_ask_for_is_of_one_kind_of_run_of_the_plan(companion):
    """What was renamed would else be found only by a build with all records."""
    asked = {
        found
        for path in BOOK.glob("*.md")
        for found in re.findall(r"\{measured\}`([^`]+)`", path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 100
    pages = {}
    for text in asked:
        section, dataset, where, statistic = companion.parts_of(text)
        if (section, dataset) not in pages:
            pages[section, dataset] = planned(section, dataset)
        runs = pages[section, dataset]
        assert re.fullmatch(r"90\.00( ± 0\.00)? % \(\d+\)", numbers.measured(runs, "test_accuracy", **where)), text
        assert statistic in (*numbers.PERCENT, *numbers.EPSILONS), text
        assert statistic in numbers.PERCENT or set(select(runs, **where)["reading"]) == {"private"}, text
