"""Noise: the Laplace scale of Eq. (3) and (9), and draws that are the same on every device.

All draws happen on the host in float64 from uniform bits, so that one seed means the same noise whether the
network trains on a CPU or a GPU, and whatever maths library torch was built with.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Generator, Tensor

from cnndp.checks import at_least, non_negative, positive

Draw = Callable[[int, Generator], Tensor]


def laplace_scale(sensitivity: float, epsilon: float) -> float:
    """Return the scale of the Laplace noise in Eq. (3) and (9): b = Delta f / epsilon.

    P1 calls this ratio a variance; the variance of Lap(b) is 2 b^2.

    Args:
        sensitivity: Delta f, an L1 bound, in units of the summed gradient.
        epsilon: the budget of this release.

    >>> laplace_scale(0.5, 0.25)
    2.0
    """
    positive(sensitivity=sensitivity, epsilon=epsilon)
    return sensitivity / epsilon


def clamped_scale(scale: float, *, initial_scale: float | None = None, min_scale: float = 0.0) -> float:
    """Return `scale` kept between Table I's two ends: at most the initial value, at least the minimum.

    Args:
        scale: b_t.
        initial_scale: the start, which no later step exceeds (Table I: 2, 2, 15); None for no start.
        min_scale: the floor (Table I: 0.18, 0.16, 0.10); 0 for none.

    >>> [clamped_scale(b, initial_scale=2.0, min_scale=0.18) for b in (5.0, 1.0, 0.01)]
    [2.0, 1.0, 0.18]
    """
    non_negative(scale=scale)
    check_clamp(initial_scale, min_scale)
    return max(scale if initial_scale is None else min(scale, initial_scale), min_scale)


def check_clamp(initial_scale: float | None, min_scale: float) -> None:
    """Raise `ValueError` unless the floor is at least 0 and not above the start."""
    non_negative(min_scale=min_scale)
    if initial_scale is None:
        return
    positive(initial_scale=initial_scale)
    if min_scale > initial_scale:
        raise ValueError(
            f"min_scale={min_scale} is above initial_scale={initial_scale}; the floor must not exceed the start"
        )


def laplace(num_params: int, scale: float, generator: Generator) -> Tensor:
    """Draw `[num_params]` independent Laplace values of mean 0 and the given scale, on the host.

    By inversion: u uniform on (-1/2, 1/2) gives -scale * sign(u) * ln(1 - 2 |u|).

    Args:
        num_params: how many values.
        scale: b, at least 0; the variance is 2 b^2.
        generator: the only source of randomness, a CPU generator.
    """
    non_negative(scale=scale)
    # rand is a multiple of 2^-53 in [0, 1); the half step keeps the logarithm finite at both ends.
    uniform = torch.rand(num_params, dtype=torch.float64, generator=generator) - 0.5 + 2.0**-54
    return (-scale * uniform.sign() * torch.log1p(-2 * uniform.abs())).to(torch.float32)


def gaussian(num_params: int, scale: float, generator: Generator) -> Tensor:
    """Draw `[num_params]` independent normal values of mean 0 and standard deviation `scale`, on the host."""
    non_negative(scale=scale)
    return (scale * torch.randn(num_params, dtype=torch.float64, generator=generator)).to(torch.float32)


def no_noise(num_params: int, scale: float, generator: Generator) -> Tensor:
    """Return `[num_params]` zeros and leave the generator as it was."""
    return torch.zeros(num_params)


MECHANISMS: dict[str, Callable[[int, float, Generator], Tensor]] = {
    "none": no_noise,
    "laplace": laplace,
    "gaussian": gaussian,
}


def unit_noise(
    mechanism: str,
    num_params: int,
    num_steps: int,
    generator: Generator,
    device: torch.device,
    block_size: int = 16,
) -> Iterator[Tensor]:
    """Return the noise of scale 1 of each step, drawn on the host; for a GPU, one block ahead of it.

    A block is filled by one flat draw per step, so `block_size` never changes a number. On a CPU the draws are
    made one by one, in turn with the steps: a second thread that computes makes all of torch's threads wait for
    each other, which doubles the time of a step.

    Args:
        mechanism: a key of `MECHANISMS`.
        num_params: length of each draw.
        num_steps: how many draws.
        generator: CPU generator, owned by this stream until it is exhausted.
        device: where the draws are needed.
        block_size: how many steps are drawn, and copied to a GPU, at once.
    """
    at_least(1, num_params=num_params, num_steps=num_steps, block_size=block_size)
    draw = partial(MECHANISMS[mechanism], num_params, 1.0, generator)
    if device.type == "cpu":
        return (draw() for _ in range(num_steps))
    return drawn_ahead(draw, num_params, num_steps, device, block_size)


def drawn_ahead(
    draw: Callable[[], Tensor], num_params: int, num_steps: int, device: torch.device, block_size: int
) -> Iterator[Tensor]:
    """Yield `num_steps` results of `draw` on `device`: a second thread draws one block while another is used."""

    def block(size: int) -> Tensor:
        drawn = torch.empty(size, num_params, pin_memory=device.type == "cuda")
        for row in drawn:
            row.copy_(draw())
        return drawn

    sizes = [min(block_size, num_steps - start) for start in range(0, num_steps, block_size)]
    with ThreadPoolExecutor(max_workers=1) as host:
        pending: Future[Tensor] | None = host.submit(block, sizes[0])
        for following in [*sizes[1:], None]:
            assert pending is not None
            ready = pending.result()
            pending = host.submit(block, following) if following else None
            yield from ready.to(device, non_blocking=True)
