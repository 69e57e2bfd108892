"""Where a run was made: versions, commit, device, time, memory."""

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import cnndp


def commit() -> str:
    """Return the short commit of the source tree, "-dirty" when the module differs from it, or "unknown"."""
    root = Path(cnndp.__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        name = git("rev-parse", "--short=10", "HEAD")
        return name + ("-dirty" if git("status", "--porcelain", "--", "cnndp") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def device_name(device: torch.device) -> str:
    """Return what a reader knows the device by: the GPU's name, or "CPU" with the architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def peak_memory_mb(device: torch.device) -> int:
    """Return the most memory used so far, in MB: of this process on a CPU, of torch on a GPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kilobytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def describe(device: torch.device, seconds: float, dataset_sha256: str) -> dict[str, Any]:
    """Return the provenance of a run that has just ended."""
    return {
        "package": cnndp.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "seconds": round(seconds, 2),
        "peak_memory_mb": peak_memory_mb(device),
        "dataset_sha256": dataset_sha256,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
