"""Step sizes: Eq. (6), (8), (10), (11) and what they need to be usable; fixed, decayed and momentum steps.

Eq. (10) and (11) come from one problem, the linearised passive-aggressive step with a slack variable s:
minimise 1/2 ||w - w_t||^2 + lambda s subject to l + <g, w - w_t> <= s and s >= 0. Its solution moves by
min(lambda, l / ||g||^2) and leaves the slack of Eq. (11): the printed Eq. (10) has lost the cap lambda.
"""

from torch import Tensor

from cnndp.checks import at_least, below_one, non_negative, positive

MIN_SQUARED_NORM = 1e-3  # floor under the de-biased norm, which noise can push below zero; gradients are of order 1


def polyak_step(loss: Tensor, squared_norm: Tensor) -> Tensor:
    """Return the adaptive step size. Eq. (6): alpha = l / ||g||^2, without any bound.

    Args:
        loss: l, scalar, at least 0.
        squared_norm: ||g||^2 of the noisy gradient, scalar. At 0 the step is infinite, as printed.

    >>> import torch
    >>> polyak_step(torch.tensor(2.0), torch.tensor(4.0))
    tensor(0.5000)
    """
    return loss / squared_norm


def capped_step(loss: Tensor, squared_norm: Tensor, max_step: float) -> Tensor:
    """Return the step that agrees with the slack of Eq. (11): alpha = min(lambda, l / ||g||^2).

    Args:
        loss, squared_norm: as in `polyak_step`.
        max_step: lambda, above 0; P1's "threshold" of Fig. 10.

    >>> import torch
    >>> capped_step(torch.tensor(2.0), torch.tensor(4.0), max_step=0.3)
    tensor(0.3000)
    """
    positive(max_step=max_step)
    # Where gradient and loss are both 0 the quotient is undefined and every step leads to the same place.
    return polyak_step(loss, squared_norm).clamp(max=max_step).where(squared_norm > 0, max_step)


def slack(loss: Tensor, squared_norm: Tensor, max_step: float) -> Tensor:
    """Return the slack. Eq. (11): s = max(l - lambda ||g||^2, 0), above 0 exactly when the cap binds.

    >>> import torch
    >>> slack(torch.tensor(2.0), torch.tensor(4.0), max_step=0.3)  # 2 - 0.3 * 4
    tensor(0.8000)
    """
    positive(max_step=max_step)
    return (loss - max_step * squared_norm).clamp(min=0)


def debiased_squared_norm(
    squared_norm: Tensor, num_params: int, noise_variance: float | Tensor, clip_norm: float | None = None
) -> Tensor:
    """Return ||g||^2 without what the noise adds to it on average: max(||g||^2 - P v, floor).

    Args:
        squared_norm: of the noisy gradient, scalar.
        num_params: P, how many coordinates carry noise.
        noise_variance: v of one coordinate (2 b^2 for Laplace, sigma^2 for Gaussian noise).
        clip_norm: C, no gradient is longer; below 1 the floor of 1e-3 shrinks with C^2, or every gradient would be
            under it.

    Use it with a cap only: at the floor of 1e-3 an uncapped step is l / 1e-3.

    >>> import torch
    >>> debiased_squared_norm(torch.tensor(9.0), 4, 2.0)  # 9 - 4 * 2
    tensor(1.)
    """
    floor = MIN_SQUARED_NORM * min(1.0, clip_norm or 1.0) ** 2
    if isinstance(noise_variance, Tensor):  # checking one would make the host wait for a GPU
        return (squared_norm - (num_params * noise_variance).to(squared_norm.dtype)).clamp(min=floor)
    non_negative(noise_variance=noise_variance)
    return (squared_norm - num_params * noise_variance).clamp(min=floor)


def descend(weights: Tensor, step_size: Tensor | float, gradient: Tensor) -> Tensor:
    """Return the weights after one step. Eq. (8), and with a noisy gradient Eq. (9): w - alpha * g.

    >>> import torch
    >>> descend(torch.tensor([1.0, 2.0]), 0.5, torch.tensor([2.0, -2.0]))
    tensor([0., 3.])
    """
    return weights - step_size * gradient


def printed_polyak_update(weights: Tensor, loss: Tensor, noisy_gradient: Tensor) -> Tensor:
    """Return the weights after one step as printed. Eq. (10): w - l / ||g||^2 * g, with the noisy g.

    >>> import torch
    >>> printed_polyak_update(torch.tensor([1.0]), torch.tensor(2.0), torch.tensor([4.0]))  # 1 - 2/16 * 4
    tensor([0.5000])
    """
    return descend(weights, polyak_step(loss, noisy_gradient.square().sum()), noisy_gradient)


def decayed_rate(learning_rate: float, decay: float, t: int) -> float:
    """Return eta_t = eta / (1 + decay (t - 1)); `decay=0` is the fixed step.

    >>> import torch
    >>> decayed_rate(0.3, decay=0.5, t=3)  # 0.3 / 2
    0.15
    """
    non_negative(learning_rate=learning_rate, decay=decay)
    at_least(1, t=t)
    return learning_rate / (1 + decay * (t - 1))


def heavy_ball(velocity: Tensor, direction: Tensor, momentum: float) -> Tensor:
    """Return the new velocity m v + g; `momentum=0` gives the direction itself.

    >>> import torch
    >>> heavy_ball(torch.tensor([1.0]), torch.tensor([2.0]), momentum=0.9)
    tensor([2.9000])
    """
    below_one(momentum=momentum)
    return momentum * velocity + direction
