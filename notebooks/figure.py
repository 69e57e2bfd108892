"""Make one figure of one notebook, without the rest of its page.

    python notebooks/figure.py SECTION NUMBER [-p NAME VALUE ...] [-o FILE.png]

    python notebooks/figure.py fig10_thresholds 1 -p dataset mnist
    python notebooks/figure.py fig10_thresholds 1 -p dataset mnist -p thresholds "[0.1, 1]" -o mine.png

With a dataset that has this page in the book, parameters that are not given are those of the page; otherwise they are
those of the notebook. Nothing is trained that a record holds.
"""

import argparse
import base64
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

import kernels
import run
from cnndp.__main__ import parse
from cnndp.checks import one_of
from cnndp.data import datasets


class FigureError(Exception):
    """A figure that does not exist, or that cannot be made; the message says why and what to do."""


def source_of(section: str) -> Path:
    """Return the notebook of a section.

    Raises:
        ValueError: there is none; the message names the closest.
    """
    one_of(sorted(path.stem for path in run.NOTEBOOKS.glob("*.ipynb")), section=section)
    return run.NOTEBOOKS / f"{section}.ipynb"


def figure_cells(notebook: NotebookNode) -> list[int]:
    """Return the places of the cells that draw, in order; the first is figure 1."""
    return [place for place, cell in enumerate(notebook.cells) if "figure" in cell.metadata.get("mystnb", {})]


def up_to(notebook: NotebookNode, section: str, number: int) -> NotebookNode:
    """Return the notebook as far as one of its figures: what comes after is not needed to draw it.

    Args:
        notebook: the source.
        section: its name, for the message.
        number: of the figure, from 1.

    Raises:
        FigureError: it has no such figure.
    """
    places = figure_cells(notebook)
    if not 1 <= number <= len(places):
        many = "1 figure" if len(places) == 1 else f"{len(places)} figures"
        raise FigureError(f"number={number}: {section} has {many}; pass a number from 1 to {len(places)}")
    return NotebookNode({**notebook, "cells": notebook.cells[: places[number - 1] + 1]})


def page_parameters(section: str, dataset: str | None) -> run.Parameters:
    """Return what the page of a section on a dataset is executed with; nothing where the book has no such page.

    Args:
        section: of the matrix.
        dataset: a name, or None for pages that belong to no dataset.
    """
    for place, known, parameters in run.read_matrix(run.NOTEBOOKS / "matrix.yml"):
        if (place, known) == (dataset or run.SHARED, section):
            return parameters
    return {}


def complete(section: str, given: run.Parameters) -> run.Parameters:
    """Return all parameters of a figure: what is given, over what its page in the book has.

    Raises:
        ValueError: a parameter that the notebook does not take; the message names the closest.
    """
    known = papermill.inspect_notebook(str(source_of(section)))
    for name in given:
        one_of(known, parameter=name)
    return {**page_parameters(section, given.get("dataset")), **given}


def make(section: str, number: int, given: run.Parameters) -> bytes:
    """Return a figure as PNG; the notebook is executed as far as its cell, from the folder that one is in.

    Raises:
        ValueError, FigureError: section, number or a parameter is wrong, or a cell failed.
    """
    source = source_of(section)
    part = up_to(nbformat.read(source, as_version=4), section, number)
    parameters = complete(section, given)
    kernels.use()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if "CNNDP_PROGRESS" not in os.environ:
            stack.enter_context(run.terminal_progress(folder / "progress"))
        nbformat.write(part, folder / source.name)
        made = folder / "executed.ipynb"
        try:
            papermill.execute_notebook(
                str(folder / source.name), str(made), parameters, cwd=str(Path.cwd()), progress_bar=False
            )
        except PapermillExecutionError as error:
            raise FigureError(f"{source.name} with {parameters} failed: {error.ename}: {error.evalue}") from None
        return picture_of(nbformat.read(made, as_version=4).cells[-1])


def picture_of(cell: NotebookNode) -> bytes:
    """Return the PNG that an executed cell shows."""
    (picture,) = [output["data"]["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return base64.b64decode(picture)


def command(section: str, number: int, given: Mapping[str, object]) -> str:
    """Return the command that makes a figure.

    >>> command("fig10_thresholds", 1, {"dataset": "mnist", "seeds": [0, 1]})
    "python notebooks/figure.py fig10_thresholds 1 -p dataset mnist -p seeds '[0, 1]'"
    """
    options = [f"-p {name} {shlex.quote(str(value))}" for name, value in given.items()]
    return " ".join(["python notebooks/figure.py", section, str(number), *options])


def target_of(section: str, number: int, dataset: str | None, chosen: str | None) -> Path:
    """Return the file to write: the one that is chosen, or one named after the figure.

    Raises:
        FigureError: it is no PNG, or its folder does not exist.

    >>> target_of("fig10_thresholds", 1, "mnist", None).name
    'fig10_thresholds-mnist-1.png'
    """
    kind = () if dataset is None else (dataset if dataset in datasets.DATASETS else Path(dataset).stem,)
    target = Path(chosen or "-".join((section, *kind, f"{number}.png")))
    if target.suffix != ".png":
        raise FigureError(f"-o {target}: figures are PNG files; pass a name such as {target.stem}.png")
    if not target.parent.is_dir():
        raise FigureError(f"-o {target}: there is no folder {target.parent}; make it first")
    return target


def main(arguments: list[str] | None = None) -> None:
    """Make the figure and say where it is."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="Figures are counted from the top of a page."
    )
    parser.add_argument("section", help="the name of a notebook, such as fig10_thresholds")
    parser.add_argument("number", type=int, help="which of its figures, from 1")
    parser.add_argument("-p", dest="given", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("-o", dest="target", help="the file to write; by default one named after the figure")
    asked = parser.parse_args(arguments)
    given = parse(tuple(f"{name}={value}" for name, value in asked.given))
    target = target_of(asked.section, asked.number, given.get("dataset"), asked.target)
    target.write_bytes(make(asked.section, asked.number, given))
    print(target)


if __name__ == "__main__":
    try:
        main()
    except (FigureError, run.RunError, ValueError, TypeError) as error:
        sys.exit(f"error: {error}")
