"""What is on paper: verdicts and tables whole, and nothing of the screen's navigation."""

import pytest
from seen import PAPER, cut, opened


@pytest.fixture
def printed(page, book):
    """Return a function that shows a page as it is printed; the screen comes back at the end."""

    def show(name):
        opened(page, (book / name).as_uri())
        page.emulate_media(media="print")
        page.set_viewport_size(PAPER)
        return page

    yield show
    page.emulate_media(media="screen")


def test_a_verdict_is_printed_with_its_colour(printed):
    verdicts = printed("notebooks/runs/mnist/fig09_comparison.html").locator(".verdict")
    assert verdicts.count() >= 1
    for verdict in verdicts.all():
        box = verdict.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= PAPER["width"]
        style = verdict.evaluate("e => [getComputedStyle(e).printColorAdjust, getComputedStyle(e).backgroundColor]")
        assert style[0] == "exact"
        assert style[1] not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")


@pytest.mark.parametrize(
    "selector", [".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer", ".bd-header"]
)
def test_the_navigation_of_the_screen_is_not_printed(printed, selector):
    shown = printed("notebooks/runs/mnist/fig09_comparison.html").locator(selector)
    assert not any(one.is_visible() for one in shown.all())


def test_a_dark_page_is_printed_light(printed, page):
    printed("book/results.html")
    page.emulate_media(media="print", color_scheme="dark")
    try:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('article p')).color") == "rgb(28, 35, 48)"
    finally:
        page.emulate_media(media="screen", color_scheme="light")


# Planted faults


WIDE = f"<tr>{'<td>reproduced</td>' * 14}</tr>"


@pytest.mark.parametrize(
    "body",
    [f"<table>{WIDE}</table>", f'<div style="overflow-x: auto"><table>{WIDE}</table></div>'],
    ids=["beyond the sheet", "in a box that scrolls"],
)
def test_a_table_that_is_cut_off_on_paper_is_noticed(page, planted, body):
    opened(page, planted(body))
    assert any("is cut off on paper" in line for line in cut(page))
    opened(page, planted(f"<style>td {{ overflow-wrap: anywhere }}</style>{body}"))
    assert cut(page) == []
