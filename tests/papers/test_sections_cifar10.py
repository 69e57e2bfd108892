"""CIFAR-10's own departures: who gets them, a grid that is as wide for all, the rates that were chosen from it."""

import pytest

from cnndp.papers import tuned
from cnndp.papers.presets import CIFAR10_TUNED, METHODS, preset
from cnndp.papers.sections.cifar10 import (
    BACK,
    BESIDE,
    cifar10_tuning,
    fig09_comparison,
    rates_of,
    with_mnists_constants,
)
from cnndp.papers.sections.entries import rate_of
from cnndp.papers.sections.plan import Options, plan


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_normalised_and_all_but_dp_sgd_and_cdp_have_momentum(method):
    config = preset(method, "reconstructed", "cifar10", 300)
    assert (config.normalise, config.init) == (True, "kaiming")
    assert config.momentum == (0.0 if method in ("dp_sgd", "cdp") else 0.9)
    grey = preset(method, "reconstructed", "mnist", 300)
    assert (grey.normalise, grey.init) == (False, "uniform")


@pytest.mark.parametrize("method", ["cnn_dp", "cnn_dp_gan", "cnn_dp_gan_polyak"])
def test_what_is_printed_stays_as_printed(method):
    config = preset(method, "printed", "cifar10", 300)
    assert (config.normalise, config.init, config.momentum, config.learning_rate) == (False, "uniform", 0.0, 0.001)


def test_dp_sgd_and_dpgdm_differ_in_momentum_and_rate_alone():
    one, two = (preset(method, "reconstructed", "cifar10", 300).to_dict() for method in ("dp_sgd", "dpgdm"))
    assert {name for name in one if one[name] != two[name]} <= {"method", "momentum", "learning_rate"}


def test_the_grids_are_as_wide_for_all_and_reach_as_far_with_momentum_as_without():
    assert [10 * rate for rate in rates_of("dpgdm")] == pytest.approx(rates_of("dp_sgd"))
    grids = {}
    for name, config, _ in cifar10_tuning("cifar10", 100):
        assert config.split == "8:2 validation"
        grids.setdefault(name, []).append(rate_of(config))
    assert grids == {name: list(rates_of(method)) for method, name in CIFAR10_TUNED.items()}


def test_mnists_constants_stand_beside_the_tuned_ones():
    runs = fig09_comparison("cifar10", 300)
    own = {entry.name: entry.config for entry in runs if entry.config.reading != "printed" and not entry.facts.beside}
    beside = {entry.name: entry.config for entry in runs if entry.facts.beside}
    assert {entry.facts.beside for entry in runs} == {"", BESIDE}
    assert set(beside) == {"noise-free", "CNN-DP-GAN-Polyak"}
    for name, config in beside.items():
        grey = preset(config.method, "reconstructed", "mnist", 300)
        for field in ("normalise", "init", "momentum", "max_step"):
            assert getattr(config, field) == getattr(grey, field)
        assert rate_of(config) == 0.3
        assert config == with_mnists_constants(own[name]) != own[name]


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "digits"])
def test_nothing_stands_beside_the_runs_of_other_datasets(dataset):
    assert {entry.facts.beside for entry in fig09_comparison(dataset, 300)} == {""}


def test_each_departure_is_put_back_alone():
    runs = {run.label: run.config for run in plan("eq01_05_adaptive_noise", Options("cifar10", profile="reduced"))}
    base = runs["reconstructed"]
    for label, change in BACK.items():
        assert runs[label] == base.replace(**change) != base


def test_every_method_runs_at_the_rate_that_was_chosen_for_it():
    chosen = {one.name: one.rate for one in tuned.choices("cifar10_tuning", "cifar10")}
    rates = {method: rate_of(preset(method, "reconstructed", "cifar10", 300)) for method in METHODS}
    assert {name: rates[method] for method, name in CIFAR10_TUNED.items()} == chosen
    assert {rates[method] for method in set(METHODS) - set(CIFAR10_TUNED)} == {chosen["CNN-DP-GAN"]}
