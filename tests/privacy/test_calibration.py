"""Calibration inverts accounting, with every release of the plan inside."""

import pytest
from dp_accounting.gaussian_mechanism import get_sigma_gaussian

from cnndp.privacy.accounting import exact_epsilon
from cnndp.privacy.calibration import calibrate, growth_shape, split
from cnndp.privacy.ledger import Release
from cnndp.privacy.plan import make_plan

STATISTICS = [
    Release("feature mean", "gaussian", 15.0, 1.0, "all", 1, norm="l2"),
    Release("second moments", "gaussian", 20.0, 1.0, "all", 2, norm="l2"),
]


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("target", [0.01, 1.0, 8.0])
@pytest.mark.parametrize("sampling_prob", [0.02, 1.0])
def test_calibrated_noise_spends_the_target_and_no_more(mechanism, target, sampling_prob):
    found = calibrate(target, 1e-5, [1.0] * 200, sampling_prob, mechanism)
    ledger = [Release("gradient", mechanism, found.noise_multiplier, 1.0, "poisson", 200, sampling_prob, 1, "l1")]
    assert 0.995 * target <= exact_epsilon(ledger).epsilon <= target
    assert found.spent.epsilon == exact_epsilon(ledger).epsilon
    assert found.gradient_multiplier == found.noise_multiplier
    assert found.loss_multiplier is None


def test_one_gaussian_release_gets_the_analytic_noise():
    found = calibrate(1.0, 1e-5, [1.0], 1.0)
    assert 1 <= found.noise_multiplier / get_sigma_gaussian(1.0, 1e-5) <= 1.01


def test_recipe_s_needs_the_noise_that_was_found_by_bisection():
    """300 steps of 4096 in 60,000 and three feature statistics, at epsilon 3: sigma 1.877."""
    found = calibrate(3.0, 1e-5, [1.0] * 300, 4096 / 60_000, one_off=STATISTICS)
    assert found.noise_multiplier == pytest.approx(1.877, rel=0.005)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("growth", [0.5, 2.0, 4.0])
def test_a_growing_budget_with_loss_and_one_off_releases_is_met_too(mechanism, growth):
    shape = growth_shape(40, growth)
    assert shape[0] / shape[-1] == pytest.approx(growth)
    plan = make_plan(
        1.5, shape, 0.05, 0.5, mechanism=mechanism, one_off=STATISTICS, loss_share=0.1, loss_sensitivity=2.0
    )
    assert 0.995 * 1.5 <= plan.check().epsilon <= 1.5
    gradient = [one.scale for one in plan.releases if one.quantity == "gradient"]
    assert gradient == pytest.approx([gradient[0] * noise for noise in shape])
    without = exact_epsilon([one for one in plan.releases if one.quantity == "gradient"]).epsilon
    assert without < 1.45  # the statistics and the loss are inside the target


@pytest.mark.parametrize(("mechanism", "power"), [("gaussian", 2), ("laplace", 1)])
def test_the_loss_gets_its_share_of_the_joint_event(mechanism, power):
    gradient, loss = split(2.0, 0.1, mechanism)
    assert gradient**-power + loss**-power == pytest.approx(2.0**-power)
    assert loss**-power == pytest.approx(0.1 * 2.0**-power)


def test_more_to_spend_needs_less_noise():
    noises = [calibrate(target, 1e-5, [1.0] * 50, 0.05).noise_multiplier for target in (0.003, 0.1, 1.0, 10.0)]
    assert noises == sorted(noises, reverse=True)


def test_a_target_that_one_off_releases_already_spend_is_refused_with_the_amount():
    loud = [STATISTICS[0]._replace(scale=1.0)]
    with pytest.raises(ValueError, match=r"target_epsilon=3 is out of reach: the one-off releases alone spend 4\.3"):
        calibrate(3.0, 1e-5, [1.0] * 10, 0.1, one_off=loud)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_epsilon": 0.0}, r"target_epsilon=0\.0 must be"),
        ({"shape": []}, r"shape=\[\] has no steps"),
        ({"shape": [1.0, -2.0]}, r"shape\[1\]=-2\.0 must be"),
        ({"sampling_prob": 1.5}, r"sampling_prob=1\.5"),
        ({"sampling_prob": 0.0}, r"sampling_prob=0"),
        ({"mechanism": "gausian"}, "did you mean 'gaussian'"),
        ({"loss_share": 1.0}, r"loss_share=1\.0"),
        ({"delta": 0.0}, "delta=0"),
    ],
)
def test_bad_values_are_refused(change, message):
    arguments = {"target_epsilon": 1.0, "delta": 1e-5, "shape": [1.0] * 3, "sampling_prob": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        calibrate(**arguments)
