"""Numbers as text: what tells runs apart is named, and what was not measured is refused."""

import pandas as pd
import pytest
import rows

from cnndp.report import numbers
from cnndp.runs import frames


def released(quantity, sensitivity, *scales, mechanism="laplace", sampling="poisson"):
    shared = {"quantity": quantity, "mechanism": mechanism, "sampling": sampling, "sampling_prob": 250 / 56_000}
    return {**shared, "sensitivity": sensitivity, "scales": [list(one) for one in scales]}


# Sensitivities of 1.5 and 1 in units of the noise scale, 300 steps.
PAIR = [released("gradient", 30.0, (20.0, 300)), released("loss", 4.0, (4.0, 300))]


def priced(ledger):
    return numbers.priced_as_pair(rows.runs(rows.run("Polyak", ledger=ledger)).iloc[0])


def test_runs_made_by_hand_have_no_column_that_real_ones_lack():
    assert set(rows.run("any")) <= set(frames.COLUMNS)


def test_gradient_and_loss_are_priced_as_a_pair():
    assert priced(PAIR) == pytest.approx(0.666, abs=5e-4)
    prepared = released("mean", 1.0, (26.0, 1), mechanism="gaussian", sampling="none")
    assert priced([prepared, *PAIR]) == priced(PAIR)


@pytest.mark.parametrize(
    "ledger",
    [
        [],
        PAIR[:1],
        [PAIR[0], released("loss", 4.0, (4.0, 300), mechanism="gaussian")],
        [PAIR[0], released("loss", 4.0, (4.0, 150), (3.0, 150))],
    ],
)
def test_a_run_without_a_pair_of_equal_laplace_noise_has_no_such_price(ledger):
    assert priced(ledger) is None


def test_the_price_of_a_pair_for_prose_is_a_number_or_an_error():
    runs = rows.runs(rows.run("Polyak", ledger=PAIR), rows.run("CDP"))
    assert numbers.measured(runs, "pair_epsilon", name="Polyak") == "0.666"
    with pytest.raises(ValueError, match="the records of 'CDP' hold no pair_epsilon"):
        numbers.measured(runs, "pair_epsilon", name="CDP")


def test_a_number_of_several_lengths_is_refused_until_one_is_named():
    lengths = rows.runs(
        rows.run("CDP", 90.0, label="CDP, T = 300", num_steps=300),
        rows.run("CDP", 95.0, label="CDP, T = 600", num_steps=600),
    )
    with pytest.raises(ValueError, match=r"selects 2 kinds of run, such as CDP, T = 300, .* 600; state num_steps"):
        numbers.measured(lengths, "test_accuracy", name="CDP")
    assert numbers.measured(lengths, "test_accuracy", name="CDP", num_steps=600) == "95.00 % (1)"


@pytest.mark.parametrize(
    ("columns", "apart"),
    [
        ({}, []),
        ({"seed": 1, "digest": "other", "test_accuracy": 50.0}, []),
        ({"num_steps": 600, "reading": "printed"}, ["reading", "num_steps"]),
        ({"max_step": float("nan")}, ["max_step"]),
        ({"target_epsilon": 3.0, "projection": 20.0}, ["target_epsilon", "projection"]),
    ],
)
def test_runs_are_told_apart_by_what_a_reader_knows(columns, apart):
    assert numbers.apart_in(rows.runs(rows.run("CDP"), rows.run("CDP", **columns))) == apart


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([("finished", 60)], ""),
        ([("diverged", 7)], "; diverged at step 7"),
        ([("diverged", 30), ("finished", 60), ("diverged", 7)], "; 2 of 3 diverged, at step 7 and 30"),
    ],
)
def test_where_runs_diverged_is_said_in_order_of_the_steps(runs, text):
    assert numbers.divergence(pd.DataFrame(runs, columns=["status", "last_step"])) == text


def test_a_final_accuracy_says_that_runs_diverged():
    runs = rows.runs(rows.run("CDP", 96.0), rows.run("CDP", 98.0, 1, status="diverged", last_step=7))
    assert numbers.final_spread(runs) == "97.00 ± 1.41 (2); 1 of 2 diverged, at step 7"


def test_an_interval_by_hand():
    """Of five: Student's t with 4 degrees of freedom is 2.776; the standard error is 1.5811 / sqrt(5)."""
    assert numbers.interval([1.0, 2.0, 3.0, 4.0, 5.0]) == "3.00 points, 95 % interval 1.04 to 4.96 (n = 5)"
    assert numbers.interval([2.5]) == "2.50 points (n = 1: too few for an interval)"


def test_a_dataset_is_called_as_readers_know_it():
    assert numbers.pretty("fashion_mnist") == "Fashion-MNIST"
    assert numbers.pretty("mine") == "mine"
