"""Equations, docstrings, book pages and the shape of the package agree with each other."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cnndp"
BOOK = ROOT / "book"
EQUATIONS = set(range(1, 12))  # P1's
ROOMS = {path.parent for path in PACKAGE.rglob("__init__.py")} - {PACKAGE}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

MAX_FILE_LINES = 400
MAX_FILES = 15  # of a room
MAX_INIT_LINES = 10  # of the docstring of a room
MAX_CODE_LINES = 2800  # of the small module: equations, privacy and training
SMALL = ("equations.", "privacy.", "training.")

HARD_WORDS = {  # of the glossary, as pages write them
    "CDP": r"CDP",
    "DPGDM": r"DPGDM",
    "Polyak step": r"Polyak steps?",
    "budget": r"budgets?",
    "cap": r"cap(s|ped|ping)?",
    "clip": r"clip(s|ped|ping)?",
    "de-bias": r"de-bias(es|ed|ing)?",
    "ledger": r"ledgers?",
    "nominal": r"nominal",
    "numerical epsilon": r"numerical",
    "reading": r"readings?",
    "record": r"records?",
    "seed": r"seeds?",
    "sensitivity": r"sensitivity",
}
READ_FIRST = (
    *("index", "method", "departures", "private", "how_it_is_built", "rerun", "your_data", "tuned", "status"),
    *("results", "claims", "checked", "explore_budget", "explore_frontier", "explore_thresholds"),
)


# --- what the sources say ---------------------------------------------------------------------------------


def equations_named(text: str) -> set[int]:
    """Return the numbers in "Eq. (n)" and in lists and ranges such as "Eq. (3), (9)" or "Eq. (1)-(5)"."""
    numbers: set[int] = set()
    for match in re.finditer(r"Eqs?\. ?(\(\d+\)(?:(?:, and |, | and | or |-)\(\d+\))*)", text):
        found = [int(number) for number in re.findall(r"\d+", match[1])]
        numbers.update(found)
        for first, last in re.findall(r"\((\d+)\)-\((\d+)\)", match[1]):
            numbers.update(range(int(first), int(last) + 1))
    return numbers


def public_functions() -> dict[str, str]:
    """Return the docstring of each public function, under `cnndp.module.function`."""
    return {
        f"cnndp.{module}.{node.name}": ast.get_docstring(node) or ""
        for module, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def equation_table() -> list[tuple[int, str, str]]:
    """Return (equation, function, test file) for each row of book/equations.md."""
    row = re.compile(r"^\| Eq\. \{eq\}`eq-(\d+)` \|[^|]*\| `([\w.]+)` \| `([\w./]+)` \|$")
    lines = (BOOK / "equations.md").read_text(encoding="utf-8").splitlines()
    body = [line for line in lines if line.startswith("|")][2:]
    rows = []
    for line in body:
        match = row.match(line)
        assert match, f"unreadable row in book/equations.md: {line}"
        rows.append((int(match[1]), match[2], match[3]))
    return rows


def prose_of(page: str) -> str:
    """Return the text of a page of the book, with code, formulas, headings and all roles but `term` blanked."""
    text = (BOOK / f"{page}.md").read_text(encoding="utf-8")
    parts = (
        r"(?P<term>\{term\}`[^`]*`)",
        r"^(?P<fence>`{3,}|:::+|\$\$).*?^(?P=fence)$",
        r"^#[^\n]*",
        r"\$[^$]*\$",
        r"(\{[\w:-]+\})?`[^`]*`",
    )
    pattern = re.compile("|".join(parts), re.MULTILINE | re.DOTALL)
    return pattern.sub(lambda found: found["term"] or " " * len(found[0]), text)


def links_to_glossary(text: str) -> dict[str, re.Match[str]]:
    """Return the first link to each term: {term}`cap` and {term}`capped <cap>` lead to one."""
    found: dict[str, re.Match[str]] = {}
    for link in re.finditer(r"\{term\}`([^`<]*?)(?:\s*<([^`]*)>)?`", text):
        found.setdefault(" ".join((link[2] or link[1]).split()), link)
    return found


def unlinked_words(text: str) -> list[str]:
    """Return the hard words that a text uses before it links them to the glossary, or without."""
    linked = {term: link.start() for term, link in links_to_glossary(text).items()}
    bare = re.sub(r"\{term\}`[^`]*`", lambda link: " " * len(link[0]), text)
    uses = {term: re.search(rf"(?<![\w-]){word}(?![\w-])", bare, re.IGNORECASE) for term, word in HARD_WORDS.items()}
    return [term for term, use in uses.items() if use and use.start() < linked.get(term, len(text))]


def code_lines(module: str) -> int:
    """Return the number of lines of code: without blank lines, comments and docstrings."""
    docs: set[int] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            docs.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = MODULES[module].read_text(encoding="utf-8").splitlines()
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in docs
        for number, line in enumerate(lines, start=1)
    )


# --- equations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Eq. (4): epsilon_t", {4}),
        ("in this order. Eq. (3), (9).", {3, 9}),
        ("Eq. (3) and (9)", {3, 9}),
        ("the gradient of Eq. (3) or (9).", {3, 9}),
        ("Eq. (6)-(11): the Polyak step", {6, 7, 8, 9, 10, 11}),
        ("Eq. (8), and with a noisy gradient Eq. (9)", {8, 9}),
        ("scale (2), nothing else", set()),
    ],
)
def test_equation_references_are_read_in_every_form_used(text: str, numbers: set[int]) -> None:
    assert equations_named(text) == numbers


def test_every_equation_is_claimed_and_none_is_invented() -> None:
    claimed = {number for docstring in public_functions().values() for number in equations_named(docstring)}
    assert claimed == EQUATIONS
    for module, path in MODULES.items():
        assert equations_named(path.read_text(encoding="utf-8")) <= EQUATIONS, module


def test_table_covers_every_equation_once_per_function_in_order() -> None:
    rows = equation_table()
    assert {number for number, _, _ in rows} == EQUATIONS
    numbers = [number for number, _, _ in rows]
    assert numbers == sorted(numbers)
    pairs = [(number, function) for number, function, _ in rows]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(("number", "function", "test_file"), equation_table())
def test_row_names_a_function_that_claims_the_equation_and_a_test_that_uses_it(
    number: int, function: str, test_file: str
) -> None:
    functions = public_functions()
    assert function in functions, f"{function} does not exist"
    assert number in equations_named(functions[function]), f"{function} does not claim Eq. ({number})"
    path = ROOT / test_file
    assert path.is_file(), f"{test_file} is missing"
    name = function.rsplit(".", 1)[1]
    assert re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")), f"{test_file} never mentions {name}"


def test_every_function_that_claims_an_equation_is_on_the_page() -> None:
    page = (BOOK / "equations.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(cnndp(?:\.\w+)+)`", page))
    for function, docstring in public_functions().items():
        if equations_named(docstring):
            assert named & {function, function.rsplit(".", 1)[0]}, f"{function} is not in book/equations.md"


def test_method_page_labels_the_equations_in_the_order_of_the_paper() -> None:
    page = (BOOK / "method.md").read_text(encoding="utf-8")
    labels = re.findall(r"^:label: (\S+)$", page, flags=re.MULTILINE)
    assert labels == [f"eq-{number}" for number in sorted(EQUATIONS)]


def test_equations_are_numbered_as_in_the_paper() -> None:
    config = ROOT / "_config.yml"
    assert config.is_file(), "_config.yml is missing"
    # With numbered chapters, equations would otherwise be called (2.4) and not (4).
    setting = re.search(r"\bmath_numfig: *(\w+)", config.read_text(encoding="utf-8"))
    assert setting, "set math_numfig: false under sphinx: config: in _config.yml"
    assert setting[1].lower() == "false"


def test_code_that_the_pages_name_exists() -> None:
    known = set(public_functions()) | {f"cnndp.{module}" for module in MODULES}
    known |= {
        f"cnndp.{module}.{node.name}"
        for module, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    for name in ("method.md", "equations.md"):
        for mention in re.findall(r"`(cnndp\.[\w.]+)`", (BOOK / name).read_text(encoding="utf-8")):
            assert mention in known, f"book/{name} names {mention}"


# --- pages ------------------------------------------------------------------------------------------------


def test_pages_mention_only_departures_that_are_defined() -> None:
    departures = BOOK / "departures.md"
    assert departures.is_file(), "book/departures.md is missing: it defines D1, D2, ... as headings"
    defined = re.findall(r"^## D(\d+)\b", departures.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(map(int, defined)) == list(range(1, len(defined) + 1)), f"departures are numbered {defined}"
    for page in sorted(BOOK.glob("*.md")):
        mentioned = set(re.findall(r"\bD(\d+)\b", page.read_text(encoding="utf-8")))
        assert mentioned <= set(defined), f"{page.name} names D{', D'.join(sorted(mentioned - set(defined)))}"


def test_citations_and_references_match() -> None:
    keys = re.findall(r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(keys) == len(set(keys)), "duplicate keys in references.bib"
    pages = [*BOOK.glob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb")]
    cited = {
        key.strip()
        for page in pages
        for roles in re.findall(r"\{cite:\w+\}`([^`]+)`", page.read_text(encoding="utf-8"))
        for key in roles.split(",")
    }
    assert cited <= set(keys), f"not in references.bib: {sorted(cited - set(keys))}"


def test_diagram_stands_alone() -> None:
    drawing = (BOOK / "_static" / "training_step.svg").read_text(encoding="utf-8")
    for forbidden in ("<script", "href", "<image", "@import", "@font-face", "url(http"):
        assert forbidden not in drawing
    assert drawing.count("://") == 1  # the namespace
    sizes = [int(size) for size in re.findall(r'font-size="(\d+)"', drawing)]
    assert min(sizes) >= 14


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A {term}`cap` on the step; with a cap it is slow.", []),
        ("A step that is {term}`capped\n<cap>` is slow.", []),
        ("With a cap it is slow; a {term}`cap` is a bound.", ["cap"]),
        ("Seeds are kept in records.", ["record", "seed"]),
        ("A {term}`record` has a seed and a {term}`digest`.", ["seed"]),
        ("Recorded capacity, de-clipped.", []),  # other words
    ],
)
def test_a_word_before_its_link_is_noticed(text: str, words: list[str]) -> None:
    assert unlinked_words(text) == words


def test_hard_words_are_entries_of_the_glossary() -> None:
    entries = set(re.findall(r"^(\w.*)$", (BOOK / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(HARD_WORDS) <= entries


@pytest.mark.parametrize("page", READ_FIRST)
def test_hard_words_are_linked_where_a_page_uses_them_first(page: str) -> None:
    text = prose_of(page)
    assert unlinked_words(text) == []
    links = {term: link for term, link in links_to_glossary(text).items() if term in HARD_WORDS}
    assert links, f"book/{page}.md links no word: is it read at all?"
    for term, link in links.items():
        assert unlinked_words(text.replace(link[0], link[1])) == [term]


# --- docstrings and shape ---------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_module_and_everything_public_in_it_has_a_docstring(module: str) -> None:
    tree = TREES[module]
    assert ast.get_docstring(tree), f"{module} has no docstring"
    members = [(node.name, node) for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    members += [
        (f"{name}.{node.name}", node)
        for name, owner in members
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.FunctionDef)
    ]
    missing = [
        name for name, node in members if "_" not in (name[0], name.split(".")[-1][0]) and not ast.get_docstring(node)
    ]
    assert not missing, f"{module}: {', '.join(missing)} without a docstring"


@pytest.mark.parametrize("room", sorted(ROOMS), ids=lambda room: room.name)
def test_a_room_says_in_ten_lines_what_it_is_for_and_holds_few_files(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert [type(node) for node in tree.body] == [ast.Expr]  # a docstring, and nothing else
    assert len((ast.get_docstring(tree) or "").splitlines()) in range(1, MAX_INIT_LINES + 1)
    assert len(list(room.glob("*.py"))) - 1 <= MAX_FILES
    assert not [path.name for path in room.glob("*.py") if path.name.startswith(f"{room.name}_")]


def test_tests_have_the_rooms_of_the_package() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and list(path.glob("test_*.py"))}
    assert folders == {room.name for room in ROOMS if room.parent == PACKAGE} | {"book", "browser", "faults"}


def test_the_layers_are_those_of_the_rooms() -> None:
    """import-linter reads them in `make lint`: a room that it does not know would be free to import anything."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    listed = {name for layer in contract["layers"] for name in re.findall(r"cnndp\.(\w+)", layer)}
    assert listed == {room.name for room in ROOMS if room.parent == PACKAGE} | {"__main__", "checks", "progress"}


def test_files_and_the_small_module_stay_small() -> None:
    for module, path in MODULES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MAX_FILE_LINES, f"{module} has {lines} lines"
    total = sum(code_lines(module) for module in MODULES if module.startswith(SMALL))
    assert total < MAX_CODE_LINES, f"the small module has {total} lines of code"
