"""The run store: a record is whole, unchanged and where its Config says, or it is refused."""

import errno
import hashlib
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from cnndp.bench import timing
from cnndp.papers.presets import preset
from cnndp.runs import seal, store, verify
from cnndp.runs.store import RecordError
from cnndp.training.batches import steps_per_epoch
from cnndp.training.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
COMMITTED = sorted((REPOSITORY / "book" / "results").glob("*/*/*.json"))
BENCHMARKS = sorted((REPOSITORY / "book" / "results" / "benchmarks").glob("*.json"))
AUDITS = sorted((REPOSITORY / "book" / "results" / "audits").glob("*.json"))
CONFIG = preset("cnn_dp", "reconstructed", "digits", 60)
RECORD = {
    "config": CONFIG.to_dict(),
    "digest": CONFIG.digest,
    "history": {"step": [0, 60], "test_accuracy": [9.5, 88.25], "loss": [None, 0.25]},
    "final": {"test_accuracy": 88.0, "last_step": 60},
    "note": "ε ± λ",
}
REMEDY = "restore it from version control, or delete it and run the section again"


@pytest.fixture
def path(tmp_path):
    return store.save(RECORD, store.path_for(tmp_path, "fig07_ablation", CONFIG))


def content(path):
    return json.loads(path.read_text(encoding="utf-8"))


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Round trip


def test_what_was_saved_is_loaded(path):
    assert {key: value for key, value in store.load(path).items() if key != "sha256"} == RECORD


def test_saving_the_same_record_twice_gives_the_same_bytes(path):
    before = path.read_bytes()
    shuffled = dict(reversed(RECORD.items()))
    store.save(shuffled, path, refresh=True)
    assert path.read_bytes() == before


def test_a_file_has_one_line_a_key_and_its_rights_are_those_of_a_document(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(RECORD) + 3
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_place_of_a_record_tells_section_dataset_method_reading_seed_and_digest(tmp_path):
    config = CONFIG.replace(seed=3)
    expected = tmp_path / "fig07_ablation" / "digits" / f"cnn_dp-reconstructed-s3-{config.digest}.json"
    assert store.path_for(tmp_path, "fig07_ablation", config) == expected


def test_find_finds_this_very_config_in_any_section(path, tmp_path):
    assert store.find(tmp_path, CONFIG) == path
    assert store.find(tmp_path, CONFIG.replace(seed=1)) is None
    assert store.find(tmp_path, CONFIG.replace(learning_rate=0.1)) is None
    moved = tmp_path / "another_section" / "digits" / path.name
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    assert store.find(tmp_path, CONFIG) == moved
    assert [found for found, _ in store.load_all(tmp_path)] == [moved]


def test_find_takes_the_first_section_that_has_it_and_passes_by_what_is_no_section(path, tmp_path):
    (tmp_path / "a file").write_text("")
    (tmp_path / "benchmarks").mkdir()
    first = store.save(RECORD, store.path_for(tmp_path, "eq06_11_polyak", CONFIG))
    assert store.find(tmp_path, CONFIG) == first
    first.unlink()
    assert store.find(tmp_path, CONFIG) == path


def test_find_in_a_folder_that_does_not_exist_is_none(tmp_path):
    assert store.find(tmp_path / "nothing", CONFIG) is None


# A record that is not what was written is refused


def changed_by_one_percent(content):
    content["final"]["test_accuracy"] *= 1.01


def another_key(content):
    content["extra"] = 1


def without_hash(content):
    del content["sha256"]


def another_config(content):
    content["config"]["learning_rate"] = 0.31


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed_by_one_percent, "was changed after it was written"),
        (another_key, "was changed after it was written"),
        (another_config, "was changed after it was written"),
        (without_hash, "carries no sha256"),
    ],
)
def test_a_changed_record_is_refused_by_name_with_the_remedy(path, change, reason):
    edited = content(path)
    change(edited)
    path.write_text(json.dumps(edited), encoding="utf-8")
    with pytest.raises(RecordError, match=re.escape(f"{path} {reason}")) as caught:
        store.load(path)
    assert REMEDY in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"no json",
        lambda raw: b"\xff\xfe" + raw,
        lambda raw: b"[1, 2]",
        lambda raw: b"null",
        lambda raw: raw.replace(b"88.25", b"NaN"),
        lambda raw: re.sub(rb'"sha256": "\w+"', b'"sha256": 7', raw),
    ],
    ids=["truncated", "empty", "no json", "no text", "a list", "null", "NaN", "hash is a number"],
)
def test_a_damaged_file_is_refused_by_name_with_the_remedy(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecordError, match=re.escape(str(path))) as caught:
        store.load(path)
    assert REMEDY in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(RecordError, match=r"nothing\.json is missing; restore it"):
        store.load(tmp_path / "nothing.json")


def test_formatting_is_not_content(path):
    path.write_text(json.dumps(content(path), indent=4, sort_keys=True), encoding="utf-8")
    assert store.load(path)["final"] == RECORD["final"]


# Writing


def test_a_record_is_never_overwritten_without_refresh(path):
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"exists already; a record is replaced only with refresh=True"):
        store.save({**RECORD, "final": {}}, path)
    assert path.read_bytes() == before
    store.save({**RECORD, "final": {}}, path, refresh=True)
    assert store.load(path)["final"] == {}


def refuse(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["cnndp.runs.store.os.fsync", "cnndp.runs.store.Path.replace"])
@pytest.mark.parametrize(("failure", "error"), [(refuse, RecordError), (interrupt, KeyboardInterrupt)])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, tmp_path, monkeypatch, place, failure, error):
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(place, failure)
        with pytest.raises(error):
            store.save({**RECORD, "final": {}}, path, refresh=True)
    assert path.read_bytes() == before
    assert files(tmp_path) == [path.name]


def test_a_full_disk_is_explained_with_the_remedy(path, monkeypatch):
    monkeypatch.setattr("cnndp.runs.store.os.fsync", refuse)
    message = r"cannot write .*: No space left on device; free some space or set CNNDP_RESULTS .*run again"
    with pytest.raises(RecordError, match=message):
        store.save(RECORD, path, refresh=True)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write .*set CNNDP_RESULTS"):
        store.save(RECORD, tmp_path / "file" / "record.json")


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save({"loss": float("nan")}, tmp_path / "record.json")
    assert files(tmp_path) == []


def test_the_environment_chooses_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    assert store.default_root() == tmp_path
    monkeypatch.delenv("CNNDP_RESULTS")
    assert store.default_root() == REPOSITORY / "book" / "results"


# The committed records


def test_the_records_that_git_tracks_are_there():
    command = ["git", "-C", str(REPOSITORY), "ls-files", "book/results"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    assert listed == [] or COMMITTED != []
    faults = REPOSITORY / "book" / "results" / "faults" / "input.json"
    manifest = REPOSITORY / "book" / "results" / seal.NAME
    assert {REPOSITORY / name for name in listed} <= {*COMMITTED, *BENCHMARKS, *AUDITS, faults, manifest}


def test_every_record_is_as_it_was_sealed():
    root = REPOSITORY / "book" / "results"
    found = seal.changes(seal.read(root), seal.made_from(root))
    assert not found, f"python -m cnndp seal writes the manifest again; see that this is meant: {found[0]}"


SPENDS = (
    "mechanism",
    "target_epsilon",
    "noise_multiplier",
    "num_steps",
    "batch_size",
    "growth",
    "loss_clip",
    "features",
)


def by_noise(path):
    """Return a record as a parameter; one process checks all that spend alike, and keeps the price."""
    config = json.loads(path.read_text(encoding="utf-8"))["config"]
    spends = json.dumps([config.get(name) for name in SPENDS])
    group = hashlib.sha256(spends.encode()).hexdigest()[:12] if config["reading"] == "private" else path.parent.name
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow, pytest.mark.xdist_group(group)])


@pytest.mark.parametrize("path", [by_noise(path) for path in COMMITTED])
def test_a_committed_record(path):
    record = store.load(path)
    assert verify.problems(record) == {}
    config = Config.from_dict(record["config"])
    assert path == store.path_for(REPOSITORY / "book" / "results", record["section"], config)
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'"(/|~|[A-Za-z]:\\)|/(home|root|tmp|work|Users)/', text)
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text


def test_no_two_committed_records_are_of_one_config():
    digests = [store.load(path)["digest"] for path in COMMITTED]
    assert len(digests) == len(set(digests))


def test_longer_runs_are_100_epochs_of_p1_on_mnist_and_20_of_p2():
    configs = [store.load(path)["config"] for path in COMMITTED]
    long = {
        (config["split"], config["batch_size"], config["num_steps"]) for config in configs if config["num_steps"] > 1200
    }
    assert long == {
        ("8:2", 250, 100 * steps_per_epoch(56_000, 250)),
        ("8:2", 256, 100 * steps_per_epoch(56_000, 256)),
        ("official", 250, 20 * steps_per_epoch(60_000, 250)),
    }


@pytest.mark.parametrize("path", AUDITS, ids=lambda path: path.stem)
def test_a_committed_audit(path):
    record = store.load(path)
    assert record["kind"] == path.stem
    assert record["rows"]
    assert not record["provenance"]["commit"].endswith(("dirty", "unknown"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_committed_benchmark(path):
    record = store.load(path)
    assert path == timing.path_for(REPOSITORY / "book" / "results", record)
    asked = {(network, size) for network in timing.NETWORKS for size in timing.BATCH_SIZES}
    assert {(row["network"], row["batch_size"]) for row in record["rows"]} == asked
    assert len(record["rows"]) == len(asked) * len(timing.VARIANTS)
    assert len({len(row["ms_per_step"]) for row in record["rows"]}) == 1
    assert all(value > 0 for row in record["rows"] for value in row["ms_per_step"])
    assert "dirty" not in record["provenance"]["commit"]
