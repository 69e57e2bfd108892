"""Runs that are audited: the real training loop on a training set with canaries, and what is planted in it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from cnndp.batches import poisson
from cnndp.canaries import Planted, Seen, observe, plant
from cnndp.checks import at_least
from cnndp.config import Config
from cnndp.data import Images, network_input
from cnndp.gradients import flatten
from cnndp.methods import Method, compose
from cnndp.models import draw_parameters
from cnndp.noise import unit_noise
from cnndp.plan import Guard
from cnndp.private import intended
from cnndp.randomness import generator_for, streams
from cnndp.training import State, eager_steps, network_of, started

Loop = Callable[..., Iterator[State]]


class Parts(NamedTuple):
    """What an audited run is put together from; a control exchanges one of them."""

    method: Method
    planted: Planted
    order: list[Tensor]  # batches, numbers of records
    draws: Iterable[Tensor]  # noise of scale 1, `[P]` or `[P + 1]`
    guard: Guard | None


Change = Callable[[Parts], Parts]


def small_network(generator: Generator, hidden: int = 40, num_classes: int = 10) -> nn.Sequential:
    """Return a network of three layers for `[B, 1, 28, 28]`, whose audit takes seconds: 9,930 parameters.

    Args:
        generator: of the initial weights.
        hidden: units of each hidden layer.
        num_classes: K.
    """
    model = nn.Sequential(
        nn.AvgPool2d(2),  # [B, 1, 14, 14]
        nn.Flatten(),
        nn.Linear(196, hidden),
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
    change: Change = lambda parts: parts,
    loop: Loop = eager_steps,
) -> Seen:
    """Train once, on the CPU, with canaries in the training set, and return what a white-box attacker sees.

    Clip, sum, noise, division, step and guard are those of `training.train`; the canaries are records like any other.
    B / N stays the sampling probability, with N the number of real records. Gradients take the general engine, with
    which the fast one is compared elsewhere. Cost: about two such runs, since the attacker works out the real records'
    part of every step.

    Args:
        config: a private run.
        images: its data.
        num_canaries: m.
        model: the network; None for the one that `config` names.
        width, heights: as in `canaries.plant`.
        change: exchanges a part, for controls.
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
    count, random = len(images.train_labels), streams(config.seed)
    plan = intended(config, count)
    method = compose(config, count, plan=plan)
    assert method.sampling_prob is not None  # a private run
    to_input = network_input(config.dataset, normalise=config.normalise)
    planted = plant(
        network_of(config, images, random.weights) if model is None else model,
        to_input(images.train_images),
        images.train_labels,
        config.clip_norm,
        num_canaries,
        generator_for(config.seed, "canaries"),
        width=width,
        heights=heights,
        num_classes=images.num_classes,
    )
    start = flatten(planted.model)
    size = len(start) + (config.loss_clip is not None)
    parts = change(
        Parts(
            method,
            planted,
            list(poisson(len(planted.labels), method.sampling_prob, config.num_steps, random.batches)),
            unit_noise(config.mechanism, size, config.num_steps, random.noise, torch.device("cpu")),
            started(plan),
        )
    )
    states = loop(
        parts.method,
        planted.model,
        start,
        planted.records,
        planted.labels,
        parts.order,
        parts.draws,
        lambda records: records,
        parts.guard,
    )
    return observe(states, start, method, planted, parts.order)
