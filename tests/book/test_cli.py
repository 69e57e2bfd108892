"""The command line: each command works on a small run, and each mistake is one line on stderr and exit 1."""

import json
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

from cnndp.papers.sections.plan import SECTIONS
from cnndp.runs import experiment, store

pytestmark = pytest.mark.slow

SMALL = ("-p", "num_steps=3", "-p", "batch_size=8", "--device", "cpu")


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=rng.integers(0, 256, (50, 8, 8), dtype=np.uint8), y=np.arange(50) % 4)
    return str(tmp_path / "mine.npz")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "folder"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "folder"


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Return a function that runs `python -m cnndp` in this process: (exit status, stdout, stderr)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["cnndp", *arguments])
        monkeypatch.delitem(sys.modules, "cnndp.__main__", raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("cnndp", run_name="__main__")
        captured = capsys.readouterr()
        code = ended.value.code
        message = f"{code}\n" if isinstance(code, str) else ""
        return (1 if message else int(code or 0)), captured.out, captured.err + message

    return command


@pytest.fixture
def recorded(call, own):
    """Return a file of images with one recorded run."""
    assert call("run", "fig07_ablation", "--dataset", own, *SMALL, "-p", "methods=['cnn']")[0] == 0
    return own


# What works


def test_a_run_prints_its_accuracies_and_is_recorded(call, own, folder):
    status, out, _ = call("run", "fig07_ablation", "--dataset", own, *SMALL, "-p", "seeds=[0, 1]")
    assert status == 0
    for label in ("noise-free", "CNN", "CNN-DP-GAN", "CNN-DP-GAN (printed)"):
        assert re.search(rf"^{re.escape(label)} +(reconstructed|printed) +3 +finished", out, re.MULTILINE)
    assert len(list(folder.rglob("*.json"))) == 16


def test_a_second_run_repeats_nothing_and_refresh_does(call, recorded, folder):
    (path,) = folder.rglob("*.json")
    before, arguments = (
        path.stat().st_mtime_ns,
        ("fig07_ablation", "--dataset", recorded, *SMALL, "-p", "methods=['cnn']"),
    )
    assert call("run", *arguments)[0] == 0
    assert path.stat().st_mtime_ns == before
    assert call("run", *arguments, "--refresh")[0] == 0
    assert path.stat().st_mtime_ns > before


def test_the_digits_run_on_the_command_line(call, folder):
    arguments = ("run", "fig07_ablation", *SMALL, "-p", "num_steps=1", "-p", "methods=['cnn']")
    assert call(*arguments)[0] == 0
    (path,) = folder.rglob("*.json")
    assert path.parent.name == "digits"


def test_a_sweep_runs_every_section(call, own, folder):
    status, out, _ = call(
        "sweep", "--datasets", own, "--profile", "small", "--jobs", "1", *SMALL, "-p", "methods=['cnn_dp_gan']"
    )
    assert status == 0
    stored = {path.parent.parent.name for path in folder.rglob("*.json")}
    assert {"eq01_05_adaptive_noise", "eq06_11_polyak", "fig07_ablation"} <= stored <= set(SECTIONS)
    assert out.count(f"on {own}") == len(SECTIONS)
    assert "skipped: methods=('cnn_dp_gan',)" in out.partition("fig10_thresholds")[2]  # it has no such run


def test_status_tells_what_is_recorded(call, folder):
    status, out, _ = call("status", "--datasets", "digits", "--profile", "small")
    assert status == 0
    assert re.search(r"fig07_ablation +digits +CNN-DP-GAN +60 +1 +0 +-", out)
    labels = sum(len(experiment.prepare(section, dataset="digits").runs) for section in SECTIONS)
    assert len(out.splitlines()) == 1 + labels
    run = ("run", "fig07_ablation", "-p", "num_steps=60", "-p", "methods=['cnn_noisy']", "-p", "batch_size=8")
    assert call(*run, "--device", "cpu")[0] == 0  # another batch size is another run
    assert call("status", "--datasets", "digits", "--profile", "small")[1] == out


def test_data_verifies_a_dataset(call):
    assert call("data", "digits") == (0, "digits: 1437 + 360 images, verified\n", "")


def test_replay_passes_on_what_was_recorded(call, recorded, folder):
    status, out, _ = call("replay", "--dataset", recorded, "--steps", "3")
    assert status == 0
    assert re.fullmatch(r"pass  cnn-reconstructed-s0-\w{12}\.json\n1 passed, 0 failed\n", out)


def test_replay_takes_single_records(call, recorded, folder):
    (path,) = folder.rglob("*.json")
    assert call("replay", str(path), "--dataset", recorded)[0] == 0


def test_a_sample_verifies_all_and_replays_at_most_so_many(call, own, folder):
    assert (
        call("run", "fig07_ablation", "--dataset", own, *SMALL, "-p", "seeds=[0,1,2,3,4]", "-p", "methods=['cnn']")[0]
        == 0
    )
    for sample in (1, 2, 3, 5, 9):
        _, out, _ = call("replay", "--dataset", own, "--sample", str(sample))
        assert 1 <= out.count("pass  ") <= sample
    last = max(folder.rglob("*.json"))
    last.write_text(last.read_text(encoding="utf-8").replace("finished", "finishes"), encoding="utf-8")
    assert call("replay", "--dataset", own, "--sample", "1")[0] == 1


# What is refused


def test_replay_of_a_changed_record_exits_with_1(call, recorded, folder):
    (path,) = folder.rglob("*.json")
    path.write_text(path.read_text(encoding="utf-8").replace("finished", "finishes"), encoding="utf-8")
    status, _, err = call("replay", "--dataset", recorded)
    assert status == 1
    assert f"error: {path} was changed after it was written" in err
    assert "restore it from version control" in err


def test_replay_of_invented_numbers_with_a_new_hash_exits_with_1(call, recorded, folder):
    (path,) = folder.rglob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    record["trace"]["loss"][1] *= 1.01
    store.save(record, path, refresh=True)
    status, out, _ = call("replay", "--dataset", recorded)
    assert status == 1
    assert re.search(r"FAIL: step 2: loss is [\d.]+ here, [\d.]+ in the record", out)
    assert "0 passed, 1 failed" in out


def test_replay_of_nothing_is_no_pass(call):
    status, _, err = call("replay")
    assert status == 1
    assert "nothing to replay" in err


def test_replay_without_the_images_says_what_to_pass(call, recorded):
    status, _, err = call("replay")
    assert status == 1
    assert "dataset='npz-mine-" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "fig07_ablaton"), r"section='fig07_ablaton' is not known; did you mean 'fig07_ablation'\?"),
        (("run", "fig07_ablation", "--dataset", "mnst"), r"dataset='mnst' is unknown \(did you mean 'mnist'\?\)"),
        (("run", "fig07_ablation", "--profile", "big"), r"profile='big' is not known"),
        (("run", "fig07_ablation", "--device", "tpu"), r"device='tpu' cannot be used"),
        (("run", "fig07_ablation", "-p", "num_steps"), r"-p 'num_steps' is no KEY=VALUE; write for example -p"),
        (("run", "fig07_ablation", "-p", "=3"), r"-p '=3' is no KEY=VALUE"),
        (("run", "fig07_ablation", "-p", "num_steps=many"), r"num_steps='many' is of type str; pass int or None"),
        (("run", "fig07_ablation", "-p", "num_stesp=3"), r"parameter='num_stesp' is not known; did you mean"),
        (("run", "fig07_ablation", "-p", "dataset=digits"), r"dataset"),
        (("run", "fig07_ablation", "-p", "results_root=elsewhere"), r"results_root"),
        (("sweep", "--datasets", "mnist", "-p", "dataset=digits"), r"-p dataset='digits': .* use --datasets"),
        (("run", "fig07_ablation", "-p", "profile=paper"), r"-p profile='paper': .* use --profile"),
        (("sweep", "--datasets", "mnst", "--profile", "small"), r"dataset='mnst' is unknown"),
        (("status", "--profile", "big"), r"profile='big' is not known"),
        (("data", "mnst"), r"dataset='mnst' is unknown"),
        (("replay", "nothing.json"), r"nothing\.json is missing"),
        (("replay", "."), r""),
        (("run", "fig07_ablation", "--dataset", "."), r"dataset='\.' is unknown"),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(call, arguments, message):
    status, _, err = call(*arguments)
    assert status == 1
    assert re.search(rf"^error: .*{message}", err, re.MULTILINE)
    assert "Traceback" not in err


def test_a_batch_larger_than_the_data_is_explained(call, own):
    given = ("-p", "num_steps=2", "-p", "batch_size=250", "--device", "cpu")
    status, _, err = call("run", "fig07_ablation", "--dataset", own, *given)
    assert status == 1
    assert "batch_size=250 is larger than the 40 training examples; pass a batch_size of at most 40" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("rn",),
        ("run",),
        ("run", "fig07_ablation", "--datset", "digits"),
        ("replay", "--sample", "-1"),
        ("replay", "--sample", "0"),
        ("replay", "--steps", "0"),
        ("replay", "--draw", "-5"),
    ],
)
def test_a_command_that_does_not_exist_is_a_usage_error(call, arguments):
    status, _, err = call(*arguments)
    assert status == 2
    assert "Usage" in err


def test_version_and_help_are_there(call):
    assert call("--version")[1].strip().endswith("0.1.0")
    out = call("--help")[1]
    assert all(name in out for name in ("data", "run", "sweep", "replay", "tune", "status"))


def test_a_mistake_reaches_the_shell_without_a_traceback(folder):
    command = [sys.executable, "-m", "cnndp", "run", "fig07_ablation", "-p", "num_steps=0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: num_steps=0 must be a whole number; the smallest allowed is 1\n"
