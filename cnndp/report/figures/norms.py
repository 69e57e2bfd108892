"""What a step is made of, from records: the norms of gradient and noise, and what drives the Polyak step."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnndp.report.figures.drawing import band, columns_of, legend_below, nothing, panels, style
from cnndp.report.tables import by_label, spread, table
from cnndp.runs.experiment import Result
from cnndp.runs.store import Record
from cnndp.training.methods import noise_std
from cnndp.training.models import num_params

Values = NDArray[np.float64]
WARM = 10  # the first steps leave the start, whatever the rule; changes are counted from here on


def noise_norms(records: Sequence[Record]) -> tuple[list[int], Values]:
    """Return steps, and for each record the norm sqrt(P) v^(1/2) that the noise of a step has on average.

    v is the variance of one coordinate of the noisy mean gradient: 2 (b/B)^2 for Laplace noise of scale b on the
    sum; P is that of the network for ten classes.
    """
    steps, scales = columns_of(records, "noise_scale")
    config = records[0]["config"]
    deviation = np.vectorize(lambda scale: noise_std(config["mechanism"], scale) / config["batch_size"])
    return steps[1:], sqrt(num_params(config["model"])) * deviation(scales[:, 1:])  # step 0 has no noise


def norms(results: Sequence[Result], labels: Sequence[str]) -> Figure:
    """Draw, against the iteration: test accuracy, norm of the noisy gradient, and norm that the noise alone has.

    Args:
        results: of one section.
        labels: which of its runs; those without records are left out.
    """
    grouped = by_label(results)
    figure, (left, middle, right) = panels(3, height=4.0)
    figure.set_figwidth(11)
    for index, label in enumerate(label for label in labels if label in grouped):
        records = grouped[label]
        band(left, records, "test_accuracy", label, index)
        steps, gradients = columns_of(records, "gradient_norm")
        middle.plot(steps[1:], gradients[:, 1:].mean(axis=0), label=label, **style(index))
        right.plot(*_mean(noise_norms(records)), label=label, **style(index))
    left.set(title="test accuracy", ylabel="accuracy (%)", ylim=(0, 103), xlabel="iteration")
    for axes, title in ((middle, "noisy gradient"), (right, "its noise alone")):
        axes.set(title=title, ylabel="L2 norm (log)", yscale="log", xlabel="iteration")
    right.set_ylim(middle.get_ylim())
    legend_below(figure, left)
    return figure


def _mean(columns: tuple[list[int], Values]) -> tuple[list[int], Values]:
    return columns[0], columns[1].mean(axis=0)


def drivers(results: Sequence[Result]) -> Figure:
    """Draw what a Polyak step is made of, in logarithms: loss, squared norm, the noise in it, and the step size.

    One panel for the first and one for the last of the runs with a Polyak step, means over seeds.

    Args:
        results: of section eq06_11_polyak.
    """
    polyak = polyak_runs(results)
    if not polyak:
        return nothing("Not drawn: no run with a Polyak step is at hand; add 'cnn_dp_gan_polyak' to methods.")
    chosen = list(dict.fromkeys([*list(polyak)[:1], *list(polyak)[-1:]]))
    figure, axes = panels(len(chosen), height=4.2)
    for panel, label in zip(axes, chosen, strict=False):
        records = polyak[label]
        steps, gradients = columns_of(records, "gradient_norm")
        lines = {
            "loss": columns_of(records, "loss")[1][:, 1:].mean(axis=0),
            "squared norm of the noisy gradient": (gradients[:, 1:] ** 2).mean(axis=0),
            "what noise adds to it on average": (noise_norms(records)[1] ** 2).mean(axis=0),
            "step size": columns_of(records, "step_size")[1][:, 1:].mean(axis=0),
        }
        for index, (name, values) in enumerate(lines.items()):
            panel.plot(steps[1:], values, label=name, **style(index))
        panel.set(yscale="log", xlabel="iteration", title=label)
    axes[0].set_ylabel("value (log)")
    legend_below(figure, axes[0], columns=2)
    return figure


def polyak_runs(results: Sequence[Result]) -> dict[str, list[Record]]:
    """Return the finished, reconstructed runs with a Polyak step by label; the printed ones if there are no others.

    A run whose gradient's norm left the range of float32 on the way has no number to draw and is left out.
    """
    finished = by_label(result for result in results if is_finite(result.record))
    found = {label: records for label, records in finished.items() if records[0]["config"]["step"] == "polyak"}
    rebuilt = {label: records for label, records in found.items() if records[0]["config"]["reading"] != "printed"}
    return rebuilt or found


def is_finite(record: Record) -> bool:
    """Return whether a run finished and all its losses and norms are numbers; step 0 has neither."""
    history = record["history"]
    columns = (history["loss"][1:], history["gradient_norm"][1:])
    return record["status"] == "finished" and not any(None in column for column in columns)


def changes(record: Record) -> tuple[float, float, float]:
    """Return by which factors loss, squared norm and their quotient change over a run, and the noise in the norm.

    The factors are last over first, where "first" and "last" are geometric means over the first and the last third of
    the evaluation points from step 10 on, since the loss is that of one batch. The quotient l / ||g||^2 is the
    Polyak step; a cap or a de-biased norm changes what is made of it. The last number is the part of ||g||^2 that
    noise adds on average, at most 1.
    """
    history = record["history"]
    kept = [place for place, step in enumerate(history["step"]) if step >= WARM]
    loss, norm = (np.log(np.array([history[name][k] for k in kept])) for name in ("loss", "gradient_norm"))
    third = max(1, len(kept) // 3)
    grown, wider = (float(np.exp(line[-third:].mean() - line[:third].mean())) for line in (loss, 2 * norm))
    noise = noise_norms([record])[1][0][np.array(kept) - 1]
    return grown, wider, float(np.mean(np.minimum(1, noise**2 / np.exp(2 * norm))))


def drivers_table(results: Sequence[Result]) -> str:
    """Return a Markdown table of `changes` for each run of `polyak_runs`, mean ± std (n)."""
    runs = polyak_runs(results)
    if not runs:
        return "No run with a Polyak step is at hand, so nothing can be said of what drives it."
    if any(record["history"]["step"][-1] < WARM for records in runs.values() for record in records):
        return f"Runs of fewer than {WARM} steps have no first and last third to compare."
    rows = []
    for label, records in runs.items():
        loss, norm, noise = zip(*(changes(record) for record in records), strict=True)
        quotient = [one / other for one, other in zip(loss, norm, strict=True)]
        rows.append([label, *map(spread, (loss, norm, quotient)), spread([100 * value for value in noise], digits=0)])
    header = ("Run", "loss", "squared norm", "loss / squared norm", "noise in the squared norm, %")
    return table(rows, header)
