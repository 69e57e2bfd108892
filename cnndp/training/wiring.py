"""What a run is put together from, and its steps: one place, for training and for the audits of it.

`begin` asks the plan and makes what the steps work on, `wired` adds what they draw, and `eager_steps` or
`recorded_steps` takes them. A mistake in here is in every private run, so the audits go through the same functions:
they exchange what `begin` made for data with canaries, and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cnndp.data.datasets import Images, network_input
from cnndp.data.preparation import prepare_images, project
from cnndp.equations.noise import unit_noise
from cnndp.privacy.filters import Filter
from cnndp.privacy.ledger import Release
from cnndp.privacy.plan import Guard, Plan
from cnndp.training import batches, models, own, rules
from cnndp.training.clipping import physical_batch
from cnndp.training.config import Config
from cnndp.training.gradients import flatten
from cnndp.training.graphs import GraphSteps, staged
from cnndp.training.intended import intended, one_off
from cnndp.training.methods import Method, Noisy, Step, compose, is_healthy, noisy_gradient, update
from cnndp.training.randomness import Streams, generator_for, generator_of, streams

NUDGE = 1e-6  # relative: a few units in the last place of float32

Limit = TypeVar("Limit", Guard | None, Filter)  # what is asked before the weights move


class Material(NamedTuple):
    """What the steps of a run work on."""

    model: nn.Module
    inputs: Tensor  # all training examples, `[N, ...]`, as `to_input` takes them
    labels: Tensor  # [N]
    to_input: Callable[[Tensor], Tensor]  # from examples to what the network gets


class Begun(NamedTuple):
    """A run that its plan lets start, before the first step."""

    num_train: int  # N, which counts as public
    plan: Plan | None
    guard: Guard | None
    released: list[Release]  # what was released to prepare the data: nothing, but for scattering features
    images: Images  # both parts, prepared
    material: Material
    random: Streams


class Wiring(NamedTuple):
    """What the steps are made of; `order` and `draws` are used up by taking them."""

    method: Method
    material: Material
    weights: Tensor  # the initial ones, `[P]`
    order: Iterable[Tensor]  # the example numbers of each batch
    draws: Iterable[Tensor]  # noise of scale 1 of each step, `[P]`, or `[P + 1]` where the loss is released
    guard: Guard | None = None


class State(NamedTuple):
    """Where a run stands after a step, as tensors on its device."""

    weights: Tensor  # [P]
    noisy: Noisy
    step: Step
    healthy: Tensor  # scalar, whether loss and weights have been finite in all steps so far
    healthy_steps: Tensor | int  # how many steps there were, up to and with the first that was not


def begin(
    config: Config, images: Images, *, device: torch.device | str = "cpu", model: nn.Module | None = None
) -> Begun:
    """Return a run up to its first step: the plan is asked first, and the data are prepared under its guard.

    Args:
        config: one run.
        images: its data, as for `loop.train`.
        device: where the network is.
        model: another network than the one that `config` names.

    Raises:
        plan.OverspendError: when the plan spends more than its target.
    """
    device, random, num_train = (
        torch.device(device),
        streams(config.seed, secret=config.secret_seed),
        len(images.train_labels),
    )
    plan = intended(config, num_train)
    guard = started(plan)
    images, released = prepared(config, images)
    guard = guard.admit(released) if guard and released else guard
    material = Material(
        network_of(config, images, random.weights, device) if model is None else model,
        images.train_images.to(device),
        images.train_labels.to(device),
        as_they_are if released else network_input(config.dataset, normalise=config.normalise, device=device),
    )
    return Begun(num_train, plan, guard, released, images, material, random)


def wired(
    config: Config,
    begun: Begun,
    *,
    until: int,
    nudge: int | None = None,
    engine: str = "auto",
    max_physical_batch: int | None = None,
) -> Wiring:
    """Return what the first `until` steps of a run are made of.

    Batches and noise are drawn for the examples and the network in `begun.material`; N and q stay what `begun` says.

    Args:
        config: one run.
        begun: from `begin`; its generators are used up.
        until: how many steps.
        nudge, engine, max_physical_batch: as in `loop.train`.

    Raises:
        ValueError: when the batch is larger than the data.
    """
    method = compose(config, begun.num_train, plan=begun.plan, engine=engine, max_physical_batch=max_physical_batch)
    material, random = begun.material, begun.random
    if material.inputs.is_floating_point():  # weights on features start at 0, where no nudge is felt
        material = material._replace(inputs=nudged(material.inputs, nudge))
    weights, held = flatten(material.model), len(material.labels)
    order = (
        batches.poisson(held, method.sampling_prob, until, random.batches)
        if method.sampling_prob is not None
        else batches.reshuffled(held, config.batch_size, until, random.batches)
    )
    size = len(weights) + (config.loss_clip is not None)
    draws = unit_noise(config.mechanism, size, until, random.noise, weights.device)
    return Wiring(method, material, nudged(weights, nudge), order, draws, begun.guard)


def nudged(values: Tensor, nudge: int | None) -> Tensor:
    """Return values changed by a few units in the last place, drawn from a seed; None leaves them alone."""
    if nudge is None:
        return values
    draw = torch.randn(values.shape, generator=generator_for(nudge, "nudge"))
    return values * (1 + NUDGE * draw.to(values.device))


def network_of(
    config: Config, images: Images, generator: torch.Generator, device: torch.device | str = "cpu"
) -> nn.Module:
    """Return the network of a run, with its initial weights.

    Args:
        config: one run.
        images: what the network gets, that is after `prepared`.
        generator: of the initial weights.
        device: where the network is.
    """
    if rules.is_own(config.model):
        network = own.build(config.model, images.num_classes, generator)
        shape = images.train_images.shape[1:]
        own.check_built(config.model, config.model_shapes, network, shape, images.num_classes)
        return network.to(device)
    if images.train_images.dim() == 4:  # features have no channels left
        models.check_channels(config.model, images.train_images.shape[1])
    return models.build(
        config.model,
        num_classes=images.num_classes,
        activation=config.activation,
        init=config.init,
        num_features=images.train_images.shape[1] if config.features == "scattering" else None,
        generator=generator,
        device=device,
    )


def prepared(config: Config, images: Images) -> tuple[Images, list[Release]]:
    """Return what the network gets, and what was released to make it: nothing, but for scattering features."""
    if config.mean_noise is None or config.moment_noise is None:
        return images, []
    rows, _ = prepare_images(
        images,
        len(images.train_labels),
        mean_noise=config.mean_noise,
        moment_noise=config.moment_noise,
        generator=generator_of(config.seed, "features", secret=config.secret_seed),
    )
    return rows if config.projection is None else projected(rows, config), one_off(config)


def projected(rows: Images, config: Config) -> Images:
    """Return prepared features of both parts through the same random matrix, one for each seed."""
    assert config.projection is not None  # asked for only then
    train, test = (
        project(part, config.projection, generator_for(config.seed, "projection"))
        for part in (rows.train_images, rows.test_images)
    )
    return rows._replace(train_images=train, test_images=test)


def as_they_are(rows: Tensor) -> Tensor:
    """Return examples that need no scaling, such as prepared features."""
    return rows


def as_it_is(wiring: Wiring) -> Wiring:
    """Return a run with nothing exchanged in it."""
    return wiring


def started(plan: Plan | None) -> Guard | None:
    """Return the guard of a plan that its target covers; None without a plan.

    Raises:
        plan.OverspendError: when the plan spends more than its target.
    """
    if plan is None:
        return None
    plan.check()
    return Guard(plan)


def eager_steps(wiring: Wiring) -> Iterator[State]:
    """Yield the state after each step: clip, sum, noise, divide, move, one call after the other.

    Raises:
        plan.OverspendError: before the weights move by something that the guard does not admit.
    """
    method, (model, inputs, labels, to_input), weights, order, draws, guard = wiring
    velocity = torch.zeros_like(weights)
    for t, (batch, draw) in enumerate(zip(order, draws, strict=True), start=1):
        batch = batch.to(inputs.device)
        images = to_input(inputs[batch])
        state, velocity, guard = take_step(method, model, weights, velocity, images, labels[batch], t, draw, guard)
        weights = state.weights
        yield state


def take_step(
    method: Method,
    model: nn.Module,
    weights: Tensor,
    velocity: Tensor,
    inputs: Tensor,
    labels: Tensor,
    t: int,
    draw: Tensor,
    guard: Limit,
) -> tuple[State, Tensor, Limit]:
    """Return the state after step t, the velocity, and the guard or filter; arguments as `methods.noisy_gradient`."""
    noisy = noisy_gradient(method, model, weights, inputs, labels, t, draw)
    guard = guard if guard is None else guard.admit(noisy.releases)
    weights, velocity, step = update(method, weights, velocity, noisy, t)
    return State(weights, noisy, step, is_healthy(method, noisy, weights), t), velocity, guard


def recorded_steps(wiring: Wiring, num_steps: int, max_physical_batch: int | None = None) -> Iterator[State]:
    """Yield the state after each step, taken by recorded functions; the next step overwrites its tensors.

    Args:
        wiring: as for `eager_steps`.
        num_steps: T of the whole run, which its schedules are made for.
        max_physical_batch: how many examples are worked on at once.

    Raises:
        plan.OverspendError: before a step that the guard does not admit.
    """
    method, material, weights, order, draws, guard = wiring
    size = method.divisor
    size = min(size, physical_batch(max_physical_batch, weights.device)) if method.in_parts else size
    recorder = GraphSteps(
        method,
        material.model,
        weights,
        material.inputs,
        material.labels,
        physical_batch=size,
        num_steps=num_steps,
        to_input=material.to_input,
    )
    parts = staged(order, size, weights.device)
    for t, ((rows, count), draw) in enumerate(zip(parts, draws, strict=True), start=1):
        guard = guard and guard.admit(recorder.releases_of(t))
        noisy, step = recorder(t, rows, count, draw)
        yield State(recorder.weights, noisy, step, recorder.healthy, recorder.healthy_steps)
