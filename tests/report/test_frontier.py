"""The frontier page: what its lines, marks and tables hold can be worked out by hand."""

import numpy as np
import pytest

from cnndp.papers.field import anchors_of, headlines
from cnndp.papers.sections.equal import rate_of
from cnndp.papers.sections.frontier import CNN_TUNED
from cnndp.papers.sections.plan import Options, plan
from cnndp.report import findings
from cnndp.report.figures import frontier
from cnndp.runs.experiment import Result


def made(label, epsilon, *finals):
    shared = {"status": "finished", "privacy": {"exact_epsilon": epsilon}, "provenance": {"seconds": 10.0}}
    return [Result(label, {**shared, "final": {"test_accuracy": one}}) for one in finals]


@pytest.fixture
def lines():
    linear = [*made("ε = 3", 2.99, 98.0, 99.0), *made("ε = 1", 0.998, 97.0, 97.6)]
    return {"scattering, linear": linear, "CNN": made("CNN, T = 300", 72.4, 96.0, 98.0)}


def test_points_are_ordered_by_exact_epsilon_and_hold_every_seed(lines):
    assert list(frontier.by_epsilon(lines["scattering, linear"]).items()) == [
        (0.998, [97.0, 97.6]),
        (2.99, [98.0, 99.0]),
    ]


def test_the_figure_has_our_lines_the_fields_marks_and_the_papers_numbers(lines):
    (axes,) = frontier.frontier(lines, "mnist").axes
    ours = {
        line.get_label(): line.get_xydata().tolist() for line in axes.lines if str(line.get_label()).startswith("here")
    }
    assert ours == {
        "here: scattering, linear": [[0.998, pytest.approx(97.3)], [2.99, 98.5]],
        "here: CNN": [[72.4, 97.0]],
    }
    marks = {tuple(point) for line in axes.lines if line.get_linestyle() == "None" for point in line.get_xydata()}
    assert {(one.epsilon, one.accuracy) for one in anchors_of("mnist")} <= marks
    assert {f"{name}:\n{value:g} %" for name, value in headlines("mnist").items()} == {
        one.get_text() for one in axes.texts
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "72"]


def test_two_lines_of_a_figure_never_share_a_colour(lines):
    lines |= {name: made("a", 140.0, 98.0) for name in [*findings.BESIDE_FRONTIER][1:]}
    (axes,) = frontier.frontier(lines, "mnist").axes
    handles, labels = axes.get_legend_handles_labels()
    colours = [one.get_color() for one in handles]
    assert [label.startswith("here") for label in labels] == sorted(
        (label.startswith("here") for label in labels), reverse=True
    )
    assert len(set(colours)) == len(labels) == 5 + len({(one.who, one.model) for one in anchors_of("mnist")})


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
    head, _, linear, cnn = frontier.headlines_note(lines, "mnist").splitlines()
    assert head == "| Numerical ε at which the mean reaches | P1's 97.68 % | P2's 95.28 % |"
    assert linear == "| scattering, linear | 2.99 | 0.998 |"
    assert cnn == "| CNN | not reached | 72.4 |"
    assert frontier.headlines_note(lines, "digits").startswith("Neither paper")


def test_the_table_has_exact_epsilon_spread_and_seconds(lines):
    table = frontier.frontier_table(lines["scattering, linear"])
    assert "| ε = 1 | 0.9980 | 97.30 ± 0.42 (2) | 10 ± 0 (2) |" in table


def test_the_papers_settings_stand_beside_the_frontier_where_they_are_recorded(monkeypatch):
    stored = {
        section: [
            result._replace(label=run.label)
            for run in findings.study_of(section, "mnist").runs
            for result in made("any", 72.5, 98.0)[:1]
        ]
        for section in ("frontier_table2", "private_fig09")
    }
    stored["private_fig07_08"] = stored["private_fig09"][:-1]  # a page with a run missing
    monkeypatch.setattr(findings, "results_of", lambda section, dataset: stored.get(section, []))
    found = findings.with_others([], "mnist")
    network = {"CNN, DP-SGD, P1's batches": "DP-SGD", "CNN, CNN-DP-GAN-Polyak": "CNN-DP-GAN-Polyak"}
    assert list(found) == ["scattering, linear", "scattering, linear, Table II's totals", *network]
    for line, method in network.items():
        labels = {f"{method} (private, Table II), T = {steps}" for steps in (300, 600, 1200)}
        assert {result.label for result in found[line]} == labels
    assert list(findings.with_others([], "digits")) == ["scattering, linear"]


def test_p1s_network_keeps_its_size_and_length_and_its_test_images_for_the_end():
    tuning, final = (
        plan(section, Options("mnist", profile="paper")) for section in ("frontier_cnn_tuning", "frontier_cnn")
    )
    for _, config in [*tuning, *final]:
        assert (config.model, config.activation, config.num_steps) == ("mnist_cnn", "tanh", 300)
        assert (config.reading, config.sampling, config.clip) == ("private", "poisson", "example_l2")
    assert {config.split for _, config in tuning} == {"official validation"}
    assert {config.split for _, config in final} == {"official"}
    assert sorted({config.target_epsilon for _, config in final}) == [1.0, 3.0, 8.0, 72.5]


@pytest.mark.parametrize("dataset", CNN_TUNED)
def test_the_rates_of_p1s_network_are_those_with_the_highest_accuracy_on_validation_images(best_rates, dataset):
    assert CNN_TUNED[dataset] == best_rates("frontier_cnn_tuning", dataset)
    rates = {label: rate_of(config) for label, config in plan("frontier_cnn", Options(dataset, profile="paper"))}
    assert rates == CNN_TUNED[dataset]
