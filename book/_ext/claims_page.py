"""Sphinx extension: the page of all claims.

- directive ``{claims-list}``: every claim with verdict, numbers, reason and records as one table of HTML, whole and
  plain without JavaScript; with it, filters, sorting (DataTables, as itables packs it) and a slider for the tolerance.

Each row has its claim's key as an id, and a label: ``{ref}`text <claim-p1.fig09.mnist.polyak>` `` leads to it.
"""

import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from companion import all_runs, choice, put_static
from docutils import nodes
from docutils.parsers.rst import Directive
from pages import Page
from sphinx.application import Sphinx

from cnndp.report import claims_list
from cnndp.report.claims_list import Item
from cnndp.report.findings import VERDICTS
from cnndp.report.numbers import pretty
from cnndp.report.verdicts import NOT_REPRODUCED, READINGS, REPRODUCED, in_order
from cnndp.runs import store

PLACES = {  # sections that claims name, as a reader knows them
    "fig07_ablation": "P1, Fig. 7",
    "fig08_loss": "P1, Fig. 8",
    "fig09_comparison": "P1, Fig. 9",
    "fig10_thresholds": "P1, Fig. 10",
    "table2_budget": "P1, Table II",
    "p2_table3": "P2, Tables 2 and 3",
}
PAGES = {"table2_budget": "table2_budgets"}  # sections whose page has another name
COLUMNS = ("Claim", "Verdict", "Paper", *(name.capitalize() for name in READINGS), "Difference", "Reason", "Figure")
SORTED = COLUMNS[:-2]
UNITS = {"%": " %", "points": " points", "epsilon": "", "dataset": ""}
RECORDS = "_downloads/records"  # short addresses: a claim may rest on sixty records
DATATABLES = "datatables.js"
EXPORT = re.compile(r"\bexport\{(?:[^}]*,)?([\w$]+) as default\b[^}]*\};?")


class Links(NamedTuple):
    """Where the rows lead to, relative to the page.

    Args:
        pages: address by document.
        records: file of each record by digest.
        folder: address of the copies of records.
    """

    pages: Mapping[str, str]
    records: Mapping[str, Path]
    folder: str


# --- one row ----------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    """Return a verdict as the end of a class.

    >>> slug("not yet run")
    'not-yet-run'
    """
    return text.replace(" ", "-")


def cell(label: str, content: str, order: object = None) -> str:
    """Return a cell of HTML; on a phone its label stands before it.

    Args:
        label: heading of its column.
        content: HTML.
        order: what it is sorted by, where that is not its text.
    """
    sorted_by = "" if order is None else f' data-order="{order}"'
    kind = "" if content else ' class="empty"'
    return f'<td role="cell" data-label="{label}"{kind}{sorted_by}>{content}</td>'


def known(number: float) -> object:
    """Return a number to sort by; "" for NaN, which comes first."""
    return "" if math.isnan(number) else round(number, 6)


def stated(one: Item) -> str:
    """Return what the paper states, as HTML; an ordering from the smallest number to the largest."""
    if isinstance(one.claim.value, tuple):
        return "&nbsp;&lt;<br>".join(map(escape, in_order(one.claim)))
    value = f"{one.claim.value:g}" if isinstance(one.claim.value, int | float) else str(one.claim.value)
    return escape(value) + UNITS.get(one.claim.unit, f" {escape(one.claim.unit)}")


def measured(one: Item, reading: str) -> str:
    """Return what runs of a reading gave, as HTML: "mean ± std (n)", or the mean of each label, a line each."""
    return "<br>".join(escape(part) for part in str(one.row[reading]).split("; "))


def chip(verdict: str) -> str:
    """Return a verdict as a word on its colour."""
    return f'<span class="verdict verdict-{slug(verdict)}">{escape(verdict)}</span>'


def note(one: Item) -> str:
    """Return what to know of a claim, folded; "" where that is its reason."""
    if not one.claim.note or one.claim.fixed:
        return ""
    hidden = f'<span class="visually-hidden"> on: {escape(one.claim.what)}</span>'
    return f"<details><summary>Note{hidden}</summary><small>{escape(one.claim.note)}</small></details>"


def records(one: Item, links: Links) -> str:
    """Return the records that decide a claim as HTML: their folders, and each with its digest and a copy."""
    found = sorted((links.records[digest].parent, digest) for digest in one.digests if digest in links.records)
    parts = []
    for folder, group in groupby(found, key=lambda pair: pair[0]):
        copies = " ".join(f'<a href="{links.folder}/{digest}.json">{digest}</a>' for _, digest in group)
        path = escape(f"book/results/{folder.as_posix()}").replace("/", "/<wbr>")
        parts.append(f"<p><code>{path}</code><br>{copies}</p>")
    if not parts:
        return ""
    count = f"{len(found)} record{'' if len(found) == 1 else 's'}"
    hidden = f'<span class="visually-hidden"> of: {escape(one.claim.what)}</span>'
    return f'<details class="claim-records"><summary>{count}{hidden}</summary>{"".join(parts)}</details>'


def figure(one: Item, links: Links) -> str:
    """Return the link to the page of a claim's figure, "" where the book has none."""
    address = links.pages.get(page_of(one))
    text = f"{place_of(one.claim.section).removeprefix(f'{one.claim.paper}, ')}, {pretty(one.claim.dataset)}"
    return f'<a href="{address}">{escape(text)}</a>' if address else ""


def place_of(section: str) -> str:
    """Return how a reader knows a section that claims name."""
    return PLACES.get(section, section)


def page_of(one: Item) -> str:
    """Return the document that shows a claim's runs."""
    section = PAGES.get(one.claim.section, one.claim.section)
    return Page(one.claim.dataset, section).docname


def row(one: Item, links: Links, first: bool) -> str:
    """Return a claim as a row of HTML.

    Args:
        one: the claim.
        links: where it leads to.
        first: whether it is the first of its section, whose name then leads to it.
    """
    claim, verdict = one.claim, str(one.row["verdict"])
    facts = {
        "paper": claim.paper,
        "section": claim.section,
        "dataset": claim.dataset,
        "own": verdict,
        "now": verdict,
        "least": "" if one.least is None else "Infinity" if math.isinf(one.least) else f"{one.least}",
    }
    data = " ".join(f'data-{name}="{escape(value)}"' for name, value in facts.items())
    anchor = f'<span id="{claim.section}"></span>' if first else ""
    what = escape(claim.what[0].upper() + claim.what[1:])
    place = f"<small>{escape(f'{claim.paper}, {claim.place}')}</small>"
    means = {reading: float(one.row[f"mean_{reading}"]) for reading in READINGS}
    off = float(one.row["difference"])
    cells = [
        f'<th role="rowheader" scope="row">{anchor}{what}{place}</th>',
        cell("Verdict", f'{chip(verdict)}<small class="own"></small>', VERDICTS.index(verdict)),
        cell("Paper", stated(one), known(math.nan if isinstance(claim.value, tuple | str) else claim.value)),
        *(cell(name.capitalize(), measured(one, name), known(means[name])) for name in READINGS),
        cell("Difference", "" if math.isnan(off) else f"{off:+.2f}", known(off)),
        cell("Reason", f"<span>{escape(one.reason)}</span>{note(one)}{records(one, links)}"),
        cell("Figure", figure(one, links)),
    ]
    return f'<tr role="row" id="{claim.key}" {data}>{"".join(cells)}</tr>'


# --- the table and its tools ------------------------------------------------------------------------------


def table(listed: Sequence[Item], links: Links) -> str:
    """Return all claims as a table of HTML."""
    heads = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in COLUMNS)
    seen: set[str] = set()
    rows = []
    for one in listed:
        rows.append(row(one, links, one.claim.section not in seen))
        seen.add(one.claim.section)
    return (
        '<table role="table" aria-label="All claims of both papers">'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def tools(listed: Sequence[Item]) -> str:
    """Return the filters, the order and the tolerance as a form, which shows itself where JavaScript runs."""
    sections = dict.fromkeys(one.claim.section for one in listed)
    found = {str(one.row["verdict"]) for one in listed} | {REPRODUCED, NOT_REPRODUCED}
    datasets = dict.fromkeys(one.claim.dataset for one in listed)
    sorts = {f"{place} asc": name.lower() for place, name in enumerate(SORTED)}
    sorts |= {f"{place} desc": f"{name.lower()}, falling" for place, name in enumerate(SORTED)}
    filters = [
        '<label>Search <input type="search" name="text" autocomplete="off"></label>',
        choice("paper", "Paper", {"": "all", **{one.claim.paper: one.claim.paper for one in listed}}),
        choice("section", "Section", {"": "all", **{name: place_of(name) for name in sections}}),
        choice("dataset", "Dataset", {"": "all", **{name: pretty(name) for name in datasets if name}}),
        choice("now", "Verdict", {"": "all", **{name: name for name in VERDICTS if name in found}}),
        choice("sort", "Order", {"": "of the papers", **sorts}),
        '<button type="button" name="all">Show all</button>',
    ]
    slider = (
        f'<input type="range" name="tolerance" id="claims-tolerance" min="{claims_list.LEVELS[0]:g}" '
        f'max="{claims_list.LEVELS[-1]:g}" step="{claims_list.LEVELS[1]:g}" value="1" aria-describedby="claims-count">'
    )
    return (
        f'<form class="claims-tools" aria-label="Filters and tolerance" hidden><div>{"".join(filters)}</div>'
        f'<div class="tolerance"><label for="claims-tolerance">Tolerance</label>{slider}'
        '<output for="claims-tolerance">the book’s own rule</output>'
        f'<button type="button" name="own">Back to the book’s own rule</button><p>{scope(listed)}</p></div></form>'
    )


def count(listed: Sequence[Item]) -> str:
    """Return how many claims have which verdict under the book's own rule, as a sentence."""
    counts = claims_list.recount(listed)
    others = ", ".join(f"{counts[name]} {name}" for name in VERDICTS[1:] if counts[name])
    return f"{counts[REPRODUCED]} of {len(listed)} claims are reproduced; {others}."


def scope(listed: Sequence[Item]) -> str:
    """Return which claims the tolerance is about, as a sentence."""
    numbers = sum(one.least is not None for one in listed)
    return (
        f"The tolerance is about the {numbers} claims with a measured number in % or points; "
        f"the other {len(listed) - numbers} (orderings, values of ε, and what no run decides) keep their verdict."
    )


def page(listed: Sequence[Item], links: Links) -> str:
    """Return everything that the directive shows, as HTML."""
    names = f'data-reproduced="{REPRODUCED}" data-missed="{NOT_REPRODUCED}"'
    return (
        f'<div class="claims" id="claims" {names}>\n{tools(listed)}\n'
        f'<p id="claims-count" role="status">{count(listed)}</p>\n'
        f"{table(listed, links)}\n</div>"
    )


# --- Sphinx -----------------------------------------------------------------------------------------------


def record_files(root: Path) -> dict[str, Path]:
    """Return the file of each record by its digest, relative to the store."""
    return {path.stem.rpartition("-")[2]: path.relative_to(root) for path in sorted(root.glob("*/*/*.json"))}


class ClaimsList(Directive):  # type: ignore[misc]  # docutils has no types
    """All claims."""

    def run(self) -> list[nodes.Node]:
        """Return the table, and note the labels of its rows and the records that it leads to."""
        env = self.state.document.settings.env
        root = store.default_root()
        listed = claims_list.items(all_runs(root))
        files = record_files(root)
        pages = {page_of(one) for one in listed} & env.found_docs
        addresses = {name: env.app.builder.get_relative_uri(env.docname, name) for name in sorted(pages)}
        up = "../" * env.docname.count("/")
        links = Links(addresses, files, f"{up}{RECORDS}")
        labels = env.get_domain("std")
        for one in listed:
            labels.labels[f"claim-{one.claim.key}"] = env.docname, one.claim.key, one.claim.what
            labels.anonlabels[f"claim-{one.claim.key}"] = env.docname, one.claim.key
        used = {digest: str(root / files[digest]) for one in listed for digest in one.digests if digest in files}
        env.metadata[env.docname]["claims"] = used
        return [nodes.raw("", page(listed, links), format="html")]


def as_script(module: str) -> str:
    """Return a module of JavaScript as a script that sets `window.DataTable` to its default export.

    A page that is opened from a folder may load scripts, but no modules.

    >>> print(as_script("var a=1;export{b as c,a as default};"))
    (function(){"use strict";var a=1;window.DataTable=a;
    })();
    """
    changed, times = EXPORT.subn(lambda found: f"window.DataTable={found[1]};", module)
    if times != 1:
        raise ValueError(f"the bundle of itables has {times} default exports; pin the version that this was made for")
    return f'(function(){{"use strict";{changed}\n}})();'


def with_files(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the style and the scripts on the page of claims alone."""
    if "claims" in app.env.metadata.get(pagename, {}):
        app.add_css_file("claims.css")
        app.add_js_file(DATATABLES, loading_method="defer")
        app.add_js_file("claims.js", loading_method="defer")


def put_datatables(app: Sphinx) -> None:
    """Write DataTables among the static files."""
    bundle = resources.files("itables") / "html" / "dt_bundle.js"
    put_static(app, DATATABLES, as_script(bundle.read_text(encoding="utf-8")).encode())


def copy_records(app: Sphinx, exception: Exception | None) -> None:
    """Copy the records that pages lead to into the book."""
    used = [found["claims"] for found in app.env.metadata.values() if "claims" in found]
    if exception or not used or app.builder.format != "html":
        return
    folder = Path(app.outdir) / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    for digest, path in merged(used).items():
        shutil.copyfile(path, folder / f"{digest}.json")


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return mappings as one."""
    return {name: value for part in parts for name, value in part.items()}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, and what its page loads."""
    app.add_directive("claims-list", ClaimsList)
    app.connect("builder-inited", put_datatables)
    app.connect("html-page-context", with_files)
    app.connect("build-finished", copy_records)
    return {"version": "1", "parallel_read_safe": True}
