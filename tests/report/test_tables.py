"""Text from runs: every number can be computed by hand, and none appears without a run."""

import re

import pandas as pd
import pytest
import rows

from cnndp.report import numbers, pairs, tables
from cnndp.runs.experiment import prepare


@pytest.fixture
def runs():
    return rows.runs(
        rows.run("base", 90.0, 0, max_test_accuracy=95.0, capped=50.0, digest="first"),
        rows.run("base", 92.0, 1, max_test_accuracy=93.0, capped=100.0),
        rows.run("printed", 50.0, 0, reading="printed", max_step=float("nan")),
        rows.run("other", 91.0, 1, capped=25.0),
        rows.run("other", 88.0, 0, capped=25.0, digest="last"),
    )


def cells(markdown):
    """Return the rows of a Markdown table as lists of cells, without the ruler."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown.splitlines()]
    rows = [[cell.strip() for cell in line] for line in lines]
    assert len({len(row) for row in rows}) == 1
    assert set("".join(rows[1])) <= set(":-")
    return [rows[0], *rows[2:]]


# Single numbers


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [
        ([96.0, 98.0], 2, "97.00 ± 1.41 (2)"),
        ([50.0], 2, "50.00 (1)"),
        ([1.0, 2.0, 3.0], 1, "2.0 ± 1.0 (3)"),
        ([-0.25, 0.25], 2, "0.00 ± 0.35 (2)"),
    ],
)
def test_spread_is_mean_deviation_and_number(values, digits, text):
    assert numbers.spread(values, digits) == text


@pytest.mark.parametrize(
    ("name", "statistic", "text"),
    [
        ("base", "test_accuracy", "91.00 ± 1.41 % (2)"),
        ("base", "max_test_accuracy", "94.00 ± 1.41 % (2)"),
        ("base", "train_accuracy", "80.00 ± 0.00 % (2)"),
        ("base", "capped", "75.00 ± 35.36 % (2)"),
        ("printed", "test_accuracy", "50.00 % (1)"),
    ],
)
def test_a_number_for_prose_by_hand(runs, name, statistic, text):
    assert numbers.measured(runs, statistic, name=name) == text


@pytest.mark.parametrize(
    ("statistic", "where", "message"),
    [
        (
            "test_accuracy",
            {"name": "bsae"},
            r"name='bsae' is not known; did you mean 'base'\? Known: base, printed, other",
        ),
        ("test_accuracy", {"nmae": "base"}, "column='nmae' is not known; did you mean 'name'"),
        ("test_accuracy", {"name": "base", "num_steps": 61}, "num_steps=61 has no runs here; pass one of 60"),
        ("test_acuracy", {"name": "base"}, "statistic='test_acuracy' is not known; did you mean 'test_accuracy'"),
        ("exact_epsilon", {"name": "base"}, "the records of 'base' hold no exact_epsilon"),
        ("test_accuracy", {"reading": "reconstructed"}, "selects 2 kinds of run, such as base, other; state name"),
    ],
)
def test_a_number_without_runs_or_of_several_kinds_is_refused(runs, statistic, where, message):
    with pytest.raises(ValueError, match=message):
        numbers.measured(runs, statistic, **where)


def test_no_number_comes_from_no_runs(runs):
    with pytest.raises(ValueError, match="name='base' has no runs here; pass one of none"):
        numbers.measured(runs[:0], "test_accuracy", name="base")


def test_an_epsilon_for_prose_is_that_of_the_record():
    private = rows.runs(rows.run("valid", 95.0, exact_epsilon=0.98912, renyi_epsilon=1.0931))
    assert numbers.measured(private, "exact_epsilon", name="valid") == "0.989"
    assert numbers.measured(private, "renyi_epsilon", name="valid") == "1.09"


def test_two_runs_that_diverged_at_one_step_are_two():
    """One step stands for both, but both are counted."""
    stopped = {"status": "diverged", "last_step": 12}
    three = rows.runs(*rows.seeds("a", 10.0, 12.0, **stopped), rows.run("a", 98.0, 2))
    assert numbers.divergence(three) == "; 2 of 3 diverged, at step 12"
    assert numbers.measured(three[:1], "test_accuracy", name="a") == "10.00 % (1); diverged at step 12"


# Tables


def test_the_accuracy_table_has_one_row_a_label_with_numbers_by_hand(runs):
    header, *shown = cells(tables.accuracy_table(runs))
    assert header[3:6] == ["Train %", "Highest test %", "Final test %"]
    assert shown == [
        ["base", "reconstructed", "60", "80.00 ± 0.00 (2)", "94.00 ± 1.41 (2)", "91.00 ± 1.41 (2)", "14.5"],
        ["printed", "printed", "60", "80.00 (1)", "50.00 (1)", "50.00 (1)", "14.5"],
        ["other", "reconstructed", "60", "80.00 ± 0.00 (2)", "89.50 ± 2.12 (2)", "89.50 ± 2.12 (2)", "14.5"],
    ]


def test_differences_are_paired_by_seed(runs):
    """Seed 0: 88 - 90 = -2; seed 1: 91 - 92 = -1; the records come in another order."""
    _, *shown = cells(pairs.difference_table(runs, name="base"))
    assert shown == [
        ["base", "91.00 ± 1.41 (2)", ""],
        ["printed", "50.00 (1)", "-40.00 (1)"],
        ["other", "89.50 ± 2.12 (2)", "-1.50 ± 0.71 (2)"],
    ]


def test_differences_survive_labels_that_share_no_seed_with_the_base(runs):
    _, *shown = cells(pairs.difference_table(pd.concat([runs, rows.runs(rows.run("late", 70.0, 7))]), name="base"))
    assert shown[-1][:2] == ["late", "70.00 (1)"]


def test_differences_to_a_label_that_was_not_run_are_the_plain_table(runs):
    assert pairs.difference_table(runs, name="nothing") == tables.accuracy_table(runs)


def test_the_cap_table_tells_who_has_no_cap(runs):
    _, *shown = cells(tables.cap_table(runs))
    assert shown[0] == ["base", "91.00 ± 1.41 (2)", "75.0 ± 35.4 (2)"]
    assert shown[1][2] == "no cap"
    assert shown[2][2] == "25.0 ± 0.0 (2)"


def test_a_bar_in_a_label_does_not_end_a_cell():
    assert cells(tables.table([["a|b", "c"]], ("x", "y")))[1] == ["a\\|b", "c"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"nominal_epsilon": None}, "–"),
        ({"nominal_epsilon": 90.833333}, "90.8333"),
        ({"exact_epsilon": 2.98765}, "2.988, numerical"),
    ],
)
def test_a_run_shows_what_it_spends_or_a_dash(columns, text):
    assert numbers.epsilon_of(rows.runs(rows.run("a", **columns)).iloc[0]) == text


def test_table_ii_does_not_follow_from_eq_5_by_hand():
    """With a, b the totals at 300 and 600, Eq. (5) at 1200 is 6 b - 8 a."""
    _, *shown = cells(tables.table_two_check())
    assert [row[0] for row in shown] == ["MNIST", "Fashion-MNIST", "CIFAR-10"]
    for row in shown:
        a, b = map(float, row[1].split(","))
        assert float(row[4]) == pytest.approx(6 * b - 8 * a, abs=0.05)
    assert [row[4:] for row in shown] == [["266.0", "279.5"], ["557.0", "960"], ["135.0", "687.6"]]


# Notes


def test_every_run_without_a_guarantee_is_named_with_the_reason(runs):
    runs.loc[runs["name"] == "printed", "no_guarantee"] = "no noise was added to the gradient"
    assert tables.guarantee_note(runs).splitlines() == [
        "- **No guarantee**: the loss is used raw (base, other).",
        "- **No guarantee**: no noise was added to the gradient (printed).",
    ]


def test_a_guarantee_is_stated_with_what_it_covers():
    private = rows.runs(rows.run("valid", exact_epsilon=2.98765, no_guarantee=None))
    first, _, covered = tables.guarantee_note(private).splitlines()
    assert first == "- **Guarantee**: numerical (ε = 2.988, δ = 1e-05) (valid)."
    assert covered == tables.WHAT_IS_COVERED


def test_runs_that_differ_in_their_rate_alone_are_named_once():
    several = rows.runs(*(rows.run("CDP", label=f"CDP, rate {rate}", title="CDP") for rate in (1, 3)))
    assert tables.guarantee_note(several) == "- **No guarantee**: the loss is used raw (CDP)."


def test_a_run_that_has_a_guarantee_is_not_called_one_without(runs):
    runs.loc[runs["name"] == "printed", "no_guarantee"] = None
    assert "printed" not in tables.guarantee_note(runs)


def test_the_source_note_sums_up_where_the_numbers_come_from(runs):
    note = tables.source_note(prepare("fig07_ablation", num_steps=60), runs)
    assert note.startswith("*Source.* records: 5 of section `fig07_ablation` on digits (`first` to `last`)")
    for fact in (
        "steps: 60; batch size: 250; seeds: 0, 1;",
        "code: commit `0123456789`, torch 2.15.0;",
        "device: CPU (x86_64);",
        "seconds: 5,002 in all;",
        "data: SHA-256 `ffffffffffff`.",
    ):
        assert fact in note


def test_the_verdicts_are_of_this_section_and_dataset(runs):
    study = prepare("fig07_ablation", num_steps=60)
    assert tables.verdict_table(study, runs) == "P1 states no number for this section on digits."
    table = tables.verdict_table(prepare("fig07_ablation", dataset="mnist"), runs)
    assert "not yet run" in table
    assert "50.08" in table


def test_labels_keep_the_order_in_which_they_appear(runs):
    assert [(label, len(group)) for label, group in tables.by_label(runs)] == [
        ("base", 2),
        ("printed", 1),
        ("other", 2),
    ]


def test_listed_names_each_value_once_in_order():
    assert numbers.listed(["b", "a", "b"]) == "b, a"


def test_differences_by_name_are_paired_by_seed_and_length():
    lengths = rows.runs(
        *rows.seeds("A", 5.0, 7.0, num_steps=3), rows.run("B", 6.0, 1, num_steps=3), rows.run("B", 1.0, 0, num_steps=9)
    )
    assert pairs.pair_note(lengths, "A", "B") == "- A minus B, T = 3: 1.00 points (n = 1: too few for an interval)."
    assert pairs.pair_note(lengths, "A", "C") == "The runs at hand do not hold both A and C."
    plain = rows.runs(*rows.seeds("A", 5.0, 5.0), *rows.seeds("B", 6.0, 6.0))
    assert pairs.pair_note(plain, "A", "B") == "- A minus B: -1.00 points, 95 % interval -1.00 to -1.00 (n = 2)."


@pytest.mark.parametrize("other", [{"reading": "printed"}, {"variant": "total 960"}, {"beside": "MNIST's constants"}])
def test_what_is_printed_or_set_apart_is_no_pair(other):
    plain = rows.runs(*rows.seeds("A", 5.0, 5.0), *rows.seeds("B", 6.0, 6.0), *rows.seeds("B", 0.0, 0.0, **other))
    assert pairs.pair_note(plain, "A", "B") == "- A minus B: -1.00 points, 95 % interval -1.00 to -1.00 (n = 2)."
