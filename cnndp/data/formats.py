"""Images and labels out of the files that a source has: IDX, and sheets of PNG."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cnndp.checks import Refusal

Bytes = npt.NDArray[np.uint8]


class FetchError(Refusal, RuntimeError):
    """A dataset could not be had; the text lists what was tried, why it failed and what to do."""


class Arrays(NamedTuple):
    """A dataset as decoded: images uint8 [N, H, W] or [N, H, W, 3], labels uint8 [N]."""

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx_folder(folder: Path) -> Arrays:
    """The four IDX files of MNIST or Fashion-MNIST, each plain or gzipped."""
    return Arrays(*(parse_idx(_plain_or_gz(folder / name)) for name in IDX_FILES))


def parse_idx(content: bytes) -> Bytes:
    """An array from IDX bytes: two zeros, type 8 (uint8), number of dimensions, big-endian sizes, data.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])).tolist()
    [7, 8, 9]
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise FetchError(f"not an IDX file of uint8: it begins with {content[:4].hex(' ')}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + int(np.prod(shape)):
        raise FetchError(f"IDX file of {len(content)} bytes does not fit its shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def read_png_folder(folder: Path) -> Arrays:
    """CIFAR-10 as PNG files, one image of 32x32 per row of pixels, with labels in JSON."""
    train = [_rows_as_images(folder / f"data_batch_{batch}.png") for batch in range(1, 6)]
    return Arrays(
        np.concatenate(train),
        _labels(folder / "train_lables.json"),
        _rows_as_images(folder / "test_batch.png"),
        _labels(folder / "test_lables.json"),
    )


def _rows_as_images(path: Path) -> Bytes:
    from PIL import Image  # here, since only this one source needs it

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8).reshape(-1, 32, 32, 3)


def _labels(path: Path) -> Bytes:
    return np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.uint8)


def _plain_or_gz(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    return gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
