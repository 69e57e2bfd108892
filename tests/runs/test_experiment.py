"""Experiments: parameters are checked, only what is missing is trained, and nothing finished is lost."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from cnndp.data import datasets
from cnndp.papers.presets import preset
from cnndp.report import findings
from cnndp.runs import estimate, experiment, recording, replay, store
from cnndp.runs.experiment import from_notebook, prepare, run, sweep
from cnndp.runs.recording import significant
from cnndp.runs.store import RecordError
from cnndp.training.loop import train

pytestmark = pytest.mark.slow

SECTION = "fig07_ablation"
SMALL = {"num_steps": 3, "batch_size": 8, "device": "cpu"}
CPU = torch.device("cpu")


def write_npz(path, shape=(8, 8), seed=0):
    rng = np.random.default_rng(seed)
    np.savez(path, x=rng.integers(0, 256, (50, *shape), dtype=np.uint8), y=np.arange(50) % 4)
    return str(path)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Return the path of a grey dataset of 50 images: a run on it takes a moment."""
    return write_npz(tmp_path_factory.mktemp("own") / "mine.npz")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "folder"))
    return tmp_path / "folder"


@pytest.fixture
def trained(monkeypatch):
    """Return the list of configs that were trained, in order."""
    seen = []

    def counting(config, *arguments, **options):
        seen.append(config)
        return train(config, *arguments, **options)

    monkeypatch.setattr(recording, "train", counting)
    return seen


def forbidden():
    pytest.fail("data were loaded although every run is recorded")


def configs(own, count=3):
    name = datasets.name_of(own)
    return [preset("cnn_dp", "reconstructed", name, 3, batch_size=8, seed=seed) for seed in range(count)]


def sweep_all(own, root, **options):
    given = {
        "load_images": lambda config: datasets.load(own),
        "section": SECTION,
        "device": CPU,
        "root": root,
        **options,
    }
    return sweep(configs(own), **given)


# Parameters


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"datset": "mnist"}, ValueError, r"parameter='datset' is not known; did you mean 'dataset'\?"),
        ({"seed": 1}, ValueError, r"parameter='seed' is not known; did you mean 'seeds'\?"),
        ({"numerics_version": 2}, ValueError, r"parameter='numerics_version' is not known"),
        ({"num_steps": "120"}, TypeError, r"num_steps='120' is of type str; pass int or None"),
        ({"num_steps": 12.0}, TypeError, r"num_steps=12\.0 is of type float; pass int or None"),
        ({"num_steps": True}, TypeError, r"num_steps=True is of type bool; pass int or None"),
        ({"num_steps": 0}, ValueError, r"num_steps=0 must be a whole number; the smallest allowed is 1"),
        ({"seeds": 3}, TypeError, r"seeds=3 is of type int; pass list or tuple or None"),
        ({"seeds": [0, -1]}, ValueError, r"seeds=-1 must be a whole number; the smallest allowed is 0"),
        ({"seeds": ["0"]}, ValueError, r"seeds='0' must be a whole number"),
        ({"methods": "cnn"}, TypeError, r"methods='cnn' is of type str; pass list or tuple or None"),
        ({"methods": ["cnn_db"]}, ValueError, r"methods='cnn_db' is not known; did you mean 'cnn_dp'\?"),
        (
            {"readings": ["secret"]},
            ValueError,
            r"readings='secret' is not known; .*Known: printed, reconstructed, private",
        ),
        ({"profile": "large"}, ValueError, r"profile='large' is not known; .*Known: small, reduced, paper"),
        ({"dataset": "mnst"}, ValueError, r"dataset='mnst' is unknown \(did you mean 'mnist'\?\)"),
        ({"dataset": None}, TypeError, r"dataset=None is of type NoneType; pass str"),
        ({"dataset": "nowhere.npz"}, ValueError, r"dataset='nowhere\.npz': there is no such file; check the path"),
        ({"device": "tpu"}, ValueError, r"device='tpu' cannot be used \(.*\); pass 'auto', 'cpu' or 'cuda'"),
        ({"refresh": 1}, TypeError, r"refresh=1 is of type int; pass bool"),
        ({"batch_size": 0}, ValueError, r"batch_size=0 must be a whole number; the smallest allowed is 1"),
        ({"learning_rate": "fast"}, TypeError, r"learning_rate='fast' is of type str; pass float"),
        ({"activation": "sigmoid"}, ValueError, r"activation='sigmoid' is not known; .*Known: tanh, relu"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_value_and_remedy(parameters, error, message):
    with pytest.raises(error, match=message):
        prepare(SECTION, **parameters)


def test_an_unknown_section_is_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"section='fig07_ablaton' is not known; did you mean 'fig07_ablation'\?"):
        prepare("fig07_ablaton")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that must be missing")
def test_a_missing_gpu_is_refused_and_auto_takes_the_cpu():
    with pytest.raises(ValueError, match=r"device='cuda' cannot be used \(.*\); pass 'auto', 'cpu' or 'cuda'"):
        prepare(SECTION, device="cuda")
    assert prepare(SECTION, device="auto").device == CPU


def test_a_notebook_may_hold_modules_functions_and_underscore_names():
    namespace = {
        "__name__": "__main__", "_": 3, "_i1": "text", "In": [""], "Out": {}, "np": np, "exit": sys.exit,
        "open": open, "dataset": "digits", "seeds": [1],
    }  # fmt: skip
    study = from_notebook(SECTION, namespace)
    assert {planned.config.seed for planned in study.runs} == {1}


def test_a_notebook_with_a_misspelt_parameter_is_refused():
    with pytest.raises(ValueError, match=r"parameter='num_stesp' is not known; did you mean 'num_steps'\?"):
        from_notebook(SECTION, {"dataset": "digits", "num_stesp": 3})


def test_fields_of_config_are_set_in_every_run():
    study = prepare(SECTION, num_steps=3, learning_rate=0.125, batch_size=None)
    rebuilt = [planned.config for planned in study.runs if planned.config.reading != "printed"]
    assert {config.learning_rate for config in rebuilt} == {0.125}
    assert {planned.config.batch_size for planned in study.runs} == {250}  # None takes the preset's


# Sweeps


def test_only_missing_runs_are_trained(own, tmp_path, trained):
    first = sweep_all(own, tmp_path)
    assert trained == configs(own)
    assert sweep_all(own, tmp_path, load_images=forbidden) == first
    store.find(tmp_path, configs(own)[1]).unlink()
    again = sweep_all(own, tmp_path)
    assert trained[3:] == [configs(own)[1]]
    assert [record["digest"] for record in again] == [config.digest for config in configs(own)]
    assert [record["trace"] for record in again] == [record["trace"] for record in first]


def test_a_config_that_occurs_twice_is_trained_once(own, tmp_path, trained):
    twice = configs(own)[:1] * 2
    records = sweep(twice, load_images=lambda config: datasets.load(own), section=SECTION, device=CPU, root=tmp_path)
    assert len(trained) == 1
    assert records[0] == records[1]


def test_data_are_loaded_once_for_all_runs_that_share_them(own, tmp_path, trained):
    loaded = []

    def load(config):
        loaded.append(config.split_seed)
        return datasets.load(own, split_seed=config.split_seed)

    runs = [*configs(own), *(config.replace(split_seed=1) for config in configs(own))]
    sweep(runs, load_images=load, section=SECTION, device=CPU, root=tmp_path)
    assert len(trained) == 6
    assert loaded == [0, 1]


def test_a_run_made_in_another_section_is_used(own, tmp_path, trained):
    sweep_all(own, tmp_path)
    sweep_all(own, tmp_path, section="eq06_11_polyak", load_images=forbidden)
    assert len(trained) == 3


def test_an_interrupted_sweep_keeps_what_was_finished_and_goes_on_there(own, tmp_path, monkeypatch):
    calls = []

    def interrupted(config, *arguments, **options):
        calls.append(config.seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(config, *arguments, **options)

    monkeypatch.setattr(recording, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep_all(own, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    before = kept.read_bytes()
    records = sweep_all(own, tmp_path)
    assert calls == [0, 1, 1, 2]
    assert kept.read_bytes() == before
    assert [record["config"]["seed"] for record in records] == [0, 1, 2]


def test_a_sweep_that_runs_out_of_disk_keeps_what_was_finished(own, tmp_path, monkeypatch):
    original, written = store.write_atomically, []

    def full(path, text):
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        original(path, text)

    monkeypatch.setattr(store, "write_atomically", full)
    with pytest.raises(RecordError, match=r"cannot write .*finished runs are kept"):
        sweep_all(own, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.json")] == [written[0].name]


def test_refresh_trains_again_and_replaces_in_place(own, tmp_path, trained):
    sweep_all(own, tmp_path)
    path = store.find(tmp_path, configs(own)[0])
    content = store.load(path)
    store.save({**content, "status": "old"}, path, refresh=True)
    records = sweep_all(own, tmp_path, refresh=True, section="eq06_11_polyak")
    assert len(trained) == 6
    assert len(list(tmp_path.rglob("*.json"))) == 3
    assert records[0]["status"] == store.load(path)["status"] == "finished"


def test_a_changed_record_stops_the_sweep(own, tmp_path):
    sweep_all(own, tmp_path)
    path = store.find(tmp_path, configs(own)[2])
    path.write_text(path.read_text(encoding="utf-8").replace('"finished"', '"finishes"'), encoding="utf-8")
    with pytest.raises(RecordError, match=r"was changed after it was written.*delete it and run the section again"):
        sweep_all(own, tmp_path)


def test_a_record_under_the_name_of_another_run_is_refused(own, tmp_path):
    sweep_all(own, tmp_path)
    first, second = (store.find(tmp_path, config) for config in configs(own)[:2])
    second.write_bytes(first.read_bytes())
    with pytest.raises(RecordError):
        sweep_all(own, tmp_path)


def test_a_record_holds_what_design_md_promises(own, tmp_path):
    record = sweep_all(own, tmp_path)[0]
    assert set(record) == {
        "config", "digest", "section", "status", "history", "trace", "final", "ledger", "privacy", "provenance",
        "sha256",
    }  # fmt: skip
    assert set(record["history"]) == {
        "step", "loss", "train_accuracy", "train_loss", "test_accuracy", "test_loss", "step_size", "slack",
        "noise_scale", "gradient_norm",
    }  # fmt: skip
    assert record["privacy"]["nominal_epsilon"] == pytest.approx(record["config"]["total_epsilon"])
    assert record["privacy"]["no_guarantee"] == "no per-example clip bounds what one record adds to the gradient"
    assert sum(steps for entry in record["ledger"] for _, steps in entry["scales"]) == 3
    assert record["provenance"]["dataset_sha256"] == datasets.load(own).sha256


def test_a_killed_process_leaves_only_whole_records_and_the_next_goes_on(own, folder, trained):
    """SIGKILL cannot be caught: whatever is there afterwards was there the moment it was renamed."""
    parameters = {"seeds": list(range(40)), "methods": ["cnn"], **{key: SMALL[key] for key in ("num_steps",)}}
    command = [sys.executable, "-m", "cnndp", "run", SECTION, "--dataset", own, "--device", "cpu", "-p", "batch_size=8"]
    command += [part for key, value in parameters.items() for part in ("-p", f"{key}={value!r}")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.rglob("*.json"))) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert 3 <= len(kept) < 40
    for path in kept:
        assert store.load(path)["status"] == "finished"
    finished = run(prepare(SECTION, dataset=own, device="cpu", batch_size=8, **parameters))
    assert len(finished) == 40
    assert len(trained) == 40 - len(kept)
    assert all(path.read_bytes() == before for path, before in kept.items())


def sweep_in_processes(own, folder, count, runs):
    """Start several processes that want the same runs and return what they said."""
    command = [sys.executable, "-m", "cnndp", "run", SECTION, "--dataset", own, "--device", "cpu", "-p", "batch_size=8"]
    command += ["-p", "num_steps=3", "-p", f"seeds={list(range(runs))}", "-p", "methods=['cnn']"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    started = [subprocess.Popen(command, **pipes) for _ in range(count)]
    return [(process.communicate(timeout=240)[0], process.returncode) for process in started]


def test_two_sweeps_on_one_store_share_the_work_and_train_nothing_twice(own, folder, trained):
    ended = sweep_in_processes(own, folder, 3, 12)
    assert [status for _, status in ended] == [0, 0, 0], ended
    assert len(list(folder.glob("*/*/*.json"))) == 12
    dates = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*.json")}
    assert len(run(prepare(SECTION, dataset=own, seeds=list(range(12)), methods=["cnn"], **SMALL))) == 12
    assert trained == []
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*.json")} == dates


def test_a_run_that_another_trains_is_waited_for_and_taken(own, tmp_path, monkeypatch):
    """The lock is held elsewhere at first; when it is free the record is there, and training again is a failure."""
    wanted = configs(own)
    held = store.lock_of(tmp_path, wanted[0])
    order = []

    def make(config, *arguments, **options):
        order.append(config.seed)
        if len(order) == 2:  # both others are done: now the first one's owner ends
            store.save(made[wanted[0].digest], store.path_for(tmp_path, SECTION, wanted[0]))
            held.release()
        return made[config.digest]

    made = {config.digest: recording.make_record(config, datasets.load(own), SECTION, CPU) for config in wanted}
    monkeypatch.setattr(experiment, "make_record", make)
    held.acquire()
    found = sweep_all(own, tmp_path)
    assert [record["digest"] for record in found] == [config.digest for config in wanted]
    assert order == [config.seed for config in wanted[1:]]


def test_a_lock_is_free_again_after_an_error(own, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "make_record", broken)
    with pytest.raises(KeyboardInterrupt):
        sweep_all(own, tmp_path)
    for config in configs(own):
        store.lock_of(tmp_path, config).acquire(blocking=False)


# What a section sets itself, and sizes that follow the data


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("private_fig07_08", {"target_epsilon": 0.5}, r"target_epsilon=0\.5 cannot be set .* \(to 1\.0, 8\.0\)"),
        ("private_fig09", {"target_epsilon": 0.5}, r"target_epsilon=0\.5 cannot be set"),
        ("fig10_thresholds", {"max_step": 0.5}, r"max_step=0\.5 cannot be set .* \(to 0\.01, 0\.1, 1\.0\)"),
        ("frontier", {"learning_rate": 1.0}, r"learning_rate=1\.0 cannot be set"),
        ("fig07_ablation", {"mechanism": "gaussian"}, r"mechanism='gaussian' cannot be set"),
        ("fig07_ablation", {"clip_norm": 1.0}, r"clip_norm=1\.0 cannot be set .* none of whose runs has one"),
    ],
)
def test_what_a_section_sets_itself_is_refused(section, changes, message):
    with pytest.raises(ValueError, match=message):
        prepare(section, dataset="mnist", profile="paper", **changes)


@pytest.mark.parametrize(
    ("section", "given", "error", "message"),
    [
        (
            "fig07_ablation",
            {"budgets": [1.0]},
            ValueError,
            r"budgets=\[1\.0\] cannot be set in .*fig10_thresholds, pri",
        ),
        ("fig10_thresholds", {"budgets": []}, ValueError, r"budgets=\[\] must be different numbers, at least one"),
        ("fig10_thresholds", {"budgets": [1, 1.0]}, ValueError, r"budgets=\[1\.0, 1\.0\] must be different numbers"),
        ("fig10_thresholds", {"thresholds": [0.1, 0]}, ValueError, r"thresholds=0\.0 must be a finite number above 0"),
        ("frontier", {"targets": ["1"]}, TypeError, r"targets=\['1'\] holds '1', which is no number"),
        (
            "frontier",
            {"targets": 1.0},
            TypeError,
            r"parameter targets=1\.0 is of type float; pass list or tuple or None",
        ),
        ("frontier", {"target": [1.0]}, ValueError, r"parameter='target' is not known; did you mean 'targets'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_with_name_value_and_remedy(section, given, error, message):
    with pytest.raises(error, match=message):
        prepare(section, dataset="mnist", **given)


def test_a_whole_number_in_a_grid_names_the_run_of_the_same_number_with_a_point():
    first, second = (prepare("frontier", dataset="mnist", targets=[one], seeds=[0]) for one in (1, 1.0))
    assert first.runs[0].config.digest == second.runs[0].config.digest


def test_a_sweep_says_how_long_it_will_take_before_it_starts(own, tmp_path, monkeypatch):
    said = tmp_path / "said"
    monkeypatch.setenv("CNNDP_PROGRESS", str(said))
    sweep_all(own, tmp_path / "store")
    first = next(
        line for line in said.read_text(encoding="utf-8").replace("\r", "\n").splitlines() if "to train" in line
    )
    assert re.search(r"runs of [\d,]+ steps in all to train, about \d+ s on one core", first)


@pytest.mark.parametrize("network", estimate.SECONDS_AN_EXAMPLE)
def test_what_runs_take_is_estimated_from_the_books_own_records(network):
    sections = {"mnist_cnn": "fig07_ablation", "cifar_cnn": "fig09_comparison", "scattering_linear": "frontier"}
    runs = findings.claimed_runs(sections[network])
    runs = runs[runs["model"] == network]
    seconds = (runs["seconds"] / (runs["num_steps"] * runs["batch_size"])).median()
    assert seconds / 3 < estimate.SECONDS_AN_EXAMPLE[network] < seconds * 3


def test_a_field_that_all_runs_share_is_set_and_what_is_printed_stays():
    study = prepare("fig07_ablation", dataset="mnist", learning_rate=0.1, momentum=0.5)
    rates = {run.config.reading: set() for run in study.runs}
    for run_ in study.runs:
        rates[run_.config.reading].add(run_.config.learning_rate)
    assert rates == {"reconstructed": {0.1}, "printed": {0.001}}
    budget = prepare("fig08_loss", dataset="mnist", total_epsilon=50.0)
    totals = {run_.label: run_.config.total_epsilon for run_ in budget.runs}
    assert totals["noise-free"] is None  # has no budget
    assert totals["DP-SGD"] == totals["CNN-DP-GAN"] == 50.0
    assert totals["CNN-DP-GAN (printed)"] != 50.0


def test_batches_follow_data_of_ones_own(own):
    for section in ("fig07_ablation", "private_p2", "frontier", "frontier_cnn", "survive_tuning"):
        study = prepare(section, dataset=own)
        sizes = {run.config.batch_size for run in study.runs}
        assert sizes == {9} if section == "survive_tuning" else {10}  # a quarter of 36 and of 40 images
    given = prepare("fig07_ablation", dataset=own, batch_size=33)
    assert {run.config.batch_size for run in given.runs} == {33}
    with pytest.raises(ValueError, match="batch_size=41 is larger than the 40 training examples"):
        prepare("fig07_ablation", dataset=own, batch_size=41)


def test_colour_files_keep_the_linear_model_of_the_frontier(tmp_path):
    source = write_npz(tmp_path / "colour.npz", (32, 32, 3))
    models = {
        section: {run.config.model for run in prepare(section, dataset=source).runs}
        for section in ("frontier", "frontier_cnn", "fig07_ablation", "private_p2")
    }
    assert models["frontier"] == {"scattering_linear"}
    assert models["frontier_cnn"] == models["fig07_ablation"] == models["private_p2"] == {"cifar_cnn"}


# A user's own images


@pytest.mark.parametrize(
    ("shape", "model", "activation"),
    [
        ((8, 8), "mnist_cnn", "tanh"),
        ((28, 28, 1), "mnist_cnn", "tanh"),
        ((32, 32, 3), "cifar_cnn", "relu"),
        ((9, 7, 3), "cifar_cnn", "relu"),
    ],
)
def test_a_file_of_ones_own_runs_end_to_end(tmp_path, folder, shape, model, activation):
    source = write_npz(tmp_path / "my images.npz", shape)
    study = prepare(SECTION, dataset=source, methods=["cnn_dp"], **SMALL)
    finished = run(study)
    assert [result.run for result in finished] == study.runs
    assert [result.run.label for result in finished] == ["CNN-DP", "CNN-DP+L2", "CNN-DP (printed)"]
    for result in finished:
        assert result.record["config"]["model"] == model
        assert result.record["config"]["activation"] == activation
        assert result.record["config"]["dataset"].startswith("npz-my-images-")
        assert result.record["final"]["last_step"] == 3
    assert experiment.stored(study) == finished


def test_a_chosen_activation_wins_over_the_one_for_colour_images(tmp_path):
    source = write_npz(tmp_path / "colour.npz", (32, 32, 3))
    study = prepare(SECTION, dataset=source, activation="tanh", **SMALL)
    assert {(planned.config.model, planned.config.activation) for planned in study.runs} == {("cifar_cnn", "tanh")}


def test_the_same_images_under_another_path_find_their_record(own, tmp_path, folder, trained):
    run(prepare(SECTION, dataset=own, methods=["cnn"], **SMALL))
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "mine.npz"
    with np.load(own) as stored:
        np.savez_compressed(other, y=stored["y"], x=stored["x"][..., None])
    run(prepare(SECTION, dataset=str(other), methods=["cnn"], **SMALL))
    assert len(trained) == 1


def test_other_images_under_the_same_name_are_other_data(own, tmp_path):
    other = write_npz(tmp_path / "mine.npz", seed=1)
    assert datasets.name_of(other) != datasets.name_of(own)
    message = rf"is '{datasets.name_of(other)}', but the run was made on '{datasets.name_of(own)}'; pass the file"
    with pytest.raises(ValueError, match=message):
        experiment.load_for(configs(own)[0], other)


def test_a_relative_path_is_a_dataset_too(own, folder, monkeypatch, tmp_path):
    write_npz(tmp_path / "here.npz")
    monkeypatch.chdir(tmp_path)
    (result,) = run(prepare(SECTION, dataset="here.npz", methods=["cnn"], **SMALL))
    assert str(tmp_path) not in str(result.record)


# Small parts


def test_numbers_are_stored_with_seven_digits_and_never_as_nan():
    assert significant(1 / 3) == 0.3333333
    assert significant(1234567.89) == 1234568.0
    assert [significant(value) for value in (math.inf, -math.inf, math.nan)] == [None] * 3
    assert [significant(value) for value in (3, "text", None, True)] == [3, "text", None, True]


def test_stored_gives_the_recorded_runs_and_trains_nothing(own, folder, trained):
    study = prepare(SECTION, dataset=own, **SMALL)
    assert experiment.stored(study) == []
    run(prepare(SECTION, dataset=own, methods=["cnn"], **SMALL))
    assert [result.run.label for result in experiment.stored(study)] == ["noise-free"]
    assert len(trained) == 1


def test_status_tells_what_is_recorded(own, folder):
    study = prepare(SECTION, dataset=own, methods=["cnn", "cnn_dp"], readings=["reconstructed"], **SMALL)
    run(prepare(SECTION, dataset=own, methods=["cnn"], **SMALL))
    rows = experiment.status(study)
    assert [(row["label"], row["recorded"]) for row in rows] == [
        ("noise-free", True),
        ("CNN-DP", False),
        ("CNN-DP+L2", False),
    ]
    assert rows[0]["seconds"] >= 0
    assert rows[1]["device"] is None


# Secret seeds


def private_runs(own, **parameters):
    study = prepare("private_p2", dataset=own, num_steps=2, batch_size=20, **parameters)
    return [run.config for run in study.runs if run.config.reading == "private"]


def test_private_runs_on_data_of_ones_own_have_a_secret_seed_unless_told(own):
    assert private_runs(own)
    assert all(config.secret_seed for config in private_runs(own))
    assert not any(config.secret_seed for config in private_runs(own, secret_seed=False))
    assert not any(config.secret_seed for config in private_runs("digits"))
    assert all(config.secret_seed for config in private_runs("digits", secret_seed=True))
    plain = prepare("fig07_ablation", dataset=own, num_steps=2, batch_size=20, secret_seed=True)
    assert not any(run.config.secret_seed for run in plain.runs)


def test_a_record_of_a_secret_seed_says_that_it_cannot_be_replayed(own, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    study = prepare("private_p2", dataset=own, num_steps=2, batch_size=20)
    found = experiment.run(study)
    assert [result.record for result in experiment.run(study)] == [result.record for result in found]  # found again
    record = found[0].record
    assert "operating system" in record["not_replayable"]
    assert "seed" not in json.dumps(record["provenance"])
    with pytest.raises(store.RecordError, match="cannot be replayed: batches and noise came from"):
        replay.replay(record, experiment.load_for(study.runs[0].config, own))
    assert replay.live_check(study, found, name="DP-SGD").startswith("no run here can be trained again")
