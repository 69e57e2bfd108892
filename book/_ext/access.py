"""Sphinx extension: what keeps pages of the theme from being read by everybody, and from opening without an error.

- the sidebar's arrows are named after the page whose children they show;
- the bibliography is a list of items for screen readers too: the role that docutils gives them is deprecated;
- Thebe, which Jupyter Book loads whether or not a page runs code, defines the same constants twice and so stops with
  an error on every page: its files are taken out.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

ROLES = {'role="doc-biblioentry"': 'role="listitem"'}
UNUSED = "thebe"
LAST = 900  # after the theme, which makes the functions of its templates at the default, 500


def named(tree: BeautifulSoup) -> BeautifulSoup:
    """Name every arrow of a tree of pages after its page; those with a text of their own keep it.

    >>> html = '<li><a href="api.html">The API</a><details><summary><i></i></summary></details></li>'
    >>> named(BeautifulSoup(html, "html.parser")).summary["aria-label"]
    'Pages of The API'
    """
    for summary in tree.find_all("summary"):
        page = summary.find_parent("li")
        link = page.find("a", recursive=False) if isinstance(page, Tag) else None
        if link and not summary.get_text(strip=True):
            summary["aria-label"] = f"Pages of {link.get_text(' ', strip=True)}"
    return tree


def with_names(toctree: Callable[..., Any]) -> Callable[..., Any]:
    """Return the theme's function that makes the tree of pages, with its arrows named."""

    @wraps(toctree)
    def made(*args: Any, **kwargs: Any) -> Any:
        tree = toctree(*args, **kwargs)
        return named(tree) if isinstance(tree, BeautifulSoup) else tree

    return made


def used(files: Iterable[Any]) -> list[Any]:
    """Return the style sheets or scripts of a page without Thebe's; a script without a file has its text as `body`."""
    return [
        file for file in files if UNUSED not in f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', '')}"
    ]


def open_to_all(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Mend the parts of one page just before it is written."""
    for files in ("css_files", "script_files"):
        context[files] = used(context.get(files, []))
    if "generate_toctree_html" in context:
        context["generate_toctree_html"] = with_names(context["generate_toctree_html"])
    for role, allowed in ROLES.items():
        context["body"] = context.get("body", "").replace(role, allowed)


def without_thebe(app: Sphinx, doctree: Any, docname: str) -> None:
    """Take out what Thebe appends to the text of a page."""
    for node in [child for child in doctree.children if child.tagname == "raw" and is_thebe(child.astext())]:
        doctree.remove(node)


def is_thebe(text: str) -> bool:
    """Tell whether a raw part of a page is Thebe's.

    >>> is_thebe('<script type="text/x-thebe-config">'), is_thebe("<script>kernelName = 'python3'</script>")
    (True, True)
    >>> is_thebe("<p>thebe</p>")
    False
    """
    return "text/x-thebe-config" in text or "<script>kernelName =" in text


def setup(app: Sphinx) -> dict[str, Any]:
    """Mend pages after the theme and Thebe have done theirs."""
    app.connect("html-page-context", open_to_all, priority=LAST)
    app.connect("doctree-resolved", without_thebe, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
