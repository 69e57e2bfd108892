"""Sphinx extension: the page on how the book was checked, counted when it is built.

- directive ``{checked}`` PART: ``counts`` of what is checked, ``machines`` that made the records, ``times`` of each
  section, ``hours`` of all training, or the planted ``mistakes`` with what caught them.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from companion import CHECKS, MarkdownDirective, all_runs
from pages import Page
from sphinx.application import Sphinx

from cnndp.audit.controls import CONTROLS
from cnndp.checks import one_of
from cnndp.report import checked
from cnndp.runs import store

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("counts", "machines", "times", "hours", "mistakes")


@cache
def records(root: Path) -> pd.DataFrame:
    """Return all stored records; a build reads them once."""
    return checked.stored(root)


def page_of(section: str, dataset: str) -> str:
    """Return the document of a section on a dataset, "" where the book has none."""
    name = Page(dataset, section).docname
    return f"/{name}" if (ROOT / f"{name}.ipynb").is_file() else ""


def part(name: str) -> str:
    """Return a part of the page in Markdown.

    Raises:
        ValueError: there is no such part; the message names the closest.
    """
    one_of(PARTS, part=name)
    root = store.default_root()
    if name == "mistakes":
        return checked.mistakes_table((control.name, control.caught_by) for control in CONTROLS)
    if name == "times":
        return checked.times(all_runs(root), page_of)
    if name == "counts":
        forged = yaml.safe_load(CHECKS.read_text(encoding="utf-8"))
        return checked.counts_table(checked.counts(ROOT, records(root), forged, CONTROLS))
    return checked.machines(records(root)) if name == "machines" else checked.hours(records(root))


class Checked(MarkdownDirective):
    """A part of the page on how the book was checked."""

    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        """Return the part that the argument names."""
        return part(self.arguments[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("checked", Checked)
    return {"version": "1", "parallel_read_safe": True}
