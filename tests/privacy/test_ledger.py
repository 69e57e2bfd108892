"""The ledger joins equal neighbours only, and names why nothing is guaranteed."""

import re
from math import sqrt

import pytest

from cnndp.privacy.ledger import Event, Release, events, guarantee_gap, merge, up_to

GRADIENT = Release("gradient", "laplace", 2.0, 0.5, "poisson", 1, sampling_prob=0.1, first_step=1, norm="l1")
LOSS = Release("loss", "none", 0.0, None, "poisson", 1)


def test_equal_neighbours_become_one_entry_with_their_steps_added():
    assert merge([GRADIENT, GRADIENT._replace(steps=4, first_step=2)]) == [GRADIENT._replace(steps=5)]
    unnumbered = GRADIENT._replace(first_step=None)
    assert merge([unnumbered, unnumbered._replace(steps=4)]) == [unnumbered._replace(steps=5)]
    assert merge([]) == []


@pytest.mark.parametrize("first_step", [1, 3, None])
def test_equal_neighbours_whose_steps_do_not_follow_each_other_stay_apart(first_step):
    entries = [GRADIENT, GRADIENT._replace(first_step=first_step)]
    assert merge(entries) == entries


def test_a_record_without_the_newer_fields_loads_and_merges_as_before():
    old = Release("loss", "none", 0.0, None, "reshuffled", 1)
    assert old[6:] == (None, None, None)
    assert merge([old] * 3) == [old._replace(steps=3)]


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "loss"},
        {"mechanism": "gaussian"},
        {"scale": 2.0000001},
        {"sensitivity": None},
        {"sampling": "reshuffled"},
        {"sampling_prob": 0.2},
        {"norm": "l1"},
    ],
)
def test_entries_that_differ_stay_apart_and_in_order(change):
    other = GRADIENT._replace(**change)
    entries = [GRADIENT, other, GRADIENT]
    assert merge(entries) == entries


@pytest.mark.parametrize(
    ("releases", "reason"),
    [
        ([GRADIENT._replace(mechanism="none", scale=0.0)], "no noise was added to the gradient"),
        ([GRADIENT._replace(sensitivity=None)], "no per-example clip"),
        ([GRADIENT._replace(sensitivity=None), LOSS], "no per-example clip.*loss is used raw"),
        ([GRADIENT, LOSS], "the loss is used raw"),
        ([GRADIENT._replace(sampling="reshuffled")], "batches are reshuffled"),
        ([GRADIENT, GRADIENT._replace(mechanism="none")], "no noise was added to the gradient"),  # one step is enough
    ],
)
def test_what_stands_in_the_way_of_a_guarantee_is_named(releases, reason):
    assert re.search(reason, guarantee_gap(releases))
    assert guarantee_gap(iter(releases)) == guarantee_gap(releases)  # any iterable


NOISY_LOSS = GRADIENT._replace(quantity="loss", scale=8.0, sensitivity=1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sampling_prob": None}, "sampling probability of the gradient is None"),
        ({"sampling_prob": 1.5}, "sampling probability of the gradient is 1.5"),
        ({"sampling_prob": 0.0}, "sampling probability of the gradient is 0"),
        ({"first_step": None}, "step of the gradient is not recorded"),
        ({"mechanism": "staircase"}, "mechanism 'staircase'"),
        ({"scale": 0.0}, "must be above 0"),
        ({"scale": -1.0}, "must be above 0"),
        ({"scale": float("nan")}, "must be above 0"),
        ({"sensitivity": 0.0}, "must be above 0"),
        ({"norm": "l2"}, "needs an L1 sensitivity"),
        ({"sampling": "round robin"}, "sampling 'round robin'"),
        ({"sampling": "all"}, "all records take part.*sampling_prob is 0.1"),
        ({"steps": 0}, "at least one"),
    ],
)
def test_what_cannot_be_accounted_for_is_refused_with_the_reason(change, reason):
    broken = GRADIENT._replace(**change)
    assert re.search(reason, guarantee_gap([GRADIENT, broken]))
    with pytest.raises(ValueError, match=reason):
        events([broken])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mechanism": "gaussian"}, "gradient and loss of one batch carry different mechanisms"),
        ({"sampling_prob": 0.2}, "gradient and loss of one step have different sampling probabilities"),
        ({"sensitivity": None}, "nothing bounds what one record adds to the loss"),
    ],
)
def test_a_joint_release_that_is_not_one_event_is_refused(change, reason):
    assert re.search(reason, guarantee_gap([GRADIENT, NOISY_LOSS._replace(**change)]))
    elsewhere = NOISY_LOSS._replace(**{"first_step": 2, "sensitivity": 1.0, **change})
    assert ("sensitivity" in change) == bool(guarantee_gap([GRADIENT, elsewhere]))  # another step, another batch


def test_noise_on_bounded_poisson_releases_leaves_no_gap():
    assert guarantee_gap([GRADIENT, NOISY_LOSS, GRADIENT._replace(first_step=2)]) is None
    assert guarantee_gap([GRADIENT._replace(sampling="all", sampling_prob=None, first_step=None, norm="l1")]) is None
    assert guarantee_gap([GRADIENT._replace(mechanism="gaussian", norm="l1")]) is None  # an L1 bound is an L2 bound


# Joint events


def test_gradient_and_loss_of_one_step_are_one_event():
    assert events([GRADIENT, NOISY_LOSS]) == (Event("laplace", 1 / (0.5 / 2 + 1 / 8), 0.1, 1),)
    pair = [one._replace(mechanism="gaussian") for one in (GRADIENT, NOISY_LOSS)]
    assert events(pair) == (Event("gaussian", 1 / sqrt((0.5 / 2) ** 2 + (1 / 8) ** 2), 0.1, 1),)


def test_releases_are_joint_only_in_the_steps_that_they_share():
    gradient = GRADIENT._replace(steps=5)
    loss = NOISY_LOSS._replace(first_step=4, steps=4)
    joint = 1 / (0.5 / 2 + 1 / 8)
    assert sorted(events([loss, gradient])) == sorted(
        [Event("laplace", 4.0, 0.1, 3), Event("laplace", joint, 0.1, 2), Event("laplace", 8.0, 0.1, 2)]
    )


def test_releases_that_all_records_enter_are_events_of_their_own():
    mean = Release("feature mean", "gaussian", 15.0, 1.0, "all", 2)
    assert set(events([mean, GRADIENT])) == {Event("gaussian", 15.0, 1.0, 2), Event("laplace", 4.0, 0.1, 1)}


def test_the_ledger_up_to_a_step_keeps_one_off_releases_and_cuts_the_rest():
    mean = Release("feature mean", "gaussian", 15.0, 1.0, "all", 1)
    later = NOISY_LOSS._replace(first_step=4)
    entries = [mean, GRADIENT._replace(steps=5), later]
    assert up_to(entries, 3) == [mean, GRADIENT._replace(steps=3)]
    assert up_to(entries, 0) == [mean]
    assert up_to(entries, 9) == entries


def test_laplace_noise_on_a_gradient_without_a_norm_has_no_guarantee():
    assert guarantee_gap([GRADIENT]) is None
    assert "it is not said which norm" in guarantee_gap([GRADIENT._replace(norm=None)])
    loss = GRADIENT._replace(quantity="loss", norm=None)  # a single number has one norm
    assert guarantee_gap([loss]) is None
