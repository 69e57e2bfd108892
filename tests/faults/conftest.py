"""How many inputs each property is tried on, and the count of a full run, kept as a record.

`make faults` sets CNNDP_FAULTS to a multiple; without it the tests try each property on few inputs, always the same.
"""

import time
from collections import Counter

import pytest
import torch
from endings import FULL

from cnndp.runs import provenance, store

NO_DATA = "0" * 64  # of the dataset's hash, in a record that comes from none
TRIED: dict[str, Counter[str]] = {}
STARTED = time.perf_counter()


@pytest.fixture(scope="session")
def note():
    """Return a function that counts how an input of a kind ended: "ran" or "refused"."""

    def count(kind, ending):
        TRIED.setdefault(kind, Counter())[ending] += 1

    return count


def pytest_sessionfinish(session, exitstatus):
    """Store the counts of a full run in which every property held."""
    if FULL == 1 or exitstatus or not TRIED:
        return
    rows = [{"kind": kind, **{ending: ended[ending] for ending in ("ran", "refused")}} for kind, ended in TRIED.items()]
    made = provenance.describe(torch.device("cpu"), time.perf_counter() - STARTED, NO_DATA)
    path = store.default_root() / "faults" / "input.json"
    store.save({"kind": "input", "rows": rows, "provenance": made}, path, refresh=True)
