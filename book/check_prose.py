"""Check that no measured number is typed into prose: each typed number is a paper's, or listed with where it is from.

python book/check_prose.py

A measured number comes from its record, by the role `measured` or by a cell. What is typed all the same (a setting, a
size, a number of the papers) stands in `book/numbers.yml`, so that a new one is a line that a reviewer sees.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import nbformat
import yaml

from cnndp.papers import claims

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "book" / "numbers.yml"
EVERYWHERE = "everywhere"
CARD = re.compile(r"<!-- result card.*?end of the result card -->", re.DOTALL)  # written from the records by code
# What is no prose: code, formulas, roles (their numbers come from records), links, and names such as Fig. 7 or D12.
NO_PROSE = (
    CARD,
    re.compile(r"^(```+|:::+).*?^\1\s*$", re.DOTALL | re.MULTILINE),
    re.compile(r"\{[\w:-]+\}`[^`]*`"),
    re.compile(r"`[^`]*`"),
    re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL),
    re.compile(r"\]\([^)]*\)"),
    re.compile(r"\bD\d+\b"),
    re.compile(r"\b(Figs?\.|Tables?|Eqs?\.|Section) ?\(?\d+\)?((-| to | and |, )\(?\d+\)?)*"),
    re.compile(r"\bP[12]\b"),
)
NUMBER = re.compile(r"(?<![\w.,])(\d[\d,]*(?:\.\d+)?)(?![\d\w])( ?%| points?\b| per cent\b)?")


def prose_of(path: Path) -> str:
    """Return the text that a page or a source notebook shows, with captions and alternative texts."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    shown = [cell.source for cell in cells if cell.cell_type == "markdown"]
    for cell in cells:
        drawn = cell.metadata.get("mystnb", {})
        shown += [drawn.get("figure", {}).get("caption", ""), drawn.get("image", {}).get("alt", "")]
    return "\n\n".join(shown)


def typed(text: str) -> Iterator[str]:
    """Yield the numbers of a text that need a reason: all but whole ones below 10 that are no percentage.

    >>> list(typed("98.3 %, after 300 of 2 runs; see Fig. 9, {measured}`a b rate=0.15 :: capped`. At 5 % and 10,000."))
    ['98.3 %', '300', '5 %', '10,000']
    """
    for pattern in NO_PROSE:
        text = pattern.sub(" ", text)
    for number, unit in NUMBER.findall(text):
        number = number.rstrip(",")
        if unit or "." in number or int(number.replace(",", "")) >= 10:
            yield f"{number} %" if unit.strip() in ("%", "per cent") else f"{number}{unit}"


def of_the_papers() -> set[str]:
    """Return every number that the papers state, as prose writes it."""
    found: set[str] = set()
    for stated in claims.STATED:
        for value in stated.value if isinstance(stated.value, tuple) else (stated.value,):
            if isinstance(value, int | float):
                found |= {f"{value:g}", f"{value:.2f}", f"{value:,.10g}"}
    return found


def reasons(path: Path = NUMBERS) -> dict[str, dict[str, list[str]]]:
    """Return the numbers that may be typed, by page ("everywhere" for all) and by the reason why."""
    stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        page: {why: [str(one) for one in numbers] for why, numbers in rows.items()} for page, rows in stored.items()
    }


def allowed_on(page: str, stored: Mapping[str, Mapping[str, Iterable[str]]]) -> set[str]:
    """Return the numbers that may be typed on a page."""
    rows = [numbers for name in (EVERYWHERE, page) for numbers in stored.get(name, {}).values()]
    return of_the_papers() | {number for numbers in rows for number in numbers}


def bare(number: str) -> str:
    """Return a number without its unit."""
    return number.removesuffix(" %").removesuffix(" points").removesuffix(" point")


def undeclared(text: str, allowed: set[str]) -> list[str]:
    """Return the numbers of a text that have no reason. A unit must be allowed with its number, but the papers' are.

    >>> undeclared("98.38 % and 99.9 %, in 300 steps", {"98.38", "300"})
    ['99.9 %']
    """
    papers = of_the_papers()
    return [one for one in dict.fromkeys(typed(text)) if one not in allowed and bare(one) not in papers]


def pages() -> list[Path]:
    """Return everything with prose: pages, source notebooks, README."""
    return [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "README.md"]


def problems() -> list[str]:
    """Return a line for each typed number without a reason, and for each reason that no number needs any more."""
    stored, found = reasons(), []
    unused = {(page, number) for page, rows in stored.items() for numbers in rows.values() for number in numbers}
    for path in pages():
        page, text = path.relative_to(ROOT).as_posix(), prose_of(path)
        found += [
            f"{page}: {number} is typed; take it from a record, or list it in book/numbers.yml with its reason"
            for number in undeclared(text, allowed_on(page, stored))
        ]
        unused -= {(name, number) for name in (EVERYWHERE, page) for number in typed(text)}
    return [*found, *(f"numbers.yml: {number} ({page}) is on no page" for page, number in sorted(unused))]


def main() -> None:
    """Print every problem and fail when there is one."""
    found = problems()
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(pages())} pages read, {len(found)} numbers without a reason")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
