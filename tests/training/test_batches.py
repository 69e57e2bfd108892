"""Which examples each step sees: each once an epoch, never fewer than B."""

import pytest
import torch

from cnndp.training.batches import poisson, reshuffled, steps_per_epoch


def drawn(num_train, batch_size, num_steps, seed=0):
    return list(reshuffled(num_train, batch_size, num_steps, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(("num_train", "batch_size"), [(20, 5), (23, 5), (5, 5), (7, 4), (6, 1)])
def test_an_epoch_holds_each_example_at_most_once_and_leaves_less_than_a_batch(num_train, batch_size):
    per_epoch = steps_per_epoch(num_train, batch_size)
    batches = drawn(num_train, batch_size, 3 * per_epoch)
    for epoch in range(3):
        seen = torch.cat(batches[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert len(seen.unique()) == len(seen) == per_epoch * batch_size > num_train - batch_size
        assert 0 <= seen.min() <= seen.max() < num_train


@pytest.mark.parametrize("num_steps", [1, 3, 4, 5, 9])
def test_there_are_as_many_batches_as_steps_all_of_one_size(num_steps):
    assert [len(batch) for batch in drawn(23, 5, num_steps)] == [5] * num_steps


def test_epochs_are_shuffled_anew():
    batches = drawn(50, 50, 3)
    assert not torch.equal(batches[0], torch.arange(50))
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[1], batches[2])


def test_the_generator_decides_the_batches_and_a_longer_run_starts_like_a_shorter_one():
    before = torch.get_rng_state()
    assert torch.equal(torch.stack(drawn(23, 5, 9)), torch.stack(drawn(23, 5, 9)))
    assert torch.equal(torch.stack(drawn(23, 5, 9)[:6]), torch.stack(drawn(23, 5, 6)))
    assert not torch.equal(torch.stack(drawn(23, 5, 9)), torch.stack(drawn(23, 5, 9, seed=1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers_and_a_remedy():
    with pytest.raises(ValueError, match=r"batch_size=250 .* 23 training examples; pass a batch_size of at most 23"):
        drawn(23, 250, 1)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("value", [0, -1, 2.0])
def test_sizes_are_whole_numbers_from_1(position, value):
    sizes: list[float] = [23, 5, 2]
    sizes[position] = value
    with pytest.raises(ValueError, match=rf"{('num_train', 'batch_size', 'num_steps')[position]}={value} must be"):
        drawn(*sizes)


# Poisson samples


def poisson_sample(num_train, sampling_prob, num_steps, seed=0):
    return list(poisson(num_train, sampling_prob, num_steps, torch.Generator().manual_seed(seed)))


def test_each_example_is_in_a_batch_with_chance_q_whatever_the_others_and_the_other_steps():
    chosen = torch.zeros(4000, 50)
    for step, batch in enumerate(poisson_sample(50, 0.3, 4000)):
        chosen[step, batch] = 1
    # Means of 4,000 draws have a standard deviation of 0.0072; correlations of two of 0.0158.
    assert (chosen.mean(dim=0) - 0.3).abs().max() < 5 * 0.0072
    between_examples = torch.corrcoef(chosen.T) - torch.eye(50)
    between_steps = torch.corrcoef(torch.cat([chosen[:-1].T, chosen[1:].T]))[:50, 50:]
    assert between_examples.abs().max() < 5 * 0.0158
    assert between_steps.abs().max() < 5 * 0.0158


def test_the_size_of_a_batch_is_binomial_and_not_fixed():
    sizes = torch.tensor([len(batch) for batch in poisson_sample(1000, 0.05, 2000)], dtype=torch.float64)
    assert sizes.mean() == pytest.approx(50, abs=5 * (47.5 / 2000) ** 0.5)
    assert sizes.var() == pytest.approx(1000 * 0.05 * 0.95, rel=0.15)


def test_a_batch_can_be_empty_or_whole():
    assert {len(batch) for batch in poisson_sample(3, 0.01, 50)} >= {0}
    assert all(torch.equal(batch, torch.arange(5)) for batch in poisson_sample(5, 1.0, 3))


def test_a_tiny_q_is_not_rounded_to_that_of_a_short_random_number():
    """float32 uniforms are multiples of 2**-24: below that chance they would include just the zeros, 2**-24 of all."""
    assert sum(len(batch) for batch in poisson_sample(1_000_000, 2.0**-27, 400)) < 15  # expected: 3; rounded up: 24


def test_the_generator_decides_poisson_batches_and_a_longer_run_starts_like_a_shorter_one():
    before = torch.get_rng_state()
    long, again, other = poisson_sample(40, 0.5, 6), poisson_sample(40, 0.5, 4), poisson_sample(40, 0.5, 4, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(long, again, strict=False))
    assert not all(torch.equal(one, two) for one, two in zip(again, other, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("q", "message"), [(1.5, "pass at most 1"), (0.0, "above 0"), (float("nan"), "above 0")])
def test_what_is_no_chance_is_refused(q, message):
    with pytest.raises(ValueError, match=message):
        poisson_sample(10, q, 1)
