"""Paired differences by hand: which runs are compared, and what happens to seeds that only one side has."""

import pytest
import rows

from cnndp.report import pairs


def made(threshold, budget, *finals, **columns):
    label = f"threshold {threshold:g}, budget {budget:g}"
    return rows.seeds("Polyak", *finals, label=label, max_step=threshold, budget=budget, **columns)


@pytest.fixture
def crossed():
    """Return runs in which the threshold 0.1 gains 3, 4, 5 points at the small budget and loses 1 at the large one."""
    return [
        *made(0.1, 0.5, 93.0, 94.0, 95.0),
        *made(1.0, 0.5, 90.0, 90.0, 90.0),
        *made(0.1, 5.0, 89.0, 89.0, 89.0),
        *made(1.0, 5.0, 90.0, 90.0, 90.0),
    ]


def test_the_interaction_by_hand(crossed):
    """The contrasts are 4, 5 and 6; Student's t with 2 degrees of freedom is 4.303, the standard error 1 / sqrt(3)."""
    assert pairs.interaction_note(rows.runs(*crossed)).splitlines() == [
        "- At a budget of 0.5 a step, the threshold 0.1 instead of 1 changes the accuracy by 4.00 ± 1.00 (3) points.",
        "- At a budget of 5 a step, the threshold 0.1 instead of 1 changes the accuracy by -1.00 ± 0.00 (3) points.",
        "- The difference of the two, the interaction: 5.00 points, 95 % interval 2.52 to 7.48 (n = 3).",
    ]


def test_a_seed_that_one_budget_lacks_is_left_out_of_the_interaction_alone(crossed):
    first, second, third = pairs.interaction_note(rows.runs(*crossed[:-1])).splitlines()
    assert first.endswith("changes the accuracy by 4.00 ± 1.00 (3) points.")
    assert second.endswith("changes the accuracy by -1.00 ± 0.00 (2) points.")
    assert "the interaction: 4.50 points" in third
    assert third.endswith("(n = 2).")


def test_budgets_between_and_runs_without_threshold_or_budget_do_not_count(crossed):
    beside = [
        *made(0.1, 1.0, 10.0, 20.0),
        *made(1.0, 1.0, 30.0, 5.0),
        *rows.seeds("printed", 0.0, 0.0, budget=0.5, max_step=float("nan")),
        *rows.seeds("noise-free", 99.0, 99.0, max_step=float("nan")),
        *rows.seeds("cap alone", 99.0, 99.0),
    ]
    assert pairs.interaction_note(rows.runs(*crossed, *beside)) == pairs.interaction_note(rows.runs(*crossed))


def test_without_all_thresholds_at_all_budgets_there_is_no_interaction(crossed):
    missing = "The runs at hand do not hold both thresholds at all budgets."
    assert pairs.interaction_note(rows.runs(*crossed[:9])) == missing
    assert pairs.interaction_note(rows.runs()) == missing


def test_the_base_of_differences_can_be_told_by_several_columns():
    runs = rows.runs(
        *rows.seeds("SGD", 80.0, 81.0, panel="clip 0.5", label="clip 0.5: SGD"),
        *rows.seeds("SGD", 90.0, 91.0, panel="no clip", label="no clip: SGD"),
        *rows.seeds("growth", 92.0, 91.0, panel="no clip", label="no clip: growth"),
    )
    head, _, *shown = rows.narrow(pairs.difference_table(runs, panel="no clip", name="SGD")).splitlines()
    assert head == "| Run | Final test % | Difference to 'no clip: SGD', points |"
    assert shown == [
        "| clip 0.5: SGD | 80.50 ± 0.71 (2) | -10.00 ± 0.00 (2) |",
        "| no clip: SGD | 90.50 ± 0.71 (2) | |",
        "| no clip: growth | 91.50 ± 0.71 (2) | 1.00 ± 1.41 (2) |",
    ]
