"""Sections of the private reading: valid by construction, targets as they are named, rates that follow from records."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnndp.papers.claims import TABLE_II
from cnndp.papers.sections.equal import rate_of
from cnndp.papers.sections.plan import Options, plan
from cnndp.papers.sections.private import EPSILONS, FEW_ROWS, LIKE, ROWS, TARGETS, TUNED, name_of, tuned
from cnndp.privacy.accounting import laplace_epsilon
from cnndp.report.figures import drawing, tuning
from cnndp.runs import experiment

PRIVATE_SECTIONS = ("private_tuning", "private_fig07_08", "private_fig09", "private_fig10", "private_p2")


def runs_of(section, dataset="mnist"):
    return [run for run in plan(section, Options(dataset, profile="paper")) if run.config.mechanism != "none"]


@pytest.mark.parametrize("section", PRIVATE_SECTIONS)
def test_every_run_but_the_reference_is_private(section):
    for label, config in runs_of(section):
        assert (config.reading, config.sampling, config.noise_on) == ("private", "poisson", "sum")
        assert config.clip == ("example_l1" if config.mechanism == "laplace" else "example_l2")
        assert "private" in label


def test_the_targets_are_those_of_the_labels():
    for label, config in runs_of("private_fig07_08"):
        assert config.target_epsilon in EPSILONS
        assert f"ε = {config.target_epsilon:g})" in label
    for _, config in runs_of("private_fig09"):
        assert config.target_epsilon == TABLE_II["mnist"][config.num_steps].total_epsilon


def test_both_mechanisms_of_fig_10_spend_the_same_exact_epsilon():
    by_name = dict(runs_of("private_fig10"))
    for budget in (0.05, 0.5, 5.0):
        laplace = by_name[f"CNN-DP-GAN-Polyak, cap x 1, budget {budget:g} (private)"]
        gaussian = by_name[f"CNN-DP-GAN-Polyak, Gaussian, cap x 1, budget {budget:g} (private)"]
        assert laplace.noise_multiplier == 1 / budget
        assert gaussian.target_epsilon == pytest.approx(laplace_epsilon([(budget, 300)], 250 / 56_000), rel=1e-3)
        assert laplace.growth == gaussian.growth == 1.0


def test_p2_keeps_its_noise_and_changes_its_batches():
    for _, config in runs_of("private_p2"):
        assert (config.noise_multiplier, config.clip_norm, config.target_epsilon) == (1.3, 1.5, None)
        assert config.split == "official"


def test_every_method_is_tuned_with_as_many_rates_on_validation_images():
    grids = {}
    for label, config in runs_of("private_tuning"):
        assert config.split == "8:2 validation"
        grids.setdefault(label.rsplit(", rate ", 1)[0], []).append(rate_of(config))
    assert set(grids) == {name_of(label, epsilon) for label in ROWS for epsilon in TARGETS}
    assert {len(grid) for grid in grids.values()} == {5}
    for grid in grids.values():
        assert all(2.9 < after / before < 3.4 for before, after in pairwise(grid))


@pytest.mark.parametrize("dataset", TUNED)
def test_the_rates_are_those_with_the_highest_accuracy_on_validation_images(best_rates, dataset):
    assert TUNED[dataset] == best_rates("private_tuning", dataset)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_methods_of_the_same_noise_and_clip_were_tuned_alike(dataset):
    for target in TARGETS:
        for label, like in LIKE.items():
            assert TUNED[dataset][name_of(label, target)] == TUNED[dataset][name_of(like, target)]


def test_cifar10_tunes_one_method_for_each_that_are_alike():
    names = {run.label.rsplit(", rate ", 1)[0] for run in plan("private_tuning", Options("cifar10", profile="reduced"))}
    assert names == {name_of(label, target) for label in FEW_ROWS for target in (8.0, None)}


def test_what_was_not_tuned_takes_the_rate_of_the_method_like_it_and_then_of_the_larger_epsilon(monkeypatch):
    monkeypatch.setitem(TUNED, "cifar10", {name_of("CNN-DP", 8.0): 0.2, name_of("CNN-DP", None): 0.5})
    assert rate_of(tuned("CNN-DP-GAN", "cifar10", 60, None)) == 0.5
    assert rate_of(tuned("CNN-DP-GAN-Polyak", "cifar10", 60, 8.0)) == 0.2
    assert rate_of(tuned("CNN-DP", "cifar10", 60, 1.0)) == 0.2
    assert rate_of(tuned("CNN-DP", "digits", 60, 1.0)) == TUNED["mnist"][name_of("CNN-DP", 1.0)]


# Figures


def made(label, final, **more):
    config = {"seed": 0, **more.pop("config", {})}
    history = {"step": [0, 1], "test_accuracy": [10.0, final]}
    record = {"config": config, "status": "finished", "final": {"test_accuracy": final}, "history": history, **more}
    return experiment.Result(label, record)


def test_rates_are_drawn_in_order_with_the_best_ringed_and_one_style_a_method():
    results = [
        made("no clip: B, rate 1", 30.0),
        made("no clip: A, rate 1", 50.0),
        made("no clip: A, rate 0.1", 70.0),
        made("clip 1: A, rate 0.1", 20.0),
    ]
    figure = tuning.by_rate(results)
    assert [axes.get_title() for axes in figure.axes] == ["no clip", "clip 1"]
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "A"]
    np.testing.assert_allclose(line.get_xydata(), [(0.1, 70.0), (1.0, 50.0)])
    rings = [tuple(line.get_xydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert set(rings) == {(0.1, 70.0), (1.0, 30.0)}
    (other,) = [line for line in figure.axes[1].lines if line.get_label() == "A"]
    assert line.get_color() == other.get_color()
    assert drawing.png(figure)[:4] == b"\x89PNG"


def test_the_rates_of_a_single_method_share_a_panel_with_a_line_a_setting():
    finals = {name_of("A", 1.0): 97.0, name_of("A", None): 98.0}
    results = [made(f"{name}, rate {rate}", value + rate) for name, value in finals.items() for rate in (0.1, 1)]
    (axes,) = tuning.by_rate(results).axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "."}
    assert drawn == {"private, ε = 1": [97.1, 98.0], "private, Table II": [98.1, 99.0]}


def test_each_epsilon_has_its_panel_and_the_reference_is_in_all():
    results = [made("noise-free", 98.0), *(made(name_of("DP-SGD", epsilon), 80 + epsilon) for epsilon in EPSILONS)]
    figure = tuning.by_epsilon(results)
    assert [axes.get_title() for axes in figure.axes] == ["numerical ε = 1", "numerical ε = 8"]
    for axes, last in zip(figure.axes, (81.0, 88.0), strict=True):
        assert {line.get_label(): line.get_ydata()[-1] for line in axes.lines} == {"noise-free": 98.0, "DP-SGD": last}


def test_caps_are_drawn_for_each_mechanism_and_budget():
    def one(mechanism, budget, cap, final):
        privacy = {"exact_epsilon": 2 * budget}
        config = {"mechanism": mechanism, "max_step": cap}
        return made(f"P, cap x 1, budget {budget:g} (private)", final, privacy=privacy, config=config)

    results = [one("laplace", 5.0, 1.0, 40.0), one("laplace", 5.0, 0.1, 30.0), one("gaussian", 5.0, 1.0, 90.0)]
    figure = tuning.by_cap([*results, made("noise-free", 98.0)])
    laplace, gaussian = figure.axes
    np.testing.assert_allclose(laplace.lines[0].get_xydata(), [(0.1, 30.0), (1.0, 40.0)])
    np.testing.assert_allclose(gaussian.lines[0].get_xydata(), [(1.0, 90.0)])
    assert "5 a step, numerical ε = 10" in [text.get_text() for text in laplace.get_legend().get_texts()]


@pytest.mark.parametrize("lowest", [10.0, 95.0])
def test_the_axis_of_rates_starts_at_zero_unless_all_are_close_and_holds_every_panel(lowest):
    finals = {
        "A (private, ε = 1), rate 1": lowest,
        "A (private, ε = 1), rate 3": 97.0,
        "A (private, ε = 8), rate 3": 98.5,
        "B (private, ε = 8), rate 3": 98.0,
    }
    results = [made(label, value) for label, value in finals.items()]
    for axes in tuning.by_rate(results).axes:
        low, high = axes.get_ylim()
        assert high > 98.5
        assert low == 0 if lowest < 85 else 94 < low < 95


@pytest.mark.parametrize("epsilons", [EPSILONS, EPSILONS[1:]])
def test_the_legend_of_all_methods_has_room_below_the_panels(epsilons):
    figure = tuning.by_epsilon([made(name_of(label, epsilon), 90.0) for epsilon in epsilons for label in ROWS])
    FigureCanvasAgg(figure).draw()
    width = figure.get_window_extent().width
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= width
