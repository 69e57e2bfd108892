"""One seed, three streams: what shares a seed starts alike and meets the same batches."""

import itertools

import pytest
import torch

from cnndp import batches
from cnndp.presets import preset
from cnndp.randomness import generator_for, streams
from cnndp.training import train


def drawn(generator):
    return torch.rand(50, generator=generator)


def test_streams_of_all_seeds_and_uses_differ():
    draws = [drawn(stream) for seed in range(20) for stream in streams(seed)]
    assert not any(torch.equal(one, two) for one, two in itertools.combinations(draws, 2))


def test_the_same_seed_gives_the_same_streams():
    for one, two in zip(streams(3), streams(3), strict=True):
        assert torch.equal(drawn(one), drawn(two))


def test_a_stream_does_not_notice_what_another_one_gave():
    used, fresh = streams(1), streams(1)
    drawn(used.weights), drawn(used.noise)
    assert torch.equal(drawn(used.batches), drawn(fresh.batches))


def test_the_seed_alone_decides_a_stream():
    torch.rand(3)
    assert generator_for(0, "noise").initial_seed() == generator_for(0, "noise").initial_seed()
    assert generator_for(1, "1/noise").initial_seed() != generator_for(11, "noise").initial_seed()


@pytest.mark.parametrize("seed", [-1, 1.0, True])
def test_a_seed_that_is_no_whole_number_from_0_is_refused(seed):
    with pytest.raises(ValueError, match=rf"seed={seed} must be a whole number; the smallest allowed is 0"):
        streams(seed)


def test_methods_that_share_a_seed_start_alike_and_meet_the_same_batches(digits, monkeypatch):
    seen, original = [], batches.reshuffled

    def recorded(*arguments):
        seen.append([])
        for batch in original(*arguments):
            seen[-1].append(batch)
            yield batch

    monkeypatch.setattr(batches, "reshuffled", recorded)
    few = digits._replace(
        train_images=digits.train_images[:40],
        train_labels=digits.train_labels[:40],
        test_images=digits.test_images[:20],
        test_labels=digits.test_labels[:20],
    )
    before = torch.get_rng_state()
    outcomes = [
        train(preset(method, "reconstructed", "digits", 4, batch_size=16, seed=seed), few)
        for method, seed in (("cnn", 0), ("cnn_dp_gan_polyak", 0), ("cnn", 1))
    ]
    assert torch.equal(torch.get_rng_state(), before)
    first, second, other = (torch.stack(batches) for batches in seen)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    losses = [outcome.trace["loss"][0] for outcome in outcomes]
    assert losses[0] == losses[1] != losses[2]  # same weights, same first batch
