"""Print the built book as one PDF: title, contents with page numbers, every page of the table of contents, its links.

python book/pdf.py _build/html _build/cnndp.pdf --toc _toc.yml
"""

import argparse
import os
import posixpath
import sys
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from chromium import MissingError, opened
from pypdf import PdfReader
from pypdf.generic import IndirectObject
from sphinx_external_toc.api import SiteMap
from sphinx_external_toc.parsing import parse_toc_yaml

SCREEN_ONLY = "script, a.headerlink, a:has(.viewcode-link), .viewcode-link, button, link[rel=stylesheet]"
NUMBER = '<div style="width: 100%; text-align: center; font-size: 8px; color: #48566b" class="pageNumber"></div>'
STYLE = """
  .bd-article > .chapter { break-before: page; }
  .contents { list-style: none; padding: 0; } .contents li { display: flex; gap: 1em; margin: 1.5pt 0; }
  .contents a { flex: 1; } .contents .part { font-weight: 600; margin-top: 8pt; }
  .front { padding-top: 60mm; } .title { font-size: 28pt; }
"""


class Chapter(NamedTuple):
    """A page of the book in the order of the table of contents."""

    docname: str
    level: int  # 0 below the root and below a part, 1 below such a page
    part: str  # the caption above it if it is the first below one, otherwise empty


def chapters(toc: SiteMap) -> list[Chapter]:
    """Return all pages, as a reader turns them."""
    return [Chapter(toc.root.docname, 0, ""), *below(toc, toc.root.docname, 0)]


def below(toc: SiteMap, docname: str, level: int) -> Iterator[Chapter]:
    """Yield the pages below a page."""
    for tree in toc[docname].subtrees:
        part = tree.caption or ""
        for item in map(str, tree.items):
            if item in toc:
                yield Chapter(item, level, part)
                part = ""
                yield from below(toc, item, level + 1)


def place(docname: str, anchor: str = "") -> str:
    """Return the id that a page, or an anchor on it, has in the joined book.

    >>> place("book/method"), place("book/method", "symbols")
    ('book-method', 'book-method--symbols')
    """
    slug = docname.replace("/", "-")
    return f"{slug}--{anchor}" if anchor else slug


def target(docname: str, address: str, book: Mapping[str, object]) -> str | None:
    """Return where a link of a page leads in the joined book; None if only the built folder has it.

    >>> book = {"book/method": 0, "book/index": 0}
    >>> target("book/index", "method.html#symbols", book)
    '#book-method--symbols'
    >>> target("book/index", "#top", book)
    '#book-index--top'
    >>> target("book/index", "https://example.org/", book)
    'https://example.org/'
    >>> target("book/index", "../_modules/cnndp.html", book) is None
    True
    """
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return address
    path = posixpath.join(posixpath.dirname(docname), unquote(parts.path)) if parts.path else f"{docname}.html"
    page, ending = posixpath.splitext(posixpath.normpath(path))
    return f"#{place(page, unquote(parts.fragment))}" if ending == ".html" and page in book else None


def article(root: Path, docname: str, book: Mapping[str, object]) -> Tag:
    """Return the text of a built page, ready to stand beside the others.

    Raises:
        ValueError: the page has no article, or is not there.
    """
    path = root / f"{docname}.html"
    if not path.is_file():
        raise ValueError(f"{path} is missing: the folder is not the book of this table of contents; run: make html")
    text = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")
    if text is None:
        raise ValueError(f"{path} has no article")
    for tag in text.select(SCREEN_ONLY):
        tag.decompose()
    for tag in text.find_all("noscript"):
        tag.unwrap()
    for tag in text.find_all("details"):
        tag["open"] = ""
    for tag in text.find_all(id=True):
        if tag.name != "svg" and not tag.find_parent("svg"):  # a drawing refers to its own parts
            tag["id"] = place(docname, str(tag["id"]))
    for tag in text.find_all(src=True):
        if not urlsplit(str(tag["src"])).scheme:
            tag["src"] = (path.parent / unquote(str(tag["src"]))).resolve().as_uri()
    relink(text, docname, book)
    text.name, text.attrs = "section", {"class": "chapter", "id": place(docname)}
    return text


def relink(text: Tag, docname: str, book: Mapping[str, object]) -> None:
    """Turn links to pages into links within the book; the text of a link that leads elsewhere in the folder stays."""
    for link in text.find_all("a", href=True):
        if (led := target(docname, str(link["href"]), book)) is None:
            link.unwrap()
        else:
            link["href"] = led


def head(root: Path, docname: str) -> str:
    """Return the style sheets and MathJax of a built page, with absolute addresses."""
    page = BeautifulSoup((root / f"{docname}.html").read_text(encoding="utf-8"), "html.parser")
    found = []
    for tag in page.select("head link[rel=stylesheet], head script"):
        where = "href" if tag.name == "link" else "src"
        if address := str(tag.get(where) or ""):
            tag[where] = (root / docname).parent.joinpath(urlsplit(address).path).resolve().as_uri()
        if tag.name == "link" or "mathjax" in str(tag).lower():
            found.append(str(tag))
    return "\n".join(found)


def contents(listed: list[Chapter], titles: Mapping[str, str], pages: Mapping[str, int]) -> str:
    """Return the table of contents; without `pages` it takes the same room."""
    lines = []
    for one in listed:
        if one.part:
            lines.append(f'<li class="part">{escape(one.part)}</li>')
        link = f'<a href="#{place(one.docname)}">{escape(titles[one.docname])}</a>'
        number = pages.get(place(one.docname), 0) or "000"
        lines.append(f'<li style="padding-left: {one.level}em">{link}<span>{number}</span></li>')
    return f'<section class="chapter"><h1>Contents</h1><ul class="contents">{"".join(lines)}</ul></section>'


def joined(root: Path, toc: SiteMap, pages: Mapping[str, int]) -> str:
    """Return the book as one HTML page.

    Args:
        root: folder of the built book.
        pages: by id of a chapter, the number of its first page; empty if nobody knows yet.
    """
    listed = chapters(toc)
    book = dict.fromkeys(one.docname for one in listed)
    texts = {name: article(root, name, book) for name in book}
    titles = {name: heading(text) for name, text in texts.items()}
    title = escape(titles[listed[0].docname])
    return f"""<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{head(root, listed[0].docname)}<style>{STYLE}</style></head>
<body><div class="bd-content"><div class="bd-article-container"><div class="bd-article">
<section class="front"><p class="title">{title}</p><p>The whole book in its order: {len(book)} pages.</p></section>
{contents(listed[1:], titles, pages)}
{"".join(map(str, texts.values()))}
</div></div></div></body></html>"""


def heading(text: Tag) -> str:
    """Return the title of a page."""
    first = text.find("h1")
    return first.get_text(" ", strip=True) if isinstance(first, Tag) else str(text["id"])


def printed(page: str, path: Path) -> None:
    """Print an HTML page into a PDF."""
    with tempfile.TemporaryDirectory() as folder, opened(viewport={"width": 688, "height": 987}) as context:
        (source := Path(folder) / "book.html").write_text(page, encoding="utf-8")
        tab = context.new_page()
        tab.set_default_timeout(600_000)
        tab.goto(source.as_uri())
        tab.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
        settings: Any = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
        tab.pdf(path=path, display_header_footer=True, header_template="<i></i>", footer_template=NUMBER, **settings)


def first_pages(reader: PdfReader) -> dict[str, int]:
    """Return the page number, from 1, of every place that a link leads to."""
    pages = ((page.indirect_reference, number) for number, page in enumerate(reader.pages, start=1))
    numbers = {reference.idnum: number for reference, number in pages if reference}
    found = {}
    for name, led in reader.named_destinations.items():
        page = led.page
        found[name.removeprefix("/")] = numbers.get(page.idnum, 0) if isinstance(page, IndirectObject) else 0
    return found


def problems(path: Path) -> list[str]:
    """Return links of a PDF that lead to no page of it or to a file of this machine."""
    reader = PdfReader(path)
    places = first_pages(reader)
    found = set()
    for page in reader.pages:
        for entry in page.get("/Annots", []):
            note = entry.get_object()
            address = str(note.get("/A", {}).get("/URI", ""))
            led = note.get("/Dest", note.get("/A", {}).get("/D"))
            if address.startswith("file:"):
                found.add(f"links to {address.partition('#')[2] or address}, which is not in the book")
            elif isinstance(led, str) and not places.get(led.removeprefix("/")):
                found.add(f"links to {led}, which is on no page")
    return sorted(found)


def lost(page: str) -> list[str]:
    """Return the links within a joined book that lead to no place of it: printed, they would only be text.

    >>> lost('<p id="a"><a href="#a">A</a> <a href="#b">B</a></p>')
    ['#b']
    """
    text = BeautifulSoup(page, "html.parser")
    places = {f"#{tag['id']}" for tag in text.find_all(id=True)}
    links = {str(link["href"]) for link in text.find_all("a", href=True)}
    return sorted(link for link in links if link.startswith("#") and link not in places)


def make(root: Path, toc: SiteMap, path: Path) -> int:
    """Print the book twice, since only a printed book knows its page numbers, and return how many pages it has.

    Raises:
        ValueError: links that lead nowhere, or a page that is not built.
    """
    page = joined(root, toc, {})
    if found := lost(page):
        raise ValueError(f"links of the book lead nowhere: {', '.join(found)}")
    printed(page, path)
    printed(joined(root, toc, first_pages(PdfReader(path))), path)
    return len(PdfReader(path).pages)


def main() -> None:
    """Print the book, and fail if a link in it leads nowhere."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of the built book")
    parser.add_argument("path", type=Path, help="the PDF")
    parser.add_argument("--toc", type=Path, default=Path("_toc.yml"), help="table of contents it was built with")
    given = parser.parse_args()
    try:
        count = make(given.root.resolve(), parse_toc_yaml(os.fspath(given.toc)), given.path)
    except (MissingError, ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    found = problems(given.path)
    print(*found, sep="\n", file=sys.stderr)
    print(f"{given.path}: {count} pages, {len(found)} problems")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
