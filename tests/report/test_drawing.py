"""Figures: axes say what they show and in which unit, lines carry names, and the bytes are stable."""

import io

import cells
import matplotlib as mpl
import numpy as np
import pytest
import rows
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from torch import Generator

from cnndp.equations.budget import budget_for_total
from cnndp.equations.toy import polyak_path
from cnndp.report.figures import drawing, equations, p1, tuning

STEPS = [0, 20, 60]


def measured(name, final, seed=0, *, steps=STEPS, num_steps=60):
    accuracies = list(np.linspace(10.0, final, len(steps)))
    points = {
        "iteration": list(steps),
        "train_accuracy": accuracies,
        "test_accuracy": accuracies,
        "step_size": [None, *[0.3] * (len(steps) - 1)],
    }
    status = "finished" if steps[-1] == num_steps else "diverged"
    return rows.run(name, final, seed, points=points, status=status, last_step=steps[-1], num_steps=num_steps)


@pytest.fixture
def made():
    return [measured("CNN", 50.0), measured("CNN", 60.0, 1), measured("CNN-DP", 90.0), measured("CNN-DP", 96.0, 1)]


def ablation(made):
    return p1.ablation(rows.history(*made), {"CNN": 50.08}, 60)


def schedules(made):
    budgets = {f"r = {r:g}": budget_for_total(72.5, 30, r) for r in (1.0, 2.0)}
    return equations.schedules(budgets, 30, 0.5, (2.0, 0.18))


def bowl(made):
    paths = {"no noise": polyak_path(5, Generator()), "cap 0.3": polyak_path(5, Generator(), max_step=0.3)}
    return equations.bowl_paths(paths)


def final(made):
    return drawing.final_accuracies(rows.runs(*made))


def step_sizes(made):
    return equations.step_sizes(rows.history(*made))


EVERY_FIGURE = pytest.mark.parametrize("draw", [ablation, schedules, bowl, final, step_sizes])
EVERY_CURVE = pytest.mark.parametrize("draw", [ablation, step_sizes])


def legend_of(figure):
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


@EVERY_FIGURE
def test_every_axis_says_what_it_shows(draw, made):
    figure = draw(made)
    for axes in figure.axes:
        assert axes.get_xlabel()
        # The rows of the bars are named one by one; panels that share their axis name it once.
        assert axes.get_ylabel() or draw in (final, ablation)
    if draw is ablation:
        assert figure.axes[0].get_ylabel() == "accuracy (%)"
        assert figure.axes[1].get_shared_y_axes().joined(*figure.axes)


def test_accuracies_carry_their_unit_and_logarithmic_axes_say_so(made):
    assert "(%)" in final(made).axes[0].get_xlabel()
    left, right = step_sizes(made).axes
    assert (left.get_yscale(), left.get_ylabel()) == ("log", "step size (log)")
    assert right.get_ylabel() == "accuracy (%)"


@pytest.mark.parametrize(
    ("draw", "names"),
    [
        (ablation, ["CNN", "CNN-DP"]),
        (step_sizes, ["CNN", "CNN-DP"]),
        (schedules, ["r = 1", "r = 2"]),
        (bowl, ["no noise", "cap 0.3"]),
    ],
)
def test_every_line_has_its_name_in_the_legend_once(draw, names, made):
    assert legend_of(draw(made)) == names


def test_a_row_has_the_mean_its_interval_and_the_seeds(made):
    (axes,) = final(made).axes
    dots = [sorted(line.get_xdata()) for line in axes.lines if line.get_marker() == "."]
    assert dots == [[50.0, 60.0], [90.0, 96.0]]
    bars = [line.get_xdata() for line in axes.lines if line.get_marker() == "None"]
    assert [sum(bar) / 2 for bar in bars] == pytest.approx([55.0, 93.0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["CNN", "CNN-DP"]
    assert {text.get_text() for text in axes.texts} == {"55.00", "93.00"}


@pytest.mark.parametrize(("finals", "cut"), [((97.0, 97.4), True), ((9.0, 11.0), False), ((50.0, 97.0), False)])
def test_an_axis_of_accuracies_is_cut_where_tenths_of_a_point_matter(finals, cut):
    (axes,) = final([measured("CNN", finals[0]), measured("CDP", finals[1])]).axes
    low, high = axes.get_xlim()
    assert bool(high - low < 1) is cut


def by_length(made):
    return p1.by_length(rows.runs(*made), {})


def rates(made):
    return tuning.by_rate(rows.runs(*(dict(one, rate=0.1 + one["seed"]) for one in made)))


def by_epsilon(made):
    return tuning.by_epsilon(rows.history(*made))


def lost(made):
    return p1.accuracy_lost(rows.history(measured("noise-free", 99.0), *made), {})


def drawn_styles(figure, name):
    """Return the colours and markers of everything that a figure names after a method."""
    found = {(one.get_color(), one.get_marker()) for one in figure.findobj(Line2D) if one.get_label() == name}
    for axes in figure.axes:
        for container in axes.containers:
            if container.get_label() == name:
                found.add((container.lines[0].get_color(), container.lines[0].get_marker()))
        ticks = {text.get_text(): place for place, text in enumerate(axes.get_yticklabels())}
        if name in ticks:
            found |= {
                (one.get_color(), one.get_marker())
                for one in axes.lines
                if one.get_marker() not in (".", "None", "|") and set(one.get_ydata()) == {ticks[name]}
            }
    return found


@pytest.mark.parametrize("draw", [ablation, final, step_sizes, by_length, rates, by_epsilon, lost])
@pytest.mark.parametrize("planted", [None, ("#123456", "8")])
def test_every_figure_takes_a_methods_style_from_the_table(draw, planted, made, monkeypatch):
    if planted:
        monkeypatch.setitem(drawing.METHODS, "CNN-DP", planted)
    assert drawn_styles(draw(made), "CNN-DP") == {drawing.METHODS["CNN-DP"]}


def test_a_style_that_is_not_the_tables_is_seen(made):
    figure = ablation(made)
    next(line for line in figure.axes[0].lines if line.get_label() == "CNN-DP").set_color("#123456")
    assert drawn_styles(figure, "CNN-DP") != {drawing.METHODS["CNN-DP"]}


def test_no_method_has_the_mark_of_a_paper_or_of_a_diverged_run():
    assert not {marker for _, marker in drawing.METHODS.values()} & {"o", "x", "X", "."}


def test_a_target_and_a_threshold_have_one_colour_each():
    for table in (drawing.TARGETS, drawing.THRESHOLDS):
        colours = [one if isinstance(one, str) else one[0] for one in table.values()]
        assert len(set(colours)) == len(colours)
    for name in ("cap 0.3", "cap 0.3, de-biased", "threshold 0.3"):
        assert drawing.method_style(name, "", 5)["color"] == drawing.THRESHOLDS[0.3]
    assert drawing.setting_style("cap 7", 3) == drawing.style(3)


def test_the_colour_of_a_budget_grows_lighter_with_it():
    light = [sum(drawing.budget_colour(budget)[:3]) for budget in (0.05, 0.5, 5.0)]
    assert light == sorted(light)


def test_every_marker_of_a_method_has_its_name_in_plotly():
    assert {marker for _, marker in drawing.METHODS.values()} <= set(drawing.PLOTLY)


def test_a_figure_that_says_nothing_is_not_drawn():
    with pytest.raises(ValueError, match="has no text for those who do not see it"):
        drawing.png(drawing.panels(1)[0])


def test_the_names_of_a_figure_are_its_texts(made):
    found = drawing.names_in(ablation(made))
    assert {"CNN", "CNN-DP", "iteration", "accuracy (%)", "(a) training images", "P1 CNN 50.08 %"} <= found
    assert "CDP" not in found


def test_the_curves_are_means_over_seeds(made):
    left = ablation(made).axes[0]
    line = next(line for line in left.lines if line.get_label() == "CNN")
    assert list(line.get_xdata()) == STEPS
    assert list(line.get_ydata()) == [10.0, 32.5, 55.0]
    band = left.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(55 + np.std([50, 60], ddof=1))


def test_the_papers_number_is_drawn_where_it_is(made):
    left = ablation(made).axes[0]
    assert any(set(line.get_ydata()) == {50.08} for line in left.lines)
    assert "P1 CNN 50.08 %" in [text.get_text() for text in left.texts]


def test_runs_of_another_length_are_left_out_of_the_ablation(made):
    assert legend_of(ablation([*made, measured("long", 95.0, steps=[0, 500, 900], num_steps=900)])) == [
        "CNN",
        "CNN-DP",
    ]


def test_the_schedule_is_eq_4_and_eq_3(made):
    left, right = schedules(made).axes
    epsilons, scales = left.lines[1].get_ydata(), right.lines[1].get_ydata()
    assert sum(epsilons) == pytest.approx(72.5)
    assert epsilons[-1] == pytest.approx(2 * epsilons[0])
    assert np.multiply(epsilons, scales) == pytest.approx(np.full(30, 0.5))


@EVERY_CURVE
@pytest.mark.parametrize("first", [True, False])
def test_a_seed_that_diverged_is_drawn_with_the_others(draw, first, made):
    diverged = measured("CNN", 11.0, 2, steps=[0, 20])
    figure = draw([diverged, *made] if first else [*made, diverged])
    assert legend_of(figure) == ["CNN; 1 of 3 diverged, at step 20", "CNN-DP"]
    named = [line for line in figure.axes[1].lines if str(line.get_label()).startswith("CNN;")]
    assert max(max(line.get_xdata()) for line in named) == 60
    crosses = [line for line in figure.axes[1].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[20]]


@EVERY_CURVE
def test_one_seed_alone_is_drawn_without_a_warning(draw, made):
    assert legend_of(draw(made[:1])) == ["CNN"]


@EVERY_FIGURE
def test_the_same_records_give_the_same_bytes(draw, made):
    first, second = (drawing.png(draw(made)) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"Matplotlib" not in first  # the version would change the bytes of an unchanged figure


def test_other_numbers_give_another_picture(made):
    assert drawing.png(final(made)) != drawing.png(final(made[:3]))


@EVERY_FIGURE
def test_a_picture_is_opaque_and_of_a_readable_size(draw, made):
    picture = Image.open(io.BytesIO(drawing.png(draw(made)))).convert("RGBA")
    assert 900 <= picture.width <= 2000
    assert 200 <= picture.height <= 1200
    assert picture.getextrema()[3] == (255, 255)


@EVERY_FIGURE
def test_drawing_leaves_the_settings_of_matplotlib_alone(draw, made):
    before = dict(mpl.rcParams)
    assert isinstance(draw(made), Figure)
    assert dict(mpl.rcParams) == before


def test_the_first_eight_lines_of_a_panel_can_be_told_apart():
    styles = [(style["color"], style["linestyle"]) for style in map(drawing.style, range(8))]
    assert len(set(styles)) == 8
    assert len({colour for colour, _ in styles}) == 8


def test_a_caption_that_names_what_is_not_drawn_is_noticed():
    figure, (axes,) = drawing.panels(1)
    axes.plot([0, 1], label="CNN-DP-GAN-Polyak")
    axes.legend()
    texts = drawing.names_in(figure)
    assert cells.undrawn("CNN-DP-GAN-Polyak, five seeds.", texts) == []
    assert cells.undrawn("CNN-DP-GAN-Polyak beside DPGDM.", texts) == ["DPGDM"]
