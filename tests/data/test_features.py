"""Features are computed once, trusted only where the cache says what they are, and split like the images."""

import numpy as np
import pytest
import torch
from torch import Generator
from torch.nn.functional import group_norm

from cnndp.data import datasets, features
from cnndp.data.datasets import Whole
from cnndp.data.scattering import scatter


def images_of(count, channels=1, seed=0):
    side = datasets.SIDE[channels]
    return torch.randint(256, (count, channels, side, side), generator=Generator().manual_seed(seed)).to(torch.uint8)


@pytest.fixture
def whole():
    """Return 30 images, the first 20 of them published for training."""
    labels = torch.arange(30) % 3
    return Whole("noise", images_of(30), labels, num_train=20, sha256="ab" * 32, resized_from=None)


@pytest.fixture
def counted(monkeypatch):
    """Return a list that grows by one whenever features are computed anew."""
    calls = []
    extract = features.extract
    monkeypatch.setattr(features, "extract", lambda whole: calls.append(whole.name) or extract(whole))
    return calls


@pytest.mark.parametrize("channels", [1, 3])
def test_unit_features_are_normalised_scattering_coefficients(channels):
    images = datasets.pixels(images_of(3, channels))
    found = features.unit_features(images)
    paths = scatter(features.opponent(images) if channels == 3 else images).flatten(1, 2)
    expected = group_norm(paths, 27 * channels).flatten(1)
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert found.shape == (3, 81 * channels, paths.shape[-1] ** 2) == features.feature_shape(images)
    assert torch.allclose(found.flatten(1), expected)
    assert found.view(3, 27 * channels, -1).mean(dim=2).abs().max() < 1e-6  # over the 3 paths of one group


def test_opponent_colours_are_a_rotation():
    images = datasets.pixels(images_of(2, 3))
    turned = features.opponent(images)
    assert torch.allclose(turned.norm(dim=1), images.norm(dim=1), atol=1e-6)
    assert torch.allclose(features.OPPONENT @ features.OPPONENT.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(turned[:, 1], (images[:, 0] - images[:, 2]) / 2**0.5, atol=1e-6)


def test_a_black_image_has_features_of_norm_at_most_one():
    black = features.unit_features(torch.zeros(1, 1, 28, 28))
    assert black.isfinite().all()
    assert black.norm() < 1 + 1e-6


def test_features_do_not_depend_on_the_chunks(whole, monkeypatch):
    together = features.extract(whole)
    monkeypatch.setattr(features, "CHUNK", 7)
    assert torch.allclose(features.extract(whole).float(), together.float(), atol=1e-4)
    assert together.dtype == torch.float16


def test_colours_are_normalised_where_public_constants_are_known():
    colour = Whole("cifar10", images_of(4, 3), torch.zeros(4), None, "c" * 64, None)
    normalised = datasets.network_input("cifar10", normalise=True)(colour.images)
    assert torch.equal(features.extract(colour), features.unit_features(normalised).half())
    own = colour._replace(name="npz-own-123")
    assert torch.equal(features.extract(own), features.unit_features(datasets.pixels(colour.images)).half())


def test_features_are_computed_once(whole, counted, tmp_path):
    first = features.of_dataset(whole, tmp_path)
    second = features.of_dataset(whole, tmp_path)
    assert counted == ["noise"]
    assert torch.equal(first, second)
    assert [path.name for path in tmp_path.iterdir()] == ["scattering-noise-abababababab.npz"]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def another_key(path):
    np.savez(path, features=np.zeros((30, 81, 49), np.float16), key=np.array("another recipe"))


def another_shape(path):
    key = np.array(f"scattering recipe {features.RECIPE} of {'ab' * 32}")
    np.savez(path, features=np.zeros((30, 81, 48), np.float16), key=key)


def pickled(path):
    np.savez(path, features=np.array([{}], dtype=object), key=np.array("x"))


@pytest.mark.parametrize(
    "damage", [flip_a_bit, cut, another_key, another_shape, pickled, lambda path: path.write_bytes(b"")]
)
def test_a_damaged_or_foreign_cache_is_made_again(damage, whole, counted, tmp_path, capsys):
    first = features.of_dataset(whole, tmp_path)
    path = features.cache_file(whole, tmp_path)
    damage(path)
    assert torch.equal(features.of_dataset(whole, tmp_path), first)
    assert counted == ["noise", "noise"]
    assert f"{path} is no cache of these features" in capsys.readouterr().err
    features.of_dataset(whole, tmp_path)
    assert counted == ["noise", "noise"]  # mended


def test_another_recipe_does_not_take_the_old_cache(whole, counted, tmp_path, monkeypatch):
    features.of_dataset(whole, tmp_path)
    monkeypatch.setattr(features, "RECIPE", features.RECIPE + 1)
    features.of_dataset(whole, tmp_path)
    assert counted == ["noise", "noise"]


def test_a_write_that_fails_leaves_nothing_behind_and_still_gives_the_features(whole, tmp_path, monkeypatch, capsys):
    def refuse(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", refuse)
    assert len(features.of_dataset(whole, tmp_path)) == 30
    assert list(tmp_path.iterdir()) == []
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["8:2", "official", "official validation"])
def test_a_split_gives_each_image_its_own_features_and_label(split, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "load_whole", lambda dataset, **options: whole)
    loaded = features.load("noise", split=split, split_seed=3, folder=tmp_path)
    for rows, found, labels in zip(
        datasets.split_rows(whole, split, 3),
        (loaded.train_images, loaded.test_images),
        (loaded.train_labels, loaded.test_labels),
        strict=True,
    ):
        expected = features.unit_features(datasets.pixels(whole.images[rows]))
        assert torch.allclose(found.float(), expected, atol=1e-4)
        assert torch.equal(labels, whole.labels[rows])
    assert (loaded.split, loaded.num_classes) == (split, 3)
