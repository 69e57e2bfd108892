"""Provenance: the commit is the one of the code, and no place or name of the machine is written down."""

import json
import platform
import re
import socket
import subprocess
from pathlib import Path

import pytest
import torch

import cnndp
from cnndp.runs import provenance

CPU = torch.device("cpu")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a git repository with a package `cnndp`, which takes the place of this one."""
    module = tmp_path / "cnndp" / "__init__.py"
    module.parent.mkdir()
    module.write_text("")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)
    monkeypatch.setattr(cnndp, "__file__", str(module))
    return tmp_path


def head(repository):
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_source_tree(repository):
    assert provenance.commit() == head(repository)[:10]


def test_a_changed_module_makes_the_commit_dirty(repository):
    (repository / "cnndp" / "__init__.py").write_text("changed = True\n")
    assert provenance.commit() == head(repository)[:10] + "-dirty"


def test_a_new_file_of_the_module_makes_the_commit_dirty(repository):
    (repository / "cnndp" / "new.py").write_text("")
    assert provenance.commit().endswith("-dirty")


def test_files_outside_the_module_do_not_make_the_commit_dirty(repository):
    (repository / "note.txt").write_text("")
    assert provenance.commit() == head(repository)[:10]


def test_outside_a_repository_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(cnndp, "__file__", str(tmp_path / "cnndp" / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "unknown"


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == "unknown"


def test_what_is_written_down():
    described = provenance.describe(CPU, 1.23456, "f" * 64)
    assert set(described) == {
        "package", "commit", "torch", "python", "device", "threads", "cores", "seconds", "peak_memory_mb",
        "dataset_sha256", "date",
    }  # fmt: skip
    assert described["seconds"] == 1.23
    assert described["torch"] == torch.__version__
    assert described["package"] == cnndp.__version__
    assert described["device"] == f"CPU ({platform.machine()})"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", described["date"])
    assert 50 < described["peak_memory_mb"] < 1_000_000


def test_no_place_and_no_name_of_this_machine_is_written_down():
    text = json.dumps(provenance.describe(CPU, 1.0, "f" * 64))
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert str(Path(cnndp.__file__).parent) not in text
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text
    assert not re.search(r'"/|\\\\', text)
