"""Sphinx extension: the reference of parameters, read from the notebooks, the sections and `Config` at build time.

- directive ``{section-parameters}``: each parameter of the sections' notebooks, what it means, and which take it;
- directive ``{section-options}``: which section takes what, its datasets and the size of each profile;
- directive ``{other-parameters}``: what the other notebooks take;
- directive ``{config-fields}``: every field of `Config` with meaning, default, type, range and unit.
"""

import ast
import dataclasses
import inspect
import re
import typing
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import papermill
from companion import MarkdownDirective
from pages import SHARED, Page
from sphinx.application import Sphinx

from cnndp.checks import one_of, type_names
from cnndp.data.datasets import DATASETS
from cnndp.papers.presets import METHODS
from cnndp.papers.sections.plan import PROFILES, SECTIONS, Options, size_of
from cnndp.report.numbers import counted, listed, pretty
from cnndp.report.tables import table
from cnndp.runs.experiment import GRIDS, PARAMETERS
from cnndp.training.config import CHOICES, READINGS, Config, hints

ROOT = Path(__file__).resolve().parents[2]
COMMON = ("dataset", "profile", "num_steps", "seeds", "batch_size", "device", "refresh")  # of every section
HEADER = ("Parameter", "Meaning", "Default", "Type, range and unit")
KINDS = {("audit", "seeds"): "int or None; at least 1"}  # where a name means something else than in a section
SEVERAL = 4  # sections that a cell names; of more it says how many
RESERVED = ("method", "reading", "seed", "numerics_version", "model_shapes")  # fields that no command sets
A_PATH = "a path"
NAMES = {
    "dataset": (*DATASETS, A_PATH),
    "profile": PROFILES,
    "methods": METHODS,
    "readings": READINGS,
    "device": ("auto", "cpu", "cuda"),
}
# What the source of Config leaves to the name of a field.
FURTHER = {
    "split_seed": "which images are for training, where the split is drawn",
    "activation": "between the layers of a network of the book",
    "loss": "what is minimised",
    "clip": "what is clipped: nothing, the batch's mean gradient, or each image's gradient in an L1 or L2 norm",
    "mechanism": "the distribution of the noise",
    "momentum": "the part of the last step that is taken again",
    "numerics_version": "of the code that makes the numbers; a record of another version is out of date",
}
UNITS = {
    "num_steps": "mini-batch steps",
    "epochs": "passes over the data",
    "batch_size": "images",
    "projection": "features",
    "delta": "a probability",
    "clip_norm": "norm of an image's gradient",
    "loss_clip": "loss of an image",
    "noise_multiplier": "sensitivities",
    "decay": "per step",
    **dict.fromkeys(("total_epsilon", "target_epsilon", "targets", "budgets"), "ε, a pure number"),
    **dict.fromkeys(("nominal_sensitivity", "initial_scale", "min_scale"), "the summed gradient's"),
    **dict.fromkeys(("mean_noise", "moment_noise"), "the summed features'"),
    **dict.fromkeys(("learning_rate", "max_step", "thresholds"), "a step size"),
    **dict.fromkeys(("cap_factors", "growth"), "a ratio"),
    **dict.fromkeys(("loss_share", "momentum"), "a share"),
}


class Parameter(NamedTuple):
    """One line of the parameters cell of a notebook."""

    name: str
    default: str  # as it is written
    meaning: str  # its comment


@cache
def notebooks() -> dict[str, tuple[Parameter, ...]]:
    """Return the parameters of every notebook, by its name."""
    return {path.stem: parameters_of(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def parameters_of(path: Path) -> tuple[Parameter, ...]:
    """Return the parameters that the cell of a notebook has, in order; one that says nothing means what Config says.

    Raises:
        ValueError: nobody says what one of them means.
    """
    said = meanings()
    found = []
    for one in papermill.inspect_notebook(str(path)).values():
        meaning = one["help"] or said.get(one["name"])
        if not meaning:
            raise ValueError(f"{path.name}: parameter {one['name']!r} has no comment; say in one what it means")
        found.append(Parameter(one["name"], one["default"], meaning))
    return tuple(found)


# --- types and ranges ---------------------------------------------------------------------------------------


def refused(name: str, value: Any) -> bool:
    """Return whether Config refuses a value of a field by itself, whatever the other fields are.

    >>> refused("num_steps", 0), refused("num_steps", 1)
    (True, False)
    """
    least = {"method": "cnn", "reading": "reconstructed", "dataset": "digits", "num_steps": 1}
    for more in ({}, {"loss_clip": 1.0}):  # some checks need a released loss
        try:
            Config(**{**least, **more, name: value})
        except (TypeError, ValueError) as error:
            if str(error).startswith(f"{name}={value!r} must "):
                return True
    return False


def range_of(name: str) -> str:
    """Return which values a field of Config may have, found by trying; "" for what is no field, or has no range.

    >>> range_of("batch_size"), range_of("momentum"), range_of("clip_norm"), range_of("noise_on")
    ('at least 1', 'at least 0, below 1', 'above 0', '`sum`, `mean`')
    """
    if name not in hints():
        return ""
    kinds = typing.get_args(hints()[name]) or (hints()[name],)
    if name in CHOICES:
        return choices(CHOICES[name])
    if int in kinds:
        allowed = next(value for value in (-1, 0, 1, 2) if not refused(name, value))
        return "" if allowed < 0 else f"at least {allowed}"
    if float not in kinds:
        return ""
    low = "above 0" if refused(name, 0.0) else "at least 0" if refused(name, -1.0) else ""
    return ", ".join(part for part in (low, "below 1" if refused(name, 1.0) else "") if part)


def choices(values: Iterable[str]) -> str:
    """Return names to choose from.

    >>> choices(["auto", "a path"])
    '`auto`, a path'
    """
    return listed(one if one == A_PATH else f"`{one}`" for one in values)


def type_of(name: str, default: str) -> str:
    """Return the type of a parameter of a notebook, and its range where Config or the sections decide it.

    >>> type_of("num_steps", "None"), type_of("batch_size", "100"), type_of("targets", "None")
    ('int or None; at least 1', 'int; at least 1', 'list of numbers above 0, or None')
    """
    value = ast.literal_eval(default)
    if name in GRIDS:
        return "list of numbers above 0, or None"
    if name == "seeds" and value is None:
        return "list of different int, at least 0, or None"
    if name in ("methods", "readings"):
        return f"list or None; {choices(NAMES[name])}"
    own = [one for one in PARAMETERS.get(name, (str,)) if one is not type(None)]
    kind = type_names([*own, type(None)]) if value is None else type(value).__name__
    if name == "dataset" and value != "digits":  # its comment says which
        return kind
    return "; ".join(part for part in (kind, choices(NAMES.get(name, ())) or range_of(name)) if part)


def field_type(name: str) -> str:
    """Return the type of a field of Config.

    >>> field_type("clip_norm")
    'float or None'
    """
    return type_names(typing.get_args(hints()[name]) or (hints()[name],))


# --- the tables ---------------------------------------------------------------------------------------------


def section_parameters() -> str:
    """Return each parameter of the sections once, by what it means, in Markdown."""
    taken: dict[Parameter, list[str]] = {}
    for name in SECTIONS:
        for one in notebooks()[name]:
            taken.setdefault(one, []).append(name)
    order = list(dict.fromkeys([*COMMON, *PARAMETERS, *GRIDS, *(one.name for one in taken)]))
    chosen = sorted(taken, key=lambda one: (order.index(one.name), -len(taken[one])))
    return table([[*cells_of(one), takers(taken[one])] for one in chosen], (*HEADER, "Sections"))


def other_parameters() -> str:
    """Return what each notebook takes that is no section, in Markdown."""
    others = [name for name in notebooks() if name not in SECTIONS]
    rows = [[linked(name), *cells_of(one, name)] for name in others for one in notebooks()[name]]
    return table(rows, ("Notebook", *HEADER))


def cells_of(one: Parameter, notebook: str = "") -> list[str]:
    """Return name, meaning, default, and what is allowed of a parameter."""
    kind = KINDS.get((notebook, one.name)) or type_of(one.name, one.default)
    return [f"`{one.name}`", one.meaning, f"`{one.default}`", with_unit(kind, one.name)]


def with_unit(kind: str, name: str) -> str:
    """Return what is allowed, with its unit where it has one.

    >>> with_unit("int; at least 1", "batch_size"), with_unit("bool", "refresh")
    ('int; at least 1 (images)', 'bool')
    """
    return f"{kind} ({UNITS[name]})" if name in UNITS else kind


def takers(found: list[str]) -> str:
    """Return which sections take a parameter: all, so many, or their names."""
    if set(found) == set(SECTIONS):
        return "every section"
    return counted(len(found), "section") if len(found) > SEVERAL else ", ".join(map(linked, found))


def linked(notebook: str) -> str:
    """Return the name of a notebook as a link to the first of its pages in the book."""
    names = (Page(folder, notebook).docname for folder in (SHARED, *DATASETS))
    page = next((name for name in names if (ROOT / f"{name}.ipynb").exists()), None)
    return f"{{doc}}`{notebook} </{page}>`" if page else f"`{notebook}`"


def section_options() -> str:
    """Return for each section what its notebook takes, and how much each profile runs, in Markdown."""
    rows = [
        [
            linked(name),
            choices(one.name for one in notebooks()[name] if one.name not in COMMON) or "–",
            listed(pretty(dataset) for dataset in section.datasets),
            *(size(name, profile) for profile in PROFILES),
            choices(section.sets) or "–",
        ]
        for name, section in SECTIONS.items()
    ]
    header = ("Section", "Takes besides", "Datasets", *(f"`{profile}`" for profile in PROFILES), "Sets itself")
    return table(rows, header)


def size(section: str, profile: str) -> str:
    """Return how many steps a profile has, times how many seeds.

    >>> size("fig09_comparison", "paper")
    '300, 600, 1,200 × 5'
    """
    found = size_of(section, Options(SECTIONS[section].datasets[0], profile=profile))
    return f"{listed(f'{steps:,}' for steps in found.num_steps)} × {len(found.seeds)}"


def meanings() -> dict[str, str]:
    """Return what each field of Config means: the comment beside it, or what stands in FURTHER."""
    lines = inspect.getsource(Config).splitlines()
    said = {match[1]: match[2] for line in lines if (match := re.match(r" {4}(\w+): [^#]*# (.+)$", line))}
    return {field.name: said.get(field.name) or FURTHER[field.name] for field in dataclasses.fields(Config)}


def config_fields() -> str:
    """Return every field of Config in Markdown."""
    said = meanings()
    rows = [
        [
            f"`{field.name}`" + ("*" if field.name in RESERVED else ""),
            said[field.name],
            "needed" if field.default is dataclasses.MISSING else f"`{field.default!r}`",
            with_unit("; ".join(part for part in (field_type(field.name), range_of(field.name)) if part), field.name),
        ]
        for field in dataclasses.fields(Config)
    ]
    return table(rows, ("Field", *HEADER[1:]))


TABLES = {
    "section-parameters": section_parameters,
    "section-options": section_options,
    "other-parameters": other_parameters,
    "config-fields": config_fields,
}


class Reference(MarkdownDirective):
    """A table of the reference, by the name of the directive."""

    optional_arguments = 0

    def markdown(self) -> str:
        """Return the table."""
        one_of(TABLES, directive=self.name)
        return TABLES[self.name]()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name in TABLES:
        app.add_directive(name, Reference)
    return {"version": "1", "parallel_read_safe": True}
