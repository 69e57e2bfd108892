"""Runs on scattering features: their statistics are in the plan, in the ledger and in the price."""

import pytest
import torch

from cnndp import features, training
from cnndp.accounting import exact_epsilon
from cnndp.config import Config
from cnndp.plan import OverspendError
from cnndp.private import intended, one_off
from cnndp.recording import make_record
from cnndp.replay import replay
from cnndp.training import train

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

    monkeypatch.setattr(training, "intended", forgetful)
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
    prepared = [training.prepared(config_of(seed=seed), few_features)[0].train_images for seed in (0, 0, 1)]
    assert torch.equal(prepared[0], prepared[1])
    assert not torch.equal(prepared[0], prepared[2])
