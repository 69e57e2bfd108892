"""Reduced precision reaches the network's passes only; the clip stays exact in float32."""

import pytest
import torch
from torch import nn

from cnndp.equations.losses import LOSSES, cross_entropy
from cnndp.training.clipping import example_clipped_sum
from cnndp.training.config import Config
from cnndp.training.engine import weighted_sum
from cnndp.training.gradients import PRECISIONS, batch_gradient, flatten, network_precision, per_example_gradients

CPU = torch.device("cpu")
ORDERS = pytest.mark.parametrize("order", [1, 2])
ENGINES = pytest.mark.parametrize("engine", ["fast", "general"])


@pytest.fixture
def single(network, batch):
    """Return the MNIST network in float32 with its weights, and a batch."""
    model = network()[0].float()
    return model, flatten(model), batch[0].float(), batch[1]


def tf32():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("value", ["bf32", "float16", ""])
def test_an_unknown_precision_is_refused_with_the_known_ones(single, value):
    message = rf"^precision='{value}' is not known; .*Known: float32, tf32, bf16$"
    with pytest.raises(ValueError, match=message), network_precision(value, CPU):
        pass
    with pytest.raises(ValueError, match=message):
        example_clipped_sum(*single, cross_entropy, clip_norm=1.0, order=2, precision=value)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_on_a_cpu_float32_and_tf32_change_nothing(single, precision):
    model, _, inputs, _ = single
    before, expected = tf32(), model(inputs)
    with network_precision(precision, CPU):
        assert tf32() == before
        assert not torch.is_autocast_enabled("cpu")
        assert torch.equal(model(inputs), expected)
    assert tf32() == before


@pytest.mark.parametrize("broken", [False, True])
def test_bf16_holds_inside_the_block_and_ends_with_it(broken):
    layer, inputs = nn.Linear(4, 3), torch.ones(2, 4)
    try:
        with network_precision("bf16", CPU):
            assert layer(inputs).dtype == torch.bfloat16
            if broken:
                raise InterruptedError
    except InterruptedError:
        pass
    assert layer(inputs).dtype == torch.float32


def test_bf16_sees_weights_that_changed_in_place(single):
    model, _, inputs, _ = single
    with network_precision("bf16", CPU), torch.no_grad():
        before = model(inputs)
        for parameter in model.parameters():
            parameter *= 2
        assert not torch.equal(model(inputs), before)


@ENGINES
@ORDERS
@pytest.mark.parametrize("clip_norm", [1e-3, 1.0])
def test_under_bf16_the_clip_is_exact_in_float32(single, engine, order, clip_norm):
    model, weights, inputs, labels = single
    norms = []
    for i in range(0, 24, 3):
        one = inputs[i : i + 1], labels[i : i + 1]
        options = {"clip_norm": clip_norm, "order": order, "engine": engine, "precision": "bf16"}
        found = example_clipped_sum(model, weights, *one, cross_entropy, **options)
        assert found.total.dtype == found.losses.dtype == torch.float32
        norms.append(torch.linalg.vector_norm(found.total.double(), ord=order).item())
    assert max(norms) <= clip_norm * (1 + 1e-5)
    assert max(norms) >= clip_norm * (1 - 1e-3)


@ENGINES
@ORDERS
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_bf16_sum_is_near_the_float32_one_but_not_equal(single, engine, order, loss):
    def clipped(precision):
        options = {"clip_norm": 1.0, "order": order, "engine": engine, "precision": precision}
        return example_clipped_sum(*single, loss, **options)

    exact, near = clipped("float32"), clipped("bf16")
    assert 1e-4 < (near.total - exact.total).norm() / exact.total.norm() < 0.1
    torch.testing.assert_close(near.losses, exact.losses, rtol=0.02, atol=0.02)
    assert not torch.equal(near.losses, exact.losses)
    assert torch.equal(clipped("tf32").total, exact.total)


@pytest.mark.parametrize("function", [batch_gradient, per_example_gradients])
def test_gradients_are_float32_whatever_the_passes_compute_in(single, function):
    exact = function(*single, cross_entropy)[1]
    for precision in PRECISIONS:
        found = function(*single, cross_entropy, precision=precision)[1]
        assert found.dtype == torch.float32
        assert torch.equal(found, exact) == (precision != "bf16")


def test_only_a_reduced_precision_changes_the_digest():
    base = Config(method="cnn", reading="reconstructed", dataset="digits", num_steps=10)
    assert base.replace(precision="float32").digest == base.digest
    assert len({base.replace(precision=precision).digest for precision in PRECISIONS}) == len(PRECISIONS)
    with pytest.raises(ValueError, match=r"^precision='bf61' is not known; did you mean 'bf16'\?"):
        base.replace(precision="bf61")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_on_a_gpu_tf32_is_allowed_inside_the_block_only():
    before = tf32()
    with pytest.raises(InterruptedError), network_precision("tf32", torch.device("cuda")):  # noqa: PT012
        assert tf32() == (True, True)
        raise InterruptedError
    assert tf32() == before


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_are_computed_in_float32_whatever_the_network_ran_in(loss):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    inputs, labels = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 10
    for losses in (
        batch_gradient(model, flatten(model), inputs, labels, loss, precision="bf16")[0],
        per_example_gradients(model, flatten(model), inputs, labels, loss, precision="bf16")[0],
        weighted_sum(model, flatten(model), inputs, labels, loss, order=2, factors=torch.ones_like, precision="bf16")[
            0
        ],
    ):
        assert losses.dtype == torch.float32
        assert not torch.equal(losses, losses.bfloat16().float())
