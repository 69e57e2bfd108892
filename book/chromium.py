"""The browser that looks at the built pages and prints the book: the system's Chromium, without a network.

python book/chromium.py    names it, or says how to get it
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTING = "CNNDP_CHROMIUM"
MISSING = f"""\
Chromium is missing: the pages of the book are tested in it, and `make pdf` prints with it. Get it with one of

    apt-get install chromium                        (Debian, Ubuntu; as root)
    .venv/bin/python -m playwright install chromium (any system, into your cache folder)

or name one that you have: export {SETTING}=/path/to/chromium"""


class MissingError(RuntimeError):
    """There is no Chromium; the message says how to get it."""


def installed() -> str | None:
    """Return the path of the system's Chromium, or the one that CNNDP_CHROMIUM names.

    Raises:
        MissingError: CNNDP_CHROMIUM names a file that is not there.
    """
    named = os.environ.get(SETTING)
    if named and not shutil.which(named):
        raise MissingError(f"{SETTING} is {named!r}, which is no program.\n\n{MISSING}")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def executable(playwright: Playwright) -> str:
    """Return the path of Chromium: the system's, otherwise the one that Playwright has fetched.

    Raises:
        MissingError: there is neither.
    """
    path = installed() or playwright.chromium.executable_path
    if not Path(path).exists():
        raise MissingError(MISSING)
    return path


@contextmanager
def opened(**settings: Any) -> Iterator[BrowserContext]:
    """Open a browser without a network, and close it at the end.

    Args:
        settings: of Playwright's `new_context`, such as `viewport`.

    Raises:
        MissingError: there is no Chromium.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=["--disable-gpu"])
        try:
            yield browser.new_context(**settings, offline=True)
        finally:
            browser.close()


def main() -> None:
    """Print the path, or fail with what to do."""
    try:
        with sync_playwright() as playwright:
            print(executable(playwright))
    except MissingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
