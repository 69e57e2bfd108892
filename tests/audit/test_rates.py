"""The exact test of two rates: it keeps its significance where everything can be counted, and sees what it should."""

import numpy as np
import pytest
from scipy import stats

from cnndp.audit import campaign, rates, validity
from cnndp.audit.bounds import judge, refuted
from cnndp.audit.canaries import ideal
from cnndp.audit.rates import Rates, breaks, guess, lower_limit, upper_limit
from cnndp.audit.runs import audited_run, small_network
from cnndp.papers.presets import preset
from cnndp.privacy.composition import condensed
from cnndp.privacy.curves import curve, most_true_positives
from cnndp.privacy.ledger import Release, events
from cnndp.training.randomness import streams

IN, OUT = 14, 12  # canaries of which everything can be counted


@pytest.fixture(scope="module")
def once():
    return curve([Release("gradient", "gaussian", 1.5, 1.0, "all", 1)])


def counted(hits, alarms, num_in=IN, num_out=OUT):
    return Rates("", 0.0, hits, num_in, alarms, num_out)


def rejected(test):
    """Return the results, `[IN + 1, OUT + 1]`, of which a test says that they break the promise."""
    return np.array([[test(counted(hits, alarms)) for alarms in range(OUT + 1)] for hits in range(IN + 1)])


def size(region, promised):
    """Return the largest chance of a region under rates that keep the promise, on a fine grid of false alarms."""
    alarm = np.linspace(0, 1, 401)
    in_mass = stats.binom.pmf(np.arange(IN + 1), IN, most_true_positives(promised, alarm)[:, None])
    out_mass = stats.binom.pmf(np.arange(OUT + 1), OUT, alarm[:, None])
    return float(np.einsum("ga,ab,gb->g", in_mass, region, out_mass).max())


def test_a_kept_promise_is_broken_no_more_often_than_the_significance(once):
    region = rejected(lambda found: breaks(once, found, 0.05))
    assert 0.01 < size(region, once) <= 0.05
    assert size(rejected(lambda found: breaks(once, found, 0.2)), once) > 0.05  # the measure sees a level not kept


def test_it_sees_more_than_two_limits_do(once):
    def two_limits(found):
        least = lower_limit(found.true_positives, found.num_in, 0.025)
        return least > most_true_positives(once, upper_limit(found.false_positives, found.num_out, 0.025))

    ours, theirs = rejected(lambda found: breaks(once, found, 0.05)), rejected(two_limits)
    assert (ours | ~theirs).all()
    assert ours.sum() > theirs.sum() > 0


def test_more_hits_and_fewer_false_alarms_never_break_less(once):
    region = rejected(lambda found: breaks(once, found, 0.05)).astype(int)
    assert (np.diff(region, axis=0) >= 0).all()
    assert (np.diff(region, axis=1) <= 0).all()


def test_what_is_refuted_with_some_noise_is_with_more():
    listed = condensed(events([Release("gradient", "gaussian", 2.0, 1.0, "poisson", 24, 0.125, 1)]))
    for hits, alarms in ((440, 330), (650, 570), (40, 12)):
        verdicts = [refuted(listed, 1.05**power, counted(hits, alarms, 800, 800), 0.05) for power in range(-20, 40)]
        assert verdicts == sorted(verdicts)
        assert len(set(verdicts)) == 2


def test_counts_far_away_are_on_the_safe_side(once, monkeypatch):
    """With a window that holds little, the chance only grows."""
    found, alarm = counted(500, 100, 800, 800), np.array([0.12, 0.13])
    hit = most_true_positives(once, alarm)
    exact = rates.chance_of_so_well(once, found, hit, alarm)
    monkeypatch.setattr(rates, "WINDOW", 0.5)
    assert (rates.chance_of_so_well(once, found, hit, alarm) > exact).all()


def test_the_canaries_that_count_do_not_choose():
    """Turning the choosing ones around changes the threshold, not which canaries are counted."""
    included = np.random.default_rng(0).random(500) < 0.5
    found = guess({"score": included.astype(float)}, included)
    assert (found.num_in + found.num_out, found.true_positives, found.false_positives) == (400, found.num_in, 0)
    choosing = rates.chooses(500)
    turned = guess({"score": np.where(choosing, ~included, included).astype(float)}, included)
    assert (turned.num_in, turned.num_out) == (found.num_in, found.num_out)
    assert turned.threshold != found.threshold


# Validity


@pytest.fixture(scope="module")
def config():
    return preset("dp_sgd", "private", "digits", 6, batch_size=20, target_epsilon=4.0, mechanism="gaussian")


@pytest.mark.slow
def test_a_simulated_run_has_the_ledger_of_a_real_one(few, config):
    real = audited_run(config, few, 40, model=small_network(streams(0).weights))
    stated = validity.stated(config, 60)
    assert np.array_equal(stated.scales, real.scales)
    assert (stated.sensitivity, stated.sampling_prob) == (real.sensitivity, real.sampling_prob)
    assert condensed(events(stated.releases)) == condensed(events(real.releases))


def test_runs_that_cannot_be_simulated_are_refused():
    joint = preset("cnn_dp_gan_polyak", "private", "digits", 4, batch_size=20, target_epsilon=4.0)
    with pytest.raises(ValueError, match="config releases gradient, loss; simulated are runs"):
        validity.stated(joint, 60)
    with pytest.raises(ValueError, match="nothing that is planned"):
        validity.stated(preset("dp_sgd", "reconstructed", "digits", 4), 60)


def test_a_correct_mechanism_is_refuted_rarely_and_too_little_noise_is_noticed(config, monkeypatch):
    right = validity.false_refutations(config, 60, 400, 60)
    assert len(right["refuted"]) <= stats.binom.ppf(0.999, 60, 0.05)
    assert validity.validity_note([right]).split(" %: ")[1].startswith("within")

    def quiet(view, *how):
        return ideal(view._replace(scales=view.scales / 2), *how)._replace(scales=view.scales)

    monkeypatch.setattr(validity, "ideal", quiet)
    wrong = validity.false_refutations(config, 60, 400, 20)
    assert len(wrong["refuted"]) > 5
    assert "**more than** the 5 %" in validity.validity_note([wrong])
    assert not validity.again(wrong | {"refuted": []}, config, 20)


def test_recorded_runs_come_out_again_and_a_changed_row_does_not(config):
    row = validity.false_refutations(config, 60, 200, 30)
    assert validity.again(row, config, 10)
    other = next(number for number in range(30) if number not in row["refuted"])
    assert not validity.again(row | {"refuted": [*row["refuted"], other]}, config, 10)


def test_what_is_simulated_is_what_judge_says(config):
    view = validity.stated(config, 60)
    for number in range(5):
        drawn = ideal(view, 300, np.random.default_rng((3, number)))
        assert validity.simulated(view, 300, 3, number) == judge(drawn).refuted


def test_the_table_adds_up_seeds_and_epsilons():
    shared = {"mechanism": "laplace", "num_canaries": 2000, "runs": 50, "significance": 0.05}
    rows = [{**shared, "target_epsilon": epsilon, "refuted": [1]} for epsilon in (1.0, 8.0)]
    assert "| laplace | 2,000 | 1, 8 | 100 | 2 (2.0 %) | 6.2 |" in " ".join(validity.validity_table(rows).split())


def test_a_committed_record_holds_enough_simulated_runs():
    record = campaign.store.load(campaign.path_for(campaign.store.default_root(), "validity"))
    assert sum(row["runs"] for row in record["rows"]) >= 2000
    assert {row["num_canaries"] for row in record["rows"]} == set(campaign.SIMULATED_CANARIES)
    assert sum(len(row["refuted"]) for row in record["rows"]) <= 0.05 * sum(row["runs"] for row in record["rows"])
