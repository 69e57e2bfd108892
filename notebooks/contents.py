"""The table of contents: notebooks/toc.yml with the executed pages of every section of the matrix in their places."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Chapter = dict[str, Any]
OWN = "Your data"  # the part of a user's own pages, in front of all others
HEADER = "# Made by notebooks/run.py from notebooks/toc.yml and notebooks/matrix.yml\n"


class ContentsError(Exception):
    """A section of the matrix that has no place in the book, or two."""


def contents(
    base: Mapping[str, Any], pages: Mapping[str, Mapping[str, str]], own: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the table of contents in Jupyter Book's form.

    Args:
        base: notebooks/toc.yml.
        pages: by section, its executed pages with the names of their datasets; the first is the section's entry.
        own: pages of a user's own data.

    Raises:
        ContentsError: the section, and what to add to notebooks/toc.yml.

    >>> base = {"parts": [{"caption": "P1", "chapters": [{"notebook": "fig09", "title": "Fig. 9"}]}]}
    >>> contents(base, {"fig09": {"mnist/fig09": "MNIST", "cifar10/fig09": "CIFAR-10"}})["parts"][0]["chapters"]
    [{'file': 'mnist/fig09', 'title': 'Fig. 9', 'sections': [{'file': 'cifar10/fig09', 'title': 'CIFAR-10'}]}]
    """
    chapters = [chapter for part in base["parts"] for chapter in part["chapters"]]
    placed = list(sections_of(chapters))
    for section in pages:
        if placed.count(section) != 1:
            count = "no place" if section not in placed else "several places"
            raise ContentsError(f"section {section!r} has {count} in notebooks/toc.yml; give it one `notebook` entry")
    parts = [{**part, "chapters": [*expanded(part["chapters"], pages)]} for part in base["parts"]]
    mine = [{"caption": OWN, "chapters": [{"file": page} for page in own]}] if own else []
    return {**base, "parts": [*mine, *(part for part in parts if part["chapters"])]}


def sections_of(chapters: Sequence[Chapter]) -> Iterator[str]:
    """Yield the sections that chapters name, those below them too."""
    for chapter in chapters:
        if "notebook" in chapter:
            yield chapter["notebook"]
        yield from sections_of(chapter.get("sections", ()))


def expanded(chapters: Sequence[Chapter], pages: Mapping[str, Mapping[str, str]]) -> Iterator[Chapter]:
    """Yield chapters with pages in place of sections; one whose section is not in the matrix leaves its children."""
    for chapter in chapters:
        below = [*expanded(chapter.get("sections", ()), pages)]
        if "notebook" not in chapter:
            yield {**chapter, **({"sections": below} if below else {})}
            continue
        shown = pages.get(chapter["notebook"], {})
        if not shown:
            yield from below
            continue
        first, *others = shown
        below = [*({"file": page, "title": shown[page]} for page in others), *below]
        rest = {name: value for name, value in chapter.items() if name not in ("notebook", "sections")}
        yield {"file": first, **rest, **({"sections": below} if below else {})}


def write(made: Mapping[str, Any], target: Path) -> None:
    """Write a table of contents; a file that says the same is left alone."""
    text = HEADER + yaml.safe_dump(dict(made), sort_keys=False, allow_unicode=True)
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
