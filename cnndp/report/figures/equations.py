"""P1's equations and Table II's budgets, drawn: schedules, totals, and descents on a bowl of two weights."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnndp.equations.budget import Budget, step_epsilon, total_epsilon
from cnndp.equations.noise import laplace_scale
from cnndp.equations.toy import CURVATURE, Path
from cnndp.report.figures.drawing import band, curves, legend_below, method_style, panels, sparse, style, style_of
from cnndp.report.figures.said import describe, number, ranked
from cnndp.report.tables import by_label


def schedules(budgets: Mapping[str, Budget], num_steps: int, sensitivity: float, clamp: tuple[float, float]) -> Figure:
    """Draw Eq. (4), the budget of each iteration, and the Laplace scale that Eq. (3) makes of it.

    Args:
        budgets: by name.
        num_steps: T.
        sensitivity: Delta f.
        clamp: Table I's initial value and minimum of the scale, drawn as dotted lines.
    """
    figure, (left, right) = panels(2)
    steps, said = range(1, num_steps + 1), []
    for index, (name, budget) in enumerate(budgets.items()):
        epsilons = [step_epsilon(t, budget) for t in steps]
        scales = [laplace_scale(sensitivity, epsilon) for epsilon in epsilons]
        left.plot(steps, epsilons, label=name, **style(index))
        right.plot(steps, scales, label=name, **style(index))
        said.append(
            f"{name}: budget {epsilons[0]:.3g} to {epsilons[-1]:.3g}, scale {scales[0]:.3g} to {scales[-1]:.3g}"
        )
    for bound, name, side in zip(clamp, ("initial", "minimum"), ("top", "bottom"), strict=True):
        right.axhline(bound, color="0.35", linewidth=0.8, linestyle=(0, (1, 2)))
        right.annotate(f"Table I {name} {bound:g}", (1, bound), ha="left", va=side, fontsize=9)
    left.set(title="Eq. (4): budget", xlabel="iteration t", ylabel="budget of one iteration", ylim=(0, None))
    right.set(title="Eq. (3): Laplace scale", xlabel="iteration t", ylabel="scale Δf / ε_t", ylim=(0, None))
    left.legend(frameon=False)
    return describe(figure, f"From the first to the last of {num_steps} iterations", *said)


def fits(budgets: Mapping[str, Budget], stated: Mapping[int, float]) -> Figure:
    """Draw Table II's totals as circles and P1's sum with each of `budgets` as a line, and what each misses them by."""
    figure, (axes, misses) = panels(2, height=4.0)
    steps, said = np.arange(1, round(1.05 * max(stated))), []
    for index, (name, budget) in enumerate(budgets.items()):
        axes.plot(steps, [total_epsilon(int(step), budget) for step in steps], label=name, **style(index))
        missed = [total - total_epsilon(length, budget) for length, total in stated.items()]
        misses.plot(range(len(stated)), missed, **{**style(index), "linestyle": ":"}, marker="sD^v"[index % 4], ms=7)
        length, miss = max(zip(stated, missed, strict=True), key=lambda one: abs(one[1]))
        said.append(f"{name}: misses Table II's {stated[length]:g} at T = {length} by {miss:+.1f}")
    axes.plot(list(stated), list(stated.values()), "o", mfc="white", color="black", label="Table II")
    axes.set(title="totals", xlabel="iterations T", ylabel="total budget")
    misses.axhline(0, color="0.35", linewidth=0.8)
    misses.set(title="Table II less the line", xlabel="iterations T", ylabel="difference of totals")
    misses.set_xticks(range(len(stated)), [str(length) for length in stated])
    misses.margins(x=0.15)
    legend_below(figure, axes, columns=2)
    return describe(figure, *said)


def bowl_paths(paths: Mapping[str, Path]) -> Figure:
    """Draw descents on the two-weight bowl, over its level lines, and the step size of each."""
    figure, (left, right) = panels(2, height=4.0)
    x, y = np.meshgrid(np.linspace(-3.6, 2.6, 80), np.linspace(-1.9, 1.9, 60))
    level = (float(CURVATURE[0]) * x**2 + float(CURVATURE[1]) * y**2) / 2
    left.contour(x, y, level, levels=[0.1, 0.5, 1.5, 3, 5, 8], colors="0.8", linewidths=0.8)
    said = []
    for index, (name, path) in enumerate(paths.items()):
        weights, look = path.weights.numpy(), {**method_style(name, "", index), "marker": "."}
        left.plot(*weights.T, markersize=5, linewidth=1.2, label=name, **look)
        steps = np.arange(1, len(path.step_sizes) + 1)
        right.plot(steps, path.step_sizes.numpy(), label=name, **look)
        away = number(float(np.linalg.norm(weights[-1])), "", 2)
        said.append(f"{name}: ends {away} from the minimum, last step size {float(path.step_sizes[-1]):.3g}")
    left.plot(0, 0, "k*", markersize=9)
    left.set(title="weights, star: minimum", xlabel="w₁", ylabel="w₂", xlim=(-3.6, 2.6), ylim=(-1.9, 1.9))
    left.grid(visible=False)
    right.set(title="step size", xlabel="iteration", ylabel="step size (log)", yscale="log")
    right.legend(fontsize=9, frameon=False)
    return describe(figure, *said)


def step_sizes(history: pd.DataFrame) -> Figure:
    """Draw the step size and the test accuracy of each label against the iteration, mean over seeds."""
    figure, (left, right) = panels(2, height=4.4)
    lasts, steps = {}, {}
    for index, (label, group) in enumerate(by_label(history)):
        band(right, group, "test_accuracy", label, style_of(group, index))
        values = curves(group, "step_size").iloc[1:]  # step 0 has no step size
        left.plot(
            values.index,
            values.mean(axis=1, skipna=False),
            label=label,
            **style_of(group, index),
            markevery=sparse(values),
        )
        lasts[label] = float(curves(group, "test_accuracy").iloc[-1].mean())
        steps[label] = f"step {values.iloc[-1].mean():.2g}" if len(values) else ""
    left.set(title="step size", xlabel="iteration", ylabel="step size (log)", yscale="log")
    right.set(title="test accuracy", xlabel="iteration", ylabel="accuracy (%)", ylim=(0, 103))
    legend_below(figure, right)
    return describe(figure, f"Mean test accuracy at the last iteration, with its step size: {ranked(lasts, steps)}")
