"""Per-example gradients of any network without batch statistics agree with a loop over batches of one."""

import copy

import pytest
import torch
import twins
from torch import nn

from cnndp.equations.losses import LOSSES
from cnndp.training import gradients
from cnndp.training.clipping import example_clipped_sum
from cnndp.training.gradients import (
    batch_gradient,
    flatten,
    per_example_gradients,
    predict,
    refuse_batch_statistics,
    unflatten,
)


class Residual(nn.Module):
    """A network of a reader's own: a residual connection, GroupNorm, a bare parameter and a shared layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 5, stride=4)
        self.norm = nn.GroupNorm(2, 4)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.last = nn.Linear(4, 10)
        self.register_buffer("shift", torch.tensor(0.1))

    def forward(self, x):
        x = self.norm(self.first(x)) + self.shift
        x = x + self.gain * torch.relu(self.again(torch.relu(self.again(x))))
        return self.last(x.mean(dim=(2, 3)))


@pytest.fixture
def residual():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Residual().double()
    return model, flatten(model)


@pytest.fixture(params=["tanh", "relu", "residual"])
def subject(request, network, residual):
    return residual if request.param == "residual" else network(request.param)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_per_example_gradients_agree_with_a_loop_of_batches_of_one(subject, batch, loss):
    model, weights = subject
    losses, gradients = per_example_gradients(model, weights, *batch, loss)
    expected_losses, expected = twins.gradients_one_by_one(model, *batch, loss)
    assert gradients.shape == (24, len(weights))
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_batch_gradient_is_the_sum_of_the_per_example_gradients(subject, batch, loss):
    model, weights = subject
    losses, total = batch_gradient(model, weights, *batch, loss)
    expected_losses, rows = per_example_gradients(model, weights, *batch, loss)
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(total, rows.sum(dim=0))


def test_gradients_are_those_at_the_given_weights_not_at_the_models_own(network, batch):
    (model, weights), (other, other_weights) = network(seed=0), network(seed=1)
    found = batch_gradient(model, other_weights, *batch, LOSSES["brier"])[1]
    torch.testing.assert_close(found, batch_gradient(other, other_weights, *batch, LOSSES["brier"])[1])
    assert not torch.allclose(found, batch_gradient(model, weights, *batch, LOSSES["brier"])[1])


def test_unflatten_undoes_flatten_with_names_and_shapes(subject):
    model, weights = subject
    parts = unflatten(model, weights)
    assert list(parts) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        assert torch.equal(parts[name], parameter)
    assert torch.equal(torch.cat([part.flatten() for part in parts.values()]), weights)
    assert not weights.requires_grad
    weights.zero_()
    assert flatten(model).any()  # a copy, not the parameters themselves


def test_unflatten_refuses_a_vector_of_another_length(network):
    model, weights = network()
    with pytest.raises(RuntimeError, match="split"):
        unflatten(model, weights[1:])


def test_predict_at_the_models_own_weights_is_the_model(subject, batch):
    model, weights = subject
    torch.testing.assert_close(predict(model, weights, batch[0]), model(batch[0]))


@pytest.mark.parametrize("size", [1, 7, 24, 100])
def test_a_batch_in_parts_gives_the_losses_and_the_sum_of_the_whole(network, batch, monkeypatch, size):
    model, weights = network()
    losses, total = batch_gradient(model, weights, *batch, LOSSES["cross_entropy"])
    monkeypatch.setattr(gradients, "PART", size)
    in_parts = batch_gradient(model, weights, *batch, LOSSES["cross_entropy"])
    torch.testing.assert_close(in_parts, (losses, total))


def test_an_empty_batch_has_no_losses_and_a_gradient_of_zeros(network, batch):
    model, weights = network()
    losses, total = batch_gradient(model, weights, batch[0][:0], batch[1][:0], LOSSES["cross_entropy"])
    assert len(losses) == 0
    assert torch.equal(total, torch.zeros_like(weights))


@pytest.mark.parametrize("function", [batch_gradient, per_example_gradients])
def test_model_weights_and_inputs_are_untouched(subject, batch, function):
    model, weights = subject
    kept = [weights.clone(), *(tensor.clone() for tensor in batch)]
    state = copy.deepcopy(model.state_dict())
    before = torch.get_rng_state()
    losses, gradient = function(model, weights, *batch, LOSSES["cross_entropy"])
    assert all(torch.equal(one, two) for one, two in zip(kept, [weights, *batch], strict=True))
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(tensor.requires_grad for tensor in (weights, losses, gradient))
    assert torch.equal(torch.get_rng_state(), before)


MIXING = {
    "norm": nn.Sequential(nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4)),
    "2d": nn.Sequential(nn.Conv2d(1, 4, 5), nn.Sequential(nn.ReLU(), nn.Sequential(nn.BatchNorm2d(4)))),
    "1d": nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10)),
    "untracked": nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)),
    "sync": nn.Sequential(nn.SyncBatchNorm(1)),
    "instance": nn.Sequential(nn.Conv2d(1, 4, 5), nn.InstanceNorm2d(4, track_running_stats=True)),
}
WHERE = {
    "norm": "'1' (BatchNorm2d)",
    "2d": "'1.1.0' (BatchNorm2d)",
    "1d": "'2' (BatchNorm1d)",
    "untracked": "'0' (BatchNorm2d)",
    "sync": "'0' (SyncBatchNorm)",
    "instance": "'1' (InstanceNorm2d)",
}


@pytest.mark.parametrize("name", MIXING)
def test_layers_that_mix_examples_are_refused_by_name_with_a_remedy(name, batch):
    model = MIXING[name].double()
    weights = flatten(model)
    for call in (
        lambda: refuse_batch_statistics(model),
        lambda: per_example_gradients(model, weights, *batch, LOSSES["brier"]),
        lambda: example_clipped_sum(model, weights, *batch, LOSSES["brier"], clip_norm=1.0, order=2),
    ):
        with pytest.raises(ValueError, match=r"replace it by nn\.GroupNorm, or remove it") as refusal:
            call()
        assert WHERE[name] in str(refusal.value)


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(4), nn.LocalResponseNorm(2)])
def test_layers_that_see_one_example_are_accepted(layer):
    refuse_batch_statistics(nn.Sequential(layer))
