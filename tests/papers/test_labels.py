"""Labels: every run of a plan has one of its own, and what a reader can state of a run finds it."""

from collections import Counter
from functools import cache

import pytest

from cnndp.papers.sections.entries import rate_of, with_rate
from cnndp.papers.sections.plan import PROFILES, SECTIONS, Options, plan
from cnndp.report.numbers import STATED

EVERY_SECTION = pytest.mark.parametrize("section", SECTIONS)


@cache
def planned(section, dataset, profile):
    return plan(section, Options(dataset, profile=profile))


def plans(section):
    datasets = dict.fromkeys([*SECTIONS[section].datasets, "mnist", "digits"])
    return [planned(section, dataset, profile) for dataset in datasets for profile in PROFILES]


def kinds(runs, key):
    """Return the different configs, seed aside, by what `key` makes of a run."""
    found = {}
    for run in runs:
        found.setdefault(key(run), set()).add(run.config.replace(seed=0).digest)
    return found


def several(found):
    return {key: values for key, values in found.items() if len(values) > 1}


@EVERY_SECTION
def test_no_two_runs_of_a_plan_are_the_same(section):
    for runs in plans(section):
        by_digest = {}
        for run in runs:
            by_digest.setdefault(run.config.digest, []).append(run.label)
        assert several(by_digest) == {}


@EVERY_SECTION
def test_no_two_runs_of_a_seed_share_a_label(section):
    for runs in plans(section):
        counted = Counter((run.label, run.config.seed) for run in runs)
        assert [key for key, count in counted.items() if count > 1] == []


@EVERY_SECTION
def test_runs_of_one_label_differ_in_the_seed_alone_and_have_no_other_label(section):
    for runs in plans(section):
        found = kinds(runs, key=lambda run: run.label)
        assert several(found) == {}
        assert len(set.union(*found.values())) == len(found)


@EVERY_SECTION
def test_runs_of_one_title_differ_in_seed_and_tuned_rate_alone(section):
    for runs in plans(section):
        if SECTIONS[section].tuned:
            runs = [run._replace(config=with_rate(run.config, 1.0)) for run in runs]
        else:
            assert [run.label for run in runs] == [run.title for run in runs]
        assert several(kinds(runs, key=lambda run: run.title)) == {}


@EVERY_SECTION
def test_what_a_reader_can_state_tells_all_kinds_of_run_apart(section):
    def stated(run):
        own = {**run.config.to_dict(), **run.facts._asdict(), "name": run.name, "rate": rate_of(run.config)}
        return tuple(own[column] for column in STATED)

    for runs in plans(section):
        assert several(kinds(runs, key=stated)) == {}


@pytest.mark.parametrize(
    ("section", "dataset", "first", "last"),
    [
        ("table1_settings", "mnist", "noise-free", "CNN-DP-GAN (printed, 100 epochs)"),
        ("fig09_comparison", "mnist", "noise-free, T = 300", "CNN-DP-GAN-Polyak (printed), T = 1200"),
        ("fig10_thresholds", "mnist", "noise-free", "budget 5 (printed)"),
        ("equal_terms_tuning", "mnist", "no clip: SGD, rate 0.03", "clip 0.5: Polyak, rate 10"),
        ("equal_terms", "mnist", "noise-free", "clip 0.5: Polyak"),
        ("cifar10_tuning", "cifar10", "CNN-DP-GAN, rate 0.03", "CDP, rate 30"),
        ("p2_table3", "mnist", "noise-free, T = 720", "DP-SGD (printed), T = 4800"),
        (
            "private_tuning",
            "mnist",
            "DP-SGD (private, ε = 1), rate 0.3",
            "CNN-DP-GAN-Polyak (private, Table II), rate 1",
        ),
        ("private_fig09", "mnist", "noise-free, T = 300", "CNN-DP-GAN-Polyak (private, Table II), T = 1200"),
        (
            "private_fig10",
            "mnist",
            "noise-free",
            "CNN-DP-GAN-Polyak, Gaussian, cap x 10, budget 5 (private)",
        ),
        ("frontier", "mnist", "ε = 0.25", "ε = 8"),
        (
            "frontier_table2",
            "mnist",
            "scattering, linear (private), T = 300",
            "scattering, linear (private), T = 1200",
        ),
        ("survive_tuning", "mnist", "growth 0.5, ε = 1, rate 300", "Polyak, cap and de-bias, ε = 3, rate 30000"),
        ("survive_laplace", "mnist", "Gaussian, d = 20, ε = 1", "Laplace, d = 1500, ε = 3"),
        ("private_p2", "mnist", "DP-SGD (private), T = 720", "DP-SGD (private), T = 4800"),
    ],
)
def test_labels_by_hand(section, dataset, first, last):
    runs = planned(section, dataset, "paper")
    assert (runs[0].label, runs[-1].label) == (first, last)


def test_labels_say_what_sets_a_run_apart():
    fashion = {run.label for run in planned("fig09_comparison", "fashion_mnist", "paper")}
    assert {label for label in fashion if "960" in label} == {
        "DP-SGD, total 960, T = 1200",
        "CNN-DP-GAN-Polyak, total 960, T = 1200",
    }
    colour = {run.label for run in planned("fig09_comparison", "cifar10", "reduced")}
    assert {label for label in colour if "MNIST" in label} == {
        "noise-free (MNIST's constants)",
        "CNN-DP-GAN-Polyak (MNIST's constants)",
    }
    assert "no clip, rate 0.3" in {run.label for run in planned("table1_settings", "mnist", "paper")}
    assert "threshold 0.01, budget 0.05" in {run.label for run in planned("fig10_thresholds", "mnist", "paper")}


def test_a_title_is_the_label_without_the_rate_that_is_tried():
    (first, *_) = planned("private_tuning", "mnist", "paper")
    assert (first.label, first.title) == ("DP-SGD (private, ε = 1), rate 0.3", "DP-SGD (private, ε = 1)")
    (plain, *_) = planned("fig09_comparison", "mnist", "paper")
    assert plain.title == plain.label == "noise-free, T = 300"
