"""Figures of matplotlib as SVG in a page: text as text, and the colours of the page, which are others on a dark one."""

import html
import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

# What matplotlib draws in these colours gets those of the page.
INK, PAPER, ACCENT, WARNING, QUIET = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
COLOURS = {
    INK: "currentColor",
    PAPER: "var(--pst-color-surface)",
    ACCENT: "var(--pst-color-primary)",
    WARNING: "var(--pst-color-danger)",
    QUIET: "var(--pst-color-text-muted)",
}


def svg(figure: Figure, label: str, min_width: int = 32, max_width: int = 44) -> str:
    """Return a figure as SVG, with a text for those who do not see it.

    Args:
        figure: drawn in the colours of this module.
        label: what it shows.
        min_width, max_width: in rem; on what is narrower it scrolls.
    """
    drawn = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "book"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = drawn.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    (size,) = re.findall(r'viewBox="[^"]*"', text)
    style = f"width: 100%; min-width: {min_width}rem; max-width: {max_width}rem; height: auto; background: none"
    said = html.escape(label)
    opening = f'<svg {size} xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" style="{style}">'
    text = re.sub(r"<svg [^>]*>", opening, text, count=1)
    text = re.sub(r"font-family: [^;]*", "font-family: sans-serif", text)
    for colour, ours in COLOURS.items():
        text = text.replace(colour, ours)
    return re.sub(r' xlink:href="', ' href="', text)
