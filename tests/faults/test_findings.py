"""What hostile users had found, one test a finding: each failed before it was mended."""

import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cnndp import progress
from cnndp.__main__ import audit_command, main
from cnndp.data import fetch, files
from cnndp.data.formats import FetchError
from cnndp.papers.presets import preset
from cnndp.privacy.accounting import exact_epsilon
from cnndp.privacy.ledger import Release
from cnndp.runs import experiment, seal, store, verify
from cnndp.runs.estimate import duration
from cnndp.runs.recording import make_record
from cnndp.runs.store import RecordError
from cnndp.training.config import Config
from cnndp.training.intended import intended
from cnndp.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "results"
FIRST, SECOND = sorted((RESULTS / "fig07_ablation" / "mnist").glob("cnn-reconstructed-s*.json"))[:2]
NUM_TRAIN = 1437  # of digits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a store of its own."""
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "store"))
    return tmp_path / "store"


def said(*words):
    """Return how a command ended and what it said."""
    finished = CliRunner().invoke(main, words)
    assert finished.exception is None or isinstance(finished.exception, SystemExit), finished.exception
    return finished.exit_code, finished.output


# Numbers that the accountant cannot take


@pytest.mark.parametrize("method", ["dp_sgd", "cnn_dp_gan_polyak"])
def test_a_delta_that_needs_no_noise_is_refused(method):
    config = preset(method, "private", "digits", num_steps=3, target_epsilon=3.0, delta=0.9)
    with pytest.raises(ValueError, match=r"delta=0.9 with target_epsilon=3: .* chance 0\.436.* pass a delta far below"):
        intended(config, NUM_TRAIN)


def test_a_command_with_such_a_delta_ends_in_one_sentence(folder):
    code, text = said("run", "private_fig07_08", "-p", "delta=0.9", "-p", "num_steps=2", "--device", "cpu")
    assert code == 1
    assert "error: delta=0.9" in text


def test_a_delta_of_the_size_of_rounding_errors_is_refused():
    """Calibration had answered 1e-30 with a plan that spent a ten-millionth of its target, and called it checked."""
    with pytest.raises(ValueError, match=r"delta=1e-30 must lie between 1e-10 and 1"):
        preset("dp_sgd", "private", "digits", num_steps=3, delta=1e-30)


@pytest.mark.parametrize("multiplier", [1e-300, 1e-9, 1e300])
def test_noise_that_no_float_accounts_for_is_refused(multiplier):
    step = Release("gradient", "gaussian", multiplier, 1.0, "poisson", 3, 0.1, first_step=1, norm="l2")
    with pytest.raises(ValueError, match="noise_multiplier"):
        exact_epsilon([step])


def test_a_private_run_that_could_not_be_priced_is_not_trained(few):
    known = {"target_epsilon": None, "noise_multiplier": 1e-3}
    config = preset("dp_sgd", "private", "digits", num_steps=100_000, batch_size=8, **known)
    with pytest.raises(ValueError, match=r"noise_multiplier=0.001 in 100,000 releases"):
        train(config, few, on_step=lambda step: pytest.fail("trained"))


def test_a_run_whose_batches_a_reader_has_made_poisson_hangs_together(few):
    """It is no private reading, its ledger can be priced all the same, and `verify` had called that a fault."""
    changes = {"sampling": "poisson", "batch_size": 8}
    config = preset("cdp", "reconstructed", "digits", 2, **changes).replace(dataset="npz-few-0123456789ab")
    record = make_record(config, few, "fig07_ablation", torch.device("cpu"))
    assert record["privacy"]["exact_epsilon"] > 0
    assert verify.problems(record) == {}
    record["privacy"]["exact_epsilon"] /= 2
    assert list(verify.problems(record)) == ["price"]


# Devices, networks and images


def test_a_device_without_numbers_is_refused():
    with pytest.raises(ValueError, match=r"device='meta' cannot be used .* pass 'auto', 'cpu' or 'cuda'"):
        experiment.pick_device("meta")


def test_a_network_for_other_images_is_refused_before_and_at_training(few):
    message = r"model='cifar_cnn' takes images of 3 channels, and these have 1; pass model='mnist_cnn' or"
    with pytest.raises(ValueError, match=message):
        experiment.prepare("fig07_ablation", dataset="digits", model="cifar_cnn")
    with pytest.raises(ValueError, match=message):
        train(Config(method="cnn", reading="reconstructed", dataset="digits", num_steps=1, model="cifar_cnn"), few)


def test_a_label_beyond_the_images_is_refused_at_once(tmp_path):
    labels = np.array([*range(11), 10**15])
    np.savez(tmp_path / "mine.npz", x=np.zeros((12, 4, 4), dtype=np.uint8), y=labels)
    with pytest.raises(ValueError, match=r"y holds the label 1000000000000000 in 12 images; number the classes 0, 1"):
        files.read(tmp_path / "mine.npz")


def test_classes_without_images_are_named_once(tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", x=np.zeros((20, 4, 4), dtype=np.uint8), y=np.array([0, 2, 2, 5] * 5))
    progress.say_once.cache_clear()
    for _ in range(2):
        experiment.identify(str(tmp_path / "mine.npz"))
    assert capsys.readouterr().err.count("no image is of class 1, 3, 4; the network has an output for each") == 1


def test_a_parameter_of_another_kind_is_not_left_out_in_silence():
    for value in (range(3), np.arange(3)):
        with pytest.raises(TypeError, match=r"parameter seeds=.* is of type \w+; pass list or tuple or None"):
            experiment.from_notebook("fig07_ablation", {"seeds": value})
        with pytest.raises(TypeError, match=r"parameter per_class=.* is of type"):
            experiment.check_parameters({"per_class": value}, "per_class")


@pytest.mark.parametrize("model", ["os:getcwd", "no.such:thing", "math:pi", f"{__name__}:nothing"])
def test_a_function_that_makes_no_network_is_refused(model):
    with pytest.raises(ValueError, match=f"model='{model}'"):
        experiment.prepare("fig07_ablation", dataset="digits", model=model)


# The datasets' cache


def unwritable(*given, **more):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_damaged_file_in_a_read_only_cache_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "mnist.npz").write_bytes(b"damaged")
    monkeypatch.setattr(fetch.tempfile, "TemporaryDirectory", unwritable)
    with pytest.raises(FetchError, match=rf"cannot write to {tmp_path} \(Read-only.*set CNNDP_DATA to another"):
        fetch.fetch_arrays("mnist", folder=tmp_path)


@pytest.mark.parametrize("online", [True, False])
def test_a_damaged_file_stays_until_something_can_take_its_place(tmp_path, monkeypatch, online):
    (tmp_path / "mnist.npz").write_bytes(b"damaged")
    monkeypatch.setenv("CNNDP_OFFLINE", "" if online else "1")
    monkeypatch.setattr(fetch, "sources", lambda *given, **more: ())
    with pytest.raises(FetchError, match="no source gave 'mnist'"):
        fetch.fetch_arrays("mnist", folder=tmp_path)
    assert (tmp_path / "mnist.npz").read_bytes() == b"damaged"


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.np, "savez", unwritable)
    arrays = fetch.Arrays(*(np.zeros(1, dtype=np.uint8),) * 4)
    with pytest.raises(FetchError, match="cannot write to"):
        fetch.write_cache(tmp_path / "mnist.npz", arrays)


# Records


@pytest.fixture
def two(folder):
    """Return two records in a store of their own."""
    return [store.save(store.load(path), folder / path.relative_to(RESULTS), refresh=True) for path in (FIRST, SECOND)]


def test_deeply_nested_json_is_a_damaged_record(two):
    two[0].write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(RecordError, match="is damaged"):
        store.load(two[0])


def test_a_deeply_nested_manifest_is_damaged(tmp_path):
    for text in ("[" * 100_000, "[1]", '{"a": 1}'):
        (tmp_path / seal.NAME).write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=r"MANIFEST\.json is damaged"):
            seal.read(tmp_path)


@pytest.mark.parametrize("part", store.PARTS)
def test_a_record_without_one_of_its_parts_is_refused_by_run_and_replay(two, part):
    content = {key: value for key, value in store.load(two[0]).items() if key != part}
    store.save(content, two[0], refresh=True)
    with pytest.raises(RecordError, match=f"is no whole record of a run: its '{part}' is None; restore it"):
        store.load_run(two[0])
    assert f"its '{part}' is None" in said("replay")[1]


def test_a_record_under_the_name_of_another_is_refused_by_replay_as_by_run(two):
    two[1].write_bytes(two[0].read_bytes())
    config = Config.from_dict(store.load(SECOND)["config"])
    for attempt in (lambda: store.load_run(two[1]), lambda: store.load_run(two[1], config)):
        with pytest.raises(RecordError, match="not that of its name"):
            attempt()
    for words in (["replay", "--steps", "1"], ["replay", str(two[1])]):
        code, text = said(*words)
        assert code == 1
        assert "not that of its name" in text


def sweep_one(folder):
    config = preset("cnn", "reconstructed", "digits", 1)
    return config, lambda: experiment.sweep(
        [config],
        load_images=lambda one: pytest.fail("the data were loaded"),
        section="fig07_ablation",
        device=experiment.pick_device("cpu"),
        root=folder,
    )


def test_a_store_that_cannot_be_written_is_noticed_before_anything_is_trained(folder):
    _, sweep = sweep_one(folder)
    folder.mkdir()
    (folder / "fig07_ablation").write_text("a file where the folder goes", encoding="utf-8")
    with pytest.raises(RecordError, match=r"cannot write .*set CNNDP_RESULTS to another folder"):
        sweep()


def test_locks_that_cannot_be_made_are_one_sentence(folder, monkeypatch):
    _, sweep = sweep_one(folder)
    monkeypatch.setattr("filelock.FileLock._acquire", unwritable)
    with pytest.raises(RecordError, match=r"cannot write .*\.lock: Read-only"):
        sweep()


def test_what_a_killed_writer_left_is_removed_and_others_files_are_not(folder):
    config = preset("cnn", "reconstructed", "digits", 1)
    path = store.path_for(folder, "fig07_ablation", config)
    path.parent.mkdir(parents=True)
    left, others = path.parent / f".{path.name}.x1y2.tmp", path.parent / ".another.json.x1y2.tmp"
    for one in (left, others):
        one.write_text("half", encoding="utf-8")
    store.make_room(path)
    assert (left.exists(), others.exists()) == (False, True)
    assert store.paths_in(folder) == []


def test_the_home_folder_stands_for_itself(monkeypatch):
    monkeypatch.setenv("HOME", "/some/home")
    monkeypatch.setenv("CNNDP_RESULTS", "~/runs")
    assert store.default_root() == Path("/some/home/runs")
    monkeypatch.setenv("CNNDP_RESULTS", "~nobody-here/runs")
    with pytest.raises(ValueError, match=r"CNNDP_RESULTS='~nobody-here/runs' is no path"):
        store.default_root()


# The command line


@pytest.mark.parametrize("words", [["run", "fig07_ablation"], ["sweep", "--datasets", "digits", "--profile", "small"]])
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(folder, monkeypatch, words):
    def interrupted(prepared):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run", interrupted)
    code, text = said(*words)
    assert code == 130
    assert "interrupted: runs that had ended are stored; run the same command again to go on from there" in text


def test_a_file_that_cannot_be_read_is_one_sentence(folder, monkeypatch):
    monkeypatch.setattr(experiment, "prepare", unwritable)
    code, text = said("run", "fig07_ablation")
    assert code == 1
    assert text.startswith("error: Read-only file system; check")


def test_help_version_and_mistakes_import_nothing_slow():
    script = (
        "import sys; from click.testing import CliRunner; from cnndp.__main__ import main\n"
        "for words in (['--help'], ['--version'], ['run', '--help'], ['sweep', '--help'], ['rn'], ['run', '--x']):\n"
        "    CliRunner().invoke(main, words)\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'scipy') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == "[]\n"


def test_audits_take_about_as_long_as_their_help_says():
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS / "audits").glob("*.json")]
    minutes = sum(one["provenance"]["seconds"] for one in stored) / 60
    assert minutes / 1.4 <= 30 <= 1.4 * minutes, duration(60 * minutes)
    assert "half an hour" in audit_command.help


# What is left behind


def test_what_documented_commands_leave_is_not_untracked():
    config = preset("cnn", "reconstructed", "digits", 1)
    record = store.path_for(RESULTS, "fig07_ablation", config)
    left = [record, record.with_name(f".{record.name}.x1.tmp"), ROOT / "build" / "lib", RESULTS / ".locks" / "x.lock"]
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "check-ignore", *map(str, left)], capture_output=True, text=True, check=False
    )
    if asked.returncode == 128:
        pytest.skip("this is no git checkout")
    assert len(asked.stdout.splitlines()) == len(left)


def test_a_page_of_an_own_file_does_not_say_where_it_lay():
    spec = importlib.util.spec_from_file_location("runner_of_pages", ROOT / "notebooks" / "run.py")
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                'dataset = "/some/place/mine.npz"',
                outputs=[
                    nbformat.v4.new_output("stream", text="read /some/place/mine.npz"),
                    nbformat.v4.new_output("display_data", data={"text/plain": "'/some/place/mine.npz'"}),
                ],
            )
        ]
    )
    runner.forget_place(notebook, "/some/place/mine.npz")
    text = nbformat.writes(notebook)
    assert "/some/place" not in text
    assert text.count("mine.npz") == 3
    runner.forget_place(notebook, "mnist")
    assert nbformat.writes(notebook) == text
