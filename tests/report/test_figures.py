"""Figures of the papers, drawn from small runs on digits: what they show is what the records hold."""

import numpy as np
import pytest
import torch
from torch import nn

from cnndp.papers.sections.p1 import BUDGETS, THRESHOLDS
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import tables
from cnndp.report.figures import diagrams, drawing, p1, p2
from cnndp.runs import experiment
from cnndp.training import models

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that runs a section for a few steps on digits, with two seeds."""
    store = tmp_path_factory.mktemp("store")
    known = {}

    def run(section, **parameters):
        if section not in known:
            small = {"num_steps": 4, "seeds": [0, 1], "batch_size": 20}
            study = experiment.prepare(section, dataset="digits", **small, **parameters)._replace(root=store)
            known[section] = study, experiment.run(study)
        return known[section]

    return run


def values(results, label, column):
    return np.array([r.record["history"][column] for r in results if r.label == label], dtype=float)


# P1


def test_fig_8_draws_the_difference_to_the_noise_free_run_of_the_same_seed(made):
    _, results = made("fig08_loss")
    figure = p1.accuracy_lost(results, {"test": {"CDP": 9.01}})
    for axes, column in zip(figure.axes, ("train_accuracy", "test_accuracy"), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        for label in ("DPGDM", "DP-SGD", "CDP", "CNN-DP-GAN"):
            lost = values(results, "noise-free", column) - values(results, label, column)
            np.testing.assert_allclose(lines[label], lost.mean(axis=0))
    assert [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_marker() == "o"] == [9.01]
    assert drawing.png(figure)[:4] == PNG


def test_fig_9_draws_every_length_and_the_mean_over_them(made, monkeypatch):
    _, results = made("fig09_comparison")
    longer = [result._replace(label=f"{result.label}, T = 4") for result in results]
    figure = p1.by_length(longer, {"CDP": 86.08})
    names = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert names == ["noise-free", "DPGDM", "DP-SGD", "CDP", "CNN-DP-GAN-Polyak", "CNN-DP-GAN"]
    final = [r.record["final"]["test_accuracy"] for r in results if r.label == "CDP"]
    assert figure.axes[1].patches[names.index("CDP")].get_width() == pytest.approx(np.mean(final))
    assert 86.08 in [line.get_xdata()[0] for line in figure.axes[1].lines]


def test_fig_10_has_a_panel_for_each_threshold_and_a_line_for_each_budget(made):
    _, results = made("fig10_thresholds")
    panels = p1.thresholds(results).axes
    assert len(panels) == len(THRESHOLDS)
    for axes, threshold in zip(panels, THRESHOLDS, strict=True):
        labels = [line.get_label() for line in axes.lines]
        assert labels == [f"{budget:g}" for budget in BUDGETS] + ["noise-free"]
        shown = axes.lines[2].get_ydata()
        expected = values(results, f"threshold {threshold:g}, budget {BUDGETS[2]:g}", "test_accuracy").mean(axis=0)
        np.testing.assert_allclose(shown, expected)
    crossing = p1.interaction(results).axes[0]
    assert [text.get_text() for text in crossing.get_legend().get_texts()] == [f"threshold {t:g}" for t in THRESHOLDS]


def test_the_interaction_is_the_difference_of_two_differences(made):
    _, results = made("fig10_thresholds")

    def final(threshold, budget, seed):
        label = f"threshold {threshold:g}, budget {budget:g}"
        (value,) = [
            r.record["final"]["test_accuracy"]
            for r in results
            if r.label == label and r.record["config"]["seed"] == seed
        ]
        return value

    contrasts = [
        (final(0.1, 0.05, seed) - final(1, 0.05, seed)) - (final(0.1, 5, seed) - final(1, 5, seed)) for seed in (0, 1)
    ]
    assert f"the interaction: {np.mean(contrasts):.2f} points, 95 % interval" in tables.interaction_note(results)
    few = [result for result in results if "budget 5" not in result.label or "threshold 1," not in result.label]
    assert "do not hold both thresholds" in tables.interaction_note(few)


def test_p1s_numbers_reach_the_figures_of_mnist_alone():
    study = experiment.prepare("fig08_loss", dataset="mnist", profile="paper")
    assert tables.stated_losses(study) == {
        "train": {"DPGDM": 4.71, "DP-SGD": 3.26, "CDP": 10.49, "CNN-DP-GAN": 1.31},
        "test": {"DPGDM": 4.18, "DP-SGD": 2.96, "CDP": 9.01, "CNN-DP-GAN": 1.08},
    }
    study = experiment.prepare("fig09_comparison", dataset="mnist", profile="paper")
    assert tables.stated_means(study) == {"DPGDM": 70.23, "DP-SGD": 82.36, "CDP": 86.08, "CNN-DP-GAN-Polyak": 97.68}
    other = experiment.prepare("fig09_comparison", dataset="fashion_mnist", profile="paper")
    assert tables.stated_means(other) == {}


# P2


def test_p2s_curves_are_those_of_the_records(made):
    study, results = made("p2_table2_fig07")
    figure = p2.by_epoch(results, study.runs[0].config.num_steps)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].lines}
    np.testing.assert_allclose(lines["DP-SGD, validation"], values(results, "DP-SGD", "test_loss").mean(axis=0))
    np.testing.assert_allclose(lines["DP-SGD, training"], values(results, "DP-SGD", "train_loss").mean(axis=0))
    text = tables.loss_table(results)
    final = [r.record["final"]["test_loss"] for r in results if r.label == "DP-SGD"]
    assert tables.spread(final, 4) in text


def test_p2s_epsilon_is_in_the_record_of_the_noisy_runs_alone(made):
    _, results = made("p2_table3")
    epsilons = {result.label: result.record["final"].get("rdp_epsilon") for result in results}
    assert epsilons["noise-free"] is None
    assert epsilons["DP-SGD"] == pytest.approx(epsilons["DP-SGD (printed)"])
    assert f"| {epsilons['DP-SGD']:.4f} |" in tables.epsilon_table(results)


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


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs_on_digits_in_a_few_steps(section, tmp_path):
    """A dozen runs of each, spread over its labels."""
    study = experiment.prepare(section, dataset="digits", num_steps=4, seeds=[0], batch_size=20)
    some = study.runs[:: 1 + len(study.runs) // 12]
    results = experiment.run(study._replace(root=tmp_path, runs=some))
    assert len(results) == len(some) > 0
    assert all(result.record["status"] in ("finished", "diverged") for result in results)
