"""Replay: a number that does not come from this code is found, whether the record or the code was changed."""

import copy

import numpy as np
import pytest
import torch

from cnndp.data import datasets
from cnndp.equations import noise
from cnndp.papers.presets import preset
from cnndp.papers.sections.plan import Run
from cnndp.runs import replay, store
from cnndp.runs.experiment import Result, prepare, stored
from cnndp.runs.recording import make_record
from cnndp.runs.replay import Difference, close, live_check, verdict
from cnndp.runs.store import RecordError
from cnndp.training import methods, models, wiring
from cnndp.training.config import Config

pytestmark = pytest.mark.slow

NUM_STEPS = 12


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "mine.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (60, 28, 28), dtype=np.uint8), y=np.arange(60) % 5)
    return str(path)


@pytest.fixture(scope="module")
def images(own):
    return datasets.load(own)


def make(images, path, **changes):
    """Return a record that went through the store."""
    given = {"num_steps": NUM_STEPS, "batch_size": 16, **changes}
    config = preset("cnn_dp_gan", "reconstructed", images.name, **given)
    made = make_record(config, images, "fig07_ablation", torch.device("cpu"))
    return store.load(store.save(made, path))


@pytest.fixture(scope="module")
def record(images, tmp_path_factory):
    return make(images, tmp_path_factory.mktemp("store") / "record.json")


def resealed(record, tmp_path, change):
    """Return the record after a change by someone who computes its hash again."""
    changed = copy.deepcopy(record)
    change(changed)
    return store.load(store.save(changed, tmp_path / "resealed.json"))


# What passes


@pytest.mark.parametrize("steps", [1, 10, NUM_STEPS, 1000])
def test_a_fresh_record_passes(record, images, steps):
    assert replay.replay(record, images, steps=steps) == []


def test_a_record_made_with_other_threads_passes(record, images, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert replay.replay(record, images, steps=NUM_STEPS) == []
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("learning_rate", [1e4, 1e8, 1e30])
def test_the_record_of_a_diverged_run_passes(images, tmp_path, learning_rate):
    record = make(images, tmp_path / "record.json", learning_rate=learning_rate, activation="relu")
    assert record["status"] == "diverged"
    assert replay.replay(record, images) == []


def test_replay_reports_each_step(record, images):
    called = []
    replay.replay(record, images, steps=4, on_step=called.append)
    assert called == [1, 2, 3, 4]


# A changed record


@pytest.mark.parametrize("column", ["loss", "gradient_norm", "step_size"])
@pytest.mark.parametrize("row", [0, 9])
def test_one_percent_in_the_trace_is_found(record, images, tmp_path, column, row):
    def change(content):
        content["trace"][column][row] *= 1.01

    (difference,) = replay.replay(resealed(record, tmp_path, change), images)
    assert (difference.step, difference.quantity) == (row + 1, column)


def test_a_number_taken_out_of_the_trace_is_found(record, images, tmp_path):
    def change(content):
        content["trace"]["loss"][3] = None

    assert replay.replay(resealed(record, tmp_path, change), images)


def test_a_trace_cut_short_is_no_pass(record, images, tmp_path):
    def change(content):
        content["trace"] = {name: [] for name in content["trace"]}

    changed = resealed(record, tmp_path, change)
    try:
        differences = replay.replay(changed, images)
    except RecordError:
        return
    assert differences, "a record without a trace passed although nothing was compared"


def test_an_invented_accuracy_is_found(record, images, tmp_path):
    def change(content):
        content["history"]["test_accuracy"][-1] += 4

    assert replay.replay(resealed(record, tmp_path, change), images, steps=NUM_STEPS)
    assert not replay.replay(resealed(record, tmp_path / "b", change), images, steps=2)  # not reached


def test_a_record_of_another_seed_or_rate_is_found(record, images, tmp_path):
    for field, value in (("seed", 1), ("learning_rate", 0.31), ("total_epsilon", 100.0)):
        changed = copy.deepcopy(record)
        changed["config"][field] = value
        assert replay.replay(changed, images), field


# Changed code: each is a bug that a person could make


def halved(monkeypatch):
    monkeypatch.setattr(methods, "laplace_scale", lambda sensitivity, epsilon: sensitivity / epsilon / 2)


def the_total_for_every_step(monkeypatch):
    monkeypatch.setattr(methods, "step_epsilon", lambda t, budget: budget.initial_epsilon * NUM_STEPS)


def one_step_late(monkeypatch):
    monkeypatch.setattr(methods, "step_epsilon", lambda t, budget: budget.initial_epsilon + t * budget.increment)


def noise_from_the_stream_of_the_batches(monkeypatch):
    original = wiring.streams
    monkeypatch.setattr(
        wiring, "streams", lambda seed, **options: original(seed)._replace(noise=original(seed).batches)
    )


def one_draw_for_all_steps(monkeypatch):
    def same(mechanism, num_params, num_steps, generator, device, block_size=16):
        draw = noise.MECHANISMS[mechanism](num_params, 1.0, generator)
        return (draw for _ in range(num_steps))

    monkeypatch.setattr(wiring, "unit_noise", same)


def no_noise_on_the_last_layer(monkeypatch):
    original = wiring.unit_noise

    def masked(*arguments, **options):
        for draw in original(*arguments, **options):
            yield torch.cat([draw[:-165], torch.zeros(165)])  # 32 weights and a bias for each of 5 classes

    monkeypatch.setattr(wiring, "unit_noise", masked)


def gaussian_for_laplace(monkeypatch):
    original = wiring.unit_noise
    monkeypatch.setattr(wiring, "unit_noise", lambda mechanism, *rest: original("gaussian", *rest))


def noise_before_the_sum_is_divided_twice(monkeypatch):
    original = wiring.noisy_gradient

    def twice(method, *arguments):
        noisy = original(method, *arguments)
        return noisy._replace(gradient=noisy.gradient / method.divisor)

    monkeypatch.setattr(wiring, "noisy_gradient", twice)


def the_same_batch_every_step(monkeypatch):
    def first_only(num_train, batch_size, num_steps, generator):
        batch = torch.randperm(num_train, generator=generator)[:batch_size]
        return (batch for _ in range(num_steps))

    monkeypatch.setattr(wiring.batches, "reshuffled", first_only)


def other_initial_weights(monkeypatch):
    original = models.build

    def scaled(*arguments, **options):
        model = original(*arguments, **options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.02)
        return model

    monkeypatch.setattr(wiring.models, "build", scaled)


def the_draw_of_step_20_from_then_on(monkeypatch):
    original = wiring.unit_noise

    def repeated(*arguments, **options):
        kept = None
        for t, draw in enumerate(original(*arguments, **options), start=1):
            kept = draw if t <= 20 else kept
            yield kept

    monkeypatch.setattr(wiring, "unit_noise", repeated)


BUGS = [
    halved,
    the_total_for_every_step,
    one_step_late,
    noise_from_the_stream_of_the_batches,
    one_draw_for_all_steps,
    no_noise_on_the_last_layer,
    gaussian_for_laplace,
    noise_before_the_sum_is_divided_twice,
    the_same_batch_every_step,
    other_initial_weights,
]


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(record, images, monkeypatch, bug):
    with monkeypatch.context() as patched:
        bug(patched)
        assert replay.replay(record, images), f"{bug.__name__} was not noticed"
    assert replay.replay(record, images) == []


# Refusals


def test_a_record_of_other_numerics_is_refused(record, images):
    changed = copy.deepcopy(record)
    changed["config"]["numerics_version"] += 1
    with pytest.raises(RecordError, match=r"has numerics_version=\d+, this code has \d+; run its section again"):
        replay.replay(changed, images)


def test_other_data_is_refused(record, images):
    with pytest.raises(RecordError, match=r"was made on data of SHA-256 .*; pass the data that it was made from"):
        replay.replay(record, images._replace(sha256="0" * 64))


def test_no_steps_are_no_replay(record, images):
    with pytest.raises(ValueError, match=r"steps=0 must be a whole number; the smallest allowed is 1"):
        replay.replay(record, images, steps=0)


# Parts


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (1.0, 1.0009, True),
        (1.0, 1.0011, False),
        (-1.0, 1.0, False),
        (0.0, 1e-7, True),
        (None, float("nan"), True),
        (None, float("inf"), True),
        (None, None, True),
        (None, 1.0, False),
        (1.0, None, False),
        (1.0, float("nan"), False),
        (1.0, float("inf"), False),
    ],
)
def test_close(before, after, same):
    assert close(before, after, relative=1e-3, absolute=1e-6) == same


def test_the_verdict_names_the_first_difference():
    assert verdict([]) == "pass"
    assert verdict([Difference(2, "loss", 1.0, 2.0)]) == "FAIL: step 2: loss is 2.0 here, 1.0 in the record"


def named(name, record):
    return Result(Run("fig07_ablation", name, name, name, Config.from_dict(record["config"])), record)


def study_with(record, own):
    study = prepare("fig07_ablation", dataset=own, num_steps=NUM_STEPS, batch_size=record["config"]["batch_size"])
    return study, [named("first", record), named("second", record)]


def test_the_live_check_is_one_stable_line_from_label_to_verdict(record, own):
    study, stored = study_with(record, own)
    lines = [live_check(study, stored, name="second", examples=16 * steps) for steps in (4, 4, 200)]
    assert lines[0] == lines[1]
    assert lines[0] == "second, seed 0: 4 of 12 steps trained again on this machine: pass"
    assert lines[2] == "second, seed 0: 12 of 12 steps trained again on this machine: pass"


def test_the_live_check_trains_three_steps_at_least_and_no_more_than_the_run_has(images, record, own, tmp_path):
    study, stored = study_with(record, own)
    assert live_check(study, stored, examples=1) == "first, seed 0: 3 of 12 steps trained again on this machine: pass"
    short = make(images, tmp_path / "record.json", num_steps=2)
    assert ", seed 0: 2 of 2 steps trained" in live_check(study, [named("short", short)], examples=1)


def test_the_live_check_takes_a_run_that_has_every_value(images, record, own, tmp_path):
    study, stored = study_with(record, own)
    other = named("second", make(images, tmp_path / "record.json", seed=1))
    assert live_check(study, [*stored, other], name="second", seed=1, examples=1).startswith("second, seed 1: ")


def test_the_live_check_falls_back_to_the_first_run_and_refuses_an_unknown_column(record, own):
    study, stored = study_with(record, own)
    assert live_check(study, stored, name="no such name", examples=1).startswith("first, seed 0: ")
    with pytest.raises(ValueError, match=r"column='nmae' is not known; did you mean 'name'\?"):
        live_check(study, stored, nmae="second", examples=1)


@pytest.fixture(scope="module")
def of_the_book():
    """A run of the book, as its page checks it: CNN-DP-GAN of Fig. 7 on MNIST, 600 steps."""
    study = prepare("fig07_ablation", dataset="mnist", profile="paper", seeds=[0], methods=["cnn_dp_gan"])
    return study, stored(study)


@pytest.mark.xdist_group("live check of a page")
@pytest.mark.parametrize("bug", [halved, the_draw_of_step_20_from_then_on])
def test_the_live_check_of_a_page_notices_a_planted_bug(of_the_book, monkeypatch, bug):
    bug(monkeypatch)
    line = live_check(*of_the_book, name="CNN-DP-GAN", reading="reconstructed")
    assert "54 of 600 steps trained again on this machine: FAIL: " in line, bug.__name__


def test_the_live_check_of_a_page_passes_without_one(of_the_book):
    line = live_check(*of_the_book, name="CNN-DP-GAN", reading="reconstructed")
    assert line.endswith("54 of 600 steps trained again on this machine: pass")


def test_the_live_check_fails_on_a_changed_record(record, own):
    study, _ = study_with(record, own)
    changed = copy.deepcopy(record)
    changed["trace"]["loss"][0] *= 1.01
    line = live_check(study, [named("first", changed)], name="first", examples=1)
    assert ": FAIL: step 1: loss is" in line


def test_a_cover_of_records_holds_every_kind_once(record):
    kinds = {replay.kind(record)}
    for field, value in (("method", "cnn"), ("reading", "printed"), ("dataset", "mnist"), ("step", "polyak")):
        kinds.add(replay.kind({**record, "config": {**record["config"], field: value}}))
    kinds.add(replay.kind({**record, "section": "another"}))
    assert len(kinds) == 6
    assert replay.kind({**record, "config": {**record["config"], "seed": 7}}) == replay.kind(record)
