"""Norms of gradient and noise from histories: against a direct draw, and the factors by hand."""

import math

import numpy as np
import pytest
import rows
import torch

from cnndp.equations import noise
from cnndp.report import numbers, tables
from cnndp.report.figures import drawing, norms
from cnndp.runs import experiment, frames
from cnndp.training.models import num_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("norms")]  # one worker makes the runs


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    study = experiment.prepare("eq06_11_polyak", dataset="digits", num_steps=20, seeds=[0, 1], batch_size=20)
    return experiment.run(study._replace(root=tmp_path_factory.mktemp("store")))


@pytest.fixture
def polyak(results):
    return frames.history(results)


def test_the_noise_norm_is_that_of_a_draw_of_this_scale(results):
    first = next(result for result in results if result.run.label == "Eq. (10), no cap")
    config, seen = first.record["config"], first.record["history"]
    stated = norms.mean_curve(norms.with_noise_norm(frames.history([first])), "noise_norm")
    assert list(stated.index) == seen["step"][1:]
    generator = torch.Generator().manual_seed(0)
    for place in (0, -1):
        scale = seen["noise_scale"][1:][place]
        drawn = noise.laplace(num_params(config["model"]), scale, generator) / config["batch_size"]
        assert stated.iloc[place] == pytest.approx(drawn.norm().item(), rel=0.05)


def made(steps, losses, gradient_norms, scale=0.0):
    points = {
        "iteration": steps,
        "batch_loss": losses,
        "gradient_norm": gradient_norms,
        "noise_scale": [None, *[scale] * (len(steps) - 1)],
    }
    return norms.with_noise_norm(rows.history(rows.run("Eq. (10)", points=points)))


def test_the_factors_of_a_run_by_hand():
    run = made([0, 5, 10, 20, 30], [None, 9.0, 4.0, 2.0, 1.0], [None, 7.0, 2.0, 2.0, 1.0])
    assert dict(norms.changes(run)) == pytest.approx({"loss": 1 / 4, "norm": 1 / 4, "quotient": 1, "noise": 0})


def test_the_part_of_noise_in_the_squared_norm_by_hand():
    scale = 1.5
    squared = 26_010 * 2 * (scale / 250) ** 2
    run = made([0, 10, 20, 30], [None, 1.0, 1.0, 1.0], [None, *[math.sqrt(2 * squared)] * 3], scale)
    assert norms.changes(run)["noise"] == pytest.approx(0.5)


def test_the_table_of_drivers_by_hand():
    run = made([0, 10, 20, 30], [None, 4.0, 2.0, 1.0], [None, 1.0, 1.0, 2.0])
    assert rows.narrow(norms.drivers_table(run)).splitlines()[-1] == (
        "| Eq. (10) | 0.25 (1) | 4.00 (1) | 0.06 (1) | 0 (1) |"
    )
    short = made([0, 5], [None, 1.0], [None, 1.0])
    assert norms.drivers_table(short).startswith("Runs of fewer than 10 steps")


def test_a_diverged_run_has_no_factors_and_printed_stands_in_alone(polyak):
    diverged = polyak.assign(status="diverged")
    assert norms.polyak_runs(diverged).empty
    assert norms.drivers_table(diverged).startswith("No run with a Polyak step is at hand")
    figure = norms.drivers(diverged)
    assert "no run with a Polyak step" in figure.axes[0].texts[0].get_text()
    assert drawing.png(figure)[:4] == b"\x89PNG"
    assert list(norms.polyak_runs(polyak[polyak["label"] == "printed"])["label"].unique()) == ["printed"]
    assert list(norms.polyak_runs(polyak)["label"].unique()) == [
        "Eq. (10), no cap",
        "cap 0.3",
        "cap 0.3, de-biased",
        "cap 1, de-biased",
    ]


def test_a_run_whose_norm_is_no_number_on_the_way_is_left_out(polyak):
    lost = (polyak["label"] == "cap 0.3") & (polyak["seed"] == 1) & (polyak["point"] == 2)
    assert lost.sum() == 1
    kept = norms.polyak_runs(polyak.assign(gradient_norm=polyak["gradient_norm"].mask(lost)))
    seeds = kept.groupby("label")["seed"].unique().map(list)
    assert seeds["cap 0.3"] == [0]
    assert seeds["cap 0.3, de-biased"] == [0, 1]


def test_figures_draw_what_the_records_hold(results, polyak):
    figure = norms.drivers(polyak)
    assert [axes.get_title() for axes in figure.axes] == ["Eq. (10), no cap", "cap 1, de-biased"]
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    runs = [result.record["history"] for result in results if result.run.label == "Eq. (10), no cap"]
    for name, column, power in (
        ("loss", "loss", 1),
        ("squared norm of the noisy gradient", "gradient_norm", 2),
        ("step size", "step_size", 1),
    ):
        expected = np.mean([np.array(run[column][1:]) ** power for run in runs], axis=0)
        np.testing.assert_allclose(drawn[name], expected)
    figure = norms.norms(polyak, ["fixed 0.1", "no such run"])
    assert [line.get_label() for line in figure.axes[1].lines] == ["fixed 0.1"]
    assert figure.axes[1].get_ylim() == figure.axes[2].get_ylim()


def test_the_share_of_capped_steps_is_of_the_steps_that_ran(results):
    first = next(result for result in results if result.run.label == "cap 0.3")
    final = {**first.record["final"], "steps_at_cap": 6, "last_step": 12, "test_accuracy": 10.0}
    stopped = frames.frame([first._replace(record={**first.record, "status": "diverged", "final": final})])
    assert numbers.measured(stopped, "capped", name="cap 0.3") == "50.00 % (1); diverged at step 12"
    assert "| cap 0.3 | 10.00 (1); diverged at step 12 | 50.0 (1) |" in rows.narrow(tables.cap_table(stopped))
