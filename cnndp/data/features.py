"""Scattering features of whole datasets, computed once and kept in the cache folder.

Every image is treated on its own, so features of training images say nothing of one another, and nothing here
needs noise. What looks at several images at once is in `cnndp.data.preparation`.
"""

import contextlib
import os
import sys
import uuid
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import group_norm

from cnndp.data.datasets import CHANNELS, Images, Whole, cache_folder, load_whole, network_input, parted, split_rows
from cnndp.data.scattering import scatter
from cnndp.progress import progress_bar

RECIPE = 1  # raised when a change of code changes features: every cached file is then out of date
PATHS_TOGETHER = 3  # neighbouring paths in one group of group normalisation: 27 groups for grey images, 81 for colour
# Red + green + blue, red - blue, and green against both, each of norm 1: what three colours share, and two contrasts.
OPPONENT = torch.tensor(
    [[1 / sqrt(3), 1 / sqrt(3), 1 / sqrt(3)], [1 / sqrt(2), 0, -1 / sqrt(2)], [1 / sqrt(6), -2 / sqrt(6), 1 / sqrt(6)]]
)
CHUNK = 24  # images at once: what they need then fits a core's cache


def load(
    dataset: str, *, split: str = "8:2", split_seed: int = 0, folder: Path | None = None, download: bool = True
) -> Images:
    """Load a dataset as `datasets.load` does, with unit features in place of the images.

    >>> load("digits").train_images.shape  # 81 paths, 7 x 7 positions
    torch.Size([1437, 81, 49])

    Args:
        dataset, split, split_seed, download: as in `datasets.load`.
        folder: the cache folder, of the dataset and of its features; default `cache_folder()`.

    Returns:
        `Images` whose images are `unit_features`, float16 `[N, C * 81, H/4 * W/4]`.

    Raises:
        ValueError, FetchError: as `datasets.load`.
    """
    whole = load_whole(dataset, folder=folder, download=download)
    rows = split_rows(whole, split, split_seed)  # before minutes of work, so that a wrong split is refused at once
    return parted(whole._replace(images=of_dataset(whole, folder)), split, rows)


def unit_features(images: Tensor) -> Tensor:
    """Return scattering coefficients after group normalisation, each image's of L2 norm 1, `[B, C * 81, P]`.

    The three channels of an image in colour share most of what they show, so colours become `opponent` first.

    Args:
        images: `[B, C, H, W]`, as the network would get them.

    >>> norms = unit_features(torch.rand(2, 1, 28, 28)).flatten(1).norm(dim=1)
    >>> torch.allclose(norms, torch.ones(2))
    True
    """
    images = opponent(images) if images.shape[1] == 3 else images
    paths = scatter(images).flatten(1, 2)  # [B, C * 81, H/4, W/4]
    return unit(group_norm(paths, paths.shape[1] // PATHS_TOGETHER).flatten(1)).view(len(images), paths.shape[1], -1)


def opponent(images: Tensor) -> Tensor:
    """Return red, green, blue images `[B, 3, H, W]` as brightness and two colour contrasts: a fixed rotation.

    >>> opponent(torch.ones(1, 3, 1, 1)).flatten().abs().round(decimals=4)  # grey has no contrast
    tensor([1.7321, 0.0000, 0.0000])
    """
    return torch.einsum("kc,bchw->bkhw", OPPONENT, images)


def unit(rows: Tensor) -> Tensor:
    """Return each row over its L2 norm; a row of zeros stays one.

    Guarantees:
        No row of the result has an L2 norm above 1 (up to rounding).

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / norms.clamp(min=torch.finfo(rows.dtype).tiny)


def of_dataset(whole: Whole, folder: Path | None = None) -> Tensor:
    """Return the unit features of all images of a dataset, float16 `[N, C * 81, P]`, from the cache where they are.

    A cache file that is damaged, or of other images or another recipe, is made again.

    Args:
        whole: the dataset.
        folder: the cache folder; default `cache_folder()`.
    """
    path = cache_file(whole, folder)
    features = read_cache(path, whole)
    if features is None:
        features = extract(whole)
        write_cache(path, whole, features)
    return features


def extract(whole: Whole) -> Tensor:
    """Compute the unit features of all images, float16 `[N, C * 81, P]`, with a progress bar."""
    # Constants from the data itself would be one more release; without public ones, pixels in [0, 1] will do.
    normalise = whole.images.shape[1] == 3 and whole.name in CHANNELS
    to_input = network_input(whole.name, normalise=normalise)
    features = torch.empty(feature_shape(whole.images), dtype=torch.float16)
    with progress_bar(len(features), "image") as bar, torch.no_grad():
        for rows, images in zip(torch.split(features, CHUNK), torch.split(whole.images, CHUNK), strict=True):
            rows.copy_(unit_features(to_input(images)))
            bar.update(len(rows))
    return features


def feature_shape(images: Tensor) -> tuple[int, int, int]:
    """Return the shape of the unit features of images `[N, C, H, W]`.

    >>> feature_shape(torch.zeros(2, 3, 32, 32))
    (2, 243, 64)
    """
    _, paths, positions = unit_features(torch.zeros(1, *images.shape[1:])).shape
    return len(images), paths, positions


def cache_file(whole: Whole, folder: Path | None = None) -> Path:
    """Return where the features of a dataset are cached."""
    return (cache_folder() if folder is None else Path(folder)) / f"scattering-{whole.name}-{whole.sha256[:12]}.npz"


def cache_key(whole: Whole) -> str:
    """Return what a cache file must say it holds: the recipe, and the hash of the images."""
    return f"scattering recipe {RECIPE} of {whole.sha256}"


def read_cache(path: Path, whole: Whole) -> Tensor | None:
    """Return the features that `path` holds, or None when it is missing, damaged or holds something else."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["key"]) != cache_key(whole):
                raise ValueError(f"it says {str(stored['key'])!r}")
            features = torch.from_numpy(stored["features"])  # compares the checksum of all bytes
        if features.dtype != torch.float16 or features.shape != feature_shape(whole.images):
            raise ValueError(f"it holds {features.dtype} of shape {tuple(features.shape)}")
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except Exception as error:  # a damaged zip fails in many ways, none of which may end in trusting it
        print(f"{path} is no cache of these features ({error}); making it again", file=sys.stderr)
        return None
    return features


def write_cache(path: Path, whole: Whole, features: Tensor) -> None:
    """Write the features so that `path` either holds all of them or is as it was; a full disk is no error."""
    partial = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            np.savez(file, features=features.numpy(), key=np.array(cache_key(whole)))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        print(f"features are not kept: {path}: {error.strerror}", file=sys.stderr)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
