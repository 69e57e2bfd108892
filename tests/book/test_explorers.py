"""The explorers: whole without JavaScript and small; in Chromium they say what the data says, in both lights."""

import json
import re
import shutil
from importlib import resources

import explorers
import pydata_sphinx_theme
import pytest
from bs4 import BeautifulSoup
from scripts import ROOT, load
from seen import DESK, in_both_lights, opened, wider

from cnndp.report import explore
from cnndp.report.figures import drawing

pytestmark = pytest.mark.xdist_group("explorers")  # one worker makes the pages

chromium = load("book/chromium.py")
STATIC = ROOT / "book" / "_static"
THEME = resources.files(pydata_sphinx_theme) / "theme" / "pydata_sphinx_theme" / "static" / "styles"
INLINE = 150_000  # bytes of HTML that a page may have
FOLLOW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", follow);
follow();
"""
NAMES = tuple(explorers.EXPLORERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a bare page of each explorer."""
    made = tmp_path_factory.mktemp("explorers")
    shutil.copy(resources.files("plotly") / "package_data" / "plotly.min.js", made)
    (made / "styles").mkdir()
    (made / "basic.css").touch()  # Sphinx's own, which the theme's loads
    themed = [made / "styles" / name for name in ("theme.css", "pydata-sphinx-theme.css")]
    for path in themed:
        path.write_bytes((THEME / path.name).read_bytes())
    sheets = [*themed, *(STATIC / name for name in ("companion.css", "pages.css", "explorers.css"))]
    head = "".join(f'<link rel="stylesheet" href="{path.as_uri()}">' for path in sheets)
    head += f'<script>{FOLLOW}</script><script defer src="plotly.min.js"></script>'
    head += f'<script defer src="{(STATIC / "explorers.js").as_uri()}"></script>'
    for name in NAMES:
        start = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>{head}</head>'
        article = f'<article class="bd-article"><h1>{name}</h1>{explorers.page(name)}</article>'
        text = f'{start}<body><main class="bd-content">{article}</main></body></html>'
        (made / f"{name}.html").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        one = started.chromium.launch(executable_path=chromium.executable(started), args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser):
    one = browser.new_page(viewport=DESK)
    yield one
    one.close()


def answer(page):
    return page.locator(".explorer-answer").inner_text()


@pytest.mark.parametrize("name", NAMES)
def test_page_is_whole_without_javascript(name):
    html = explorers.page(name)
    assert len(html.encode()) < INLINE
    soup = BeautifulSoup(html, "html.parser")
    assert soup.select_one("figure svg[aria-label]")
    assert soup.select_one("details[open] table")
    assert len(soup.select("tbody tr")) >= 6
    assert soup.form.has_attr("hidden")
    unlabelled = [one for one in soup.select("form input, form select") if one.find_parent("label") is None]
    assert unlabelled == []


@pytest.mark.parametrize("name", NAMES)
def test_explorer_runs_and_everybody_can_read_it(folder, page, name):
    assert opened(page, (folder / f"{name}.html").as_uri()) == []
    assert page.locator(".explorer-plot .main-svg").count() > 0
    assert not page.locator(".explorer-drawn").is_visible()
    assert not page.locator("table").is_visible()
    assert answer(page)
    assert in_both_lights(page) == []
    assert wider(page) == []


def test_frontier_says_what_the_records_say(folder, page):
    opened(page, (folder / "frontier.html").as_uri())
    page.get_by_label("ε to").select_option("3")
    points = explore.frontier()["mnist"]["lines"][0]["points"]
    (three,) = [one for one in points if one["epsilon"] == 3]
    assert answer(page).startswith(f"MNIST, scattering, linear, ε 3: {three['mean']:.2f} % (5 seeds)")


def test_keyboard_chooses(folder, page):
    opened(page, (folder / "frontier.html").as_uri())
    page.get_by_label("scattering, linear", exact=True).focus()
    page.keyboard.press("Space")
    assert "scattering, linear, ε" not in answer(page)


def test_thresholds_follow_the_reading(folder, page):
    opened(page, (folder / "thresholds.html").as_uri())
    page.locator("[name=reading]").select_option("private, Gaussian noise")
    cells = explore.thresholds()["mnist"]["readings"]["private, Gaussian noise"]
    first = min(cells, key=lambda one: (one["budget"], one["threshold"]))
    assert f"(ε {first['epsilon']})" in answer(page)
    assert f"{first['final']:.2f} %" in answer(page)


@pytest.mark.parametrize(
    "changed", [{}, {"growth": 1}, {"steps": 720, "initial": 0.3}, {"batch": 1024}, {"initial": 2}, {"batch": 60_000}]
)
def test_budget_says_what_the_function_says(folder, page, changed):
    opened(page, (folder / "budget.html").as_uri())
    for name, value in changed.items():
        page.locator(f'[name="{name}"]').fill(str(value))
    grid = json.loads(explorers.GRID.read_text(encoding="utf-8"))
    found = explore.budget_answer(grid, **{**explore.EXAMPLE, **changed})
    said = answer(page)
    if found["price"] is None:
        assert "not priced here: use plan" in said
    else:
        assert f"numerical ε at most {found['price'].epsilon:g};" in said


def test_budget_says_what_is_wrong(folder, page):
    opened(page, (folder / "budget.html").as_uri())
    page.locator('[name="records"]').fill("100")
    assert "larger than the number of records" in answer(page)
    page.locator('[name="steps"]').fill("")
    assert answer(page).startswith("Steps, T:")


def test_plot_takes_the_colours_of_the_page(folder, page):
    opened(page, (folder / "budget.html").as_uri())
    colour = 'document.querySelector(".explorer-plot").layout.font.color'
    page.emulate_media(color_scheme="light")
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== {json.dumps(light)}")


def test_models_and_thresholds_have_the_colours_of_the_book():
    looks = explorers.look("frontier")["models"]["mnist"]
    assert looks["scattering, linear"]["color"] == drawing.METHODS["scattering, linear"][0]
    assert looks["CNN, CNN-DP-GAN-Polyak"]["color"] == drawing.METHODS["CNN-DP-GAN-Polyak"][0]
    assert len({tuple(one.values()) for one in looks.values()}) == len(looks)
    assert explorers.look("thresholds")["thresholds"]["0.1"] == drawing.THRESHOLDS[0.1]


@pytest.mark.parametrize("name", NAMES)
def test_the_drawn_figure_says_its_result_and_more_than_its_caption(name):
    figure = BeautifulSoup(explorers.page(name), "html.parser").select_one("figure")
    said, caption = figure.svg["aria-label"], figure.figcaption.get_text()
    results = said.removeprefix(caption)
    assert said != results
    assert re.search(r"\d", results)
