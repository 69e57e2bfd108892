"""codecheck.yml: what CODECHECK 2.0 asks for, and every output of the matrix with its command."""

import shlex
from pathlib import Path

import pytest
import scripts
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def codecheck():
    return scripts.load("notebooks/codecheck.py")


@pytest.fixture(scope="module")
def expected(codecheck):
    return codecheck.manifest(codecheck.run.read_matrix(codecheck.run.NOTEBOOKS / "matrix.yml"))


@pytest.fixture
def written():
    return yaml.safe_load((ROOT / "codecheck.yml").read_text(encoding="utf-8"))


def test_the_manifest_is_what_the_matrix_gives(codecheck, expected, written):
    assert codecheck.differences(written["manifest"], expected) == []


def test_the_file_is_as_it_is_made(codecheck, tmp_path):
    codecheck.main(tmp_path / "made.yml")
    made = (tmp_path / "made.yml").read_text(encoding="utf-8")
    assert made == (ROOT / "codecheck.yml").read_text(encoding="utf-8"), "run python notebooks/codecheck.py"


def test_a_missing_output_is_noticed(codecheck, expected, written):
    gone = written["manifest"].pop(1)
    assert codecheck.differences(written["manifest"], expected) == [f"missing: {gone['file']}, {gone['comment']}"]


def test_a_renamed_notebook_is_noticed(codecheck, expected, written):
    written["manifest"][0]["file"] = "notebooks/runs/mnist/renamed.ipynb"
    missing, unknown = codecheck.differences(written["manifest"], expected)
    assert missing.startswith("missing: notebooks/runs/mnist/eq01_05_adaptive_noise.ipynb, The whole page")
    assert unknown.startswith("unknown: notebooks/runs/mnist/renamed.ipynb, The whole page")


def test_another_command_is_noticed(codecheck, expected, written):
    written["manifest"][1]["comment"] += " -p num_steps 3"
    assert len(codecheck.differences(written["manifest"], expected)) == 2


def test_every_executed_notebook_is_an_output(written):
    files = {item["file"] for item in written["manifest"]}
    assert files == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/runs/*/*.ipynb")} - own()


def own():
    """Return pages of a user's own data, which are in no manifest."""
    return {path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/runs/npz-*/*.ipynb")}


def test_every_command_names_a_program_of_the_repository(written):
    for item in written["manifest"]:
        words = shlex.split(item["comment"].partition(": ")[2])
        assert words[0] == "python"
        assert words[1] in ("notebooks/run.py", "notebooks/figure.py")
        assert Path(item["file"]).stem in words


def test_the_file_has_what_the_specification_asks_for_but_for_what_is_open(codecheck, written):
    """Rules of its version 2.0; a check that nobody has made is not invented."""
    assert "\n---\n" in (ROOT / "codecheck.yml").read_text(encoding="utf-8")
    assert written["version"] == "https://codecheck.org.uk/spec/config/2.0/"
    for item in written["manifest"]:
        assert set(item) == {"file", "comment"}
        assert not Path(item["file"]).is_absolute()
        assert (ROOT / item["file"]).is_file()
    assert written["paper"]["title"]
    assert all(author["name"] for author in written["paper"]["authors"])
    assert all(one.startswith("https://doi.org/") for one in written["paper"]["reference-other"])
    assert "Not yet codechecked independently" in written["summary"]
    for name in codecheck.OPEN:
        part, _, inner = name.partition(".")
        assert inner not in written[part] if inner else part not in written


def test_a_page_that_is_not_executed_yet_is_named(codecheck, tmp_path, monkeypatch):
    monkeypatch.setattr(codecheck.run, "RUNS", tmp_path)
    with pytest.raises(codecheck.run.RunError, match="eq01_05_adaptive_noise on mnist is not executed yet; run python"):
        codecheck.main(tmp_path / "made.yml")
    assert not (tmp_path / "made.yml").exists()
