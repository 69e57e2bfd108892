"""What a browser sees of a page: errors, what does not fit, what not everybody can read. One line a finding."""

from pathlib import Path

import axe_playwright_python

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
GRAVE = ("serious", "critical")
COLOURS = ["color-contrast", "link-in-text-block"]  # what dark mode can change
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1400, "height": 900}
PAPER = {"width": 688, "height": 987}  # A4 within its margins, at 96 px an inch

# MathJax sets formulas after the page has loaded, and nothing has its width before that.
SETTLED = "async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }"

# What is beyond the page's edge and in no box that scrolls.
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width + 1) return [];
  const scrolls = (e) =>
    e && e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const found = [...document.body.querySelectorAll("*")].filter((e) => {
    const box = e.getBoundingClientRect();
    const right = Math.max(box.right, box.left + e.scrollWidth);
    return box.width && right > width + 1 && getComputedStyle(e).position !== "fixed" && !scrolls(e);
  });
  const inner = found.filter((e) => !found.some((other) => other !== e && e.contains(other)));
  const named = inner.map((e) => `${e.tagName.toLowerCase()} ${e.textContent.trim().slice(0, 40)}`);
  return [`the page is ${document.documentElement.scrollWidth} px wide: ${named.slice(0, 3).join("; ")}`];
}"""

# What ends beyond the sheet, and what a box on it hides: on paper nobody can scroll.
CUT = """() => {
  const width = document.documentElement.clientWidth;
  const found = [];
  for (const e of document.querySelectorAll("article *")) {
    const box = e.getBoundingClientRect();
    if (!box.width || e.closest("svg, mjx-container")) continue;
    const hidden = getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1 && e.clientWidth;
    if (box.right > width + 1 || box.left < -1 || hidden)
      found.push(`${e.tagName.toLowerCase()} is cut off on paper: ${e.textContent.trim().slice(0, 40)}`);
  }
  return found.slice(0, 3);
}"""

THEME = "scheme => [scheme, undefined].includes(document.documentElement.dataset.theme)"

FINDINGS = """async (only) => {
  const options = { resultTypes: ["violations"] };
  if (only.length) options.runOnly = { type: "rule", values: only };
  const found = await axe.run(document, options);
  return found.violations.map((one) => [one.impact, one.id, one.nodes.length, one.nodes[0].html.slice(0, 120)]);
}"""


LEFT = "net::ERR_ABORTED"  # of a page that was left before its icon had come; a missing file has another word


def opened(page, address):
    """Open a page and return its errors, and the requests that found nothing."""
    found = []

    def failed(request):
        if request.failure != LEFT:
            found.append(f"request failed: {request.url}")

    listeners = {
        "console": lambda message: found.append(f"console: {message.text}") if message.type == "error" else None,
        "pageerror": lambda error: found.append(f"error: {error}"),
        "requestfailed": failed,
    }
    for name, listener in listeners.items():
        page.on(name, listener)
    try:
        page.goto(address)
        page.evaluate(SETTLED)
    finally:
        for name, listener in listeners.items():
            page.remove_listener(name, listener)
    return found


def wider(page):
    """Return what makes the page wider than a phone."""
    page.set_viewport_size(PHONE)
    return page.evaluate(WIDER)


def cut(page):
    """Return what would be cut off on paper."""
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    try:
        return page.evaluate(CUT)
    finally:
        page.emulate_media(media="screen")
        page.set_viewport_size(PHONE)


def unreadable(page, only=()):
    """Return axe-core's serious and critical findings, of all rules or only of some."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(FINDINGS, list(only))
    return [f"{impact} {rule}, {count} times: {first}" for impact, rule, count, first in found if impact in GRAVE]


def in_both_lights(page):
    """Return axe-core's findings in light, and those of colours in dark: nothing else changes with it."""
    found = []
    for scheme, only in (("light", ()), ("dark", COLOURS)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function(
            "scheme => [scheme, undefined].includes(document.documentElement.dataset.theme)", arg=scheme
        )
        found += [f"{scheme}: {line}" for line in unreadable(page, only)]
    return found


def hits(page, book, words):
    """Return the addresses, within the book, that its search page lists for some words, best first."""
    page.goto(f"{(book / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    page.wait_for_function("document.querySelector('#search-results .search-summary, #search-results > p')")
    page.wait_for_function("!/^Searching/.test(document.querySelector('#search-results > h2')?.textContent ?? '')")
    links = page.eval_on_selector_all("#search-results li a", "found => found.map(link => link.href)")
    return [link.partition("#")[0].partition("?")[0].removeprefix(f"{book.as_uri()}/") for link in links]
