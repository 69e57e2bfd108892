"""The noise has the distribution that is claimed, comes from its generator only, and never repeats."""

import math

import pytest
import torch
from scipy.stats import kstest

from cnndp.equations import noise
from cnndp.training.randomness import streams

N = 20_000
DRAWS = {"laplace": noise.laplace, "gaussian": noise.gaussian}
NAMES = {"laplace": "laplace", "gaussian": "norm"}
CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(mechanism="laplace", num_params=1000, num_steps=20, seed=0, **options):
    return list(noise.unit_noise(mechanism, num_params, num_steps, generator(seed), CPU, **options))


@pytest.mark.parametrize("mechanism", DRAWS)
@pytest.mark.parametrize("scale", [0.18, 1.0, 15.0])
def test_ks_accepts_the_scale_and_rejects_two_thirds_and_three_halves_of_it(mechanism, scale):
    drawn = DRAWS[mechanism](N, scale, generator(7)).double().numpy()
    pvalues = {factor: kstest(drawn / (factor * scale), NAMES[mechanism]).pvalue for factor in (1, 2 / 3, 3 / 2)}
    assert pvalues[1] > 0.01
    assert max(pvalues[2 / 3], pvalues[3 / 2]) < 1e-9


@pytest.mark.parametrize("mechanism", DRAWS)
def test_ks_tells_the_mechanisms_apart_at_equal_variance(mechanism):
    drawn = DRAWS[mechanism](N, 1.0, generator(7)).double()
    other = "norm" if mechanism == "laplace" else "laplace"
    assert kstest((drawn / drawn.std()).numpy() / (1 if other == "norm" else math.sqrt(0.5)), other).pvalue < 1e-9


@pytest.mark.parametrize(("mechanism", "factor"), [("laplace", 2.0), ("gaussian", 1.0)])
def test_variance_is_2_b_squared_or_sigma_squared(mechanism, factor):
    drawn = DRAWS[mechanism](200_000, 0.5, generator(3)).double()
    assert drawn.var().item() == pytest.approx(factor * 0.25, rel=0.02)
    assert drawn.mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("mechanism", DRAWS)
def test_unit_noise_has_scale_1_at_every_step(mechanism):
    for row in rows(mechanism, N, 4, block_size=2):
        assert kstest(row.double().numpy(), NAMES[mechanism]).pvalue > 0.01


@pytest.mark.parametrize("mechanism", noise.MECHANISMS)
def test_the_same_generator_state_gives_the_same_draw_and_leaves_the_global_state_alone(mechanism):
    before = torch.get_rng_state()
    first, second = (noise.MECHANISMS[mechanism](100, 2.0, generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.stack(rows(mechanism)), torch.stack(rows(mechanism)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mechanism", DRAWS)
def test_a_draw_uses_its_generator_and_scales_linearly(mechanism):
    one, two = (DRAWS[mechanism](100, scale, generator(5)) for scale in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    assert not torch.equal(one, DRAWS[mechanism](100, 1.0, generator(6)))


@pytest.mark.parametrize("mechanism", DRAWS)
def test_draws_never_repeat_across_steps_and_blocks(mechanism):
    drawn = torch.stack(rows(mechanism, 4000, 12, block_size=4)).double()
    correlation = torch.corrcoef(drawn) - torch.eye(12)
    assert correlation.abs().max() < 5 / math.sqrt(4000)  # no row is another, nor its negative
    assert len(drawn.unique()) > 0.99 * drawn.numel()  # no value comes back; float32 makes a few collide
    shifted = torch.corrcoef(torch.stack([drawn.flatten()[:-1], drawn.flatten()[1:]]))[0, 1]
    assert abs(shifted) < 5 / math.sqrt(drawn.numel())


def test_draws_differ_between_the_streams_of_a_seed():
    drawn = torch.stack([noise.laplace(4000, 1.0, stream) for stream in streams(0)]).double()
    assert (torch.corrcoef(drawn) - torch.eye(3)).abs().max() < 5 / math.sqrt(4000)


@pytest.mark.parametrize("mechanism", noise.MECHANISMS)
@pytest.mark.parametrize("block_size", [1, 3, 7, 20, 1000])
def test_block_size_never_changes_a_number(mechanism, block_size):
    assert torch.equal(torch.stack(rows(mechanism, block_size=block_size)), torch.stack(rows(mechanism)))


def test_a_longer_run_starts_with_the_draws_of_a_shorter_one():
    assert torch.equal(torch.stack(rows(num_steps=40)[:5]), torch.stack(rows(num_steps=5)))


@pytest.mark.parametrize(("num_steps", "block_size"), [(1, 16), (16, 16), (17, 16), (5, 2)])
@pytest.mark.parametrize("mechanism", noise.MECHANISMS)
def test_there_is_one_draw_of_every_parameter_a_step(mechanism, num_steps, block_size):
    drawn = rows(mechanism, 11, num_steps, block_size=block_size)
    assert [row.shape for row in drawn] == [(11,)] * num_steps
    assert {row.dtype for row in drawn} == {torch.float32}


def test_no_noise_is_zero_and_leaves_its_generator_alone():
    used = generator(4)
    assert not noise.no_noise(9, 3.0, used).any()
    assert torch.equal(used.get_state(), generator(4).get_state())


def test_laplace_is_finite_and_symmetric_at_the_ends_of_the_uniform(monkeypatch):
    ends = torch.tensor([0.0, 1 - 2.0**-53, 0.5 - 2.0**-53, 0.5], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: ends)
    drawn = noise.laplace(4, 1.0, generator())
    monkeypatch.undo()
    tail = 53 * math.log(2)
    assert drawn.tolist() == pytest.approx([-tail, tail, 0.0, 0.0], abs=1e-5)


@pytest.mark.parametrize("mechanism", DRAWS)
@pytest.mark.parametrize("scale", [-1.0, float("inf"), float("nan")])
def test_a_bad_scale_is_refused(mechanism, scale):
    with pytest.raises(ValueError, match=rf"^scale={scale} must be .*pass 0 to switch it off"):
        DRAWS[mechanism](3, scale, generator())


def test_the_scale_is_sensitivity_over_budget():
    assert noise.laplace_scale(0.5, 0.25) == 2.0


@pytest.mark.parametrize(
    ("scale", "options", "expected"),
    [
        (5.0, {"initial_scale": 2.0, "min_scale": 0.18}, 2.0),
        (0.01, {"initial_scale": 2.0, "min_scale": 0.18}, 0.18),
        (1.0, {"initial_scale": 2.0, "min_scale": 0.18}, 1.0),
        (5.0, {"min_scale": 0.18}, 5.0),
        (5.0, {}, 5.0),
        (0.01, {"initial_scale": 2.0}, 0.01),
    ],
)
def test_the_clamp_starts_at_the_initial_scale_and_ends_at_the_floor(scale, options, expected):
    assert noise.clamped_scale(scale, **options) == expected


def test_a_floor_above_the_start_is_refused():
    with pytest.raises(ValueError, match=r"min_scale=3.0 is above initial_scale=2.0; the floor must not"):
        noise.clamped_scale(1.0, initial_scale=2.0, min_scale=3.0)


@pytest.mark.parametrize("block_size", [1, 3, 5, 16])
def test_drawing_ahead_changes_no_number(block_size):
    direct = rows("laplace", 7, 5)
    source = generator(0)
    ahead = noise.drawn_ahead(lambda: noise.laplace(7, 1.0, source), 7, 5, CPU, block_size)
    assert all(torch.equal(one, two) for one, two in zip(direct, ahead, strict=True))
