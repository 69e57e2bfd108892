"""The frontier page: what its lines, marks and tables hold can be worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import rows

from cnndp.papers import tuned
from cnndp.papers.field import anchors_of, headlines
from cnndp.papers.sections.entries import rate_of
from cnndp.papers.sections.plan import Options, plan
from cnndp.report import findings, tables
from cnndp.report.figures import frontier


def made(label, epsilon, *finals):
    return rows.seeds(label, *finals, exact_epsilon=epsilon, seconds=10.0)


@pytest.fixture
def linear():
    return rows.runs(*made("ε = 3", 2.99, 98.0, 99.0), *made("ε = 1", 0.998, 97.0, 97.6))


@pytest.fixture
def lines(linear):
    network = rows.runs(*made("CNN, T = 300", 72.4, 96.0, 98.0))
    return pd.concat(
        [linear.assign(line="scattering, linear", name="scattering, linear"), network.assign(line="CNN", name="CNN")]
    )


def test_points_are_ordered_by_exact_epsilon_and_sum_up_every_seed(linear):
    points = frontier.by_epsilon(pd.concat([rows.runs(*made("ε = 10", 9.97, 99.1)), linear]))
    assert list(points["epsilon"]) == [0.998, 2.99, 9.97]
    assert list(points["mean"]) == pytest.approx([97.3, 98.5, 99.1])
    assert list(points["std"]) == pytest.approx([np.std([97.0, 97.6], ddof=1), np.std([98.0, 99.0], ddof=1), 0.0])


def test_the_figure_has_our_lines_the_fields_marks_and_the_papers_numbers(lines):
    (axes,) = frontier.frontier(lines, "mnist").axes
    ours = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert ours["scattering, linear"] == [[0.998, pytest.approx(97.3)], [2.99, 98.5]]
    assert ours["CNN"] == [[72.4, 97.0]]
    marks = {tuple(point) for line in axes.lines if line.get_linestyle() == "None" for point in line.get_xydata()}
    assert {(one.epsilon, one.accuracy) for one in anchors_of("mnist")} <= marks
    beside = {f"{name}:\n{value:g} %" for name, value in headlines("mnist").items()}
    assert {one.get_text() for one in axes.texts} == {*beside, "scattering,\nlinear", "CNN"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "72"]


def test_our_lines_are_named_where_they_end_and_told_apart_and_the_fields_in_the_legend(lines):
    methods = ("DP-SGD", "CNN, DP-SGD", "CNN-DP-GAN-Polyak")  # the first two have one style
    beside = [*findings.BESIDE_FRONTIER][1:]
    runs = rows.runs(*made("a", 140.0, 98.0))
    others = [runs.assign(line=line, name=name) for line, name in zip(beside, methods, strict=True)]
    figure = frontier.frontier(pd.concat([lines, *others]), "mnist")
    (axes,), (legend,) = figure.axes, figure.legends
    shown = {"scattering, linear", "CNN", *beside}
    ours = [line for line in axes.lines if line.get_label() in shown]
    assert {line.get_label() for line in ours} == shown
    assert len({(one.get_color(), one.get_linestyle(), one.get_marker()) for one in ours}) == len(ours) == len(shown)
    named = {one.get_text().replace("\n", " ") for one in axes.texts}
    assert {str(line.get_label()) for line in ours} <= named
    theirs = {f"{one.who}: {one.model}" for one in anchors_of("mnist")}
    assert {one.get_text() for one in legend.get_texts()} == theirs


def test_small_errors_get_more_room_and_the_axis_can_be_read_back():
    accuracies = np.array([10.0, 50.0, 90.0, 99.0, 100.0])
    places = frontier.spread_out(accuracies)
    np.testing.assert_allclose(frontier.spread_back(places), accuracies)
    assert places[3] - places[2] > places[1] - places[0] > 0


@pytest.mark.parametrize(("low", "high"), [(20.0, 99.2), (85.0, 92.0), (50.0, 70.0), (97.0, 99.0)])
def test_ticks_lie_within_the_axis_and_apart(low, high):
    ticks = frontier.readable_ticks(low, high)
    assert len(ticks) >= 3
    assert all(low <= tick <= high for tick in ticks)
    places = frontier.spread_out(np.array(ticks))
    assert np.diff(places).min() > 0.07 * np.ptp(frontier.spread_out(np.array([low, high])))


def test_the_headlines_are_reached_at_the_smallest_epsilon_whose_mean_does(lines):
    head, _, linear, cnn = rows.narrow(frontier.headlines_note(lines, "mnist")).splitlines()
    assert head == "| Numerical ε at which the mean reaches | P1's 97.68 % | P2's 95.28 % |"
    assert linear == "| scattering, linear | 2.99 | 0.998 |"
    assert cnn == "| CNN | not reached | 72.4 |"
    assert frontier.headlines_note(lines, "digits").startswith("Neither paper")


def laplace_once(scale):
    """Return the ledger of one Laplace release with a pure epsilon of 1 / scale."""
    return [{"quantity": "gradient", "mechanism": "laplace", "sensitivity": 1.0, "sampling": "all", "norm": "l1",
             "scales": [[scale, 1]]}]  # fmt: skip


def test_the_table_has_exact_epsilon_what_an_attack_reaches_spread_and_seconds(linear):
    first = linear[linear["label"] == "ε = 1"]
    found = rows.narrow(tables.frontier_table(first.assign(ledger=[laplace_once(1.0)] * 2))).splitlines()[2]
    label, epsilon, percent, permille, advantage, *rest = (cell.strip() for cell in found.strip("| ").split("|"))
    assert [label, epsilon, *rest] == ["ε = 1", "0.9980", "97.30 ± 0.42 (2)", "10 ± 0 (2)"]
    for rate, cell in ((1.0, percent), (0.1, permille)):
        assert math.e * rate <= float(cell) <= 1.05 * math.e * rate
    assert float(advantage) == pytest.approx(100 * (1 - math.exp(-1 / 2)), abs=0.1)


def test_the_attack_is_that_of_the_run_that_spends_most(linear):
    first = linear[linear["label"] == "ε = 1"]
    two = [first.assign(exact_epsilon=[0.5, 1.0], ledger=[laplace_once(x) for x in scales]) for scales in
           ((2.0, 1.0), (1.0, 1.0), (1.0, 2.0))]  # fmt: skip
    most, same, least = (tables.frontier_table(runs) for runs in two)
    assert most == same != least


def test_the_papers_settings_stand_beside_the_frontier_where_they_are_recorded(monkeypatch, linear):
    stored = {
        section: rows.runs(
            *(
                rows.run(run.name, 98.0, run.config.seed, label=run.label, reading=run.config.reading)
                for run in findings.study_of(section, "mnist").runs
            )
        )
        for section in ("frontier_table2", "private_fig09", "private_fig07_08")
    }
    stored["private_fig07_08"] = stored["private_fig07_08"][:-1]  # a page with a run missing
    monkeypatch.setattr(findings, "runs_of", lambda section, dataset: stored.get(section, rows.runs()))
    found = findings.with_others(linear, "mnist")
    network = {"CNN, DP-SGD, P1's batches": "DP-SGD", "CNN, CNN-DP-GAN-Polyak": "CNN-DP-GAN-Polyak"}
    lines = ["scattering, linear", "scattering, linear, Table II's totals", *network]
    assert list(found["line"].unique()) == lines
    for line, method in network.items():
        labels = {f"{method} (private, Table II), T = {steps}" for steps in (300, 600, 1200)}
        assert set(found.loc[found["line"] == line, "label"]) == labels
    assert list(findings.with_others(linear, "digits")["line"].unique()) == ["scattering, linear"]


def test_p1s_network_keeps_its_size_and_length_and_its_test_images_for_the_end():
    tuning, final = (
        [run.config for run in plan(section, Options("mnist", profile="paper"))]
        for section in ("frontier_cnn_tuning", "frontier_cnn")
    )
    for config in [*tuning, *final]:
        assert (config.model, config.activation, config.num_steps) == ("mnist_cnn", "tanh", 300)
        assert (config.reading, config.sampling, config.clip) == ("private", "poisson", "example_l2")
    assert {config.split for config in tuning} == {"official validation"}
    assert {config.split for config in final} == {"official"}
    assert sorted({config.target_epsilon for config in final}) == [1.0, 3.0, 8.0, 72.5]


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_rates_of_p1s_network_are_those_with_the_highest_accuracy_on_validation_images(dataset):
    best = rows.best_rates(findings.runs_of("frontier_cnn_tuning", dataset))
    assert {one[:4]: one.rate for one in tuned.choices("frontier_cnn_tuning", dataset)} == best
    finals = plan("frontier_cnn", Options(dataset, profile="paper"))
    assert {(run.name, "", run.facts.target, None): rate_of(run.config) for run in finals} == best
    assert len(best) == 4
