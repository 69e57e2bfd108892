"""Every page of the built book, opened from its folder in Chromium without a network."""

import pytest
from seen import cut, opened, wider


def test_each_page_opens_without_an_error_and_fits_a_phone_and_a_sheet(page, book, each_page):
    found = opened(page, (book / each_page).as_uri())
    assert found + wider(page) + cut(page) == []


def test_the_start_of_the_folder_leads_to_the_first_page(page, book):
    page.goto((book / "index.html").as_uri())
    page.wait_for_url((book / "book" / "index.html").as_uri())
    assert page.locator("article h1").count() == 1


def test_each_page_has_the_icon_of_the_book(page, book):
    page.goto((book / "book" / "index.html").as_uri())
    icon = page.get_attribute("link[rel~=icon]", "href")
    assert (book / "book" / icon).resolve().is_file()


# Planted faults


def test_a_page_without_fault_has_no_findings(page, planted):
    found = opened(page, planted("<p>Text.</p>"))
    assert found + wider(page) + cut(page) == []


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ("<script>console.error('no data')</script>", "console: no data"),
        ("<script>const a = 1;</script><script>const a = 2;</script>", "error: Identifier 'a' has already been decl"),
        ('<img src="missing.png" alt="A picture that is not there">', "request failed: file://"),
        ('<img src="https://example.org/far.png" alt="A picture from outside">', "request failed: https://example.org"),
        ('<script>fetch("https://example.org/count")</script>', "request failed: https://example.org/count"),
    ],
    ids=["console", "error", "missing file", "outside", "outside by a script"],
)
def test_a_page_that_fails_is_noticed(page, planted, body, finding):
    found = opened(page, planted(body))
    page.wait_for_timeout(50)
    assert any(line.startswith(finding) for line in found), found


def test_a_page_that_is_wider_than_a_phone_is_noticed(page, planted):
    opened(page, planted(f"<table><tr>{'<td>accuracy</td>' * 12}</tr></table>"))
    (line,) = wider(page)
    assert "px wide: td accuracy" in line
    opened(page, planted(f'<div style="overflow-x: auto"><table><tr>{"<td>accuracy</td>" * 12}</tr></table></div>'))
    assert wider(page) == []
