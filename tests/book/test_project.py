"""The project as a whole: versions agree, commands in the README exist, nothing names a place of a machine."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cnndp import __version__
from cnndp.__main__ import main
from cnndp.papers.sections.plan import SECTIONS
from cnndp.runs.experiment import PARAMETERS, TUNING
from cnndp.training.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACE = re.compile(r"(?<![\w.}~)/-])/(home|root|work|tmp|Users|mnt|scratch)/[\w.]+")


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): str(one.specifier) for one in requirements}


def tracked():
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in ended.stdout.splitlines() if (ROOT / name).is_file()]


def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def pip_section():
    (section,) = [entry["pip"] for entry in environment()["dependencies"] if isinstance(entry, dict)]
    return section


# Versions


def test_every_dependency_is_pinned_in_the_constraints_at_a_version_it_allows():
    project = PYPROJECT["project"]
    listed = [*project["dependencies"], *(one for group in project["optional-dependencies"].values() for one in group)]
    for requirement in map(Requirement, listed):
        pin = pins().get(canonicalize_name(requirement.name))
        assert pin, f"{requirement.name} is not in constraints.txt"
        assert re.fullmatch(r"==[\w.]+", pin)
        assert requirement.specifier.contains(pin.removeprefix("==")), f"{requirement} does not allow {pin}"


def test_the_conda_environment_has_python_and_the_pins_of_the_constraints():
    plain = [entry for entry in environment()["dependencies"] if isinstance(entry, str)]
    names = {re.split(r"[<>=]", entry)[0] for entry in plain}
    assert names == {"python", "pip"}
    assert f"python{PYPROJECT['project']['requires-python']}" in plain
    listed = {canonicalize_name(one.name): str(one.specifier) for one in map(Requirement, pip_section())}
    assert listed == pins()


def test_the_pins_resolve_together(tmp_path):
    """Without an index pip can only accept what is installed: this resolves, and downloads nothing."""
    installed = {canonicalize_name(one.name): f"=={one.version}" for one in metadata.distributions()}
    if other := [name for name, pin in pins().items() if installed.get(name) != pin]:
        pytest.skip(f"this environment is not the one of constraints.txt: {', '.join(other)}")
    (tmp_path / "requirements.txt").write_text("\n".join(pip_section()), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--no-index",
        "--disable-pip-version-check",
    ]
    command += ["-r", str(tmp_path / "requirements.txt")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_citation_file_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PYPROJECT["project"]["license"] == "MIT"
    assert "MIT" in (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[0]
    for work in [citation, *citation["references"]]:
        assert work["title"]
        assert work["type"]
        assert all("name" in author or {"family-names", "given-names"} <= author.keys() for author in work["authors"])


# Commands


def shell_commands():
    for page in PAGES:
        for block in re.findall(r"```(?:bash|sh|shell|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    yield page.name, words


def targets():
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_make_targets_that_the_pages_name_exist():
    named = {
        (page, word)
        for page, words in shell_commands()
        if words[0] == "make"
        for word in words[1:]
        if "=" not in word and not word.startswith("-")
    }
    for page in PAGES:
        named |= {
            (page.name, target) for target in re.findall(r"`make ([a-z][\w-]*)", page.read_text(encoding="utf-8"))
        }
    assert ("README.md", "book") in named
    assert ("README.md", "test") in named
    assert {(page, target) for page, target in named if target not in targets()} == set()


def test_every_target_of_the_makefile_without_a_file_is_phony():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) == targets()


def check_parameter(name):
    assert name in {**PARAMETERS, **TUNING, **Config.__dataclass_fields__}, name


def test_the_commands_in_the_pages_exist_with_their_options():
    seen = 0
    for page, words in shell_commands():
        if words[:3] != ["python", "-m", "cnndp"]:
            continue
        seen += 1
        command = main.commands[words[3]]
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        for option, value in zip(words, [*words[1:], ""], strict=True):
            if option.startswith("-") and option != "-m":
                assert option in options, (page, option)
            if option == "-p":
                check_parameter(value.partition("=")[0])
        if words[3] == "run":
            assert words[4] in SECTIONS
    assert seen >= 2


def test_the_papermill_commands_in_the_pages_name_notebooks_and_parameters():
    seen = 0
    for page, words in shell_commands():
        if words[0] != "papermill":
            continue
        seen += 1
        assert (ROOT / words[1]).is_file(), (page, words[1])
        known = papermill.inspect_notebook(str(ROOT / words[1]))
        for option, value in zip(words, [*words[1:], ""], strict=True):
            if option in ("-p", "-r"):
                assert value in known, (page, value)
            if option == "-y":
                assert set(yaml.safe_load(value)) <= set(known), (page, value)
    assert seen >= 2


def test_the_readme_says_where_parameters_are_explained():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`book/parameters.md`" in text
    assert "{section-parameters}" in (ROOT / "book" / "parameters.md").read_text(encoding="utf-8")


def test_files_and_folders_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    made = ("notebooks/runs", "_build/", "environment.yml")
    for name in re.findall(r"`((?:cnndp|notebooks|book|tests)/[\w./]*|[\w]+\.(?:md|cff|txt|toml))`", text):
        assert (ROOT / name).exists() or name.startswith(made), name


def test_ci_runs_the_readmes_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#!")
    assert lines[-1] == "make test"


# What must not be in the files


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_names_a_place_of_a_machine():
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in tracked() for match in PLACE.finditer(text_of(path))]
    assert found == []


def test_no_file_holds_a_mark_of_a_merge_or_a_private_key():
    bad = re.compile(r"^(<{7} |>{7} )|BEGIN [A-Z ]*PRIVATE KEY", re.MULTILINE)
    assert [path.name for path in tracked() if bad.search(text_of(path))] == []


def test_no_tracked_file_is_large():
    assert [path.name for path in tracked() if path.stat().st_size > 2_000_000] == []
