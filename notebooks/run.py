"""Execute the matrix of notebooks through papermill and keep the results under notebooks/runs.

    python notebooks/run.py [--dataset path.npz [-p KEY=VALUE ...]] [--only SECTION] [--jobs N]

A notebook reaches `runs` only when it executed without an error; outputs are stripped of all that changes
from one execution to the next, so that an unchanged result is an unchanged file.
"""

import argparse
import base64
import contextlib
import multiprocessing
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

import contents
import kernels
from cnndp.__main__ import parse
from cnndp.checks import at_least, one_of
from cnndp.data import datasets
from cnndp.report import numbers
from cnndp.report.figures import drawing

NOTEBOOKS = Path(__file__).resolve().parent
ROOT = NOTEBOOKS.parent
RUNS = NOTEBOOKS / "runs"
Parameters = dict[str, Any]
SHARED = "shared"  # stands for the dataset of pages that have none
Entry = tuple[str, str, Parameters]  # dataset as data.load takes it, section, parameters


class RunError(Exception):
    """The matrix, or a notebook, is at fault; the message names which and how."""


def read_matrix(path: Path, own: str | None = None, chosen: Parameters | None = None) -> list[Entry]:
    """Return the entries of the matrix, with those of a user's own dataset when there is one.

    Args:
        path: the matrix.
        own: the path of a user's own dataset.
        chosen: parameters of its pages, over those of the matrix.

    Raises:
        RunError: a section without notebook, an unknown dataset, or a file that is no matrix.
    """
    matrix = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(matrix, dict) or set(matrix) - {SHARED} != {"runs", "own"}:
        raise RunError(f"{path.name} must hold the keys 'runs' and 'own', and may hold {SHARED!r}")
    per_dataset = {**matrix["runs"], SHARED: matrix.get(SHARED, {}), **({own: matrix["own"]} if own else {})}
    entries = [
        (dataset, section, {**(parameters or {}), **((chosen or {}) if dataset == own else {})})
        for dataset, sections in per_dataset.items()
        for section, parameters in sections.items()
    ]
    for dataset, section, parameters in entries:
        if dataset not in (*datasets.DATASETS, SHARED, own):
            raise RunError(f"{path.name}: dataset {dataset!r} is unknown; known: {', '.join(datasets.DATASETS)}")
        check_parameters(section, parameters)
    return entries


def check_parameters(section: str, parameters: Parameters) -> None:
    """Stop at a section without notebook or parameters cell, and at a parameter that it does not have.

    papermill itself injects an unknown parameter with a log line, and the run goes on without it.
    """
    source = NOTEBOOKS / f"{section}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
        raise RunError(f"section {section!r} has no notebook; known: {known}")
    known_parameters = papermill.inspect_notebook(str(source))
    if not known_parameters:
        raise RunError(f"{source.name} has no cell tagged 'parameters'")
    for name in parameters:
        if name not in known_parameters:
            raise RunError(f"{source.name} has no parameter {name!r}; known: {', '.join(known_parameters)}")


def execute(source: Path, target: Path, parameters: Parameters, suffix: str, title: str) -> None:
    """Execute one notebook and move the stripped result to `target`, or raise and leave `target` alone.

    Args:
        source: the notebook, without outputs.
        target: where the executed one goes.
        parameters: for papermill.
        suffix: appended to every label, so that two datasets have different ones.
        title: appended to the heading.

    Raises:
        RunError: a cell failed; the message holds the cell's error.
    """
    alone = "CNNDP_PROGRESS" not in os.environ  # else several notebooks would write their bars over each other
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if alone:
            stack.enter_context(terminal_progress(Path(folder) / "progress"))
        output = Path(folder) / "executed.ipynb"
        try:
            papermill.execute_notebook(
                str(source), str(output), parameters, cwd=str(ROOT), progress_bar=False, log_output=False
            )
        except PapermillExecutionError as error:
            raise RunError(f"{source.name} with {parameters} failed: {error.ename}: {error.evalue}") from None
        notebook = strip(nbformat.read(output, as_version=4))
    forget_place(notebook, str(parameters.get("dataset", "")))
    say_results(notebook)
    rename_labels(notebook, suffix)
    add_to_title(notebook, title)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(target)


@contextmanager
def terminal_progress(path: Path) -> Iterator[None]:
    """Copy what the notebook's progress bars write to `path` on to this terminal while it executes."""
    path.touch()
    ended = threading.Event()

    def copy() -> None:
        with path.open(encoding="utf-8") as stream:
            while True:
                last = ended.is_set()
                sys.stderr.write(stream.read())
                sys.stderr.flush()
                if last:
                    return
                time.sleep(0.2)

    os.environ["CNNDP_PROGRESS"] = str(path)
    thread = threading.Thread(target=copy)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        del os.environ["CNNDP_PROGRESS"]


def strip(notebook: NotebookNode) -> NotebookNode:
    """Remove times, paths, versions, random cell ids and stderr from an executed notebook."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def forget_place(notebook: NotebookNode, dataset: str) -> None:
    """Leave of the path of a user's own file its name: a page that is passed on does not say where the file lay.

    Args:
        notebook: an executed one.
        dataset: as the notebook was given it; a name that is no path has nothing to forget.
    """
    name = Path(dataset).name
    if dataset in ("", name):
        return
    for cell in notebook.cells:
        cell.source = cell.source.replace(dataset, name)
        for output in cell.get("outputs", []):
            for holder in (output, output.get("data", {})):
                for key, text in holder.items():
                    if isinstance(text, str):
                        holder[key] = text.replace(dataset, name)


def say_results(notebook: NotebookNode) -> None:
    """Append to the text of each figure, which says what is drawn, what the picture shows: the results."""
    for cell in notebook.cells:
        image = cell.metadata.get("mystnb", {}).get("image")
        pictures = [one["data"]["image/png"] for one in cell.get("outputs", []) if "image/png" in one.get("data", {})]
        if image is not None and pictures:
            said = [drawing.described(base64.b64decode(picture)) for picture in pictures]
            image["alt"] = " ".join([image["alt"], *filter(None, said)])


def rename_labels(notebook: NotebookNode, suffix: str) -> None:
    """Append `suffix` to every figure label and to every mention of one in the text."""
    names = [cell.metadata.mystnb.figure.name for cell in notebook.cells if "figure" in cell.metadata.get("mystnb", {})]
    for cell in notebook.cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            cell.metadata.mystnb.figure.name += suffix
        if cell.cell_type == "markdown":
            for name in names:
                cell.source = re.sub(rf"`{re.escape(name)}`", f"`{name}{suffix}`", cell.source)


def add_to_title(notebook: NotebookNode, text: str) -> None:
    """Append `text` to the first heading."""
    first = notebook.cells[0]
    if not text:
        return
    first.source = re.sub(r"^(# .*)$", rf"\1 {text}", first.source, count=1, flags=re.MULTILINE)


def write_toc(entries: list[Entry], base: Path, target: Path) -> None:
    """Write _toc.yml: the base with the executed notebooks in their places, those of a user's own data in front."""
    pages: dict[str, dict[str, str]] = {}
    own = []
    for entry in entries:
        page = run_path(*entry).relative_to(ROOT).with_suffix("").as_posix()
        if entry[0] in (*datasets.DATASETS, SHARED):
            pages.setdefault(entry[1], {})[page] = numbers.pretty(entry[0])
        else:
            own.append(page)
    contents.write(contents.contents(yaml.safe_load(base.read_text(encoding="utf-8")), pages, own), target)


def run_path(dataset: str, section: str, parameters: Parameters) -> Path:
    """Return where the executed notebook of an entry is."""
    return RUNS / (dataset if dataset == SHARED else datasets.name_of(dataset)) / f"{section}.ipynb"


def execute_entry(entry: Entry) -> str:
    """Execute the notebook of one entry of the matrix and return what was done."""
    dataset, section, parameters = entry
    source, target = NOTEBOOKS / f"{section}.ipynb", run_path(*entry)
    name, started = target.parent.name, time.monotonic()
    if dataset == SHARED:
        execute(source, target, parameters, "", "")
    else:
        execute(source, target, {"dataset": dataset, **parameters}, f"-{name}", f"({numbers.pretty(name)})")
    return f"{section} ({name}): done in {time.monotonic() - started:.0f} s"


def execute_all(entries: Sequence[Entry], jobs: int) -> None:
    """Execute entries, several at once with `jobs` above 1; what was finished before an error stays.

    Raises:
        RunError: the first notebook that failed.
    """
    kernels.use()
    if jobs == 1:
        for dataset, section, parameters in entries:
            print(f"{section} ({run_path(dataset, section, parameters).parent.name})", file=sys.stderr)
            print(execute_entry((dataset, section, parameters)), file=sys.stderr)
        return
    quiet = {"CNNDP_PROGRESS": os.devnull, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    os.environ.update({name: value for name, value in quiet.items() if name not in os.environ})
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=kernels.use) as pool:
        waiting = [pool.submit(execute_entry, entry) for entry in entries]
        try:
            for number, done in enumerate(as_completed(waiting), start=1):
                print(f"[{number}/{len(entries)}] {done.result()}", file=sys.stderr)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> None:
    """Check the whole matrix first, then execute it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", help="the path of your own .npz: adds its pages")
    parser.add_argument("-p", dest="chosen", action="append", default=[], help="KEY=VALUE, for its pages")
    parser.add_argument("--only", help="one section")
    parser.add_argument("--jobs", type=int, default=1, help="how many notebooks at once")
    arguments = parser.parse_args()
    own = str(Path(arguments.dataset).resolve()) if arguments.dataset else None
    if arguments.chosen and not own:
        raise ValueError("-p is for the pages of your own data; give --dataset, or change notebooks/matrix.yml")
    entries = read_matrix(NOTEBOOKS / "matrix.yml", own, parse(tuple(arguments.chosen)))
    if arguments.only is not None:
        one_of(dict.fromkeys(section for _, section, _ in entries), only=arguments.only)
    at_least(1, jobs=arguments.jobs)
    execute_all([entry for entry in entries if arguments.only in (None, entry[1])], arguments.jobs)
    target = ROOT / "_build" / "toc.yml" if own else ROOT / "_toc.yml"
    target.parent.mkdir(exist_ok=True)
    write_toc(entries, NOTEBOOKS / "toc.yml", target)


if __name__ == "__main__":
    try:
        main()
    except (RunError, contents.ContentsError, ValueError) as error:
        sys.exit(f"error: {error}")
