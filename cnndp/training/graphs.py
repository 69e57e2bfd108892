"""Training steps as CUDA graphs: recorded once, then started by the host with one call each. Optional.

A step of these networks is some hundred kernels of a few microseconds, which a host cannot start as fast as a
GPU runs them. Recorded as a graph they start together. A graph repeats the same kernels on the same memory, so
all that changes from step to step is written into fixed tensors first: which examples, which noise, and the
step's numbers. Batches of any size are cut into physical batches of one size, filled up with -1.

Nothing here makes the host wait for the device; who reads a tensor does. On a CPU the same functions run on
the same fixed tensors without a graph, which is how they are tested where there is no GPU.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cnndp.data.datasets import pixels
from cnndp.privacy.ledger import Release
from cnndp.training.methods import Method, Noisy, Step, add_noise, is_healthy, loss_sum, mean_loss, move, releases

WARM_UP = 3  # calls before recording: libraries choose their kernels and workspaces in them
BLOCK = 16  # steps whose example numbers travel to the device at once


class Recorded:
    """A function of tensors that works in place, recorded as a CUDA graph on a GPU.

    Calling it copies the arguments into fixed tensors and replays; the same result tensors are written to each
    time.

    Args:
        function: must not make the host wait, and must change nothing but tensors that outlive it.
        examples: one tensor an argument, of the shape, type and device that every later one has.
    """

    def __init__(self, function: Callable[..., Any], *examples: Tensor) -> None:
        self.function, self.arguments, self.graph = function, [example.clone() for example in examples], None
        self.results: Any = None
        if all(example.device.type == "cuda" for example in examples):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    function(*self.arguments)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.results = function(*self.arguments)

    def __call__(self, *values: Tensor) -> Any:
        """Return the results, which the next call overwrites."""
        for argument, value in zip(self.arguments, values, strict=True):
            argument.copy_(value, non_blocking=True)
        if self.graph is None:
            self.results = self.function(*self.arguments)
        else:
            self.graph.replay()
        return self.results


class GraphSteps:
    """Training by two recorded functions: one sums a physical batch, the other adds noise and moves.

    Args:
        method: the composition.
        model: the network.
        weights: the initial parameters, `[P]`; they are not changed.
        inputs, labels: all training examples on the device, uint8 `[N, C, H, W]` and `[N]`.
        physical_batch: examples summed at once. A method that cannot sum a batch in parts needs batches of just
            this size.
        num_steps: T.
        to_input: from uint8 images to what the network gets.
    """

    def __init__(
        self,
        method: Method,
        model: nn.Module,
        weights: Tensor,
        inputs: Tensor,
        labels: Tensor,
        *,
        physical_batch: int,
        num_steps: int,
        to_input: Callable[[Tensor], Tensor] = pixels,
    ) -> None:
        self.to_input = to_input
        self.method, self.model, self.inputs, self.labels = method, model, inputs, labels
        self.weights, self.velocity, self.total = weights.clone(), torch.zeros_like(weights), torch.zeros_like(weights)
        self.loss = weights.new_zeros(())  # sum over the batch
        self.healthy_steps = torch.zeros((), dtype=torch.int64, device=weights.device)
        self.healthy = torch.ones((), dtype=torch.bool, device=weights.device)
        self.sensitivity: float | None = None
        self.accumulate = Recorded(self._accumulate, torch.arange(physical_batch, device=weights.device) % len(labels))
        scales = [method.scale(t, self._measured_sensitivity()) for t in range(1, num_steps + 1)]
        rates = [method.rate(t) for t in range(1, num_steps + 1)]
        loss_scales = [method.loss_scale(t) for t in range(1, num_steps + 1)]
        # In float64, as the eager step has them, although the arithmetic on weights is in float32.
        numbers = torch.tensor([scales, rates, loss_scales], dtype=torch.float64)
        self.numbers = numbers.T.contiguous().to(weights.device)  # [T, 3]
        draw = weights.new_zeros(len(weights) + (method.loss_clip is not None))
        self.finish = Recorded(self._finish, draw, self.numbers[0], self.loss.clone())
        self.scales = scales
        self._reset(weights)

    def __call__(self, t: int, parts: Tensor, count: Tensor, draw: Tensor) -> tuple[Noisy, Step]:
        """Take step `t` and return its tensors, which the next step overwrites.

        Args:
            t: from 1.
            parts: example numbers, `[parts, physical_batch]`, -1 where there is none.
            count: how many examples these are, scalar, on the device.
            draw: the noise of scale 1, `[P]`, or `[P + 1]` where the loss is released.
        """
        for part in parts:
            self.accumulate(part)
        noisy, step = self.finish(draw, self.numbers[t - 1], count)
        return noisy._replace(releases=self.releases_of(t)), step

    def releases_of(self, t: int) -> tuple[Release, ...]:
        """Return what step `t` gives away."""
        return releases(self.method, self.scales[t - 1], self.sensitivity, t)

    def _accumulate(self, numbers: Tensor) -> None:
        present = numbers >= 0
        numbers = numbers.clamp(min=0)
        options = {"present": present} if self.method.in_parts else {}
        summed = self.method.gradient_sum(
            self.model, self.weights, self.to_input(self.inputs[numbers]), self.labels[numbers], **options
        )
        self.sensitivity = summed.sensitivity
        self.total += summed.total
        self.loss += loss_sum(self.method, summed.losses)

    def _finish(self, draw: Tensor, numbers: Tensor, count: Tensor) -> tuple[Noisy, Step]:
        loss = mean_loss(self.method, self.loss, count.clamp(min=1))
        noisy = add_noise(self.method, self.total, loss, numbers[0], draw, numbers[2])
        weights, velocity, step = move(self.method, self.weights, self.velocity, noisy, numbers[1])
        # A run that diverged stays as it was after that step, until the host next looks.
        self.healthy_steps += self.healthy
        if step.slack is not None:
            step = step._replace(slack=step.slack.where(self.healthy, 0.0))
        self.weights.copy_(weights.where(self.healthy, self.weights))
        self.velocity.copy_(velocity)
        self.healthy &= is_healthy(self.method, noisy, self.weights)
        self.total.zero_()
        self.loss.zero_()
        return noisy, step

    def _measured_sensitivity(self) -> float | None:
        if self.accumulate.graph is None:
            self.accumulate(self.accumulate.arguments[0])
        return self.sensitivity

    def _reset(self, weights: Tensor) -> None:
        """Undo what warming up and recording did."""
        self.weights.copy_(weights)
        for tensor in (self.velocity, self.total, self.loss, self.healthy_steps):
            tensor.zero_()
        self.healthy.fill_(True)


def padded(batch: Tensor, size: int) -> Tensor:
    """Return the example numbers of a batch as rows of `size`, the last filled up with -1.

    >>> padded(torch.tensor([7, 8, 9]), size=2)
    tensor([[ 7,  8],
            [ 9, -1]])
    """
    rows = -(-len(batch) // size)
    filled = batch.new_full((rows * size,), -1)
    filled[: len(batch)] = batch
    return filled.view(rows, size)


def staged(order: Iterable[Tensor], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each batch its rows (see `padded`) and its size, on the device, copied in blocks of steps."""
    block: list[Tensor] = []
    for batch in order:
        block.append(batch)
        if len(block) == BLOCK:
            yield from _to_device(block, size, device)
            block = []
    yield from _to_device(block, size, device)


def _to_device(block: list[Tensor], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    if not block:
        return
    rows = [padded(batch, size) for batch in block]
    numbers, counts = torch.cat(rows), torch.tensor([float(len(batch)) for batch in block])
    if device.type == "cuda":
        numbers, counts = numbers.pin_memory(), counts.pin_memory()
    moved, counted = numbers.to(device, non_blocking=True), counts.to(device, non_blocking=True)
    yield from zip(torch.split(moved, [len(row) for row in rows]), counted, strict=True)
