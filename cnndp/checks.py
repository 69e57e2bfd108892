"""Argument checks whose messages name the argument, its value and the remedy."""

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path


class Refusal(Exception):
    """What was asked for cannot be done; the text names what stands in the way and the remedy."""


def positive(**values: float) -> None:
    """Raise `ValueError` unless every value is a finite number above 0.

    >>> positive(total_epsilon=-1.0)
    Traceback (most recent call last):
        ...
    ValueError: total_epsilon=-1.0 must be a finite number above 0; pass one, for example total_epsilon=1.0
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r} must be a finite number above 0; pass one, for example {name}=1.0")


def non_negative(**values: float) -> None:
    """Raise `ValueError` unless every value is a finite number of at least 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name}={value!r} must be a finite number of at least 0; pass 0 to switch it off")


def at_least(minimum: int, **values: int) -> None:
    """Raise `ValueError` unless every value is a whole number of at least `minimum`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ValueError(f"{name}={value!r} must be a whole number; the smallest allowed is {minimum}")


def within(lowest: float, highest: float, **values: float) -> None:
    """Raise `ValueError` unless every value lies between two bounds, both allowed.

    >>> within(0.001, 1000, growth=1e300)
    Traceback (most recent call last):
        ...
    ValueError: growth=1e+300 must lie between 0.001 and 1000; what is outside overflows or has no effect
    """
    for name, value in values.items():
        if not lowest <= value <= highest:
            raise ValueError(
                f"{name}={value!r} must lie between {lowest:g} and {highest:g}; what is outside overflows or has no "
                "effect"
            )


def below_one(**values: float) -> None:
    """Raise `ValueError` unless every value lies in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r} must lie in [0, 1); the baselines use 0.9, plain SGD 0")


def file_name(**values: str) -> None:
    """Raise `ValueError` unless every value can be part of a file's name, and of no other folder than it is put in.

    >>> file_name(method="../mine")
    Traceback (most recent call last):
        ...
    ValueError: method='../mine' becomes part of a file's name; pass letters, digits, spaces and . _ + - alone, at most
        100, the first a letter or digit
    """
    for name, value in values.items():
        if not re.fullmatch(r"\w[\w .+-]{0,99}", value):
            raise ValueError(
                f"{name}={value!r} becomes part of a file's name; pass letters, digits, spaces and . _ + - alone, at "
                "most 100, the first a letter or digit"
            )


def expanded(**path: str) -> Path:
    """Return one path with the home folder in place of a leading ~.

    Raises:
        ValueError: the home folder of nobody, or a path that no system has.

    >>> expanded(CNNDP_DATA="data/mine").as_posix()
    'data/mine'
    """
    ((name, text),) = path.items()
    try:
        if "\0" in text:
            raise RuntimeError("it holds a zero byte")
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}={text!r} is no path ({error}); pass one that exists, without ~") from None


def type_names(types: Iterable[type]) -> str:
    """Return how an error names the allowed types.

    >>> type_names((int, type(None)))
    'int or None'
    """
    return " or ".join("None" if one is type(None) else one.__name__ for one in types)


def one_of(allowed: Iterable[str], **values: str) -> None:
    """Raise `ValueError` unless every value is one of `allowed`, and suggest the closest.

    >>> one_of(["laplace", "gaussian"], noise="laplce")
    Traceback (most recent call last):
        ...
    ValueError: noise='laplce' is not known; did you mean 'laplace'? Known: laplace, gaussian
    """
    known = list(allowed)
    for name, value in values.items():
        if value not in known:
            close = difflib.get_close_matches(str(value), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"{name}={value!r} is not known; {hint}Known: {', '.join(known)}")
