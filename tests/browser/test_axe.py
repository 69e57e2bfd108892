"""axe-core on one page of each kind, in light and in dark: nothing that is serious or critical."""

import pytest
from seen import DESK, in_both_lights, opened

RUNS = "notebooks/runs"
KINDS = [
    "book/index",
    "book/claims",
    "book/results",
    "book/method",
    "book/how_it_is_built",
    "book/checked",
    "book/parameters",
    "book/bibliography",
    "book/explore",
    "book/explore_frontier",
    "book/explore_thresholds",
    "book/explore_budget",
    "book/api/equations",
    f"{RUNS}/mnist/fig09_comparison",
    f"{RUNS}/cifar10/fig07_ablation",
    "_modules/cnndp/report/pairs",
    "search",
]


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_can_read_a_page(page, book, kind):
    page.set_viewport_size(DESK)
    assert opened(page, (book / f"{kind}.html").as_uri()) == []
    page.wait_for_timeout(350)  # the theme makes boxes that scroll reachable by keyboard 300 ms after they change
    assert in_both_lights(page) == []


# Planted faults


def test_a_page_that_everybody_can_read_has_no_findings(page, planted):
    opened(page, planted("<p>Text.</p>"))
    assert in_both_lights(page) == []


def test_text_that_is_too_pale_is_noticed(page, planted):
    opened(page, planted('<p style="color: #aaa">Pale</p>'))
    found = in_both_lights(page)
    assert [line.partition(",")[0] for line in found] == [f"{it}: serious color-contrast" for it in ("light", "dark")]


def test_text_that_is_too_pale_only_in_the_dark_is_noticed(page, planted):
    style = "<style>@media (prefers-color-scheme: dark) { body { background: #111; color: #444 } }</style>"
    opened(page, planted("<p>Text.</p>", style))
    assert {line.partition(",")[0] for line in in_both_lights(page)} == {"dark: serious color-contrast"}


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<p><details><summary><i></i></summary>Pages</details></p>", "serious summary-name"),
        ('<input type="range">', "critical label"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "critical image-alt"),
    ],
)
def test_what_has_no_name_is_noticed(page, planted, body, rule):
    opened(page, planted(body))
    assert any(line.startswith(f"light: {rule}") for line in in_both_lights(page))
