"""Norms of gradient and noise from records: against a direct draw, and the factors by hand."""

import math

import numpy as np
import pytest
import torch

from cnndp.equations import noise
from cnndp.report import tables
from cnndp.report.figures import drawing, norms
from cnndp.runs import experiment
from cnndp.training.models import num_params


@pytest.fixture(scope="module")
def polyak(tmp_path_factory):
    study = experiment.prepare("eq06_11_polyak", dataset="digits", num_steps=20, seeds=[0, 1], batch_size=20)
    return experiment.run(study._replace(root=tmp_path_factory.mktemp("store")))


def test_the_noise_norm_is_that_of_a_draw_of_this_scale(polyak):
    records = tables.by_label(polyak)["Eq. (10), no cap"]
    steps, stated = norms.noise_norms(records)
    assert steps == records[0]["history"]["step"][1:]
    config, generator = records[0]["config"], torch.Generator().manual_seed(0)
    for place in (0, -1):
        scale = records[0]["history"]["noise_scale"][1:][place]
        drawn = noise.laplace(num_params(config["model"]), scale, generator) / config["batch_size"]
        assert stated[0][place] == pytest.approx(drawn.norm().item(), rel=0.05)


def record(steps, losses, gradient_norms, scale=0.0):
    history = {
        "step": steps,
        "loss": losses,
        "gradient_norm": gradient_norms,
        "noise_scale": [None, *[scale] * (len(steps) - 1)],
    }
    config = {
        "mechanism": "laplace",
        "batch_size": 250,
        "model": "mnist_cnn",
        "step": "polyak",
        "reading": "reconstructed",
    }
    return {"history": history, "config": config, "status": "finished"}


def test_the_factors_of_a_run_by_hand():
    made = record([0, 5, 10, 20, 30], [None, 9.0, 4.0, 2.0, 1.0], [None, 7.0, 2.0, 2.0, 1.0])
    assert norms.changes(made) == pytest.approx((1 / 4, 1 / 4, 0.0))


def test_the_part_of_noise_in_the_squared_norm_by_hand():
    scale = 1.5
    squared = 26_010 * 2 * (scale / 250) ** 2
    made = record([0, 10, 20, 30], [None, 1.0, 1.0, 1.0], [None, *[math.sqrt(2 * squared)] * 3], scale)
    assert norms.changes(made)[2] == pytest.approx(0.5)


def test_a_diverged_run_has_no_factors_and_printed_stands_in_alone(polyak):
    diverged = [result._replace(record={**result.record, "status": "diverged"}) for result in polyak]
    assert norms.polyak_runs(diverged) == {}
    assert norms.drivers_table(diverged).startswith("No run with a Polyak step is at hand")
    assert drawing.png(norms.drivers(diverged))[:4] == b"\x89PNG"
    assert list(norms.polyak_runs(result for result in polyak if result.label == "printed")) == ["printed"]
    assert "printed" not in norms.polyak_runs(polyak)


def test_figures_draw_what_the_records_hold(polyak):
    figure = norms.drivers(polyak)
    assert [axes.get_title() for axes in figure.axes] == ["Eq. (10), no cap", "cap 1, de-biased"]
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    runs = [result.record["history"] for result in polyak if result.label == "Eq. (10), no cap"]
    np.testing.assert_allclose(drawn["loss"], np.mean([run["loss"][1:] for run in runs], axis=0))
    figure = norms.norms(polyak, ["fixed 0.1", "no such run"])
    assert [line.get_label() for line in figure.axes[1].lines] == ["fixed 0.1"]
    assert figure.axes[1].get_ylim() == figure.axes[2].get_ylim()


def test_pairs_are_matched_by_seed_and_length():
    def made(label, seed, value):
        return experiment.Result(label, {"config": {"seed": seed}, "final": {"test_accuracy": value}})

    results = [made("A, T = 3", 0, 5.0), made("A, T = 3", 1, 7.0), made("B, T = 3", 1, 6.0), made("B, T = 9", 0, 1.0)]
    assert tables.pair_note(results, "A", "B") == "- A minus B, T = 3: 1.00 points (n = 1: too few for an interval)."
    assert tables.pair_note(results, "A", "C") == "The runs at hand do not hold both A and C."
    plain = [made("A", 0, 5.0), made("B", 0, 6.0), made("A", 1, 5.0), made("B", 1, 6.0)]
    assert tables.pair_note(plain, "A", "B") == "- A minus B: -1.00 points, 95 % interval -1.00 to -1.00 (n = 2)."


@pytest.mark.parametrize("column", ["loss", "gradient_norm"])
def test_a_run_whose_numbers_left_the_range_of_float32_is_left_out(column):
    fine = record([0, 10, 20], [None, 4.0, 2.0], [None, 2.0, 1.0])
    broken = record([0, 10, 20], [None, 4.0, 2.0], [None, 2.0, 1.0])
    broken["history"][column] = [None, 4.0, None]
    results = [experiment.Result("fine", fine), experiment.Result("broken", broken)]
    assert list(norms.polyak_runs(results)) == ["fine"]
