"""One run: a network, its batches and its noise from one seed, trained by one method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cnndp.data.datasets import Images
from cnndp.equations.losses import LOSSES
from cnndp.privacy.ledger import Release, merge
from cnndp.training import models
from cnndp.training.batches import steps_per_epoch
from cnndp.training.config import Config
from cnndp.training.gradients import Loss
from cnndp.training.methods import Noisy, Step
from cnndp.training.wiring import Material, Wiring, as_it_is, begin, eager_steps, recorded_steps, wired

NUM_EVALUATIONS = 15
NUM_EVALUATED = 2000  # images of each part that the accuracy curves use
TRACE_STEPS = 10  # first steps kept in full, for replay

Columns = dict[str, list[Any]]


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
    epoch = steps_per_epoch(num_train, config.batch_size)
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
    change: Callable[[Wiring], Wiring] = as_it_is,
) -> Outcome:
    """Train one network and return what was measured.

    The same `config` and `images` give the same batches and noise on every device.

    >>> from cnndp import load, preset
    >>> outcome = train(preset("cnn", "reconstructed", "digits", num_steps=3), load("digits"))
    >>> outcome.status, outcome.history["step"], len(outcome.weights)
    ('finished', [0, 1, 2, 3], 26010)

    Args:
        config: what to do.
        images: the data that `config.dataset` and `config.split` name; with `config.features`, what `features.load`
            gives of it.
        device: where the network is.
        last_step: stop early, after this step (the schedule stays that of the whole run; no final metrics).
        nudge: seed of a change of the initial weights, and of prepared features, by a few units in the last place, to
            see how far a rounding error travels; None for none.
        engine: "fast", "general" or "auto", see `clipping.example_clipped_sum`.
        max_physical_batch: how many examples are worked on at once when gradients are clipped one by one.
        graph: whether steps are recorded once and replayed (`cnndp.training.graphs`); None means on a GPU.
        on_step: called with the number of each finished step.
        change: exchanges a part of the run, for negative controls; what it does shows in no Config.

    Raises:
        ValueError: when the batch is larger than the data.
        plan.OverspendError: before a step that would spend more than `config.target_epsilon` allows.
    """
    device = torch.device(device)
    begun = begin(config, images, device=device)
    status, until, last = "finished", min(config.num_steps, last_step or config.num_steps), 0
    wiring = change(
        wired(config, begun, until=until, nudge=nudge, engine=engine, max_physical_batch=max_physical_batch)
    )
    meter = Meter(begun.material, begun.images, LOSSES[config.loss])
    meter.evaluate(0, wiring.weights)
    recorded = device.type == "cuda" if graph is None else graph
    evaluated = set(evaluated_after(config, begun.num_train))
    # Reduced-precision convolutions would make a GPU's losses differ from a CPU's in the third digit.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        taken = recorded_steps(wiring, config.num_steps, max_physical_batch) if recorded else eager_steps(wiring)
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
    releases = [*begun.released, *merge_by_quantity(meter.releases[:last])]
    return Outcome(status, meter.history, meter.trace, final, releases, state.weights, begun.material.model)


def merge_by_quantity(releases: list[tuple[Release, ...]]) -> list[Release]:
    """Return the gradient releases of all steps, merged, then the loss releases, merged."""
    return [
        entry
        for quantity in ("gradient", "loss")
        for entry in merge(release for step in releases for release in step if release.quantity == quantity)
    ]


class Meter:
    """Collects what a run measures, on fixed images, without drawing any random number."""

    def __init__(self, material: Material, images: Images, loss: Loss) -> None:
        self.material, self.images, self.loss = material, images, loss
        self.device = material.labels.device
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
        self.capped = torch.zeros((), dtype=torch.int64, device=self.device)

    def measure(self, part: str, weights: Tensor, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Return accuracy in percent and mean loss under the names that start with `part`."""
        inputs = self.material.to_input(images.to(self.device))
        score = models.evaluate(self.material.model, weights, inputs, labels.to(self.device), self.loss)
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
