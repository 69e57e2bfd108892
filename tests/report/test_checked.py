"""What is counted for the page on how the book was checked: right on a small tree, and it moves with what it counts."""

import json
from pathlib import Path

import checked_page
import pandas as pd
import pytest
import yaml

from cnndp.audit.controls import CONTROLS
from cnndp.report import checked
from cnndp.report.findings import MADE_VALID

ROOT = Path(__file__).resolve().parents[2]


def record(**changes):
    made = {
        "seconds": 3600.0,
        "device": "CPU (x86_64)",
        "cores": 2,
        "threads": 1,
        "python": "3.11",
        "torch": "2.15",
        "date": "2026-11-22",
        **changes,
    }
    return {"provenance": made, "config": {}, "privacy": {"exact_epsilon": None}}


@pytest.fixture
def tree(tmp_path):
    """Return a repository of two tests, two examples, one notebook and three records."""
    (tmp_path / "tests" / "some").mkdir(parents=True)
    (tmp_path / "tests" / "some" / "test_a.py").write_text(
        "def test_a():\n    pass\n\n\nclass A:\n    def test_b(self): 1\n"
    )
    (tmp_path / "tests" / "helper.py").write_text("def test_is_no_test():\n    pass\n")
    (tmp_path / "cnndp").mkdir()
    (tmp_path / "cnndp" / "one.py").write_text(
        '"""One.\n\n>>> 1\n1\n"""\n\n\ndef two():\n    """Two.\n\n    >>> 2\n    2\n    """\n'
    )
    (tmp_path / "notebooks" / "runs").mkdir(parents=True)
    picture = [{"data": {"image/png": "abc"}}, {"text": "a"}]
    cells = [
        {"cell_type": "markdown", "source": "a"},
        {"cell_type": "code", "source": ["# NBVAL_IGNORE_OUTPUT\n", "b"], "outputs": picture},
        {"cell_type": "code", "source": "c", "outputs": []},
    ]
    (tmp_path / "notebooks" / "runs" / "a.ipynb").write_text(json.dumps({"cells": cells}))
    store = tmp_path / "results" / "section"
    store.mkdir(parents=True)
    secret = record(threads=2, date="2026-11-24") | {"config": {"secret_seed": True}, "privacy": {"exact_epsilon": 1.0}}
    for name, content in {"a": record(), "b": record(date="2026-11-23"), "c": secret, "audit": {"rows": []}}.items():
        (store / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_each_count_is_right_on_a_small_tree(tree):
    records = checked.stored(tree / "results")
    found = checked.counts(tree, records, {"records": [1, 2], "pages": [3]}, ["half the noise"])
    assert found == checked.Counts(
        tests=2,
        examples=2,
        notebooks=1,
        cells=2,
        passed_over=1,
        pictures=1,
        records=3,
        replayable=2,
        priced=1,
        forgeries=3,
        mistakes=1,
    )


def test_a_further_test_is_counted(tree):
    before = checked.count_tests(tree / "tests")
    (tree / "tests" / "test_more.py").write_text("def test_c():\n    pass\n")
    assert checked.count_tests(tree / "tests") == before + 1


def test_machines_are_told_apart_by_what_may_change_a_number(tree):
    lines = checked.machines(checked.stored(tree / "results")).splitlines()
    assert len(lines) == 4  # two lines of header, one a kind of machine
    assert [part.strip() for part in lines[2].split("|")[3:9]] == ["1", "3.11", "2.15", "2", "2.0 hours", days(22, 23)]
    assert [part.strip() for part in lines[3].split("|")[3:9]] == ["2", "3.11", "2.15", "1", "60 minutes", days(24)]


def days(*found):
    return " to ".join(f"2026-11-{day}" for day in found)


def test_times_are_of_the_section_that_a_run_was_made_for():
    """A private run that a figure shows beside its own is counted once, where it belongs."""
    own, private = "fig09_comparison", MADE_VALID["fig09_comparison"]
    runs = pd.DataFrame(
        [
            (own, "mnist", "a", "reconstructed", 60.0),
            (own, "mnist", "b", "private", 600.0),
            (private, "mnist", "b", "private", 600.0),
            (own, "cifar10", "c", "printed", 30.0),
        ],
        columns=["section", "dataset", "digest", "reading", "seconds"],
    )
    lines = [" ".join(line.split()) for line in checked.times(runs, lambda section, dataset: "").splitlines()]
    assert lines[0] == "| Section | MNIST | CIFAR-10 |"
    assert lines[2:] == ["| `fig09_comparison` | 60 s | 30 s |", "| `private_fig09` | 10 minutes | – |"]
    assert "{doc}`60 s </there>`" in checked.times(runs, lambda section, dataset: "/there")


def test_the_page_shows_every_part_and_names_an_unknown_one():
    counted = checked_page.part("counts")
    assert f"| {len(list(ROOT.glob('notebooks/runs/*/*.ipynb')))} " in counted
    assert all(control.name in checked_page.part("mistakes") for control in CONTROLS)
    assert checked_page.part("hours").endswith(" hours.")
    assert "CPU" in checked_page.part("machines")
    with pytest.raises(ValueError, match="part='count' is not known; did you mean 'counts'"):
        checked_page.part("count")


def test_the_page_counts_nothing_by_hand():
    """Its parts come from directives, one each; its checks are those that the forgeries name."""
    text = (ROOT / "book" / "checked.md").read_text(encoding="utf-8")
    for part in checked_page.PARTS:
        assert text.count(f"```{{checked}} {part}\n```") == 1
    rows = yaml.safe_load((ROOT / "book" / "checks.yml").read_text(encoding="utf-8"))["records"]
    for name in {name for row in rows for name in row["noticed"]}:
        assert f"\n| `{name}` | " in text


def test_every_record_of_the_store_is_counted():
    """The manifest holds audits and benchmarks as well."""
    manifest = json.loads((ROOT / "book" / "results" / "MANIFEST.json").read_text(encoding="utf-8"))
    runs = [name for name in manifest if name.split("/")[0] not in ("audits", "benchmarks")]
    assert len(checked.stored(ROOT / "book" / "results")) == len(runs)
