"""One progress bar for long work, on the terminal or wherever a runner collects it, and lines beside it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator["tqdm[Any]"]:
    """Show a bar of `total` units.

    It goes to stderr, or to the file that $CNNDP_PROGRESS names: a notebook that a runner executes then
    shows its progress on the runner's terminal and keeps it out of its own output.
    """
    target = os.environ.get("CNNDP_PROGRESS")
    stream = Path(target).open("a", encoding="utf-8") if target else sys.stderr  # noqa: SIM115
    try:
        with tqdm(total=total, unit=unit, file=stream, mininterval=0.5, dynamic_ncols=not target) as bar:
            yield bar
    finally:
        if target:
            stream.close()


@cache
def say_once(text: str) -> None:
    """Print a line on stderr, the first time that it is asked for."""
    print(f"cnndp: {text}", file=sys.stderr)
