"""Numerical epsilon of a ledger: known constants, closed forms, other libraries, and bugs that must move the number."""

import warnings
from functools import cache
from math import exp, log, log1p, sqrt

import numpy as np
import pytest
from dp_accounting import PoissonSampledDpEvent
from dp_accounting.dp_event import GaussianDpEvent
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import RdpAccountant

from cnndp.privacy.accounting import (
    epsilon_by_step,
    exact_delta,
    exact_epsilon,
    laplace_epsilon,
    price,
    pure_epsilon,
    rdp_epsilon,
    renyi_epsilon,
)
from cnndp.privacy.composition import Grid, bracket, composed, condensed, grid
from cnndp.privacy.ledger import Event, Release

Q_P2 = 250 / 60_000
Q_P1 = 250 / 56_000


def release(mechanism, multiplier, q, steps=1, first=1, quantity="gradient"):
    """Return releases with sensitivity 1.5 and this noise multiplier; q = 1 is every record."""
    sampled = ("all", steps, None, None) if q == 1 else ("poisson", steps, q, first)
    return Release(quantity, mechanism, 1.5 * multiplier, 1.5, *sampled, norm="l1" if mechanism == "laplace" else "l2")


def growing(mechanism, smallest, q, num_steps, ratio=2.0):
    """Return steps whose inverse noise grows linearly, to the smallest noise multiplier at the end."""
    multipliers = 1 / np.linspace(1 / (ratio * smallest), 1 / smallest, num_steps)
    return [release(mechanism, float(one), q, first=t) for t, one in enumerate(multipliers, start=1)]


# Known values


@pytest.mark.parametrize(
    ("mechanism", "multiplier", "q", "steps", "epsilon"),
    [
        ("gaussian", 1.3, Q_P2, 720, 0.3703),  # P2's 0.56
        ("gaussian", 1.3, Q_P2, 4800, 0.9940),  # P2's 100.09
        ("laplace", 300 / 72.5, Q_P1, 300, 0.0527),  # Table II, MNIST, T = 300
    ],
)
def test_the_constants_of_the_two_papers(mechanism, multiplier, q, steps, epsilon):
    assert exact_epsilon([release(mechanism, multiplier, q, steps)]).epsilon == pytest.approx(epsilon, abs=6e-5)


def test_the_other_constants():
    assert exact_epsilon([release("laplace", 300 / 72.5, 1, 300)]).epsilon == pytest.approx(24.29, abs=0.01)
    assert rdp_epsilon(1.3 / 2, Q_P2, 720) == pytest.approx(3.4259, abs=1e-4)  # what counting microbatches gives
    for steps, epsilon in ((720, 0.5632), (4800, 1.0917)):
        assert renyi_epsilon([release("gaussian", 1.3, Q_P2, steps)]) == pytest.approx(epsilon, abs=1e-4)


@pytest.mark.parametrize("multiplier", [0.3, 1.0, 5.0, 60.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9])
def test_one_gaussian_release_costs_what_the_analytic_mechanism_says(multiplier, delta):
    spent = exact_epsilon([release("gaussian", multiplier, 1)], delta).epsilon
    closed = get_epsilon_gaussian(multiplier, delta)
    assert closed <= spent <= closed * 1.002 + 1e-6


@pytest.mark.parametrize("step_epsilon", [0.01, 0.5, 4.0, 20.0])
def test_one_laplace_release_costs_what_its_tail_says(step_epsilon):
    """delta = 1 - exp((epsilon - step_epsilon) / 2), solved for epsilon."""
    delta = 1e-3
    closed = step_epsilon + 2 * log1p(-delta)
    spent = exact_epsilon([release("laplace", 1 / step_epsilon, 1)], delta).epsilon
    assert closed - 1e-9 <= spent <= closed + 1e-3 * step_epsilon + 1e-4


def test_one_sampled_release_costs_what_the_sampling_formula_says():
    """Removing the record: delta_q(ln(1 + q (e^eps - 1))) = q delta(eps); it is the larger direction here."""
    q, once = 0.2, release("gaussian", 1.0, 1)
    for epsilon in (0.2, 1.0, 3.0):
        sampled = log1p(q * (exp(epsilon) - 1))
        expected = q * exact_delta([once], epsilon)
        assert exact_delta([release("gaussian", 1.0, q)], sampled) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("mechanism", "multiplier", "q", "steps"),
    [
        ("gaussian", 1.3, Q_P2, 720),
        ("gaussian", 0.7, 0.05, 30),
        ("gaussian", 4.0, 1.0, 1),
        ("gaussian", 100.0, Q_P2, 300),
        ("gaussian", 5.0, 0.9, 30),
        ("laplace", 4.0, 0.01, 300),
        ("laplace", 0.5, 0.1, 30),
        ("laplace", 4.0, 1.0, 300),
    ],
)
def test_fast_discretisation_agrees_with_dp_accountings_own(mechanism, multiplier, q, steps):
    make = pld.from_gaussian_mechanism if mechanism == "gaussian" else pld.from_laplace_mechanism
    theirs = make(multiplier, sampling_prob=q, value_discretization_interval=2e-4).self_compose(steps)
    ours = composed([Event(mechanism, multiplier, q, steps)], Grid(2e-4, -50.0))
    for delta in (1e-3, 1e-5, 1e-7):
        assert ours.get_epsilon_for_delta(delta) == pytest.approx(theirs.get_epsilon_for_delta(delta), rel=1e-5)


# Other libraries


@cache
def opacus_accountants():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations on import are not ours
        from opacus.accountants import PRVAccountant, RDPAccountant
    return PRVAccountant, RDPAccountant


SHARED = [  # noise multiplier, q, steps
    [(1.3, Q_P2, 720)],
    [(0.8, 0.02, 100)],
    [(4.876, 4096 / 60_000, 300)],
    [(1.5, 0.01, 100), (1.0, 0.02, 50)],
]


@pytest.mark.parametrize("history", SHARED)
def test_epsilon_lies_within_what_opacus_prv_accountant_proves(history):
    accountant = opacus_accountants()[0]()
    accountant.history = list(history)
    first, releases = 1, []
    for multiplier, q, steps in history:
        releases.append(release("gaussian", multiplier, q, steps, first))
        first += steps
    spent = exact_epsilon(releases).epsilon
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimate = accountant.get_epsilon(delta=1e-5, eps_error=0.01)  # an upper bound, by at most 0.02
    assert estimate - 0.02 <= spent <= estimate * 1.001


@pytest.mark.parametrize("history", SHARED)
def test_renyi_epsilon_agrees_with_opacus(history):
    accountant = opacus_accountants()[1]()
    accountant.history = list(history)
    releases = [release("gaussian", *entry, first=1000 * place + 1) for place, entry in enumerate(history)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = accountant.get_epsilon(delta=1e-5)
    assert renyi_epsilon(releases) == pytest.approx(theirs, rel=0.01)  # their list of orders is coarser
    assert renyi_epsilon(releases) >= exact_epsilon(releases).epsilon


def test_laplace_ledger_and_laplace_steps_agree():
    ledger = [release("laplace", 4.0, Q_P1, 50), release("laplace", 2.0, Q_P1, 50, first=51)]
    assert exact_epsilon(ledger).epsilon == pytest.approx(laplace_epsilon([(0.25, 50), (0.5, 50)], Q_P1), rel=1e-4)


# Joint events


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_a_joint_release_costs_one_event_not_two(mechanism):
    gradient = release(mechanism, 1.5, 0.05, 100)
    loss = release(mechanism, 2.0, 0.05, 100, quantity="loss")
    joint = 1 / sqrt(1.5**-2 + 2.0**-2) if mechanism == "gaussian" else 1 / (1 / 1.5 + 1 / 2.0)
    spent = exact_epsilon([gradient, loss]).epsilon
    assert spent == pytest.approx(exact_epsilon([release(mechanism, joint, 0.05, 100)]).epsilon, rel=1e-9)
    apart = exact_epsilon([gradient, loss._replace(first_step=101)]).epsilon  # as if each had its own batch
    assert spent > 1.05 * apart


# Grouping


@pytest.mark.parametrize(
    ("mechanism", "smallest", "q"), [("gaussian", 1.0, 0.02), ("gaussian", 2.0, 0.1), ("laplace", 1.0, 0.02)]
)
def test_grouped_steps_cost_at_least_the_ungrouped_and_at_most_one_percent_more(mechanism, smallest, q):
    releases = growing(mechanism, smallest, q, 150, ratio=1.3)
    each = condensed(Event(mechanism, one.scale / one.sensitivity, q, 1) for one in releases)
    assert len(each) == 150
    spent = exact_epsilon(releases)
    ungrouped = float(composed(each, Grid(spent.interval, -40.0)).get_epsilon_for_delta(1e-5))
    assert ungrouped * (1 - 1e-4) <= spent.epsilon <= ungrouped * 1.01
    assert spent.epsilon - spent.overshoot <= ungrouped * (1 + 1e-4)
    assert 0 < spent.overshoot <= 0.01 * spent.epsilon


def test_both_ends_of_a_bracket_hold_every_step():
    each = condensed(Event("laplace", 1 + k / 50, 0.01 + k / 5000, 1) for k in range(40))
    ends = bracket(each, 0.1)
    assert len(ends.upper) < len(each) / 2
    for side in ends:
        assert sum(event.times for event in side) == 40
    assert min(event.noise_multiplier for event in ends.upper) == 1
    assert max(event.sampling_prob for event in ends.upper) == max(event.sampling_prob for event in each)
    assert min(event.sampling_prob for event in ends.lower) == 0.01


def test_sampling_that_changes_from_step_to_step_is_grouped_too():
    releases = [release("gaussian", 2.0, 0.005 + t * 2e-5, first=t) for t in range(1, 301)]
    spent = exact_epsilon(releases)
    least, most = (exact_epsilon([release("gaussian", 2.0, q, 300)]).epsilon for q in (0.00502, 0.011))
    assert least < spent.epsilon < most
    assert spent.overshoot <= 0.01 * spent.epsilon


def test_a_finer_grid_takes_off_little():
    for event in (Event("gaussian", 1.3, Q_P2, 720), Event("gaussian", 20.0, Q_P1, 300), Event("laplace", 4, 0.01, 99)):
        on = grid([event], 1e-5)
        coarse, fine = (composed([event], on._replace(interval=on.interval / by)) for by in (1, 4))
        coarse, fine = (float(one.get_epsilon_for_delta(1e-5)) for one in (coarse, fine))
        assert fine * (1 - 1e-6) <= coarse <= fine * 1.003


def test_large_epsilons_are_quick_on_a_coarse_grid_and_stay_upper_bounds():
    spent = exact_epsilon([release("laplace", 0.2, 1, 1200)])
    assert spent.interval > 1e-3
    assert 5044.84 <= spent.epsilon <= 5045.81  # on a grid of 1e-3: 5044.8483; dp-accounting's own answer: 5045.8100


# Properties


def test_epsilons_whose_exponential_is_no_normal_float_continue_the_curve_without_a_warning():
    def epsilon(noise_multiplier):
        return price((Event("gaussian", noise_multiplier, 0.03125, 300),), 1e-5).epsilon

    known = (0.127, 0.129, 0.131, 0.133)  # epsilons of 695 and less, which dp-accounting finds
    curve = np.polyfit(known, [epsilon(one) for one in known], 3)
    for noise_multiplier in (0.1245, 0.125, 0.1255):
        assert epsilon(noise_multiplier) == pytest.approx(np.polyval(curve, noise_multiplier), abs=0.1)
    listed = (Event("gaussian", 0.125, 0.03125, 300),)
    with np.errstate(over="ignore"):  # or there was no need
        assert composed(listed, grid(listed, 1e-5)).get_epsilon_for_delta(1e-5) == float("inf")


def test_order_does_not_matter():
    first, second = release("gaussian", 1.0, 0.01, 40), release("gaussian", 2.0, 0.01, 40, first=41)
    swapped = [first._replace(first_step=41), second._replace(first_step=1)]
    assert exact_epsilon([first, second]) == exact_epsilon([second, first]) == exact_epsilon(swapped)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_more_steps_more_sampling_and_less_noise_cost_more(mechanism):
    base = exact_epsilon([release(mechanism, 1.3, 0.01, 100)]).epsilon
    for change in ((1.3, 0.01, 101), (1.3, 0.0101, 100), (1.29, 0.01, 100)):
        assert exact_epsilon([release(mechanism, *change)]).epsilon > base


def test_tiny_budgets_are_never_negative_and_rise_smoothly():
    for mechanism, q in (("gaussian", 1e-4), ("gaussian", 0.01), ("laplace", 0.01)):
        epsilons = [exact_epsilon([release(mechanism, m, q, 300)]).epsilon for m in (3000, 1000, 300, 100, 30, 10)]
        assert epsilons[0] >= 0
        assert epsilons == sorted(epsilons)
        assert epsilons[0] < 1e-3


def test_nothing_released_costs_nothing():
    assert exact_epsilon([]).epsilon == 0
    assert exact_delta([], 0.0) == 0
    assert pure_epsilon([]) == 0


def test_delta_and_epsilon_undo_each_other():
    for releases in ([release("gaussian", 1.3, 0.01, 100)], [release("laplace", 1.0, 0.05, 100)]):
        epsilon = exact_epsilon(releases, 1e-6).epsilon
        assert exact_delta(releases, epsilon) == pytest.approx(1e-6, rel=0.02)
    with pytest.raises(ValueError, match="epsilon=-1"):
        exact_delta(releases, -1.0)


def test_epsilon_by_step_ends_at_the_whole_and_counts_one_off_releases_from_the_start():
    releases = [release("gaussian", 20.0, 1, quantity="feature mean"), release("gaussian", 1.3, 0.01, 90)]
    curve = epsilon_by_step(releases, [0, 30, 90])
    assert curve[0] == exact_epsilon(releases[:1]).epsilon > 0
    assert curve == sorted(curve)
    assert curve[-1] == exact_epsilon(releases).epsilon


def test_pure_epsilon_is_the_sum_of_the_amplified_steps_and_bounds_the_exact_one():
    releases = [release("laplace", 1.0, 0.1, 3), release("laplace", 2.0, 1)]
    pure = pure_epsilon(releases)
    assert pure == pytest.approx(3 * log(1 + 0.1 * (exp(1) - 1)) + 0.5)
    assert exact_epsilon(releases).epsilon <= pure
    assert exact_delta(releases, pure + 1e-3) < 1e-9
    assert pure_epsilon([*releases, release("gaussian", 9.0, 1)]) is None


@pytest.mark.parametrize(
    ("noise", "sampling_prob", "steps"),
    [(0.4, 1.0, 1), (0.6, 0.1, 5), (1.3, 0.004, 720), (5.0, 0.07, 300), (40.0, 1.0, 9)],
)
def test_the_best_renyi_order_is_found_among_all(noise, sampling_prob, steps):
    everything = RdpAccountant()
    sampled = GaussianDpEvent(noise)
    everything.compose(sampled if sampling_prob == 1 else PoissonSampledDpEvent(sampling_prob, sampled), steps)
    ours = renyi_epsilon([release("gaussian", noise, sampling_prob, steps)])
    assert ours == pytest.approx(everything.get_epsilon(1e-5), rel=1e-12)


def test_renyi_has_no_answer_for_laplace_on_poisson_batches_only():
    assert renyi_epsilon([release("laplace", 1.0, 0.1)]) is None
    unsampled = [release("laplace", 4.0, 1, 10)]
    assert exact_epsilon(unsampled).epsilon <= renyi_epsilon(unsampled) <= pure_epsilon(unsampled) + 1e-9


def test_a_bad_delta_is_refused():
    with pytest.raises(ValueError, match=r"delta=1\.5"):
        exact_epsilon([release("gaussian", 1.0, 0.1)], 1.5)
    with pytest.raises(ValueError, match="delta=0"):
        price((Event("gaussian", 1.0, 0.1, 1),), 0.0)


# Planted bugs: each is an accounting mistake seen in the wild, and each must move the number by more than the tolerance


def test_a_loss_left_out_of_the_ledger_shows():
    gradient = release("gaussian", 1.3, Q_P1, 300)
    loss = release("gaussian", 4.0, Q_P1, 300, quantity="loss")
    assert exact_epsilon([gradient]).epsilon < 0.96 * exact_epsilon([gradient, loss]).epsilon


def test_q_as_one_over_the_number_of_batches_shows():
    """B = 512 of 60,000 in a loader that drops the last batch: 1/117 is not B/N."""
    right, wrong = (exact_epsilon([release("gaussian", 1.3, q, 1170)]).epsilon for q in (512 / 60_000, 1 / 117))
    assert wrong != pytest.approx(right, rel=1e-3)


def test_noise_on_the_mean_taken_as_the_multiplier_shows():
    """sigma C on the mean of B gradients is sigma B C on their sum: the ledger holds the sum's scale."""
    on_sum = Release("gradient", "gaussian", 1.3 * 1.5, 1.5, "poisson", 720, Q_P2, 1)
    taken = on_sum._replace(scale=on_sum.scale * 250)
    assert exact_epsilon([taken]).epsilon < 0.1 * exact_epsilon([on_sum]).epsilon


def test_noise_that_decays_from_the_scale_of_a_constant_plan_overspends():
    """A public benchmark's schedule: the noise multiplier of the constant plan, times 0.8 after each quarter."""
    constant = [release("gaussian", 1.0, 0.01, 1000)]
    stages = [release("gaussian", 0.8**k, 0.01, 250, first=250 * k + 1) for k in range(4)]
    assert exact_epsilon(stages).epsilon > 1.5 * exact_epsilon(constant).epsilon
