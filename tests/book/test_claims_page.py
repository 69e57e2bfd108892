"""The page of all claims: plain HTML that is whole by itself, and in Chromium its filters, order and tolerance."""

import re
import subprocess
import sys
from importlib import resources

import claims_page
import pydata_sphinx_theme
import pytest
from bs4 import BeautifulSoup
from scripts import ROOT, load
from seen import DESK, PAPER, PHONE, cut, in_both_lights, opened, wider

from cnndp.report import claims_list
from cnndp.runs import store

pytestmark = pytest.mark.xdist_group("all runs")

chromium = load("book/chromium.py")
STATIC = ROOT / "book" / "_static"
THEME = resources.files(pydata_sphinx_theme) / "theme" / "pydata_sphinx_theme" / "static" / "styles"
FOLLOW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", follow);
follow();
"""
INLINE = 150_000  # bytes of HTML that a page may have


@pytest.fixture(scope="module")
def listed(all_runs):
    return claims_list.items(all_runs)


@pytest.fixture(scope="module")
def fragment(listed):
    """Return the HTML of the page's own part, with every page of an experiment and every record there."""
    addresses = {claims_page.page_of(one): f"../{claims_page.page_of(one)}.html" for one in listed}
    files = claims_page.record_files(store.default_root())
    return claims_page.page(listed, claims_page.Links(addresses, files, "../_downloads/records"))


@pytest.fixture(scope="module")
def tree(fragment):
    return BeautifulSoup(fragment, "html.parser")


# Without JavaScript


def test_each_claim_has_a_row_whose_address_is_its_key(tree, listed):
    rows = tree.select("tbody tr")
    assert [row["id"] for row in rows] == [one.claim.key for one in listed]
    ids = [tag["id"] for tag in tree.find_all(id=True)]
    assert len(set(ids)) == len(ids)
    assert not [name for name in ids if re.search(r"\s", name)]


def test_each_row_has_every_column_and_its_verdict_second_in_words(tree, listed):
    heads = [cell.get_text() for cell in tree.select("thead th")]
    assert heads[:2] == ["Claim", "Verdict"]
    for row, one in zip(tree.select("tbody tr"), listed, strict=True):
        cells = row.find_all(["th", "td"], recursive=False)
        assert [cell.get("data-label", "Claim") for cell in cells] == heads
        assert cells[1].get_text() == row["data-own"] == one.row["verdict"]
        assert one.claim.place in cells[0].get_text()
        assert one.reason in cells[7].get_text()


def test_each_section_has_an_address_at_its_first_claim(tree, listed):
    for section in {one.claim.section for one in listed}:
        first = next(one.claim.key for one in listed if one.claim.section == section)
        assert tree.find(id=section).find_parent("tr")["id"] == first


def test_what_needs_javascript_is_hidden_and_the_count_is_text(tree, listed):
    assert tree.form.has_attr("hidden")
    counted = claims_list.recount(listed)
    text = tree.find(id="claims-count").get_text()
    assert text.startswith(f"{counted['reproduced']} of {len(listed)} claims are reproduced; ")
    assert (
        sum(map(int, re.findall(r"(\d+) (?!of)", text.partition(" claims ")[2]))) == len(listed) - counted["reproduced"]
    )


def test_everything_to_fill_in_has_a_label(tree):
    for field in tree.select("input, select"):
        assert field.find_parent("label") or tree.find("label", attrs={"for": field["id"]}), field


def test_each_record_that_decides_is_led_to_and_named_with_its_folder(tree, listed):
    files = claims_page.record_files(store.default_root())
    for row, one in zip(tree.select("tbody tr"), listed, strict=True):
        links = row.select(".claim-records a")
        assert {link["href"] for link in links} == {f"../_downloads/records/{digest}.json" for digest in one.digests}
        folders = {f"book/results/{files[digest].parent.as_posix()}" for digest in one.digests}
        assert {code.get_text() for code in row.select(".claim-records code")} == folders


def test_an_experiment_is_led_to_where_the_book_has_its_page(listed):
    links = claims_page.Links({"notebooks/runs/mnist/fig07_ablation": "a.html"}, {}, "")
    assert claims_page.figure(listed[0], links) == '<a href="a.html">Fig. 7, MNIST</a>'
    assert claims_page.figure(listed[-1], links) == ""


def test_losses_are_ordered_as_the_claim_reads(listed):
    one = next(one for one in listed if one.claim.key == "p1.fig08.test.best.cdp")
    assert claims_page.stated(one) == "CNN-DP-GAN&nbsp;&lt;<br>CDP"


def test_the_page_is_light(fragment):
    assert len(fragment.encode()) < INLINE


def test_a_bundle_without_one_default_export_is_refused():
    with pytest.raises(ValueError, match="0 default exports"):
        claims_page.as_script("var a=1;export{a as b};")


# Built

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["myst_parser", "claims_page"]
html_static_path = [{str(STATIC)!r}]
"""
PAGES = {
    "index": "# Start\n\n```{toctree}\nbook/claims\n```\n\n{ref}`the claim <claim-p1.fig09.mnist.polyak>`",
    "book/claims": "# All claims\n\n```{claims-list}\n```",
    "notebooks/runs/mnist/fig07_ablation": "---\norphan: true\n---\n# Fig. 7",
}


@pytest.mark.slow
def test_other_pages_lead_to_a_claim_and_its_own_leads_to_copies_of_records(tmp_path):
    for name, text in {**PAGES, "conf.py": CONF}.items():
        path = tmp_path / (name if name == "conf.py" else f"{name}.md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-q", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    start = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 'href="book/claims.html#p1.fig09.mnist.polyak"' in start
    assert "claims.js" not in start
    built = tmp_path / "out" / "book" / "claims.html"
    tree = BeautifulSoup(built.read_text(encoding="utf-8"), "html.parser")
    links = [link["href"].partition("#")[0] for link in tree.select("#claims a")]
    assert "../notebooks/runs/mnist/fig07_ablation.html" in links
    assert [link for link in links if not (built.parent / link).is_file()] == []
    scripts = [tag["src"].partition("?")[0] for tag in tree.select("script[src]")]
    assert scripts.index("../_static/datatables.js") < scripts.index("../_static/claims.js")
    for name in ("datatables.js", "claims.js", "claims.css"):
        assert (tmp_path / "out" / "_static" / name).is_file()


# In Chromium


@pytest.fixture(scope="module")
def address(fragment, tmp_path_factory):
    """Write the fragment as a page, with the style of the theme and the scripts of the book."""
    folder = tmp_path_factory.mktemp("claims")
    bundle = (resources.files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    (folder / "datatables.js").write_text(claims_page.as_script(bundle), encoding="utf-8")
    themed = [folder / "styles" / name for name in ("theme.css", "pydata-sphinx-theme.css")]
    (folder / "styles").mkdir()
    (folder / "basic.css").touch()  # Sphinx's own, which the theme's loads
    for path in themed:
        path.write_bytes((THEME / path.name).read_bytes())
    styles = themed + [STATIC / name for name in ("companion.css", "pages.css", "print.css", "claims.css")]
    head = "".join(f'<link rel="stylesheet" href="{path.as_uri()}">' for path in styles)
    head += '<script defer src="datatables.js"></script>'
    head += f'<script defer src="{(STATIC / "claims.js").as_uri()}"></script>'
    start = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Claims</title>'
    article = f'<article class="bd-article"><h1>All claims</h1>{fragment}</article>'
    body = f'<body><main class="bd-content">{article}</main></body>'
    follow = f"<script>{FOLLOW}</script>"
    path = folder / "page.html"
    path.write_text(f"{start}{head}{follow}</head>{body}</html>", encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium.opened(viewport=DESK, color_scheme="light", reduced_motion="reduce") as found:
            yield found.new_page()
    except chromium.MissingError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture
def page(browser, address):
    """Return the page as it opens."""
    browser.set_viewport_size(DESK)
    browser.goto("about:blank")
    assert opened(browser, address) == []
    return browser


def shown(page):
    """Return the keys of the rows that are shown, in their order."""
    return page.eval_on_selector_all("#claims tbody tr[id]", "rows => rows.map(row => row.id)")


def keys(listed, **facts):
    """Return the keys of the claims with these facts."""
    return [one.claim.key for one in listed if all(getattr(one.claim, name) == value for name, value in facts.items())]


def set_tolerance(page, value):
    """Move the slider there as a reader does, and return the verdicts that are then shown."""
    page.eval_on_selector(
        "[name=tolerance]", "(field, to) => { field.value = to; field.dispatchEvent(new Event('input')); }", str(value)
    )
    return page.eval_on_selector_all("#claims .verdict", "chips => chips.map(chip => chip.textContent)")


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.9, 1.0, 1.1, 1.6, 3.3, 7.3, 10.0])
def test_the_page_counts_as_python_does(page, listed, tolerance):
    found = set_tolerance(page, tolerance)
    assert found == [claims_list.verdict_at(one, tolerance) for one in listed]
    count = claims_list.recount(listed, tolerance)["reproduced"]
    own = claims_list.recount(listed)["reproduced"]
    text = f"{count} of {len(listed)} claims are reproduced at a tolerance of {tolerance:.1f} points; "
    assert page.inner_text("#claims-count") == f"{text}by the book’s own rule, {own}."


@pytest.mark.slow
def test_another_verdict_names_the_books_own_beside_it_and_gives_it_back(page, listed):
    key = "p1.fig07.cnn_dp_gan.max_test_accuracy"
    row = page.locator(f"tr[id='{key}'] td").first
    set_tolerance(page, 2)
    assert row.inner_text().split("\n") == ["reproduced", "by the book’s own rule: not reproduced"]
    page.click("button[name=own]")
    assert row.inner_text() == "not reproduced"
    assert page.inner_text("output") == "the book’s own rule"
    assert page.input_value("[name=tolerance]") == "1"


@pytest.mark.slow
def test_filters_work_alone_and_together(page, listed):
    page.select_option("[name=paper]", "P2")
    assert shown(page) == keys(listed, paper="P2")
    page.select_option("[name=dataset]", "mnist")
    assert shown(page) == keys(listed, paper="P2", dataset="mnist")
    page.click("button[name=all]")
    assert shown(page) == keys(listed)
    page.select_option("[name=section]", "fig10_thresholds")
    assert shown(page) == keys(listed, section="fig10_thresholds")
    assert page.inner_text("#claims-count").endswith(f"Shown: {len(shown(page))} of {len(listed)}.")
    page.click("button[name=all]")
    page.fill("[name=text]", "threshold 0.01")
    assert shown(page) == ["p1.fig10.low_budget", "p1.fig10.high_budget"]


@pytest.mark.slow
def test_the_filter_of_verdicts_follows_the_tolerance(page, listed):
    page.select_option("[name=now]", "reproduced")
    assert shown(page) == [one.claim.key for one in listed if one.row["verdict"] == "reproduced"]
    set_tolerance(page, 5)
    assert shown(page) == [one.claim.key for one in listed if claims_list.verdict_at(one, 5) == "reproduced"]


@pytest.mark.slow
def test_columns_are_sorted_by_mouse_keyboard_and_list(page, listed):
    page.click("thead th:nth-child(3)")
    page.wait_for_selector("thead th:nth-child(3)[aria-sort=ascending]")
    values = {one.claim.key: one.claim.value for one in listed if isinstance(one.claim.value, float)}
    found = [values[key] for key in shown(page) if key in values]
    assert found == sorted(values.values())
    assert page.input_value("[name=sort]") == "2 asc"
    page.select_option("[name=sort]", "6 desc")
    differences = {
        one.claim.key: one.row["difference"] for one in listed if one.row["difference"] == one.row["difference"]
    }
    assert shown(page)[: len(differences)] == sorted(differences, key=lambda key: -differences[key])
    page.select_option("[name=sort]", "")
    assert shown(page) == keys(listed)
    page.focus("thead th:nth-child(2) [role=button]")
    page.keyboard.press("Enter")
    page.wait_for_selector("thead th:nth-child(2)[aria-sort=ascending]")
    reproduced = [one.claim.key for one in listed if one.row["verdict"] == "reproduced"]
    assert shown(page)[: len(reproduced)] == reproduced


@pytest.mark.slow
def test_the_tolerance_is_set_with_the_keyboard_and_says_its_value(page):
    page.focus("[name=tolerance]")
    page.keyboard.press("ArrowRight")
    assert page.input_value("[name=tolerance]") == "1.1"
    assert page.get_attribute("[name=tolerance]", "aria-valuetext") == page.inner_text("output") == "1.1 points"
    assert "at a tolerance of 1.1 points" in page.inner_text("#claims-count")


@pytest.mark.slow
def test_an_address_leads_to_a_claim_and_to_the_claims_of_a_section(page, address, listed):
    page.select_option("[name=paper]", "P2")
    page.goto(f"{address}#p1.fig09.mnist.polyak")
    page.wait_for_selector("tr.named")
    assert page.get_attribute("tr.named", "id") == "p1.fig09.mnist.polyak"
    assert page.locator("tr.named").evaluate("row => row.getBoundingClientRect().top < innerHeight")
    page.goto(f"{address}#fig08_loss")
    page.wait_for_function("document.querySelector('[name=section]').value === 'fig08_loss'")
    assert shown(page) == keys(listed, section="fig08_loss")


@pytest.mark.slow
def test_a_phone_shows_each_verdict_under_its_claim_without_scrolling_sideways(page):
    assert wider(page) == []
    parts = (
        "row => [row.children[0], row.querySelector('.verdict'), row.children[2]].map(e => e.getBoundingClientRect())"
    )
    places = page.eval_on_selector_all("#claims tbody tr", f"rows => rows.map({parts})")
    for claim, chip, number in places:
        assert 0 <= chip["left"] < chip["right"] <= PHONE["width"]
        assert claim["bottom"] <= chip["top"] + 1
        assert number["height"] == 0 or chip["bottom"] <= number["top"] + 1


@pytest.mark.slow
def test_paper_has_every_claim_whatever_is_filtered_and_nothing_is_cut_off(page, listed):
    page.select_option("[name=paper]", "P2")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert shown(page) == keys(listed)
    assert cut(page) == []
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    split = "chips => chips.filter(chip => chip.getBoundingClientRect().height > 40).map(chip => chip.textContent)"
    assert page.eval_on_selector_all("#claims .verdict", split) == []
    assert not page.is_visible("form")
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert shown(page) == keys(listed, paper="P2")


@pytest.mark.slow
def test_everybody_can_read_it_in_light_and_dark(page):
    assert in_both_lights(page) == []


@pytest.mark.slow
def test_a_pale_verdict_is_noticed(page):
    page.add_style_tag(content=".claims .verdict-reproduced { --verdict: #8fd3ae !important; }")
    assert any("color-contrast" in line for line in in_both_lights(page))


@pytest.mark.slow
def test_a_tolerance_that_the_script_reads_wrongly_is_noticed(page, listed):
    page.evaluate("document.getElementById('p1.fig07.cnn_dp_gan.max_test_accuracy').dataset.least = '0.5'")
    assert set_tolerance(page, 1) != [claims_list.verdict_at(one, 1.0) for one in listed]
