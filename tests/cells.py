"""Notebooks in this process: their code cells, one after the other, without a kernel."""

import ast
import io
import re
import sys
import types

import nbformat

from cnndp.report.figures import drawing

LOW = 40  # dots per inch: enough to draw everything, and fast


def low_resolution(figure):
    """Draw a figure as `drawing.png` does, with few dots."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=LOW)
    return drawn.getvalue()


def undrawn(caption, texts):
    """Return the methods that a caption names and no text of its figure does."""
    methods = [name for name in drawing.METHODS if "DP" in name]  # "Polyak" and "growth" are words of their own, too
    named = [name for name in methods if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", caption)]
    return [name for name in named if not any(name in text for text in texts)]


def execute(path, monkeypatch, drawn=None, **parameters):
    """Run the code cells of a notebook with these parameters; return what its cells showed, as texts.

    A list `drawn` is given every figure.

    The last expression of a cell counts, as in Jupyter, and figures are drawn in low resolution. A caption that names
    a method which its figure does not draw fails.
    """
    texts, drawn = [], [] if drawn is None else drawn

    def png(figure):
        drawn.append(figure)
        texts.append(drawing.names_in(figure))
        return low_resolution(figure)

    monkeypatch.setattr(drawing, "png", png)
    module = types.ModuleType("__main__")  # so that "__main__:name" is what a cell has defined, as in a kernel
    monkeypatch.setitem(sys.modules, "__main__", module)
    namespace, shown = vars(module), []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        body = ast.parse(cell.source).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), path.name, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), namespace)
            shown.append(getattr(value, "data", value))
        if "parameters" in cell.metadata.get("tags", []):
            namespace.update(parameters)
        if "figure" in cell.metadata.get("mystnb", {}) and not set(parameters) & {"methods", "readings"}:
            assert undrawn(cell.metadata.mystnb.figure.caption, texts[-1]) == [], (path.name, cell.id)
    return [one for one in shown if isinstance(one, str)]
