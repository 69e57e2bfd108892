"""P2's Figs. 3, 4 and 7, and what the datasets look like."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnndp.checks import at_least
from cnndp.data.datasets import Images
from cnndp.privacy.accounting import rdp_epsilon
from cnndp.report.figures.drawing import STYLE, curves, legend_below, panels, sparse, style, style_of
from cnndp.report.figures.said import describe, ranked
from cnndp.report.tables import by_label
from cnndp.training.config import Config

NEEDED_MULTIPLIER = 0.294  # what an epsilon of 100.09 after 20 epochs takes
READINGS = {"printed": " (printed)", "private": " (private)"}  # behind a name
CLASSES = {
    "fashion_mnist": (
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def class_names(images: Images) -> list[str]:
    """Return the names of the classes, or their numbers where they have none."""
    return list(CLASSES.get(images.name, [str(number) for number in range(images.num_classes)]))


def class_counts(images: Images) -> Figure:
    """Draw P2's Figs. 3 and 4: how many training (left) and test images (right) each class has."""
    figure, axes = panels(2, height=3.6)
    parts, said = (images.train_labels, images.test_labels), []
    for panel, labels, title in zip(axes, parts, ("training images", "test images"), strict=True):
        counts = labels.bincount(minlength=images.num_classes).numpy()
        panel.barh(range(images.num_classes), counts, color=style(0)["color"], height=0.7)
        for place, count in enumerate(counts):
            panel.annotate(f" {count:,}", (count, place), va="center", fontsize=9)
        panel.set(title=f"{len(labels):,} {title}", xlabel="images", yticks=range(images.num_classes))
        panel.set_yticklabels(class_names(images))
        panel.margins(x=0.18)
        panel.invert_yaxis()
        panel.grid(axis="y", visible=False)
        said.append(f"{len(labels):,} {title}, {counts.min():,} to {counts.max():,} a class")
    return describe(figure, *said, f"{images.num_classes} classes: {', '.join(class_names(images))}")


def samples(images: Images, per_class: int = 8) -> Figure:
    """Draw the first training images of each class, one row a class."""
    at_least(1, per_class=per_class)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.62 * per_class + 1.6, 0.62 * images.num_classes), layout="constrained")
        grid = figure.subplots(images.num_classes, per_class, squeeze=False)
    for number, name in enumerate(class_names(images)):
        chosen = images.train_images[images.train_labels == number][:per_class].permute(0, 2, 3, 1).numpy()
        for place, axes in enumerate(grid[number]):
            axes.set_axis_off()
            if place < len(chosen):
                axes.imshow(chosen[place].squeeze(), cmap="gray_r", vmin=0, vmax=255)
        grid[number][0].text(-0.25, 0.5, name, transform=grid[number][0].transAxes, ha="right", va="center", fontsize=9)
    shape = " x ".join(str(size) for size in images.train_images.shape[1:])
    names = ", ".join(class_names(images))
    return describe(
        figure, f"Up to {per_class} images of {shape} values for each of {images.num_classes} classes: {names}"
    )


def by_epoch(history: pd.DataFrame, num_steps: int) -> Figure:
    """Draw P2's Fig. 7: accuracy (left) and loss (right) per epoch, training dashed and validation solid.

    Args:
        history: of a section of P2.
        num_steps: T of the runs to show.
    """
    figure, axes = panels(2, height=4.2)
    shown = history[history["num_steps"] == num_steps]
    said = []
    most = {"accuracy": 100.0, "loss": np.inf}  # no band reaches where no value can be
    for panel, what, unit in zip(axes, most, ("accuracy (%)", "cross-entropy"), strict=True):
        lasts = {}
        for index, (_, group) in enumerate(by_label(shown)):
            run = group.iloc[0]
            name = f"{run['name']}{READINGS.get(run['reading'], '')}"
            for part, line, images in (("train", "--", "training"), ("test", "-", "validation")):
                values = curves(group, f"{part}_{what}")
                epochs = np.arange(len(values))
                mean, spread = values.mean(axis=1), values.std(axis=1).fillna(0.0)
                look = {**style_of(group, index), "linestyle": line}
                colour = look["color"]
                lasts[f"{name}, {images}"] = float(mean.iloc[-1])
                panel.plot(epochs, mean, label=f"{name}, {images}", **look, ms=5, markevery=sparse(mean))
                low, high = np.maximum(mean - spread, 0), np.minimum(mean + spread, most[what])
                panel.fill_between(epochs, low, high, color=colour, alpha=0.12, linewidth=0)
        panel.set(xlabel="epoch", ylabel=unit, title=what)
        found = ranked(lasts) if what == "accuracy" else ranked(lasts, unit="", digits=3)
        said.append(f"{what.capitalize()} after epoch {len(values) - 1}: {found}")
    axes[0].set_ylim(0, 103)
    legend_below(figure, axes[0], columns=3)
    return describe(figure, *said)


def epsilon_by_epoch(config: Config, num_train: int = 60_000, epochs: int = 20) -> Figure:
    """Draw epsilon against the number of epochs for the stated noise, and for the noise that P2's 100.09 needs.

    Args:
        config: a run of P2, for its batch size and noise multiplier.
        num_train: N.
        epochs: how many.
    """
    figure, (axes,) = panels(1, height=3.6)
    figure.set_figwidth(6.5)
    sampling_prob = config.batch_size / num_train
    steps = round(1 / sampling_prob)
    counts = list(range(1, epochs + 1))
    said = []
    for index, multiplier in enumerate((1.3, NEEDED_MULTIPLIER)):
        values = [rdp_epsilon(multiplier, sampling_prob, steps * count) for count in counts]
        axes.plot(counts, values, marker=".", label=f"noise multiplier {multiplier:g}", **style(index))
        said.append(f"Noise multiplier {multiplier:g}: ε = {values[-1]:.2f} after {epochs} epochs")
    stated = {3: 0.56, 20: 100.09}
    axes.plot(list(stated), list(stated.values()), "o", mfc="white", color="black", label="P2, Table 3")
    axes.set(xlabel="epochs", ylabel="ε (log), δ = 1e-5", yscale="log")
    axes.legend(fontsize=9, frameon=False)
    theirs = " and ".join(f"ε = {epsilon:g} after {count}" for count, epsilon in stated.items())
    return describe(figure, *said, f"P2 states {theirs}")
