"""Forgeries in scratch copies: each is noticed by just what the book's page says, and the honest copy by nothing."""

import base64
import copy
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import rows
import scripts
import torch
import yaml
from click.testing import CliRunner

from cnndp.__main__ import main
from cnndp.papers import tuned
from cnndp.papers.presets import preset
from cnndp.runs import replay, seal, store, verify
from cnndp.runs.recording import make_record, repriced
from cnndp.training.loop import evaluation_steps

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TABLE = yaml.safe_load((ROOT / "book" / "checks.yml").read_text(encoding="utf-8"))
RECORDS = {row["key"]: row for row in TABLE["records"]}
PAGES = {row["forged"]: row["noticed"] for row in TABLE["pages"]}
NUM_STEPS = 20
MIDDLE = len(evaluation_steps(NUM_STEPS)) - 2  # a point of the history after the trace has ended


@pytest.fixture(scope="module")
def honest(digits, tmp_path_factory):
    """Return the record of a private run on digits that went through the store."""
    config = preset("dp_sgd", "private", "digits", NUM_STEPS, batch_size=100, target_epsilon=4.0)
    made = make_record(config, digits, "private_fig07_08", torch.device("cpu"))
    return store.load(store.save(made, tmp_path_factory.mktemp("honest") / "record.json"))


# Forgeries of a record, by someone who makes its hash again


def config(record):
    record["config"]["learning_rate"] = 0.31


def trace(record):
    record["trace"]["loss"][3] *= 1.01


def more_images(value, count=10, of=360):
    return round(value + 100 * count / of, 5)


def history(record):
    record["history"]["test_accuracy"][MIDDLE] = more_images(record["history"]["test_accuracy"][MIDDLE])


def history_fraction(record):
    record["history"]["test_accuracy"][MIDDLE] += 1.23


def history_loss(record):
    record["history"]["train_loss"][MIDDLE] *= 1.05


def final(record):
    record["final"]["test_accuracy"] = more_images(record["final"]["test_accuracy"])


def final_and_history(record):
    final(record)
    record["history"]["test_accuracy"][-1] = record["final"]["test_accuracy"]


def ledger(record):
    (entry,) = record["ledger"]
    entry["scales"] = [[scale / 2, steps] for scale, steps in entry["scales"]]
    record["history"]["noise_scale"] = [one and one / 2 for one in record["history"]["noise_scale"]]
    record["privacy"] |= repriced(record)


def sampling(record):
    record["ledger"][0]["sampling_prob"] /= 2
    record["privacy"] |= repriced(record)


def epsilon(record):
    record["privacy"]["exact_epsilon"] /= 10


def status(record):
    record["status"] = "diverged"


def provenance(record):
    record["provenance"]["device"] = "NVIDIA H100"


FORGERIES = {
    function.__name__: function
    for function in (
        config,
        trace,
        history,
        history_fraction,
        history_loss,
        final,
        final_and_history,
        ledger,
        sampling,
        epsilon,
        status,
        provenance,
    )
}


def noticed_by(record, honest, images, folder):
    """Return the names of everything that notices a record."""
    found = set(verify.problems(record))
    for name, steps in (("replay", 10), ("replay --full", NUM_STEPS)):
        if replay.replay(record, images, steps=steps):
            found.add(name)
    path = folder / "section" / "digits" / "record.json"
    store.save(honest, path)
    seal.write(folder, seal.made_from(folder))
    store.save(record, path, refresh=True)
    if seal.changes(seal.read(folder), seal.made_from(folder)):
        found.add("seal")
    return found


def test_the_table_and_the_forgeries_are_the_same():
    assert list(RECORDS) == list(FORGERIES)
    assert all("seal" in row["noticed"] for row in RECORDS.values())


def test_an_honest_record_is_noticed_by_nothing(honest, digits, tmp_path):
    assert noticed_by(honest, honest, digits, tmp_path) == set()


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_record_is_noticed_by_just_what_the_page_says(honest, digits, tmp_path, forge, monkeypatch):
    monkeypatch.setattr(replay, "NUM_NUDGES", 1)  # further ones could only allow more, and take most of the time
    changed = copy.deepcopy(honest)
    forge(changed)
    path = tmp_path / "forged.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(store.RecordError, match="was changed after it was written"):
        store.load(path)
    resealed = store.load(store.save(changed, path, refresh=True))
    path.unlink()
    assert noticed_by(resealed, honest, digits, tmp_path) == set(RECORDS[forge.__name__]["noticed"])


def test_raising_all_of_a_frontier_leaves_the_seal_and_replay(tmp_path):
    """The full forgery: five records up by 1.2 points, first images included, hashes and pages made again."""
    root = ROOT / "book" / "results"
    paths = sorted((root / "frontier" / "mnist").glob("*.json"))[:5]
    for path in paths:
        record = store.load(path)
        record["final"]["test_accuracy"] = round(record["final"]["test_accuracy"] + 1.2, 5)
        record["history"]["test_accuracy"][-1] = round(record["history"]["test_accuracy"][-1] + 1.2, 5)
        store.save(record, tmp_path / path.relative_to(root))
    sealed = {path.relative_to(root).as_posix(): seal.read(root)[path.relative_to(root).as_posix()] for path in paths}
    found = seal.changes(sealed, seal.made_from(tmp_path))
    assert len(found) == 5
    assert all("test_accuracy 9" in str(change) for change in found)


# The manifest


def test_the_manifest_is_one_line_a_record_and_says_what_changed(honest, tmp_path):
    for name in ("a", "b"):
        store.save(honest, tmp_path / "section" / "digits" / f"{name}.json")
    store.save(honest, tmp_path / "section" / "npz-mine-0123" / "own.json")  # nobody else's
    written = seal.write(tmp_path, seal.made_from(tmp_path))
    assert len(written.read_text(encoding="utf-8").splitlines()) == 2 + 2
    assert seal.changes(seal.read(tmp_path), seal.made_from(tmp_path)) == []
    changed = copy.deepcopy(honest)
    final(changed)
    store.save(changed, tmp_path / "section" / "digits" / "a.json", refresh=True)
    (tmp_path / "section" / "digits" / "b.json").unlink()
    store.save(honest, tmp_path / "section" / "digits" / "c.json")
    words = [str(change).split()[0] for change in seal.changes(seal.read(tmp_path), seal.made_from(tmp_path))]
    assert words == ["changed", "removed", "new"]


def test_a_damaged_manifest_is_refused(tmp_path):
    assert seal.read(tmp_path) == {}
    (tmp_path / seal.NAME).write_text("{", encoding="utf-8")
    with pytest.raises(store.RecordError, match="restore it from version control"):
        seal.read(tmp_path)


# Pages


ONE_PAGE = pytest.mark.xdist_group("an executed page")  # one worker executes it


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return a source notebook with a printed number and a picture, executed by the book's own runner."""
    folder = tmp_path_factory.mktemp("page")
    cells = [
        nbformat.v4.new_markdown_cell("# A page"),
        nbformat.v4.new_code_cell("value = 98.54", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(value)"),
        nbformat.v4.new_code_cell(
            "from IPython.display import Image\n\nfrom cnndp.report.figures import diagrams, drawing\n\n"
            "Image(drawing.png(diagrams.training()))"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, folder / "source.ipynb")
    scripts.load("notebooks/run.py").execute(folder / "source.ipynb", folder / "runs" / "page.ipynb", {}, "", "")
    return folder


def forge_number(notebook):
    notebook.cells[2].outputs[0]["text"] = "99.90\n"


def forge_picture(notebook):
    picture = bytearray(base64.b64decode(notebook.cells[3].outputs[0]["data"]["image/png"]))
    picture[-40] ^= 1
    notebook.cells[3].outputs[0]["data"]["image/png"] = base64.b64encode(bytes(picture)).decode()


def noticed_on_page(executed, tmp_path, forge):
    """Return whether nbval and executing again notice what was done to an executed notebook."""
    page, found = tmp_path / "page.ipynb", set()
    shutil.copy(executed / "runs" / "page.ipynb", page)
    notebook = nbformat.read(page, as_version=4)
    forge(notebook)
    nbformat.write(notebook, page)
    settings = ["-p", "notebooks.conftest", "-c", "tests/pytest.ini", "--rootdir", "."]  # as in `make test`
    nbval = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *settings, "--nbval", "-q", str(page)]
    environment = {**os.environ, "CNNDP_PROGRESS": os.devnull, "PYTHONPATH": "notebooks"}
    ended = subprocess.run(nbval, capture_output=True, check=False, text=True, cwd=ROOT, env=environment)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr  # all passed, or some failed
    if ended.returncode:
        found.add("nbval")
    scripts.load("notebooks/run.py").execute(executed / "source.ipynb", tmp_path / "again.ipynb", {}, "", "")
    if (tmp_path / "again.ipynb").read_bytes() != page.read_bytes():
        found.add("executing again")
    return found


@ONE_PAGE
@pytest.mark.parametrize(
    ("forge", "noticed"),
    [
        (lambda notebook: None, []),
        (forge_number, PAGES["a number in an executed notebook"]),
        (forge_picture, PAGES["a picture in an executed notebook"]),
    ],
    ids=["honest", "number", "picture"],
)
def test_what_was_done_to_an_executed_notebook_is_noticed(executed, tmp_path, forge, noticed):
    assert noticed_on_page(executed, tmp_path, forge) == set(noticed)


@pytest.fixture(scope="module")
def prose():
    return scripts.load("book/check_prose.py")


def test_no_page_has_a_number_without_a_reason(prose):
    assert prose.problems() == []


@pytest.mark.parametrize(
    "page", ["book/index.md", "book/results.md", "book/departures.md", "notebooks/fig10_thresholds.ipynb"]
)
@pytest.mark.parametrize("number", ["98.7 %", "99.70", "12 points", "1,234"])
def test_a_number_typed_into_prose_is_noticed(prose, page, number):
    text = prose.prose_of(ROOT / page)
    allowed = prose.allowed_on(page, prose.reasons())
    assert prose.undeclared(text, allowed) == []
    assert prose.undeclared(f"{text}\n\nIt reaches {number} on test images.", allowed) == [number]


@pytest.mark.parametrize("page", ["departures", "private", "results"])
def test_a_number_typed_in_the_place_of_a_role_is_noticed(prose, page):
    text = prose.prose_of(ROOT / "book" / f"{page}.md")
    allowed = prose.allowed_on(f"book/{page}.md", prose.reasons())
    roles = set(re.findall(r"\{measured\}`[^`]*`", text))
    assert roles
    for role in roles:
        assert prose.undeclared(text.replace(role, "97.31 %"), allowed) == ["97.31 %"], role


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ('{measured}`a mnist name="DP-SGD" num_steps=1200 rate=0.15 :: test_accuracy`', []),
        ('{measured}`a mnist panel="clip 0.57" target="ε = 88" :: exact_epsilon`', []),
        ("{measured}`a mnist num_steps=1200 :: test_accuracy`97.31 %", ["97.31 %"]),
        ("97.31 %{measured}`a mnist num_steps=1200 :: test_accuracy`", ["97.31 %"]),
        ("{measured}`a mnist :: capped`, 97.31 and {measured}`a mnist rate=0.15 :: capped`", ["97.31"]),
        ("{measured}`a mnist\nrate=0.15 :: capped` of 97.31\n%", ["97.31"]),
        ("a mnist num_steps=1200 :: test_accuracy", ["1200"]),  # no role at all
    ],
)
def test_a_number_beside_a_role_is_typed_and_those_inside_are_not(prose, text, typed):
    assert list(prose.typed(text)) == typed


def test_code_that_a_reason_names_exists(prose):
    text = prose.NUMBERS.read_text(encoding="utf-8")
    named = re.findall(r"(cnndp[\w.]+)\.(\w+)", text)
    assert len(named) > 5
    for module, name in named:
        assert hasattr(importlib.import_module(module), name), (module, name)


def test_a_reason_that_no_number_needs_is_noticed(prose, monkeypatch):
    stored = prose.reasons()
    monkeypatch.setattr(prose, "reasons", lambda: {**stored, "book/index.md": {"no longer there": ["77.7"]}})
    assert "numbers.yml: 77.7 (book/index.md) is on no page" in prose.problems()


def test_a_number_in_the_card_of_the_readme_is_noticed():
    readme = scripts.load("book/readme.py")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    card = readme.card()
    assert readme.fill(text, card) == text
    forged = text.replace("98.91", "99.91", 1)
    assert forged != text
    assert readme.fill(forged, card) == text


def test_a_tuned_rate_is_noticed(tmp_path, monkeypatch):
    honest, path = tuned.FILE.read_text(encoding="utf-8"), tmp_path / "tuned.json"
    content = json.loads(honest)
    content["private_tuning"]["cifar10"]["chosen"][0]["rate"] *= 3
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    monkeypatch.setattr(tuned, "FILE", path)
    monkeypatch.delenv("CNNDP_RESULTS", raising=False)
    assert CliRunner().invoke(main, ["tune"]).output == "tuned.json: written\n"
    assert path.read_text(encoding="utf-8") == honest
    assert CliRunner().invoke(main, ["tune"]).output == "tuned.json: unchanged\n"


def test_the_page_shows_every_forgery_with_what_notices_it():
    companion = scripts.load("book/_ext/companion.py")
    for part in ("records", "pages"):
        lines = rows.narrow(companion.forgeries(part)).splitlines()[2:]
        assert len(lines) == len(TABLE[part])
        for line, row in zip(lines, TABLE[part], strict=True):
            assert line == f"| {row['forged']} | {', '.join(f'`{name}`' for name in row['noticed'])} |"
