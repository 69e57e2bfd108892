"""What `train` itself drew, worked out from its weights: mistakes planted inside it that no ledger shows are found."""

import itertools
import re

import numpy as np
import pytest
import torch

from cnndp.audit import audit, outside
from cnndp.audit.controls import CONTROLS, CORRECT
from cnndp.audit.outside import Recovered, failed, loss_noise_is_as_stated, recover
from cnndp.papers.presets import preset
from cnndp.training import wiring
from cnndp.training.batches import reshuffled
from cnndp.training.loop import TRACE_STEPS, train
from cnndp.training.wiring import NUDGE, nudged

pytestmark = pytest.mark.slow

MECHANISMS = ("gaussian", "laplace")
EVERY_PATH = pytest.mark.parametrize("graph", [False, True], ids=["eager", "recorded"])
EVERY_MECHANISM = pytest.mark.parametrize("mechanism", MECHANISMS)


@pytest.fixture(scope="module")
def some(few):
    """30 training images: fewer are read faster."""
    return few._replace(train_images=few.train_images[:30], train_labels=few.train_labels[:30])


def config_of(mechanism="gaussian", method="cnn_dp_gan_polyak", seed=0, **changes):
    """Return a private run; the Polyak method releases gradient and loss, and its noise falls from step to step."""
    changes = {"batch_size": 10, "target_epsilon": 8.0, "mechanism": mechanism, "seed": seed, **changes}
    return preset(method, "private", "digits", TRACE_STEPS, **changes)


# A correct run


@EVERY_PATH
@EVERY_MECHANISM
@pytest.mark.parametrize("method", ["dp_sgd", "cnn_dp_gan_polyak"])
def test_a_correct_run_has_the_noise_and_the_batches_that_its_ledger_states(some, mechanism, method, graph):
    found = recover(config_of(mechanism, method), some, TRACE_STEPS, graph=graph)
    assert failed(found) == {}
    assert found.members.shape == (TRACE_STEPS, 30)
    assert found.sampling_prob == 10 / 30
    assert (found.losses.size == TRACE_STEPS) == (method == "cnn_dp_gan_polyak")


def test_the_batches_are_those_of_the_seed(some):
    """What is read from the weights is what the sampler drew: the reading itself makes nothing up."""
    drawn = wiring.batches.poisson(30, 10 / 30, TRACE_STEPS, wiring.streams(0).batches)
    members = np.zeros((TRACE_STEPS, 30))
    for row, batch in zip(members, drawn, strict=True):
        row[batch] = 1
    assert np.array_equal(recover(config_of(method="dp_sgd"), some, TRACE_STEPS).members.round(), members)


def test_a_run_that_hides_its_gradient_is_refused(some):
    with pytest.raises(ValueError, match=r"momentum=0\.9"):
        recover(config_of(method="dpgdm"), some, 3)


# Planted inside `train`, where a later recording would seal them


def halve_all_draws(patch):
    original = wiring.unit_noise
    patch.setattr(wiring, "unit_noise", lambda *arguments: (draw / 2 for draw in original(*arguments)))


def no_noise_on_the_loss(patch):
    original = wiring.unit_noise

    def quiet(*arguments):
        for draw in original(*arguments):
            yield torch.cat([draw[:-1], draw.new_zeros(1)])

    patch.setattr(wiring, "unit_noise", quiet)


def fixed_batches(patch):
    def dealt(count, sampling_prob, num_steps, generator):
        return reshuffled(count, round(sampling_prob * count), num_steps, generator)

    patch.setattr(wiring.batches, "poisson", dealt)


def other_distribution(patch):
    """Draw the other kind of noise, of the same standard deviation."""
    original = wiring.unit_noise

    def swapped(mechanism, *arguments):
        other, factor = {"gaussian": ("laplace", 0.5**0.5), "laplace": ("gaussian", 2**0.5)}[mechanism]
        return (factor * draw for draw in original(other, *arguments))

    patch.setattr(wiring, "unit_noise", swapped)


def scale_of_the_last_step(patch):
    """Take the least noise of the schedule in every step, and write the planned one into the ledger."""
    original = wiring.noisy_gradient

    def early(method, *arguments):
        noisy = original(method, *arguments)
        least = original(method._replace(scale=lambda t, bound: method.scale(TRACE_STEPS, bound)), *arguments)
        return least._replace(releases=noisy.releases)

    patch.setattr(wiring, "noisy_gradient", early)


def repeated_noise(patch):
    original = wiring.unit_noise

    def same(*arguments):
        draws = original(*arguments)
        return itertools.chain([first := next(draws)], (first for _ in draws))

    patch.setattr(wiring, "unit_noise", same)


def divided_by_what_was_drawn(patch):
    """Divide by the size of the batch that was drawn, which the ledger does not know."""
    original = wiring.noisy_gradient

    def realised(method, model, weights, inputs, labels, t, draw):
        return original(method._replace(divisor=max(1, len(labels))), model, weights, inputs, labels, t, draw)

    patch.setattr(wiring, "noisy_gradient", realised)


def clip_twice_as_far(patch):
    original = wiring.compose

    def wide(config, *arguments, **options):
        right = original(config, *arguments, **options)
        wrong = original(config.replace(clip_norm=2 * config.clip_norm), *arguments, **options)

        def summed(*given, **more):
            return wrong.gradient_sum(*given, **more)._replace(sensitivity=config.clip_norm)

        return right._replace(gradient_sum=summed)

    patch.setattr(wiring, "compose", wide)


EAGER_ONLY = {scale_of_the_last_step, divided_by_what_was_drawn}  # recorded steps have these in `graphs`
PLANTED = {
    halve_all_draws: "noise_is_as_stated",
    no_noise_on_the_loss: "loss_noise_is_as_stated",
    fixed_batches: "batches_are_poisson",
    other_distribution: "noise_is_as_stated",
    scale_of_the_last_step: "noise_is_as_stated",
    repeated_noise: "noise_is_as_stated",
    divided_by_what_was_drawn: "steps_are_clipped_sums",
    clip_twice_as_far: "steps_are_clipped_sums",
}


def planted():
    """Return each mistake with both kinds of noise in eager steps, and with one of them, in turn, in recorded ones."""
    eager = [(mistake, mechanism, False) for mistake in PLANTED for mechanism in MECHANISMS]
    both = [mistake for mistake in PLANTED if mistake not in EAGER_ONLY]
    return eager + [(mistake, MECHANISMS[place % 2], True) for place, mistake in enumerate(both)]


@pytest.mark.parametrize(("mistake", "mechanism", "graph"), planted())
def test_a_mistake_inside_train_is_named(some, monkeypatch, mistake, mechanism, graph):
    mistake(monkeypatch)
    found = failed(recover(config_of(mechanism), some, TRACE_STEPS, graph=graph))
    assert PLANTED[mistake] in found


def test_half_the_noise_on_the_loss_shows_over_some_seeds(some):
    def halved(run):
        return run._replace(draws=(torch.cat([draw[:-1], draw[-1:] / 2]) for draw in run.draws))

    runs = [recover(config_of(seed=seed), some, TRACE_STEPS, halved) for seed in range(6)]
    assert "0." in loss_noise_is_as_stated(runs[0]._replace(losses=np.concatenate([run.losses for run in runs])))


@EVERY_MECHANISM
def test_half_the_noise_on_losses_is_measured(mechanism):
    rng = np.random.default_rng(0)
    drawn = {"gaussian": rng.normal(size=200), "laplace": rng.laplace(size=200)}[mechanism]
    found = Recovered(np.empty(0), np.empty(0), drawn, mechanism, 0.5)
    assert loss_noise_is_as_stated(found) == ""
    assert re.search(r"200 losses is 0\.(2|5)", loss_noise_is_as_stated(found._replace(losses=drawn / 2)))


@pytest.mark.parametrize(
    ("mistake", "control"),
    [
        (halve_all_draws, "correct, Gaussian"),
        (halve_all_draws, "correct, Laplace"),
        (fixed_batches, "reshuffled batches"),
        (no_noise_on_the_loss, "raw loss in the step size"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_audit_goes_through_the_same_wiring(digits, monkeypatch, mistake, control):
    """A mistake in the wiring of training is one of every audited run, without a control that plants it there."""
    (chosen,) = [one for one in (*CORRECT, *CONTROLS) if one.name == control]
    plain = chosen._replace(change=wiring.as_it_is)
    monkeypatch.setattr(audit, "checked_from_outside", lambda *arguments: [])
    seeds = range(2 if mistake is fixed_batches else 1)  # that audit notices about two runs of three
    assert not any(audit.detect(plain, digits, seed)["caught"] for seed in seeds)
    mistake(monkeypatch)
    caught = [name for seed in seeds for name in audit.detect(plain, digits, seed)["caught_by"]]
    assert set(caught) == {"loss audit" if mistake is no_noise_on_the_loss else "audit"}


def test_checks_that_see_nothing_say_so(some):
    found = recover(config_of(), some, TRACE_STEPS)
    nothing = found._replace(noise=found.noise[:1])
    assert "no noise can be told" in outside.noise_is_as_stated(nothing)
    broken = found._replace(noise=np.full_like(found.noise, np.nan))
    assert "no noise can be told" in outside.noise_is_as_stated(broken)


# What is measured on the way


def test_each_column_of_the_history_responds_to_its_own_images_alone(few):
    """Labels of one part are turned round; training stands still, so that nothing else can tell."""
    config = preset("cnn", "reconstructed", "digits", 3, batch_size=20, learning_rate=0.0)
    before = train(config, few)

    def turned(**labels):
        return train(config, few._replace(**{name: (9 - values) for name, values in labels.items()}))

    test = turned(test_labels=few.test_labels)
    rest = turned(train_labels=few.train_labels)
    for name in ("train_accuracy", "train_loss", "test_accuracy", "test_loss"):
        own, other = (test, rest) if name.startswith("test") else (rest, test)
        assert other.history[name] == before.history[name], name
        assert own.history[name] != before.history[name], name
        assert other.final[name] == before.final[name], name
        assert own.final[name] != before.final[name], name


def test_a_nudge_is_a_few_units_in_the_last_place():
    weights = torch.ones(1000)
    assert nudged(weights, None) is weights
    moved = (nudged(weights, 1) - 1).abs()
    assert 0 < moved.max() < 10 * NUDGE
