"""Training: one Config has one outcome, methods share what a seed decides, and nothing else is touched."""

import json
import random

import numpy as np
import pytest
import torch

from cnndp.data.datasets import pixels
from cnndp.papers.presets import preset
from cnndp.runs import store
from cnndp.runs.recording import make_record
from cnndp.training import loop, wiring
from cnndp.training.loop import evaluation_steps, train

NUM_STEPS = 12
MIXED_CAP = 0.0025  # between the Polyak steps of the first and of the later iterations


def config_of(method="cnn_dp_gan", reading="reconstructed", num_steps=NUM_STEPS, **changes):
    return preset(method, reading, "digits", num_steps, **{"batch_size": 16, **changes})


@pytest.fixture(scope="module")
def outcome(few):
    return train(config_of(), few)


def scales_by_step(outcome, quantity="gradient"):
    return [release.scale for release in outcome.releases if release.quantity == quantity for _ in range(release.steps)]


# One Config, one outcome


@pytest.mark.parametrize("method", ["cnn", "cnn_dp_gan", "cnn_dp_gan_polyak", "dp_sgd", "dpgdm", "cdp"])
def test_the_same_config_gives_identical_numbers_twice(few, method):
    first, second = (train(config_of(method, num_steps=4), few) for _ in range(2))
    assert first[:5] == second[:5]
    assert torch.equal(first.weights, second.weights)


def test_another_seed_gives_other_numbers(few, outcome):
    other = train(config_of(seed=1), few)
    assert other.trace["loss"][0] != outcome.trace["loss"][0]
    assert not torch.equal(other.weights, outcome.weights)


def test_what_one_seed_decides_is_the_same_for_every_method(few, monkeypatch):
    seen, original = [], wiring.noisy_gradient

    def watched(method, model, weights, inputs, labels, t, draw):
        seen[-1].append((weights.clone(), inputs.clone(), labels.clone(), draw.clone()))
        return original(method, model, weights, inputs, labels, t, draw)

    monkeypatch.setattr(wiring, "noisy_gradient", watched)
    for method in ("cnn_dp", "cnn_dp_gan", "cnn_dp_gan_polyak"):
        seen.append([])
        train(config_of(method, num_steps=5), few)
    for other in seen[1:]:
        assert torch.equal(other[0][0], seen[0][0][0])  # initial weights
        for one, two in zip(seen[0], other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one[1:], two[1:], strict=True))
    draws = [draw for *_, draw in seen[0]]
    assert len({draw[:3].sum().item() for draw in draws}) == 5  # and every step has noise of its own


def test_training_leaves_every_global_generator_and_the_data_alone(few):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    images = few.train_images.clone()
    train(config_of("cnn_dp_gan_polyak", num_steps=3), few)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    assert torch.equal(few.train_images, images)


def test_global_random_state_decides_nothing(few, outcome):
    torch.manual_seed(12345)
    assert torch.equal(train(config_of(), few).weights, outcome.weights)


def test_measuring_does_not_change_training(few, outcome, monkeypatch):
    monkeypatch.setattr(loop, "evaluation_steps", lambda num_steps: [num_steps])
    once = train(config_of(), few)
    assert once.history["step"] == [0, NUM_STEPS]
    assert torch.equal(once.weights, outcome.weights)


# The loop


@pytest.mark.parametrize("num_steps", [1, 2, 3, 15, 60, 300, 600, 1200, 22_400])
def test_evaluation_steps_run_from_0_to_the_end_at_most_16_and_denser_early(num_steps):
    steps = evaluation_steps(num_steps)
    assert steps[0] == 0
    assert steps[-1] == num_steps
    assert steps == sorted(set(steps))
    assert len(steps) <= 16
    if num_steps >= 300:
        gaps = np.diff(steps)
        assert (np.diff(gaps) >= -1).all()  # rounding alone may shorten a gap
        assert gaps[0] * 3 < gaps[-1]


def test_the_history_has_one_row_for_each_evaluation_step(outcome):
    assert outcome.history["step"] == evaluation_steps(NUM_STEPS)
    assert {len(column) for column in outcome.history.values()} == {len(evaluation_steps(NUM_STEPS))}
    assert outcome.trace["step"] == list(range(1, 11))
    assert {len(column) for column in outcome.trace.values()} == {10}
    assert outcome.history["loss"][0] is None  # nothing was trained at step 0


def test_history_and_trace_agree_where_both_have_a_step(outcome):
    rows = dict(zip(outcome.trace["step"], outcome.trace["loss"], strict=True))
    shared = [(s, x) for s, x in zip(outcome.history["step"], outcome.history["loss"], strict=True) if s in rows]
    assert len(shared) > 5
    assert all(rows[step] == loss for step, loss in shared)


def test_on_step_is_called_for_each_step(few):
    called = []
    train(config_of(num_steps=7), few, on_step=called.append)
    assert called == [1, 2, 3, 4, 5, 6, 7]


def test_stopping_early_keeps_the_schedule_of_the_whole_run(few, outcome):
    part = train(config_of(), few, last_step=5)
    assert part.final["last_step"] == 5
    assert part.trace == {name: column[:5] for name, column in outcome.trace.items()}
    rows = len(part.history["step"])
    assert part.history == {name: column[:rows] for name, column in outcome.history.items()}
    assert scales_by_step(part) == scales_by_step(outcome)[:5]
    assert scales_by_step(part) != scales_by_step(train(config_of(num_steps=5), few))


def test_a_last_step_beyond_the_end_is_the_end(few):
    assert train(config_of(num_steps=3), few, last_step=10).final["last_step"] == 3


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers_and_the_remedy(few):
    message = r"batch_size=61 is larger than the 60 training examples; pass a batch_size of at most 60"
    with pytest.raises(ValueError, match=message):
        train(config_of(batch_size=61), few)


def test_a_batch_of_all_the_data_is_allowed(few):
    assert train(config_of(batch_size=60, num_steps=2), few).final["last_step"] == 2


def test_the_final_accuracy_is_that_of_the_final_weights_on_all_test_images(few, outcome):
    weights, at = {}, 0
    for name, parameter in outcome.model.named_parameters():
        weights[name] = outcome.weights[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
    assert at == len(outcome.weights)
    with torch.no_grad():
        guesses = torch.func.functional_call(outcome.model, weights, pixels(few.test_images)).argmax(dim=1)
    assert outcome.final["test_accuracy"] == pytest.approx(100 * (guesses == few.test_labels).float().mean().item())


def test_noise_free_training_learns(few):
    losses = train(config_of("cnn", num_steps=40), few).history["loss"][1:]
    assert losses[-1] < 0.8 * losses[0]


def test_steps_at_the_cap_are_those_with_slack(few):
    capped = train(config_of("cnn_dp_gan_polyak", num_steps=5, max_step=MIXED_CAP, debias=False), few)
    assert capped.history["step"] == [0, 1, 2, 3, 4, 5]
    assert capped.final["steps_at_cap"] == sum(slack > 0 for slack in capped.history["slack"][1:])
    assert 0 < capped.final["steps_at_cap"] < 5
    assert all(size <= MIXED_CAP * (1 + 1e-6) for size in capped.trace["step_size"])
    assert train(config_of("cnn", num_steps=2), few).final["steps_at_cap"] == 0


# Divergence is a result


@pytest.fixture(scope="module")
def exploding():
    return config_of("cnn", num_steps=15, learning_rate=1e30, activation="relu")


def test_a_run_that_diverges_says_so_and_when(few, exploding):
    diverged = train(exploding, few)
    assert diverged.status == "diverged"
    assert 1 <= diverged.final["last_step"] < 15
    assert diverged.trace["step"][-1] == diverged.final["last_step"]
    assert diverged.history["step"][-1] < diverged.final["last_step"]
    assert sum(release.steps for release in diverged.releases) == diverged.final["last_step"]


def test_the_record_of_a_diverged_run_can_be_stored_and_loaded(few, exploding, tmp_path):
    record = make_record(exploding, few, "fig07_ablation", torch.device("cpu"))
    path = store.save(record, tmp_path / "record.json")
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    loaded = store.load(path)
    assert loaded["status"] == "diverged"
    assert loaded["final"]["last_step"] < 15
    assert None in loaded["trace"]["loss"] + loaded["trace"]["gradient_norm"]


# The ledger


@pytest.mark.parametrize("method", ["cnn", "cnn_dp", "cnn_dp_gan", "cnn_dp_gan_polyak", "dp_sgd", "cdp"])
def test_the_steps_of_the_ledger_add_up_to_the_steps_of_the_run(few, method):
    assert len(scales_by_step(train(config_of(method, num_steps=5), few))) == 5


@pytest.mark.parametrize("reading", ["reconstructed", "printed"])
def test_the_scales_of_the_ledger_follow_eq_4_and_eq_3(few, reading):
    """By hand: e_1 = 2 E / (T (1 + r)), e_t grows evenly to r e_1, scale = 0.5 / e_t; times B on the mean."""
    ratio, total, factor = 3.0, 7.0, 16 if reading == "printed" else 1
    made = train(config_of(reading=reading, num_steps=6, growth=ratio, total_epsilon=total), few)
    first = 2 * total / (6 * (1 + ratio))
    budgets = [first * (1 + (ratio - 1) * t / 5) for t in range(6)]
    assert sum(budgets) == pytest.approx(total)
    assert scales_by_step(made) == pytest.approx([factor * 0.5 / budget for budget in budgets])


def test_the_scales_of_the_ledger_stay_between_the_ends_of_table_i(few):
    changes = {"initial_scale": 2.0, "min_scale": 1.9, "growth": 3.0, "total_epsilon": 2.0, "num_steps": 6}
    scales = scales_by_step(train(config_of(**changes), few))
    assert min(scales) >= 1.9
    assert max(scales) == 2.0
    assert len(set(scales)) > 1


def test_a_clipped_method_writes_the_sensitivity_of_its_clip(few):
    (entry,) = train(config_of("dp_sgd", num_steps=3, clip_norm=0.25), few).releases
    assert (entry.sensitivity, entry.mechanism, entry.steps) == (0.25, "gaussian", 3)


def test_the_ledger_lists_the_raw_loss_of_the_polyak_step(few):
    polyak = train(config_of("cnn_dp_gan_polyak", num_steps=4), few).releases
    assert [(entry.quantity, entry.mechanism, entry.steps) for entry in polyak if entry.quantity == "loss"] == [
        ("loss", "none", 4)
    ]
    assert {entry.quantity for entry in train(config_of(num_steps=4), few).releases} == {"gradient"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_cpu_and_gpu_see_the_same_noise_and_follow_each_other(few, monkeypatch):
    draws, original = [], wiring.noisy_gradient

    def watched(method, model, weights, inputs, labels, t, draw):
        draws.append(draw.cpu())
        return original(method, model, weights, inputs, labels, t, draw)

    monkeypatch.setattr(wiring, "noisy_gradient", watched)
    cpu, gpu = (train(config_of(num_steps=5), few, device=device) for device in ("cpu", "cuda"))
    assert all(torch.equal(one, two) for one, two in zip(draws[:5], draws[5:], strict=True))
    assert gpu.trace["loss"] == pytest.approx(cpu.trace["loss"], rel=1e-3)
