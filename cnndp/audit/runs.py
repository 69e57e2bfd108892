"""Runs that are audited: the real training loop on a training set with canaries, and what is planted in it."""

from collections.abc import Callable, Iterator

from torch import Generator, Tensor, nn

from cnndp.audit.canaries import Seen, observe, plant
from cnndp.checks import at_least
from cnndp.data.datasets import SIDE, Images
from cnndp.training.config import Config
from cnndp.training.models import draw_parameters
from cnndp.training.randomness import generator_for
from cnndp.training.wiring import Material, State, Wiring, as_it_is, as_they_are, begin, eager_steps, wired

Loop = Callable[[Wiring], Iterator[State]]
Change = Callable[[Wiring], Wiring]


def small_network(generator: Generator, hidden: int = 40, num_classes: int = 10, channels: int = 1) -> nn.Sequential:
    """Return a network of three layers, whose audit takes seconds: 9,930 parameters for grey images.

    Args:
        generator: of the initial weights.
        hidden: units of each hidden layer.
        num_classes: K.
        channels: C of images `[B, C, H, W]`, 28x28 for one and 32x32 for three.
    """
    model = nn.Sequential(
        nn.AvgPool2d(2),  # [B, C, H/2, W/2]
        nn.Flatten(),
        nn.Linear(channels * (SIDE[channels] // 2) ** 2, hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
        nn.Linear(hidden, num_classes),
    )
    for layer in model:
        if isinstance(layer, nn.Linear):
            draw_parameters(layer, "uniform", generator)
    return model


def audited_run(
    config: Config,
    images: Images,
    num_canaries: int,
    *,
    model: nn.Module | None = None,
    width: int = 1,
    heights: Tensor | None = None,
    change: Change = as_it_is,
    loop: Loop = eager_steps,
) -> Seen:
    """Train once, on the CPU, with canaries in the training set, and return what a white-box attacker sees.

    The run is put together by `wiring.begin` and `wiring.wired`, as in `loop.train`; between the two, canaries are
    added to the training set, and they are records like any other. B / N stays the sampling probability, with N the
    number of real records. Gradients take the general engine, with which the fast one is compared elsewhere. Cost:
    about two such runs, since the attacker works out the real records' part of every step.

    Args:
        config: a private run.
        images: its data.
        num_canaries: m.
        model: the network; None for the one that `config` names.
        width, heights: as in `canaries.plant`.
        change: exchanges a part of the run, for controls.
        loop: takes the steps; another one for controls.

    Raises:
        ValueError: when `config` is not private.
        plan.OverspendError: when the run leaves its plan.
    """
    if config.reading != "private":
        raise ValueError(
            f"reading={config.reading!r} claims no epsilon that could be refuted; pass a Config of reading='private'"
        )
    at_least(4, num_canaries=num_canaries)
    assert config.clip_norm is not None  # a private run
    begun = begin(config, images, model=model)
    planted = plant(
        begun.material.model,
        begun.material.to_input(begun.material.inputs),
        begun.material.labels,
        config.clip_norm,
        num_canaries,
        generator_for(config.seed, "canaries"),
        width=width,
        heights=heights,
        num_classes=images.num_classes,
    )
    material = Material(planted.model, planted.records, planted.labels, as_they_are)
    wiring = wired(config, begun._replace(material=material), until=config.num_steps)
    changed = change(wiring)
    order = list(changed.order)  # the attacker knows the batches
    return observe(loop(changed._replace(order=order)), wiring.weights, wiring.method, planted, order)
