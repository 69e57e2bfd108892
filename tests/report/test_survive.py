"""What survives: comparisons at equal numerical epsilon, tuned alike, and sentences that follow from the numbers."""

from statistics import fmean

import pandas as pd
import pytest
import rows
import torch

from cnndp.papers import tuned
from cnndp.papers.sections.entries import rate_of
from cnndp.papers.sections.plan import Options, plan
from cnndp.papers.sections.survive import EPSILONS, LAPLACE_RATES, RATES, ROWS, UNTUNED
from cnndp.report import advice, findings, survive
from cnndp.report.figures import ideas
from cnndp.report.survive import effects, good_range, judged, verdict
from cnndp.training import methods

SECTIONS = ("survive_tuning", "survive_steps", "survive_cap", "survive_laplace_tuning", "survive_laplace")
TUNED = {"survive_steps": "survive_tuning", "survive_laplace": "survive_laplace_tuning"}  # where their rates are from


def runs_of(section):
    return plan(section, Options("mnist", profile="paper"))


def idea_of(run):
    """Return what tells the runs of a section apart, but for rate and seed."""
    return run.name, run.config.projection, run.config.target_epsilon


def first_seeds(section):
    return {idea_of(run): run.config.to_dict() for run in runs_of(section) if run.config.seed == 0}


def differing(one, other):
    return {key for key in one if one[key] != other[key]}


def made(name, epsilon, *finals, **columns):
    return rows.seeds(name, *finals, target_epsilon=epsilon, max_test_accuracy=99.9, **columns)


def comparison(name, epsilon, pairs, projection=float("nan")):
    return {"name": name, "what": name, "epsilon": epsilon, "projection": projection, "pairs": pairs}


def compared(*comparisons):
    return judged(pd.DataFrame(comparisons))


# Runs


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_compared_spends_the_epsilon_that_it_is_named_by_and_is_private(section):
    for run in runs_of(section):
        assert run.config.reading == "private"
        assert run.facts.target == f"ε = {run.config.target_epsilon:g}"
        assert run.facts.target in run.title.split(", ")
        assert run.config.sampling == "poisson"
        assert run.config.features == "scattering"


@pytest.mark.parametrize("section", ["survive_tuning", "survive_cap", "survive_laplace_tuning"])
def test_every_name_is_tuned_on_a_grid_of_five_and_never_on_test_images(section):
    grids = {}
    for run in runs_of(section):
        rate = rate_of(run.config)
        assert run.config.split == "official validation"
        assert run.label == f"{run.title}, rate {rate:g}"
        grids.setdefault((*idea_of(run), run.config.seed), []).append(rate)
    for (name, *_), grid in grids.items():
        assert grid == list(LAPLACE_RATES if name == "Laplace" else RATES)
    assert len(LAPLACE_RATES) == len(RATES)


@pytest.mark.parametrize("section", TUNED)
def test_final_runs_have_five_seeds_and_differ_from_the_tuned_ones_in_split_and_rate_alone(section):
    tuning = first_seeds(TUNED[section])
    finals = {}
    for run in runs_of(section):
        assert run.config.split == "official"
        finals.setdefault(run.label, []).append(run.config.seed)
        if run.name not in UNTUNED:
            allowed = {"split", "seed", "learning_rate", "max_step"}
            assert differing(run.config.to_dict(), tuning[idea_of(run)]) <= allowed
    assert all(seeds == [0, 1, 2, 3, 4] for seeds in finals.values())


def test_each_row_differs_from_the_fixed_step_by_its_idea_alone():
    runs = first_seeds("survive_steps")
    for epsilon in EPSILONS:
        base = runs["growth 1", None, epsilon]
        for name, changes in {**ROWS, **UNTUNED}.items():
            assert differing(runs[name, None, epsilon], base) <= {*changes, "learning_rate", "max_step"}, name


def test_laplace_and_its_twin_differ_in_noise_and_clip_alone():
    runs = first_seeds("survive_laplace")
    pairs = [(runs[idea], runs["Gaussian", *idea[1:]]) for idea in runs if idea[0] == "Laplace"]
    assert len(pairs) == 8
    for one, other in pairs:
        assert differing(one, other) <= {"mechanism", "clip", "clip_norm", "learning_rate"}


@pytest.mark.parametrize("section", TUNED)
def test_the_rates_are_those_with_the_highest_accuracy_on_validation_images(section):
    best = rows.best_rates(findings.runs_of(TUNED[section], "mnist"))
    assert {one[:4]: one.rate for one in tuned.choices(TUNED[section], "mnist")} == best
    used = {
        (run.name, "", run.facts.target, run.config.projection): rate_of(run.config)
        for run in runs_of(section)
        if run.name not in UNTUNED
    }
    assert used == best


def test_the_floor_of_a_debiased_norm_leaves_the_cap_to_decide():
    """With a floor above the square of the clip, 0.0009, no cap above 1,000 times the loss could ever bind."""
    runs = {(*idea_of(run), rate_of(run.config)): run.config for run in runs_of("survive_tuning")}
    gradient, loss = torch.tensor([0.03, 0.0]), torch.tensor(2.0)
    steps = {
        rate: methods.step_part(runs["Polyak, cap and de-bias", None, 3.0, rate])(
            1.0, methods.Noisy(gradient, loss, noise_std=0.015)
        )
        for rate in RATES
    }
    # 0.0009 - 2 * 0.015^2 = 0.00045, and 2 / 0.00045 = 4444
    assert [step.size.item() for step in steps.values()] == pytest.approx([300, 1000, 3000, 4444.4, 4444.4], rel=1e-4)


# Numbers and sentences


def test_effects_are_paired_by_seed_within_an_epsilon():
    runs = rows.runs(
        *made("growth 1", 1.0, 90.0, 92.0),
        *made("growth 2", 1.0, 91.0, 95.0, 99.0),
        *made("growth 1", 3.0, 50.0),
        *made("decayed", 2.0, 10.0),
    )
    found = effects(runs, survive.against_fixed(runs))
    assert found[["name", "epsilon", "pairs"]].to_numpy().tolist() == [["growth 2", 1.0, [1.0, 3.0]]]
    assert found["mean"].item() == 2.0
    assert not found["gains"].item()  # two pairs decide nothing
    assert "| growth 2 minus growth 1 | 1 | 2.00 points" in rows.narrow(survive.effects_table(found))


def test_effects_are_judged_together():
    weak = [90 + value for value in around(0.2, 0.15)]
    base = made("growth 1", 1.0, *[90.0] * 5)
    others = [made(f"growth {k}", 1.0, *(90 + value for value in around(0.02 * k, 1.0))) for k in range(2, 11)]

    def gains(*groups):
        runs = rows.runs(*base, *made("decayed", 1.0, *weak), *(run for group in groups for run in group))
        found = effects(runs, survive.against_fixed(runs))
        assert len(found) == 1 + len(groups)
        return found.set_index("name").loc["decayed", "gains"]

    assert gains()
    assert not gains(*others)


def test_runs_without_the_base_are_compared_with_nothing():
    runs = rows.runs(*made("growth 2", 1.0, 91.0, 95.0))
    assert effects(runs, survive.against_fixed(runs)).empty


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
    (effect,) = compared(comparison("growth 2", 1.0, values)).itertuples()
    assert (effect.gains, effect.loses) == (gains, loses)


def test_a_difference_that_shows_alone_may_not_show_among_many():
    weak, others = around(0.2, 0.15), [around(0.02 * k, 1.0) for k in range(9)]
    assert judged(pd.DataFrame({"pairs": [weak]}))["gains"][0]
    assert not judged(pd.DataFrame({"pairs": [weak, *others]}))["gains"][0]


def test_the_interval_of_a_comparison_is_its_own_and_a_single_seed_stands_for_both_ends():
    alone, beside = judged(pd.DataFrame({"pairs": [[5.0]]})), judged(pd.DataFrame({"pairs": [around(1.0), [5.0]]}))
    assert alone[["low", "mean", "high"]].to_numpy().tolist() == [[5.0, 5.0, 5.0]]
    # Student's t with 4 degrees of freedom, 2.776, times the standard error: 0.1 * sqrt(2.5 / 4) / sqrt(5)
    assert beside[["low", "mean", "high"]].to_numpy()[0] == pytest.approx([0.90184, 1.0, 1.09816], abs=1e-4)


def test_the_sentence_turns_with_the_numbers():
    up, down = around(1.0), around(-2.0)
    both = judged(pd.DataFrame({"pairs": [up, down]}))
    assert "gains 1 time and loses 1 time" in verdict(both, "it")
    assert "gains 2 times and loses 0 times" in verdict(judged(pd.DataFrame({"pairs": [up, up]})), "it")
    assert "from -2.00 to 1.00 points" in verdict(both, "it")
    assert "no pair" in verdict(effects(rows.runs(), {}), "it")


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


def test_the_forest_has_a_panel_for_each_epsilon_a_diamond_at_the_mean_and_a_dot_for_each_seed():
    found = compared(comparison("growth 2", 1.0, [1.0, 3.0]), comparison("decayed", 3.0, [-1.0]))
    first, second = ideas.forest(found).axes
    assert [axes.get_title() for axes in (first, second)] == ["numerical ε = 1", "numerical ε = 3"]
    diamonds = [line for line in first.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamonds] == [[fmean([1.0, 3.0])]]
    dots = [line for line in second.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in dots] == [[-1.0]]
    assert [label.get_text() for label in first.get_yticklabels()] == ["growth 2", "decayed"]


def test_laplace_is_compared_with_gaussian_and_its_best_dimension_is_named():
    runs = rows.runs(
        *made("Gaussian", 1.0, 80.0, 80.0, projection=20.0),
        *made("Laplace", 1.0, 70.0, 72.0, projection=20.0),
        *made("Laplace", 1.0, 60.0, 62.0, projection=100.0),
    )
    found = effects(runs, survive.NOISES)
    assert found["pairs"].tolist() == [[-10.0, -8.0]]
    assert "| Laplace, d = 20 minus Gaussian, d = 20 | 1 | -9.00 points" in rows.narrow(survive.effects_table(found))
    note = survive.laplace_note(runs)
    assert "best at d = 20 (71.00 %), at d = 100 it is down to 61.00 %" in note
    assert "best at d = 20 (71.00 %), the largest tried" in survive.laplace_note(runs[runs["projection"] == 20])
    (axes,) = ideas.by_dimension(runs).axes
    drawn = {line.get_label(): line.lines[0].get_xydata().tolist() for line in axes.containers}
    assert drawn == {"Gaussian": [[20, 80]], "Laplace": [[20, 71], [100, 61]]}


def test_the_interaction_of_cap_and_epsilon_is_that_of_the_inner_caps():
    finals = {(1, 0.5): 1, (3, 0.5): 9, (10, 0.5): 5, (30, 0.5): 1, (1, 8): 1, (3, 8): 4, (10, 8): 6, (30, 8): 1}
    runs = rows.runs(
        *(
            run
            for (cap, epsilon), final in finals.items()
            for run in made("cap", epsilon, float(final), float(final), label=f"{cap}, {epsilon}", rate=cap)
        )
    )
    note = survive.cap_note(runs)
    assert "At numerical ε = 0.5 a cap of 3 instead of 10 changes the accuracy by 4.00" in note
    assert "At numerical ε = 8 a cap of 3 instead of 10 changes the accuracy by -2.00" in note
    assert "the interaction: 6.00 points" in note
    (axes,) = ideas.by_cap(runs).axes
    drawn = {line.get_label(): line.lines[0].get_ydata().tolist() for line in axes.containers}
    assert drawn == {"numerical ε = 0.5": [1, 9, 5, 1], "numerical ε = 8": [1, 4, 6, 1]}
    assert "not hold enough caps" in survive.cap_note(runs[:2])
    assert "not hold all caps at all ε" in survive.cap_note(runs[(runs["rate"] != 3) | (runs["target_epsilon"] != 8)])


def test_the_width_table_names_the_best_rate_and_what_the_worst_loses():
    finals = {300: 97.0, 1000: 98.0, 3000: 97.7}
    runs = rows.runs(*(run for rate, final in finals.items() for run in made("growth 1", 1.0, final, rate=rate)))
    assert "| growth 1 | 1 | 1000 | 98.00 | 1.00 | 1000 to 3000 |" in rows.narrow(survive.width_table(runs))
    assert "| growth 1, d = 20 | 1 | 1000 |" in rows.narrow(survive.width_table(runs.assign(projection=20.0)))


# Advice


def test_the_advice_on_steps_keeps_the_fixed_one_unless_an_idea_gains_at_every_epsilon():
    names = ("Polyak, neither", "no brake")
    free = compared(comparison(names[0], 1.0, around(-0.6)), comparison(names[1], 1.0, around(-5.5)))
    once = comparison("decayed", 1.0, around(0.25))
    half = compared(once, comparison("decayed", 3.0, around(0.05, 0.3)))
    assert half["gains"].tolist() == [True, False]
    text = advice.steps(pd.concat([half, free]), names)
    assert text.startswith("Spend the budget in equal parts at a tuned fixed rate")
    assert text.endswith("Where no rate can be tuned, “Polyak, neither” loses 0.60 points on average.")
    both = compared(once, comparison("decayed", 3.0, around(0.2)))
    assert advice.steps(pd.concat([both, free]), names).startswith("Take decayed: it gains at every ε")
    assert advice.steps(both, names) == advice.steps(free, names) == advice.MISSING


def test_the_advice_on_tuning_compares_the_worst_of_the_same_grid():
    def grid(name, step, *finals):
        return [run for rate, final in enumerate(finals, 1) for run in made(name, 1.0, final, rate=rate, step=step)]

    fixed = grid("growth 1", "fixed", 98.0, 96.0)
    flat, steep = grid("Polyak, cap", "polyak", 97.0, 96.5), grid("Polyak, x", "polyak", 98.0, 50.0)
    text = advice.tuning(rows.runs(*fixed, *flat, *steep))
    assert text.startswith("A Polyak step makes tuning less urgent")
    assert "the worst cap of “Polyak, cap” loses 0.50 points, the worst fixed rate 2.00" in text
    assert "does not make tuning less urgent" in advice.tuning(rows.runs(*fixed, *steep))
    assert advice.tuning(rows.runs(*flat)) == advice.tuning(rows.runs(*fixed)) == advice.MISSING


@pytest.mark.parametrize(
    ("caps", "lead"),
    [((1, 1, 1), "One cap serves"), ((1, 1, 3), "Raise the cap with the budget"), ((3, 1, 3), "Tune the cap anew")],
)
def test_the_advice_on_the_cap_follows_the_best_one(caps, lead):
    runs = rows.runs(
        *(
            run
            for epsilon, best in zip((8, 0.5, 2), (caps[2], caps[0], caps[1]), strict=True)
            for cap in (1, 3)
            for run in made("cap", epsilon, 90.0 + (cap == best), rate=cap)
        )
    )
    text = advice.cap(runs)
    assert text.startswith(lead)
    assert f"{caps[0]} at numerical ε = 0.5, {caps[1]} at numerical ε = 2, {caps[2]} at numerical ε = 8" in text
    assert advice.cap(runs[:2]) == advice.MISSING


def test_the_advice_on_noise_names_the_least_and_the_largest_cost():
    found = compared(
        comparison("Laplace", 3.0, around(-0.5), projection=20),
        comparison("Laplace", 1.0, around(-12.0), projection=1500),
    )
    text = advice.noise(found)
    assert text.startswith("Take Gaussian noise")
    assert "from 0.50 points (d = 20, numerical ε = 3) to 12.00 points (d = 1,500, numerical ε = 1)" in text
    better = compared(comparison("Laplace", 3.0, around(0.5), projection=20))
    assert advice.noise(better).startswith("Compare both noises")
    assert advice.noise(effects(rows.runs(), {})) == advice.MISSING
