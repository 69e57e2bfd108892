"""Eq. (1), (2) and (7), and the losses used for training, against values by hand and numpy twins."""

import numpy as np
import pytest
import torch
import twins
from torch.func import vmap

from cnndp.equations import losses

LOGITS = torch.randn(40, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(40) % 10


def test_eq1_by_hand_on_two_weights():
    weights = torch.tensor([[3.0], [-4.0]])  # any shape
    assert losses.l2_term(weights, 0.5, 5).item() == pytest.approx(0.5 / (2 * 5) * (9 + 16))


def test_eq2_is_the_loss_plus_eq1():
    regularised = losses.regularised_loss(torch.tensor(2.0), torch.tensor([3.0, 4.0]), 0.5, 250)
    assert regularised.item() == pytest.approx(2.0 + 0.5 / 500 * 25)


def test_l2_factor_is_the_gradient_of_eq1():
    weights = torch.tensor([3.0, -4.0], dtype=torch.float64, requires_grad=True)
    losses.l2_term(weights, 0.7, 9).backward()
    torch.testing.assert_close(weights.grad, losses.l2_factor(0.7, 9) * weights.detach())


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [((-0.5, 250), "l2_coefficient", "-0.5"), ((float("nan"), 250), "l2_coefficient", "nan")]
    + [((0.5, n), "num_examples", str(n)) for n in (0, -1, 2.5)],
)
def test_a_bad_l2_setting_is_refused_by_name_and_value(arguments, name, value):
    with pytest.raises(ValueError, match=rf"{name}={value} must be .*(pass|allowed)"):
        losses.l2_term(torch.ones(2), *arguments)


@pytest.mark.parametrize("name", ["cross_entropy", "brier"])
def test_losses_equal_their_numpy_twins(name):
    expected = getattr(twins, name)(LOGITS.numpy(), LABELS.numpy())
    found = losses.LOSSES[name](LOGITS, LABELS)
    assert found.shape == (40,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e30])
def test_brier_lies_in_the_unit_interval_whatever_the_logits(scale):
    values = losses.brier((scale * LOGITS).float(), LABELS)
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-6


def test_brier_is_0_when_sure_and_right_and_1_when_sure_and_wrong():
    logits = torch.tensor([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]])
    torch.testing.assert_close(losses.brier(logits, torch.tensor([0, 0])), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("name", ["cross_entropy", "brier"])
def test_a_loss_of_an_example_does_not_depend_on_its_batch(name):
    loss = losses.LOSSES[name]
    one_by_one = vmap(lambda z, y: loss(z[None], y[None])[0])(LOGITS, LABELS)
    torch.testing.assert_close(loss(LOGITS, LABELS), one_by_one)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("shift", [0, 1])  # the labels that the logits favour, or wrong ones
def test_printed_eq7_vanishes_on_softmax_and_one_hot_with_its_gradient(scale, shift):
    logits = (scale * LOGITS).requires_grad_(True)
    targets = losses.one_hot((LABELS + shift) % 10, LOGITS)
    value = losses.printed_eq7(logits.softmax(dim=1), targets)
    value.backward()
    assert value.item() < 1e-24
    assert logits.grad.abs().max() < 1e-12
    assert losses.brier(logits.detach(), (LABELS + shift) % 10).mean() > 0.1  # while the predictions are bad


def test_printed_eq7_sums_before_it_squares():
    predictions, targets = torch.tensor([0.5, 2.0, 0.0]), torch.tensor([1.0, 0.0, 1.0])
    assert losses.printed_eq7(predictions, targets).item() == pytest.approx((0.5 - 2.0 + 1.0) ** 2 / (2 * 3))


def test_printed_eq7_refuses_labels_that_are_not_one_hot():
    with pytest.raises(ValueError, match=r"\(40, 10\).*\(40,\).*one-hot"):
        losses.printed_eq7(LOGITS, LABELS)


def test_one_hot_rows_have_one_1_at_the_label():
    found = losses.one_hot(LABELS, LOGITS.float())
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), twins.one_hot(LABELS.numpy(), 10))
