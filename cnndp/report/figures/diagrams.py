"""Diagrams of the mechanisms and networks: P1's Figs. 1 to 6 and P2's Fig. 5, drawn from scratch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import nn

from cnndp.report.figures.said import describe

FILLS = {"data": "#F6D5C3", "step": "#D3E5F2", "noise": "#FBE7B5", "public": "#D6EFE3"}
WIDTH, HEIGHT = 2.2, 0.9  # of a box, in units of the drawing


class Box(NamedTuple):
    """One box of a diagram; x and y are the place of its centre."""

    text: str
    x: float
    y: float
    kind: str = "step"  # a key of FILLS


Arrow = tuple[int, int, str]  # from box, to box, what it carries


def diagram(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Figure:
    """Draw boxes and arrows: orange holds private data, yellow is noise, green may be published."""
    columns, rows = (max(getattr(box, axis) for box in boxes) for axis in ("x", "y"))
    figure = Figure(figsize=(0.98 * (columns + WIDTH), 1.0 * (rows + HEIGHT + 0.3)), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-WIDTH / 2 - 0.1, columns + WIDTH / 2 + 0.1), ylim=(-HEIGHT / 2 - 0.25, rows + HEIGHT / 2 + 0.25))
    axes.set_axis_off()
    for box in boxes:
        corner = (box.x - WIDTH / 2, box.y - HEIGHT / 2)
        axes.add_patch(
            FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.02", fc=FILLS[box.kind], ec="0.25", lw=1)
        )
        axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=12)
    for start, end, text in arrows:
        connect(axes, boxes[start], boxes[end], text)
    return describe(figure, *flow(boxes, arrows))


def flow(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> list[str]:
    """Return a sentence of each arrow, and one on which boxes hold private data and may be published.

    >>> flow([Box("batch", 0, 0, "data"), Box("noisy\\ngradient", 1, 0, "public")], [(0, 1, "noise")])
    ['batch → noisy gradient (noise)', 'Private: batch; noise: nothing; may be published: noisy gradient']
    """
    texts = [box.text.replace("\n", " ").replace("$", "") for box in boxes]
    kinds = {"data": "Private", "noise": "noise", "public": "may be published"}
    steps = [f"{texts[start]} → {texts[end]}{what and f' ({what})'}".replace("$", "") for start, end, what in arrows]
    held = {
        name: ", ".join(text for text, box in zip(texts, boxes, strict=True) if box.kind == kind) or "nothing"
        for kind, name in kinds.items()
    }
    return ["; ".join(steps), "; ".join(f"{name}: {what}" for name, what in held.items())]


def connect(axes: Axes, start: Box, end: Box, text: str) -> None:
    """Draw an arrow from the edge of one box to the edge of another, with a word beside it."""
    across, up = end.x - start.x, end.y - start.y
    sideways = abs(across) * HEIGHT >= abs(up) * WIDTH
    dx = (WIDTH / 2 + 0.04) * (1 if across > 0 else -1) if sideways else 0
    dy = 0 if sideways else (HEIGHT / 2 + 0.04) * (1 if up > 0 else -1)
    tail, head = (start.x + dx, start.y + dy), (end.x - dx, end.y - dy)
    axes.add_patch(FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=13, color="0.25", shrinkA=0, shrinkB=0))
    middle = ((tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2)
    straight = across == 0 or up == 0
    offset = (0, 0) if not straight else (0, 9) if sideways else (4, 0)
    axes.annotate(
        text,
        middle,
        xytext=offset,
        textcoords="offset points",
        ha="left" if straight and not sideways else "center",
        va="center",
        fontsize=11,
        color="0.2",
        bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"} if text and not straight else None,
    )


def noise_injection() -> Figure:
    """Draw Fig. 1: noise is added to what training releases, not to the images."""
    boxes = [
        Box("images and\nlabels", 0, 0, "data"),
        Box("gradient of\na batch", 3.2, 0, "data"),
        Box("Laplace noise\nof scale Δf/ε", 6.4, 1.8, "noise"),
        Box("noisy gradient", 6.4, 0, "public"),
        Box("weights", 9.6, 0, "public"),
    ]
    return diagram(boxes, [(0, 1, "network"), (2, 3, "added"), (1, 3, ""), (3, 4, "step")])


def neighbouring_datasets() -> Figure:
    """Draw Fig. 2: the outputs on two datasets that differ in one record are hard to tell apart."""
    boxes = [
        Box("dataset D", 0, 1.8, "data"),
        Box("D with one record\nmore or less", 0, 0, "data"),
        Box("mechanism M", 3.6, 0.9, "noise"),
        Box("output M(D)", 7.2, 1.8, "public"),
        Box("output M(D')", 7.2, 0, "public"),
    ]
    return diagram(boxes, [(0, 2, ""), (1, 2, ""), (2, 3, ""), (2, 4, ""), (3, 4, "probabilities within $e^ε$")])


def training() -> Figure:
    """Draw Fig. 3: ordinary training of a convolutional network."""
    boxes = [
        Box("batch", 0, 0, "data"),
        Box("forward pass", 3.2, 0),
        Box("loss, Eq. (1)", 6.4, 0),
        Box("backward pass", 6.4, 1.8),
        Box("new weights", 3.2, 1.8),
    ]
    return diagram(boxes, [(0, 1, ""), (1, 2, ""), (2, 3, "derivative"), (3, 4, "Eq. (8)"), (4, 1, "")])


def cnn_dp_gan() -> Figure:
    """Draw Fig. 4: CNN-DP-GAN, whose budget grows with the iteration."""
    boxes = [
        Box("batch", 0, 0, "data"),
        Box("gradient of\nthe loss", 3.2, 0, "data"),
        Box("budget $ε_t$\nEqs. (4), (5)", 0, 1.8),
        Box("Laplace noise\nΔf/$ε_t$", 3.2, 1.8, "noise"),
        Box("noisy gradient\nEq. (3)", 6.4, 0.9, "public"),
        Box("step η and\nL2 term, Eq. (2)", 9.6, 0.9),
    ]
    arrows = [(0, 1, ""), (2, 3, ""), (3, 4, ""), (1, 4, ""), (4, 5, "")]
    return diagram(boxes, arrows)


def cnn_dp_gan_polyak() -> Figure:
    """Draw Fig. 5: CNN-DP-GAN-Polyak, whose step reads the raw loss and the noisy gradient."""
    boxes = [
        Box("batch", 0, 0.9, "data"),
        Box("loss, Eq. (7)", 3.2, 0, "data"),
        Box("noisy gradient\nEq. (9)", 3.2, 1.8, "public"),
        Box("budget $ε_t$\nEqs. (4), (5)", 0, 2.7),
        Box("Polyak step\nEq. (6)", 6.4, 0.9, "data"),
        Box("capped by λ, slack\nEqs. (10), (11)", 9.6, 0.9, "data"),
    ]
    arrows = [(0, 1, ""), (0, 2, ""), (3, 2, "noise"), (1, 4, "raw: a leak"), (2, 4, "$||g||^2$"), (4, 5, "α")]
    return diagram(boxes, arrows)


class Layer(NamedTuple):
    """One layer of a network: what it is, what it gives, and how many parameters it has."""

    name: str
    shape: tuple[int, ...]
    num_params: int


def layers(model: nn.Sequential, image_shape: tuple[int, ...]) -> list[Layer]:
    """Return the layers of a chain with the shape of each output.

    >>> layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2))[1]
    Layer(name='Linear(4, 2)', shape=(2,), num_params=10)
    """
    hidden, found = torch.zeros(1, *image_shape), []
    with torch.no_grad():
        for layer in model:
            hidden = layer(hidden)
            count = sum(parameter.numel() for parameter in layer.parameters())
            found.append(Layer(name_of(layer), tuple(hidden.shape[1:]), count))
    return found


def name_of(layer: nn.Module) -> str:
    """Return a layer's kind with what defines it."""
    if isinstance(layer, nn.Conv2d):
        size, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        return f"Conv2d({layer.in_channels}, {layer.out_channels}, {size}, stride={stride}, padding={padding})"
    if isinstance(layer, nn.Linear):
        return f"Linear({layer.in_features}, {layer.out_features})"
    return (
        f"{type(layer).__name__}({layer.extra_repr().split(', padding')[0]})"
        if layer.extra_repr()
        else type(layer).__name__
    )


def network(model: nn.Sequential, image_shape: tuple[int, ...]) -> Figure:
    """Draw a network layer by layer, with the shape after each and its number of parameters."""
    found = [Layer("image", image_shape, 0), *layers(model, image_shape)]
    figure = Figure(figsize=(8.2, 0.42 * len(found) + 0.3), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(len(found) - 0.4, -0.6))
    axes.set_axis_off()
    for row, layer in enumerate(found):
        kind = "data" if row == 0 else "noise" if layer.num_params else "step"
        axes.add_patch(
            FancyBboxPatch((0.1, row - 0.36), 5.2, 0.72, boxstyle="round,pad=0.02", fc=FILLS[kind], ec="0.4", lw=0.8)
        )
        axes.text(2.7, row, layer.name, ha="center", va="center", fontsize=9.5)
        axes.text(5.6, row, " x ".join(map(str, layer.shape)), va="center", fontsize=9.5)
        if layer.num_params:
            axes.text(9.9, row, f"{layer.num_params:,} parameters", va="center", ha="right", fontsize=9.5)
    said = [f"{one.name} {' x '.join(map(str, one.shape))}" for one in found if one.num_params or one == found[0]]
    total = sum(layer.num_params for layer in found)
    return describe(figure, f"{total:,} parameters in {len(said) - 1} layers", f"Shapes: {'; '.join(said)}")
