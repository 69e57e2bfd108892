"""What a figure shows in words, for those who do not see it: the result with its numbers, from the frame it draws.

Every figure carries its text as its label (`describe`), `drawing.png` writes it into the picture, and the runner of
notebooks takes it from there, so that a text cannot outlive the numbers that it was made of.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnndp.report.numbers import divergence
from cnndp.report.tables import by_label

MANY = 8  # names with numbers that a listener can follow


def describe(figure: Figure, *parts: str) -> Figure:
    """Let a figure carry what it shows, a sentence a part; parts that are empty are left out.

    >>> describe(Figure(), "DPGDM loses 4.2 points", "", "CDP loses 9.0.").get_label()
    'DPGDM loses 4.2 points. CDP loses 9.0.'
    """
    figure.set_label(sentences(*parts))
    return figure


def sentences(*parts: str) -> str:
    """Return parts as sentences, without those that are empty."""
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def description(figure: Figure) -> str:
    """Return what a figure shows.

    Raises:
        ValueError: it carries no text.
    """
    text = str(figure.get_label())
    if not text:
        raise ValueError("the figure has no text for those who do not see it; give it one with said.describe")
    return text


def ranked(
    values: Mapping[Any, float],
    notes: Mapping[Any, str] | None = None,
    unit: str = " %",
    digits: int = 1,
    most: int = MANY,
) -> str:
    """Return names with their numbers, highest first; of more than `most`, those before the last are counted.

    Args:
        values: by name; without a number where there is none.
        notes: what stands in brackets behind a name's number.
        unit: behind each number.
        digits: behind the point.
        most: how many names there may be.

    >>> ranked({"CNN": 50.08, "CNN-DP": 98.38}, {"CNN": "P1: 50.1"})
    'CNN-DP 98.4 %; CNN 50.1 % (P1: 50.1)'
    >>> ranked({"a": float("nan")}), ranked({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}, most=3)
    ('a without a number', 'a 3.0 %; b 2.0 %; 1 between; d 0.0 %')
    """
    order = sorted(values, key=lambda name: -values[name] if np.isfinite(values[name]) else np.inf)
    beside = {name: f" ({note})" for name, note in (notes or {}).items() if note}
    texts = [f"{name} {number(values[name], unit, digits)}{beside.get(name, '')}" for name in order]
    if len(texts) > most:
        texts = [*texts[: most - 1], f"{len(texts) - most} between", texts[-1]]
    return "; ".join(texts)


def number(value: float, unit: str = " %", digits: int = 1) -> str:
    """Return a number with its unit, or that there is none.

    >>> number(97.68), number(float("inf"))
    ('97.7 %', 'without a number')
    """
    return f"{value:.{digits}f}{unit}" if np.isfinite(value) else "without a number"


def short(value: float) -> str:
    """Return a number with three digits and no power of ten.

    >>> short(30000.0), short(0.2494)
    ('30,000', '0.249')
    """
    return f"{float(f'{value:.3g}'):,g}"


def said_by_p1(values: Mapping[str, float], unit: str = " %") -> str:
    """Return what P1 states; "" where that is nothing.

    >>> said_by_p1({"CNN": 50.08, "CNN-DP-GAN": 98.38})
    'P1 states CNN 50.08 %, CNN-DP-GAN 98.38 %'
    """
    return "P1 states " + ", ".join(f"{name} {value:.2f}{unit}" for name, value in values.items()) if values else ""


def finals(runs: pd.DataFrame, digits: int = 1) -> str:
    """Return the mean final test accuracy of each label, highest first, and which runs diverged."""
    groups = dict(iter(by_label(runs)))
    means = {label: float(group["test_accuracy"].mean()) for label, group in groups.items()}
    return ranked(
        means, {label: divergence(group).removeprefix("; ") for label, group in groups.items()}, digits=digits
    )


def ends(values: pd.Series, unit: str = " %", at: str = "") -> str:
    """Return first and last value of a line and its highest between, with the place of each.

    Args:
        values: by place, in order.
        unit: behind each value.
        at: what the places are.

    >>> ends(pd.Series([95.0, 98.0, 97.0], index=[0.1, 1.0, 10.0]), at="cap ")
    '95.0 % at cap 0.1, highest 98.0 % at cap 1, 97.0 % at cap 10'
    >>> ends(pd.Series([95.0], index=[1]))
    '95.0 % at 1'
    >>> ends(pd.Series([], dtype=float))
    'none'
    """
    if values.empty:
        return "none"
    places = dict.fromkeys((values.index[0], values.idxmax() if values.notna().any() else values.index[0]))
    places |= {values.index[-1]: None}
    inner = {values.idxmax()} - {values.index[0], values.index[-1]} if values.notna().any() else set()
    said = [f"{'highest ' * (place in inner)}{number(values[place], unit)} at {at}{short(place)}" for place in places]
    return ", ".join(said)
