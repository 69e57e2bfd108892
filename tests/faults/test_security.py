"""What must not happen whoever gives the input: code that runs, files elsewhere, marks in pages, places that leak."""

import ast
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cnndp.__main__ import main, parse
from cnndp.data import files
from cnndp.papers.presets import preset
from cnndp.runs import store
from cnndp.training.config import Config

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for room in ("cnndp", "notebooks", "book") for path in sorted((ROOT / room).rglob("*.py"))]


# Code


def calls(text):
    """Yield the name of everything that a source calls, with the names of its keywords."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def unsafe(text):
    """Return the calls of a source that can run what they read."""
    return [
        name
        for name, given in calls(text)
        if name in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load")
        or (name == "torch.load" and given.get("weights_only") != "True")
        or (name == "np.load" and given.get("allow_pickle") != "False")
        or (name.endswith("extractall") and given.get("filter") != "'data'")
        or given.get("shell") == "True"
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_can_run(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "tar.extractall(p)",
        "run(x, shell=True)",
    ],
)
def test_a_call_that_runs_what_it_reads_is_noticed(line):
    assert unsafe(line) != []


def test_the_linter_has_the_rules_of_security():
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in chosen["select"]
    assert {rule for rule in chosen["ignore"] if rule.startswith("S")} == {"S101", "S603"}


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "[" * 3000, "-" * 100_000 + "1", "{[]: 1}", "1" * 5000, "a\0b"]
)
def test_a_value_on_the_command_line_is_a_literal_or_text(text):
    assert parse((f"key={text}",)) == {"key": text}


# Files


@pytest.mark.parametrize(
    "name", ["../mine", "/mine", "a/b", "a\\b", "..", ".hidden", "", "a" * 101, "a\nb", "a\0b", "<b>"]
)
def test_no_field_of_a_config_leads_out_of_the_store(name, tmp_path):
    for field in ("method", "dataset"):
        with pytest.raises(ValueError, match=f"^{field}=.*becomes part of a file's name; pass letters"):
            Config(**{"method": "cnn", "reading": "reconstructed", "dataset": "digits", "num_steps": 1, field: name})
    config = preset("cnn", "reconstructed", "digits", 1)
    assert store.path_for(tmp_path, "fig07_ablation", config).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "words",
    [("audit", "../outside", "--seeds", "1"), ("run", "../outside"), ("run", "/outside"), ("data", "../outside")],
)
def test_no_word_of_a_command_leads_out_of_the_store(words, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "store"))
    finished = CliRunner().invoke(main, words)
    assert finished.exit_code == 1
    assert "error: " in finished.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# Pages


@pytest.mark.parametrize("stem", ["<script>alert(1)<", "a|b*c_`d`", "..", "x" * 200, "ünï \" '", "-rf"])
def test_the_name_of_a_file_is_harmless_wherever_it_is_shown(stem, tmp_path):
    kept = tmp_path / "mine.npz"
    np.savez(kept, x=np.zeros((12, 4, 4), dtype=np.uint8), y=np.arange(12) % 3)
    path = shutil.copy(kept, tmp_path / f"{stem[:200]}.npz")
    name = files.read(Path(path))[0]
    assert re.fullmatch(r"npz-[A-Za-z0-9_-]+-[0-9a-f]{12}", name)
    assert len(name) < 70


# Packages


def locked():
    """Return the pins of requirements.lock that every system has, and the number of hashes of each."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("--hash=sha256:") for line in text.splitlines() if line and not line.startswith("#")]
    return [(Requirement(first.strip()), [one.strip() for one in hashes]) for first, *hashes in lines]


def test_every_pin_has_its_hashes_and_they_are_those_of_the_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found = {canonicalize_name(one.name): str(one.specifier) for one, _ in locked()}
    for pin in pins:
        assert found.get(canonicalize_name(pin.name)) == str(pin.specifier), f"{pin}: make requirements.lock again"
    for one, hashes in locked():
        assert hashes, one
        assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in hashes), one
