"""Tables I and II as budgets: the contradictions, by hand, and what the numbers would cost."""

import re

import pytest

from cnndp.papers import claims
from cnndp.report import budgets


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


@pytest.mark.parametrize(
    ("dataset", "predicted"),
    [
        ("mnist", ("266.0", "143.2", "70.8")),
        ("fashion_mnist", ("557.0", "350.7", "92.6")),
        ("cifar10", ("135.0", "404.6", "148.4")),
    ],
)
def test_no_pair_of_totals_fits_the_third(dataset, predicted):
    rows = cells(budgets.pairs_table(dataset))
    assert tuple(row[4] for row in rows) == predicted
    assert all(float(row[4]) != float(row[5]) for row in rows)


def test_mnists_budgets_fall_and_two_of_cifar_10s_fall_below_0_or_fall():
    assert {row[6] for row in cells(budgets.pairs_table("mnist"))} == {"falls"}
    assert [row[6] for row in cells(budgets.pairs_table("cifar10"))] == ["falls below 0", "falls", "grows"]


def test_the_conditional_costs_of_table_ii_on_mnist():
    rows = cells(budgets.totals_table("mnist"))
    assert [row[3] for row in rows] == ["0.366", "0.709", "1.404"]
    assert [float(row[4]) for row in rows] == pytest.approx([24.3, 37.9, 62.2], abs=0.06)
    assert [float(row[5]) for row in rows] == pytest.approx([0.053, 0.075, 0.108], abs=6e-4)


def test_the_costs_of_table_i_grow_with_less_noise_and_more_steps():
    (first, second) = cells(budgets.scales_table("mnist"))
    assert [first[0], second[0]] == ["initial 2", "minimum 0.18"]
    assert first[1] == "0.250"  # 0.5 / 2
    assert float(first[2]) < float(first[3])
    assert float(first[2]) < float(second[2])


def test_a_coarser_grid_only_makes_the_bound_larger(monkeypatch):
    fine = budgets.conditional_epsilon(0.2, 100, 1.0)
    monkeypatch.setattr(budgets, "MAX_POINTS", 2e3)
    assert fine <= budgets.conditional_epsilon(0.2, 100, 1.0) < 1.2 * fine


@pytest.mark.parametrize("dataset", claims.TABLE_II)
def test_the_schedule_of_the_book_spends_the_total(dataset):
    for num_steps, note in zip(claims.TABLE_II[dataset], budgets.schedule_notes(dataset).splitlines(), strict=True):
        first, increment, last = numbers(note)
        assert num_steps * (first + last) / 2 == pytest.approx(claims.total_epsilon(dataset, num_steps), rel=1e-3)
        assert last == pytest.approx(2 * first, rel=1e-3)
        assert increment == pytest.approx((last - first) / (num_steps - 1), rel=1e-2)


def numbers(note):
    found = re.search(r"ε₁ = ([\d.]+) and d = ([\d.e+-]+), up to ([\d.]+)\.$", note)
    return tuple(float(text) for text in found.groups())


def test_a_notebook_with_another_dataset_is_stopped():
    with pytest.raises(ValueError, match=r"dataset='mnst' is not known; did you mean 'mnist'"):
        budgets.check_notebook({"dataset": "mnst"})
    with pytest.raises(ValueError, match=r"parameter='datset' is not known"):
        budgets.check_notebook({"dataset": "mnist", "datset": "x"})
