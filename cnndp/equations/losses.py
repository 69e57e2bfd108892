"""Losses: Eq. (1) and (2), the L2-regularised loss, and Eq. (7), as printed and as it must have been meant."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnndp.checks import at_least, non_negative


def l2_term(weights: Tensor, l2_coefficient: float, num_examples: int) -> Tensor:
    """Return the regularisation term added to the loss. Eq. (1): L2 = lambda / (2 n) * sum of w^2.

    Args:
        weights: w, any shape; all parameters, biases included.
        l2_coefficient: lambda, at least 0 (Table I: 0.5).
        num_examples: n, the number of examples lambda is spread over.

    Returns:
        A scalar tensor.

    >>> l2_term(torch.tensor([3.0, 4.0]), 0.5, 5)  # 0.5 / 10 * 25
    tensor(1.2500)
    """
    return l2_factor(l2_coefficient, num_examples) / 2 * weights.square().sum()


def l2_factor(l2_coefficient: float, num_examples: int) -> float:
    """Return lambda / n, the factor of w in the gradient of Eq. (1).

    >>> l2_factor(0.5, 250)
    0.002
    """
    non_negative(l2_coefficient=l2_coefficient)
    at_least(1, num_examples=num_examples)
    return l2_coefficient / num_examples


def regularised_loss(loss: Tensor, weights: Tensor, l2_coefficient: float, num_examples: int) -> Tensor:
    """Return the loss with its L2 term. Eq. (2): C = C_0 + lambda / (2 n) * sum of w^2.

    Args:
        loss: C_0, the original loss, scalar.
        weights, l2_coefficient, num_examples: as in `l2_term`.
    """
    return loss + l2_term(weights, l2_coefficient, num_examples)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each example, in nats.

    Args:
        logits: `[B, K]`.
        labels: `[B]`, whole numbers in 0..K-1.

    Returns:
        `[B]`, at least 0.
    """
    return F.cross_entropy(logits, labels, reduction="none")


def brier(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Brier loss of each example, the repair of Eq. (7): l_i = 1/2 ||y_i - softmax(z_i)||^2.

    The square is taken per example before the sum, so that residuals cannot cancel.

    Args:
        logits: z, `[B, K]`.
        labels: `[B]`; y_i is the one-hot vector of label i.

    Guarantees:
        Every value lies in [0, 1], so releasing the sum over a batch has sensitivity 1 without any clip.

    >>> brier(torch.zeros(1, 2), torch.tensor([0]))  # 1/2 * (1/4 + 1/4)
    tensor([0.2500])
    """
    return (one_hot(labels, logits) - logits.softmax(dim=-1)).square().sum(dim=-1) / 2


def printed_eq7(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the loss exactly as printed. Eq. (7): l = 1 / (2 m) * (sum of (y_i - h_i))^2.

    A teaching case, not for training: the residuals are summed *before* the square, so they cancel. With
    softmax predictions and one-hot targets every row of residuals sums to 0, and the loss is 0 whatever the
    network says.

    Args:
        predictions: h, `[m]` or `[m, K]`.
        targets: y, of the same shape.

    >>> printed_eq7(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))  # both wrong, loss 0
    tensor(0.)
    """
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions of shape {tuple(predictions.shape)} and targets of shape {tuple(targets.shape)} "
            "differ; one-hot encode the labels first"
        )
    return (targets - predictions).sum().square() / (2 * len(targets))


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return `[B, K]` one-hot rows of `labels`, in the type of `logits` (usable inside `torch.func.vmap`)."""
    return (labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)).to(logits.dtype)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "brier": brier}
