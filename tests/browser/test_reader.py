"""What a reader sees first: a short list of pages, and on a page of an experiment its verdict and its figure."""

import pytest
from seen import DESK, PHONE

VISIBLE = """() => [...document.querySelectorAll(".bd-sidebar-primary a.reference")]
  .filter((e) => e.checkVisibility()).map((e) => e.textContent.trim())"""
TOPS = """() => [".tag_verdict", "article figure img"].map((one) => {
  const found = document.querySelector(one);
  return found ? found.getBoundingClientRect().top + scrollY : null;
})"""
MOST_ENTRIES = 25
FOLD = 600  # of 900 px


@pytest.fixture
def desk(page):
    page.set_viewport_size(DESK)
    yield page
    page.set_viewport_size(PHONE)


def late(tops):
    """Return which of verdict and figure begin too far down, or are missing."""
    names = ("verdict", "figure")
    return [name for name, top in zip(names, tops, strict=True) if top is None or top > FOLD]


def experiments(book):
    found = (book / "notebooks" / "runs").glob("*/*.html")
    return sorted(path for path in found if "tag_verdict" in path.read_text(encoding="utf-8"))


def test_the_list_of_pages_is_short(book, desk):
    desk.goto((book / "book" / "index.html").as_uri())
    shown = desk.evaluate(VISIBLE)
    assert "All claims" in shown
    assert 15 < len(shown) <= MOST_ENTRIES, shown


def test_verdict_and_figure_are_on_the_first_screen_of_every_experiment(book, desk):
    pages = experiments(book)
    assert len(pages) > 50
    found = {}
    for path in pages:
        desk.goto(path.as_uri(), wait_until="domcontentloaded")
        found[f"{path.parent.name}/{path.stem}"] = late(desk.evaluate(TOPS))
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_verdict_that_stands_far_down_and_a_missing_figure_are_noticed(planted, desk):
    desk.goto(planted('<p style="height: 700px">Imports.</p><div class="tag_verdict">Reproduced</div>'))
    assert late(desk.evaluate(TOPS)) == ["verdict", "figure"]
