"""A plan that overspends does not start, a run that leaves its plan stops, and filters hold for adaptive noise."""

from math import log1p

import pytest
from dp_accounting.rdp import RdpAccountant

from cnndp.privacy.accounting import dp_event, exact_epsilon, renyi_epsilon
from cnndp.privacy.filters import pure_filter, renyi_filter, renyi_order
from cnndp.privacy.ledger import Event, Release, events, merge
from cnndp.privacy.plan import Guard, OverspendError, Plan, make_plan

STATISTIC = Release("feature mean", "gaussian", 15.0, 1.0, "all", 1, norm="l2")


@pytest.fixture(scope="module")
def plan():
    return make_plan(1.0, [1.0] * 5 + [0.8] * 5, 0.1, 0.5, one_off=[STATISTIC], loss_share=0.1, loss_sensitivity=1.0)


# Plans


def test_a_plan_that_fits_says_what_it_spends(plan):
    assert 0.995 <= plan.check().epsilon <= 1.0
    assert [release.steps for release in plan.releases] == [1, 5, 5, 5, 5]


def test_a_plan_that_overspends_is_refused_with_the_noise_that_would_fit(plan):
    halved = [one if one.first_step is None else one._replace(scale=one.scale / 2) for one in plan.releases]
    message = r"spends epsilon=3\.78.* target_epsilon=1; (\S+) times the noise"
    with pytest.raises(OverspendError, match=message) as error:
        Plan(tuple(halved), 1.0).check()
    factor = float(str(error.value).split("; ")[1].split()[0])
    assert factor == pytest.approx(2.0, rel=0.01)


def test_a_plan_whose_one_off_releases_overspend_says_so():
    loud = STATISTIC._replace(scale=1.0)
    step = Release("gradient", "gaussian", 5.0, 1.0, "poisson", 10, 0.1, 1)
    with pytest.raises(OverspendError, match="give the one-off releases more noise"):
        Plan((loud,), 1.0).check()
    with pytest.raises(OverspendError, match="the one-off releases alone spend"):
        Plan((loud, step), 1.0).check()


def test_noise_that_decays_from_the_scale_of_a_constant_plan_is_refused():
    """A public benchmark lists this schedule (times 0.8 after each quarter) at epsilon 5.27 with a budget of 3."""
    constant = make_plan(3.0, [1.0] * 400, 0.02, 1.0).releases[0]
    stages = [constant._replace(steps=100, first_step=100 * k + 1, scale=constant.scale * 0.8**k) for k in range(4)]
    with pytest.raises(OverspendError, match="target_epsilon=3"):
        Plan(tuple(stages), 3.0).check()


def test_what_cannot_be_accounted_for_is_no_plan():
    with pytest.raises(ValueError, match="batches are reshuffled"):
        Plan((Release("gradient", "gaussian", 1.0, 1.0, "reshuffled", 10),), 3.0).check()
    with pytest.raises(ValueError, match="give both, or neither"):
        make_plan(1.0, [1.0], 0.1, 1.0, loss_share=0.1)


# Guards


def run(guard, steps):
    for releases in steps:
        guard = guard.admit(releases)
    return guard


def test_a_run_that_follows_its_plan_is_let_through_and_its_ledger_is_the_plan(plan):
    steps = [plan.at(None)] + [plan.at(t) for t in range(1, 11)]
    guard = run(Guard(plan), steps)
    assert guard.next_step == 11
    made = [release for releases in steps for release in releases]
    by_quantity = [merge(one for one in made if one.quantity == name) for name in ("feature mean", "gradient", "loss")]
    assert tuple(entry for entries in by_quantity for entry in entries) == plan.releases


def test_spending_less_is_let_through(plan):
    more_noise = [one._replace(scale=2 * one.scale) for one in plan.at(1)]
    assert run(Guard(plan), [more_noise, plan.at(2)[:1], plan.at(5)]).next_step == 6


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.1},
        {"sensitivity": 5.0},
        {"sampling_prob": 0.2},
        {"mechanism": "laplace"},
        {"quantity": "accuracy"},
        {"steps": 2},
        {"sampling": "reshuffled"},
        {"sensitivity": None},
    ],
)
def test_a_step_that_is_not_the_planned_one_is_stopped_before_it_is_taken(plan, change):
    guard = run(Guard(plan), [plan.at(1), plan.at(2)])
    gradient, loss = plan.at(3)
    with pytest.raises(OverspendError, match="stopped before step 3"):
        guard.admit([gradient._replace(**change), loss])
    assert guard.next_step == 3  # the guard is as it was


def test_extra_repeated_and_later_releases_are_stopped(plan):
    guard = run(Guard(plan), [plan.at(1)])
    with pytest.raises(OverspendError, match="taken already"):
        guard.admit(plan.at(1))
    with pytest.raises(OverspendError, match="nothing of this kind"):
        guard.admit([*plan.at(2), *plan.at(2)[:1]])
    with pytest.raises(OverspendError, match="stopped before step 11"):
        guard.admit([plan.at(10)[0]._replace(first_step=11)])
    with pytest.raises(OverspendError, match="not in the plan"):
        guard.admit([plan.at(10)[0]._replace(first_step=2)])  # a later step's smaller noise
    with pytest.raises(ValueError, match="one step at a time"):
        guard.admit([*plan.at(2), *plan.at(3)])


def test_a_one_off_release_is_made_once(plan):
    guard = Guard(plan).admit([STATISTIC])
    with pytest.raises(OverspendError, match="stopped before the one-off release"):
        guard.admit([STATISTIC])
    with pytest.raises(OverspendError, match="stopped before the one-off release"):
        Guard(plan).admit([STATISTIC, STATISTIC])


# Filters


def gradient(mechanism, multiplier, q=0.1, step=1):
    return Release("gradient", mechanism, multiplier, 1.0, "poisson", 1, q, step, "l1")


def test_the_pure_filter_adds_amplified_steps_and_stops_before_the_one_too_many():
    cost = log1p(0.1 * 1.718281828459045)
    now = pure_filter(3.5 * cost)
    for step in range(1, 4):
        now = now.admit([gradient("laplace", 1.0, step=step)])
    assert now.spent == pytest.approx(3 * cost)
    with pytest.raises(OverspendError, match="pure epsilon"):
        now.admit([gradient("laplace", 1.0, step=4)])
    assert now.admit([gradient("laplace", 4.0, step=4)]).spent <= now.budget  # a noisier one still fits
    with pytest.raises(ValueError, match="no pure epsilon"):
        now.admit([gradient("gaussian", 1.0)])


def test_the_renyi_filter_adds_divergences_and_never_spends_more_than_a_fixed_schedule_may():
    order = renyi_order(1.0, 1e-5, [gradient("gaussian", 1.5, 0.02)._replace(steps=100)])
    now, made = renyi_filter(1.0, 1e-5, order), []
    steps = (gradient("gaussian", 2.0 if step % 2 else 1.5, 0.02, step) for step in range(1, 10_000))
    for release in steps:
        if now.spent + now.cost(events([release])[0]) > now.budget:
            break
        now = now.admit([release])
        made.append(release)
    with pytest.raises(OverspendError, match="Renyi divergence of order"):
        now.admit([release])
    assert len(made) > 20
    assert exact_epsilon(made).epsilon <= renyi_epsilon(made) <= 1.0
    assert renyi_epsilon(made) > 0.9


def test_gradient_and_loss_of_one_batch_cost_one_joint_event():
    both = [gradient("gaussian", 2.0), gradient("gaussian", 2.0)._replace(quantity="loss")]
    now = renyi_filter(3.0, 1e-5, 8.0).admit(both)
    joint = Event("gaussian", 2.0 / 2**0.5, 0.1, 1)
    assert now.spent == pytest.approx(RdpAccountant(orders=[8.0]).compose(dp_event(joint)).rdp[0])


def test_filters_refuse_what_they_have_no_bound_for():
    with pytest.raises(ValueError, match="no Renyi bound"):
        renyi_filter(1.0, 1e-5, 16.0).admit([gradient("laplace", 1.0)])
    with pytest.raises(ValueError, match="leaves nothing"):
        renyi_filter(0.1, 1e-5, 2.0)
    with pytest.raises(ValueError, match="order above"):
        renyi_filter(1.0, 1e-5, 1.0)
    with pytest.raises(ValueError, match="cannot be accounted for"):
        pure_filter(1.0).admit([gradient("laplace", 1.0)._replace(sampling="reshuffled")])
    with pytest.raises(ValueError, match="expected: pass the Gaussian releases"):
        renyi_order(1.0, 1e-5, [])
