"""P1's Figs. 7 to 10 from runs and their histories."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnndp.report.figures.drawing import (
    STYLE,
    band,
    budget_colour,
    cross,
    curves,
    error_line,
    legend_below,
    nothing,
    panels,
    setting_style,
    sparse,
    spreads,
    style_of,
)
from cnndp.report.figures.said import describe, ends, ranked, said_by_p1
from cnndp.report.numbers import divergence
from cnndp.report.pairs import own, with_threshold
from cnndp.report.tables import by_label

REFERENCE = "noise-free"
CROWDED = 92  # percent; what ends above is drawn again, magnified


def ablation(history: pd.DataFrame, stated: Mapping[str, float], num_steps: int) -> Figure:
    """Draw Fig. 7: accuracy on training (a) and test images (b) against the iteration, mean +- std over seeds.

    Args:
        history: of section fig07_ablation; runs of other lengths than `num_steps` are left out.
        stated: P1's numbers in percent, drawn as dotted lines with their names.
        num_steps: T.
    """
    figure, axes = panels(2, height=4.2, sharey=True)
    shown = history[history["num_steps"] == num_steps]
    for panel, column, title in zip(
        axes, ("train_accuracy", "test_accuracy"), ("(a) training images", "(b) test images"), strict=True
    ):
        for index, (label, group) in enumerate(by_label(shown)):
            band(panel, group, column, label, style_of(group, index))
        panel.set(title=title, xlabel="iteration", ylim=(0, 109))
        magnify(panel, shown, column, num_steps)
        for name, value in stated.items():
            panel.axhline(value, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
            panel.annotate(
                f"P1 {name} {value:.2f} %",
                (num_steps, value),
                ha="right",
                va="bottom",
                fontsize=9,
                color="0.25",
                xytext=(0, 1),
                textcoords="offset points",
            )
    axes[0].set_ylabel("accuracy (%)")
    legend_below(figure, axes[0])
    test, train = (ranked(last_means(shown, f"{part}_accuracy")) for part in ("test", "train"))
    return describe(
        figure,
        f"Mean accuracy at iteration {num_steps} on test images: {test}",
        f"On training images: {train}",
        said_by_p1(stated),
    )


def last_means(history: pd.DataFrame, column: str) -> dict[str, float]:
    """Return the mean of a column over seeds at the last iteration, by label."""
    return {label: float(curves(group, column).iloc[-1].mean()) for label, group in by_label(history)}


def magnify(axes: Axes, history: pd.DataFrame, column: str, num_steps: int) -> None:
    """Draw what crowds at the top again in an inset from 92 to 100 %, when at least two labels end there."""
    groups = [(label, group, curves(group, column).iloc[-1].mean()) for label, group in by_label(history)]
    if sum(end > CROWDED for *_, end in groups) < 2:
        return
    inset = axes.inset_axes((0.36, 0.15, 0.62, 0.23))
    for index, (label, group, end) in enumerate(groups):
        if end > CROWDED:
            band(inset, group, column, label, style_of(group, index))
    inset.set(xlim=(num_steps / 6, num_steps), ylim=(CROWDED, 100), xticks=[])
    inset.set_title(f"magnified, from iteration {num_steps // 6}", fontsize=9, loc="left", pad=2)
    inset.tick_params(labelsize=9)


def accuracy_lost(history: pd.DataFrame, stated: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw Fig. 8: points of accuracy below the same network without noise, on training (a) and test images (b).

    Args:
        history: of section fig08_loss, seeds paired with those of the noise-free runs.
        stated: P1's numbers by panel ("train", "test") and name, drawn as open circles at the last step.
    """
    if REFERENCE not in history["name"].unique():
        return nothing("Not drawn: losses are against the network without noise; add 'cnn' to methods.")
    figure, axes = panels(2, height=4.2, sharey=True)
    shown = own(history)
    names = [name for name in shown["name"].unique() if name != REFERENCE]
    if not names:
        return nothing("Not drawn: no method with noise is among the runs at hand.")
    said = []
    for panel, part, title in zip(axes, ("train", "test"), ("(a) training images", "(b) test images"), strict=True):
        losses = {}
        reference = by_seed(shown[shown["name"] == REFERENCE], f"{part}_accuracy")
        for index, name in enumerate(names):
            group = shown[shown["name"] == name]
            look, lost = style_of(group, index), lost_to(reference, by_seed(group, f"{part}_accuracy"))
            mean, spread = lost.mean(axis=1), lost.std(axis=1).fillna(0.0)
            losses[name] = float(mean.iloc[-1])
            label = name + divergence(group.groupby("run").last())
            panel.plot(lost.index, mean, label=label, **look, ms=5, markevery=sparse(mean))
            panel.fill_between(lost.index, mean - spread, mean + spread, alpha=0.15, color=look["color"], linewidth=0)
            for seed, end in group[group["status"] == "diverged"].groupby("seed")["iteration"].max().items():
                if seed in lost:
                    cross(panel, end, lost[seed].loc[:end].iloc[-1], look["color"])
            if name in stated.get(part, {}):
                panel.plot(lost.index[-1], stated[part][name], "o", mfc="white", color=look["color"], clip_on=False)
        panel.set(title=title, xlabel="iteration")
        panel.axhline(0, color="0.35", linewidth=0.8)
        theirs = {name: f"P1: {value:.2f}" for name, value in stated.get(part, {}).items()}
        said.append(f"On {title[4:]}: {ranked(losses, theirs, unit=' points')}")
    axes[0].set_ylabel("accuracy lost (points)")
    legend_below(figure, axes[0], columns=2 if (shown["status"] == "diverged").any() else 4)
    return describe(figure, "Accuracy lost at the last iteration, most first", *said)


def by_seed(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of histories, a row an iteration and a column a seed."""
    return curves(history, column).rename(columns=history.groupby("run")["seed"].first())


def lost_to(reference: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Return how far each seed is below the reference of that seed, over the seeds that both have."""
    seeds = values.columns.intersection(reference.columns)
    return reference[seeds] - values[seeds]


def by_length(runs: pd.DataFrame, stated: Mapping[str, float]) -> Figure:
    """Draw Fig. 9: final test accuracy against T (left), and its mean over all T with a record (right).

    Args:
        runs: of section fig09_comparison or private_fig09.
        stated: P1's means over T by name, drawn as open circles.
    """
    shown = runs[(runs["reading"] != "printed") & (runs["variant"] == "")]
    shown = shown.assign(line=shown["name"] + shown["beside"].map(lambda why: why and f" ({why})"))
    if shown.empty:
        return nothing("Not drawn: no reconstructed run is among those at hand; the table has the printed ones.")
    lengths = sorted(shown["num_steps"].unique())
    names = list(shown["line"].unique())
    if len(lengths) == 1:
        return at_one_length(shown, stated, lengths[0])
    figure, (left, right) = panels(2, height=4.4)
    for index, (name, group) in enumerate(shown.groupby("line", sort=False)):
        points = spreads(group, "num_steps")
        look = line_style(group, index)
        places = [lengths.index(length) for length in points.index]
        left.errorbar(places, points["mean"], points["std"], capsize=3, label=name, **look)
        right.plot(points["mean"].mean(), index, **{**look, "linestyle": "none", "markersize": 8})
        right.annotate(f"{points['mean'].mean():.1f}", (102, index), va="center", fontsize=9)
        if name in stated:
            right.plot(stated[name], index, "o", mfc="white", color="black")
    left.set(xlabel="iterations T", ylabel="final test accuracy (%)", title="for each T", xticks=range(len(lengths)))
    left.set_xticklabels([str(length) for length in lengths])
    title = "mean over T" + ("; circles: P1" if stated else "")
    right.set(
        xlabel="test accuracy (%)", title=title, yticks=range(len(names)), xlim=(0, 116), xticks=range(0, 101, 20)
    )
    right.set_yticklabels(names)
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    legend_below(figure, left, columns=3)
    means = {name: spreads(group, "num_steps")["mean"].mean() for name, group in shown.groupby("line")}
    over = f"T = {', '.join(str(length) for length in lengths)}"
    return describe(figure, f"Mean final test accuracy over {over}: {ranked(means)}", said_by_p1(stated))


def line_style(group: pd.DataFrame, index: int) -> dict[str, Any]:
    """Return the style of a line of Fig. 9: open and dashed where its method stands a second time."""
    beside = {"mfc": "white", "linestyle": "--"} if group["beside"].iat[0] else {}
    return {**style_of(group, index), **beside}


def at_one_length(shown: pd.DataFrame, stated: Mapping[str, float], length: int) -> Figure:
    """Draw Fig. 9 where a single T has records: a row a method, mean and standard deviation over seeds."""
    names = list(shown["line"].unique())
    figure, (axes,) = panels(1, height=0.4 * len(names) + 1.3)
    figure.set_figwidth(8)
    for index, (name, group) in enumerate(shown.groupby("line", sort=False)):
        mean, spread = group["test_accuracy"].mean(), group["test_accuracy"].std()
        look = {**line_style(group, index), "linestyle": "none"}
        axes.errorbar(mean, index, xerr=0.0 if np.isnan(spread) else spread, capsize=3, markersize=8, **look)
        text = f"{mean:.1f}{divergence(group)}"
        axes.annotate(text, (1.01, index), xycoords=axes.get_yaxis_transform(), va="center", fontsize=10)
        if name in stated:
            axes.plot(stated[name], index, "o", mfc="white", color="black")
    circles = "; circles: P1's mean over T" if stated else ""
    axes.set(xlabel="final test accuracy (%)", title=f"T = {length}{circles}", yticks=range(len(names)))
    axes.set(xlim=(0, 103), xticks=range(0, 101, 20))
    axes.set_yticklabels(names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    groups = dict(iter(shown.groupby("line")))
    means = {name: float(group["test_accuracy"].mean()) for name, group in groups.items()}
    notes = {name: divergence(group).removeprefix("; ") for name, group in groups.items()}
    return describe(figure, f"Mean final test accuracy at T = {length}: {ranked(means, notes)}", said_by_p1(stated))


def thresholds(history: pd.DataFrame) -> Figure:
    """Draw Fig. 10: test accuracy against the iteration, one panel a threshold, one line a budget of a step."""
    capped = with_threshold(history)
    if capped.empty:
        return nothing("Not drawn: no run with a threshold is at hand; add 'cnn_dp_gan_polyak' to methods.")
    levels = sorted(capped["max_step"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.8), layout="constrained")
        axes = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    budgets = sorted(capped["budget"].unique())
    reference, said = history[history["name"] == REFERENCE], []
    for place, (panel, threshold) in enumerate(zip(axes, levels, strict=True)):
        lasts = {}
        for budget in budgets:
            group = capped[(capped["max_step"] == threshold) & (capped["budget"] == budget)]
            if len(group):
                line = curves(group, "test_accuracy").mean(axis=1)
                panel.plot(line.index, line, color=budget_colour(budget), label=f"{budget:g}")
                lasts[budget] = line.iloc[-1]
        if len(reference):
            line = curves(reference, "test_accuracy").mean(axis=1)
            panel.plot(line.index, line, color="0.5", linestyle=":", label=REFERENCE)
        panel.set(title=f"({chr(97 + place)}) threshold {threshold:g}", xlabel="iteration", ylim=(0, 103))
        said += [f"Threshold {threshold:g}: {ends(pd.Series(lasts), at='budget ')}"] if lasts else []
    axes[0].set_ylabel("test accuracy (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=8, fontsize=9, frameon=False, title="budget of a step"
    )
    return describe(figure, "Mean test accuracy at the last iteration", *said)


def interaction(runs: pd.DataFrame) -> Figure:
    """Draw final accuracy against the budget of a step, one line a threshold: crossing lines are an interaction."""
    capped = with_threshold(runs)
    if capped.empty:
        return nothing("Not drawn: no run with a threshold is at hand.")
    figure, (axes,) = panels(1, height=3.6)
    figure.set_figwidth(6.5)
    said = []
    for index, (threshold, group) in enumerate(capped.groupby("max_step")):
        name = f"threshold {threshold:g}"
        error_line(axes, group, "budget", name, **setting_style(name, index))
        said.append(f"{name.capitalize()}: {ends(spreads(group, 'budget')['mean'], at='budget ')}")
    axes.set(xscale="log", xlabel="budget of a step (log)", ylabel="final test accuracy (%)")
    axes.legend(fontsize=9, frameon=False)
    return describe(figure, "Mean final test accuracy", *said)
