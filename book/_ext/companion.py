"""Sphinx extension of the book: numbers, tables and a footer made from the run records at build time.

- role ``{measured}`section dataset column=value ... :: statistic` ``: one number with spread, an error without runs;
- directive ``{comparison}``: the papers' claims beside what was measured, optionally of one section;
- directive ``{forgeries}``: what notices each forgery, of ``records`` or ``pages``;
- directive ``{lead}``: the figure of the first page;
- directive ``{run-statistics}``: what is recorded, how long it took, and what is not yet run.
"""

import shlex
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.parsers.rst.states import Inliner
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from vector import ACCENT, INK, QUIET, WARNING, svg

from cnndp.__main__ import parse
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import findings, numbers, tables, verdicts
from cnndp.report.figures import lead
from cnndp.runs import experiment, provenance, store

CHECKS = Path(__file__).resolve().parents[1] / "checks.yml"


def parts_of(text: str) -> tuple[str, str, dict[str, Any], str]:
    """Return section, dataset, columns with their values, and statistic.

    >>> parts_of('fig09_comparison mnist name="DP-SGD" num_steps=300 :: test_accuracy')
    ('fig09_comparison', 'mnist', {'name': 'DP-SGD', 'num_steps': 300}, 'test_accuracy')
    """
    asked, separator, statistic = text.partition(" :: ")
    words = shlex.split(asked)
    if not separator or len(words) < 2 or not all("=" in word for word in words[2:]):
        raise ValueError("it must look like 'SECTION DATASET COLUMN=VALUE ... :: STATISTIC'")
    section, dataset, *conditions = words
    return section, dataset, parse(tuple(conditions)), statistic.strip()


@cache
def runs_of(section: str, dataset: str, root: Path) -> pd.DataFrame:
    """Return the runs of a page; a build reads them once, however many numbers it takes from them."""
    return findings.runs_of(section, dataset)


@cache
def all_runs(root: Path) -> pd.DataFrame:
    """Return the runs of all sections; a build reads them once."""
    return findings.all_runs()


def measured_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Inliner, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Return the number that `text` asks for, by column."""
    try:
        section, dataset, where, statistic = parts_of(text)
        number = numbers.measured(runs_of(section, dataset, store.default_root()), statistic, **where)
    except ValueError as error:
        message = inliner.reporter.error(f"measured {text!r}: {error}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.inline(text=number, classes=["measured"])], []


def choice(name: str, label: str, values: Mapping[str, str]) -> str:
    """Return a labelled list to choose from as HTML.

    >>> choice("dataset", "Dataset", {"mnist": "MNIST"})
    '<label>Dataset <select name="dataset"><option value="mnist">MNIST</option></select></label>'
    """
    options = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in values.items())
    return f'<label>{label} <select name="{name}">{options}</select></label>'


def put_static(app: Sphinx, name: str, content: bytes) -> None:
    """Write a file that a package brings among the static files of the pages."""
    if app.builder.format == "html":
        folder = Path(app.outdir) / "_static"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


class MarkdownDirective(Directive):  # type: ignore[misc]  # docutils has no types
    """A directive whose content is Markdown made by `markdown`."""

    optional_arguments = 1

    def markdown(self) -> str:
        """Return the text."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the text as the page itself is parsed."""
        container = nodes.container(classes=["scroll-x"])
        self.state.nested_parse(StringList(self.markdown().splitlines()), self.content_offset, container)
        return [container]


class Comparison(MarkdownDirective):
    """The papers' claims, of all sections or of the one that is the argument."""

    def markdown(self) -> str:
        """Return the table."""
        return findings.comparison(self.arguments[0] if self.arguments else "")


class ClaimSummary(MarkdownDirective):
    """How many of the papers' claims hold."""

    def markdown(self) -> str:
        """Return one sentence."""
        return findings.claim_summary(verdicts.compare(all_runs(store.default_root())))


class Lead(Directive):  # type: ignore[misc]  # docutils has no types
    """The figure of the first page: headline claims, and what each reading of them gives."""

    def run(self) -> list[nodes.Node]:
        """Draw it in the colours of the page."""
        rows = findings.lead(all_runs(store.default_root()))
        colours = {"paper": INK, "printed": QUIET, "reconstructed": ACCENT, "private": WARNING}
        drawn = svg(lead.lead(rows, INK, colours), lead.described(rows), min_width=20, max_width=38)
        return [nodes.raw(text=f'<figure class="scroll-x">\n{drawn}\n</figure>', format="html")]


class Forgeries(MarkdownDirective):
    """What notices each forgery of a record or of a page, from book/checks.yml."""

    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        """Return the table."""
        return forgeries(self.arguments[0])


def forgeries(part: str) -> str:
    """Return one row a forgery in Markdown: what is forged, and the checks that notice it.

    Args:
        part: "records" or "pages".
    """
    rows = yaml.safe_load(CHECKS.read_text(encoding="utf-8"))[part]
    cells = [[row["forged"], ", ".join(f"`{name}`" for name in row["noticed"])] for row in rows]
    return tables.table(cells, ("Forged", "Noticed by"))


class RunStatistics(MarkdownDirective):
    """What is recorded of the book's matrix, and what is not."""

    def markdown(self) -> str:
        """Return the table."""
        return run_statistics()


def run_statistics() -> str:
    """Return one row for each section and dataset in Markdown."""
    cells = []
    for section, dataset in ((name, dataset) for name, entry in SECTIONS.items() for dataset in entry.datasets):
        rows = pd.DataFrame(experiment.status(findings.study_of(section, dataset)))
        steps = sorted(set(rows["num_steps"]))
        cells.append(
            [
                f"`{section}`",
                numbers.pretty(dataset),
                numbers.listed(f"{count:,}" for count in steps),
                f"{rows['recorded'].sum()} of {len(rows)}" if rows["recorded"].any() else "not yet run",
                f"{rows['seconds'].mean():.0f}" if rows["recorded"].any() else "",
                numbers.listed(rows["device"].dropna()),
            ]
        )
    return tables.table(cells, ("Section", "Dataset", "Steps", "Runs recorded", "Seconds a run", "Device"))


def add_footer(app: Sphinx, config: Any) -> None:
    """Name the commit the book was built from at the foot of every page."""
    options = dict(config.html_theme_options)
    options["extra_footer"] = f"<p>Built from commit <code>{provenance.commit()}</code>.</p>"
    config.html_theme_options = options


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role, the directives and the footer."""
    app.add_role("measured", measured_role)
    app.add_directive("comparison", Comparison)
    app.add_directive("claim-summary", ClaimSummary)
    app.add_directive("lead", Lead)
    app.add_directive("run-statistics", RunStatistics)
    app.add_directive("forgeries", Forgeries)
    app.connect("config-inited", add_footer)
    return {"version": "1", "parallel_read_safe": True}
