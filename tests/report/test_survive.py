"""What survives: comparisons at equal numerical epsilon, tuned alike, and sentences that follow from the numbers."""

from statistics import fmean

import pytest
import torch

from cnndp.papers.sections.equal import rate_of
from cnndp.papers.sections.plan import Options, plan
from cnndp.papers.sections.survive import EPSILONS, LAPLACE_RATES, RATES, ROWS, TUNED, UNTUNED
from cnndp.report import advice, survive
from cnndp.report.survive import Effect, effects, good_range, judged, verdict
from cnndp.runs.experiment import Result
from cnndp.training import methods

SECTIONS = ("survive_tuning", "survive_steps", "survive_cap", "survive_laplace_tuning", "survive_laplace")


def runs_of(section):
    return plan(section, Options("mnist", profile="paper"))


def made(label, *finals):
    return [
        Result(label, {"config": {"seed": seed}, "status": "finished", "final": {"test_accuracy": final}})
        for seed, final in enumerate(finals)
    ]


# Runs


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_compared_spends_the_same_exact_epsilon_and_is_private(section):
    for label, config in runs_of(section):
        assert config.reading == "private"
        assert config.target_epsilon == survive.parsed(label)[1]
        assert config.sampling == "poisson"
        assert config.features == "scattering"


@pytest.mark.parametrize("section", ["survive_tuning", "survive_cap", "survive_laplace_tuning"])
def test_every_name_is_tuned_on_a_grid_of_five_and_never_on_test_images(section):
    grids = {}
    for label, config in runs_of(section):
        name, epsilon, rate = survive.parsed(label)
        assert config.split == "official validation"
        assert rate_of(config) == rate
        grids.setdefault((name, epsilon, config.seed), []).append(rate)
    for (name, _, _), grid in grids.items():
        assert grid == list(LAPLACE_RATES if name.startswith("Laplace") else RATES)
    assert len(LAPLACE_RATES) == len(RATES)


@pytest.mark.parametrize("section", ["survive_steps", "survive_laplace"])
def test_final_runs_have_five_seeds_and_differ_from_the_tuned_ones_in_split_and_rate_alone(section):
    tuning = {}
    for label, config in runs_of("survive_laplace_tuning" if section == "survive_laplace" else "survive_tuning"):
        tuning.setdefault(survive.parsed(label)[:2], config)
    finals = {}
    for label, config in runs_of(section):
        assert config.split == "official"
        finals.setdefault(label, []).append(config.seed)
        name, epsilon, _ = survive.parsed(label)
        if name not in UNTUNED:
            one, other = config.to_dict(), tuning[name, epsilon].to_dict()
            assert {key for key in one if one[key] != other[key]} <= {"split", "seed", "learning_rate", "max_step"}
    assert all(seeds == [0, 1, 2, 3, 4] for seeds in finals.values())


def test_each_row_differs_from_the_fixed_step_by_its_idea_alone():
    runs = {label: config for label, config in runs_of("survive_steps") if config.seed == 0}
    for epsilon in EPSILONS:
        base = runs[f"growth 1, ε = {epsilon:g}"].to_dict()
        for name, changes in {**ROWS, **UNTUNED}.items():
            own = runs[f"{name}, ε = {epsilon:g}"].to_dict()
            allowed = {*changes, "learning_rate", "max_step"}
            assert {key for key in own if own[key] != base[key]} <= allowed, name


def test_laplace_and_its_twin_differ_in_noise_and_clip_alone():
    runs = {label: config.to_dict() for label, config in runs_of("survive_laplace") if config.seed == 0}
    pairs = [(label, label.replace("Laplace", "Gaussian")) for label in runs if label.startswith("Laplace")]
    assert len(pairs) == 8
    for one, other in pairs:
        differ = {key for key in runs[one] if runs[one][key] != runs[other][key]}
        assert differ <= {"mechanism", "clip", "clip_norm", "learning_rate"}


@pytest.mark.parametrize("dataset", TUNED)
def test_the_rates_are_those_with_the_highest_accuracy_on_validation_images(best_rates, dataset):
    chosen = {**best_rates("survive_tuning", dataset), **best_rates("survive_laplace_tuning", dataset)}
    assert TUNED[dataset] == chosen


def test_the_floor_of_a_debiased_norm_leaves_the_cap_to_decide():
    """With a floor above the square of the clip, 0.0009, no cap above 1,000 times the loss could ever bind."""
    runs = dict(runs_of("survive_tuning"))
    gradient, loss = torch.tensor([0.03, 0.0]), torch.tensor(2.0)
    steps = {
        rate: methods.step_part(runs[f"Polyak, cap and de-bias, ε = 3, rate {rate:g}"])(
            1.0, methods.Noisy(gradient, loss, noise_std=0.015)
        )
        for rate in RATES
    }
    # 0.0009 - 2 * 0.015^2 = 0.00045, and 2 / 0.00045 = 4444
    assert [step.size.item() for step in steps.values()] == pytest.approx([300, 1000, 3000, 4444.4, 4444.4], rel=1e-4)


# Numbers and sentences


def test_effects_are_paired_by_seed_within_an_epsilon():
    results = [
        *made("growth 1, ε = 1", 90.0, 92.0),
        *made("growth 2, ε = 1", 91.0, 95.0, 99.0),
        *made("growth 1, ε = 3", 50.0),
        *made("decayed, ε = 2", 10.0),
    ]
    found = effects(results, survive.against_fixed(results))
    assert [effect[:3] for effect in found] == [("growth 2", 1.0, [1.0, 3.0])]
    assert not found[0].gains  # two pairs decide nothing


def around(mean, spread=0.1):
    """Return the differences of five seeds."""
    return [mean + spread * step for step in (-1, -0.5, 0, 0.5, 1)]


@pytest.mark.parametrize(
    ("values", "gains", "loses"),
    [
        (around(1.0), True, False),
        (around(-1.0), False, True),
        (around(0.05, 1.0), False, False),
        (around(1.0)[:4], False, False),
        ([5.0], False, False),
    ],
)
def test_only_five_pairs_off_zero_count(values, gains, loses):
    (effect,) = judged([Effect("growth 2", 1.0, values)])
    assert (effect.gains, effect.loses) == (gains, loses)


def test_a_difference_that_shows_alone_may_not_show_among_many():
    weak = Effect("a", 1.0, around(0.2, 0.15))
    assert judged([weak])[0].gains
    assert not judged([weak, *(Effect("b", 1.0, around(0.02 * k, 1.0)) for k in range(9))])[0].gains


def test_the_sentence_turns_with_the_numbers():
    up, down = Effect("a", 1.0, around(1.0)), Effect("a", 3.0, around(-2.0))
    assert "gains 1 time and loses 1 time" in verdict(judged([up, down]), "it")
    assert "gains 2 times and loses 0 times" in verdict(judged([up, up]), "it")
    assert "from -2.00 to 1.00 points" in verdict(judged([up, down]), "it")
    assert "no pair" in verdict([], "it")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({1.0: 98.0}, (1.0, 1.0)),
        ({1.0: 97.6, 3.0: 98.0, 10.0: 97.4}, (1.0, 3.0)),
        ({1.0: 98.0, 3.0: 90.0, 10.0: 98.0}, (1.0, 1.0)),
    ],
)
def test_a_good_range_is_one_piece_around_the_best(rates, expected):
    assert good_range(rates) == expected


def test_a_label_without_epsilon_is_refused():
    with pytest.raises(ValueError, match="label='noise-free' names no epsilon"):
        survive.parsed("noise-free")


def test_the_forest_has_a_panel_for_each_epsilon_a_diamond_at_the_mean_and_a_dot_for_each_seed():
    found = [Effect("growth 2", 1.0, [1.0, 3.0]), Effect("decayed", 3.0, [-1.0])]
    figure = survive.forest(found)
    first, second = figure.axes
    assert first.get_title() == "numerical ε = 1"
    diamonds = [line for line in first.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamonds] == [[fmean([1.0, 3.0])]]
    dots = [line for line in second.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in dots] == [[-1.0]]
    assert [label.get_text() for label in first.get_yticklabels()] == ["growth 2", "decayed"]


def test_laplace_is_compared_with_gaussian_and_its_best_dimension_is_named():
    results = [
        *made("Gaussian, d = 20, ε = 1", 80.0, 80.0),
        *made("Laplace, d = 20, ε = 1", 70.0, 72.0),
        *made("Laplace, d = 100, ε = 1", 60.0, 62.0),
    ]
    pairs = survive.laplace_pairs(results)
    assert [effect.values for effect in effects(results, pairs)] == [[-10.0, -8.0]]
    note = survive.laplace_note(results)
    assert "best at d = 20 (71.00 %), at d = 100 it is down to 61.00 %" in note
    assert len(survive.by_dimension(results).axes) == 1


def test_the_interaction_of_cap_and_epsilon_is_that_of_the_inner_caps():
    finals = {(1, 0.5): 1, (3, 0.5): 9, (10, 0.5): 5, (30, 0.5): 1, (1, 8): 1, (3, 8): 4, (10, 8): 6, (30, 8): 1}
    results = [
        result
        for (cap, epsilon), final in finals.items()
        for result in made(f"cap, ε = {epsilon:g}, rate {cap:g}", float(final), float(final))
    ]
    note = survive.cap_note(results)
    assert "At numerical ε = 0.5 a cap of 3 instead of 10 changes the accuracy by 4.00" in note
    assert "the interaction: 6.00 points" in note
    assert len(survive.by_cap(results).axes[0].get_legend_handles_labels()[1]) == 2
    assert "not hold enough caps" in survive.cap_note(results[:2])


def test_the_width_table_names_the_best_rate_and_what_the_worst_loses():
    results = [
        *made("growth 1, ε = 1, rate 300", 97.0),
        *made("growth 1, ε = 1, rate 1000", 98.0),
        *made("growth 1, ε = 1, rate 3000", 97.7),
    ]
    assert "| growth 1 | 1 | 1000 | 98.00 | 1.00 | 1000 to 3000 |" in survive.width_table(results)


# Advice


def test_the_advice_on_steps_keeps_the_fixed_one_unless_an_idea_gains_at_every_epsilon():
    free = [Effect("Polyak, neither", 1.0, around(-0.6)), Effect("no brake", 1.0, around(-5.5))]
    names = ("Polyak, neither", "no brake")
    half = judged([Effect("decayed", 1.0, around(0.25)), Effect("decayed", 3.0, around(0.05, 0.3))])
    text = advice.steps([*half, *free], names)
    assert text.startswith("Spend the budget in equal parts at a tuned fixed rate")
    assert text.endswith("takes “Polyak, neither” and loses 0.60 points on average.")
    both = judged([half[0], Effect("decayed", 3.0, around(0.2))])
    assert advice.steps([*both, *free], names).startswith("Take decayed: it gains at every ε")
    assert advice.steps(both, names) == advice.steps(free, names) == advice.MISSING


def test_the_advice_on_tuning_compares_the_worst_of_the_same_grid():
    def grid(name, *finals):
        return [run for rate, final in enumerate(finals, 1) for run in made(f"{name}, ε = 1, rate {rate}", final)]

    fixed, flat, steep = grid("growth 1", 98.0, 96.0), grid("Polyak, cap", 97.0, 96.5), grid("Polyak, x", 98.0, 50.0)
    text = advice.tuning([*fixed, *flat, *steep])
    assert text.startswith("A Polyak step makes tuning less urgent")
    assert "the worst cap of “Polyak, cap” loses 0.50 points, the worst fixed rate 2.00" in text
    assert "does not make tuning less urgent" in advice.tuning([*fixed, *steep])
    assert advice.tuning(flat) == advice.tuning(fixed) == advice.MISSING


@pytest.mark.parametrize(
    ("caps", "lead"),
    [((1, 1, 1), "One cap serves"), ((1, 1, 3), "Raise the cap with the budget"), ((3, 1, 3), "Tune the cap anew")],
)
def test_the_advice_on_the_cap_follows_the_best_one(caps, lead):
    results = [
        run
        for epsilon, best in zip((8, 0.5, 2), (caps[2], caps[0], caps[1]), strict=True)
        for cap in (1, 3)
        for run in made(f"cap, ε = {epsilon}, rate {cap}", 90.0 + (cap == best))
    ]
    text = advice.cap(results)
    assert text.startswith(lead)
    assert f"{caps[0]} at numerical ε = 0.5, {caps[1]} at numerical ε = 2, {caps[2]} at numerical ε = 8" in text
    assert advice.cap(results[:2]) == advice.MISSING


def test_the_advice_on_noise_names_the_least_and_the_largest_cost():
    found = judged([Effect("Laplace, d = 20", 3.0, around(-0.5)), Effect("Laplace, d = 1500", 1.0, around(-12.0))])
    text = advice.noise(found)
    assert text.startswith("Take Gaussian noise")
    assert "from 0.50 points (d = 20, numerical ε = 3) to 12.00 points (d = 1,500, numerical ε = 1)" in text
    assert advice.noise(judged([Effect("Laplace, d = 20", 3.0, around(0.5))])).startswith("Compare both noises")
    assert advice.noise([]) == advice.MISSING
