"""Sections: each plan is what its notebook says."""

from itertools import pairwise

import pytest

from cnndp.data.datasets import network_input
from cnndp.equations.budget import budget_for_total, total_epsilon
from cnndp.papers.claims import TABLE_II
from cnndp.papers.sections.plan import SECTIONS, Options, plan
from cnndp.training.methods import scale_part

FIG07 = (
    "noise-free", "CNN", "CNN+L2", "CNN-DP", "CNN-DP+L2", "CNN-DP-GAN", "CNN-DP (printed)", "CNN-DP-GAN (printed)"
)  # fmt: skip
EQ01 = (
    "reconstructed", "noise on the mean", "learning rate 0.001", "batch clip 0.002", "L2 over N", "L2 over B",
    "L2 factor 0.05", "L2 factor 0.5", "growth 1", "growth 10", "Brier loss", "ReLU", "Poisson batches", "printed",
)  # fmt: skip
EQ06 = (
    "Eq. (10), no cap", "cap 0.3", "cap 0.3, de-biased", "cap 1, de-biased", "fixed 0.03", "fixed 0.1", "fixed 0.3",
    "printed",
)  # fmt: skip
LONG = "CNN-DP-GAN (printed, 100 epochs)"
EVERY_SECTION = pytest.mark.parametrize("section", SECTIONS)


def by_label(section, dataset="mnist", **options):
    return {planned.label: planned.config for planned in plan(section, Options(dataset, **options))}


def scale_at(config, t):
    return scale_part(config)(t, None)


# Plans


@pytest.mark.parametrize(
    ("section", "labels", "num_steps", "seeds"),
    [
        ("fig07_ablation", FIG07, 600, 5),
        ("eq01_05_adaptive_noise", EQ01, 600, 3),
        ("eq06_11_polyak", EQ06, 300, 3),
    ],
)
def test_labels_sizes_and_seeds_at_the_papers_size(section, labels, num_steps, seeds):
    runs = [run for run in plan(section, Options("mnist", profile="paper")) if run.label != LONG]
    assert [run.label for run in runs] == [label for label in labels for _ in range(seeds)]
    assert [run.config.seed for run in runs] == list(range(seeds)) * len(labels)
    assert {run.config.num_steps for run in runs} == {num_steps}


@EVERY_SECTION
def test_the_small_profile_is_one_short_seed(section):
    runs = plan(section, Options("digits"))
    assert {(run.config.num_steps, run.config.seed) for run in runs} == {(60, 0)}
    assert {run.config.dataset for run in runs} == {"digits"}
    for run in runs:  # a dataset without public constants is refused, so no section may ask for them
        assert network_input("digits", normalise=run.config.normalise)


@EVERY_SECTION
def test_one_step_is_enough_for_a_plan(section):
    assert {run.config.num_steps for run in plan(section, Options("digits", num_steps=1))} == {1}


# Fig. 7's modules, by hand for MNIST at T = 600: Table I's scales are 2 and 0.18, ten times that is 20 and 1.8


@pytest.fixture(scope="module")
def modules():
    return by_label("fig07_ablation", num_steps=600)


@pytest.mark.parametrize("label", ["CNN", "CNN+L2"])
def test_the_plain_cnn_keeps_ten_times_the_initial_scale(modules, label):
    assert [scale_at(modules[label], t) for t in (1, 300, 600)] == pytest.approx([20.0] * 3)


def test_the_adaptive_noise_falls_from_20_to_1_8_on_the_sum(modules):
    config = modules["CNN-DP-GAN"]
    assert config.noise_on == "sum"
    scales = [scale_at(config, t) for t in range(1, 601)]
    assert (scales[0], scales[-1]) == pytest.approx((20.0, 1.8))
    assert all(one > two for one, two in pairwise(scales))


@pytest.mark.parametrize("label", ["CNN-DP", "CNN-DP+L2"])
def test_equal_parts_spend_exactly_what_adaptive_noise_spends(modules, label):
    assert modules[label].total_epsilon == modules["CNN-DP-GAN"].total_epsilon
    assert modules[label].growth == 1.0
    by_hand = 600 * (0.5 / 20 + 0.5 / 1.8) / 2  # Eq. (5) is the number of steps times the mean of both ends
    assert modules[label].total_epsilon == pytest.approx(by_hand)
    assert scale_at(modules[label], 1) == scale_at(modules[label], 600) == pytest.approx(600 * 0.5 / by_hand)


def test_the_l2_term_is_in_the_modules_that_are_named_for_it_and_in_the_whole_method(modules):
    with_l2 = {label for label, config in modules.items() if config.l2_coefficient}
    assert with_l2 == {"CNN+L2", "CNN-DP+L2", "CNN-DP-GAN", "CNN-DP (printed)", "CNN-DP-GAN (printed)"}


def test_the_reference_has_no_noise_and_the_printed_two_take_table_i(modules):
    assert modules["noise-free"].mechanism == "none"
    for label in ("CNN-DP (printed)", "CNN-DP-GAN (printed)"):
        config = modules[label]
        assert (config.reading, config.noise_on, config.clip, config.learning_rate) == (
            "printed", "mean", "batch", 0.001
        )  # fmt: skip
        assert config.total_epsilon == TABLE_II["mnist"][600].total_epsilon


# One change at a time


def test_each_run_of_eq_1_to_5_changes_one_choice_of_the_reconstruction():
    configs = by_label("eq01_05_adaptive_noise", num_steps=600)
    base = configs["reconstructed"].to_dict()
    changed = {
        label: {name for name, value in config.to_dict().items() if value != base[name]}
        for label, config in configs.items()
    }
    pairs = {
        "batch clip 0.002": {"clip", "clip_norm"},
        "L2 over N": {"l2_coefficient", "l2_over"},
        "reconstructed": set(),
    }
    for label, fields in changed.items():
        if label != "printed":
            assert fields == pairs.get(label, fields)
            assert len(fields) == 1 or label in pairs
    budget = budget_for_total(configs["growth 10"].total_epsilon, 600, 10.0)
    assert total_epsilon(600, budget) == pytest.approx(base["total_epsilon"])
    for label, factor in (("L2 factor 0.05", 0.05), ("L2 factor 0.5", 0.5)):
        assert configs[label].l2_coefficient / configs[label].batch_size == pytest.approx(factor)


def test_the_polyak_runs_and_the_fixed_rates_meet_the_same_noise():
    configs = by_label("eq06_11_polyak", num_steps=300)
    scales = {
        label: [scale_at(config, t) for t in (1, 150, 300)] for label, config in configs.items() if label != "printed"
    }
    assert len({tuple(values) for values in scales.values()}) == 1
    assert [configs[f"fixed {rate:g}"].learning_rate for rate in (0.03, 0.1, 0.3)] == [0.03, 0.1, 0.3]
    assert configs["Eq. (10), no cap"].max_step is None
    assert configs["cap 0.3"].debias is False


# Filters


def test_methods_readings_and_seeds_filter():
    runs = plan("fig07_ablation", Options("mnist", methods=("cnn_dp",), readings=("reconstructed",), seeds=(2, 5)))
    assert [(run.label, run.config.seed) for run in runs] == [
        ("CNN-DP", 2), ("CNN-DP", 5), ("CNN-DP+L2", 2), ("CNN-DP+L2", 5)
    ]  # fmt: skip


def test_changes_reach_every_run_and_are_checked():
    runs = plan("fig07_ablation", Options("digits", changes=(("batch_size", 7),)))
    assert {run.config.batch_size for run in runs} == {7}
    with pytest.raises(ValueError, match=r"did you mean 'batch_size'\?"):
        plan("fig07_ablation", Options("digits", changes=(("batch_sise", 7),)))


def test_a_selection_without_runs_is_refused():
    message = r"methods=\('cnn',\) with readings=\('printed',\) leave no run in section 'fig07_ablation'; reading 'pr"
    with pytest.raises(ValueError, match=message):
        plan("fig07_ablation", Options("mnist", methods=("cnn",), readings=("printed",)))


def test_an_empty_list_of_seeds_is_refused_by_its_name():
    with pytest.raises(ValueError, match="seeds"):
        plan("fig07_ablation", Options("digits", seeds=()))


def test_a_seed_given_twice_is_one_run_or_refused():
    """Counted twice it would pass for a second, independent seed in every mean and n."""
    try:
        runs = plan("fig07_ablation", Options("digits", seeds=(0, 0), methods=("cnn",)))
    except ValueError:
        return
    assert len(runs) == 1


# 100 rounds read as epochs


def test_rounds_as_epochs_are_22_400_steps_of_mnist():
    (config,) = [run.config for run in plan("fig07_ablation", Options("mnist", profile="paper")) if run.label == LONG]
    assert (config.num_steps, config.seed, config.reading, config.method) == (22_400, 0, "printed", "cnn_dp_gan")


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("fig07_ablation", Options("mnist", profile="small")),
        ("fig07_ablation", Options("digits", profile="paper")),
        ("fig07_ablation", Options("mnist", profile="paper", methods=("cnn",))),
        ("fig07_ablation", Options("mnist", profile="paper", readings=("reconstructed",))),
        ("eq01_05_adaptive_noise", Options("mnist", profile="paper")),
    ],
)
def test_nothing_else_runs_so_long(section, options):
    assert max(run.config.num_steps for run in plan(section, options)) <= 600


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_a_number_of_steps_that_was_asked_for_is_not_exceeded(dataset):
    runs = plan("fig07_ablation", Options(dataset, profile="paper", num_steps=120))
    assert {run.config.num_steps for run in runs} == {120}


def test_seeds_that_were_asked_for_are_the_only_ones():
    runs = plan("fig07_ablation", Options("mnist", profile="paper", seeds=(3,)))
    assert {run.config.seed for run in runs} == {3}


# What a reader may vary


def test_thresholds_and_budgets_of_fig_10_are_a_readers_choice():
    grids = (("thresholds", (0.02, 0.2)), ("budgets", (0.7,)))
    runs = plan("fig10_thresholds", Options("mnist", grids=grids))
    found = {(run.config.reading, run.config.max_step, run.config.total_epsilon) for run in runs}
    total = 0.7 * 60  # the same in each of 60 steps
    assert found == {
        ("reconstructed", None, None),
        ("reconstructed", 0.02, total),
        ("reconstructed", 0.2, total),
        ("printed", None, total),
    }


@pytest.mark.parametrize(
    ("section", "name", "values", "found"),
    [
        ("frontier", "targets", (0.7, 1.0), {0.7, 1.0}),
        ("private_fig07_08", "targets", (2.0,), {None, 2.0}),
    ],
)
def test_targets_are_a_readers_choice(section, name, values, found):
    runs = plan(section, Options("mnist", grids=((name, values),)))
    assert {run.config.target_epsilon for run in runs} == found


def test_a_cap_of_the_valid_fig_10_is_a_multiple_of_the_tuned_one():
    caps = {}
    for factor in (1.0, 0.5):
        grids = (("cap_factors", (factor,)), ("budgets", (0.5,)))
        runs = plan("private_fig10", Options("mnist", grids=grids))
        caps[factor] = {run.name: run.config.max_step for run in runs if run.config.max_step}
    assert len(caps[1.0]) == 2
    assert caps[0.5] == {name: pytest.approx(cap / 2, rel=0.1) for name, cap in caps[1.0].items()}


def test_the_profile_small_tunes_few_methods_and_the_full_one_all():
    sizes = {profile: len(plan("private_tuning", Options("digits", profile=profile))) for profile in ("small", "paper")}
    assert sizes == {"small": 30, "paper": 105}  # 2 targets x 3 methods, 3 targets x 7 methods, 5 rates each
