"""Check the built pages without a network: links, anchors, alternative texts, nothing loaded from outside.

python book/check_html.py _build/html
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
GENERATED = {"genindex.html", "search.html", "py-modindex.html"}  # Sphinx's own, without content of ours


def pages_of(root: Path) -> dict[Path, BeautifulSoup]:
    """Return every page below `root`, parsed."""
    return {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(root.rglob("*.html"))
        if "_static" not in path.parts
    }


def problems(root: Path) -> list[str]:
    """Return what is wrong with the pages below `root`, one line each."""
    pages = pages_of(root)
    if not (root / "book" / "index.html").is_file():
        return [f"{root}/book/index.html is missing: the build made no book"]
    anchors = {path: {tag.get("id") for tag in page.find_all(id=True)} for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        name = path.relative_to(root).as_posix()
        lines = [*outside(page), *without_alt(page), *broken_links(path, page, anchors)]
        if path.name not in GENERATED and path != root / "index.html":
            lines += empty(page)
        found += [f"{name}: {line}" for line in lines]
    return found


def outside(page: BeautifulSoup) -> Iterator[str]:
    """Yield what the page would load over the network when it is read."""
    for tag_name, attribute in LOADING.items():
        for tag in page.find_all(tag_name):
            if tag_name == "link" and not {"stylesheet", "preload", "icon"} & set(tag.get("rel") or []):
                continue
            address = str(tag.get(attribute) or "")
            if urlsplit(address).scheme in ("http", "https") or address.startswith("//"):
                yield f"loads {address} from outside"


def without_alt(page: BeautifulSoup) -> Iterator[str]:
    """Yield pictures in the text whose alternative text is missing or only a file name."""
    article = page.find("article")
    for image in article.find_all("img") if isinstance(article, Tag) else []:
        alt = str(image.get("alt") or "")
        if len(alt.split()) < 3:
            yield f"picture {image.get('src')} has alternative text {alt!r}"


def broken_links(path: Path, page: BeautifulSoup, anchors: dict[Path, set[object]]) -> Iterator[str]:
    """Yield links to files that are not there and to anchors that no element carries."""
    for link in page.find_all("a", href=True):
        parts = urlsplit(str(link["href"]))
        if parts.scheme or parts.netloc or link["href"] == "#":
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            yield f"links to {link['href']}, which does not exist"
        elif parts.fragment and target in anchors and unquote(parts.fragment) not in anchors[target]:
            yield f"links to {link['href']}, which has no such anchor"


def empty(page: BeautifulSoup) -> Iterator[str]:
    """Yield a line when the page has no heading or hardly any text."""
    article = page.find("article")
    if not isinstance(article, Tag) or article.find("h1") is None:
        yield "has no heading"
    elif len(article.get_text().split()) < 10:
        yield "has hardly any text"


def main() -> None:
    """Print every problem and fail when there is one."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html").resolve()
    found = problems(root)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(pages_of(root))} pages checked, {len(found)} problems")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
