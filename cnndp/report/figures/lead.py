"""The figure of the first page: what the papers claim, and what each reading of them gives."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, ROW, TOP, FOOT = 480, 60, 54, 40  # in pixels: text is read at the width of a phone, too
MARKS = {  # of each column: marker, whether it is filled, and its size
    "paper": ("D", False, 11),  # around what it coincides with
    "printed": ("v", True, 8),
    "reconstructed": ("o", True, 9),
    "private": ("s", True, 8),
}
NAMES = {
    "paper": "stated by the paper",
    "printed": "taken literally",
    "reconstructed": "as it must have been meant",
    "private": "with a valid guarantee",
}


def lead(rows: pd.DataFrame, ink: str, colours: dict[str, str]) -> Figure:
    """Draw one line a claim: accuracy in percent from 0 to 100, a mark for the paper and for each reading.

    Args:
        rows: of `findings.lead`.
        ink: the colour of text and lines.
        colours: of the marks, by column.
    """
    height = TOP + ROW * len(rows) + FOOT
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    figure.patch.set_visible(False)
    axes = figure.add_axes((0.02, 0, 0.96, 1), xlim=(-2, 104), ylim=(height, 0))
    axes.set_axis_off()
    for at, row in enumerate(rows.to_dict("records")):
        draw_row(axes, TOP + ROW * at, row, ink, colours)
    bottom = TOP + ROW * len(rows) + 4
    for tick in range(0, 101, 20):
        axes.plot([tick, tick], [TOP, bottom], color=ink, linewidth=0.6, alpha=0.2)
        axes.text(tick, bottom + 14, f"{tick} %", color=ink, fontsize=11, ha="center")
    legend(axes, ink, colours)
    return figure


def draw_row(axes: Axes, top: float, row: dict[str, Any], ink: str, colours: dict[str, str]) -> None:
    """Draw one claim: its text, a line below it, and the marks on that line."""
    line = top + 33
    axes.text(0, top + 17, row["what"], color=ink, fontsize=12)
    axes.plot([0, 100], [line, line], color=ink, linewidth=1, alpha=0.35)
    for name, (marker, filled, size) in MARKS.items():
        value = row.get(name, np.nan)
        if pd.notna(value):
            face = colours[name] if filled else "none"
            over = 3 if filled else 4
            axes.plot(value, line, marker, ms=size, mfc=face, mec=colours[name], mew=1.6, clip_on=False, zorder=over)
    if row["epsilon"]:
        side = "right" if row["private"] > 80 else "center"
        axes.text(row["private"], line + 19, row["epsilon"], color=colours["private"], fontsize=11, ha=side)


def legend(axes: Axes, ink: str, colours: dict[str, str]) -> None:
    """Name the marks above the first claim."""
    places = [(0, 14), (48, 14), (0, 36), (48, 36)]
    for (left, down), (name, (marker, filled, size)) in zip(places, MARKS.items(), strict=True):
        face = colours[name] if filled else "none"
        axes.plot(left + 1, down, marker, ms=size, mfc=face, mec=colours[name], mew=1.6, clip_on=False)
        axes.text(left + 4, down + 4, NAMES[name], color=ink, fontsize=12)


def described(rows: pd.DataFrame) -> str:
    """Return what the figure shows, for those who do not see it."""
    said = []
    for row in rows.to_dict("records"):
        numbers = [f"{NAMES[name]} {row[name]:.1f} %" for name in MARKS if pd.notna(row[name])]
        budget = f" ({row['epsilon']})" if row["epsilon"] else ""
        said.append(f"{row['what']}: {', '.join(numbers)}{budget}")
    return "; ".join(said)
