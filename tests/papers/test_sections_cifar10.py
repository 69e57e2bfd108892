"""CIFAR-10's own departures: who gets them, a grid that is as wide for all, rates that follow from records."""

import pytest

from cnndp.papers.presets import CIFAR10_RATES, METHODS, preset
from cnndp.papers.sections.cifar10 import BACK, TUNED, cifar10_tuning, fig09_comparison, rates_of, with_mnists_constants
from cnndp.papers.sections.equal import rate_of
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
    for label, config in cifar10_tuning("cifar10", 100).items():
        assert config.split == "8:2 validation"
        grids.setdefault(label.rsplit(",", 1)[0], []).append(rate_of(config))
    assert grids == {label: list(rates_of(method)) for label, method in TUNED.items()}


def test_mnists_constants_stand_beside_the_tuned_ones():
    runs = fig09_comparison("cifar10", 300)
    for label in ("noise-free", "CNN-DP-GAN-Polyak"):
        config, grey = runs[f"{label} (MNIST's constants)"], preset(runs[label].method, "reconstructed", "mnist", 300)
        for name in ("normalise", "init", "momentum", "max_step"):
            assert getattr(config, name) == getattr(grey, name)
        assert rate_of(config) == 0.3
        assert config == with_mnists_constants(runs[label])


def test_each_departure_is_put_back_alone():
    runs = {run.label: run.config for run in plan("eq01_05_adaptive_noise", Options("cifar10", profile="reduced"))}
    base = runs["reconstructed"]
    for label, change in BACK.items():
        assert runs[label] == base.replace(**change) != base


def test_the_rates_are_those_with_the_highest_accuracy_on_validation_images(best_rates):
    best = {TUNED[name]: rate for name, rate in best_rates("cifar10_tuning", "cifar10").items()}
    assert best == CIFAR10_RATES
