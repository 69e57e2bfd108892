"""One seed, three streams: what shares a seed starts alike and meets the same batches."""

import itertools

import pytest
import torch

from cnndp.data.datasets import Images
from cnndp.papers.presets import preset
from cnndp.training import batches
from cnndp.training.gradients import flatten
from cnndp.training.loop import train
from cnndp.training.randomness import generator_for, streams
from cnndp.training.wiring import prepared


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


# Secret seeds


def test_a_secret_seed_keeps_the_weights_and_nothing_else():
    known, first, second = streams(3), streams(3, secret=True), streams(3, secret=True)
    assert torch.equal(first.weights.get_state(), known.weights.get_state())
    for use in ("batches", "noise"):
        states = [getattr(one, use).get_state() for one in (known, first, second)]
        assert not any(torch.equal(one, other) for one, other in itertools.combinations(states, 2)), use


def private(**changes):
    values = {"batch_size": 20, "target_epsilon": 0.5, "num_steps": 3, **changes}
    return preset("dp_sgd", "private", "digits", **values)


def test_two_runs_of_a_secret_seed_share_no_noise_and_start_alike(few):
    first, second = (train(private(secret_seed=True), few) for _ in range(2))
    known = train(private(), few)
    assert first.history["test_loss"][0] == second.history["test_loss"][0] == known.history["test_loss"][0]
    assert len({tuple(one.weights[:3].tolist()) for one in (first, second, known)}) == 3
    assert first.releases == known.releases  # the guarantee is the same


def test_two_runs_of_one_known_seed_share_their_noise(few):
    """Why such runs must not both be released: the noise cancels in their difference."""
    other = few._replace(train_labels=9 - few.train_labels)
    config = private(num_steps=1)
    both = train(config, few), train(config, other)
    moves = [config.batch_size * (flatten(one.model) - one.weights) / 0.3 for one in both]
    assert (moves[0] - moves[1]).norm() < 0.2 * moves[0].norm()


def test_features_of_a_secret_seed_have_secret_noise():
    units = torch.rand(40, 6, 5)
    images = Images("digits", units, torch.zeros(40), units, torch.zeros(40), 10, "8:2", "", None)
    values = {"features": "scattering", "model": "scattering_linear", "mean_noise": 5.0, "moment_noise": 5.0}
    config = private(**values, secret_seed=True)
    first, second = (prepared(config, images)[0].train_images for _ in range(2))
    assert not torch.equal(first, second)
    known = config.replace(secret_seed=False)
    assert torch.equal(prepared(known, images)[0].train_images, prepared(known, images)[0].train_images)
