"""Without Chromium, who runs the tests is told how to get it, and CI gets it."""

import os
import shutil
import subprocess
import sys

import pytest
from scripts import ROOT


def ended(command, **settings):
    """Run a command with nothing but what `settings` name in place of this machine's Chromium."""
    environment = {name: value for name, value in os.environ.items() if name != "CNNDP_CHROMIUM"}
    return subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=False)


def test_without_chromium_the_remedy_is_named(tmp_path):
    command = [sys.executable, str(ROOT / "book" / "chromium.py")]
    missing = ended(command, PATH=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert missing.returncode == 1
    assert missing.stderr.startswith("Chromium is missing")
    assert "apt-get install chromium" in missing.stderr
    assert "python -m playwright install chromium" in missing.stderr
    assert "Traceback" not in missing.stderr
    wrong = ended(command, CNNDP_CHROMIUM=str(tmp_path / "none"))
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"CNNDP_CHROMIUM is {str(tmp_path / 'none')!r}, which is no program")


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs .ci/run where only the named programs exist, and returns what it started."""

    def run(*programs, **settings):
        folder, log = tmp_path / "bin", tmp_path / "log"
        folder.mkdir()
        for name in ("bash", "env", "dirname"):
            (folder / name).symlink_to(shutil.which(name))
        for name, line in {"make": "", "id": "echo 0", **dict.fromkeys(programs, "")}.items():
            (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\n{line}\n', encoding="utf-8")
            (folder / name).chmod(0o755)
        found = ended([str(ROOT / ".ci" / "run")], PATH=str(folder), **settings)
        assert found.returncode == 0, found.stderr
        return [line for line in log.read_text(encoding="utf-8").splitlines() if not line.startswith("id ")]

    return run


def test_ci_gets_chromium_on_a_fresh_machine(machine):
    installed = "apt-get install -y --no-install-recommends chromium"
    assert machine("apt-get") == ["apt-get update", installed, "make test"]


@pytest.mark.parametrize("programs", [("apt-get", "chromium"), ("apt-get", "google-chrome"), ()])
def test_ci_leaves_a_machine_alone_that_has_one_or_no_apt(machine, programs):
    assert machine(*programs) == ["make test"]


def test_ci_leaves_a_machine_alone_whose_chromium_is_named(machine):
    assert machine("apt-get", CNNDP_CHROMIUM="elsewhere") == ["make test"]
