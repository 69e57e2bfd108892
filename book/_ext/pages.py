"""Sphinx extension: what the pages of executed notebooks have beside their cells.

In the order of a page: its datasets as a switcher, what to read first and how long it takes (in the margin), a command
under every figure, a section on how to re-run it, and, folded at the end, the cells that a reader needs last:
parameters, imports and live check. Searching for "Fig. 9" finds its page, and previous and next follow the story.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml
from companion import runs_of
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import numbers
from cnndp.runs import store
from cnndp.runs.estimate import duration

ROOT = Path(__file__).resolve().parents[2]
RUNS = "notebooks/runs/"
SHARED = "shared"
DATASETS = ("mnist", "fashion_mnist", "cifar10")  # as the switcher shows them; a user's own come after
SETUP = {"tag_setup", "tag_parameters", "tag_injected-parameters"}
CHECK = "tag_live-check"
FALLBACK = {"num_steps": 60, "seeds": [0]}  # a change that every section takes
LAST = "Provenance"


class Page(NamedTuple):
    """The executed notebook of a section on a dataset."""

    dataset: str
    section: str

    @property
    def docname(self) -> str:
        """Return its name in the book."""
        return f"{RUNS}{self.dataset}/{self.section}"


def page_of(docname: str) -> Page | None:
    """Return the page that a document is; None for one that is no executed notebook.

    >>> page_of("notebooks/runs/mnist/fig09_comparison")
    Page(dataset='mnist', section='fig09_comparison')
    >>> page_of("book/index") is None
    True
    """
    parts = PurePosixPath(docname).parts
    return Page(*parts[2:]) if docname.startswith(RUNS) and len(parts) == 4 else None


@cache
def extras() -> dict[str, dict[str, Any]]:
    """Return book/pages.yml."""
    known: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "book" / "pages.yml").read_text(encoding="utf-8"))
    return known


@cache
def matrix() -> dict[str, dict[str, dict[str, Any] | None]]:
    """Return the parameters of every executed notebook, by dataset and section."""
    read = yaml.safe_load((ROOT / "notebooks" / "matrix.yml").read_text(encoding="utf-8"))
    return {**read["runs"], SHARED: read[SHARED]}


def siblings(page: Page, documents: Iterator[str] | set[str]) -> list[Page]:
    """Return the pages of a section, a dataset each, in the order of the switcher."""
    found = [other for name in documents if (other := page_of(name)) and other.section == page.section]
    order = {name: place for place, name in enumerate(DATASETS)}
    return sorted(found, key=lambda other: (order.get(other.dataset, len(order)), other.dataset))


def to_page(docname: str, text: str, *classes: str) -> addnodes.pending_xref:
    """Return a link to a page of the book."""
    shown = nodes.inline("", text, classes=[*classes])
    return addnodes.pending_xref(
        "", shown, reftype="doc", refdomain="std", reftarget=f"/{docname}", refexplicit=True, refwarn=True
    )


def switcher(page: Page, pages: list[Page]) -> nodes.container:
    """Return the datasets of a section, the one that is shown without a link."""
    line = nodes.paragraph()
    for other in pages:
        name = numbers.pretty(other.dataset)
        line += nodes.strong("", name) if other == page else to_page(other.docname, name)
    return nodes.container("", line, classes=["datasets"])


def margin(page: Page, documents: set[str]) -> nodes.sidebar:
    """Return what stands beside the first lines of a page: what to read first, and what it takes."""
    box = nodes.sidebar("", nodes.title("", "This page"), classes=["margin", "this-page"])
    needs = [known for name in extras().get(page.section, {}).get("needs", ()) if (known := known_as(name, documents))]
    if needs:
        line = nodes.paragraph("", "Read first: ")
        for number, docname in enumerate(needs):
            line += [nodes.Text(", ")] if number else []
            line += addnodes.pending_xref(
                "",
                nodes.inline(""),
                reftype="doc",
                refdomain="std",
                reftarget=f"/{docname}",
                refexplicit=False,
                refwarn=True,
            )
        box += line
    box += nodes.paragraph("", effort(page))
    return box


def known_as(name: str, documents: set[str]) -> str | None:
    """Return the document that `needs` names: a page of the book, or the first page of a section."""
    if name in documents:
        return name
    pages = siblings(Page("", name), documents)
    return pages[0].docname if pages else None


def effort(page: Page) -> str:
    """Return how long a page takes: from the records, and trained anew."""
    if page.section not in SECTIONS or page.dataset not in SECTIONS[page.section].datasets:
        return "Nothing to train: seconds."
    runs = runs_of(page.section, page.dataset, store.default_root())
    seconds = float(runs["seconds"].sum())
    return f"From its {len(runs)} records: seconds. Trained anew: {duration(seconds)} on one CPU core."


def parameters_of(page: Page) -> dict[str, Any]:
    """Return the parameters that a page was executed with."""
    own = dict(matrix().get(page.dataset, {}).get(page.section) or {})
    return own if page.dataset == SHARED else {"dataset": page.dataset, **own}


def options(parameters: Mapping[str, Any]) -> str:
    """Return parameters as options of a command.

    >>> options({"dataset": "mnist", "seeds": [0, 1]})
    "-p dataset mnist -p seeds '[0, 1]'"
    """
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in parameters.items())


def change_of(section: str) -> dict[str, Any]:
    """Return a change of parameters that is worth trying."""
    given: dict[str, Any] | None = extras().get(section, {}).get("change")
    return given if given is not None else FALLBACK if section in SECTIONS else {}


def figure_commands(page: Page, number: int) -> str:
    """Return the command that makes a figure of a page, and one that makes it with other parameters."""
    own, change = parameters_of(page), change_of(page.section)
    base = f"python notebooks/figure.py {page.section} {number}"
    lines = [f"{base} {options(own)}".rstrip()]
    if change:
        lines.append(f"{base} {options({**own, **change})} -o mine.png")
    return "\n".join(lines)


def page_commands(page: Page) -> str:
    """Return the commands that execute a whole page as it is, and with other parameters."""
    own, change = parameters_of(page), change_of(page.section)
    base = f"papermill notebooks/{page.section}.ipynb out.ipynb"
    given = [own, {**own, **change}] if change else [own]
    return "\n".join(f"{base} {papermill_options(one)}".rstrip() for one in given)


def papermill_options(parameters: Mapping[str, Any]) -> str:
    """Return parameters as papermill takes them: lists through -y.

    >>> papermill_options({"dataset": "mnist", "seeds": [0, 1]})
    "-p dataset mnist -y 'seeds: [0, 1]'"
    """
    return " ".join(
        f"-y {shlex.quote(f'{name}: {value}')}" if isinstance(value, list) else f"-p {name} {shlex.quote(str(value))}"
        for name, value in parameters.items()
    )


def console(text: str) -> nodes.literal_block:
    """Return commands that can be copied."""
    return nodes.literal_block(text, text, language="bash")


def folded(summary: str, *content: nodes.Node, classes: str) -> nodes.container:
    """Return content that opens on a click, with or without JavaScript."""
    start = f'<details class="{classes}"><summary>{escape(summary)}</summary>'
    return nodes.container(
        "", nodes.raw("", start, format="html"), *content, nodes.raw("", "</details>", format="html"), classes=[classes]
    )


def rerun(page: Page, repository: str) -> nodes.section:
    """Return the section on how to execute a page again."""
    name = f"{page.section}.ipynb"
    download = addnodes.download_reference(
        "", "", nodes.literal("", name), reftarget=f"/notebooks/{name}", refdoc=page.docname, classes=["download"]
    )
    line = nodes.paragraph("", "", nodes.Text("Notebook: "), download, nodes.Text(". "))
    line += [to_page("book/rerun", "How to set up"), nodes.Text(". "), to_page("book/parameters", "Its parameters")]
    line += nodes.Text(".")
    section = nodes.section("", nodes.title("", "How to re-run"), ids=["how-to-re-run"], names=["how to re-run"])
    section += [line, console(page_commands(page))]
    if repository:
        section += launchers(repository, name)
    return section


def launchers(repository: str, name: str) -> nodes.paragraph:
    """Return links that open a notebook elsewhere."""
    where = {
        "Open in Colab": f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}",
        "Open in Binder": f"https://mybinder.org/v2/gh/{repository}/main?labpath=notebooks/{name}",
    }
    line = nodes.paragraph(classes=["launchers"])
    for text, address in where.items():
        line += [nodes.reference("", text, refuri=address, internal=False), nodes.Text(" ")]
    return line


class Dressed(SphinxTransform):
    """Put everything around the cells of an executed notebook."""

    default_priority = 700  # before the domains read index entries and labels

    def apply(self, **kwargs: Any) -> None:
        """Change the page in place."""
        page = page_of(self.env.docname)
        body = next(self.document.findall(nodes.section), None)
        if page is None or body is None:
            return
        documents = set(self.env.found_docs)
        if not extras().get(page.section, {}).get("stays"):
            move_to_the_end(body)
        under_figures(page, body)
        section_on_rerun(page, body, self.config.repository_address)
        pages = siblings(page, documents)
        front: list[nodes.Node] = [index_entries(page, body["ids"][0])]
        front += [switcher(page, pages)] if len(pages) > 1 else []
        body[1:1] = front
        body.insert(after_the_claim(body), margin(page, documents))


def after_the_claim(body: nodes.section) -> int:
    """Return the place behind the first lines of a page, where its margin is free."""
    later = (
        place for place, part in enumerate(body.children) if isinstance(part, nodes.section) or part in cells(body)
    )
    return next(later, len(body))


def index_entries(page: Page, target: str) -> addnodes.index:
    """Return what a search finds a page by."""
    entries = []
    for entry in extras().get(page.section, {}).get("index", ()):
        spelt = dict.fromkeys((entry, entry.replace(".", ""), re.sub(r"\bFig\.", "Figure", entry)))
        entries += [("single", text, target, "main", None) for text in spelt]
    return addnodes.index(entries=entries)


def cells(node: nodes.Element) -> list[nodes.container]:
    """Return the code cells below a node."""
    return [one for one in node.findall(nodes.container) if one.get("nb_element") == "cell_code"]


def under_figures(page: Page, body: nodes.section) -> None:
    """Put the command that makes it under every figure, with the code of its cell."""
    number = 0
    for cell in cells(body):
        if next(cell.findall(nodes.image), None) is None:
            continue
        number += 1
        source = [part for part in cell.children if part.get("nb_element") == "cell_code_source"]
        for part in source:
            cell.remove(part)
        content = (console(figure_commands(page, number)), *source)
        cell.parent.insert(cell.parent.index(cell) + 1, folded("Make this figure", *content, classes="figure-command"))


def move_to_the_end(body: nodes.section) -> None:
    """Fold parameters and imports, and the live check with its heading, into one block at the end of the page."""
    chosen = [cell for cell in cells(body) if {*SETUP, CHECK} & set(cell["classes"])]
    if not chosen or any(cell.parent is None for cell in chosen):
        return
    for cell in chosen:
        cell.parent.remove(cell)
        cell["classes"] = [name for name in cell["classes"] if name != "tag_hide-input"]
    last = [part for part in body.children if isinstance(part, nodes.section)]
    place = next((part for part in last if part.next_node(nodes.title).astext() == LAST), body)
    place += folded("Parameters, imports and live check", *chosen, classes="setup")


def section_on_rerun(page: Page, body: nodes.section, repository: str) -> None:
    """Put the section on how to re-run a page in front of its provenance, or at its end."""
    sections = [part for part in body.children if isinstance(part, nodes.section)]
    place = next((part for part in sections if part.next_node(nodes.title).astext() == LAST), None)
    made = rerun(page, repository)
    body.insert(body.index(place) if place is not None else len(body), made)


def story(app: Sphinx) -> list[str]:
    """Return the pages in the order of the contents, each section once."""
    order: list[str] = []

    def follow(docname: str) -> None:
        order.append(docname)
        for child in app.env.toctree_includes.get(docname, []):
            follow(child)

    follow(app.config.root_doc)
    seen: set[str] = set()
    kept = []
    for docname in order:
        page = page_of(docname)
        name = page.section if page else docname
        if name not in seen:
            kept.append(docname)
        seen.add(name)
    return kept


def follow_the_story(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let previous and next lead to the sections before and after, on the same dataset where they have it."""
    page = page_of(pagename)
    order = story(app)
    names = [known.section if (known := page_of(docname)) else docname for docname in order]
    name = page.section if page else pagename
    if name not in names:
        return
    place = names.index(name)
    for key, other in (("prev", place - 1), ("next", place + 1)):
        if 0 <= other < len(order):
            target = on_same_dataset(order[other], page, app.env.found_docs)
            title = app.env.titles[target].astext()
            context[key] = {"link": app.builder.get_relative_uri(pagename, target), "title": title}
        else:
            context[key] = None


def on_same_dataset(docname: str, page: Page | None, documents: Any) -> str:
    """Return the page of a section on the dataset of another page, where it has one."""
    other = page_of(docname)
    twin = other._replace(dataset=page.dataset).docname if other and page else docname
    return twin if twin in documents else docname


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform and the order of the story."""
    app.add_config_value("repository_address", "", "env")  # "owner/name" on GitHub: switches the launch buttons on
    app.add_transform(Dressed)
    app.connect("html-page-context", follow_the_story)
    return {"version": "1", "parallel_read_safe": True}
