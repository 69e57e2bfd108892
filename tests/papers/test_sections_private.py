"""Sections of the private reading: valid by construction, targets as they are named, the rates that were chosen."""

from itertools import pairwise

import numpy as np
import pytest
import rows
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnndp.papers import tuned as tuning_choices
from cnndp.papers.claims import TABLE_II
from cnndp.papers.sections.entries import rate_of, target_name
from cnndp.papers.sections.plan import Options, plan
from cnndp.papers.sections.private import EPSILONS, FEW_ROWS, LIKE, ROWS, TARGETS, tuned
from cnndp.privacy.accounting import laplace_epsilon
from cnndp.report.figures import drawing, tuning

PRIVATE_SECTIONS = ("private_tuning", "private_fig07_08", "private_fig09", "private_fig10", "private_p2")


def runs_of(section, dataset="mnist"):
    return [run for run in plan(section, Options(dataset, profile="paper")) if run.config.mechanism != "none"]


def chosen_rate(dataset, name, target):
    return tuning_choices.rate("private_tuning", dataset, name, target=target_name(target))


@pytest.mark.parametrize("section", PRIVATE_SECTIONS)
def test_every_run_but_the_reference_is_private(section):
    for run in runs_of(section):
        config = run.config
        assert (config.reading, config.sampling, config.noise_on) == ("private", "poisson", "sum")
        assert config.clip == ("example_l1" if config.mechanism == "laplace" else "example_l2")
        assert "private" in run.label


def test_the_targets_are_those_of_the_labels():
    for run in runs_of("private_fig07_08"):
        assert run.config.target_epsilon in EPSILONS
        assert run.facts.target == f"ε = {run.config.target_epsilon:g}"
        assert run.label.endswith(f"(private, {run.facts.target})")
    for run in runs_of("private_fig09"):
        assert run.config.target_epsilon == TABLE_II["mnist"][run.config.num_steps].total_epsilon
        assert run.facts.target == "Table II"


def test_both_mechanisms_of_fig_10_spend_the_same_exact_epsilon():
    runs = {(run.name, run.facts.budget): run.config for run in runs_of("private_fig10") if run.facts.cap_factor == 1}
    assert {budget for _, budget in runs} == {0.05, 0.5, 5.0}
    for budget in (0.05, 0.5, 5.0):
        laplace = runs["CNN-DP-GAN-Polyak", budget]
        gaussian = runs["CNN-DP-GAN-Polyak, Gaussian", budget]
        assert laplace.noise_multiplier == 1 / budget
        assert gaussian.target_epsilon == pytest.approx(laplace_epsilon([(budget, 300)], 250 / 56_000), rel=1e-3)
        assert laplace.growth == gaussian.growth == 1.0


def test_the_caps_of_fig_10_are_a_tenth_of_the_tuned_one_that_and_ten_times_it():
    for run in runs_of("private_fig10"):
        assert run.config.max_step == pytest.approx(run.facts.cap_factor * chosen_rate("mnist", run.name, 8.0))
    assert {run.facts.cap_factor for run in runs_of("private_fig10")} == {0.1, 1.0, 10.0}


def test_p2_keeps_its_noise_and_changes_its_batches():
    for run in runs_of("private_p2"):
        assert (run.config.noise_multiplier, run.config.clip_norm, run.config.target_epsilon) == (1.3, 1.5, None)
        assert run.config.split == "official"


def test_every_method_is_tuned_with_as_many_rates_on_validation_images():
    grids = {}
    for run in runs_of("private_tuning"):
        assert run.config.split == "8:2 validation"
        grids.setdefault((run.name, run.facts.target), []).append(rate_of(run.config))
    assert set(grids) == {(name, target_name(epsilon)) for name in ROWS for epsilon in TARGETS}
    assert {len(grid) for grid in grids.values()} == {5}
    for grid in grids.values():
        assert all(2.9 < after / before < 3.4 for before, after in pairwise(grid))


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_every_method_runs_at_the_rate_that_was_chosen_for_it_at_its_target(dataset):
    chosen = {(one.name, one.target): one.rate for one in tuning_choices.choices("private_tuning", dataset)}
    runs = [*runs_of("private_fig07_08", dataset), *runs_of("private_fig09", dataset)]
    assert {run.name for run in runs} == set(ROWS)
    for run in runs:
        assert rate_of(run.config) == chosen[run.name, run.facts.target]


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_methods_of_the_same_noise_and_clip_were_tuned_alike(dataset):
    for target in TARGETS:
        for name, like in LIKE.items():
            assert chosen_rate(dataset, name, target) == chosen_rate(dataset, like, target) is not None


def test_cifar10_tunes_one_method_for_each_that_are_alike():
    runs = plan("private_tuning", Options("cifar10", profile="reduced"))
    tried = {(name, target_name(epsilon)) for name in FEW_ROWS for epsilon in (8.0, None)}
    assert {(run.name, run.facts.target) for run in runs} == tried
    assert {(one.name, one.target) for one in tuning_choices.choices("private_tuning", "cifar10")} == tried


def test_what_was_not_tuned_takes_the_rate_of_the_method_like_it_and_then_of_the_larger_epsilon(monkeypatch):
    own = [
        {"name": "CNN-DP", "panel": "", "target": target_name(target), "projection": None, "rate": rate}
        for target, rate in ((8.0, 0.2), (None, 0.5))
    ]
    monkeypatch.setitem(tuning_choices.stored()["private_tuning"], "cifar10", {"chosen": own})
    assert rate_of(tuned("CNN-DP-GAN", "cifar10", 60, None)) == 0.5
    assert rate_of(tuned("CNN-DP-GAN-Polyak", "cifar10", 60, 8.0)) == 0.2
    assert rate_of(tuned("CNN-DP", "cifar10", 60, 1.0)) == 0.2
    assert rate_of(tuned("CNN-DP", "digits", 60, 1.0)) == chosen_rate("mnist", "CNN-DP", 1.0) == 0.03


# Figures


def test_rates_are_drawn_in_order_with_the_best_ringed_and_one_style_a_method():
    runs = rows.runs(
        rows.run("B", 30.0, panel="no clip", rate=1.0),
        rows.run("A", 50.0, panel="no clip", rate=1.0),
        rows.run("A", 70.0, panel="no clip", rate=0.1),
        rows.run("A", 20.0, panel="clip 1", rate=0.1),
    )
    figure = tuning.by_rate(runs)
    assert [axes.get_title() for axes in figure.axes] == ["no clip", "clip 1"]
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "A"]
    np.testing.assert_allclose(line.get_xydata(), [(0.1, 70.0), (1.0, 50.0)])
    rings = [tuple(line.get_xydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert set(rings) == {(0.1, 70.0), (1.0, 30.0)}
    (other,) = [line for line in figure.axes[1].lines if line.get_label() == "A"]
    assert line.get_color() == other.get_color()
    assert drawing.png(figure)[:4] == b"\x89PNG"


def test_a_rate_is_drawn_with_its_mean_over_seeds_and_a_cross_where_a_run_diverged():
    lost = {"status": "diverged", "last_step": 7}
    runs = rows.runs(*rows.seeds("A", 90.0, 92.0, rate=0.1), rows.run("A", 10.0, rate=1.0, **lost))
    (axes,) = tuning.by_rate(runs).axes
    by_marker = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines}
    assert by_marker == {".": [[0.1, 91.0], [1.0, 10.0]], "x": [[1.0, 10.0]], "o": [[0.1, 91.0]]}


def test_the_rates_of_a_single_method_share_a_panel_with_a_line_a_setting():
    finals = {"ε = 1": 97.0, "Table II": 98.0}
    runs = [
        rows.run("A", value + rate, target=target, rate=rate) for target, value in finals.items() for rate in (0.1, 1)
    ]
    (axes,) = tuning.by_rate(rows.runs(*runs)).axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "."}
    assert drawn == {"ε = 1": [97.1, 98.0], "Table II": [98.1, 99.0]}


def test_runs_of_one_name_in_several_dimensions_have_a_line_each():
    runs = [rows.run("A", 90.0 + size / 100, target="ε = 1", projection=size) for size in (20, 100)]
    (axes,) = tuning.by_rate(rows.runs(*runs)).axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "."}
    assert drawn == {"A, d = 20": [90.2], "A, d = 100": [91.0]}


def trained(name, final, **columns):
    points = {"iteration": [0, 1], "test_accuracy": [10.0, final]}
    return rows.run(name, final, points=points, num_steps=1, last_step=1, **columns)


def test_each_epsilon_has_its_panel_and_the_reference_is_in_all():
    runs = [trained("DP-SGD", 80 + epsilon, target=target_name(epsilon)) for epsilon in EPSILONS]
    figure = tuning.by_epsilon(rows.history(trained("noise-free", 98.0), *runs))
    assert [axes.get_title() for axes in figure.axes] == ["numerical ε = 1", "numerical ε = 8"]
    for axes, last in zip(figure.axes, (81.0, 88.0), strict=True):
        assert {line.get_label(): line.get_ydata()[-1] for line in axes.lines} == {"noise-free": 98.0, "DP-SGD": last}


def test_caps_are_drawn_for_each_mechanism_and_budget():
    def one(mechanism, budget, cap, final):
        settings = {"mechanism": mechanism, "budget": budget, "max_step": cap, "exact_epsilon": 2 * budget}
        return rows.run("P", final, reading="private", **settings)

    runs = [one("laplace", 5.0, 1.0, 40.0), one("laplace", 5.0, 0.1, 30.0), one("gaussian", 5.0, 1.0, 90.0)]
    figure = tuning.by_cap(rows.runs(*runs, rows.run("noise-free", 98.0, **rows.REFERENCE)))
    laplace, gaussian = figure.axes
    np.testing.assert_allclose(laplace.lines[0].get_xydata(), [(0.1, 30.0), (1.0, 40.0)])
    np.testing.assert_allclose(gaussian.lines[0].get_xydata(), [(1.0, 90.0)])
    assert [axes.get_title() for axes in figure.axes] == ["Laplace noise", "Gaussian noise"]
    assert "5 a step, numerical ε = 10" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_a_cap_the_figure_says_what_is_missing():
    (axes,) = tuning.by_cap(rows.runs(rows.run("noise-free", 98.0, **rows.REFERENCE))).axes
    assert [text.get_text()[:9] for text in axes.texts] == ["Not drawn"]


@pytest.mark.parametrize("lowest", [10.0, 95.0])
def test_the_axis_of_rates_starts_at_zero_unless_all_are_close_and_holds_every_panel(lowest):
    runs = [
        rows.run("A", lowest, target="ε = 1", rate=1.0),
        rows.run("A", 97.0, target="ε = 1", rate=3.0),
        rows.run("A", 98.5, target="ε = 8", rate=3.0),
        rows.run("B", 98.0, target="ε = 8", rate=3.0),
    ]
    figure = tuning.by_rate(rows.runs(*runs))
    assert len(figure.axes) == 2
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert high > 98.5
        assert low == 0 if lowest < 85 else 94 < low < 95


@pytest.mark.parametrize("epsilons", [EPSILONS, EPSILONS[1:]])
def test_the_legend_of_all_methods_has_room_below_the_panels(epsilons):
    runs = [trained(name, 90.0, target=target_name(epsilon)) for epsilon in epsilons for name in ROWS]
    figure = tuning.by_epsilon(rows.history(*runs))
    FigureCanvasAgg(figure).draw()
    width = figure.get_window_extent().width
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= width
