"""The ledger joins equal neighbours only, and names why nothing is guaranteed."""

import re

import pytest

from cnndp.ledger import Release, guarantee_gap, merge

GRADIENT = Release("gradient", "laplace", 2.0, 0.5, "poisson", 1)
LOSS = Release("loss", "none", 0.0, None, "poisson", 1)


def test_equal_neighbours_become_one_entry_with_their_steps_added():
    assert merge([GRADIENT, GRADIENT._replace(steps=4)]) == [GRADIENT._replace(steps=5)]
    assert merge([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "loss"},
        {"mechanism": "gaussian"},
        {"scale": 2.0000001},
        {"sensitivity": None},
        {"sampling": "reshuffled"},
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


def test_noise_on_bounded_poisson_releases_leaves_no_gap():
    assert guarantee_gap([GRADIENT] * 3) is None
