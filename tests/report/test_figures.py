"""Figures of the papers, drawn from small runs on digits: what they show is what the records hold."""

import numpy as np
import pandas as pd
import pytest
import rows
import torch
from torch import nn

from cnndp.papers import claims
from cnndp.papers.sections.p1 import BUDGETS, THRESHOLDS
from cnndp.report import numbers, pairs, tables
from cnndp.report.figures import diagrams, drawing, p1, p2
from cnndp.runs import experiment, frames
from cnndp.training import models

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("figures")]  # one worker makes the runs

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that runs a section for a few steps on digits, with two seeds."""
    store = tmp_path_factory.mktemp("store")
    known = {}

    def run(section):
        if section not in known:
            study = experiment.prepare(section, dataset="digits", num_steps=4, seeds=[0, 1], batch_size=20)
            known[section] = experiment.run(study._replace(root=store))
        return known[section]

    return run


def values(results, label, column):
    return np.array([r.record["history"][column] for r in results if r.run.label == label], dtype=float)


def finals(results, label, column="test_accuracy"):
    return [r.record["final"][column] for r in results if r.run.label == label]


# P1


def test_fig_8_draws_the_difference_to_the_noise_free_run_of_the_same_seed(made):
    results = made("fig08_loss")
    figure = p1.accuracy_lost(frames.history(results), {"test": {"CDP": 9.01}})
    for axes, column in zip(figure.axes, ("train_accuracy", "test_accuracy"), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        for label in ("DPGDM", "DP-SGD", "CDP", "CNN-DP-GAN"):
            lost = values(results, "noise-free", column) - values(results, label, column)
            np.testing.assert_allclose(lines[label], lost.mean(axis=0))
    assert [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_marker() == "o"] == [9.01]
    assert drawing.png(figure)[:4] == PNG


def test_fig_8_pairs_seeds_whatever_the_order_of_the_runs(made):
    results = made("fig08_loss")
    free, other = ([r for r in results if r.run.label == label] for label in ("noise-free", "CDP"))
    figure = p1.accuracy_lost(frames.history([*free, *reversed(other)]), {})
    (drawn,) = [line.get_ydata() for line in figure.axes[1].lines if line.get_label() == "CDP"]
    lost = values(results, "noise-free", "test_accuracy") - values(results, "CDP", "test_accuracy")
    np.testing.assert_allclose(drawn, lost.mean(axis=0))
    alone = p1.accuracy_lost(frames.history([free[0], other[1], other[0]]), {})  # one seed has no reference
    (drawn,) = [line.get_ydata() for line in alone.axes[1].lines if line.get_label() == "CDP"]
    np.testing.assert_allclose(drawn, lost[0])


def test_fig_8_without_reference_or_method_says_what_is_missing(made):
    results = made("fig08_loss")
    for kept, missing in (("CDP", "add 'cnn' to methods"), ("noise-free", "no method with noise")):
        figure = p1.accuracy_lost(frames.history(r for r in results if r.run.label == kept), {})
        assert missing in figure.axes[0].texts[0].get_text()


def test_fig_9_draws_every_length_and_the_mean_over_them(made):
    results = made("fig09_comparison")
    runs = frames.frame(results)
    longer = runs.assign(num_steps=8, test_accuracy=runs["test_accuracy"] + 1, label=runs["label"] + ", T = 8")
    figure = p1.by_length(pd.concat([runs, longer]), {"CDP": 86.08})
    left, right = figure.axes
    names = [text.get_text() for text in right.get_yticklabels()]
    assert names == ["noise-free", "DPGDM", "DP-SGD", "CDP", "CNN-DP-GAN-Polyak", "CNN-DP-GAN"]
    mean = np.mean(finals(results, "CDP"))
    assert [text.get_text() for text in left.get_xticklabels()] == ["4", "8"]
    drawn = {line.get_label(): line.lines[0].get_ydata() for line in left.containers}
    assert drawn["CDP"] == pytest.approx([mean, mean + 1])
    at = {line.get_ydata()[0]: line.get_xdata()[0] for line in right.lines if line.get_marker() != "o"}
    assert at[names.index("CDP")] == pytest.approx(mean + 0.5)
    assert 86.08 in [line.get_xdata()[0] for line in right.lines]


def test_fig_9_of_a_single_length_has_a_row_a_method(made):
    (axes,) = p1.by_length(frames.frame(made("fig09_comparison")), {}).axes
    assert axes.get_title() == "T = 4"
    assert "CDP" in [text.get_text() for text in axes.get_yticklabels()]


def test_fig_10_has_a_panel_for_each_threshold_and_a_line_for_each_budget(made):
    results = made("fig10_thresholds")
    panels = p1.thresholds(frames.history(results)).axes
    assert len(panels) == len(THRESHOLDS)
    for axes, threshold in zip(panels, THRESHOLDS, strict=True):
        labels = [line.get_label() for line in axes.lines]
        assert labels == [f"{budget:g}" for budget in BUDGETS] + ["noise-free"]
        shown = axes.lines[2].get_ydata()
        expected = values(results, f"threshold {threshold:g}, budget {BUDGETS[2]:g}", "test_accuracy").mean(axis=0)
        np.testing.assert_allclose(shown, expected)
    crossing = p1.interaction(frames.frame(results)).axes[0]
    assert [text.get_text() for text in crossing.get_legend().get_texts()] == [f"threshold {t:g}" for t in THRESHOLDS]
    for line, threshold in zip(crossing.containers, THRESHOLDS, strict=True):
        means = [np.mean(finals(results, f"threshold {threshold:g}, budget {budget:g}")) for budget in BUDGETS]
        np.testing.assert_allclose(line.lines[0].get_xydata(), np.transpose([BUDGETS, means]))


def test_fig_10_draws_the_thresholds_and_budgets_that_a_reader_chooses(tmp_path):
    given = {"thresholds": [0.05, 0.5], "budgets": [0.7], "num_steps": 2, "seeds": [0], "batch_size": 20}
    study = experiment.prepare("fig10_thresholds", dataset="digits", **given)
    results = experiment.run(study._replace(root=tmp_path))
    panels = p1.thresholds(frames.history(results)).axes
    assert [axes.get_title() for axes in panels] == ["(a) threshold 0.05", "(b) threshold 0.5"]
    assert all([line.get_label() for line in axes.lines] == ["0.7", "noise-free"] for axes in panels)


def test_the_interaction_is_the_difference_of_two_differences(made):
    results = made("fig10_thresholds")

    def final(threshold, budget, seed):
        label = f"threshold {threshold:g}, budget {budget:g}"
        (value,) = finals([r for r in results if r.run.config.seed == seed], label)
        return value

    contrasts = [
        (final(0.1, 0.05, seed) - final(1, 0.05, seed)) - (final(0.1, 5, seed) - final(1, 5, seed)) for seed in (0, 1)
    ]
    runs = frames.frame(results)
    assert f"the interaction: {np.mean(contrasts):.2f} points, 95 % interval" in pairs.interaction_note(runs)
    few = runs[(runs["budget"] != 5) | (runs["max_step"] != 1)]
    assert "do not hold both thresholds" in pairs.interaction_note(few)


def test_p1s_numbers_reach_the_figures_of_mnist_alone():
    assert claims.losses("mnist") == {
        "train": {"DPGDM": 4.71, "DP-SGD": 3.26, "CDP": 10.49, "CNN-DP-GAN": 1.31},
        "test": {"DPGDM": 4.18, "DP-SGD": 2.96, "CDP": 9.01, "CNN-DP-GAN": 1.08},
    }
    assert claims.means("mnist") == {"DPGDM": 70.23, "DP-SGD": 82.36, "CDP": 86.08, "CNN-DP-GAN-Polyak": 97.68}
    assert claims.losses("fashion_mnist") == {"train": {}, "test": {}}
    assert claims.means("fashion_mnist") == {}


# P2


def test_p2s_curves_are_those_of_the_records(made):
    results = made("p2_table2_fig07")
    figure = p2.by_epoch(frames.history(results), 4)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].lines}
    assert list(lines) == [
        f"{label}, {images}"
        for label in ("noise-free", "DP-SGD", "DP-SGD (printed)")
        for images in ("training", "validation")
    ]
    np.testing.assert_allclose(lines["DP-SGD, validation"], values(results, "DP-SGD", "test_loss").mean(axis=0))
    np.testing.assert_allclose(lines["DP-SGD, training"], values(results, "DP-SGD", "train_loss").mean(axis=0))
    text = tables.loss_table(frames.frame(results))
    assert numbers.spread(finals(results, "DP-SGD", "test_loss"), 4) in text


def test_p2s_epsilon_is_in_the_record_of_the_noisy_runs_alone(made):
    results = made("p2_table3")
    epsilons = {result.run.label: result.record["final"].get("rdp_epsilon") for result in results}
    assert epsilons["noise-free"] is None
    assert epsilons["DP-SGD"] == pytest.approx(epsilons["DP-SGD (printed)"])
    table = rows.narrow(tables.epsilon_table(frames.frame(results)))
    assert f"| DP-SGD | reconstructed | 4 | 1.3 | {epsilons['DP-SGD']:.4f} |" in table
    assert "| noise-free | reconstructed | 4 | – | – |" in table


def test_class_counts_and_samples_are_those_of_the_data(digits):
    left, right = p2.class_counts(digits).axes
    assert [patch.get_width() for patch in left.patches] == digits.train_labels.bincount().tolist()
    assert [patch.get_width() for patch in right.patches] == digits.test_labels.bincount().tolist()
    grid = p2.samples(digits, per_class=3).axes
    assert len(grid) == 30
    first = digits.train_images[digits.train_labels == 4][0].squeeze().numpy()
    assert np.array_equal(grid[4 * 3].images[0].get_array(), first)


def test_epsilon_is_drawn_for_the_stated_and_the_needed_noise():
    config = experiment.prepare("p2_table3", dataset="mnist", profile="paper").runs[0].config
    axes = p2.epsilon_by_epoch(config).axes[0]
    stated, needed, printed = (line.get_ydata() for line in axes.lines)
    assert stated[2] == pytest.approx(0.5632, abs=1e-4)
    assert needed[-1] == pytest.approx(100.09, rel=0.03)
    assert list(printed) == [0.56, 100.09]


# Diagrams


@pytest.mark.parametrize(
    "draw",
    [
        diagrams.noise_injection,
        diagrams.neighbouring_datasets,
        diagrams.training,
        diagrams.cnn_dp_gan,
        diagrams.cnn_dp_gan_polyak,
    ],
)
def test_the_boxes_of_a_diagram_do_not_overlap_and_its_arrows_join_boxes(draw):
    figure = draw()
    boxes = [patch.get_bbox() for patch in figure.axes[0].patches if hasattr(patch, "get_bbox")]
    for number, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:number])
    assert drawing.png(figure)[:4] == PNG


@pytest.mark.parametrize(
    ("name", "shape", "total"), [("mnist_cnn", (1, 28, 28), 26_010), ("cifar_cnn", (3, 32, 32), 131_466)]
)
def test_the_layers_of_a_network_have_its_parameters_and_shapes(name, shape, total):
    model = models.build(name, num_classes=10, activation="tanh", generator=torch.Generator().manual_seed(0))
    found = diagrams.layers(model, shape)
    assert sum(layer.num_params for layer in found) == total
    assert found[-1].shape == (10,)
    assert isinstance(model, nn.Sequential)
    texts = [text.get_text() for text in diagrams.network(model, shape).axes[0].texts]
    assert " x ".join(map(str, shape)) in texts
