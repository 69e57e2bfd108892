"""The box at the top of a page says what the table of claims says, in one word and two numbers."""

import pytest

from cnndp.papers.claims import claims
from cnndp.report import box, findings, verdicts


def study_and_runs(section, dataset):
    return findings.study_of(section, dataset), findings.runs_of(section, dataset)


@pytest.mark.parametrize(
    ("section", "dataset", "kind"),
    [
        ("fig09_comparison", "mnist", "partly-reproduced"),
        ("fig09_comparison", "cifar10", None),
        ("p2_table3", "mnist", "partly-reproduced"),
        ("eq06_11_polyak", "mnist", "none"),
    ],
)
def test_the_word_is_that_of_the_verdicts(section, dataset, kind):
    study, runs = study_and_runs(section, dataset)
    text = box.verdict(study, runs)
    stated = [one for one in claims(section=section) if one.kind == "claim" and one.dataset in ("", dataset)]
    found = list(verdicts.compare(runs, stated=stated)["verdict"]) if stated else []
    word = box.overall(found) if found else "No number to check"
    assert text.startswith(f'> <span class="verdict verdict-{kind or word.lower().replace(" ", "-")}">{word}</span> ')
    assert (f"Of {len(found)} claims, " in text) == bool(found)


def test_the_numbers_are_those_of_the_first_headlines_and_change_with_the_runs():
    study, runs = study_and_runs("fig09_comparison", "mnist")
    row = verdicts.compare(runs).set_index("key").loc["p1.fig09.mnist.polyak"]
    said = f"97.68 % in the paper, {row['mean_reconstructed']:.2f} ± {row['std_reconstructed']:.2f} % here (n = 5)"
    assert said in box.verdict(study, runs)
    assert said not in box.verdict(study, runs.assign(test_accuracy=runs["test_accuracy"] - 3))


def test_a_verdict_that_changes_changes_the_box():
    study, runs = study_and_runs("p2_table3", "mnist")
    worse = runs.assign(**{name: runs[name] - 20 for name in ("test_accuracy", "train_accuracy", "max_test_accuracy")})
    assert "verdict-partly-reproduced" in box.verdict(study, runs)
    assert "verdict-not-reproduced" in box.verdict(study, worse)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (["reproduced", "reproduced"], "Reproduced"),
        (["reproduced", "not yet run"], "Reproduced"),
        (["inconsistent within the paper"], "Not reproduced"),
        (["too few seeds", "not testable"], "Undecided"),
    ],
)
def test_what_has_no_verdict_yet_does_not_count(found, word):
    assert box.overall(found) == word


def test_too_few_seeds_are_said_in_a_sentence():
    assert (
        box.counted(["too few seeds", "reproduced"])
        == "Of 2 claims, 1 is reproduced, 1 has too few seeds for a verdict."
    )
