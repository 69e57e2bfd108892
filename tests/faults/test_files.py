"""Files that others may have damaged: a user's own images, records, and the manifest that seals them."""

import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from endings import ending, some
from hypothesis import given
from hypothesis import strategies as st

from cnndp.data import files
from cnndp.runs import seal, store, verify
from cnndp.training.config import Config

ROOT = Path(__file__).resolve().parents[2]
RECORD = min((ROOT / "book" / "results" / "fig07_ablation" / "mnist").glob("cnn_dp_gan-reconstructed-s0-*.json"))
PRIVATE = min((ROOT / "book" / "results" / "private_fig07_08" / "mnist").glob("dp_sgd-private-s0-*.json"))
CONTENT = json.loads(RECORD.read_text(encoding="utf-8"))

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@st.composite
def damaged(draw, whole):
    """Return bytes with some cut off, some exchanged, or something else in their place."""
    kind = draw(st.sampled_from(["cut", "flip", "other", "insert"]))
    place = draw(st.integers(0, len(whole) - 1))
    if kind == "cut":
        return whole[:place]
    if kind == "flip":
        return whole[:place] + bytes([whole[place] ^ draw(st.integers(1, 255))]) + whole[place + 1 :]
    if kind == "insert":
        return whole[:place] + draw(st.binary(max_size=9)) + whole[place:]
    return draw(st.one_of(st.binary(max_size=60), st.integers(1, 3000).map(lambda deep: b"[" * 100 * deep)))


# A user's own images


def packed(**arrays):
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


IMAGES = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
LABELS = np.arange(12) % 3
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 12]), max_size=5).map(tuple)
KINDS = st.sampled_from(["u1", "i8", "u8", "f4", "f8", "?", "c8", "U3", "S2", "M8[s]", "i1", "V4"])


@st.composite
def archives(draw):
    """Return an .npz whose x and y have some shape, type and content, or one of which is missing."""
    if draw(st.integers(0, 2)) == 0:
        return packed(x=IMAGES, y=np.array(draw(st.lists(st.integers(0, 13), min_size=12, max_size=12))))
    x = np.resize(IMAGES, draw(st.one_of(st.just((12, 4, 4)), SHAPES))).astype("u1")
    y = np.array(draw(st.one_of(st.just(LABELS.tolist()), st.lists(st.integers(-3, 20), min_size=12, max_size=12))))
    y = draw(st.sampled_from([y, y.reshape(-1, 1), y[:5], np.array(3), y * 10**15]))
    arrays = {
        "x": x.astype(draw(KINDS)) if draw(st.booleans()) else x,
        "y": y.astype(draw(KINDS)) if draw(st.booleans()) else y,
    }
    arrays.pop(draw(st.sampled_from(["x", "y", "", "", ""])), None)
    return packed(**arrays)


def images_hold(path):
    name, x, y = files.read(path)
    assert x.dtype == np.uint8
    assert x.ndim == 4
    assert len(x) == len(y)
    assert 0 <= y.min() < y.max() < len(y)
    assert set(range(y.max())) - set(y.tolist()) == set(files.without_images(y))
    assert name.startswith("npz-")


@some(150)
@given(content=st.one_of(archives(), damaged(packed(x=IMAGES, y=LABELS))))
def test_own_images_are_read_or_refused(note, place, content):
    (place / "mine.npz").write_bytes(content)
    note("images", ending(lambda: images_hold(place / "mine.npz"), "dataset="))


# Records


def paths_of(value, here=()):
    """Yield the place of every part of a JSON value."""
    yield here
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value[:3]):
            yield from paths_of(inner, (*here, key))


@st.composite
def changed(draw, whole):
    """Return a JSON value in which one or two parts are gone or something else."""
    made = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 2))):
        *where, last = draw(st.sampled_from([one for one in paths_of(made) if one]))
        holder = made
        for key in where:
            holder = holder[key]
        if draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = draw(JSON)
        if not made:
            break
    return made


def record_holds(path):
    record = store.load_run(path)
    assert path.name == store.path_for(Path(), "", Config.from_dict(record["config"])).name


@some(100)
@given(content=damaged(RECORD.read_bytes()))
def test_a_damaged_record_is_refused_by_name(note, place, content):
    path = place / RECORD.name
    path.write_bytes(content)
    ended = ending(lambda: record_holds(path), str(path))
    assert ended == "refused" or json.loads(content) == CONTENT
    note("damaged record", ended)


@some(100)
@given(content=changed({key: value for key, value in CONTENT.items() if key != store.HASH}))
def test_a_forged_record_is_refused_or_read_and_checked_without_a_traceback(note, place, content):
    """The hash is made again, as a forger would: whatever loads has the parts that all that reads records needs."""
    path = place / RECORD.name
    store.save(content, path, refresh=True)
    ended = ending(lambda: record_holds(path), str(path))
    assert isinstance(verify.problems(store.load(path)), dict)
    ending(lambda: seal.entry_of(seal.sealed(path)), str(path))
    note("forged record", ended)


MANIFEST = {"a.json": {"sha256": "1", "commit": "2", "test_accuracy": 98.5}, "b.json": {"sha256": "3"}}


def manifest_holds(folder):
    for change in seal.changes(seal.read(folder), MANIFEST):
        assert "\n" not in str(change).replace(change.path, "") or change.before


@some(100)
@given(
    content=st.one_of(
        damaged(json.dumps(MANIFEST).encode()), changed(MANIFEST).map(lambda made: json.dumps(made).encode())
    )
)
def test_a_manifest_is_read_or_refused_by_name(note, place, content):
    (place / seal.NAME).write_bytes(content)
    note("manifest", ending(lambda: manifest_holds(place), seal.NAME))
