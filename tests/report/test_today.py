"""Pages show what they showed before runs became frames, cell by cell: the committed records have not changed."""

import re
from pathlib import Path

import pytest
import yaml

from cnndp.report import findings, tables
from cnndp.runs import experiment
from cnndp.runs.frames import frame

TODAY = yaml.safe_load(Path(__file__).with_name("today.yml").read_text(encoding="utf-8"))
PAGES = [(table, section, dataset) for table, pages in TODAY.items() for section in pages for dataset in pages[section]]


def cells(markdown):
    """Return the rows of a table, without its layout."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown.splitlines() if line.startswith("|")]
    texts = [" | ".join(cell.strip() for cell in row) for row in rows]
    return [text for text in texts if not re.fullmatch(r"[-: |]*", text)]


def made(table, section, dataset):
    """Return a table of a page, as its notebook makes it."""
    study = findings.study_of(section, dataset)
    runs = frame(experiment.stored(study))
    function = getattr(tables, table)
    return function(study, runs) if table == "verdict_table" else function(runs)


@pytest.mark.parametrize(("table", "section", "dataset"), PAGES)
def test_a_table_is_as_it_was(table, section, dataset):
    assert cells(made(table, section, dataset)) == TODAY[table][section][dataset]


def test_another_number_in_a_record_is_another_table():
    table, section, dataset = PAGES[0]
    runs = findings.runs_of(section, dataset)
    runs.loc[runs.index[-1], "test_accuracy"] += 0.5
    assert cells(getattr(tables, table)(runs)) != TODAY[table][section][dataset]
