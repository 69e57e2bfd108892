"""Reduced precision for the network alone; loss, norms, clip, sum and noise stay in float32."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnndp.checks import one_of

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def network_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Run the forward and backward pass of a network inside this block in `precision`.

    Args:
        precision: "float32", even where torch would use TF32 unasked; "tf32", whose products keep 10 of float32's
            23 digits after the point (GPUs from Ampere on, no effect elsewhere); or "bf16", whose layers compute
            in bfloat16 with 7 of them.
        device: where the network is.
    """
    one_of(PRECISIONS, precision=precision)
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(_tf32(allowed=precision == "tf32"))
        if precision == "bf16":
            stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False))
        yield


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
