"""One run: a network, its batches and its noise from one seed, trained by one method."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cnndp import batches, models
from cnndp.clipping import physical_batch
from cnndp.config import Config
from cnndp.data import Images, network_input
from cnndp.filters import Filter
from cnndp.gradients import Loss, flatten
from cnndp.graphs import GraphSteps, staged
from cnndp.ledger import Release, merge
from cnndp.losses import LOSSES
from cnndp.methods import Method, Noisy, Step, compose, is_healthy, noisy_gradient, update
from cnndp.noise import unit_noise
from cnndp.plan import Guard, Plan
from cnndp.preparation import prepare_images, project
from cnndp.private import intended, one_off
from cnndp.randomness import generator_for, streams

NUM_EVALUATIONS = 15
NUM_EVALUATED = 2000  # images of each part that the accuracy curves use
TRACE_STEPS = 10  # first steps kept in full, for replay
NUDGE = 1e-6  # relative: a few units in the last place of float32

Columns = dict[str, list[Any]]
Limit = TypeVar("Limit", Guard | None, Filter)  # what is asked before the weights move


class Outcome(NamedTuple):
    """What a run measured. Accuracies in percent; columns are lists of equal length, one entry a row."""

    status: str  # "finished", or "diverged" when a loss or a weight stopped being finite
    history: Columns  # at the evaluation points
    trace: Columns  # the first steps
    final: dict[str, Any]
    releases: list[Release]
    weights: Tensor  # [P]
    model: nn.Module


def evaluation_steps(num_steps: int) -> list[int]:
    """Return the steps after which accuracy is measured: 0, then denser early, ending at `num_steps`.

    >>> evaluation_steps(600)
    [0, 10, 29, 54, 83, 115, 152, 191, 234, 279, 327, 377, 429, 484, 541, 600]
    """
    points = (round(num_steps * (k / NUM_EVALUATIONS) ** 1.5) for k in range(NUM_EVALUATIONS + 1))
    return sorted(set(points))


def evaluated_after(config: Config, num_train: int) -> list[int]:
    """Return the steps of a run after which accuracy is measured: spread out, or at 0, each epoch's end and the last.

    Args:
        config: one run.
        num_train: N.
    """
    if config.evaluate == "spread":
        return evaluation_steps(config.num_steps)
    epoch = batches.steps_per_epoch(num_train, config.batch_size)
    return sorted({0, *range(epoch, config.num_steps + 1, epoch), config.num_steps})


def train(
    config: Config,
    images: Images,
    *,
    device: torch.device | str = "cpu",
    last_step: int | None = None,
    nudge: int | None = None,
    engine: str = "auto",
    max_physical_batch: int | None = None,
    graph: bool | None = None,
    on_step: Callable[[int], object] = lambda step: None,
) -> Outcome:
    """Train one network and return what was measured.

    The same `config` and `images` give the same batches and noise on every device.

    Args:
        config: what to do.
        images: the data that `config.dataset` and `config.split` name; with `config.features`, what `features.load`
            gives of it.
        device: where the network is.
        last_step: stop early, after this step (the schedule stays that of the whole run; no final metrics).
        nudge: seed of a change of the initial weights by a few units in the last place, to see how far a rounding
            error travels; None for none.
        engine: "fast", "general" or "auto", see `clipping.example_clipped_sum`.
        max_physical_batch: how many examples are worked on at once when gradients are clipped one by one.
        graph: whether steps are recorded once and replayed (`cnndp.graphs`); None means on a GPU.
        on_step: called with the number of each finished step.

    Raises:
        ValueError: when the batch is larger than the data.
        plan.OverspendError: before a step that would spend more than `config.target_epsilon` allows.
    """
    device = torch.device(device)
    random = streams(config.seed)
    count = len(images.train_labels)
    plan = intended(config, count)
    guard = started(plan)
    images, released = prepared(config, images)
    guard = guard.admit(released) if guard and released else guard
    model = network_of(config, images, random.weights, device)
    method = compose(config, count, plan=plan, engine=engine, max_physical_batch=max_physical_batch)
    inputs, labels = images.train_images.to(device), images.train_labels.to(device)
    to_input = as_they_are if released else network_input(config.dataset, normalise=config.normalise, device=device)
    weights = flatten(model)
    if nudge is not None:
        draw = torch.randn(len(weights), generator=generator_for(nudge, "nudge"))
        weights = weights * (1 + NUDGE * draw.to(device))
    meter = Meter(model, images, device, to_input, LOSSES[config.loss])
    meter.evaluate(0, weights)
    status, until, last = "finished", min(config.num_steps, last_step or config.num_steps), 0
    recorded = device.type == "cuda" if graph is None else graph
    evaluated = set(evaluated_after(config, count))
    order = (
        batches.poisson(count, method.sampling_prob, until, random.batches)
        if method.sampling_prob is not None
        else batches.reshuffled(count, config.batch_size, until, random.batches)
    )
    draws = unit_noise(config.mechanism, len(weights) + (config.loss_clip is not None), until, random.noise, device)
    # Reduced-precision convolutions would make a GPU's losses differ from a CPU's in the third digit.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        if recorded:
            size = min(config.batch_size, physical_batch(max_physical_batch, device))
            size = size if method.in_parts else config.batch_size
            recorder = GraphSteps(
                method,
                model,
                weights,
                inputs,
                labels,
                physical_batch=size,
                num_steps=config.num_steps,
                to_input=to_input,
            )
            taken = graph_steps(recorder, staged(order, size, device), draws, guard)
        else:
            taken = eager_steps(method, model, weights, inputs, labels, order, draws, to_input, guard)
        for t, state in enumerate(taken, start=1):
            meter.record(t, state.noisy, state.step)
            # Looking makes the host wait for a GPU, so there it is done only where numbers are read anyway.
            look = not recorded or t <= TRACE_STEPS or t in evaluated or t == until
            if look and not bool(state.healthy):
                status, last = "diverged", int(state.healthy_steps)
                break
            if t in evaluated:
                meter.evaluate(t, state.weights, state.noisy, state.step)
            on_step(t)
            last = t
    complete = last == config.num_steps or status == "diverged"
    final = {**(meter.final(state.weights) if complete else {}), "last_step": last}
    releases = [*released, *merge_by_quantity(meter.releases[:last])]
    return Outcome(status, meter.history, meter.trace, final, releases, state.weights, model)


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
        generator=generator_for(config.seed, "features"),
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
    """Return prepared features, which need no scaling."""
    return rows


def started(plan: Plan | None) -> Guard | None:
    """Return the guard of a plan that its target covers; None without a plan.

    Raises:
        plan.OverspendError: when the plan spends more than its target.
    """
    if plan is None:
        return None
    plan.check()
    return Guard(plan)


class State(NamedTuple):
    """Where a run stands after a step, as tensors on its device."""

    weights: Tensor  # [P]
    noisy: Noisy
    step: Step
    healthy: Tensor  # scalar, whether loss and weights have been finite in all steps so far
    healthy_steps: Tensor | int  # how many steps there were, up to and with the first that was not


def eager_steps(
    method: Method,
    model: nn.Module,
    weights: Tensor,
    inputs: Tensor,
    labels: Tensor,
    order: Iterable[Tensor],
    draws: Iterable[Tensor],
    to_input: Callable[[Tensor], Tensor],
    guard: Guard | None = None,
) -> Iterator[State]:
    """Yield the state after each step: clip, sum, noise, divide, move, one call after the other.

    Raises:
        plan.OverspendError: before the weights move by something that `guard` does not admit.
    """
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


def graph_steps(
    recorder: GraphSteps,
    parts: Iterable[tuple[Tensor, Tensor]],
    draws: Iterable[Tensor],
    guard: Guard | None = None,
) -> Iterator[State]:
    """Yield the state after each step, taken by recorded functions; the next step overwrites its tensors."""
    for t, ((rows, count), draw) in enumerate(zip(parts, draws, strict=True), start=1):
        guard = guard and guard.admit(recorder.releases_of(t))
        noisy, step = recorder(t, rows, count, draw)
        yield State(recorder.weights, noisy, step, recorder.healthy, recorder.healthy_steps)


def merge_by_quantity(releases: list[tuple[Release, ...]]) -> list[Release]:
    """Return the gradient releases of all steps, merged, then the loss releases, merged."""
    return [
        entry
        for quantity in ("gradient", "loss")
        for entry in merge(release for step in releases for release in step if release.quantity == quantity)
    ]


class Meter:
    """Collects what a run measures, on fixed images, without drawing any random number."""

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        device: torch.device,
        to_input: Callable[[Tensor], Tensor],
        loss: Loss,
    ) -> None:
        self.model, self.images, self.device, self.to_input, self.loss = model, images, device, to_input, loss
        # A split of all images is a seeded permutation already, so its first images are a random, fixed sample; the
        # official parts keep their order, and MNIST's first test images are harder than the others.
        self.sample = {
            "train": (images.train_images[:NUM_EVALUATED], images.train_labels[:NUM_EVALUATED]),
            "test": (images.test_images[:NUM_EVALUATED], images.test_labels[:NUM_EVALUATED]),
        }
        measured = ("train_accuracy", "train_loss", "test_accuracy", "test_loss")
        names = ("step", "loss", *measured, "step_size", "slack", "noise_scale", "gradient_norm")
        self.history: Columns = {name: [] for name in names}
        self.trace: Columns = {name: [] for name in ("step", "loss", "gradient_norm", "step_size")}
        self.releases: list[tuple[Release, ...]] = []  # of each step
        self.capped = torch.zeros((), dtype=torch.int64, device=device)

    def measure(self, part: str, weights: Tensor, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Return accuracy in percent and mean loss under the names that start with `part`."""
        inputs = self.to_input(images.to(self.device))
        score = models.evaluate(self.model, weights, inputs, labels.to(self.device), self.loss)
        return {f"{part}_accuracy": score.accuracy, f"{part}_loss": score.loss}

    def measure_samples(self, weights: Tensor) -> dict[str, float]:
        """Return the scores on the fixed images of both parts."""
        scores = [self.measure(part, weights, *sample) for part, sample in self.sample.items()]
        return {**scores[0], **scores[1]}

    def record(self, t: int, noisy: Noisy, step: Step) -> None:
        """Note one step: its releases, whether the cap bound, and in full while the trace is short."""
        self.releases.append(noisy.releases)
        if step.slack is not None:
            self.capped += step.slack > 0
        if t <= TRACE_STEPS:
            append(self.trace, step=t, **_numbers(noisy, step, self.trace))

    def evaluate(self, t: int, weights: Tensor, noisy: Noisy | None = None, step: Step | None = None) -> None:
        """Note the scores after step `t`; step 0 has no batch loss, step size or noise."""
        numbers = _numbers(noisy, step, self.history) if noisy and step else {}
        append(self.history, step=t, **self.measure_samples(weights), **numbers)

    def final(self, weights: Tensor) -> dict[str, Any]:
        """Return the final metrics, on the whole test set and on the fixed training images."""
        return {
            **self.measure("test", weights, self.images.test_images, self.images.test_labels),
            **self.measure("train", weights, *self.sample["train"]),
            "steps_at_cap": int(self.capped),
        }


def append(columns: Columns, **row: Any) -> None:
    """Append one row; a column that `row` lacks gets None."""
    for name, column in columns.items():
        column.append(row.get(name))


def _numbers(noisy: Noisy, step: Step, columns: Columns) -> dict[str, float | None]:
    numbers = {
        "loss": noisy.loss.item(),
        "gradient_norm": noisy.gradient.norm().item(),
        "step_size": step.size.item(),
        "slack": None if step.slack is None else step.slack.item(),
        "noise_scale": noisy.releases[0].scale,
    }
    return {name: number for name, number in numbers.items() if name in columns}
