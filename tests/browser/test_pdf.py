"""The book as one PDF: a book of three small pages, printed, and its contents, links and pictures looked at."""

import doctest

import pytest
from pypdf import PdfReader
from scripts import load
from sphinx_external_toc.parsing import parse_toc_yaml

pdf = load("book/pdf.py")

TOC = """
format: jb-book
root: start
parts:
- caption: Experiments
  chapters:
  - file: runs/one
    sections:
    - file: runs/two
"""
PAGES = {
    "start": '<h1 id="top">A small book</h1><p>See <a href="runs/two.html#end">the end</a> and '
    '<a href="https://example.org/">outside</a>.</p>',
    "runs/one": '<h1>Run one<a class="headerlink" href="#x">#</a></h1><p id="end">One, its '
    '<a href="../code.html">source</a>.</p><details><summary>More</summary><p>folded text</p></details>'
    '<img src="../picture.svg" alt="A tall picture" style="width: 100%"><script>document.body.remove()</script>',
    "runs/two": '<h1>Run two</h1><p id="end">Two, after <a href="one.html">the first</a>.</p>'
    "<noscript><p>static table</p></noscript>",
}


@pytest.fixture
def small(tmp_path):
    """Return the folder of a built book of three pages, and its table of contents."""
    (tmp_path / "runs").mkdir()
    for name, text in PAGES.items():
        page = f'<html><head></head><body><article class="bd-article">{text}</article></body></html>'
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 90"><rect width="100" height="90"/></svg>'
    (tmp_path / "picture.svg").write_text(drawing, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    return tmp_path, parse_toc_yaml(str(tmp_path / "_toc.yml"))


@pytest.fixture
def as_if_outside():
    """Playwright refuses a second browser in a thread that has one open: print in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def test_a_small_book_is_printed_with_contents_and_links(small, as_if_outside, tmp_path):
    root, toc = small
    path = tmp_path / "book.pdf"
    count = as_if_outside(pdf.make, root, toc, path)
    assert pdf.problems(path) == []
    texts = [page.extract_text() for page in PdfReader(path).pages]
    assert count == len(texts) == 5  # title, contents, three pages
    assert [line.split() for line in texts[1].splitlines() if "Run" in line] == [
        ["Run", "one", "4"],
        ["Run", "two", "5"],
    ]
    assert "Experiments" in texts[1]
    assert "folded text" in texts[3]
    assert "static table" in texts[4]
    assert pdf.first_pages(PdfReader(path))["runs-two--end"] == 5
    assert [entry["/Title"] for entry in PdfReader(path).outline if isinstance(entry, dict)][1:] == [
        "A small book",
        "Run one",
        "Run two",
    ]


def test_the_joined_book_has_each_id_once_and_only_links_that_lead_somewhere(small):
    root, toc = small
    page = pdf.BeautifulSoup(pdf.joined(root, toc, {}), "html.parser")
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.find_all("a", href=True)]
    assert {link for link in links if link.startswith("#")} == {f"#{name}" for name in ids} & set(links)
    assert [link for link in links if not link.startswith("#")] == ["https://example.org/"]
    assert "source" in page.get_text()
    assert page.find("script") is None


def test_pages_come_in_the_order_of_the_table_of_contents(small):
    assert pdf.chapters(small[1]) == [("start", 0, ""), ("runs/one", 0, "Experiments"), ("runs/two", 1, "")]


def test_a_page_that_is_not_built_is_named(small):
    root, toc = small
    (root / "runs" / "two.html").unlink()
    with pytest.raises(ValueError, match=r"two\.html is missing.*run: make html"):
        pdf.joined(root, toc, {})


def test_a_link_that_leads_nowhere_is_refused_before_it_is_printed(small, tmp_path):
    root, toc = small
    start = root / "start.html"
    start.write_text(start.read_text(encoding="utf-8").replace("#end", "#lost"), encoding="utf-8")
    with pytest.raises(ValueError, match="lead nowhere: #runs-two--lost"):
        pdf.make(root, toc, tmp_path / "book.pdf")


def test_a_link_to_a_file_of_this_machine_is_noticed(small, as_if_outside, tmp_path):
    root, toc = small
    path = tmp_path / "book.pdf"
    as_if_outside(pdf.printed, pdf.joined(root, toc, {}).replace("https://example.org/", "file:///picture.svg"), path)
    assert pdf.problems(path) == ["links to file:///picture.svg, which is not in the book"]


def test_the_examples_hold():
    found = doctest.testmod(pdf)
    assert found.attempted >= 4
    assert found.failed == 0
