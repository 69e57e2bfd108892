"""A user's own images: an `.npz` of x and y, checked, with errors that name the remedy."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CHANNELS = (1, 3)  # that an image may have, at the end of its shape


def read(path: Path) -> tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return a name made of the file's own and its content, the images `[N, H, W, C]`, and the labels `[N]`.

    Raises:
        ValueError: a file that is missing, damaged or does not fit; the message says what to do.
    """
    x, y = _read_npz(path)
    _check_images(path, x)
    _check_labels(path, y, len(x))
    x, y = x if x.ndim == 4 else x[..., None], y.astype(np.int64)
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", path.stem).strip("-")[:40] or "data"
    return f"npz-{stem}-{content_hash(x, y)[:12]}", x, y


def _read_npz(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        there = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise _refusal(path, f"there is no such file ({error.strerror})", "check the path") from error
    if not there:
        raise _refusal(path, "there is no such file", "check the path; relative ones start at the current folder")
    if not zipfile.is_zipfile(path):
        raise _refusal(path, "the file is damaged or no .npz", "write it with numpy.savez(path, x=x, y=y)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = [key for key in ("x", "y") if key not in stored]
            arrays = None if missing else (np.asarray(stored["x"]), np.asarray(stored["y"]))
            found = sorted(stored)
    except OSError as error:
        raise _refusal(path, f"the file cannot be read ({error.strerror})", "check what you may do with it") from error
    except Exception as error:  # a damaged zip fails in many ways
        raise _unreadable(path, error) from error
    if arrays is None:
        raise _refusal(
            path,
            f"{' and '.join(missing)} missing, found {', '.join(found) or 'nothing'}",
            "name the images x and the labels y: numpy.savez(path, x=x, y=y)",
        )
    return arrays


def _unreadable(path: Path, error: Exception) -> ValueError:
    if "allow_pickle" in str(error):
        return _refusal(
            path,
            "x or y has dtype object, that is pickled Python objects, which are never loaded",
            "save plain arrays: x of uint8 and y of integers",
        )
    return _refusal(path, f"the file is damaged ({error})", "write it again with numpy.savez(path, x=x, y=y)")


def _check_images(path: Path, x: npt.NDArray[Any]) -> None:
    if x.dtype != np.uint8:
        raise _refusal(
            path,
            f"x has dtype {x.dtype}, not uint8",
            "scale the pixels to 0..255, then convert: numpy.round(x).astype('uint8')",
        )
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in CHANNELS):
        first = x.ndim == 4 and x.shape[1] in CHANNELS
        raise _refusal(
            path,
            f"x has shape {x.shape}, not [N, H, W] or [N, H, W, C] with C = 1 or 3",
            "put the channels last: x.transpose(0, 2, 3, 1)" if first else "reshape x, and drop any alpha channel",
        )
    if len(x) < 10 or 0 in x.shape:
        raise _refusal(path, f"x has shape {x.shape}", "give at least 10 images of at least 1x1 pixel")


def _check_labels(path: Path, y: npt.NDArray[Any], count: int) -> None:
    if y.dtype.kind not in "iu":
        raise _refusal(path, f"y has dtype {y.dtype}, not an integer type", "convert it: y.astype('int64')")
    if y.shape != (count,):
        raise _refusal(path, f"y has shape {y.shape}, but x holds {count} images", f"give y the shape ({count},)")
    renumber = "number the classes 0, 1, 2, ...: numpy.unique(y, return_inverse=True)[1]"
    if y.min() < 0:
        raise _refusal(path, f"y holds the negative label {y.min()}", renumber)
    if y.max() >= count:
        raise _refusal(path, f"y holds the label {y.max()} in {count} images", renumber)
    if len(np.unique(y)) < 2:
        raise _refusal(path, f"y holds only the label {y[0]}", "give images of at least 2 classes")


def without_images(y: npt.NDArray[np.int64]) -> list[int]:
    """Return the classes below the largest label that no image has.

    The network has an output for each of them, which training only lowers, and tables show them with no image.

    >>> without_images(np.array([0, 2, 2, 5]))
    [1, 3, 4]
    """
    return [int(label) for label in np.flatnonzero(np.bincount(y) == 0)]


def _refusal(path: Path, problem: str, remedy: str) -> ValueError:
    return ValueError(f"dataset={str(path)!r}: {problem}; {remedy}")


def content_hash(*arrays: npt.NDArray[Any]) -> str:
    """Return the SHA-256 over type, shape and content of arrays, so that how a file was compressed does not matter."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
