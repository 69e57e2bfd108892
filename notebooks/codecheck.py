"""Write codecheck.yml: every output of the book with the command that makes it, as CODECHECK 2.0 asks for.

    python notebooks/codecheck.py

An output is an executed notebook of the matrix, or a figure in it. The file says what an independent check would have
to fill in; nobody has made one yet.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

import figure
import run

TARGET = run.ROOT / "codecheck.yml"
VERSION = "https://codecheck.org.uk/spec/config/2.0/"
OPEN = ("paper.reference", "codechecker", "report", "certificate", "check_time")
HEADER = f"""\
# Made by notebooks/codecheck.py from notebooks/matrix.yml; tests/book/test_codecheck.py compares the two.
# Not yet codechecked independently. Whoever does it adds: {", ".join(OPEN)}.
---
"""
SUMMARY = (
    "Not yet codechecked independently. The manifest holds every executed notebook of the book and every figure in it. "
    "From the committed records each command takes seconds; without them, hours of training."
)


def manifest(entries: Sequence[run.Entry]) -> list[dict[str, str]]:
    """Return an item an output: its file, and what makes it.

    Args:
        entries: of the matrix; each has been executed.
    """
    return [item for entry in entries for item in outputs_of(*entry)]


def outputs_of(dataset: str, section: str, parameters: run.Parameters) -> Iterator[dict[str, str]]:
    """Yield the executed notebook of an entry, then its figures."""
    path = run.run_path(dataset, section, parameters)
    file = path.relative_to(run.ROOT).as_posix()
    yield {"file": file, "comment": f"The whole page, with all its datasets: python notebooks/run.py --only {section}"}
    given = parameters if dataset == run.SHARED else {"dataset": dataset, **parameters}
    cells = nbformat.read(path, as_version=4).cells
    for number, place in enumerate(figure.figure_cells(nbformat.from_dict({"cells": cells})), start=1):
        label = cells[place].metadata.mystnb.figure.name
        yield {"file": file, "comment": f"Figure {number} ({label}): {figure.command(section, number, given)}"}


def described(entries: Sequence[run.Entry]) -> dict[str, Any]:
    """Return the whole file: the book as the paper, what it is about beside it, and the manifest."""
    book = yaml.safe_load((run.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = {
        "title": book["title"],
        "authors": [{"name": author["name"]} for author in book["authors"]],
        "reference-other": [f"https://doi.org/{one['doi']}" for one in book["references"] if "doi" in one],
    }
    return {"version": VERSION, "paper": paper, "manifest": manifest(entries), "summary": SUMMARY}


def text(entries: Sequence[run.Entry]) -> str:
    """Return codecheck.yml."""
    return HEADER + yaml.safe_dump(described(entries), sort_keys=False, allow_unicode=True, width=118)


def differences(written: Sequence[dict[str, str]], expected: Sequence[dict[str, str]]) -> list[str]:
    """Return where a manifest is not what the matrix gives, one line an item.

    >>> differences([], [{"file": "a.ipynb", "comment": "make a"}])
    ['missing: a.ipynb, make a']
    """
    found, wanted = ([(item["file"], item["comment"]) for item in items] for items in (written, expected))
    missing = [f"missing: {file}, {comment}" for file, comment in wanted if (file, comment) not in found]
    unknown = [f"unknown: {file}, {comment}" for file, comment in found if (file, comment) not in wanted]
    return [*missing, *unknown]


def main(target: Path = TARGET) -> None:
    """Write the file."""
    entries = run.read_matrix(run.NOTEBOOKS / "matrix.yml")
    for entry in entries:
        if not run.run_path(*entry).is_file():
            raise run.RunError(f"{entry[1]} on {entry[0]} is not executed yet; run python notebooks/run.py first")
    target.write_text(text(entries), encoding="utf-8")
    print(f"{target.name}: {len(manifest(entries))} outputs")


if __name__ == "__main__":
    try:
        main()
    except (run.RunError, ValueError) as error:
        sys.exit(f"error: {error}")
