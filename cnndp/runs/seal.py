"""The outer seal: a manifest of every committed record, which `python -m cnndp seal` alone changes.

A record carries the hash of its own content, so whoever changes one can make its hash again. The manifest is a second
place that names it: one line a file, with what a reviewer looks at first, so that a record that changed is a line that
changed, and its old and new numbers stand in the diff.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnndp.runs.store import HASH, OWN, REMEDY, Record, RecordError, load, write_atomically

NAME = "MANIFEST.json"
Entry = dict[str, Any]
Manifest = dict[str, Entry]  # by path below the store, with slashes


class Change(NamedTuple):
    """A file that is not as the manifest has it: `before` is None for a new one, `after` for one that is gone."""

    path: str
    before: Entry | None
    after: Entry | None

    def __str__(self) -> str:
        """Return one line for a reviewer.

        >>> print(Change("a.json", {"sha256": "1", "test_accuracy": 98.5}, {"sha256": "2", "test_accuracy": 99.9}))
        changed a.json: test_accuracy 98.5 -> 99.9
        """
        if self.before is None or self.after is None:
            word, entry = ("removed", self.before) if self.after is None else ("new", self.after)
            return f"{word} {self.path}: {shown(entry or {})}"
        names = [name for name in {**self.before, **self.after} if self.before.get(name) != self.after.get(name)]
        seen = [f"{name} {self.before.get(name)} -> {self.after.get(name)}" for name in names if name != HASH]
        return f"changed {self.path}: {', '.join(seen) or 'its content, none of the numbers named here'}"


def shown(entry: Entry) -> str:
    """Return what a manifest says of a record besides its hash."""
    return ", ".join(f"{name} {value}" for name, value in entry.items() if name != HASH)


def entry_of(record: Record) -> Entry:
    """Return the manifest's line of one record: its hash, who made it, and what it says at the end."""
    made, final, privacy = record["provenance"], record.get("final", {}), record.get("privacy", {})
    entry = {
        HASH: record[HASH],
        "commit": made["commit"],
        "device": made["device"],
        "status": record.get("status"),
        "test_accuracy": final.get("test_accuracy"),
        "epsilon": privacy.get("exact_epsilon"),
    }
    return {name: value for name, value in entry.items() if value is not None}


def made_from(root: Path) -> Manifest:
    """Return the manifest that the records below `root` give, runs, audits and benchmarks.

    Records of files of a user's own are left out: they are nobody else's.

    Raises:
        RecordError: a record that was changed after it was written.
    """
    paths = [path for path in sorted(root.rglob("*.json")) if path.name != NAME and not is_own(path)]
    return {path.relative_to(root).as_posix(): entry_of(sealed(path)) for path in paths}


def sealed(path: Path) -> Record:
    """Return a record of whatever kind: a run, an audit or a benchmark; each says where it was made.

    Raises:
        RecordError: as `load`, or a file that does not say where it was made.
    """
    record = load(path)
    made = record.get("provenance")
    parts = [made, record.get("final", {}), record.get("privacy", {})]
    if not all(isinstance(part, dict) for part in parts) or not {"commit", "device"} <= parts[0].keys():
        raise RecordError(f"{path} does not say on which device and from which commit it was made; {REMEDY}")
    return record


def is_own(path: Path) -> bool:
    """Return whether a record is about a user's own data, or was measured by a user beside what the book shows."""
    return any(part.startswith("npz-") or part == OWN for part in path.parts)


def read(root: Path) -> Manifest:
    """Return the stored manifest, empty where there is none.

    Raises:
        RecordError: a file that is damaged.
    """
    path = root / NAME
    if not path.is_file():
        return {}
    try:
        stored: Manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict) or not all(isinstance(entry, dict) for entry in stored.values()):
            raise ValueError("it is no mapping from files to what is known of them")
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({error}); restore it from version control") from None
    return stored


def changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[Change]:
    """Return every file in which two manifests differ, in the order of the paths."""
    paths = sorted({*before, *after})
    return [Change(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]


def write(root: Path, manifest: Manifest) -> Path:
    """Write a manifest, one line a file."""
    path = root / NAME
    lines = (f"{json.dumps(name)}: {json.dumps(manifest[name], ensure_ascii=False)}" for name in sorted(manifest))
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path
