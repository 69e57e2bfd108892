"""The run store: one JSON file a run, written atomically, carrying the hash of its content."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
from filelock import BaseFileLock, FileLock, Timeout

from cnndp.checks import Refusal, expanded
from cnndp.training.config import Config

Record = dict[str, Any]
HASH = "sha256"
OWN = "own"  # folder of what a user has measured beside what the book shows
REMEDY = "restore it from version control, or delete it and run the section again"
# The parts of a record of a run, each of the kind that whatever reads records relies on.
PARTS = {
    **dict.fromkeys(("config", "history", "trace", "final", "privacy", "provenance"), dict),
    **dict.fromkeys(("digest", "section", "status"), str),
    "ledger": list,
}
TEMPORARY = ".tmp"  # what a file that is being written ends in
LOCKS = ".locks"  # folder in the store, no part of it
JOBS = ".jobs"  # what SLURM jobs print, likewise


class RecordError(Refusal):
    """A record that cannot be trusted or written; the message names the file and the remedy."""


def default_root() -> Path:
    """Return where records are: $CNNDP_RESULTS, else book/results of the repository, else a user folder."""
    if chosen := os.environ.get("CNNDP_RESULTS"):
        return expanded(CNNDP_RESULTS=chosen)
    book = Path(__file__).resolve().parents[2] / "book"
    return book / "results" if book.is_dir() else platformdirs.user_data_path("cnndp") / "results"


def path_for(root: Path, section: str, config: Config) -> Path:
    """Return the file of a run: <root>/<section>/<dataset>/<method>-<reading>-s<seed>-<digest>.json."""
    name = f"{config.method}-{config.reading}-s{config.seed}-{config.digest}.json"
    return root / section / config.dataset / name


def find(root: Path, config: Config) -> Path | None:
    """Return the stored file of this very Config, in whatever section it was made, or None.

    Its name is known, so the time does not depend on how many records there are.
    """
    below = path_for(Path(), "", config)
    sections = sorted(root.iterdir()) if root.is_dir() else []
    return next((path for section in sections if (path := section / below).is_file()), None)


def make_room(path: Path) -> None:
    """Make sure, before hours of training, that `path` can be written; the lock of its run must be held.

    What a process left there that was killed while it wrote this very file is removed: nobody else writes it.

    Raises:
        RecordError: a folder that cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*{TEMPORARY}"):
            left.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> RecordError:
    """Return what is said of a file that the system does not let be written."""
    return RecordError(
        f"cannot write {path}: {error.strerror}; free some space or set CNNDP_RESULTS to another folder, then run "
        "again: finished runs are kept"
    )


def lock_of(root: Path, config: Config) -> BaseFileLock:
    """Return the lock of a run: who trains it holds it, across processes on one store."""
    folder = root / LOCKS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return FileLock(folder / f"{config.digest}.lock")


def taken(lock: BaseFileLock) -> bool:
    """Take a lock without waiting, and return whether it was free.

    Raises:
        RecordError: a lock that the system does not let be written.
    """
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        raise unwritable(Path(lock.lock_file), error) from error
    return True


def prepared_place(root: Path, section: str, config: Config) -> Path:
    """Return where a run goes, the file that holds it already if there is one, with room made for it."""
    path = find(root, config) or path_for(root, section, config)
    make_room(path)
    return path


def canonical(record: Record) -> bytes:
    """Return the bytes that the hash of a record is over: sorted keys, no spaces, without the hash itself."""
    content = {key: value for key, value in record.items() if key != HASH}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def content_hash(record: Record) -> str:
    """Return the SHA-256 of the canonical content, in hexadecimal."""
    return hashlib.sha256(canonical(record)).hexdigest()


def save(record: Record, path: Path, *, refresh: bool = False) -> Path:
    """Write a record with its hash: to a temporary file beside it, flushed to disk, then renamed.

    Raises:
        RecordError: when a record is there already and `refresh` is not set, or when the disk refuses. What
            was there before is left as it was.
    """
    if path.exists() and not refresh:
        raise RecordError(f"{path} exists already; a record is replaced only with refresh=True")
    sealed = {**record, HASH: content_hash(record)}
    # One line a top-level key: small files whose diffs can be read.
    lines = (f"{json.dumps(key)}: {json.dumps(sealed[key], allow_nan=False)}" for key in sorted(sealed))
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, or leave it as it was."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> Record:
    """Return a record whose content matches its hash.

    Raises:
        RecordError: a file that is missing, no JSON, or changed since it was written.
    """
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not isinstance(record.get(HASH), str):
            raise RecordError(f"{path} carries no {HASH}: it is not a record of cnndp; {REMEDY}")
        actual = content_hash(record)
    except FileNotFoundError:
        raise RecordError(f"{path} is missing; {REMEDY}") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); pass the file of a record") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({error}); {REMEDY}") from None
    if record[HASH] != actual:
        raise RecordError(
            f"{path} was changed after it was written: its {HASH} says {record[HASH][:12]}..., "
            f"its content gives {actual[:12]}...; {REMEDY}"
        )
    return record


def load_run(path: Path, config: Config | None = None) -> Record:
    """Return the record at `path`, which must be a whole one of the run that its name says.

    Args:
        path: of the file.
        config: the run that is looked for; None for whichever the name says.

    Raises:
        RecordError: as `load`, a part that is missing, or the record of another run under this name.
    """
    record = load(path)
    for name, kind in PARTS.items():
        if not isinstance(record.get(name), kind):
            raise RecordError(f"{path} is no whole record of a run: its {name!r} is {record.get(name)!r}; {REMEDY}")
    try:
        held = Config.from_dict(record["config"])
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path} holds no run that this code knows ({error}); {REMEDY}") from None
    wanted = held if config is None else config
    if held != wanted or record["digest"] != wanted.digest or path.name != path_for(Path(), "", wanted).name:
        raise RecordError(f"{path} holds the run {record['digest']!r} ({held.digest}), not that of its name; {REMEDY}")
    return record


def paths_in(root: Path) -> list[Path]:
    """Return the files of all runs below `root`, in order."""
    return sorted(root.glob("*/*/*.json"))


def load_all(root: Path) -> Iterator[tuple[Path, Record]]:
    """Yield every record below `root` with its path, in the order of the paths."""
    for path in paths_in(root):
        yield path, load(path)
