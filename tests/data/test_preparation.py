"""What is released of the features moves no further by one record than stated, and nothing else is read."""

import math

import pytest
import torch
from torch import Generator

from cnndp.data import preparation
from cnndp.data.datasets import Images
from cnndp.data.preparation import (
    apply,
    inverse_power,
    noisy,
    prepare,
    prepare_images,
    second_moments,
    statistics,
    symmetric,
    unit_sum,
)

SHAPE = (6, 5)  # channels, positions


def gen(seed=0):
    return Generator().manual_seed(seed)


def rows(count, seed=0, scale=1.0):
    return scale * torch.randn(count, *SHAPE, generator=gen(seed))


def spike(channel, position, scale=1.0):
    """Return one record with a single entry: the worst case of the moments."""
    record = torch.zeros(1, *SHAPE)
    record[0, channel, position] = scale
    return record


RECORDS = {
    "random": rows(1, seed=7),
    "large": rows(1, seed=8, scale=1e4),
    "small": rows(1, seed=9, scale=1e-4),
    "one entry": spike(0, 0, 50.0),
    "rank one": torch.ones(1, *SHAPE),
    "zero": torch.zeros(1, *SHAPE),
}


def largest_moves(mean=None):
    """Return how far adding (so also removing) any of `RECORDS` moves each of the three sums, at most."""
    base = rows(20, seed=1)
    mean = torch.linspace(-0.3, 0.3, 30) if mean is None else mean
    moves = [0.0, 0.0, 0.0]
    for record in RECORDS.values():
        more = torch.cat([base, record])
        pairs = [
            (unit_sum(more), unit_sum(base)),
            *zip(second_moments(more, mean), second_moments(base, mean), strict=True),
        ]
        moves = [max(move, float((after - before).norm())) for move, (after, before) in zip(moves, pairs, strict=True)]
    return moves


def within_the_stated_sensitivity(moves):
    return all(move <= fact.sensitivity * (1 + 1e-5) for move, fact in zip(moves, statistics(15.0, 20.0), strict=True))


@pytest.mark.parametrize("mean", [None, torch.zeros(30), torch.full((30,), 5.0)])
def test_one_record_moves_no_sum_further_than_stated(mean):
    assert within_the_stated_sensitivity(largest_moves(mean))


def test_the_stated_sensitivity_is_reached():
    # so that it is no larger than it must be: without centring, a record of one entry moves each sum by exactly 1
    assert largest_moves(torch.zeros(30)) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def no_norm(rows):
    return rows


def test_sums_of_features_that_are_not_normalised_are_caught(monkeypatch):
    monkeypatch.setattr(preparation, "unit", no_norm)
    assert not within_the_stated_sensitivity(largest_moves())


def test_moments_normalised_before_and_not_after_centring_are_caught(monkeypatch):
    def before_only(units, mean):
        for part in torch.split(units, preparation.CHUNK):
            yield (preparation.unit(part.flatten(1)) - mean).view(part.shape)

    monkeypatch.setattr(preparation, "centred", before_only)
    assert not within_the_stated_sensitivity(largest_moves())


def test_noise_on_a_symmetric_matrix_is_that_of_every_entry_and_halves_off_the_diagonal():
    count, scale = 4000, 3.0
    draws = torch.stack([symmetric(noisy(torch.zeros(3, 3), scale, gen(seed))) for seed in range(count)])
    assert torch.equal(draws, draws.transpose(1, 2))
    variance = draws.square().mean(dim=0)
    expected = scale**2 * (torch.ones(3, 3) + torch.eye(3)) / 2
    assert torch.allclose(variance, expected, rtol=5 * math.sqrt(2 / count))


def test_the_upper_triangle_has_sensitivity_one_too():
    # the other way to release a symmetric matrix, with more noise off the diagonal: stated in the module
    upper = torch.triu(torch.ones(SHAPE[0], SHAPE[0])).bool()
    moves = [second_moments(record, torch.zeros(30))[0][upper].norm().item() for record in (rows(1), *RECORDS.values())]
    assert max(moves) == pytest.approx(1.0, abs=1e-5)


def options(**changes):
    return {"mean_noise": 0.5, "moment_noise": 0.5, "generator": gen(), **changes}


def test_facts_of_what_was_released_name_scale_and_sensitivity():
    made = prepare(rows(40), 40, **options(mean_noise=2.0, moment_noise=3.0))
    assert made.statistics == statistics(2.0, 3.0)
    assert [tuple(fact) for fact in made.statistics] == [
        ("feature mean", "gaussian", 2.0, 1.0),
        ("channel moments", "gaussian", 3.0, 1.0),
        ("position moments", "gaussian", 3.0, 1.0),
    ]


def test_every_statistic_gets_noise_of_its_own_and_of_its_scale():
    base, count = rows(40), 40
    quiet = prepare(base, count, **options(mean_noise=1e-9, moment_noise=1e-9))
    loud = [prepare(base, count, **options(mean_noise=4.0, moment_noise=1e-9, generator=gen(s))) for s in range(60)]
    noise = torch.stack([made.mean - quiet.mean for made in loud]) * count
    assert noise.std().item() == pytest.approx(4.0, rel=0.1)
    one = prepare(base, count, **options(mean_noise=1e-9, moment_noise=4.0))
    assert torch.allclose(one.mean, quiet.mean, atol=1e-6)
    for changed, exact in zip(one[1:3], quiet[1:3], strict=True):
        assert not torch.allclose(changed, exact, atol=1e-3)


def moment_noise_of(made, exact, count, ridge):
    """Return what was added to each second moment, read back from the inverses: the noise, made symmetric."""
    inverses = [torch.linalg.inv(matrix.double()) for matrix in (made.channels, made.positions)]
    found = [
        count * (inverse - ridge * torch.eye(len(inverse), dtype=torch.float64)) - moment
        for inverse, moment in zip(inverses, exact, strict=True)
    ]
    diagonals = [noise.diagonal() for noise in found]
    others = [noise[torch.ones_like(noise).triu(1).bool()] for noise in found]
    return [(one, 2**0.5 * other) for one, other in zip(diagonals, others, strict=True)]


def stated_and_found(count=4000, mean_noise=20.0, moment_noise=30.0, seeds=80):
    """Return the standard deviation of the noise on mean and moments that is stated, and what is measured."""
    base, ridge = rows(count), 0.01
    asked = {"mean_noise": mean_noise, "moment_noise": moment_noise, "power": 1.0, "ridge": ridge}
    made = [prepare(base, count, **options(generator=gen(seed), **asked)) for seed in range(seeds)]
    on_mean = torch.stack([count * one.mean.double() - unit_sum(base) for one in made])
    noises = [moment_noise_of(one, second_moments(base, one.mean), count, ridge) for one in made]
    parts = [torch.cat([one[which][place] for one in noises]) for which in (0, 1) for place in (0, 1)]
    scales = [fact.scale for fact in made[0].statistics]
    return (scales[0], scales[1], scales[1], scales[2], scales[2]), [float(part.std()) for part in (on_mean, *parts)]


def test_mean_and_both_second_moments_have_noise_of_just_the_stated_deviation():
    stated, found = stated_and_found()
    assert found == pytest.approx(stated, rel=0.12)  # 400 values at least, so one standard error is 3.5 %


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("which", ["mean", "channels", "positions"])
def test_wrong_noise_on_one_of_them_is_found(monkeypatch, which, factor):
    original, shapes = preparation.noisy, {"mean": (30,), "channels": (6, 6), "positions": (5, 5)}

    def planted(total, scale, generator):
        wrong = tuple(total.shape) == shapes[which]
        return original(total, scale * (factor if wrong else 1.0), generator)

    monkeypatch.setattr(preparation, "noisy", planted)
    stated, found = stated_and_found()
    places = {"mean": (0,), "channels": (1, 2), "positions": (3, 4)}[which]
    for place, (scale, value) in enumerate(zip(stated, found, strict=True)):
        assert value == pytest.approx(scale * (factor if place in places else 1.0), rel=0.12)


def test_the_same_generator_gives_the_same_preparation_and_inputs_are_left_alone():
    base = rows(40)
    before, state = base.clone(), torch.get_rng_state()
    first, second = (prepare(base, 40, **options()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))
    assert torch.equal(base, before)
    assert torch.equal(torch.get_rng_state(), state)
    other = prepare(base, 40, **options(generator=gen(1)))
    assert not torch.equal(first.mean, other.mean)


def test_the_divisor_is_the_public_number_not_the_number_of_rows():
    base = rows(40)
    made, twice = (prepare(base, public, **options()) for public in (40, 80))
    assert torch.allclose(made.mean, 2 * twice.mean)


def test_prepared_features_by_hand():
    made = preparation.Preparation(
        mean=torch.tensor([0.6, 0.0]), channels=torch.eye(1), positions=torch.tensor([[2.0, 0.0], [0.0, 1.0]]),
        constant=1.0, statistics=(),
    )  # fmt: skip
    # (0.6, 0.8) - (0.6, 0) -> (0, 1); (0, 1) stays; with the constant (0, 1, 1) / sqrt 2
    # (1, 0) - (0.6, 0) -> (1, 0) after the norm -> (2, 0) -> (1, 0); with the constant (1, 0, 1) / sqrt 2
    found = apply(made, torch.tensor([[[3.0, 4.0]], [[9.0, 0.0]]]))
    assert torch.allclose(found, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]) / math.sqrt(2))


def test_prepared_features_have_norm_one_and_do_not_meet(monkeypatch):
    made = prepare(rows(40), 40, **options())
    others = rows(7, seed=3)
    found = apply(made, others)
    assert torch.allclose(found.norm(dim=1), torch.ones(7))
    assert torch.allclose(found[2:3], apply(made, others[2:3]), atol=1e-6)
    monkeypatch.setattr(preparation, "CHUNK", 3)
    assert torch.allclose(found, apply(made, others), atol=1e-6)


def test_without_noise_whitening_of_power_one_half_equalises_the_channels():
    units = rows(4000) * torch.tensor([1.0, 2, 4, 8, 16, 32]).view(-1, 1)
    made = prepare(units, 4000, **options(mean_noise=1e-6, moment_noise=1e-6, power=0.5, ridge=1e-9, constant=0.0))
    energy = apply(made, units)[:, :-1].view(-1, *SHAPE).square().sum(dim=(0, 2))
    assert energy.max() / energy.min() < 1.5  # 1,024 before


def test_negative_eigenvalues_count_as_zero():
    found = inverse_power(torch.diag(torch.tensor([-5.0, 0.0])), power=0.25, ridge=1 / 16)
    assert torch.allclose(found, 2 * torch.eye(2))


def test_test_images_change_nothing_of_what_is_released_or_trained_on():
    labels = torch.zeros(40, dtype=torch.int64)
    images = Images("noise", rows(40), labels, rows(9, seed=5), labels[:9], 1, "8:2", "0" * 64, None)
    spoilt = images._replace(test_images=torch.full((9, *SHAPE), torch.nan))
    (prepared, made), (others, same) = (prepare_images(part, 40, **options()) for part in (images, spoilt))
    assert all(torch.equal(a, b) for a, b in zip(made[:3], same[:3], strict=True))
    assert torch.equal(prepared.train_images, others.train_images)
    assert others.test_images.isnan().any()
    assert prepared.train_images.shape == (40, 31)
    assert torch.equal(prepared.test_images, apply(made, images.test_images))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_noise": 0.0}, "mean_noise=0.0 must be a finite number above 0"),
        ({"moment_noise": -1.0}, "moment_noise=-1.0 must be"),
        ({"ridge": 0.0}, "ridge=0.0 must be"),
        ({"power": -0.1}, "power=-0.1 must be"),
    ],
)
def test_noise_cannot_be_switched_off(changes, message):
    with pytest.raises(ValueError, match=message):
        prepare(rows(5), 5, **options(**changes))
    with pytest.raises(ValueError, match="num_records=0"):
        prepare(rows(5), 0, **options())
