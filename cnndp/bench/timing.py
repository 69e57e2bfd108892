"""What private training costs on the machine at hand: all variants side by side in one run, written as a record.

A step is everything from a batch on the device to new weights. The variants take turns, a few steps at a time,
so that whatever else the machine does falls on all of them; what is compared is the ratio to ordinary SGD.
"""

import contextlib
import multiprocessing
import re
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from cnndp.checks import at_least, one_of
from cnndp.equations.losses import cross_entropy
from cnndp.equations.noise import unit_noise
from cnndp.progress import progress_bar
from cnndp.runs import provenance
from cnndp.runs.store import OWN, Record
from cnndp.training import models
from cnndp.training.clipping import physical_batch
from cnndp.training.config import Config
from cnndp.training.gradients import channels_last, flatten
from cnndp.training.graphs import GraphSteps, padded
from cnndp.training.methods import compose, noisy_gradient, update

NETWORKS = {"mnist_cnn": (1, 28, 28), "cifar_cnn": (3, 32, 32)}
BATCH_SIZES = (250, 1500)
MAX_STEPS = 100_000  # more than a benchmark takes; noise is drawn only when a step needs it
TURN_SECONDS = 0.2  # of one variant at a time: long against the clock, short against what else the machine does
PROFILED_STEPS = 10
StepFunction = Callable[[], object]


class Problem(NamedTuple):
    """One network and one batch, which every variant steps on."""

    model: nn.Module
    inputs: Tensor  # float32 [B, C, H, W]
    labels: Tensor  # [B]
    device: torch.device


def problem(network: str, batch_size: int, device: torch.device) -> Problem:
    """Return random images for `network`: what a step costs does not depend on what is in the pictures."""
    one_of(NETWORKS, network=network)
    at_least(1, batch_size=batch_size)
    generator = Generator().manual_seed(0)
    model = models.build(network, num_classes=10, activation="tanh", generator=generator, device=device)
    inputs = torch.rand(batch_size, *NETWORKS[network], generator=generator).to(device)
    labels = torch.randint(10, (batch_size,), generator=generator).to(device)
    return Problem(model, inputs, labels, device)


def sgd(given: Problem, *, best_layout: bool, move: bool = True) -> StepFunction:
    """Return an ordinary step, as one writes it or with the memory layout that is the fastest here."""
    model, inputs = given.model, given.inputs
    if best_layout and given.device.type == "cpu":
        model, inputs = model.to(memory_format=torch.channels_last), channels_last(inputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(inputs), given.labels).mean().backward()
        if move:
            optimizer.step()

    return step


def ours(given: Problem, *, clip: str, engine: str) -> StepFunction:
    """Return a private step of this package, noise included; on a GPU recorded as training records it."""
    batch_size = len(given.labels)
    config = Config(
        method="dp_sgd",
        reading="reconstructed",
        dataset="random",
        num_steps=MAX_STEPS,
        batch_size=batch_size,
        clip=clip,
        clip_norm=1.0,
        mechanism="laplace" if clip == "example_l1" else "gaussian",
        total_epsilon=float(MAX_STEPS),
    )
    method = compose(config, batch_size, engine=engine)
    weights = flatten(given.model)
    draws = unit_noise(config.mechanism, len(weights), MAX_STEPS, Generator().manual_seed(0), given.device)
    if given.device.type == "cuda":
        size = min(batch_size, physical_batch(None, given.device))
        images = (given.inputs * 255).to(torch.uint8)
        steps = GraphSteps(method, given.model, weights, images, given.labels, physical_batch=size, num_steps=1)
        rows = padded(torch.arange(batch_size), size).to(given.device)
        count = torch.tensor(float(batch_size), device=given.device)
        return lambda: steps(1, rows, count, next(draws))
    velocity = torch.zeros_like(weights)

    def step() -> None:
        nonlocal weights, velocity
        noisy = noisy_gradient(method, given.model, weights, given.inputs, given.labels, 1, next(draws))
        weights, velocity, _ = update(method, weights, velocity, noisy, 1)

    return step


def opacus(given: Problem, *, ghost: bool) -> StepFunction:
    """Return a step of Opacus, by hooks that keep every example's gradient, or by ghost clipping."""
    from opacus import grad_sample, optimizers
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    base = torch.optim.SGD(given.model.parameters(), lr=0.01)
    options = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "expected_batch_size": len(given.labels)}
    criterion: Any = nn.CrossEntropyLoss()
    if ghost:
        model = grad_sample.GradSampleModuleFastGradientClipping(given.model, max_grad_norm=1.0)
        optimizer = optimizers.DPOptimizerFastGradientClipping(base, **options)
        criterion = DPLossFastGradientClipping(model, optimizer, criterion)
    else:
        model = grad_sample.GradSampleModule(given.model)
        optimizer = optimizers.DPOptimizer(base, **options)

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(given.inputs), given.labels).backward()
        optimizer.step()

    return step


# In the order of the tables: the floor, ordinary training, ours, the library to compare with.
VARIANTS: dict[str, Callable[[Problem], StepFunction]] = {
    "forward + backward": partial(sgd, best_layout=True, move=False),
    "SGD": partial(sgd, best_layout=False),
    "SGD, channels last": partial(sgd, best_layout=True),
    "fast, L2": partial(ours, clip="example_l2", engine="fast"),
    "fast, L1": partial(ours, clip="example_l1", engine="fast"),
    "general, L2": partial(ours, clip="example_l2", engine="general"),
    "general, L1": partial(ours, clip="example_l1", engine="general"),
    "Opacus, hooks": partial(opacus, ghost=False),
    "Opacus, ghost": partial(opacus, ghost=True),
}


def available() -> list[str]:
    """Return the names of the variants that this machine can run: those of Opacus only where it is installed."""
    return [name for name in VARIANTS if not name.startswith("Opacus") or util.find_spec("opacus")]


def measure(device: torch.device, *, repeats: int = 15) -> Record:
    """Time every variant on every network and batch size, in turns, and return the record.

    Args:
        device: where to measure.
        repeats: turns of each variant.
    """
    at_least(2, repeats=repeats)
    warnings.filterwarnings("ignore", message="Full backward hook is firing")  # from the hooks of Opacus
    cases = [(network, batch_size) for network in NETWORKS for batch_size in BATCH_SIZES]
    started, rows = time.perf_counter(), []
    with progress_bar(len(cases) * (repeats + 1) * len(available()), "turn") as bar:
        for network, batch_size in cases:
            bar.set_description(f"{network}, B = {batch_size}")
            times = take_turns(network, batch_size, device, repeats, lambda: bar.update(1))
            for name, milliseconds in times.items():
                peak = peak_memory_mb(network, batch_size, name, device)
                bar.update(1)
                rows.append(
                    {
                        "network": network,
                        "batch_size": batch_size,
                        "variant": name,
                        "ms_per_step": [round(value, 4) for value in milliseconds],
                        "peak_memory_mb": peak,
                    }
                )
    return {
        "kind": "benchmark",
        "rows": rows,
        "profile": [profile(network, 250, "fast, L2", device) for network in NETWORKS],
        "processor": processor() if device.type == "cpu" else provenance.device_name(device),
        "opacus": metadata.version("opacus") if util.find_spec("opacus") else None,
        "provenance": provenance.describe(device, time.perf_counter() - started, dataset_sha256=""),
    }


def take_turns(
    network: str, batch_size: int, device: torch.device, repeats: int, on_turn: Callable[[], object]
) -> dict[str, list[float]]:
    """Return milliseconds per step of each variant, one number a turn."""
    steps = {name: VARIANTS[name](problem(network, batch_size, device)) for name in available()}
    counts = {name: max(1, round(TURN_SECONDS / seconds_of(step, 2, device))) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(1000 * seconds_of(step, counts[name], device))
            on_turn()
    return times


def seconds_of(step: StepFunction, count: int, device: torch.device) -> float:
    """Return the seconds that one of `count` steps takes, after one that does not count."""
    step()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    synchronize(device)
    return (time.perf_counter() - started) / count


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(network: str, batch_size: int, name: str, device: torch.device) -> int | None:
    """Return the most memory that steps take on top of network and batch, in MiB; None where it cannot be told.

    On a CPU the steps run in a process of their own, whose peak Linux can reset and report.
    """
    if device.type == "cuda":
        step = VARIANTS[name](problem(network, batch_size, device))
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return round((torch.cuda.max_memory_allocated(device) - before) / 2**20)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(resident_growth_mb, (network, batch_size, name, torch.get_num_threads()))


def resident_growth_mb(network: str, batch_size: int, name: str, threads: int) -> int | None:
    """Return by how many MiB the memory of this process grows at most while it takes three steps."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # said once already, in the process that measures the times
    # One step of a single example first: libraries that a step loads are not memory that it needs.
    VARIANTS[name](problem(network, 1, torch.device("cpu")))()
    step = VARIANTS[name](problem(network, batch_size, torch.device("cpu")))
    status = Path("/proc/self/status")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew at what is in use
        before = kilobytes(status, "VmRSS")
        for _ in range(3):
            step()
        return round((kilobytes(status, "VmHWM") - before) / 2**10)
    return None


def kilobytes(status: Path, name: str) -> int:
    """Return an entry of Linux' process status."""
    return int(re.search(rf"^{name}:\s*(\d+) kB", status.read_text(), re.MULTILINE)[1])  # type: ignore[index]


def processor() -> str:
    """Return the name of this machine's processor, or its architecture where the system does not tell."""
    with contextlib.suppress(OSError, TypeError):
        text = Path("/proc/cpuinfo").read_text()
        return re.sub(r"\(R\)|\(TM\)| CPU|Processor ", "", re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    return provenance.device_name(torch.device("cpu"))


# What a step spends its time on, by the names of torch's operators; the first that fits counts.
PARTS = {
    "passes: convolutions": ("mkldnn_convolution", "cudnn_convolution", "convolution_backward", "convolution_over"),
    "passes: pooling": ("pool2d",),
    "passes: activations, loss": ("tanh", "softmax", "nll_loss"),
    "copies of windows and layouts": ("copy_", "cat", "constant_pad"),
    "products for norms": ("bmm", "vector_norm"),
    "linear layers, weighted sums": ("addmm", "mm", "dot"),
    "noise": ("normal", "rand", "log1p", "sign"),
}
OTHER = "everything else"


def profile(network: str, batch_size: int, name: str, device: torch.device) -> dict[str, Any]:
    """Return how the time of one step divides over `PARTS`, in milliseconds."""
    step = VARIANTS[name](problem(network, batch_size, device))
    for _ in range(3):
        step()
    activity = torch.profiler.ProfilerActivity
    kind = activity.CUDA if device.type == "cuda" else activity.CPU
    with torch.profiler.profile(activities=[kind]) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        synchronize(device)
    milliseconds = dict.fromkeys([*PARTS, OTHER], 0.0)
    for event in profiler.key_averages():
        own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        milliseconds[part_of(event.key)] += own / 1000 / PROFILED_STEPS
    return {
        "network": network,
        "batch_size": batch_size,
        "variant": name,
        "ms": {part: round(value, 3) for part, value in milliseconds.items()},
    }


def part_of(operator: str) -> str:
    """Return the entry of `PARTS` that an operator belongs to.

    >>> part_of("aten::max_pool2d_with_indices")
    'passes: pooling'
    """
    return next((part for part, names in PARTS.items() if any(name in operator for name in names)), OTHER)


def path_for(root: Path, record: Record, *, own: bool = False) -> Path:
    """Return the file of a benchmark: <root>/benchmarks/<processor>-<threads>-threads.json, or own/benchmark-....

    Args:
        root: the run store.
        record: the benchmark.
        own: whether it is a user's, which stands beside those that the book shows.
    """
    threads = f"-{record['provenance']['threads']}-threads" if "CPU" in record["provenance"]["device"] else ""
    slug = re.sub(r"[^a-z0-9.]+", "-", record["processor"].lower()).strip("-")
    name = f"{slug}{threads}.json"
    return root / OWN / f"benchmark-{name}" if own else root / "benchmarks" / name
