"""The datasets as tensors, split and resized for the networks: named ones and any `.npz` of x and y."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cnndp.checks import expanded
from cnndp.data import files
from cnndp.data.fetch import cache_folder, fetch_arrays

__all__ = [
    "DATASETS",
    "Images",
    "Whole",
    "cache_folder",
    "load",
    "load_whole",
    "name_of",
    "network_input",
    "pixels",
    "resize",
    "split_indices",
]

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")
SPLITS = ("8:2", "8:2 validation", "official", "official validation")
NUM_IMAGES = {"mnist": 70_000, "fashion_mnist": 70_000, "cifar10": 60_000, "digits": 1_797}
NUM_OFFICIAL = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}  # training images
SIDE = {1: 28, 3: 32}  # channels -> height and width the networks take
RESIZE_CHUNK = 1000  # images resized at once: bounds the memory of the float copies


class Images(NamedTuple):
    """A dataset split into training and test images of the networks' size."""

    name: str  # "mnist" ..., or "npz-<stem>-<first 12 hex of sha256>"
    train_images: Tensor  # uint8 [N, C, H, W]: 28x28 grey (C = 1) or 32x32 colour (C = 3)
    train_labels: Tensor  # int64 [N]
    test_images: Tensor
    test_labels: Tensor
    num_classes: int  # max(y) + 1
    split: str  # one of SPLITS
    sha256: str  # over the decoded arrays, before split and resize
    resized_from: tuple[int, int] | None  # (H, W) of the source when it was resized


class Whole(NamedTuple):
    """A dataset before the split, its images of the networks' size, in the order of its source."""

    name: str
    images: Tensor  # uint8 [N, C, H, W], official training images first
    labels: Tensor  # int64 [N]
    num_train: int | None  # official training images; None without an official split
    sha256: str
    resized_from: tuple[int, int] | None


class _Decoded(NamedTuple):
    """A dataset as its source has it, official training images first."""

    name: str
    x: npt.NDArray[np.uint8]  # [N, H, W, C]
    y: npt.NDArray[np.int64]  # [N]
    num_train: int | None  # official training images; None without an official split


# Means and standard deviations of the channels, in [0, 1], as generally known of these public datasets.
CHANNELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def pixels(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.float() / 255


def normalised(images: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """Return uint8 images `[B, C, H, W]` as float32 with the means `[C, 1, 1]` taken out, over the deviations."""
    return (pixels(images) - means) / deviations


def network_input(dataset: str, *, normalise: bool, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """Return the function from uint8 images to what the network gets.

    Args:
        dataset: with `normalise`, one of `CHANNELS`.
        normalise: by the constants of the dataset; else pixels in [0, 1].
        device: where the images are.

    Raises:
        ValueError: no constants are known of the dataset.
    """
    if not normalise:
        return pixels
    if dataset not in CHANNELS:
        raise ValueError(
            f"normalise=True with dataset={dataset!r}: constants that are public are known of "
            f"{', '.join(CHANNELS)} only, and taking them from the data would release them; pass normalise=False"
        )
    means, deviations = (torch.tensor(values, device=device).view(-1, 1, 1) for values in CHANNELS[dataset])
    return partial(normalised, means=means, deviations=deviations)


def load(
    dataset: str,
    *,
    split: str = "8:2",
    split_seed: int = 0,
    folder: Path | None = None,
    download: bool = True,
) -> Images:
    """Load a dataset by name, or a user's own from a path that ends in `.npz`.

    >>> load("digits").train_images.shape
    torch.Size([1437, 1, 28, 28])

    Args:
        dataset: one of `DATASETS`, or the path of an `.npz` with `x` (uint8 [N, H, W] or [N, H, W, C],
            C = 1 or 3) and `y` (integers >= 0, [N]).
        split: one of `SPLITS`, see `split_rows`.
        split_seed: of the permutation, where the split has one.
        folder: the cache folder; default `cache_folder()`.
        download: whether a dataset that is not cached may be fetched over the network.

    Raises:
        ValueError: an unknown name or split, a split the dataset does not have, or a file that does not fit.
        FetchError: the dataset is not cached, or the cache is damaged, and it could not be fetched.
    """
    check_split(split)
    whole = load_whole(dataset, folder=folder, download=download)
    return parted(whole, split, split_rows(whole, split, split_seed))


def parted(whole: Whole, split: str, rows: tuple[Tensor, Tensor]) -> Images:
    """Return the training and the test images of a dataset, those of the two `rows` that `split_rows` gives."""
    train, test = rows
    return Images(
        name=whole.name,
        train_images=whole.images[train],
        train_labels=whole.labels[train],
        test_images=whole.images[test],
        test_labels=whole.labels[test],
        num_classes=int(whole.labels.max()) + 1,
        split=split,
        sha256=whole.sha256,
        resized_from=whole.resized_from,
    )


def load_whole(dataset: str, *, folder: Path | None = None, download: bool = True) -> Whole:
    """Load a dataset as `load` does, before the split.

    >>> load_whole("digits").images.shape
    torch.Size([1797, 1, 28, 28])
    """
    decoded = _decode(dataset, folder, download)
    images = torch.from_numpy(decoded.x).permute(0, 3, 1, 2)
    resized, height, width = resize(images), *images.shape[2:]
    return Whole(
        name=decoded.name,
        images=resized,
        labels=torch.from_numpy(decoded.y),
        num_train=decoded.num_train,
        sha256=files.content_hash(decoded.x, decoded.y),
        resized_from=None if resized.shape == images.shape else (height, width),
    )


def check_split(split: str) -> None:
    """Raise `ValueError` unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; use one of {', '.join(map(repr, SPLITS))}")


def split_rows(whole: Whole, split: str, split_seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the rows (int64) of `whole` that are training images, and those that are test images.

    Args:
        whole: the dataset.
        split: "8:2" (all images permuted, the first 80 % for training) or "official" (as published). With
            " validation" behind it, for choosing between settings: the training part alone, permuted, the first
            90 % for training and the rest as test images; no test image of the split itself is in either.
        split_seed: of the permutation.

    Raises:
        ValueError: "official" of a dataset that has no official split.
    """
    check_split(split)
    official = split.startswith("official")
    if official and whole.num_train is None:
        raise ValueError(f"split={split!r}: {whole.name!r} has no official split; use split='8:2'")
    train, test = split_indices(len(whole.labels), split_seed, whole.num_train if official else None)
    if not split.endswith(" validation"):
        return train, test
    if official:  # the rows of "8:2" are permuted already
        train = torch.randperm(len(train), generator=torch.Generator().manual_seed(split_seed))
    return train[: int(0.9 * len(train))], train[int(0.9 * len(train)) :]


def split_sizes(dataset: str, split: str) -> tuple[int, int] | None:
    """Return how many training and test images a named dataset has under a split; None for others, without reading.

    >>> split_sizes("mnist", "8:2"), split_sizes("mnist", "official validation"), split_sizes("yours", "8:2")
    ((56000, 14000), (54000, 6000), None)
    """
    official = split.startswith("official")
    if dataset not in (NUM_OFFICIAL if official else NUM_IMAGES):
        return None
    num_train = NUM_OFFICIAL[dataset] if official else int(0.8 * NUM_IMAGES[dataset])
    if split.endswith(" validation"):
        return int(0.9 * num_train), num_train - int(0.9 * num_train)
    return num_train, NUM_IMAGES[dataset] - num_train


def name_of(dataset: str) -> str:
    """The `Images.name` that `load(dataset)` would give; an `.npz` is read and hashed, nothing is downloaded.

    >>> name_of("mnist")
    'mnist'
    """
    return dataset if dataset in DATASETS else files.read(_npz_path(dataset))[0]


def split_indices(count: int, seed: int, num_train: int | None = None) -> tuple[Tensor, Tensor]:
    """Indices (int64) of the training and of the test images: disjoint, together all of them.

    Args:
        count: number of images.
        seed: of the permutation whose first 80 % are for training.
        num_train: when given, no permutation: the first `num_train` images are for training.

    >>> [len(part) for part in split_indices(70_000, seed=0)]
    [56000, 14000]
    """
    if num_train is not None:
        return torch.arange(num_train), torch.arange(num_train, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: int(0.8 * count)], order[int(0.8 * count) :]


def resize(images: Tensor) -> Tensor:
    """Images, uint8 [N, C, H, W], at the size the networks take: 28x28 for C = 1, 32x32 for C = 3."""
    side = SIDE[images.shape[1]]
    if tuple(images.shape[2:]) == (side, side):
        return images.contiguous()
    return torch.cat([_resize_chunk(chunk, side) for chunk in torch.split(images, RESIZE_CHUNK)])


def _resize_chunk(images: Tensor, side: int) -> Tensor:
    larger = interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
    # Interpolating integers often gives an exact half; a small push makes all machines round it the same way.
    return (larger + 1e-3).round().clamp(0, 255).to(torch.uint8)


# Reading each kind of source


def _decode(dataset: str, folder: Path | None, download: bool) -> _Decoded:
    if dataset == "digits":
        return _decode_digits()
    if dataset in DATASETS:
        return _decode_fetched(dataset, folder, download)
    name, x, y = files.read(_npz_path(dataset))
    return _Decoded(name, x, y, None)


def _npz_path(dataset: str) -> Path:
    if dataset.lower().endswith(".npz"):
        return expanded(dataset=dataset)
    close = difflib.get_close_matches(dataset.lower(), DATASETS, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(
        f"dataset={dataset!r} is unknown{hint}; use one of {', '.join(DATASETS)}, "
        "or the path of a file of your own ending in .npz"
    )


def _decode_digits() -> _Decoded:
    from sklearn.datasets import load_digits  # here, since scikit-learn is slow to import

    digits: Any = load_digits()
    x = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 0..16 as shipped
    return _Decoded("digits", x[..., None], digits.target.astype(np.int64), None)


def _decode_fetched(name: str, folder: Path | None, download: bool) -> _Decoded:
    arrays = fetch_arrays(name, folder=folder, download=download)
    x = np.concatenate([arrays.train_images, arrays.test_images])
    y = np.concatenate([arrays.train_labels, arrays.test_labels]).astype(np.int64)
    return _Decoded(name, x if x.ndim == 4 else x[..., None], y, len(arrays.train_labels))
