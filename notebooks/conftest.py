"""nbval: kernels are forks, pictures are compared byte for byte, progress bars not at all."""

import os
from typing import Any

import kernels

PICTURES = {"image/png"}  # which nbval leaves out


def pytest_collectstart(collector: Any) -> None:
    """Leave out stderr (bars, warnings of other machines); everything else is compared."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare = (*(key for key in collector.skip_compare if key not in PICTURES), "stderr")


os.environ.setdefault("CNNDP_PROGRESS", os.devnull)
kernels.use()
