"""The page of all claims: each claim once, reasons with the numbers of their rows, one recount for two languages."""

import math
import re
from collections import Counter

import pandas as pd
import pytest
from rows import REFERENCE, run, runs, seeds

from cnndp.papers.claims import STATED, claims
from cnndp.report import claims_list, verdicts
from cnndp.report.intervals import paired_interval

pytestmark = pytest.mark.xdist_group("all runs")

LABELS = {"section": "fig07_ablation", "dataset": "mnist", "num_steps": 600}
METHODS = {"CNN": "cnn_noisy", "CNN-DP": "cnn_dp", "CNN-DP-GAN": "cnn_dp_gan"}


@pytest.fixture(scope="module")
def stored(all_runs):
    return all_runs


@pytest.fixture(scope="module")
def listed(stored):
    return claims_list.items(stored)


@pytest.fixture(scope="module")
def compared(stored):
    return verdicts.compare(stored)


def modules(**finals):
    """Return runs of Fig. 7's modules, each with its highest accuracies by seed."""
    rows = []
    for name, values in finals.items():
        label = name.replace("_", "-")
        coefficient = 0.01 if label == "CNN-DP-GAN" else 0.0
        rows += seeds(label, *values, method=METHODS[label], l2_coefficient=coefficient, **LABELS)
    return runs(*rows)


def only(key, frame):
    """Return what the page says of one claim."""
    (one,) = claims_list.items(frame, stated=[claim for claim in STATED if claim.key == key])
    return one


def numbers_of(row):
    """Return mean, distance and allowed distance of a row, as its reason must print them, worked out anew."""
    reading = "reconstructed" if row["n_reconstructed"] else "printed"
    mean, std = row[f"mean_{reading}"], row[f"std_{reading}"]
    least, digits = (1.0, 2) if row["unit"] in ("%", "points") else (0.005, 3)
    found = (mean, abs(mean - row["paper"]), max(least, 0 if math.isnan(std) else 2 * std))
    return [f"{number:.{digits}f}" for number in found]


def told(one):
    """Return the same numbers as a reason prints them; None for one that is no distance."""
    found = re.fullmatch(r"(?:As printed, )?(\S+) is (\S+) (?:above|below) \S+; allowed is (\S+) \(.+\)\.", one.reason)
    return None if found is None else list(found.groups())


def test_each_claim_is_listed_once_with_the_row_of_the_results(listed, compared):
    keys = [one.claim.key for one in listed]
    assert keys == list(compared["key"]) == [one.key for one in claims() if one.kind == "claim" and one.section]
    assert max(Counter(keys).values()) == 1
    assert [one.row["verdict"] for one in listed] == list(compared["verdict"])
    assert all(one.reason for one in listed)


def test_the_numbers_of_a_reason_are_those_of_its_row(listed):
    distances = [one for one in listed if told(one)]
    assert len(distances) > 20
    for one in distances:
        assert told(one) == numbers_of(one.row), one.claim.key
        distance, allowed = map(float, told(one)[1:])
        assert (distance <= allowed) == (one.row["verdict"] == "reproduced"), one.claim.key


def test_a_wrong_standard_deviation_in_a_reason_is_noticed(listed):
    one = next(one for one in listed if one.claim.key == "p1.fig07.cnn_dp_gan.max_test_accuracy")
    wrong = {**one.row, "std_reconstructed": one.row["std_reconstructed"] + 0.2}
    assert told(one._replace(reason=claims_list.reason_of_number(wrong))) != numbers_of(one.row)


def test_reasons_of_orderings_say_what_their_verdicts_say(listed):
    orders = [one for one in listed if isinstance(one.claim.value, tuple) and not one.claim.fixed]
    assert {one.row["verdict"] for one in orders} == {"reproduced", "not reproduced"}
    for one in orders:
        fails = "does not lie above 0" in one.reason
        assert fails == (one.row["verdict"] == "not reproduced"), one.claim.key
        low = float(re.findall(r"95 % interval (\S+) to", one.reason)[0])
        assert (low <= 0) == fails, one.claim.key


def test_an_ordering_names_the_neighbours_that_fail_with_their_interval():
    frame = modules(CNN=[80, 81, 82, 83, 84], CNN_DP=[90, 91, 92, 93, 94], CNN_DP_GAN=[90, 90.5, 93, 93, 94])
    low, high = paired_interval([0, -0.5, 1, 0, 0])
    one = only("p1.fig07.order", frame)
    told = f"CNN-DP-GAN minus CNN-DP: 0.10 points, 95 % interval {low:.2f} to {high:.2f} (n = 5)"
    assert one.reason == f"{told}: the interval does not lie above 0."
    assert one.row["verdict"] == "not reproduced"


def test_an_ordering_that_holds_names_its_smallest_difference():
    frame = modules(CNN=[80, 81, 82, 83, 84], CNN_DP=[90, 91, 92, 93, 94], CNN_DP_GAN=[93, 94, 95, 96, 97])
    one = only("p1.fig07.order", frame)
    assert one.reason.startswith(
        "The smallest difference: CNN-DP-GAN minus CNN-DP: 3.00 points, 95 % interval 3.00 to 3.00"
    )
    assert one.row["verdict"] == "reproduced"


def test_the_smaller_loss_is_the_better_one():
    own = {"section": "fig08_loss", "dataset": "mnist", "num_steps": 600}
    rows = [
        *seeds("noise-free", *[99.0] * 5, **{**REFERENCE, **own}),
        *seeds("CDP", *[89.0, 90, 88, 89, 89], method="cdp", **own),
        *seeds("CNN-DP-GAN", *[98.0] * 5, method="cnn_dp_gan", **own),
    ]
    one = only("p1.fig08.test.best.cdp", runs(*rows))
    assert one.reason.startswith("Loss of CDP minus loss of CNN-DP-GAN: 9.00 points, 95 % interval ")
    assert one.row["verdict"] == "reproduced"


def test_too_few_seeds_are_counted():
    one = only("p1.fig07.l2.cnn_dp", modules(CNN_DP=[90, 91, 92]))
    assert (one.row["verdict"], one.reason) == ("not yet run", "No run of it is recorded.")
    frame = modules(CNN=[80, 81, 82], CNN_DP=[90, 91, 92], CNN_DP_GAN=[93, 94, 95])
    one = only("p1.fig07.order", frame)
    assert one.reason == "The two sides have 3 seeds in common; a verdict takes 5."
    assert one.row["verdict"] == "too few seeds"


def test_a_mean_over_several_lengths_names_those_that_are_missing():
    own = {"section": "fig09_comparison", "dataset": "cifar10", "method": "cnn_dp_gan_polyak"}
    one = only("p1.fig09.cifar10.polyak", runs(run("CNN-DP-GAN-Polyak", **{**own, "num_steps": 300})))
    assert one.reason == "It is a mean over several T; no run with T = 600 or 1,200 is recorded."
    assert only("p1.fig09.cifar10.polyak", runs()).reason == "No run of it is recorded."


def test_printed_runs_decide_where_there_are_no_others_and_the_reason_says_so():
    own = {**LABELS, "method": "cnn_dp_gan", "l2_coefficient": 0.01, "reading": "printed"}
    one = only("p1.fig07.cnn_dp_gan.max_test_accuracy", runs(*seeds("CNN-DP-GAN", 14.0, 16.0, **own)))
    assert one.reason == "As printed, 15.00 is 83.38 below 98.38; allowed is 2.83 (2 standard deviations)."
    assert one.least == math.inf


def test_records_are_those_of_the_reading_that_decides(listed, stored):
    by_digest = stored.drop_duplicates("digest").set_index("digest")
    for one in listed:
        if one.digests:
            assert set(by_digest.loc[list(one.digests), "reading"]) == {"reconstructed"}, one.claim.key
    loss = next(one for one in listed if one.claim.key == "p1.fig08.test.cdp")
    assert set(by_digest.loc[list(loss.digests), "method"]) == {"cdp", "cnn"}
    gain = next(one for one in listed if one.claim.key == "p1.abstract.gain.low")
    assert len(set(by_digest.loc[list(gain.digests), "method"])) == 4


def recounted(compared, tolerance):
    """Return the verdicts of a frame of `compare` at a tolerance in points, worked out from its columns."""
    numbers = compared["unit"].isin(["%", "points"]) & compared["difference"].notna()
    decided = numbers & compared["verdict"].isin(["reproduced", "not reproduced"])
    close = (compared["difference"].abs() <= tolerance + 1e-9).map({True: "reproduced", False: "not reproduced"})
    return Counter(compared["verdict"].mask(decided, close))


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.9, 1.0, 1.1, 1.6, 3.3, 7.3, 10.0])
def test_the_recount_is_that_of_the_differences(listed, compared, tolerance):
    assert claims_list.recount(listed, tolerance) == recounted(compared, tolerance)


def test_without_a_tolerance_the_books_own_rule_counts(listed, compared):
    assert claims_list.recount(listed) == Counter(compared["verdict"])


def test_a_claim_that_would_change_too_early_is_noticed(listed, compared):
    place = next(k for k, one in enumerate(listed) if one.claim.key == "p1.fig07.cnn_dp_gan.max_test_accuracy")
    planted = [*listed[:place], listed[place]._replace(least=1.0), *listed[place + 1 :]]
    assert claims_list.recount(planted, 1.0) != recounted(compared, 1.0)


def test_only_measured_numbers_in_points_change_with_the_tolerance(listed):
    for one in listed:
        if one.least is not None:
            assert one.row["unit"] in ("%", "points")
            assert one.row["verdict"] in ("reproduced", "not reproduced")
            assert not isinstance(one.claim.value, tuple)
    kept = Counter(one.row["verdict"] for one in listed if one.least is None)
    assert {"not yet run", "inconsistent within the paper", "not testable"} <= set(kept)


def test_a_distance_of_exactly_the_tolerance_counts():
    row = {"paper": 97.68, "mean_reconstructed": 96.68, "n_reconstructed": 5, "unit": "%", "verdict": "reproduced"}
    assert claims_list.least(row) == 1.0
    assert claims_list.least({**row, "mean_reconstructed": 96.67}) == 1.1
    assert claims_list.least({**row, "mean_reconstructed": 80.0}) == math.inf
    assert claims_list.least({**row, "unit": "epsilon"}) is None
    assert pd.isna(claims_list.deviation({**row, "paper": "CNN < CNN-DP"}))
