"""Which examples each step sees: each once an epoch, never fewer than B."""

import pytest
import torch

from cnndp.batches import reshuffled, steps_per_epoch


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
