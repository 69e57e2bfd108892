"""Text from records: every number can be computed by hand, and none appears without a record."""

import re

import pytest

from cnndp.papers.presets import preset
from cnndp.report import tables
from cnndp.runs.experiment import Result, prepare


def record(label, final, seed=0, *, train=80.0, curve=None, capped=0, last_step=60, **changes):
    """Return a result as a finished run would give it, with the numbers that the reports read."""
    method, reading, fields = "cnn_dp_gan_polyak", changes.pop("reading", "reconstructed"), dict(changes)
    config = preset(method, reading, "digits", 60, seed=seed, **fields)
    curve = curve or [10.0, final]
    content = {
        "config": config.to_dict(),
        "digest": config.digest,
        "status": "finished",
        "history": {"step": [0, 60], "test_accuracy": curve},
        "final": {"test_accuracy": final, "train_accuracy": train, "steps_at_cap": capped, "last_step": last_step},
        "privacy": {"nominal_epsilon": 14.5, "exact_epsilon": None, "no_guarantee": "the loss is used raw"},
        "provenance": {
            "commit": "0123456789", "torch": "2.15.0", "device": "CPU (x86_64)", "seconds": 1000.4,
            "dataset_sha256": "f" * 64,
        },
    }  # fmt: skip
    return Result(label, content)


@pytest.fixture
def results():
    return [
        record("base", 90.0, 0, curve=[10.0, 95.0, 90.0], capped=30),
        record("base", 92.0, 1, curve=[10.0, 93.0, 92.0], capped=60),
        record("printed", 50.0, 0, reading="printed"),
        record("other", 91.0, 1, capped=15),
        record("other", 88.0, 0, capped=15),
    ]


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
    assert tables.spread(values, digits) == text


@pytest.mark.parametrize(
    ("label", "statistic", "text"),
    [
        ("base", "final", "91.00 ± 1.41 % (2)"),
        ("base", "max", "94.00 ± 1.41 % (2)"),
        ("base", "train", "80.00 ± 0.00 % (2)"),
        ("base", "capped", "75.00 ± 35.36 % (2)"),
        ("printed", "final", "50.00 % (1)"),
    ],
)
def test_a_number_for_prose_by_hand(results, label, statistic, text):
    assert tables.measured(results, label, statistic) == text


def test_a_number_without_records_is_refused(results):
    with pytest.raises(ValueError, match=r"label='bsae' has no records; known: base, printed, other"):
        tables.measured(results, "bsae", "final")
    with pytest.raises(ValueError, match=r"label='base' has no records"):
        tables.measured([], "base", "final")


def test_an_unknown_statistic_is_refused(results):
    with pytest.raises((ValueError, KeyError), match="median"):
        tables.measured(results, "base", "median")


def test_an_epsilon_for_prose_is_that_of_the_record_or_an_error(results):
    private = record("valid", 95.0)
    private.record["privacy"].update(exact_epsilon=0.98912, renyi_epsilon=1.0931)
    assert tables.measured([private], "valid", "epsilon") == "0.989"
    assert tables.measured([private], "valid", "renyi") == "1.09"
    with pytest.raises(ValueError, match="the records of label='base' hold no epsilon of the kind 'epsilon'"):
        tables.measured(results, "base", "epsilon")


def test_the_share_of_capped_steps_is_of_the_steps_that_ran():
    stopped = record("diverged", 10.0, capped=6, last_step=12)
    assert tables.measured([stopped], "diverged", "capped") == "50.00 % (1)"


# Tables


def test_the_accuracy_table_has_one_row_a_label_with_numbers_by_hand(results):
    header, *rows = cells(tables.accuracy_table(results))
    assert header[3:6] == ["Train %", "Highest test %", "Final test %"]
    assert rows == [
        ["base", "reconstructed", "60", "80.00 ± 0.00 (2)", "94.00 ± 1.41 (2)", "91.00 ± 1.41 (2)", "14.5"],
        ["printed", "printed", "60", "80.00 (1)", "50.00 (1)", "50.00 (1)", "14.5"],
        ["other", "reconstructed", "60", "80.00 ± 0.00 (2)", "89.50 ± 2.12 (2)", "89.50 ± 2.12 (2)", "14.5"],
    ]


def test_differences_are_paired_by_seed(results):
    """Seed 0: 88 - 90 = -2; seed 1: 91 - 92 = -1; the records come in another order."""
    _, *rows = cells(tables.difference_table(results, "base"))
    assert rows == [
        ["base", "91.00 ± 1.41 (2)", ""],
        ["printed", "50.00 (1)", "-40.00 (1)"],
        ["other", "89.50 ± 2.12 (2)", "-1.50 ± 0.71 (2)"],
    ]


def test_differences_survive_labels_that_share_no_seed_with_the_base(results):
    _, *rows = cells(tables.difference_table([*results, record("late", 70.0, 7)], "base"))
    assert rows[-1][:2] == ["late", "70.00 (1)"]


def test_differences_to_a_label_that_was_not_run_are_the_plain_table(results):
    assert tables.difference_table(results, "nothing") == tables.accuracy_table(results)


def test_the_cap_table_tells_who_has_no_cap(results):
    _, *rows = cells(tables.cap_table(results))
    assert rows[0] == ["base", "91.00 ± 1.41 (2)", "75.0 ± 35.4 (2)"]
    assert rows[1][2] == "no cap"
    assert rows[2][2] == "25.0 ± 0.0 (2)"


def test_a_bar_in_a_label_does_not_end_a_cell():
    assert cells(tables.table([["a|b", "c"]], ("x", "y")))[1] == ["a\\|b", "c"]


def test_a_run_without_noise_shows_a_dash_for_its_total():
    assert tables.epsilon_of({"privacy": {"nominal_epsilon": None, "exact_epsilon": None}}) == "–"
    assert tables.epsilon_of({"privacy": {"nominal_epsilon": 90.833333, "exact_epsilon": None}}) == "90.8333"
    assert tables.epsilon_of({"privacy": {"nominal_epsilon": None, "exact_epsilon": 2.98765}}) == "2.988, numerical"


def test_table_ii_does_not_follow_from_eq_5_by_hand():
    """With a, b the totals at 300 and 600, Eq. (5) at 1200 is 6 b - 8 a."""
    _, *rows = cells(tables.table_two_check())
    assert [row[0] for row in rows] == ["MNIST", "Fashion-MNIST", "CIFAR-10"]
    for row in rows:
        a, b = map(float, row[1].split(","))
        assert float(row[4]) == pytest.approx(6 * b - 8 * a, abs=0.05)
    assert [row[4:] for row in rows] == [["266.0", "279.5"], ["557.0", "960"], ["135.0", "687.6"]]


# Notes


def test_every_run_without_a_guarantee_is_named_with_the_reason(results):
    results[2].record["privacy"]["no_guarantee"] = "no noise was added to the gradient"
    assert tables.guarantee_note(results).splitlines() == [
        "- **No guarantee**: the loss is used raw (base, other).",
        "- **No guarantee**: no noise was added to the gradient (printed).",
    ]


def test_runs_that_differ_in_their_rate_alone_are_named_once():
    results = [record(f"CDP, rate {rate}", 90.0) for rate in (1, 3)] + [record("CDP", 90.0)]
    assert tables.guarantee_note(results) == "- **No guarantee**: the loss is used raw (CDP)."


def test_a_run_that_has_a_guarantee_is_not_called_one_without(results):
    results[2].record["privacy"]["no_guarantee"] = None
    assert "printed" not in tables.guarantee_note(results)


def test_the_source_note_sums_up_where_the_numbers_come_from(results):
    note = tables.source_note(prepare("fig07_ablation", num_steps=60), results)
    assert note.startswith("*Source.* records: 5 of section `fig07_ablation` on digits (`")
    for fact in (
        f"`{results[0].record['digest']}` to `{results[-1].record['digest']}`",
        "steps: 60; batch size: 250; seeds: 0, 1;",
        "code: commit `0123456789`, torch 2.15.0;",
        "device: CPU (x86_64);",
        "seconds: 5,002 in all;",
        "data: SHA-256 `ffffffffffff`.",
    ):
        assert fact in note


def test_the_verdicts_are_of_this_section_and_dataset(results):
    study = prepare("fig07_ablation", num_steps=60)
    assert tables.verdict_table(study, results) == "P1 states no number for this section on digits."
    table = tables.verdict_table(prepare("fig07_ablation", dataset="mnist"), [])
    assert "not yet run" in table
    assert "50.08" in table


def test_labels_keep_the_order_in_which_they_appear(results):
    grouped = tables.by_label(results)
    assert list(grouped) == ["base", "printed", "other"]
    assert [len(records) for records in grouped.values()] == [2, 1, 2]


def test_listed_names_each_value_once_in_order():
    assert tables.listed(["b", "a", "b"]) == "b, a"


def test_runs_with_other_constants_stand_beside_the_claims_and_decide_none():
    mine = Result("CNN-DP-GAN-Polyak", {"digest": "a"})
    other = Result("CNN-DP-GAN-Polyak (MNIST's constants)", {"digest": "b"})
    assert tables.compared([mine, other]) == [mine.record]
