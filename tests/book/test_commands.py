"""Every command and all Python in README and book is run, small: as a shell reads it, on a file of its own."""

import ast
import re
import subprocess
from pathlib import Path

import numpy as np
import papermill
import pytest
from click.testing import CliRunner

from cnndp.__main__ import main
from cnndp.audit import campaign
from cnndp.bench import timing
from cnndp.papers.sections.plan import SECTIONS
from cnndp.runs import store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]
PROGRAMS = ("python", "papermill", "make", "conda", "pip", ".")
SMALL = {"num_steps": 1, "seeds": [0], "batch_size": 10}


def blocks(language):
    for page in PAGES:
        for text in re.findall(rf"```(?:{language})\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            yield page.name, text


def lines():
    """Return every command of the pages with its page, each once."""
    found = {}
    for page, text in blocks("bash|sh|shell|console"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                found.setdefault(line.strip(), page)
    return sorted(found.items())


def words_of(line):
    """Return a command as bash takes it apart: its programs are functions here that print what they are given."""
    stubs = "\n".join(f"{name}() {{ printf '%s\\n' {name} \"$@\"; }}" for name in PROGRAMS if name != ".")
    script = f"{stubs}\n{line.replace('<record>', 'some')}\n"
    ended = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    if line.startswith(". "):
        return [".", *line.split()[1:]]
    assert ended.returncode == 0, (line, ended.stderr)
    return ended.stdout.splitlines()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with a store and a file of 50 images; what takes minutes is cut short."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "yours.npz", x=rng.integers(0, 256, (50, 8, 8), dtype=np.uint8), y=np.arange(50) % 4)
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "store"))
    monkeypatch.setenv("CNNDP_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign, "CONTROLS", campaign.CONTROLS[:1])
    monkeypatch.setattr(campaign, "CORRECT", campaign.CORRECT[:1])
    monkeypatch.setattr(campaign, "EPSILONS", campaign.EPSILONS[:1])
    monkeypatch.setattr(campaign, "CANARIES", 200)
    monkeypatch.setattr(campaign, "FEWER", ())
    monkeypatch.setattr(campaign, "SIMULATED_CANARIES", (200,))
    monkeypatch.setattr(timing, "measure", lambda *given, **more: pytest.fail("make bench is tested by itself"))
    return tmp_path


def without(words, *names):
    """Return words without these options and their values, and those values."""
    kept, taken, rest = [], {}, iter(words)
    for word in rest:
        if word in names:
            taken[word] = next(rest)
        else:
            kept.append(word)
    return kept, taken


def run_command_line(words, place):
    """Run `python -m cnndp ...` with its dataset, device and sizes exchanged for small ones."""
    command, *rest = words
    rest, taken = without(rest, "--dataset", "--datasets", "--device", "--profile")
    known = {option for parameter in main.commands[command].params for option in parameter.opts}
    assert set(taken) <= known, words
    extra = [option for option in ("--device", "--profile") if option in taken]
    rest += [part for option in extra for part in (option, "cpu" if option == "--device" else "small")]
    own = str(place / "yours.npz")
    if command in ("run", "sweep"):
        stated = {word.partition("=")[0] for word in rest}
        rest += [part for key, value in SMALL.items() if key not in stated for part in ("-p", f"{key}={value}")]
        rest = [f"num_steps={SMALL['num_steps']}" if word.startswith("num_steps=") else word for word in rest]
        rest += ["--dataset" if command == "run" else "--datasets", own]
    if command == "sweep":
        rest, _ = without(rest, "--scheduler", "--jobs")  # no cluster is here, and processes take seconds to start
        rest = [word for word in rest if word != "--slurm"]
        rest += ["--jobs", "1", "-p", "methods=['cnn']"]
    if command == "replay" and rest and rest[0].endswith(".json"):
        run_command_line(["run", "fig07_ablation", "-p", "methods=['cnn_dp']"], place)
        rest = [str(min((place / "store").glob("*/*/*.json"))), *rest[1:], "--dataset", own]
    finished = CliRunner().invoke(main, [command, *rest], catch_exceptions=False)
    assert finished.exit_code == 0, finished.output


def papermill_words(words):
    """Return the notebook of a papermill command and the parameters that it sets."""
    source, target, *rest = words
    given, options = {}, iter(rest)
    for option in options:
        value = next(options)
        if option == "-y":
            given |= ast.literal_eval(re.sub(r"(\w+):", r"'\1':", "{" + value + "}"))
        else:
            given[value] = next(options)
    assert target == "out.ipynb"
    return source, given


def executed_notebooks():
    """Return the notebooks that commands execute with papermill: small, all commands of one are the same."""
    named = [words_of(line) for line, _ in lines() if line.startswith("papermill ")]
    return sorted({papermill_words(words[1:])[0] for words in named})


@pytest.mark.parametrize("source", executed_notebooks())
def test_papermill_executes_a_notebook_that_the_pages_name(place, source):
    sizes = SMALL if Path(source).stem in SECTIONS else {"epochs": 1, "batch_size": 10, "num_canaries": 40}
    parameters = {**sizes, "dataset": str(place / "yours.npz")}
    target = str(place / "out.ipynb")
    papermill.execute_notebook(str(ROOT / source), target, parameters, cwd=str(place), progress_bar=False)


@pytest.mark.parametrize(("line", "page"), lines(), ids=[line[:60] for line, _ in lines()])
def test_a_command_of_the_pages_runs(place, line, page):
    words = words_of(line)
    if words[:3] == ["python", "-m", "cnndp"]:
        run_command_line(words[3:], place)
    elif words[0] == "papermill":
        source, given = papermill_words(words[1:])
        assert set(given) <= set(papermill.inspect_notebook(str(ROOT / source))), line
    elif words[0] == "make":
        dry = ["make", "-n", "-C", str(ROOT), *words[1:], "READY="]
        ended = subprocess.run(dry, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file(), line
    elif words[0] in ("conda", "pip"):
        assert all((ROOT / word).is_file() for word in words if word.endswith((".yml", ".txt")))
    else:
        assert words == [".", ".venv/bin/activate"], f"{page}: {line} is not tried here; add how"


@pytest.mark.parametrize(("page", "text"), list(blocks("python")))
def test_python_of_the_pages_runs(place, page, text, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    namespace = {"images": rng.integers(0, 256, (50, 8, 8), dtype=np.uint8), "labels": np.arange(50) % 4}
    exec(compile(text.replace("num_steps=60", "num_steps=2"), page, "exec"), namespace)


def test_a_command_that_bash_would_take_apart_is_noticed():
    command = "python -m cnndp run fig07_ablation -p "
    assert words_of(f"{command}methods=['dp_sgd']")[-1] == "methods=[dp_sgd]"
    assert words_of(f"{command}\"methods=['dp_sgd']\"")[-1] == "methods=['dp_sgd']"


def test_own_measurements_are_no_runs(place):
    """The folder of a user's own audits and benchmarks is not read as one of runs."""
    store.save({"kind": "bounds", "rows": []}, campaign.path_for(place / "store", "bounds", own=True))
    assert list(store.load_all(place / "store")) == []
