"""Frames of runs: every row is a record's, in percent and by the names of its columns; a selection is never a guess."""

import numpy as np
import pandas as pd
import pytest

from cnndp.report.figures import norms
from cnndp.runs.experiment import prepare, run
from cnndp.runs.frames import COLUMNS, FINAL, MADE, PRIVACY, frame, having, history, select

pytestmark = pytest.mark.slow

POLYAK = "CNN-DP-GAN-Polyak"
MEASURED = (
    *("train_accuracy", "train_loss", "test_accuracy", "test_loss"),
    *("step_size", "slack", "noise_scale", "gradient_norm"),
)


def made(section, *methods, **parameters):
    given = {"dataset": "digits", "num_steps": 3, "device": "cpu", "methods": list(methods), **parameters}
    return run(prepare(section, **given))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return runs of three steps: two methods with two seeds, two private ones, and one that diverged in its first."""
    methods, rebuilt = ("cnn", "cnn_dp_gan_polyak"), {"readings": ["reconstructed"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNDP_RESULTS", str(tmp_path_factory.mktemp("store")))
        return [
            *made("fig09_comparison", *methods, max_step=0.25, batch_size=16, **rebuilt),
            *made("fig09_comparison", *methods, max_step=0.25, seeds=[1], **rebuilt),
            *made("private_fig07_08", "dp_sgd", targets=[1.0, 8.0]),
            *made("fig07_ablation", "cnn_dp_gan", learning_rate=1e38, batch_size=16, **rebuilt),
        ]


@pytest.fixture(scope="module")
def runs(results):
    return frame(results)


@pytest.fixture(scope="module")
def points(results):
    return history(results)


def same(found, wanted):
    """Return whether a value of a frame is that of a record, which has None for what is missing."""
    return bool(pd.isna(found)) if wanted is None else found == wanted


def changed(result, **parts):
    """Return a result whose record has other parts."""
    return result._replace(record={**result.record, **parts})


# A row a run


def test_a_frame_has_a_row_a_run_in_order_and_every_column_in_order(results, runs):
    assert list(runs.columns) == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert runs.index.tolist() == list(range(7))
    assert runs.index.name == "run"
    assert list(runs["digest"]) == [result.run.config.digest for result in results]
    assert runs["digest"].is_unique
    assert list(frame(reversed(results))["digest"]) == list(reversed(runs["digest"]))


def test_a_frame_of_no_runs_has_the_columns():
    assert frame([]).empty
    assert list(frame([]).columns) == list(COLUMNS)


def test_a_row_says_what_was_planned(runs):
    first, second = ["noise-free", POLYAK], ["DP-SGD (private, ε = 1)", "DP-SGD (private, ε = 8)"]
    assert list(runs["label"]) == list(runs["title"]) == [*first, *first, *second, "CNN-DP-GAN"]
    assert list(runs["name"]) == [*first, *first, "DP-SGD", "DP-SGD", "CNN-DP-GAN"]
    assert list(runs["section"]) == ["fig09_comparison"] * 4 + ["private_fig07_08"] * 2 + ["fig07_ablation"]
    assert list(runs["target"]) == [""] * 4 + ["ε = 1", "ε = 8"] + [""]
    assert list(runs["seed"]) == [0, 0, 1, 1, 0, 0, 0]
    assert list(runs["batch_size"]) == [16, 16, 250, 250, 250, 250, 16]


def test_every_value_is_that_of_the_run_and_its_record(results, runs):
    for (planned, record), row in zip(results, runs.to_dict("records"), strict=True):
        parts = (
            (record["config"], record["config"]),
            (planned.facts._asdict(), planned.facts._fields),
            (record["final"], FINAL),
            (record["privacy"], PRIVACY),
            (record["provenance"], MADE),
        )
        for values, names in parts:
            assert [name for name in names if not same(row[name], values.get(name))] == []
        assert (row["status"], row["digest"]) == (record["status"], record["digest"])
        assert row["ledger"] == record["ledger"] != []


def test_accuracies_are_in_percent(runs, points, digits):
    """A share of the test images: times their number it is a whole one, and no share of 1 is."""
    for values in (runs["test_accuracy"], runs["max_test_accuracy"], points["test_accuracy"]):
        counts = values * len(digits.test_labels) / 100
        assert np.allclose(counts, counts.round(), atol=1e-3)
        assert counts.between(5, len(digits.test_labels)).all()


def test_the_tuned_number_is_the_cap_of_a_polyak_step_and_else_the_rate(results, runs):
    polyak = runs["step"] == "polyak"
    assert list(polyak) == [False, True, False, True, False, False, False]
    assert runs.loc[polyak, "rate"].equals(runs.loc[polyak, "max_step"])
    assert runs.loc[~polyak, "rate"].equals(runs.loc[~polyak, "learning_rate"])
    assert not (runs["max_step"] == runs["learning_rate"]).any()


def test_the_capped_share_is_counted_in_the_history(runs, points):
    for number in runs.index[runs["step"] == "polyak"]:
        steps = points[(points["run"] == number) & (points["iteration"] > 0)]
        at_cap = (steps["step_size"] >= steps["max_step"] - 1e-6).sum()
        assert runs["capped"][number] == pytest.approx(100 * at_cap / 3)
    assert (runs["capped"] > 0).any()
    assert (runs.loc[runs["step"] == "fixed", "capped"] == 0).all()


def test_what_a_run_has_none_of_is_missing(runs):
    noise_free, polyak, *_, private, diverged = (runs.loc[number] for number in runs.index)
    assert pd.isna([noise_free[name] for name in ("total_epsilon", "max_step", "nominal_epsilon", "budget")]).all()
    assert pd.isna([polyak[name] for name in ("exact_epsilon", "renyi_epsilon", "noise_multiplier")]).all()
    assert pd.isna([private[name] for name in ("total_epsilon", "no_guarantee", "cap_factor", "projection")]).all()
    assert pd.isna([diverged[name] for name in ("train_loss", "test_loss")]).all()
    assert 7.9 < private["exact_epsilon"] <= 8.0 < private["renyi_epsilon"]
    assert polyak["nominal_epsilon"] == pytest.approx(polyak["total_epsilon"])


def test_a_diverged_run_keeps_its_status_and_last_step(runs):
    assert list(runs["status"]) == ["finished"] * 6 + ["diverged"]
    assert list(runs["last_step"]) == [3] * 6 + [1]
    assert set(runs["num_steps"]) == {3}


def test_the_highest_accuracy_is_that_of_the_curve_and_the_end_of_it_is_its_last(results):
    accuracies = {"test_accuracy": [10.0, 70.0, None, 60.0]}
    finished = changed(results[0], history=accuracies)
    diverged = changed(results[6], history=accuracies)
    without = changed(results[0], history={"test_accuracy": []})
    rows = frame([finished, diverged, without])
    last = [result.record["final"]["test_accuracy"] for result in (results[0], results[6], results[0])]
    assert list(rows["test_accuracy"]) == last
    assert list(rows["max_test_accuracy"]) == [70.0, 70.0, last[2]]
    assert list(rows["curve_test_accuracy"]) == [60.0, last[1], last[2]]


# A row a measurement


def test_a_history_has_the_measurements_of_each_run_beside_what_the_run_is(results, runs, points):
    assert points["run"].value_counts(sort=False).to_dict() == {**dict.fromkeys(range(6), 4), 6: 1}
    for number, result in enumerate(results):
        rows, curves = points[points["run"] == number], result.record["history"]
        assert list(rows["point"]) == list(range(len(rows)))
        assert list(rows["iteration"]) == curves["step"]
        assert np.array_equal(rows["batch_loss"], np.array(curves["loss"], float), equal_nan=True)
        for name in MEASURED:
            assert np.array_equal(rows[name], np.array(curves[name], float), equal_nan=True), name
        for name in ("digest", "label", "seed", "step", "loss", "status", "last_step", "max_test_accuracy"):
            assert set(rows[name]) == {runs[name][number]}, name


def test_the_columns_of_a_history_are_those_of_a_frame_and_the_measured_ones(points):
    assert set(points.columns) == {"run", "point", "iteration", "batch_loss", *MEASURED, *COLUMNS}
    assert points.columns.is_unique
    assert set(points["step"]) == {"fixed", "polyak"}
    assert set(points["loss"]) == {"cross_entropy"}
    assert [str(points[name].dtype) for name in ("run", "point", "iteration")] == ["int64"] * 3


def test_a_history_takes_any_order_of_runs_and_any_iterator(results, points):
    back = history(reversed(results))
    assert list(back["digest"]) == list(points["digest"])[::-1]
    assert list(back.groupby("digest", sort=False)["iteration"].max()) == [0, 3, 3, 3, 3, 3, 3]


def test_what_was_not_measured_is_no_number_even_where_a_run_measured_nothing(results):
    points = history(results[6:])
    assert {str(points[name].dtype) for name in ("batch_loss", *MEASURED)} == {"float64"}
    assert points[["batch_loss", "noise_scale", "gradient_norm"]].isna().all(axis=None)
    assert norms.with_noise_norm(points)["noise_norm"].isna().all()


# Selections


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"name": POLYAK}, [1, 3]),
        ({"name": POLYAK, "seed": 1}, [3]),
        ({"seed": 1, "name": POLYAK}, [3]),
        ({"target": "ε = 8"}, [5]),
        ({"target_epsilon": 8.0}, [5]),
        ({"target_epsilon": 8}, [5]),
        ({"status": "diverged", "last_step": 1}, [6]),
        ({"secret_seed": False, "seed": 1}, [2, 3]),
        ({"max_step": None}, [0, 2, 4, 5, 6]),
        ({"no_guarantee": None}, [4, 5]),
        ({"max_step": None, "target_epsilon": None, "seed": 0}, [0, 6]),
        ({}, list(range(7))),
    ],
)
def test_a_selection_has_every_value_and_none_is_a_missing_one(runs, where, numbers):
    assert select(runs, **where).index.tolist() == numbers
    assert having(runs, where).index.tolist() == numbers
    assert list(select(runs, **where).columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"nmae": "DP-SGD"}, r"column='nmae' is not known; did you mean 'name'\?"),
        ({"name": "DP-SDG"}, r"name='DP-SDG' is not known; did you mean 'DP-SGD'\?"),
        ({"num_steps": 30}, r"num_steps=30 has no runs here; pass one of 3$"),
        ({"target_epsilon": 2.0}, r"target_epsilon=2\.0 has no runs here; pass one of 1\.0, 8\.0$"),
        ({"seed": "0"}, r"seed='0' has no runs here; pass one of 0, 1$"),
        ({"seed": None}, r"seed=None has no runs here; pass one of 0, 1$"),
        ({"name": "noise-free", "reading": "private"}, r"reading='private' is not known; .*Known: reconstructed$"),
        ({"seed": 1, "batch_size": 16}, r"batch_size=16 has no runs here; pass one of 250$"),
        ({"projection": 100}, r"projection=100 has no runs here; pass one of none$"),
    ],
)
def test_a_selection_of_nothing_is_refused_with_what_is_nearest(runs, where, message):
    with pytest.raises(ValueError, match=message):
        select(runs, **where)


def test_nothing_can_be_selected_where_there_are_no_runs():
    with pytest.raises(ValueError, match=r"name='DP-SGD' has no runs here; pass one of none"):
        select(frame([]), name="DP-SGD")
    assert having(frame([]), {"name": "DP-SGD"}).empty


def test_having_gives_no_rows_where_no_run_has_the_values_and_refuses_an_unknown_column(runs):
    none = having(runs, {"name": "noise-free", "reading": "private"})
    assert none.empty
    assert list(none.columns) == list(COLUMNS)
    with pytest.raises(ValueError, match=r"column='tagret' is not known; did you mean 'target'\?"):
        having(runs, {"tagret": "ε = 8"})
