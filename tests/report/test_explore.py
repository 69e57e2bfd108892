"""The data of the explorers: from records, finite, and prices that bound what the accountant gives."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from cnndp.privacy.accounting import price
from cnndp.privacy.curves import FALSE_POSITIVES
from cnndp.privacy.ledger import Event
from cnndp.report import explore, explore_grid, findings

GRID = Path(__file__).resolve().parents[2] / "book" / "_static" / "explorer_budget.json"
# noise multiplier, share, steps: off the grid, as readers ask.
ASKED = [(0.75, 0.03, 900), (1.3, 1024 / 60_000, 720), (4.9, 250 / 60_000, 310), (11.0, 0.002, 47)]


@pytest.fixture(scope="module")
def grid():
    return json.loads(GRID.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def thresholds():
    return explore.thresholds()


def wrong_samples(grid, drawn=12):
    """Return the points of a sample whose stored prices are not those that the accountant gives."""
    points = [(z, q, t) for z in grid["noise"] for q in grid["shares"] for t in grid["steps"]]
    chosen = np.random.default_rng(0).choice(len(points), drawn, replace=False)
    return [
        points[place]
        for place in chosen
        if grid["prices"][place]
        != pytest.approx([explore_grid.upwards(x) for x in explore_grid.priced(*points[place])])
    ]


def test_stored_grid_is_that_of_the_code(grid):
    axes = [list(axis) for axis in (explore_grid.NOISE, explore_grid.SHARES, explore_grid.STEPS)]
    assert [grid["noise"], grid["shares"], grid["steps"]] == axes
    assert len(grid["prices"]) == math.prod(map(len, axes))
    assert wrong_samples(grid) == []


def test_changed_prices_are_noticed(grid):
    cheaper = {**grid, "prices": [[0.9 * one for one in price] for price in grid["prices"]]}
    assert len(wrong_samples(cheaper, drawn=2)) == 2


@pytest.mark.parametrize("asked", ASKED)
def test_answer_bounds_the_truth_and_is_not_far_above(grid, asked):
    found, true = explore_grid.at_most(grid, *asked), explore_grid.priced(*asked)
    assert all(bound >= value for bound, value in zip(found, true, strict=True))
    assert found.epsilon <= 3.2 * true.epsilon  # 2^(1/4) in noise, sqrt(2) in the share, sqrt(2) in the steps, at most


def test_rounding_the_other_way_would_be_noticed(grid):
    """A point with more noise and fewer steps, as a wrong look-up would take, is below the truth."""
    noise, share, steps = 4.9, 0.005, 310
    lower = explore_grid.at_most(grid, noise * 2**0.25, share / 2**0.5, 200)
    assert lower.epsilon < explore_grid.priced(noise, share, steps).epsilon


def test_prices_fall_with_noise_and_grow_with_share_and_steps(grid):
    shape = (len(grid["noise"]), len(grid["shares"]), len(grid["steps"]), 4)
    prices = np.array(grid["prices"]).reshape(shape)
    # Each number is within 1 % by itself (rounding, and the accountant's own grid).
    assert (prices[1:] <= 1.01 * prices[:-1]).all()
    assert (1.01 * prices[:, 1:] >= prices[:, :-1]).all()
    assert (1.01 * prices[:, :, 1:] >= prices[:, :, :-1]).all()


@pytest.mark.parametrize("outside", [(0.69, 0.004, 300), (4.0, 0.08, 300), (4.0, 0.004, 4801)])
def test_nothing_is_extrapolated(grid, outside):
    assert explore_grid.at_most(grid, *outside) is None


@pytest.mark.parametrize("noise", [0.8, 2.0, 6.0])
def test_attack_on_one_gaussian_release_has_its_closed_form(noise):
    found = explore_grid.priced(noise, 1.0, 1)
    for rate, bound in zip(FALSE_POSITIVES, (found.at_percent, found.at_permille), strict=True):
        true = norm.cdf(norm.ppf(rate) + 1 / noise)
        assert true - 1e-9 <= bound <= 1.05 * true
    assert found.advantage == pytest.approx(2 * norm.cdf(0.5 / noise) - 1, rel=0.01)


def test_answer_bounds_a_schedule_that_grows(grid):
    asked = {"initial": 0.1, "growth": 2.0, "steps": 300, "batch": 250, "records": 60_000, "sensitivity": 0.5}
    found = explore.budget_answer(grid, **asked)
    assert (found["first"], found["last"]) == pytest.approx((5.0, 2.5))
    assert found["nominal"] == pytest.approx(45.0)
    events = tuple(Event("gaussian", 1 / (0.1 + t * 0.1 / 299), 250 / 60_000, 1) for t in range(300))
    assert price(events, grid["delta"]).epsilon <= found["price"].epsilon


def test_frontier_has_the_records_of_the_frontier():
    data = explore.frontier()
    runs = findings.runs_of("frontier", "mnist")
    line = data["mnist"]["lines"][0]
    three = next(one for one in line["points"] if one["epsilon"] == 3)
    assert three["seeds"] == [round(x, 2) for x in runs.loc[runs["target_epsilon"] == 3, "test_accuracy"]]
    assert all(
        one["spent"] <= one["epsilon"] for part in data.values() for kind in part["lines"] for one in kind["points"]
    )
    assert len(explore.frontier_rows(data)) == sum(
        len(kind["points"]) for part in data.values() for kind in part["lines"]
    )
    assert explore.frontier_hints(data)


def test_hints_say_nothing_of_runs_that_are_missing():
    known = [{"epsilon": epsilon, "mean": 90.0} for epsilon in (1.0, 8.0)]
    both = {"lines": [{"model": name, "points": known} for name in explore.COMPARED]}
    assert len(explore.frontier_hints({"mnist": both})) == 2
    assert explore.frontier_hints({"mnist": {"lines": both["lines"][1:]}}) == []
    assert explore.frontier_hints({}) == explore.threshold_hints({}) == []


def test_thresholds_have_every_setting(thresholds):
    runs = findings.runs_of("private_fig10", "mnist")
    chosen = runs[(runs["max_step"] == 3.0) & (runs["budget"] == 5.0)]
    cells = thresholds["mnist"]["readings"]["private, Gaussian noise"]
    (found,) = [one for one in cells if (one["threshold"], one["budget"]) == (3.0, 5.0)]
    assert (found["final"], found["seeds"]) == (round(chosen["test_accuracy"].mean(), 2), len(chosen))
    assert found["epsilon"] == pytest.approx(chosen["exact_epsilon"].max(), rel=1e-3)
    assert len(found["iterations"]) == len(found["accuracy"]) == len(found["step"])
    reconstructed = thresholds["mnist"]["readings"]["reconstructed"]
    assert all(one["epsilon"] is None for one in reconstructed)
    assert len(explore.threshold_hints(thresholds)) == 3


def test_a_diverged_run_is_shown_as_one():
    shared = {
        "iteration": [0, 5, 0],
        "run": [0, 0, 1],
        "test_accuracy": [10.0, 90.0, 12.0],
        "step_size": [1.0, 1.0, 3.0],
    }
    runs = pd.DataFrame(
        {
            **{"exact_epsilon": [None, None], "capped": [10.0, 20.0], "test_accuracy": [90.0, 10.0]},
            "status": ["finished", "diverged"],
        }
    )
    found = explore.cell(0.1, 0.5, pd.DataFrame(shared), runs)
    assert (found["iterations"], found["accuracy"], found["step"]) == ([0], [11.0], [2.0])
    assert (found["final"], found["diverged"], found["epsilon"]) == (50.0, 1, None)


def test_values_are_json_without_nan(thresholds):
    json.dumps([explore.frontier(), thresholds], allow_nan=False)
