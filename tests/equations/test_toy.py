"""The bowl with two weights: what the Polyak step does can be followed by hand."""

import pytest
import torch
from torch import Generator

from cnndp.equations import toy

NOISE = 0.5


def path(max_step=None, noise_scale=0.0, debias=False, num_steps=20, seed=0):
    return toy.polyak_path(
        num_steps, Generator().manual_seed(seed), noise_scale=noise_scale, max_step=max_step, debias=debias
    )


def test_the_first_step_by_hand():
    """At (-3, 1): loss (9 + 5) / 2 = 7, gradient (-3, 5) of squared norm 34, step 7 / 34."""
    made = path(num_steps=1)
    assert made.losses.tolist() == [7.0]
    assert made.step_sizes.tolist() == pytest.approx([7 / 34])
    assert made.weights[1].tolist() == pytest.approx([-3 + 3 * 7 / 34, 1 - 5 * 7 / 34])


def test_the_minimum_of_the_bowl_is_0_at_the_origin():
    assert toy.bowl(torch.zeros(2, dtype=torch.float64)) == 0
    assert (toy.bowl(torch.randn(100, 2, dtype=torch.float64, generator=Generator().manual_seed(0))) > 0).all()


def test_without_noise_the_path_ends_at_the_minimum():
    made = path(num_steps=80)
    assert made.losses[-1] < 1e-8
    assert made.weights[-1].norm() < 1e-4
    assert (made.losses[1:] < made.losses[:-1]).all()


def test_the_shapes_are_those_of_the_steps():
    made = path(num_steps=7)
    assert made.weights.shape == (8, 2)
    assert made.losses.shape == made.step_sizes.shape == made.slacks.shape == (7,)
    assert made.weights[0].tolist() == [-3.0, 1.0]


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("noise_scale", [0.0, NOISE])
def test_a_capped_step_never_exceeds_the_cap(noise_scale, debias):
    for seed in range(10):
        made = path(0.3, noise_scale, debias, seed=seed)
        assert (made.step_sizes <= 0.3).all()
        assert (made.step_sizes > 0).all()


@pytest.mark.parametrize("debias", [False, True])
def test_there_is_slack_exactly_where_the_cap_binds(debias):
    seen = set()
    for seed in range(10):
        made = path(0.3, NOISE, debias, seed=seed)
        binds = made.step_sizes == 0.3
        assert torch.equal(made.slacks > 0, binds)
        seen |= set(binds.tolist())
    assert debias or seen == {True, False}


def test_without_a_cap_there_is_no_slack():
    assert not path(noise_scale=NOISE).slacks.any()


def test_a_cap_that_never_binds_changes_nothing():
    assert torch.equal(path(1e6, NOISE).weights, path(None, NOISE).weights)


def test_removing_the_expected_noise_makes_steps_longer():
    plain, debiased = path(0.3, NOISE, num_steps=1), path(0.3, NOISE, debias=True, num_steps=1)
    assert debiased.step_sizes[0] >= plain.step_sizes[0]
    sizes = [sum(path(0.3, NOISE, debias, seed=seed).step_sizes.sum().item() for seed in range(5)) for debias in (0, 1)]
    assert sizes[1] > sizes[0]


def test_one_seed_is_one_path():
    assert torch.equal(path(noise_scale=NOISE).weights, path(noise_scale=NOISE).weights)
    assert not torch.equal(path(noise_scale=NOISE).weights, path(noise_scale=NOISE, seed=1).weights)


def test_the_start_is_left_alone():
    path(noise_scale=NOISE)
    assert toy.START.tolist() == [-3.0, 1.0]
