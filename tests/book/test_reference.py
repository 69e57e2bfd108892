"""The reference of parameters: whole, from the cells, and with the ranges that Config really has."""

import dataclasses

import nbformat
import pytest
import reference
from nbformat.v4 import new_code_cell, new_notebook

from cnndp.papers.sections.plan import SECTIONS
from cnndp.runs import experiment
from cnndp.training.config import Config


def notebook(path, *lines):
    """Write a notebook with a parameters cell."""
    made = new_notebook(cells=[new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]})])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, path)
    return path


def rows_of(table):
    return [[part.strip() for part in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def test_every_parameter_of_every_notebook_is_in_a_table():
    of_sections, others = rows_of(reference.section_parameters()), rows_of(reference.other_parameters())
    cells = reference.notebooks()
    assert {row[0].strip("`") for row in of_sections} == {one.name for name in SECTIONS for one in cells[name]}
    assert [row[1].strip("`") for row in others] == [
        one.name for name, known in cells.items() if name not in SECTIONS for one in known
    ]


def test_every_notebook_has_a_parameter_and_says_what_it_means():
    for name, known in reference.notebooks().items():
        assert known, name
        assert all(one.meaning for one in known), name


def test_a_parameter_that_nobody_explains_is_an_error(tmp_path):
    path = notebook(tmp_path / "mine.ipynb", "dataset = 'digits'  # a name", "wobble = 3")
    with pytest.raises(ValueError, match=r"mine.ipynb: parameter 'wobble' has no comment; say in one what it means"):
        reference.parameters_of(path)


def test_a_parameter_without_comment_means_what_config_says(tmp_path):
    path = notebook(tmp_path / "mine.ipynb", "learning_rate = 1.0")
    assert reference.parameters_of(path)[0].meaning == reference.meanings()["learning_rate"]


def test_every_section_has_its_line_with_what_it_takes_besides():
    rows = rows_of(reference.section_options())
    assert len(rows) == len(SECTIONS)
    for row, name in zip(rows, SECTIONS, strict=True):
        assert name in row[0]
        for one in reference.notebooks()[name]:
            assert (f"`{one.name}`" in row[1]) == (one.name not in reference.COMMON)


def test_every_field_of_config_is_in_the_table_with_a_meaning():
    rows = {row[0].strip("`*"): row for row in rows_of(reference.config_fields())}
    assert list(rows) == [field.name for field in dataclasses.fields(Config)]
    assert all(row[1] for row in rows.values())


def test_no_meaning_stands_in_two_places():
    """What the source of Config says is not said again."""
    source = reference.inspect.getsource(Config)
    for name in reference.FURTHER:
        (line,) = [line for line in source.splitlines() if line.startswith(f"    {name}:")]
        assert "#" not in line


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("num_steps", 1, 0),
        ("seed", 0, -1),
        ("delta", 0.5, 1.0),
        ("momentum", 0.0, 1.0),
        ("loss_share", 0.5, 0.0),
        ("clip_norm", 0.1, 0.0),
        ("learning_rate", 0.0, -0.1),
    ],
)
def test_a_range_is_what_config_refuses(name, inside, outside):
    assert reference.refused(name, outside)
    assert not reference.refused(name, inside)


def test_a_range_follows_the_checks(monkeypatch):
    """A check that is changed changes the page."""
    reference_range = reference.range_of("momentum")
    monkeypatch.setattr("cnndp.training.config.below_one", lambda **values: None)
    assert reference_range == "at least 0, below 1"
    assert reference.range_of("momentum") == "at least 0"


def test_fields_with_a_star_are_those_that_no_command_sets():
    for field in dataclasses.fields(Config):
        with pytest.raises((TypeError, ValueError)) as error:
            experiment.prepare("fig07_ablation", **{field.name: object()})
        unknown = f"parameter={field.name!r} is not known" in str(error.value)
        assert unknown == (field.name in reference.RESERVED), field.name


def test_few_takers_are_named_and_many_are_counted():
    assert reference.takers(list(SECTIONS)) == "every section"
    assert reference.takers(list(SECTIONS)[: reference.SEVERAL + 1]).endswith(" sections")
    assert reference.takers(["audit"]) == "{doc}`audit </notebooks/runs/shared/audit>`"


def test_no_unit_is_of_a_parameter_that_does_not_exist():
    known = {one.name for cells in reference.notebooks().values() for one in cells}
    assert set(reference.UNITS) <= known | set(Config.__dataclass_fields__) | set(experiment.GRIDS)
