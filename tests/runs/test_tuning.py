"""Tuned rates: they follow from the stored records, the best mean wins, and what was not tuned takes MNIST's."""

import shutil

import pytest
import rows
from click.testing import CliRunner

from cnndp.__main__ import main
from cnndp.papers import tuned
from cnndp.papers.tuned import Choice
from cnndp.runs import store, tuning


def test_the_tuned_rates_are_those_that_the_stored_records_give():
    assert tuning.tune() == tuned.stored()


@pytest.fixture
def part(tmp_path, monkeypatch):
    """Return a store that holds the records of a single tuning section."""
    shutil.copytree(store.default_root() / "frontier_cnn_tuning", tmp_path / "frontier_cnn_tuning")
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    return tmp_path


def test_a_section_that_is_not_complete_on_a_dataset_is_left_out_there(part):
    content = tuning.tune()
    assert {section for section, chosen in content.items() if chosen} == {"frontier_cnn_tuning"}
    assert content["frontier_cnn_tuning"] == tuned.stored()["frontier_cnn_tuning"]
    min((part / "frontier_cnn_tuning" / "mnist").glob("*.json")).unlink()
    whole = tuned.stored()["frontier_cnn_tuning"]["fashion_mnist"]
    assert tuning.tune()["frontier_cnn_tuning"] == {"fashion_mnist": whole}


# The best rate


def test_the_best_rate_has_the_highest_mean_not_the_best_run():
    runs = rows.runs(*rows.seeds("A", 99.0, 50.0, rate=0.1), *rows.seeds("A", 80.0, 81.0, rate=1.0))
    assert tuning.best(runs) == [Choice("A", "", "", None, 1.0)]


@pytest.mark.parametrize("rates", [(0.3, 1.0, 3.0), (3.0, 1.0, 0.3), (1.0, 0.3, 3.0)])
def test_of_equals_the_smallest_rate_is_chosen(rates):
    finals = {0.3: 90.0, 1.0: 90.0, 3.0: 20.0}
    runs = rows.runs(*(rows.run("A", finals[rate], rate=rate) for rate in rates))
    assert tuning.best(runs) == [Choice("A", "", "", None, 0.3)]


def test_a_run_that_diverged_counts_with_what_it_ended_at():
    lost = rows.run("A", 10.0, 1, rate=1.0, status="diverged", last_step=7)
    runs = rows.runs(rows.run("A", 99.0, rate=1.0), lost, *rows.seeds("A", 60.0, 61.0, rate=0.1))
    assert tuning.best(runs) == [Choice("A", "", "", None, 0.1)]  # (99 + 10) / 2 = 54.5


@pytest.mark.parametrize("column", ["name", "panel", "target", "projection"])
def test_what_differs_in_more_than_its_rate_is_chosen_for_by_itself(column):
    values = (20, 100) if column == "projection" else ("b", "a")
    runs = rows.runs(
        *(
            rows.run(**{"name": "A", column: value}, final=final, rate=rate)
            for value, finals in zip(values, ((90.0, 80.0), (70.0, 95.0)), strict=True)
            for rate, final in zip((0.1, 1.0), finals, strict=True)
        )
    )
    first, second = tuning.best(runs)
    assert (getattr(first, column), first.rate) == (values[0], 0.1)
    assert (getattr(second, column), second.rate) == (values[1], 1.0)


# What a choice was made from


def test_the_fingerprint_changes_with_one_accuracy_or_digest_and_not_with_the_order():
    runs = rows.runs(rows.run("A", 90.0, digest="one"), rows.run("A", 91.0, digest="two"))
    known = tuning.fingerprint(runs)
    assert tuning.fingerprint(runs[::-1]) == known
    assert tuning.fingerprint(runs.assign(seconds=1.0)) == known
    others = [
        runs.assign(test_accuracy=[90.0, 91.00001]),
        runs.assign(digest=["one", "three"]),
        runs.assign(test_accuracy=[91.0, 90.0]),
        runs[:1],
    ]
    assert len({known, *map(tuning.fingerprint, others)}) == 5


# What was chosen


def test_a_dataset_that_was_not_tuned_takes_mnists_rates():
    assert tuned.choices("private_tuning", "digits") == tuned.choices("private_tuning", "mnist") != []
    assert tuned.choices("private_tuning", "fashion_mnist") != tuned.choices("private_tuning", "mnist")
    found = [tuned.rate("private_tuning", name, "DP-SGD", target="ε = 1") for name in ("mnist", "digits", "cifar10")]
    assert found == [1.0, 1.0, None]  # CIFAR-10 was tuned, though not there


@pytest.mark.parametrize(
    ("section", "name", "where"),
    [
        ("private_tuning", "DP-SGD", {}),
        ("private_tuning", "DP-SGD", {"target": "ε = 2"}),
        ("private_tuning", "CDP", {"target": "ε = 1"}),
        ("equal_terms_tuning", "SGD", {"panel": "clip 1"}),
        ("survive_laplace_tuning", "Laplace", {"target": "ε = 1", "projection": 21}),
        ("fig07_ablation", "CNN", {}),
    ],
)
def test_there_is_no_rate_where_nothing_was_chosen(section, name, where):
    assert tuned.rate(section, "mnist", name, **where) is None


@pytest.mark.parametrize(
    ("section", "name", "where", "rate"),
    [
        ("private_tuning", "DP-SGD", {"target": "Table II"}, 3.0),
        ("equal_terms_tuning", "SGD", {"panel": "clip 0.5"}, 1.0),
        ("equal_terms_tuning", "SGD", {"panel": "no clip"}, 0.3),
        ("survive_laplace_tuning", "Laplace", {"target": "ε = 1", "projection": 1500}, 30.0),
    ],
)
def test_the_rate_of_a_run_is_found_by_what_sets_it_apart(section, name, where, rate):
    assert tuned.rate(section, "mnist", name, **where) == rate


def test_without_any_records_nothing_is_chosen(monkeypatch):
    monkeypatch.setitem(tuned.stored(), "private_tuning", {})
    assert tuned.choices("private_tuning", "mnist") == tuned.choices("private_tuning", "digits") == []
    assert tuned.rate("private_tuning", "mnist", "DP-SGD", target="ε = 1") is None


def test_tuning_on_a_store_without_the_runs_is_refused_and_loses_nothing(tmp_path, monkeypatch):
    before = tuned.FILE.read_bytes()
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    ended = CliRunner().invoke(main, ["tune"])
    assert ended.exit_code == 1
    assert "would lose the rates of equal_terms_tuning on mnist" in ended.output
    assert tuned.FILE.read_bytes() == before
