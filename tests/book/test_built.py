"""How it is built: the picture shows the imports, the pages every module; each addition touches what it says."""

import ast
import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scripts
import yaml
from docutils.parsers.rst.states import Inliner
from docutils.utils import new_document
from sphinx.errors import ExtensionError
from vector import COLOURS

import cnndp

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "how_it_is_built.md"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "cnndp").rglob("*.py")
}


@pytest.fixture(scope="module")
def rooms():
    return scripts.load("book/_ext/rooms.py")


# The picture


def drawn(rooms, found):
    """Return the imports that a picture has a dot for."""
    text = rooms.svg(rooms.draw(found, rooms.rooms()), rooms.described(found, rooms.rooms()))
    return {tuple(name.split("-")) for name in re.findall(r'id="import-([\w-]+)"', text)}


def test_the_picture_has_an_arrow_for_every_import_between_rooms_and_no_other(rooms):
    found = rooms.arrows(rooms.graph())
    assert drawn(rooms, found) == set(found)
    reference = {
        (importer.split(".")[1], imported.split(".")[1])
        for importer in MODULES - {"cnndp"}
        for imported in rooms.graph().find_modules_directly_imported_by(importer)
        if imported != "cnndp" and importer.split(".")[1] != imported.split(".")[1]
    }
    assert set(found) == reference
    assert {"training", "runs"} <= {importer for importer, _ in found}
    fewer = {pair: count for pair, count in found.items() if pair != ("runs", "training")}
    assert drawn(rooms, fewer) == set(fewer)


def test_every_box_is_above_what_it_imports(rooms):
    order = [room.name for room in rooms.rooms()]
    assert all(order.index(importer) < order.index(imported) for importer, imported in rooms.arrows(rooms.graph()))
    assert set(order) == {module.split(".")[1] for module in MODULES - {"cnndp"}}


def test_an_arrow_that_points_up_stops_the_build_with_both_names(rooms, monkeypatch):
    rooms.check_rooms(None)
    graph = rooms.grimp.build_graph("cnndp", cache_dir=None)
    graph.add_import(importer="cnndp.equations.noise", imported="cnndp.report.tables")
    monkeypatch.setattr(rooms, "graph", lambda: graph)
    with pytest.raises(ExtensionError, match=r"cnndp\.equations imports cnndp\.report"):
        rooms.check_rooms(None)


def test_an_arrow_within_a_layer_and_a_room_in_none_stop_the_build(rooms):
    order = rooms.layers()
    with pytest.raises(ExtensionError, match=r"cnndp\.data imports cnndp\.privacy"):
        rooms.check_direction({("data", "privacy"): 1}, order)
    with pytest.raises(ExtensionError, match=r"cnndp\.attic is in no layer"):
        rooms.check_direction({("report", "attic"): 1}, order)


def test_the_picture_is_readable_on_light_and_dark_pages_and_by_those_who_do_not_see_it(rooms):
    made = rooms.picture()
    assert 'role="img"' in made
    assert "training imports data, privacy, equations, checks" in re.search(r'aria-label="([^"]+)"', made)[1]
    assert all(f">{room.name}</text>" in made for room in rooms.rooms())  # text, not outlines
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", made)) <= {*COLOURS.values(), "none"}
    assert "://" not in made.replace("http://www.w3.org/", "")
    assert made == rooms.picture()


def test_the_table_says_the_same_as_the_picture(rooms):
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rooms.table().splitlines()[2:]]
    found = rooms.arrows(rooms.graph())
    assert len(rows) == len(rooms.rooms())
    for room, (name, purpose, files, lines, imports) in zip(rooms.rooms(), rows, strict=True):
        assert f"`{room.name} <" in name
        assert purpose
        sources = rooms.files_of(room.name)
        counted = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources)
        assert (int(files), lines) == (len(sources), f"{counted:,}")
        assert {one for one in imports.split(", ") if one != "nothing"} == {to for of, to in found if of == room.name}


# The pages of the API


def test_every_module_is_on_a_page_and_every_page_in_the_table_of_contents(rooms):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "book" / "api").glob("*.md")}
    assert set(pages) == {room.name for room in rooms.rooms() if (ROOT / "cnndp" / room.name).is_dir()}
    shown = {"cnndp", *rooms.modules_on(rooms.BESIDE)}
    for name, text in pages.items():
        assert f"```{{modules}} {name}\n" in text
        assert f".. automodule:: cnndp.{name}\n" in text
        shown |= {f"cnndp.{name}", *rooms.modules_on(name)}
    assert shown == MODULES
    front = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    assert "{modules} beside" in front
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for page in ("how_it_is_built", "api", *(f"api/{name}" for name in pages)):
        assert f"- file: book/{page}\n" in toc, page


def test_a_module_that_is_new_is_on_its_page(rooms, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "cnndp" / "equations", tmp_path / "cnndp" / "equations")
    (tmp_path / "cnndp" / "equations" / "momentum.py").write_text('"""New."""\n', encoding="utf-8")
    monkeypatch.setattr(rooms, "PACKAGE", tmp_path / "cnndp")
    assert "automodule:: cnndp.equations.momentum" in rooms.parts_of("equations")


def test_the_face_shows_every_name_of_the_package_with_its_place(rooms):
    lines = rooms.face().splitlines()[2:]
    assert len(lines) == len(cnndp.FACE)
    for (name, place), line in zip(cnndp.FACE.items(), lines, strict=True):
        assert f"`cnndp.{name}`" in line
        assert f"<{place.replace(':', '.')}>`" in line
        assert inspect.getdoc(getattr(cnndp, name)).split()[0] in line


@pytest.mark.parametrize("text", ["N.", "T. Where Table II has none, another.", "a sentence."])
def test_a_letter_with_a_full_stop_is_no_list(rooms, text):
    lines = ["Args:", f"    num_steps: {text}"]
    rooms.shape(None, "function", "", None, None, lines)
    assert lines == ["Args:", f"    num_steps: {'' if text.startswith('a') else chr(92) + ' '}{text}"]


def test_the_fields_of_a_class_are_shown_with_the_comments_beside_them(rooms):
    from cnndp.training.methods import Noisy

    lines = ["What one step released."]
    rooms.shape(None, "class", "", Noisy, None, lines)
    assert "Args:" in lines
    assert any(line.startswith("    gradient: [P]") for line in lines)


# The five stops


def stops():
    """Return the text of each of the five stops."""
    text = PAGE.read_text(encoding="utf-8").split("## Five stops")[1].split("### And back")[0]
    return re.split(r"^### \d\. ", text, flags=re.MULTILINE)[1:]


def excerpts(text):
    """Return path, object and first words of each excerpt."""
    return re.findall(
        r"```\{literalinclude\} \.\./(\S+)\n:pyobject: (\w+)\n:start-at: \"?([^\"\n]+)\"?\n:lineno-match:", text
    )


def test_each_stop_shows_short_code_that_exists_and_a_test_that_exists(rooms):
    assert len(stops()) == 5
    for number, stop in enumerate(stops(), start=1):
        found = excerpts(stop)
        assert bool(found) != ("{notebook-cell}" in stop), f"stop {number}"
        for path, name, start in found:
            text = (ROOT / path).read_text(encoding="utf-8")
            (node,) = [one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == name]
            _, separator, rest = (ast.get_source_segment(text, node) or "").partition(f"\n    {start}")
            assert separator, f"{name} has no line {start!r}"
            assert len(rest.rstrip().splitlines()) <= 14, name
            assert f"`{path}`" in stop
        (test,) = re.findall(r"^Test\n: \{test\}`(\S+)`$", stop, flags=re.MULTILINE)
        assert rooms.has_test(test), test


def test_a_test_that_does_not_exist_is_missed(rooms):
    assert rooms.has_test("tests/book/test_built.py::test_a_test_that_does_not_exist_is_missed")
    assert not rooms.has_test("tests/equations/test_noise.py::test_nothing")
    assert not rooms.has_test("tests/equations/test_nothing.py::test_nothing")
    inliner, document = Inliner(), new_document("page")
    document.reporter.report_level = 5
    inliner.reporter, inliner.document, inliner.parent = document.reporter, document, document
    (bad,), (message,) = rooms.named_test("test", "raw", "tests/nothing.py::test", 1, inliner)
    assert bad.tagname == "problematic"
    assert "'tests/nothing.py::test' does not exist" in message.astext()


def test_the_lines_of_eq_9_and_of_the_draw_are_linked_from_the_top_and_are_what_runs(rooms):
    top, _, rest = PAGE.read_text(encoding="utf-8").partition("## The rooms")
    for label, code in (("stop-gradient", "gradient = (total"), ("stop-draw", "# rand is a multiple")):
        assert f"<{label}>`" in top
        stop = rest.split(f"({label})=\n")[1].split("\n### ")[0]
        assert code in stop
    from cnndp.equations.noise import laplace
    from cnndp.training.methods import add_noise

    assert "gradient = (total + scale * unit_noise) / method.divisor" in inspect.getsource(add_noise)
    assert "torch.log1p(" in inspect.getsource(laplace)


def test_the_cell_is_that_of_the_notebook(rooms):
    (path, text) = re.findall(r"```\{notebook-cell\} (\S+) (.+)", PAGE.read_text(encoding="utf-8"))[0]
    assert "results = experiment.run(study)" in rooms.cell_with(ROOT / path, text)
    with pytest.raises(ExtensionError, match="0 code cells"):
        rooms.cell_with(ROOT / path, "no such text")


# What is new


def test_each_addition_touches_three_files_at_most_and_names_the_test_that_tries_it(rooms):
    found = rooms.additions()
    assert [one.name for one in found] == list(NEW)
    for one in found:
        assert 1 <= len(one.files) <= 3, one.name
        assert one.test.partition("::")[0] == "tests/book/test_built.py"
        assert rooms.has_test(one.test), one.test
        assert 2 <= len(re.findall(r"[.:](?= [A-Z]|$)", one.text)) <= 5, one.name


def test_the_page_shows_the_change_that_is_tried(rooms):
    shown = rooms.new_things()
    for one in rooms.additions():
        assert f"{{test}}`{one.test}`" in shown
        assert all(f"`{name}`" in shown for name in one.files)
    assert '+    "two_layers": two_layers,' in shown


def test_a_change_that_does_not_fit_the_files_any_more_is_refused(rooms):
    (one,) = [one for one in rooms.additions() if one.name == "a network"]
    lost = one._replace(edits=[{**one.edits[0], "find": "not there"}])
    with pytest.raises(ExtensionError, match="has 0 times 'not there'"):
        rooms.edited(lost, ROOT)


def copied(folder):
    """Return every file of the folder that an addition could touch, as bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tried(rooms, tmp_path):
    """Return a function that makes an addition in a copy, checks what it touched, and runs code against the copy."""
    unwanted = shutil.ignore_patterns("__pycache__", "runs", "*.pyc")
    shutil.copytree(ROOT / "cnndp", tmp_path / "cnndp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=unwanted)

    def make(*names):
        before, allowed = copied(tmp_path), set()
        for one in rooms.additions():
            if one.name in names:
                allowed |= set(one.files)
                for name, (_, text) in rooms.edited(one, tmp_path).items():
                    (tmp_path / name).write_text(text, encoding="utf-8")
        after = copied(tmp_path)
        assert {name for name in after if before.get(name) != after[name]} == allowed

    def run(*names):
        make(*names)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1", "CNNDP_OFFLINE": "1"}
        environment |= {"CNNDP_PROGRESS": os.devnull, "CNNDP_DATA": str(tmp_path / "data")}
        start = f"import cnndp\nassert cnndp.__file__.startswith({str(tmp_path)!r})\n"
        code = start + inspect.cleandoc(NEW[names[-1]])
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env={**environment, "CNNDP_RESULTS": str(ROOT / "book" / "results")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()

    return run


# What each addition must make possible; the names are those of book/additions.yml.
NEW = {
    "a method": """
        from cnndp.papers.sections.plan import Options, plan
        images = cnndp.load("digits")
        config = cnndp.preset("dp_sgd_normalised", "private", "digits", 2, target_epsilon=3.0)
        print(cnndp.plan(config, len(images.train_labels)).check().epsilon <= 3.0)
        outcome = cnndp.train(config, images)
        print(outcome.status, outcome.final["last_step"])
        step, norm = outcome.trace["step_size"][0], outcome.trace["gradient_norm"][0]
        print(abs(step * norm - config.learning_rate) < 1e-6)
        print(cnndp.preset("dp_sgd_normalised", "reconstructed", "mnist", 300).step)
        """,
    "a section": """
        import tempfile
        from pathlib import Path
        study = cnndp.prepare("batch_sizes", dataset="digits", num_steps=2)
        print([(run.label, run.config.batch_size) for run in study.runs])
        results = cnndp.run(study._replace(root=Path(tempfile.mkdtemp())))
        print(cnndp.frame(results)["last_step"].tolist())
        import papermill
        print(papermill.inspect_notebook("notebooks/batch_sizes.ipynb")["dataset"]["default"])
        print('from_notebook(\\\\"batch_sizes\\\\"' in Path("notebooks/batch_sizes.ipynb").read_text())
        """,
    "a page for a section": """
        import sys
        from pathlib import Path
        import yaml
        sys.path.insert(0, "notebooks")
        import run
        run.write_toc(run.read_matrix(Path("notebooks/matrix.yml")), Path("notebooks/toc.yml"), Path("_toc.yml"))
        (part,) = [part for part in yaml.safe_load(Path("_toc.yml").read_text())["parts"] if part["caption"] == "P1"]
        print(part["chapters"][0]["file"])
        """,
    "a dataset": """
        from cnndp.report.numbers import pretty
        images = cnndp.load("stripes", split="official")
        print(images.name, *images.train_images.shape, *images.test_images.shape, pretty("stripes"))
        config = cnndp.preset("dp_sgd", "private", "stripes", 2, batch_size=8, target_epsilon=3.0)
        print(cnndp.train(config, cnndp.load("stripes")).status)
        print(cnndp.prepare("fig07_ablation", dataset="stripes", batch_size=8).runs[0].config.dataset)
        from cnndp.data.fetch import FetchError, cache_file
        cache_file("stripes").unlink()
        labels = cache_file("stripes").with_suffix("") / "train-labels-idx1-ubyte"
        labels.write_bytes(labels.read_bytes()[:-1] + b"?")
        try:
            cnndp.load("stripes")
        except FetchError as error:
            print("train_labels" in str(error))
        """,
    "a claim": """
        from cnndp.papers.claims import claims
        from cnndp.report import findings, verdicts
        (claim,) = [one for one in claims("fig07_ablation") if one.key == "p1.fig07.cnn_dp.max_test_accuracy"]
        found = verdicts.compare(findings.runs_of("fig07_ablation", "mnist"), stated=[claim])
        print(found["what"][0], found["paper"][0], found["verdict"][0], found["mean_reconstructed"][0] > 1, sep="; ")
        """,
    "a network": """
        config = cnndp.preset("dp_sgd", "reconstructed", "digits", 2, model="two_layers")
        outcome = cnndp.train(config, cnndp.load("digits"))
        print(outcome.status, outcome.final["last_step"], len(outcome.weights))
        """,
}


def test_a_new_method_is_planned_and_trained(tried):
    assert tried("a method") == ["True", "finished 2", "True", "normalised"]


def test_a_new_section_is_prepared_and_run(tried):
    runs = [("B = 50", 50), ("B = 500", 500)]
    assert tried("a section") == [str(runs), "[2, 2]", '"digits"', "True"]


def test_a_new_page_is_in_the_table_of_contents(tried):
    assert tried("a section", "a page for a section") == ["notebooks/runs/mnist/batch_sizes"]


def stripes(count):
    """Return images of 28 by 28 pixels with stripes, whose width is the label, and the labels."""
    numbers = np.arange(count)
    rows = np.arange(28) // (1 + numbers[:, None] % 10) % 2 * (200 + numbers[:, None])
    images = np.repeat(rows[:, None, :], 28, axis=1)
    return images.astype(np.uint8), (numbers % 10).astype(np.uint8)


def test_a_new_dataset_is_read_verified_and_trained_on(tried, tmp_path):
    place = tmp_path / "data" / "stripes"
    place.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 10)):
        for kind, array in zip(("images-idx3", "labels-idx1"), stripes(count), strict=True):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            (place / f"{part}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    shapes = "stripes 40 1 28 28 10 1 28 28 Stripes"
    assert tried("a dataset") == [shapes, "finished", "stripes", "True"]


def test_a_new_claim_is_judged_by_the_records(tried):
    assert tried("a claim") == ["highest accuracy of CNN-DP, made up; 1.0; not reproduced; True"]


def test_a_new_network_is_built_and_trained(tried):
    assert tried("a network") == [f"finished 2 {785 * 16 + 17 * 10}"]


def test_grimp_is_installed_with_the_book():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"grimp' in project
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]
    assert set(config["local_extensions"]) == {path.stem for path in (ROOT / "book" / "_ext").glob("*.py")} - {"vector"}


def test_the_examples_in_the_extension_hold(rooms):
    found = doctest.testmod(rooms)
    assert found.attempted >= 7
    assert found.failed == 0
