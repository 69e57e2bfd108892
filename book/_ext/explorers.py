"""Sphinx extension: the explorers, figures whose settings the reader chooses.

- directive ``{explorer} NAME``: controls and a figure of plotly.js where JavaScript runs; without it a drawn figure;
  the table of its numbers under both, folded once the explorer runs.
- directive ``{explorer-hints} NAME``: what to try, with the numbers that one sees.

NAME is frontier, thresholds or budget. As a program it prices the grid of the budget again, in some minutes:
`PYTHONPATH=book/_ext python book/_ext/explorers.py`.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from companion import MarkdownDirective, choice, put_static
from docutils import nodes
from docutils.parsers.rst import Directive
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from vector import INK, svg

from cnndp.equations.budget import step_epsilon
from cnndp.report import explore, explore_grid
from cnndp.report.figures.drawing import COLOURS, FIELD, plotly_style, setting_style
from cnndp.report.figures.frontier import GAP, broken, line_styles
from cnndp.report.figures.said import ends, sentences

GRID = Path(__file__).resolve().parents[1] / "_static" / "explorer_budget.json"
PLOTLY = "plotly.min.js"
STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **{"grid.color": INK, "grid.alpha": 0.2, "axes.grid": True, "legend.frameon": False, "legend.fontsize": 8},
    **{"axes.spines.top": False, "axes.spines.right": False, "savefig.facecolor": "none", "axes.facecolor": "none"},
}


@cache
def grid() -> Any:
    """Return the grid of prices that is stored beside the pages."""
    return json.loads(GRID.read_text(encoding="utf-8"))


@cache
def frontier() -> Any:
    """Return the data of the frontier; a build reads it once."""
    return explore.frontier()


@cache
def thresholds() -> Any:
    """Return the data of Fig. 10; a build reads it once."""
    return explore.thresholds()


# --- controls ---------------------------------------------------------------------------------------------


def boxes(name: str, label: str) -> str:
    """Return an empty group of checkboxes, which the script fills by dataset."""
    return f'<fieldset name="{name}"><legend>{label}</legend></fieldset>'


def field(name: str, label: str, **limits: float) -> str:
    """Return a labelled number."""
    inner = " ".join(f'{key}="{value:g}"' for key, value in limits.items())
    return f'<label><span>{label}</span> <input type="number" name="{name}" required {inner}></label>'


def frontier_controls() -> str:
    """Return the controls of the frontier."""
    names = {name: part["name"] for name, part in frontier().items()}
    targets = sorted(
        {one["epsilon"] for part in frontier().values() for line in part["lines"] for one in line["points"]}
    )
    ends = {f"{target:g}": f"{target:g}" for target in targets}
    return (
        choice("dataset", "Dataset", names)
        + choice("least", "ε from", ends)
        + choice("most", "ε to", ends)
        + boxes("models", "Models")
    )


def threshold_controls() -> str:
    """Return the controls of Fig. 10."""
    names = {name: part["name"] for name, part in thresholds().items()}
    readings = {name: name for part in thresholds().values() for name in part["readings"]}
    return (
        choice("dataset", "Dataset", names)
        + choice("reading", "Reading", readings)
        + boxes("thresholds", "Threshold")
        + boxes("budgets", "Budget of a step")
    )


def budget_controls() -> str:
    """Return the controls of the budget."""
    start = explore.EXAMPLE
    return (
        field("initial", "First step, ε<sub>1</sub>", value=start["initial"], min=0.0001, step=0.0001)
        + field("growth", "Growth, ε<sub>T</sub> / ε<sub>1</sub>", value=start["growth"], min=0.01, step=0.01)
        + field("steps", "Steps, T", value=start["steps"], min=1, max=100_000, step=1)
        + field("batch", "Batch, expected", value=start["batch"], min=1, step=1)
        + field("records", "Records, N", value=start["records"], min=1, step=1)
        + field("sensitivity", "Sensitivity (L2 clip)", value=start["sensitivity"], min=0.0001, step=0.0001)
    )


# --- what is shown without JavaScript ---------------------------------------------------------------------


def drawn(columns: int, draw: Callable[[Sequence[Axes]], None], label: str) -> str:
    """Return a figure with panels side by side as SVG in the colours of the page."""
    with rc_context(STYLE):
        figure = Figure(figsize=(4 * columns, 3.6), layout="constrained")
        draw(figure.subplots(1, columns, squeeze=False)[0])
        return svg(figure, label, max_width=60)


def styles_of(part: Any) -> dict[str, dict[str, Any]]:
    """Return the style of each model of the frontier on a dataset: that of its method in the whole book."""
    return line_styles({line["model"]: line["method"] for line in part["lines"]})


def look(name: str) -> dict[str, Any]:
    """Return the colours of an explorer for the script: those of the book."""
    models = {key: styles_of(part) for key, part in frontier().items()} if name == "frontier" else {}
    limits = (
        {
            f"{one['threshold']:g}"
            for part in thresholds().values()
            for cells in part["readings"].values()
            for one in cells
        }
        if name == "thresholds"
        else set()
    )
    return {
        "colours": COLOURS[:6],
        "gap": GAP,
        "models": {key: {line: plotly_style(one) for line, one in part.items()} for key, part in models.items()},
        "thresholds": {one: setting_style(f"threshold {one}", at)["color"] for at, one in enumerate(sorted(limits))},
    }


def draw_frontier(axes: Sequence[Axes]) -> None:
    """Draw the mean accuracy of each model against epsilon, a panel a dataset."""
    for panel, part in zip(axes, frontier().values(), strict=True):
        looks = styles_of(part)
        for line in part["lines"]:
            points = broken(pd.DataFrame(line["points"])[["epsilon", "mean"]])
            look: Any = {"ms": 5, **looks[line["model"]]} | ({"mfc": "none"} if "mfc" in looks[line["model"]] else {})
            panel.plot(points["epsilon"], points["mean"], label=line["model"], **look)
        anchors = [(one["epsilon"], one["accuracy"]) for one in part["anchors"]]
        panel.plot(*zip(*anchors, strict=True), label="the field", **{**FIELD, "color": INK, "marker": "s"})
        for name, value in part["papers"].items():
            panel.axhline(value, color=INK, linestyle=":", linewidth=1)
            panel.annotate(name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
        panel.set(title=part["name"], xscale="log", xlabel="ε", ylabel="test accuracy (%)")
    known = {
        name: line for panel in axes for line, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }  # below: inside it would hide points
    axes[0].figure.legend([*known.values()], [*known], loc="outside lower center", ncols=3)


def draw_thresholds(axes: Sequence[Axes]) -> None:
    """Draw the final accuracy on MNIST against the budget, a line a threshold and a panel a reading."""
    part = next(iter(thresholds().values()))
    for panel, (reading, cells) in zip(axes, part["readings"].items(), strict=True):
        for place, threshold in enumerate(dict.fromkeys(one["threshold"] for one in cells)):
            points = [(one["budget"], one["final"]) for one in cells if one["threshold"] == threshold]
            name = f"threshold {threshold:g}"
            panel.plot(*zip(*points, strict=True), label=name, marker=".", **setting_style(name, place))
        panel.set(title=f"{part['name']}, {reading}", xscale="log", ylim=(0, 100))
        panel.set(xlabel="budget of a step", ylabel="final test accuracy (%)")
        panel.legend()


def draw_budget(axes: Sequence[Axes]) -> None:
    """Draw Eq. (4) and the noise that follows, for the settings that the explorer starts with."""
    start = explore.EXAMPLE
    count = int(start["steps"])
    budget = explore.schedule(start["initial"], start["growth"], count)
    steps = range(1, count + 1)
    spent = [step_epsilon(step, budget) for step in steps]
    axes[0].plot(steps, spent, color=COLOURS[0])
    axes[1].plot(steps, [start["sensitivity"] / one for one in spent], color=COLOURS[1])
    axes[0].set(xlabel="step t", ylabel="nominal budget of the step, Eq. (4)", ylim=(0, None))
    axes[1].set(xlabel="step t", ylabel="scale of the noise on the sum", ylim=(0, None))


def frontier_said(data: Any) -> list[str]:
    """Return the accuracy of each model at the ends of its epsilons, a sentence a dataset."""
    said = []
    for part in data.values():
        lines = {one["model"]: {at["epsilon"]: at["mean"] for at in one["points"]} for one in part["lines"]}
        found = "; ".join(f"{model} {ends(pd.Series(points), at='ε = ')}" for model, points in lines.items())
        said.append(f"{part['name']}: {found}")
    return said


def thresholds_said(data: Any) -> list[str]:
    """Return the accuracy of each threshold at the ends of its budgets, a sentence a reading of the first dataset."""
    said = []
    part = next(iter(data.values()))
    for reading, cells in part["readings"].items():
        lines: dict[float, dict[float, float]] = {}
        for one in cells:
            lines.setdefault(one["threshold"], {})[one["budget"]] = one["final"]
        found = "; ".join(f"{limit:g}: {ends(pd.Series(line), at='budget ')}" for limit, line in lines.items())
        said.append(f"{part['name']}, {reading}, by threshold: {found}")
    return said


def budget_said(prices: Any) -> list[str]:
    """Return what the settings that the explorer starts with cost."""
    start = explore.EXAMPLE
    found = explore.budget_answer(prices, **start)  # type: ignore[arg-type]  # steps is whole
    return [
        f"Noise {found['first']:.3g} in the first step, {found['last']:.3g} in the last, nominal {found['nominal']:g}"
    ]


def table(label: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table of HTML, open until the script folds it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return (
        f'<details class="explorer-table" open><summary>{escape(label)}</summary>'
        f'<div class="scroll-x" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )


# --- the three --------------------------------------------------------------------------------------------


class Explorer(NamedTuple):
    """All parts of an explorer: what the script gets, controls, the drawn figure with its text, table, hints."""

    data: Callable[[], Any]
    controls: Callable[[], str]
    columns: int
    draw: Callable[[Sequence[Axes]], None]
    label: str
    said: Callable[[Any], Sequence[str]]
    heads: Sequence[str]
    rows: Callable[[Any], Sequence[Sequence[str]]]
    hints: Callable[[Any], Sequence[str]]


EXPLORERS = {
    "frontier": Explorer(
        *(frontier, frontier_controls, 3, draw_frontier),
        "Test accuracy of models with a valid guarantee against ε, on each dataset",
        frontier_said,
        ("Dataset", "Model", "ε at most", "Mean test accuracy %", "Seeds %", "Seeds"),
        *(explore.frontier_rows, explore.frontier_hints),
    ),
    "thresholds": Explorer(
        *(thresholds, threshold_controls, 3, draw_thresholds),
        "Final test accuracy against the budget of a step, by threshold and reading",
        thresholds_said,
        ("Dataset", "Reading", "Threshold", "Budget", "Numerical ε", "Final test %", "Steps at the cap %", "Seeds"),
        *(explore.threshold_rows, explore.threshold_hints),
    ),
    "budget": Explorer(
        *(grid, budget_controls, 2, draw_budget),
        "The budget and the noise of each step, for the settings that the explorer starts with",
        budget_said,
        (
            *("ε of the first step", "Noise, first step", "Noise, last step", "Eq. (5)'s total", "Numerical ε at most"),
            *("True positives at 1 %, at most %", "True positives at 0.1 %, at most %", "Advantage at most %"),
        ),
        *(explore.budget_rows, explore.budget_hints),
    ),
}


def page(name: str) -> str:
    """Return an explorer as HTML."""
    one = EXPLORERS[name]
    data = one.data()
    # "</" would end the script.
    inline = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    shown, words = json.dumps(look(name)), sentences(one.label, *one.said(data))
    return (
        f'<div class="explorer" id="explorer-{name}" data-explorer="{name}">\n'
        f'<form aria-label="Settings" hidden>{one.controls()}</form>\n'
        '<p class="explorer-answer" role="status" aria-live="polite" hidden></p>\n'
        f'<div class="explorer-plot" role="img" aria-label="{escape(one.label)}" hidden></div>\n'
        f'<figure class="explorer-drawn scroll-x" tabindex="0">{drawn(one.columns, one.draw, words)}'
        f"<figcaption>{escape(one.label)}.</figcaption></figure>\n"
        f"{table('All numbers as a table', one.heads, one.rows(data))}\n"
        f'<script type="application/json" class="explorer-data">{inline}</script>\n'
        f'<script type="application/json" class="explorer-look">{shown}</script>\n</div>'
    )


# --- Sphinx -----------------------------------------------------------------------------------------------


class ExplorerPart(Directive):  # type: ignore[misc]  # docutils has no types
    """An explorer."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it, and note that the page has one."""
        name = self.arguments[0]
        if name not in EXPLORERS:
            raise self.error(f"explorer {name!r} is not known; pass one of {', '.join(EXPLORERS)}")
        env = self.state.document.settings.env
        env.metadata[env.docname]["explorer"] = name
        return [nodes.raw(text=page(name), format="html")]


class Hints(MarkdownDirective):
    """What to try in an explorer."""

    def markdown(self) -> str:
        """Return a list."""
        one = EXPLORERS[self.arguments[0]]
        return "\n".join(f"- {hint}" for hint in one.hints(one.data()))


def with_files(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the scripts on pages with an explorer alone."""
    if "explorer" in app.env.metadata.get(pagename, {}):
        app.add_js_file(PLOTLY, loading_method="defer")
        app.add_js_file("explorers.js", loading_method="defer")


def put_plotly(app: Sphinx) -> None:
    """Copy plotly.js, as plotly packs it, among the static files."""
    put_static(app, PLOTLY, (resources.files("plotly") / "package_data" / PLOTLY).read_bytes())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, and what their pages load."""
    app.add_directive("explorer", ExplorerPart)
    app.add_directive("explorer-hints", Hints)
    app.connect("builder-inited", put_plotly)
    app.connect("html-page-context", with_files)
    return {"version": "1", "parallel_read_safe": True}


if __name__ == "__main__":
    GRID.write_text(json.dumps(explore_grid.made(), separators=(",", ":")) + "\n", encoding="utf-8")
