"""nbval: images are compared by the records behind them, progress bars not at all."""

import os
from typing import Any


def pytest_collectstart(collector: Any) -> None:
    """Leave out stderr (bars, warnings of other machines); everything else is compared as text."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


os.environ.setdefault("CNNDP_PROGRESS", os.devnull)
