"""What a step is made of, from histories: the norms of gradient and noise, and what drives the Polyak step."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnndp.report.figures.drawing import band, curves, legend_below, nothing, panels, sparse, style, style_of
from cnndp.report.figures.said import describe, ranked
from cnndp.report.numbers import spread
from cnndp.report.tables import by_label, table
from cnndp.training.methods import noise_std
from cnndp.training.models import num_params

WARM = 10  # the first steps leave the start, whatever the rule; changes are counted from here on


def with_noise_norm(history: pd.DataFrame) -> pd.DataFrame:
    """Return a history with `noise_norm`, the norm sqrt(P) v^(1/2) that the noise of a step has on average.

    v is the variance of one coordinate of the noisy mean gradient: 2 (b/B)^2 for Laplace noise of scale b on the
    sum; P is that of the network for ten classes.
    """
    norm = [
        sqrt(num_params(model)) * (noise_std(mechanism, scale) / batch_size)
        for model, mechanism, scale, batch_size in zip(
            history["model"], history["mechanism"], history["noise_scale"], history["batch_size"], strict=True
        )
    ]
    return history.assign(noise_norm=norm)


def mean_curve(history: pd.DataFrame, column: str) -> pd.Series:
    """Return the mean of a column over seeds by iteration, from step 1: step 0 has no gradient and no noise."""
    return curves(history, column).iloc[1:].mean(axis=1, skipna=False)


def norms(history: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw, against the iteration: test accuracy, norm of the noisy gradient, and norm that the noise alone has.

    Args:
        history: of one section.
        names: which of its runs; those without records are left out.
    """
    made = with_noise_norm(history[history["name"].isin(names)])
    figure, (left, middle, right) = panels(3, height=4.0)
    figure.set_figwidth(9.6)  # text of 9 points is read at the width of a page
    lasts, shares = {}, {}
    for index, name in enumerate(name for name in names if name in made["name"].unique()):
        group = made[made["name"] == name]
        band(left, group, "test_accuracy", name, style_of(group, index))
        for axes, column in ((middle, "gradient_norm"), (right, "noise_norm")):
            mean = mean_curve(group, column)
            axes.plot(mean.index, mean, label=name, **style_of(group, index), markevery=sparse(mean))
        lasts[name] = float(curves(group, "test_accuracy").iloc[-1].mean())
        share = (mean_curve(group, "noise_norm") / mean_curve(group, "gradient_norm")).iloc[-1]
        shares[name] = f"noise {100 * share:.0f} % of the gradient's norm" if np.isfinite(share) else ""
    left.set(title="test accuracy", ylabel="accuracy (%)", ylim=(0, 103), xlabel="iteration")
    for axes, title in ((middle, "noisy gradient"), (right, "its noise alone")):
        axes.set(title=title, ylabel="L2 norm (log)", yscale="log", xlabel="iteration")
        axes.yaxis.set_major_formatter("{x:g}")  # exponents would be too small to read
    right.set_ylim(middle.get_ylim())
    legend_below(figure, left)
    return describe(figure, f"Mean test accuracy at the last iteration: {ranked(lasts, shares)}")


def drivers(history: pd.DataFrame) -> Figure:
    """Draw what a Polyak step is made of, in logarithms: loss, squared norm, the noise in it, and the step size.

    One panel for the first and one for the last of the runs with a Polyak step, means over seeds.

    Args:
        history: of section eq06_11_polyak.
    """
    polyak = with_noise_norm(polyak_runs(history))
    if polyak.empty:
        return nothing("Not drawn: no run with a Polyak step is at hand; add 'cnn_dp_gan_polyak' to methods.")
    labels = polyak["label"].unique()
    chosen = list(dict.fromkeys([labels[0], labels[-1]]))
    squares = polyak.assign(squared=polyak["gradient_norm"] ** 2, noise=polyak["noise_norm"] ** 2)
    lines = {
        "loss": "batch_loss",
        "squared norm of the noisy gradient": "squared",
        "what noise adds to it on average": "noise",
        "step size": "step_size",
    }
    figure, axes = panels(len(chosen), height=4.2)
    said = []
    for panel, label in zip(axes, chosen, strict=True):
        group, lasts = squares[squares["label"] == label], []
        for index, (name, column) in enumerate(lines.items()):
            mean = mean_curve(group, column)
            panel.plot(mean.index, mean, label=name, **style(index))
            lasts.append(f"{name} {mean.iloc[-1]:.3g}")
        said.append(f"{label}, at the last iteration: {', '.join(lasts)}")
        panel.set(yscale="log", xlabel="iteration", title=label)
    axes[0].set_ylabel("value (log)")
    legend_below(figure, axes[0], columns=2)
    return describe(figure, *said)


def polyak_runs(history: pd.DataFrame) -> pd.DataFrame:
    """Return the finished, reconstructed runs with a Polyak step; the printed ones if there are no others.

    A run whose gradient's norm left the range of float32 on the way has no number to draw and is left out.
    """
    measured = history["iteration"].eq(0) | history[["batch_loss", "gradient_norm"]].notna().all(axis=1)
    finite = measured.groupby(history["run"]).transform("all") & history["status"].eq("finished")
    found = history[finite & history["step"].eq("polyak")]
    rebuilt = found[found["reading"] != "printed"]
    return found if rebuilt.empty else rebuilt


def changes(run: pd.DataFrame) -> pd.Series:
    """Return by which factors loss, squared norm and their quotient change over a run, and the noise in the norm.

    The factors are last over first, where "first" and "last" are geometric means over the first and the last third of
    the evaluation points from step 10 on, since the loss is that of one batch. The quotient l / ||g||^2 is the
    Polyak step; a cap or a de-biased norm changes what is made of it. The last number is the part of ||g||^2 that
    noise adds on average, at most 1.

    Args:
        run: the history of one run, with its `noise_norm`.
    """
    kept = run[run["iteration"] >= WARM]
    third = max(1, len(kept) // 3)
    logs = np.log(kept[["batch_loss", "gradient_norm"]].astype(float))
    loss, norm = np.exp((logs.tail(third).mean() - logs.head(third).mean()) * [1, 2])
    share = np.minimum(1, kept["noise_norm"] ** 2 / kept["gradient_norm"] ** 2)
    return pd.Series({"loss": loss, "norm": norm, "quotient": loss / norm, "noise": share.mean()})


def drivers_table(history: pd.DataFrame) -> str:
    """Return a Markdown table of `changes` for each run of `polyak_runs`, mean ± std (n)."""
    polyak = with_noise_norm(polyak_runs(history))
    if polyak.empty:
        return "No run with a Polyak step is at hand, so nothing can be said of what drives it."
    if (polyak.groupby("run")["iteration"].max() < WARM).any():
        return f"Runs of fewer than {WARM} steps have no first and last third to compare."
    return table(
        [
            {
                "Run": label,
                "loss": spread(found["loss"]),
                "squared norm": spread(found["norm"]),
                "loss / squared norm": spread(found["quotient"]),
                "noise in the squared norm, %": spread(100 * found["noise"], digits=0),
            }
            for label, group in by_label(polyak)
            for found in [pd.DataFrame([changes(run) for _, run in group.groupby("run")])]
        ]
    )
