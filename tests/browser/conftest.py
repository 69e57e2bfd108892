"""Chromium without a network, and the built book: `make browser` builds it, CNNDP_BOOK names another."""

import os
from pathlib import Path

import pytest
from scripts import load
from seen import PHONE

ROOT = Path(__file__).resolve().parents[2]
BOOK = Path(os.environ.get("CNNDP_BOOK", ROOT / "_build" / "html")).resolve()
chromium = load("book/chromium.py")


def pages():
    """Return the names of all pages of the book; the start of the folder only leads to the first one.

    Raises:
        pytest.UsageError: the book is not built.
    """
    if not (BOOK / "book" / "index.html").is_file():
        raise pytest.UsageError(f"{BOOK} holds no built book; run: make html, or set CNNDP_BOOK to its folder")
    found = (path.relative_to(BOOK) for path in BOOK.rglob("*.html"))
    return sorted(name.as_posix() for name in found if name.parts[0] not in ("_static", "index.html"))


def pytest_generate_tests(metafunc):
    if "each_page" in metafunc.fixturenames:
        metafunc.parametrize("each_page", pages())


@pytest.fixture(scope="session")
def book():
    """Return the folder of the built book."""
    pages()
    return BOOK


@pytest.fixture(scope="session")
def context():
    try:
        with chromium.opened(viewport=PHONE, color_scheme="light", reduced_motion="reduce") as found:
            found.add_init_script("try { localStorage.clear() } catch { }")  # every visit is a first one
            yield found
    except chromium.MissingError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def page(context):
    """Return one page for all tests: a new one for each would take longer than most tests."""
    return context.new_page()


@pytest.fixture
def planted(tmp_path):
    """Return a function that writes a page of its own and returns its address."""

    def write(body, head=""):
        path = tmp_path / "page.html"
        start = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Planted</title>'
        text = f"{start}{head}</head><body><main><article><h1>Planted</h1>{body}</article></main></body></html>"
        path.write_text(text, encoding="utf-8")
        return path.as_uri()

    return write
