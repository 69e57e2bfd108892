"""Reduced precision for the network alone; norms, clip, sum and noise stay in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnndp.checks import one_of

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def network_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Run the forward and backward pass of a network inside this block in `precision`.

    Args:
        precision: "float32"; "tf32", whose products keep 10 of float32's 23 digits after the point (GPUs from
            Ampere on, no effect elsewhere); or "bf16", whose layers compute in bfloat16 with 7 of them.
        device: where the network is.
    """
    one_of(PRECISIONS, precision=precision)
    if precision == "bf16":
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):
            yield
    elif precision == "tf32" and device.type == "cuda":
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    else:
        yield
