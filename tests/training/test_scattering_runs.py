"""Runs on scattering features: their statistics are in the plan, in the ledger and in the price."""

import pytest
import torch

from cnndp.data import features
from cnndp.data.preparation import prepare_images
from cnndp.privacy.accounting import exact_epsilon
from cnndp.privacy.plan import OverspendError
from cnndp.runs.recording import make_record
from cnndp.runs.replay import replay
from cnndp.training import wiring
from cnndp.training.config import Config
from cnndp.training.intended import intended, one_off
from cnndp.training.loop import train
from cnndp.training.randomness import generator_for

STATISTICS = ["feature mean", "channel moments", "position moments"]


@pytest.fixture(scope="module")
def few_features():
    """300 training and 100 test images of digits, as features."""
    whole = features.load("digits")
    return whole._replace(
        train_images=whole.train_images[:300],
        train_labels=whole.train_labels[:300],
        test_images=whole.test_images[:100],
        test_labels=whole.test_labels[:100],
    )


def config_of(**changes):
    values = {
        "method": "scattering_linear",
        "reading": "private",
        "dataset": "digits",
        "num_steps": 8,
        "batch_size": 100,
        "sampling": "poisson",
        "features": "scattering",
        "mean_noise": 6.0,
        "moment_noise": 8.0,
        "model": "scattering_linear",
        "init": "zeros",
        "clip": "example_l2",
        "clip_norm": 0.1,
        "mechanism": "gaussian",
        "target_epsilon": 4.0,
        "learning_rate": 100.0,
        "momentum": 0.9,
    }
    return Config(**{**values, **changes})


def test_the_statistics_are_released_first_and_counted(few_features):
    config = config_of()
    outcome = train(config, few_features)
    assert [release.quantity for release in outcome.releases] == [*STATISTICS, "gradient"]
    assert outcome.releases[:3] == one_off(config)
    assert exact_epsilon(outcome.releases).epsilon <= 4.0
    without = exact_epsilon(outcome.releases[3:]).epsilon
    assert without < 0.97 * exact_epsilon(outcome.releases).epsilon
    assert outcome.final["test_accuracy"] > 40  # chance is 10


def test_more_noise_on_the_statistics_leaves_more_for_the_steps():
    careful, plain = (intended(config_of(mean_noise=noise, moment_noise=noise), 300) for noise in (20.0, 5.0))
    assert careful.releases[-1].scale < plain.releases[-1].scale


def test_statistics_that_spend_the_whole_target_are_refused(few_features):
    with pytest.raises(ValueError, match="the one-off releases alone spend"):
        train(config_of(mean_noise=0.1, moment_noise=0.1), few_features)


def test_statistics_that_no_plan_holds_stop_the_run_before_it_starts(few_features, monkeypatch):
    def forgetful(config, num_train):
        plan = intended(config, num_train)
        return plan._replace(releases=plan.releases[3:])

    monkeypatch.setattr(wiring, "intended", forgetful)
    with pytest.raises(OverspendError, match="the one-off release"):
        train(config_of(), few_features)


def test_test_images_change_nothing_that_is_learnt(few_features):
    other = few_features._replace(
        test_images=few_features.test_images.flip(0), test_labels=few_features.test_labels.flip(0)
    )
    assert torch.equal(train(config_of(), few_features).weights, train(config_of(), other).weights)


def test_a_record_of_features_replays_and_another_seed_has_other_statistics(few_features):
    record = make_record(config_of(), few_features, "some", torch.device("cpu"))
    assert record["privacy"]["exact_epsilon"] <= 4.0
    assert [entry["quantity"] for entry in record["ledger"]] == [*STATISTICS, "gradient"]
    assert replay(record, few_features, steps=4) == []
    prepared = [wiring.prepared(config_of(seed=seed), few_features)[0].train_images for seed in (0, 0, 1)]
    assert torch.equal(prepared[0], prepared[1])
    assert not torch.equal(prepared[0], prepared[2])


def test_training_prepares_with_the_noise_that_its_ledger_states(few_features):
    config = config_of()
    rows, released = wiring.prepared(config, few_features)
    scales = {release.quantity: release.scale for release in released}
    assert scales == {"feature mean": 6.0, "channel moments": 8.0, "position moments": 8.0}
    expected, _ = prepare_images(
        few_features,
        300,
        mean_noise=scales["feature mean"],
        moment_noise=scales["channel moments"],
        generator=generator_for(config.seed, "features"),
    )
    assert torch.equal(rows.train_images, expected.train_images)
    assert torch.equal(rows.test_images, expected.test_images)


def test_a_projection_is_public_the_same_for_both_parts_and_costs_nothing(few_features):
    plain, mixed = train(config_of(), few_features), train(config_of(projection=20), few_features)
    assert len(mixed.weights) == 10 * 20
    assert mixed.releases == plain.releases
    assert mixed.final["test_accuracy"] > 30  # mixtures of both parts by one matrix; chance is 10
    again = train(config_of(projection=20, seed=1, num_steps=1), few_features)
    assert again.history["test_loss"] != mixed.history["test_loss"][:2]


def test_laplace_noise_on_projected_features_is_clipped_and_counted_in_its_own_norm(few_features):
    config = config_of(projection=20, mechanism="laplace", clip="example_l1", clip_norm=0.5)
    outcome = train(config, few_features)
    assert [release.norm for release in outcome.releases] == ["l2", "l2", "l2", "l1"]
    assert outcome.releases[-1].sensitivity == 0.5
    assert exact_epsilon(outcome.releases).epsilon <= 4.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"projection": 0}, "projection=0 must be a whole number; the smallest allowed is 1"),
        (
            {"projection": 5, "features": "none", "model": "mnist_cnn", "mean_noise": None, "moment_noise": None},
            "projection=5 with features='none': only features are projected",
        ),
    ],
)
def test_a_projection_of_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config_of(**changes)
