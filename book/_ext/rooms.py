"""Sphinx extension of the book: how the code is built, drawn and listed from the code itself at build time.

- directive ``{rooms}``: the rooms and their imports as a picture, and the same as a table;
- directive ``{modules}`` NAME: each module of a room from its docstrings, a part of the page a module;
- directive ``{face}``: the names that ``import cnndp`` gives;
- directive ``{notebook-cell}`` PATH TEXT: the code cell of a notebook that holds a text;
- role ``{test}`path::name` ``: a test by its name, an error where there is none;
- directive ``{additions}``: where something new goes, from book/additions.yml, with an example of each.
"""

import ast
import difflib
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import grimp
import nbformat
import pandas as pd
import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.parsers.rst.states import Inliner
from docutils.statemachine import StringList
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.nodes import make_refnode
from vector import ACCENT, INK, PAPER, svg

import cnndp

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cnndp"
ADDITIONS = ROOT / "book" / "additions.yml"
BESIDE = "beside"  # stands for the modules that are in no room

Arrows = Mapping[tuple[str, str], int]  # (room that imports, room that is imported) -> how many modules are


# --- the rooms, as they are -------------------------------------------------------------------------------


class Room(NamedTuple):
    """A folder of the package, or a module beside them."""

    name: str
    layer: int  # counted from the top
    purpose: str  # what its docstring says first
    files: int
    lines: int


def layers() -> list[list[str]]:
    """Return the rooms of each layer from the top: the contract that import-linter checks."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    return [re.findall(r"cnndp\.(\w+)", layer) for layer in contract["layers"]]


def files_of(room: str) -> list[Path]:
    """Return the files of a room, its docstring's first, then in order."""
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py"), key=lambda path: (path.name != "__init__.py", path)) or [PACKAGE / f"{room}.py"]


def rooms() -> list[Room]:
    """Return all rooms from the top down."""
    found = []
    for number, layer in enumerate(layers()):
        for name in layer:
            sources = [path.read_text(encoding="utf-8") for path in files_of(name)]
            purpose = " ".join((ast.get_docstring(ast.parse(sources[0])) or "").split("\n\n")[0].split())
            found.append(Room(name, number, purpose, len(sources), sum(len(text.splitlines()) for text in sources)))
    return found


def module_of(path: Path) -> str:
    """Return the name by which a file of the package is imported.

    >>> module_of(PACKAGE / "equations" / "noise.py"), module_of(PACKAGE / "equations" / "__init__.py")
    ('cnndp.equations.noise', 'cnndp.equations')
    """
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def graph() -> grimp.ImportGraph:
    """Return which module imports which, read from the sources."""
    return grimp.build_graph("cnndp", cache_dir=None)


def arrows(imports: grimp.ImportGraph) -> Arrows:
    """Return how many modules of a room import one of another room; the package's own name is in no room."""
    pairs = (
        (importer.split(".")[1], imported.split(".")[1])
        for importer in imports.modules
        for imported in imports.find_modules_directly_imported_by(importer)
        if importer.count(".") and imported.count(".")
    )
    return Counter(sorted(pair for pair in pairs if pair[0] != pair[1]))


def check_direction(found: Arrows, order: Sequence[Sequence[str]]) -> None:
    """Raise an error at an arrow that does not point to a lower layer, or at a room that is in none.

    >>> check_direction({("data", "training"): 1}, [["training"], ["data"]])
    Traceback (most recent call last):
        ...
    sphinx.errors.ExtensionError: cnndp.data imports cnndp.training, which is no layer below it
    """
    level = {room: number for number, layer in enumerate(order) for room in layer}
    for importer, imported in sorted(found):
        for room in (importer, imported):
            if room not in level:
                raise ExtensionError(f"cnndp.{room} is in no layer; add it to [tool.importlinter] in pyproject.toml")
        if level[importer] >= level[imported]:
            raise ExtensionError(f"cnndp.{importer} imports cnndp.{imported}, which is no layer below it")


def imports_of(room: str, found: Arrows, listed: Sequence[Room]) -> list[str]:
    """Return what a room imports, from the top down."""
    return [other.name for other in listed if (room, other.name) in found]


# --- the picture ------------------------------------------------------------------------------------------

BOX, LANE, ROW, GAP = 250, 27, 36, 12  # width of a box, and distances of lanes, of rooms and of layers, in pixels
CAPTION = (
    "The rooms of <code>cnndp</code>, read from the sources when this page was made. A line leaves a room on the right "
    "for everything that it imports; a dot marks which line down it takes, a larger one for more modules. Every arrow "
    "ends below its start, or there would be no page."
)


def described(found: Arrows, listed: Sequence[Room]) -> str:
    """Return what the picture shows, for those who do not see it."""
    said = [f"{room.name} imports {', '.join(imports_of(room.name, found, listed)) or 'nothing'}" for room in listed]
    return f"The rooms of cnndp from the top down, every import pointing to a lower one: {'; '.join(said)}."


def draw(found: Arrows, listed: Sequence[Room]) -> Figure:
    """Return the picture: boxes from the top down, and from each a line right, then down to what it imports."""
    top = {room.name: ROW * row + GAP * room.layer for row, room in enumerate(listed)}
    lane = {room.name: BOX + 16 + LANE * row for row, room in enumerate(listed)}
    width, height = max(lane.values()) + 14, max(top.values()) + ROW
    figure = Figure(figsize=(width / 72, height / 72))
    figure.patch.set_visible(False)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    line: Any = {"color": INK, "linewidth": 1, "clip_on": False}
    for room in listed:
        below = [lane[name] for name in imports_of(room.name, found, listed)]
        above = [top[importer] for importer, imported in found if imported == room.name]
        start, end = top[room.name] + 22, top[room.name] + 9
        if below:
            axes.plot([BOX, max(below)], [start, start], alpha=0.45, **line)
        if above:
            axes.plot([lane[room.name]] * 2 + [BOX + 5], [min(above) + 22, end, end], alpha=0.45, **line)
            axes.plot([BOX + 4], [end], marker="<", markersize=6, **line)
        box = FancyBboxPatch((1, top[room.name] + 1), BOX - 2, ROW - 6, boxstyle="round,pad=0,rounding_size=4")
        box.set(facecolor=PAPER, edgecolor=INK, linewidth=1, clip_on=False)
        axes.add_patch(box)
        size = f"{room.files} {'file' if room.files == 1 else 'files'}, {room.lines:,} lines"
        middle: Any = {"y": top[room.name] + ROW / 2 - 2, "va": "center", "color": INK}
        axes.text(10, s=room.name, fontsize=12, weight="bold", **middle)
        axes.text(BOX - 10, s=size, fontsize=10, ha="right", **middle)
    for (importer, imported), count in found.items():
        (dot,) = axes.plot(
            lane[imported], top[importer] + 22, "o", color=ACCENT, ms=3 + 1.5 * count**0.4, clip_on=False
        )
        dot.set_gid(f"import-{importer}-{imported}")
    return figure


def picture() -> str:
    """Return the picture of the rooms as HTML."""
    found, listed = arrows(graph()), rooms()
    drawn = svg(draw(found, listed), described(found, listed))
    return f'<figure class="scroll-x">\n{drawn}\n<figcaption><p>{CAPTION}</p></figcaption>\n</figure>'


def table() -> str:
    """Return the rooms as a Markdown table."""
    found, listed = arrows(graph()), rooms()
    cells = [
        {
            "Room": f"{{doc}}`{room.name} </book/{page_of(room.name)}>`",
            "What it is for": room.purpose.replace("|", r"\|"),
            "Files": room.files,
            "Lines": f"{room.lines:,}",
            "Imports": ", ".join(imports_of(room.name, found, listed)) or "nothing",
        }
        for room in listed
    ]
    sides = ("left", "left", "right", "right", "left")
    return str(pd.DataFrame(cells).to_markdown(index=False, disable_numparse=True, colalign=sides))


# --- pages of the API -------------------------------------------------------------------------------------


def page_of(room: str) -> str:
    """Return the page that has the modules of a room, below book/."""
    return f"api/{room}" if (PACKAGE / room).is_dir() else "api"


def modules_on(page: str) -> list[str]:
    """Return the modules that ``{modules}`` NAME shows: those of a room, or with NAME "beside" those in none."""
    if page != BESIDE:
        return [module_of(path) for path in files_of(page)[1:]]
    return [module_of(path) for path in sorted(PACKAGE.glob("*.py")) if path.name != "__init__.py"]


def automodule(module: str, *options: str) -> str:
    """Return what makes Sphinx document a module."""
    return "\n".join(["```{eval-rst}", f".. automodule:: {module}", *(f"   :{option}:" for option in options), "```"])


def parts_of(page: str) -> str:
    """Return a part for each module of a page."""
    parts = [f"## `{name.removeprefix('cnndp.')}`\n\n{automodule(name)}" for name in modules_on(page)]
    return "\n\n".join(parts)


def face() -> str:
    """Return the names that the package gives as a Markdown table, with where each is from."""
    rows = []
    for name, place in cnndp.FACE.items():
        module, _, attribute = place.partition(":")
        lines = (getattr(cnndp, name).__doc__ or "").strip().splitlines()
        rows.append(
            {
                "Name": f"`cnndp.{name}`",
                "What it is": (lines[0] if lines else "").replace("`", ""),
                "From": f"{{py:obj}}`{module.removeprefix('cnndp.')}.{attribute} <{module}.{attribute}>`",
            }
        )
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def escaped(text: str, marks: str) -> str:
    r"""Return a text with a backslash before each of the marks that stands outside backticks.

    >>> print(escaped("|x| of `a | b`", "|"))
    \|x\| of `a | b`
    """
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(one if one.startswith("`") else re.sub(f"([{re.escape(marks)}])", r"\\\1", one) for one in parts)


def prose(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a docstring with the bars of formulas escaped, and no list begun by "N."; code stays.

    >>> list(prose(["|x| is", ">>> 5 | 2", "|7|", "", "    num_train: N."]))
    ['\\\\|x\\\\| is', '>>> 5 | 2', '|7|', '', '    num_train: \\\\ N.']
    """
    code = False
    for line in lines:
        code = line.lstrip().startswith(">>>") or (code and bool(line.strip()))
        yield line if code else re.sub(r"^(\s+[\w, ]+: )(?=[A-Za-z]\.)", r"\1\\ ", escaped(line, "|"))


def field_lines(fields: Mapping[str, str]) -> list[str]:
    """Return the comments beside the fields of a class as a part of its docstring.

    >>> field_lines({"scale": "of the noise, *"})
    ['', 'Args:', '    scale: of the noise, \\\\*', '']
    """
    return ["", "Args:", *(f"    {name}: {escaped(text, '*|_')}" for name, text in fields.items()), ""]


def comments(source: str) -> dict[str, str]:
    r"""Return the comment beside each annotated name in the body of a class.

    >>> comments("class Step:\n    size: int  # alpha\n    slack: int\n")
    {'size': 'alpha'}
    """
    (made,) = ast.parse(source).body
    lines, found = source.splitlines(), {}
    for node in made.body if isinstance(made, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno:
            beside = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
            if beside.startswith("#"):
                found[node.target.id] = beside.removeprefix("#").strip()
    return found


def shape(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Show the fields of a class as its parameters: those that its docstring names, or the comments beside them.

    What docstrings say otherwise than napoleon and docutils read it is put as they do.
    """
    if what == "property":
        lines[:0] = ["..", ""]  # a comment: else napoleon takes what stands before a colon for a type
    lines[:] = prose(lines)
    if what != "class":
        return
    lines[:] = ["Args:" if line == "Attributes:" else line for line in lines]
    if "Args:" not in lines and thing.__module__.startswith("cnndp."):
        found = comments(inspect.getsource(thing))
        lines += field_lines(found) if found else []


def skip_alias(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of a NamedTuple, which Python calls aliases for a number."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def by_short_name(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Return the link of a name such as `methods.compose`, which ends as one name of the pages does.

    What else stands between backticks in a docstring, and is no name, is code.
    """
    if node.get("refdomain") != "py":
        return None
    target, python = node["reftarget"], env.get_domain("py")
    found = [name for name in python.objects if name.endswith(f".{target}")] if "." in target else []
    if len(found) == 1:
        entry = python.objects[found[0]]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])
    return content if node["reftype"] == "obj" else None


# --- code on the page -------------------------------------------------------------------------------------


def cell_with(path: Path, text: str) -> str:
    """Return the one code cell of a notebook that holds a text."""
    cells = nbformat.read(path, as_version=4).cells
    found = [cell.source for cell in cells if cell.cell_type == "code" and text in cell.source]
    if len(found) != 1:
        raise ExtensionError(f"{path.name} has {len(found)} code cells with {text!r}; one is needed")
    return str(found[0])


def has_test(name: str, root: Path = ROOT) -> bool:
    """Return whether a test is there.

    >>> has_test("tests/equations/test_noise.py::test_nothing")
    False
    """
    path, _, function = name.partition("::")
    file = root / path
    return (
        file.is_file() and re.search(rf"^def {function}\(", file.read_text(encoding="utf-8"), re.MULTILINE) is not None
    )


def named_test(
    name: str, rawtext: str, text: str, lineno: int, inliner: Inliner, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Return the name of a test as code that may go on in the next line."""
    if not has_test(text):
        message = inliner.reporter.error(f"test {text!r} does not exist", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    broken = re.sub(r"(/|::|_)", r"\1<wbr>", text)
    return [nodes.raw("", f'<code class="docutils literal notranslate">{broken}</code>', format="html")], []


class Addition(NamedTuple):
    """Something new, and an example of it: what is changed in which files."""

    name: str
    text: str
    test: str
    edits: list[dict[str, Any]]  # each a `file`, with `put` in place of `find`, or a copy `of` another file

    @property
    def files(self) -> list[str]:
        """Return the files that it touches."""
        return list(dict.fromkeys(edit["file"] for edit in self.edits))


def additions() -> list[Addition]:
    """Return what book/additions.yml lists."""
    return [Addition(**row) for row in yaml.safe_load(ADDITIONS.read_text(encoding="utf-8"))]


def edited(addition: Addition, root: Path) -> dict[str, tuple[str, str]]:
    """Return the text of each file that an addition touches, before and after it; nothing is written.

    Raises:
        ExtensionError: a text to replace that is not there, or there more than once.
    """
    found: dict[str, tuple[str, str]] = {}
    for edit in addition.edits:
        name = edit["file"]
        if "of" in edit:
            text = (root / edit["of"]).read_text(encoding="utf-8")
            for old, new in edit["with"].items():
                text = text.replace(old, new)
            found[name] = ("", text)
            continue
        before, text = found.get(name) or ((root / name).read_text(encoding="utf-8"),) * 2
        if text.count(edit["find"]) != 1:
            raise ExtensionError(f"{name} has {text.count(edit['find'])} times {edit['find']!r}; one is needed")
        found[name] = (before, text.replace(edit["find"], edit["put"]))
    return found


def example(addition: Addition) -> Iterator[str]:
    """Yield the changes of an addition as Markdown, a block of code a file."""
    copies = {edit["file"]: edit for edit in addition.edits if "of" in edit}
    for name, (before, after) in edited(addition, ROOT).items():
        if name in copies:
            renamed = ", ".join(f"`{new}` in place of `{old}`" for old, new in copies[name]["with"].items())
            yield f"`{name}` is a copy of `{copies[name]['of']}`, with {renamed}."
            continue
        lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))
        yield "\n".join([f"`{name}`", "", "```diff", *lines[2:], "```"])


def new_things() -> str:
    """Return where something new goes: a table, then a part with an example for each."""
    rows = [{"To add": one.name, "touch": ", ".join(f"`{name}`" for name in one.files)} for one in additions()]
    parts = [str(pd.DataFrame(rows).to_markdown(index=False))]
    for one in additions():
        parts += [f"**{one.name[0].upper()}{one.name[1:]}.** {one.text}", f"Tried in {{test}}`{one.test}`."]
        parts += ["````{dropdown} What that test adds", *example(one), "````"]
    return "\n\n".join(parts)


# --- directives -------------------------------------------------------------------------------------------


class Written(Directive):  # type: ignore[misc]  # docutils has no types
    """A directive whose content is Markdown made by `markdown`; what has headings becomes parts of the page."""

    def markdown(self) -> str:
        """Return the text."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the text as the page itself is parsed."""
        container = nodes.container(classes=["scroll-x"])
        self.state.nested_parse(StringList(self.markdown().splitlines()), self.content_offset, container, True)
        return [container] if container.children else []


class Rooms(Written):
    """The rooms as a picture, and as a table."""

    def markdown(self) -> str:
        """Return the table."""
        return table()

    def run(self) -> list[nodes.Node]:
        """Return both."""
        return [nodes.raw("", picture(), format="html"), *super().run()]


class Modules(Written):
    """The modules of a room."""

    required_arguments = 1

    def markdown(self) -> str:
        """Return a part a module."""
        return parts_of(self.arguments[0])


class Face(Written):
    """The names that the package gives."""

    def markdown(self) -> str:
        """Return what the package says of itself, and the table."""
        return f"{automodule('cnndp', 'no-members')}\n\n{face()}"


class NewThings(Written):
    """Where something new goes."""

    def markdown(self) -> str:
        """Return table and examples."""
        return new_things()


class NotebookCell(Directive):  # type: ignore[misc]
    """The code cell of a notebook that holds a text."""

    required_arguments = 2
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return it as a block of code."""
        path, text = self.arguments
        code = cell_with(ROOT / path, text)
        block = nodes.literal_block(code, code, language="python")
        return [block]


def check_rooms(app: Sphinx) -> None:
    """Stop the build at an import that runs up."""
    check_direction(arrows(graph()), layers())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and what shapes the docstrings."""
    app.add_directive("rooms", Rooms)
    app.add_directive("modules", Modules)
    app.add_directive("face", Face)
    app.add_directive("additions", NewThings)
    app.add_directive("notebook-cell", NotebookCell)
    app.add_role("test", named_test)
    app.connect("builder-inited", check_rooms)
    app.connect("autodoc-process-docstring", shape, priority=400)  # before napoleon reads the parts
    app.connect("autodoc-skip-member", skip_alias)
    app.connect("missing-reference", by_short_name)
    return {"version": "1", "parallel_read_safe": True}
