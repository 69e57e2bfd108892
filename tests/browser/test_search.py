"""The search page of the built book, opened from its folder: it may read no other file than its own scripts."""

import pytest
from seen import hits


@pytest.mark.parametrize(
    ("words", "name"),
    [("Fig. 9", "fig09_comparison"), ("Fig. 10", "fig10_thresholds"), ("Table II", "table2_budgets")],
)
def test_a_figure_is_found_by_its_number_among_the_first_three(page, book, words, name):
    found = hits(page, book, words)
    assert any(address.endswith(f"/{name}.html") for address in found[:3]), found[:8]


def test_what_is_not_in_the_book_is_not_found(page, book):
    assert hits(page, book, "zyxwvut") == []
