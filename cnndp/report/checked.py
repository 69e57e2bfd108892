"""What stands behind the numbers, counted: records by machine, time by section, tests, notebooks and mistakes."""

import ast
import doctest
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cnndp.report.findings import MADE_VALID
from cnndp.report.numbers import listed, pretty
from cnndp.report.tables import table
from cnndp.runs.estimate import duration

IGNORED = "NBVAL_IGNORE_OUTPUT"  # what nbval looks for in a cell that trains anew or measures time
MACHINE = {"device": "Device", "cores": "Cores", "threads": "Threads", "python": "Python", "torch": "torch"}


class Counts(NamedTuple):
    """How much is checked; each number is counted when it is asked for."""

    tests: int  # functions, many of which run on several cases
    examples: int  # lines of docstrings that are run
    notebooks: int  # executed ones
    cells: int  # of code in them
    passed_over: int  # of them, those whose output is not compared
    pictures: int  # that they show
    records: int  # different runs
    replayable: int  # of them, those whose draws anyone can repeat
    priced: int  # of them, those whose ledger gives a numerical epsilon
    forgeries: int
    mistakes: int  # planted in training


def count_tests(folder: Path) -> int:
    """Return how many test functions the files below a folder have."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("test_*.py"))
    return sum(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for tree in trees for node in ast.walk(tree)
    )


def count_examples(folder: Path) -> int:
    """Return how many examples the docstrings below a folder have."""
    parser, kinds = doctest.DocTestParser(), (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = (
        ast.get_docstring(node) or ""
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kinds)
    )
    return sum(len(parser.get_examples(text)) for text in texts)


def count_notebooks(folder: Path) -> tuple[int, int, int, int]:
    """Return how many notebooks lie below a folder, and in them cells of code, those not compared, and pictures."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.ipynb"))]
    cells = [cell for notebook in read for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    passed_over = sum(IGNORED in "".join(cell["source"]) for cell in cells)
    return len(read), len(cells), passed_over, shown


def counts(root: Path, records: pd.DataFrame, forged: Mapping[str, Sequence[Any]], mistakes: Iterable[Any]) -> Counts:
    """Return all counts.

    Args:
        root: of the repository.
        records: as `stored` gives them.
        forged: the forgeries of book/checks.yml, by what is forged.
        mistakes: those that are planted in training.
    """
    return Counts(
        count_tests(root / "tests"),
        count_examples(root / "cnndp"),
        *count_notebooks(root / "notebooks" / "runs"),
        records=len(records),
        replayable=int((~records["secret_seed"]).sum()),
        priced=int(records["exact_epsilon"].notna().sum()),
        forgeries=sum(len(rows) for rows in forged.values()),
        mistakes=len(list(mistakes)),
    )


def counts_table(found: Counts) -> str:
    """Return the counts in Markdown, each beside what is done with it."""
    but = f"compared, but for {found.passed_over} that train anew or measure time"
    rows = [
        ("Test functions", found.tests, "run by `make test`, many on several cases"),
        ("Examples in docstrings", found.examples, "run and compared"),
        ("Executed notebooks", found.notebooks, "executed again by nbval"),
        ("Their code cells", found.cells, but),
        ("Their pictures", found.pictures, "compared byte for byte, with the same exceptions"),
        ("Records of runs", found.records, "identity, content, ledger and seal of every one"),
        ("Records with known draws", found.replayable, "one of each kind trained again for ten steps, a sample whole"),
        ("Private records", found.priced, "the numerical epsilon is worked out again from the ledger"),
        ("Forgeries", found.forgeries, "each noticed by what the tables below name"),
        ("Mistakes planted in training", found.mistakes, "each caught by what the table below names"),
    ]
    return table([[what, f"{count:,}", done] for what, count, done in rows], ("What", "Count", "What is done with it"))


def stored(root: Path) -> pd.DataFrame:
    """Return where each record below a folder was made, a row a record, with `secret_seed` and `exact_epsilon`.

    Files that are no records of runs, such as audits, are left out.
    """
    read = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.json")))
    rows = [
        {
            **one["provenance"],
            "secret_seed": bool(one["config"].get("secret_seed")),
            "exact_epsilon": one["privacy"].get("exact_epsilon"),
        }
        for one in read
        if {"provenance", "config", "privacy"} <= one.keys()
    ]
    return pd.DataFrame(rows)


def machines(records: pd.DataFrame) -> str:
    """Return on which machines and versions records were made, and when, in Markdown.

    Args:
        records: as `stored` gives them.
    """
    rows = [
        [*(str(one) for one in known), f"{len(part):,}", duration(float(part["seconds"].sum())), days(part["date"])]
        for known, part in records.groupby([*MACHINE], sort=True, dropna=False)
    ]
    return table(rows, (*MACHINE.values(), "Records", "Training", "Days"))


def days(dates: pd.Series) -> str:
    """Return the first and the last of some days.

    >>> days(pd.Series(["2026-09-02", "2026-09-01"])), days(pd.Series(["2026-09-01"]))
    ('2026-09-01 to 2026-09-02', '2026-09-01')
    """
    return " to ".join(dict.fromkeys([dates.min(), dates.max()]))


def hours(records: pd.DataFrame) -> str:
    """Return how long all training took, in a sentence.

    >>> hours(pd.DataFrame({"seconds": [3600.0, 5400.0]}))
    'All training for the 2 records took 2.5 hours.'
    """
    return f"All training for the {len(records):,} records took {duration(float(records['seconds'].sum()))}."


def times(runs: pd.DataFrame, page: Callable[[str, str], str] = lambda section, dataset: "") -> str:
    """Return how long the records of each section took on each dataset, in Markdown; a dash where it has none.

    Args:
        runs: of all sections.
        page: the address of the page of a section on a dataset, to link to; "" for none.
    """
    lent = runs["section"].isin(MADE_VALID) & (runs["reading"] == "private")  # shown there, made for another section
    own = runs[~lent].drop_duplicates(["section", "digest"])
    grid = own.pivot_table(index="section", columns="dataset", values="seconds", aggfunc="sum", sort=False)

    def cell(section: str, dataset: str) -> str:
        seconds = grid.loc[section, dataset]
        if pd.isna(seconds):
            return "–"
        text, address = duration(float(seconds)), page(section, dataset)
        return f"{{doc}}`{text} <{address}>`" if address else text

    rows = [[f"`{section}`", *(cell(section, dataset) for dataset in grid.columns)] for section in grid.index]
    return table(rows, ("Section", *(pretty(dataset) for dataset in grid.columns)))


def mistakes_table(planted: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return planted mistakes with what caught them, in Markdown.

    >>> print(mistakes_table([("half the noise", ("audit", "noise_is_as_stated"))]).splitlines()[-1])
    | half the noise | `audit`, `noise_is_as_stated` |
    """
    rows = [[name, listed(f"`{check}`" for check in caught)] for name, caught in planted]
    return table(rows, ("Mistake", "Caught by"))
