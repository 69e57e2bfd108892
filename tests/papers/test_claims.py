"""What the papers state, and the verdicts on it. The percent numbers are a checked-in list: the texts are not here."""

import math
import re
from collections import Counter
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest
import rows

from cnndp.papers.claims import STATED, TABLE_I, TABLE_II, Stated, claims, losses, means, total_epsilon
from cnndp.papers.kinds import BEST, INCONSISTENT, MISQUOTED, NOISE_FREE, NOT_TESTABLE, WORST
from cnndp.papers.p1 import LABELS
from cnndp.papers.presets import preset
from cnndp.papers.sections.plan import Run
from cnndp.report.verdicts import as_markdown, compare
from cnndp.runs.experiment import Result
from cnndp.runs.frames import COLUMNS, MADE, frame

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


def run(method: str = "cnn_dp_gan", seed: int = 0, *, final: float = 97.0, **columns: Any) -> dict[str, Any]:
    """Return a run on MNIST whose accuracies are `final`, without L2 term, unless other columns say otherwise."""
    accuracies = {"train_accuracy": final, "test_accuracy": final, "max_test_accuracy": final}
    own = {"method": method, "dataset": "mnist", "num_steps": 600, "l2_coefficient": 0.0}
    return rows.run(method, seed=seed, **{**own, **accuracies, **columns})


def fig7(final: float, seed: int = 0, **columns: Any) -> dict[str, Any]:
    """Return a run of Fig. 7's CNN-DP-GAN, which has the L2 term."""
    return run(seed=seed, final=final, **{"l2_coefficient": 0.5, **columns})


def of(section: str, *runs: dict[str, Any]) -> pd.DataFrame:
    """Return the runs of a section as a frame."""
    return rows.runs(*(one | {"section": section} for one in runs))


def row(key: str, section: str, *runs: dict[str, Any]) -> Any:
    """Return the one row of `compare` about `key`."""
    return compare(of(section, *runs), stated=[BY_KEY[key]]).iloc[0]


def cells(markdown: str) -> list[list[str]]:
    """Return the rows of a Markdown table, without the ruler, as lists of cells."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown.splitlines()]
    assert len({len(line) for line in lines}) == 1
    table = [[cell.strip() for cell in line] for line in lines]
    assert set("".join(table[1])) == set(":-")
    return [table[0], *table[2:]]


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
        assert claim.column or claim.fixed
        assert claim.fixed in ("", INCONSISTENT, MISQUOTED, NOT_TESTABLE)
        assert claim.note or not claim.fixed
        assert claim.column in ("", "epsilon", *COLUMNS)
        assert set(claim.where) <= set(COLUMNS)
        assert claim.against in ("", NOISE_FREE, BEST, WORST)
        if isinstance(claim.value, tuple) and claim.column:
            assert set(claim.value) <= set(LABELS)


def test_what_the_figures_draw_beside_the_runs_is_what_is_stated() -> None:
    assert losses("mnist") == {
        "train": {"DPGDM": 4.71, "DP-SGD": 3.26, "CDP": 10.49, "CNN-DP-GAN": 1.31},
        "test": {"DPGDM": 4.18, "DP-SGD": 2.96, "CDP": 9.01, "CNN-DP-GAN": 1.08},
    }
    assert means("mnist") == {"DPGDM": 70.23, "DP-SGD": 82.36, "CDP": 86.08, "CNN-DP-GAN-Polyak": 97.68}
    assert means("cifar10") == {"CNN-DP-GAN-Polyak": 92.08}
    assert (losses("digits"), means("digits")) == ({"train": {}, "test": {}}, {})


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
    claim = BY_KEY[f"p1.table2.{dataset}.eq5"]
    assert claim.fixed == INCONSISTENT
    assert claim.note.startswith(f"Eq. (5) through T = 300 and 600 gives {follows}")


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


def record(**curves: list[float | None]) -> dict[str, Any]:
    """Return the record of a run that ended at 90 % on the whole test set, with the curves that were measured."""
    config = preset("cnn_noisy", "reconstructed", "mnist", 600)
    return {
        "config": config.to_dict(),
        "digest": config.digest,
        "status": "finished",
        "history": curves,
        "final": {"test_accuracy": 90.0, "train_accuracy": 89.0, "steps_at_cap": 0, "last_step": 600},
        "privacy": {},
        "provenance": dict.fromkeys(MADE),
        "ledger": [],
    }


@pytest.mark.parametrize(
    ("measured", "highest"), [([10.0, 95.0, 91.0], 95.0), ([None, 80.0, 85.0], 85.0), ([None], 90.0), ([], 90.0)]
)
def test_the_highest_accuracy_is_among_those_measured_and_the_final_one_where_none_was(
    measured: list[float | None], highest: float
) -> None:
    planned = Run("fig07_ablation", "CNN", "CNN", "CNN", preset("cnn_noisy", "reconstructed", "mnist", 600))
    runs = frame([Result(planned, record(test_accuracy=measured))])
    assert runs["test_accuracy"].tolist() == [90.0]
    found = compare(runs, stated=[BY_KEY["p1.fig07.cnn.max_test_accuracy"]]).iloc[0]
    assert found.mean_reconstructed == highest


def test_the_highest_accuracy_is_not_the_final_one() -> None:
    lost = run("cnn_noisy", final=90.0, max_test_accuracy=95.0)
    assert row("p1.fig07.cnn.max_test_accuracy", "fig07_ablation", lost).mean_reconstructed == 95.0
    lengths = [lost | {"method": "cdp", "num_steps": steps} for steps in (300, 600, 1200)]
    assert row("p1.fig09.mnist.cdp", "fig09_comparison", *lengths).mean_reconstructed == 90.0


def test_accuracy_is_lost_on_the_part_that_the_claim_names() -> None:
    runs = [run("cnn", final=98.0), run("cdp", final=90.0, train_accuracy=89.0)]
    assert row("p1.fig08.test.cdp", "fig08_loss", *runs).mean_reconstructed == 8.0
    assert row("p1.fig08.train.cdp", "fig08_loss", *runs).mean_reconstructed == 9.0
    assert row("p1.fig08.test.cdp", "fig08_loss", runs[1]).verdict == "not yet run"  # no reference
    shorter = [one | {"num_steps": 450} for one in runs]
    assert row("p1.fig08.test.cdp", "fig08_loss", *shorter).verdict == "not yet run"


def test_p2_prints_a_loss_times_a_hundred() -> None:
    one = run("dp_sgd", dataset="fashion_mnist", num_steps=4800, train_loss=0.36, test_loss=0.28)
    assert row("p2.table2.train_loss", "p2_table3", one).mean_reconstructed == pytest.approx(36.0)
    assert row("p2.table2.test_loss", "p2_table3", one).mean_reconstructed == pytest.approx(28.0)


def test_a_valid_guarantee_is_quoted_by_its_own_epsilon() -> None:
    key, steps = "p2.table3.e3.epsilon", {"dataset": "fashion_mnist", "num_steps": 720}
    private = run("dp_sgd", reading="private", rdp_epsilon=1.09, exact_epsilon=0.99, **steps)
    assert row(key, "p2_table3", private).mean_private == 0.99
    assert row(key, "p2_table3", private | {"exact_epsilon": None}).mean_private == 1.09


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
    found = compare(rows.runs())
    assert list(found["key"]) == [claim.key for claim in claims()]
    assert set(found["verdict"]) == {
        "not yet run",
        "not testable",
        "inconsistent within the paper",
        "inconsistent with its source",
    }
    assert found["mean_reconstructed"].isna().all()


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
    runs[0]["rdp_epsilon"] = 0.5632
    assert row("p2.table3.e3.epsilon", "p2_table3", *runs).verdict == "reproduced"
    runs[0]["rdp_epsilon"] = 0.57
    assert row("p2.table3.e3.epsilon", "p2_table3", *runs).verdict == "not reproduced"


def test_never_the_best_run() -> None:
    found = row(GAN, "fig07_ablation", fig7(98.38, 0), fig7(90.0, 1), fig7(90.0, 2), fig7(90.0, 3))
    assert found.mean_reconstructed == pytest.approx((98.38 + 270) / 4)
    assert found.n_reconstructed == 4


def test_a_diverged_run_counts_with_what_it_ended_at() -> None:
    lost = {"status": "diverged", "last_step": 16}
    found = row(GAN, "fig07_ablation", fig7(98.0, 0), fig7(10.0, 1, **lost))
    assert found.mean_reconstructed == 54.0  # (98 + 10) / 2
    assert found.reconstructed == "54.00 ± 62.23 (n=2); diverged at step 16"
    found = row("p1.fig08.test.dpgdm", "fig08_loss", run("cnn", final=98.0), run("dpgdm", final=10.0, **lost))
    assert (found.mean_reconstructed, found.reconstructed) == (88.0, "88.00 (n=1); diverged at step 16")


def test_a_run_that_diverged_is_named_in_the_orderings_that_it_is_in() -> None:
    runs = [run("cnn_noisy", final=50.0), run("cnn_dp", final=10.0, status="diverged", last_step=7), fig7(97.0)]
    found = row("p1.fig07.order", "fig07_ablation", *runs)
    assert found.reconstructed == "CNN 50.00; CNN-DP 10.00; CNN-DP-GAN 97.00 (n=1); diverged at step 7"
    assert "diverged" not in row(GAN, "fig07_ablation", *runs).reconstructed


def test_two_runs_of_a_seed_that_nothing_tells_apart_are_refused() -> None:
    runs = [fig7(98.0, label="clip 0.5"), fig7(98.0, label="clip 1")]
    with pytest.raises(ValueError, match=r"two runs of seed 0 match .*: clip 0.5, clip 1; pass one configuration"):
        row(GAN, "fig07_ablation", *runs)


def test_a_run_that_only_stands_beside_a_methods_own_is_not_compared() -> None:
    beside = fig7(10.0, beside="MNIST's constants")
    assert row(GAN, "fig07_ablation", beside).verdict == "not yet run"
    assert row(GAN, "fig07_ablation", beside, fig7(98.0)).reconstructed == "98.00 (n=1)"


def test_runs_of_another_section_do_not_count() -> None:
    assert row(GAN, "fig08_loss", fig7(98.38)).verdict == "not yet run"


@pytest.mark.parametrize("fields", [{"dataset": "digits"}, {"num_steps": 300}, {"l2_coefficient": 0.0}])
def test_runs_of_another_setting_do_not_count(fields: dict[str, Any]) -> None:
    assert row(GAN, "fig07_ablation", fig7(98.38, **fields)).verdict == "not yet run"


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
    assert [claim.key for claim in claims() if claim.fixed == INCONSISTENT] == [
        "p1.fig08.baseline_order",
        "p1.fig09.mnist.baseline_order",
        "p1.abstract.gain.low",
        "p1.abstract.gain.high",
        "p1.table2.mnist.eq5",
        "p1.table2.fashion_mnist.eq5",
        "p1.table2.cifar10.eq5",
        "p2.table3.e20.epsilon",
    ]
    assert [claim.key for claim in claims() if claim.fixed == MISQUOTED] == ["p2.dataset"]
    assert [claim.key for claim in claims() if claim.fixed == NOT_TESTABLE] == ["p1.fig10.early"]


def test_settings_and_cited_numbers_are_not_compared() -> None:
    assert compare(rows.runs(), stated=[s for s in STATED if s.kind != "claim"]).empty


def test_compare_is_the_same_in_any_order_of_the_runs() -> None:
    runs = of("fig07_ablation", *modules([50.0, 52.0, 51.0], [96.0, 96.4, 96.2], [96.1, 96.3, 96.6]))
    once, again, reversed_ = (compare(one, stated=claims("fig07_ablation")) for one in (runs, runs, runs[::-1]))
    assert (once["n_reconstructed"] == 3).any()
    assert once.equals(again)
    assert once.equals(reversed_)


# Markdown


def test_markdown_is_one_safe_line_per_claim() -> None:
    odd = Stated("p1.x", "P1", "Fig. 7", "a|b <c> $d$", 1.0, "%", section="fig07_ablation", column="max_test_accuracy")
    markdown = as_markdown(compare(rows.runs(), stated=[odd]))
    assert len(markdown.splitlines()) == 3
    assert cells(markdown)[1] == ["Fig. 7", r"a\|b \<c> \$d\$ (%)", "1", "", "", "", "not yet run"]


def test_markdown_shows_readings_and_difference() -> None:
    runs = of("fig07_ablation", fig7(97.0), fig7(10.0, reading="printed"))
    found = cells(as_markdown(compare(runs, stated=[BY_KEY[GAN]])))[-1]
    assert found[2:] == ["98.38", "10.00 (n=1)", "97.00 (n=1)", "-1.38", "not reproduced"]


def test_markdown_of_nothing_is_a_header() -> None:
    assert len(as_markdown(compare(rows.runs(), stated=[])).splitlines()) == 2


def test_private_runs_have_a_column_of_their_own_where_there_are_any() -> None:
    runs, private = (
        [
            run("cnn_dp_gan_polyak", seed, final=final, num_steps=steps, reading=reading)
            for seed in range(2)
            for steps in (300, 600, 1200)
        ]
        for reading, final in (("reconstructed", 97.0), ("private", 90.0))
    )
    stated = [BY_KEY["p1.fig09.mnist.polyak"]]
    assert "private" not in as_markdown(compare(of("fig09_comparison", *runs), stated=stated))
    header, line = cells(as_markdown(compare(of("fig09_comparison", *runs, *private), stated=stated)))
    assert header[4:7] == ["reconstructed", "private", "difference"]
    assert line[4:7] == ["97.00 ± 0.00 (n=2)", "90.00 ± 0.00 (n=2)", "-0.68"]
