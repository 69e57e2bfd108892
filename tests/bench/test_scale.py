"""The run store as it grows: what a page reads does not depend on how many other records there are."""

from pathlib import Path

import pytest

from cnndp.bench import scale
from cnndp.runs import store
from cnndp.training.config import Config

pytestmark = pytest.mark.slow

BOOK = Path(__file__).resolve().parents[2] / "book" / "results"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two stores, the second with twice the records of the first."""
    folders = [tmp_path_factory.mktemp(name) for name in ("small", "large")]
    return [(folder, scale.grown(BOOK, folder, count)) for folder, count in zip(folders, (150, 300), strict=True)]


def test_a_grown_store_holds_as_many_records_as_asked_for(stores):
    assert [count for _, count in stores] == [150, 300]


def test_copies_beyond_the_originals_are_records_of_other_seeds(stores, tmp_path):
    few = tmp_path / "few"
    folder, _ = stores[0]
    assert scale.grown(folder, few, 160) == 160
    copies = [record for _, record in store.load_all(few) if record["config"]["seed"] >= 1_000]
    assert len(copies) == 10
    assert all(Config.from_dict(record["config"]).digest == record["digest"] for record in copies)


def test_a_page_reads_the_same_records_from_a_larger_store(stores, monkeypatch):
    read = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda path: read.append(path) or load(path))
    counts = []
    for folder, _ in stores:
        monkeypatch.setenv("CNNDP_RESULTS", str(folder))
        read.clear()
        scale.page()
        counts.append(len(read))
    assert counts[0] == counts[1] > 0


def test_what_is_measured_is_a_row_for_each_size_and_task(monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(BOOK))
    monkeypatch.setattr(scale, "TASKS", {"one page": scale.page})
    rows = scale.measure([100, 120])
    assert rows["records"].tolist() == [100, 120]
    assert (rows["seconds"] > 0).all()
    assert (rows["peak MB"] > 0).all()
