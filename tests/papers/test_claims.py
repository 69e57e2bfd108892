"""What the papers state, and the verdicts on it. The percent numbers are a checked-in list: the texts are not here."""

import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from cnndp.papers.claims import STATED, TABLE_I, TABLE_II, Stated, claims, total_epsilon
from cnndp.papers.p1 import LABELS
from cnndp.report import verdicts
from cnndp.report.verdicts import as_markdown, compare

# Every number with a percent sign (or "percent") in the two texts, once per value, in the order of the texts.
PERCENTS = {
    "P1": "97.68 20 30 96.76 93.75 50.08 98.38 4.71 3.26 10.49 1.31 4.18 2.96 9.01 1.08 70.23 82.36 86.08 92.08",
    "P2": "85.17 94.71 95 95.53 0.25 36.17 95.29 27.87 95.28",
}
# Every other number of the experiments: data, splits, equipment, hyper-parameters, budgets.
OTHERS = {
    "P1": "3 4 5 10 64 3.7 8 2 70000 28 60000 32 250 256 1500 100 15 0.18 0.16 0.1 1 0.001 0.5 0.002 600 300 0.01 "
    "72.5 141 279.5 143 283.5 960 217.5 312.5 687.6",
    "P2": "60000 10000 28 1 255 10 6000 1000 16 32 2 20 3 1.3 1.5 250 0.56 100.09",
}
BY_KEY = {stated.key: stated for stated in STATED}


def number(key: str) -> float:
    """Return the number stated under a key."""
    value = BY_KEY[key].value
    assert not isinstance(value, tuple)
    return value


def numbers(which: str, units: tuple[str, ...] = ()) -> set[float]:
    """Return the numbers a paper states, in the given units."""
    found = (s for s in STATED if s.paper == which and (not units or s.unit in units))
    return {float(s.value) for s in found if not isinstance(s.value, tuple)}


def run(method: str = "cnn_dp_gan", seed: int = 0, *, final: float = 97.0, **fields: Any) -> dict[str, Any]:
    """Return a run record whose accuracies end at `final`; other fields go to its config."""
    config = {
        "method": method,
        "seed": seed,
        "reading": "reconstructed",
        "dataset": "mnist",
        "num_steps": 600,
    }
    curve = [10.0, final - 1.0, final]
    history = {
        "step": [1, 300, 600],
        "train_accuracy": curve,
        "test_accuracy": curve,
        "loss": [2.3, 0.5, 0.36],
    }
    return {
        "config": {**config, "l2_coefficient": 0.0, **fields},
        "status": "finished",
        "history": history,
        "final": {"test_accuracy": final},
    }


def row(key: str, section: str, *runs: Mapping[str, Any]) -> Any:
    """Return the one row of `compare` about `key`."""
    return compare({section: runs}, stated=[BY_KEY[key]]).iloc[0]


def fig7(final: float, seed: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a run of Fig. 7's CNN-DP-GAN, which has the L2 term."""
    return run(seed=seed, final=final, l2_coefficient=0.5, **fields)


GAN = "p1.fig07.cnn_dp_gan.max_test_accuracy"  # 98.38 %


# The data


@pytest.mark.parametrize("which", ["P1", "P2"])
def test_every_percent_of_the_texts_is_stated(which: str) -> None:
    expected = {float(number) for number in PERCENTS[which].split()}
    assert numbers(which, ("%", "points")) == expected


@pytest.mark.parametrize("which", ["P1", "P2"])
def test_every_other_number_is_stated_and_none_is_made_up(which: str) -> None:
    other = {float(number) for number in OTHERS[which].split()}
    assert numbers(which) == other | {float(number) for number in PERCENTS[which].split()}


def test_tables_hold_what_is_printed() -> None:
    assert TABLE_I["mnist"] == (250, 100, 2, 0.18, 1, 0.001, 0.5, 0.002)
    assert TABLE_I["fashion_mnist"] == (256, 100, 2, 0.16, 1, 0.001, 0.5, 0.002)
    assert TABLE_I["cifar10"] == (1500, 100, 15, 0.10, 1, 0.001, 0.5, 0.002)
    totals = {name: [cell.total_epsilon for cell in table.values()] for name, table in TABLE_II.items()}
    assert totals == {
        "mnist": [72.5, 141, 279.5],
        "fashion_mnist": [143, 283.5, 960],
        "cifar10": [217.5, 312.5, 687.6],
    }
    assert {cell.sensitivity for table in TABLE_II.values() for cell in table.values()} == {0.5}


def test_every_number_has_key_place_and_words_of_its_own() -> None:
    assert max(Counter(s.key for s in STATED).values()) == 1
    assert all(s.place and s.what for s in STATED)
    assert {s.kind for s in STATED} == {"claim", "setting", "cited"}
    assert all(s.key.startswith(s.paper.lower() + ".") for s in STATED)


def test_every_claim_can_be_evaluated_or_says_why_not() -> None:
    for claim in claims():
        assert claim.section
        assert claim.statistic or claim.note.startswith(("Inconsistent:", "Source:", "Not testable:"))
        if isinstance(claim.value, tuple) and claim.statistic:
            assert set(claim.value) <= set(LABELS)


def test_claims_select_by_section_and_paper() -> None:
    fig07 = claims("fig07_ablation")
    assert {c.value for c in fig07} >= {
        50.08,
        98.38,
        ("CNN", "CNN-DP", "CNN-DP-GAN"),
        ("CNN-DP", "CNN-DP+L2"),
    }
    assert {c.paper for c in claims(paper="P2")} == {"P2"}
    assert not claims("fig07_ablation", "P2")


def test_repeated_numbers_name_all_their_places() -> None:
    assert BY_KEY["p1.fig09.mnist.polyak"].place == "Abstract; Fig. 9(a), text; Conclusion"
    assert "Conclusion" in BY_KEY[GAN].place
    assert "Conclusion" in BY_KEY["p1.fig08.test.cnn_dp_gan"].place


# Budgets


@pytest.mark.parametrize(
    ("dataset", "num_steps", "expected"),
    [
        ("mnist", 300, 72.5),
        ("digits", 1200, 279.5),
        ("mnist", 150, 36.25),  # half of 72.5
        ("mnist", 450, 108.75),  # 72.5 * 1.5: of two equally near the smaller
        ("mnist", 2400, 559.0),  # 2 * 279.5
        ("fashion_mnist", 1200, 560.0),
        ("fashion_mnist", 600, 283.5),
        ("cifar10", 1200, 687.6),
    ],
)
def test_total_epsilon_is_table_2_or_its_nearest_mean_per_step(dataset: str, num_steps: int, expected: float) -> None:
    assert total_epsilon(dataset, num_steps) == pytest.approx(expected)


def test_the_likely_misprint_can_be_taken_as_printed() -> None:
    assert total_epsilon("fashion_mnist", 1200, misprint=False) == 960


def test_total_epsilon_refuses_no_steps() -> None:
    with pytest.raises(ValueError, match="num_steps=0"):
        total_epsilon("mnist", 0)


# Arithmetic of the papers


@pytest.mark.parametrize(
    ("dataset", "follows", "printed"),
    [("mnist", 266.0, 279.5), ("fashion_mnist", 557.0, 960.0), ("cifar10", 135.0, 687.6)],
)
def test_table_2_does_not_follow_eq_5(dataset: str, follows: float, printed: float) -> None:
    """Eq. (5): total = T e + T (T - 1) d / 2, solved for e and d at T = 300 and 600, then taken to 1200."""
    table = {steps: Fraction(str(cell.total_epsilon)) for steps, cell in TABLE_II[dataset].items()}
    mean_300, mean_600 = table[300] / 300, table[600] / 600
    increment = 2 * (mean_600 - mean_300) / 300
    initial = mean_300 - 299 * increment / 2
    total = 1200 * initial + Fraction(1200 * 1199, 2) * increment
    assert float(total) == pytest.approx(follows)
    assert float(table[1200]) == printed != pytest.approx(follows, rel=0.01)
    assert BY_KEY[f"p1.table2.{dataset}.eq5"].note.startswith(
        f"Inconsistent: Eq. (5) through T = 300 and 600 gives {follows}"
    )


def test_split_of_8_to_2() -> None:
    images, parts = number("p1.mnist.num_images"), (number("p1.split.train"), number("p1.split.test"))
    assert [part * images / sum(parts) for part in parts] == [56000, 14000]


def test_batch_times_clip_is_the_sensitivity_for_mnist_only() -> None:
    products = {name: column.batch_size * column.clip_norm for name, column in TABLE_I.items()}
    assert products == pytest.approx({"mnist": 0.5, "fashion_mnist": 0.512, "cifar10": 3.0})


def test_table_1_rounds_as_epochs_are_far_more_steps_than_table_2() -> None:
    assert 56000 / TABLE_I["mnist"].batch_size * TABLE_I["mnist"].num_rounds == 22400 > 1200


def test_the_abstracts_gain_does_not_follow_from_fig_9a() -> None:
    gains = [round(97.68 - baseline, 2) for baseline in (86.08, 82.36, 70.23)]
    assert gains == [11.6, 15.32, 27.45]
    assert not all(20 <= gain <= 30 for gain in gains)
    relative = [round(100 * (97.68 / baseline - 1), 1) for baseline in (86.08, 82.36, 70.23)]
    assert relative == [13.5, 18.6, 39.1]
    assert not all(20 <= gain <= 30 for gain in relative)


def test_figs_8_and_9_order_the_baselines_differently() -> None:
    losses = {name: number(f"p1.fig08.test.{name}") for name in ("dpgdm", "dp_sgd", "cdp")}
    means = {name: number(f"p1.fig09.mnist.{name}") for name in ("dpgdm", "dp_sgd", "cdp")}
    assert max(losses, key=losses.__getitem__) == max(means, key=means.__getitem__) == "cdp"
    trained = {name: number(f"p1.fig08.train.{name}") for name in losses}
    assert sorted(trained, key=trained.__getitem__) == sorted(losses, key=losses.__getitem__)


def test_p2_counts_agree() -> None:
    assert number("p2.fig03.per_class") * 10 == number("p2.data.num_train") == 60000
    assert number("p2.fig04.per_class") * 10 == number("p2.data.num_test") == 10000
    epoch = 60000 // 250  # microbatches of one example
    assert BY_KEY["p2.table3.e3.accuracy"].where["num_steps"] == 3 * epoch == 720
    assert BY_KEY["p2.table3.e20.accuracy"].where["num_steps"] == 20 * epoch == 4800


# Statistics


def test_statistics_of_one_run() -> None:
    record = run(final=90.0)
    record["history"]["test_accuracy"] = [10.0, 95.0, 90.0]
    assert verdicts.run_value("max", record) == 95.0
    assert verdicts.run_value("final", record) == 90.0
    assert verdicts.run_value("value at 600", record, run("cnn", final=98.0)) == 8.0
    assert verdicts.run_value("value at 300 (train)", record, run("cnn", final=98.0)) == 97.0 - 89.0
    assert verdicts.run_value("value at 600", record) is None  # no reference
    assert verdicts.run_value("value at 450", record, run("cnn")) is None  # not measured there
    assert verdicts.run_value("final train_loss", record) == pytest.approx(36.0)  # printed by P2 as a percentage
    assert verdicts.run_value("final rdp_epsilon", record) is None
    private = {**record, "final": {**record["final"], "rdp_epsilon": 1.09}, "privacy": {"exact_epsilon": 0.99}}
    assert verdicts.run_value("final rdp_epsilon", private) == 0.99  # a valid guarantee is quoted by its own epsilon
    none = {**private, "privacy": {"exact_epsilon": None}}
    assert verdicts.run_value("final rdp_epsilon", none) == 1.09


def test_accuracy_loss_is_against_the_same_seed() -> None:
    runs = [
        run("cnn", 0, final=98.0),
        run("cnn", 1, final=99.0),
        run("dpgdm", 0, final=94.0),
        run("dpgdm", 1, final=94.0),
    ]
    assert row("p1.fig08.test.dpgdm", "fig08_loss", *runs).mean_reconstructed == 4.5  # (4 + 5) / 2


def test_a_seed_without_reference_is_left_out() -> None:
    found = row("p1.fig08.test.dpgdm", "fig08_loss", run("cnn", 0), run("dpgdm", 0), run("dpgdm", 1))
    assert found.n_reconstructed == 1


def test_a_reading_without_noise_free_runs_uses_the_reconstructed_ones() -> None:
    runs = [run("cnn", final=98.0), run("cnn_dp_gan", final=10.0, reading="printed")]
    assert row("p1.fig08.test.cnn_dp_gan", "fig08_loss", *runs).mean_printed == 88.0


def test_mean_over_t_needs_all_three_and_averages_per_seed() -> None:
    key, section, method = "p1.fig09.mnist.polyak", "fig09_comparison", "cnn_dp_gan_polyak"
    runs = [run(method, 0, final=final, num_steps=steps) for steps, final in ((300, 96.0), (600, 97.0), (1200, 98.0))]
    assert row(key, section, *runs[:2]).verdict == "not yet run"
    found = row(key, section, *runs, run(method, 1, num_steps=300), run(method, 1, num_steps=450))
    assert (found.mean_reconstructed, found.n_reconstructed) == (97.0, 1)  # seed 1 is not complete
    assert found.verdict == "reproduced"  # 97.68 - 97 is within a point


def test_gap_is_to_the_best_and_to_the_worst_baseline() -> None:
    finals = {"cnn_dp_gan_polyak": 90.0, "dpgdm": 62.0, "dp_sgd": 65.0, "cdp": 69.0}
    runs = [
        run(method, final=final, num_steps=steps, dataset="cifar10")
        for method, final in finals.items()
        for steps in (300, 600, 1200)
    ]
    low, high = (row(f"p1.fig09.cifar10.gain.{end}", "fig09_comparison", *runs) for end in ("low", "high"))
    assert (low.mean_reconstructed, low.verdict) == (21.0, "reproduced")
    assert (high.mean_reconstructed, high.verdict) == (28.0, "not reproduced")


# Verdicts


def test_nothing_is_claimed_without_records() -> None:
    frame = compare({})
    assert len(frame) == len(claims())
    assert set(frame["verdict"]) == {
        "not yet run",
        "not testable",
        "inconsistent within the paper",
        "inconsistent with its source",
    }
    assert frame["mean_reconstructed"].isna().all()


@pytest.mark.parametrize(
    ("final", "expected"),
    [(97.38, "reproduced"), (97.37, "not reproduced"), (99.38, "reproduced"), (99.39, "not reproduced")],
)
def test_one_run_is_reproduced_within_a_point(final: float, expected: str) -> None:
    found = row(GAN, "fig07_ablation", fig7(final))
    assert found.verdict == expected
    assert found.difference == pytest.approx(final - 98.38)
    assert math.isnan(found.std_reconstructed)


def test_the_tolerance_grows_with_the_spread() -> None:
    spread = [fig7(95.0, 0), fig7(97.0, 1)]  # mean 96, std 1.414: 2.38 is inside 2.83
    assert row(GAN, "fig07_ablation", *spread).verdict == "reproduced"
    steady = [fig7(95.9, 0), fig7(96.1, 1)]
    assert row(GAN, "fig07_ablation", *steady).verdict == "not reproduced"


def test_epsilon_is_held_to_its_printed_decimals() -> None:
    runs = [run("dp_sgd", num_steps=720, dataset="fashion_mnist")]
    assert row("p2.table3.e3.epsilon", "p2_table3", *runs).verdict == "not testable"  # the runs do not have it
    runs[0]["final"]["rdp_epsilon"] = 0.5632
    assert row("p2.table3.e3.epsilon", "p2_table3", *runs).verdict == "reproduced"
    runs[0]["final"]["rdp_epsilon"] = 0.57
    assert row("p2.table3.e3.epsilon", "p2_table3", *runs).verdict == "not reproduced"


def test_never_the_best_run() -> None:
    found = row(GAN, "fig07_ablation", fig7(98.38, 0), fig7(90.0, 1), fig7(90.0, 2), fig7(90.0, 3))
    assert found.mean_reconstructed == pytest.approx((98.38 + 270) / 4)
    assert found.n_reconstructed == 4


def test_a_diverged_run_counts_with_what_it_ended_at() -> None:
    lost = fig7(10.0, 1)
    lost |= {
        "status": "diverged",
        "history": {"step": [1], "train_accuracy": [], "test_accuracy": [], "loss": [9.0]},
        "final": {**lost["final"], "last_step": 16},
    }
    found = row(GAN, "fig07_ablation", fig7(98.0, 0), lost)
    assert found.mean_reconstructed == 54.0  # (98 + 10) / 2
    assert found.reconstructed == "54.00 ± 62.23 (n=2); diverged at step 16"
    lost["history"] |= {"train_accuracy": [12.0], "test_accuracy": [12.0]}
    assert verdicts.run_value("value at 600", lost, run("cnn", final=98.0)) == 88.0


def test_two_runs_of_a_seed_that_nothing_tells_apart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"differ in \['clip_norm'\]"):
        row(GAN, "fig07_ablation", fig7(98.0, clip_norm=0.5), fig7(98.0, clip_norm=1.0))


@pytest.mark.parametrize("fields", [{"dataset": "digits"}, {"num_steps": 300}, {"l2_coefficient": 0.0}])
def test_runs_of_another_setting_do_not_count(fields: dict[str, Any]) -> None:
    assert row(GAN, "fig07_ablation", run(**{"l2_coefficient": 0.5, **fields})).verdict == "not yet run"


def test_the_reconstructed_reading_decides_and_printed_stands_in() -> None:
    printed = fig7(10.0, reading="printed")
    alone = row(GAN, "fig07_ablation", printed)
    assert (alone.verdict, alone.mean_printed) == ("not reproduced", 10.0)
    assert math.isnan(alone.difference)
    both = row(GAN, "fig07_ablation", printed, fig7(98.38))
    assert (both.verdict, both.printed, both.reconstructed) == ("reproduced", "10.00 (n=1)", "98.38 (n=1)")


def test_the_printed_text_has_mean_spread_and_count() -> None:
    assert row(GAN, "fig07_ablation", fig7(95.0, 0), fig7(97.0, 1)).reconstructed == "96.00 ± 1.41 (n=2)"


def modules(cnn: list[float], cnn_dp: list[float], gan: list[float]) -> list[dict[str, Any]]:
    """Return runs of Fig. 7's three ordered modules, a seed per entry."""
    return [
        *(run("cnn_noisy", seed, final=final) for seed, final in enumerate(cnn)),
        *(run("cnn_dp", seed, final=final) for seed, final in enumerate(cnn_dp)),
        *(fig7(final, seed) for seed, final in enumerate(gan)),
    ]


@pytest.mark.parametrize(
    ("gan", "expected"),
    [
        ([97.0, 97.5, 98.0, 97.2, 97.4], "reproduced"),  # above at every seed
        ([96.5, 94.0, 97.0, 96.2, 96.3], "not reproduced"),  # now above, now below
        ([95.0] * 5, "not reproduced"),  # below
        ([96.0] * 5, "not reproduced"),  # equal
        ([97.0, 97.5, 98.0, 97.2], "too few seeds"),  # four decide no ordering, however clear
        ([97.0], "too few seeds"),
        ([], "not yet run"),
    ],
)
def test_an_ordering_needs_every_neighbour_clearly_above(gan: list[float], expected: str) -> None:
    runs = modules([50.0, 52.0, 51.0, 50.5, 51.5], [96.0] * 5, gan)
    assert row("p1.fig07.order", "fig07_ablation", *runs).verdict == expected


def test_an_ordering_that_is_half_run_shows_what_was_run() -> None:
    found = row("p1.fig07.order", "fig07_ablation", *modules([], [96.0], [97.0]))
    assert (found.reconstructed, found.n_reconstructed) == ("CNN-DP 96.00; CNN-DP-GAN 97.00 (n=1)", 0)
    assert found.verdict == "not yet run"


def test_an_ordering_pairs_seeds() -> None:
    spread = [50.0, 60.0, 70.0, 80.0, 90.0]  # common to all
    runs = modules(spread, [one + 1 for one in spread], [one + 2 for one in spread])
    found = row("p1.fig07.order", "fig07_ablation", *runs)
    assert found.verdict == "reproduced"
    assert found.paper == "CNN < CNN-DP < CNN-DP-GAN"
    assert found.reconstructed == "CNN 70.00; CNN-DP 71.00; CNN-DP-GAN 72.00 (n=5)"


@pytest.mark.parametrize(("gan", "expected"), [(97.0, "reproduced"), (90.0, "not reproduced")])
def test_an_ordering_of_losses_has_the_smaller_one_above(gan: float, expected: str) -> None:
    runs = [
        run(method, seed, final=final + seed / 10)
        for seed in range(5)
        for method, final in (("cnn", 98.0), ("dpgdm", 94.0), ("cnn_dp_gan", gan))
    ]
    assert row("p1.fig08.test.best.dpgdm", "fig08_loss", *runs).verdict == expected


def test_thresholds_are_compared_at_low_and_at_high_budget() -> None:
    finals = {
        (15.0, 1): 80.0,
        (15.0, 0.1): 94.0,
        (30.0, 1): 92.0,
        (30.0, 0.1): 94.5,
        (1500.0, 1): 98.0,
        (1500.0, 0.1): 94.6,
    }
    finals |= {(1500.0, 0.01): 48.0}
    runs = [
        run("cnn_dp_gan_polyak", seed, final=final, num_steps=300, total_epsilon=total, max_step=max_step)
        for seed in range(5)
        for (total, max_step), final in finals.items()
    ]
    low = row("p1.fig10.low_budget.pair", "fig10_thresholds", *runs)
    assert low.reconstructed == "threshold 1 86.00; threshold 0.1 94.25 (n=5)"
    assert low.verdict == "reproduced"
    assert row("p1.fig10.low_budget", "fig10_thresholds", *runs).verdict == "not yet run"  # 0.01 is missing
    assert row("p1.fig10.high_budget", "fig10_thresholds", *runs).verdict == "reproduced"


def test_contradictions_stay_contradictions_whatever_the_runs_say() -> None:
    runs = [
        run(method, seed, final=final, num_steps=steps)
        for seed in range(2)
        for steps in (300, 600, 1200)
        for method, final in (("dpgdm", 70.0), ("dp_sgd", 82.0), ("cdp", 86.0))
    ]
    found = row("p1.fig09.mnist.baseline_order", "fig09_comparison", *runs)
    assert found.verdict == "inconsistent within the paper"
    assert found.n_reconstructed == 2
    keys = [claim.key for claim in claims() if claim.note.startswith("Inconsistent:")]
    assert keys == [
        "p1.fig08.baseline_order",
        "p1.fig09.mnist.baseline_order",
        "p1.abstract.gain.low",
        "p1.abstract.gain.high",
        "p1.table2.mnist.eq5",
        "p1.table2.fashion_mnist.eq5",
        "p1.table2.cifar10.eq5",
        "p2.table3.e20.epsilon",
    ]
    assert [claim.key for claim in claims() if claim.note.startswith("Source:")] == ["p2.dataset"]


def test_settings_and_cited_numbers_are_not_compared() -> None:
    assert compare({}, stated=[s for s in STATED if s.kind != "claim"]).empty


def test_compare_is_the_same_every_time() -> None:
    records = {"fig07_ablation": modules([50.0, 52.0, 51.0], [96.0, 96.4, 96.2], [96.1, 96.3, 96.6])}
    assert compare(records).equals(compare(records))


# Markdown


def test_markdown_is_one_safe_line_per_claim() -> None:
    odd = Stated("p1.x", "P1", "Fig. 7", "a|b <c> $d$", 1.0, "%", section="fig07_ablation", statistic="max")
    lines = as_markdown(compare({}, stated=[odd])).splitlines()
    assert len(lines) == 3
    assert lines[2] == r"| Fig. 7 | a\|b \<c> \$d\$ (%) | 1 |  |  |  | not yet run |"


def test_markdown_shows_readings_and_difference() -> None:
    records = {"fig07_ablation": [fig7(97.0), fig7(10.0, reading="printed")]}
    line = as_markdown(compare(records, stated=[BY_KEY[GAN]])).splitlines()[-1]
    assert line.endswith("| 98.38 | 10.00 (n=1) | 97.00 (n=1) | -1.38 | not reproduced |")


def test_markdown_of_nothing_is_a_header() -> None:
    assert len(as_markdown(compare({}, stated=[])).splitlines()) == 2


def test_private_runs_have_a_column_of_their_own_where_there_are_any() -> None:
    runs = [
        run("cnn_dp_gan_polyak", seed, final=97.0, num_steps=steps) for seed in range(2) for steps in (300, 600, 1200)
    ]
    private = [
        run("cnn_dp_gan_polyak", seed, reading="private", final=90.0, num_steps=steps)
        for seed in range(2)
        for steps in (300, 600, 1200)
    ]
    stated = [claim for claim in claims("fig09_comparison") if claim.key == "p1.fig09.mnist.polyak"]
    plain = as_markdown(compare({"fig09_comparison": runs}, stated=stated))
    assert "private" not in plain
    header, rule, line = as_markdown(compare({"fig09_comparison": [*runs, *private]}, stated=stated)).splitlines()
    assert "| reconstructed | private | difference |" in header
    assert header.count("|") == rule.count("|") == line.count("|")
    assert "| 97.00 ± 0.00 (n=2) | 90.00 ± 0.00 (n=2) | -0.68 |" in line
