"""The price of privacy in words: tables from benchmark records, and a check that the engines agree."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch

from cnndp.bench.timing import NETWORKS, VARIANTS, measure, path_for, problem
from cnndp.checks import one_of
from cnndp.equations.losses import cross_entropy
from cnndp.report.tables import table
from cnndp.runs import store
from cnndp.runs.experiment import check_parameters, pick_device
from cnndp.runs.store import Record, load
from cnndp.training.clipping import PHYSICAL_BATCH, example_clipped_sum
from cnndp.training.engine import floats_per_example
from cnndp.training.gradients import flatten

TITLES = {"mnist_cnn": "26,010-parameter network", "cifar_cnn": "131,466-parameter network"}


class Target(NamedTuple):
    """A ratio that this project set itself before measuring."""

    network: str
    variant: str
    against: str
    bound: float
    at_most: bool  # else at least: how many times as fast


TARGETS = (
    Target("mnist_cnn", "fast, L2", "SGD", 1.5, at_most=True),
    Target("mnist_cnn", "fast, L2", "Opacus, hooks", 2.0, at_most=False),
    Target("cifar_cnn", "fast, L2", "SGD", 1.7, at_most=True),
    Target("mnist_cnn", "fast, L1", "SGD", 2.5, at_most=True),
    Target("cifar_cnn", "fast, L1", "SGD", 2.5, at_most=True),
)


def from_notebook(namespace: Mapping[str, Any]) -> Record:
    """Return the benchmark that a notebook's parameters name, measured first when they say so.

    Args:
        namespace: the notebook's `globals()`, right after the parameters cell: `machine`, the name of a stored
            benchmark, of the book's or of your own, `measure`, `repeats` and `device`.

    Raises:
        ValueError: an unknown parameter or machine.
        store.RecordError: no benchmark is stored.
    """
    given = check_parameters(namespace, "machine", "measure", "repeats", "device")
    root = store.default_root()
    if given["measure"]:
        record = measure(pick_device(given["device"]), repeats=given["repeats"])
        return load(store.save(record, path_for(root, record, own=True), refresh=True))
    own = {path.stem.removeprefix("benchmark-"): path for path in sorted((root / store.OWN).glob("benchmark-*.json"))}
    known = {**own, **{path.stem: path for path in stored(root)}}
    if not known:
        raise store.RecordError(f"no benchmark is stored in {root}; pass measure=True, or run make bench")
    one_of(known, machine=given["machine"])
    return load(known[given["machine"]])


def stored(root: Path) -> list[Path]:
    """Return the files of all benchmarks that the book has, in the order of their names."""
    return sorted((root / "benchmarks").glob("*.json"))


def row_of(record: Record, network: str, batch_size: int, variant: str) -> Record | None:
    """Return what was measured of one variant, or None."""
    wanted = (network, batch_size, variant)
    return next((row for row in record["rows"] if (row["network"], row["batch_size"], row["variant"]) == wanted), None)


def ratios(record: Record, network: str, batch_size: int, variant: str, against: str) -> list[float]:
    """Return time over time, turn by turn, so that what slowed a whole round cancels; empty where one is missing."""
    one, other = (row_of(record, network, batch_size, name) for name in (variant, against))
    if one is None or other is None:
        return []
    return [a / b for a, b in zip(one["ms_per_step"], other["ms_per_step"], strict=True)]


def spread(values: list[float], digits: int = 2) -> str:
    """Return the median with the quartiles.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    '3.00 (2.00 to 4.00)'
    """
    first, _, third = quantiles(values, n=4, method="inclusive")
    return f"{median(values):.{digits}f} ({first:.{digits}f} to {third:.{digits}f})"


def machine(record: Record) -> str:
    """Return one sentence that names the machine, the versions and the commit."""
    made = record["provenance"]
    threads = f", {made['threads']} threads" if "CPU" in made["device"] else ""
    library = f", Opacus {record['opacus']}" if record["opacus"] else ", without Opacus"
    return (
        f"**{record['processor']}**{threads}; torch {made['torch']}{library}, Python {made['python']}; "
        f"commit `{made['commit']}`, {made['date']}."
    )


def cost_table(record: Record, network: str, batch_size: int) -> str:
    """Return one row a variant: time of a step, ratios to both kinds of ordinary training, memory."""
    rows = []
    for name in VARIANTS:
        row = row_of(record, network, batch_size, name)
        if row is not None:
            versus = [ratios(record, network, batch_size, name, other) for other in ("SGD", "SGD, channels last")]
            memory = "" if row["peak_memory_mb"] is None else f"{row['peak_memory_mb']:,}"
            rows.append([name, spread(row["ms_per_step"]), *(spread(values) for values in versus), memory])
    return table(rows, ("Step", "ms", "times SGD", "times SGD, channels last", "peak memory (MiB)"))


def all_tables(record: Record) -> str:
    """Return the tables of every network and batch size of a record, each under its title."""
    sizes = sorted({row["batch_size"] for row in record["rows"]})
    return "\n\n".join(
        f"**{TITLES[network]}, B = {size:,}**\n\n{cost_table(record, network, size)}"
        for network in NETWORKS
        for size in sizes
    )


def targets_table(record: Record, batch_size: int = 250) -> str:
    """Return the targets that were set for a CPU, what was measured, and whether it suffices."""
    rows = []
    for target in TARGETS:
        values = ratios(record, target.network, batch_size, target.variant, target.against)
        if not values:
            continue
        values = values if target.at_most else [1 / value for value in values]
        reached = median(values) <= target.bound if target.at_most else median(values) >= target.bound
        aim = f"at most {target.bound:g} x {target.against}"
        aim = aim if target.at_most else f"at least {target.bound:g} x as fast as {target.against}"
        rows.append([TITLES[target.network], target.variant, aim, spread(values), "reached" if reached else "missed"])
    return table(rows, ("Network", "Step", "Target", "Measured", ""))


def summary(record: Record, batch_size: int = 250) -> str:
    """Return what a private step costs on this machine, in one sentence a network."""
    lines = []
    for network in NETWORKS:
        parts = []
        for variant in ("fast, L2", "fast, L1", "general, L2", "Opacus, hooks", "Opacus, ghost"):
            usual = ratios(record, network, batch_size, variant, "SGD")
            best = ratios(record, network, batch_size, variant, "SGD, channels last")
            if usual:
                parts.append(f"{variant}: {median(usual):.2f} and {median(best):.2f}")
        lines.append(f"- {TITLES[network]}, B = {batch_size}: " + "; ".join(parts) + ".")
    return "Times as multiples of ordinary SGD, first as one writes it, then channels last:\n\n" + "\n".join(lines)


def memory_table(batch_size: int = 1500) -> str:
    """Return what the fast engine keeps at its peak by its own account, for a physical batch and a whole one."""
    rows = []
    for network, shape in NETWORKS.items():
        model = problem(network, 1, torch.device("cpu")).model
        for order in (2, 1):
            numbers = floats_per_example(model, shape, order)
            cells = [f"{numbers * 4 * size / 2**20:,.0f}" for size in (PHYSICAL_BATCH["cpu"], batch_size)]
            rows.append([TITLES[network], f"L{order}", f"{numbers:,}", *cells])
    sizes = (f"MiB for {PHYSICAL_BATCH['cpu']} at once", f"MiB for {batch_size:,} at once")
    return table(rows, ("Network", "Clip", "numbers an example", *sizes))


def gpu_note(root: Path | None = None) -> str:
    """Return what was measured on GPUs, or that nothing was."""
    made = [load(path) for path in stored(root or store.default_root())]
    lines = []
    for record in (entry for entry in made if "CPU" not in entry["provenance"]["device"]):
        for network in NETWORKS:
            values = [1 / ratio for ratio in ratios(record, network, 250, "fast, L2", "Opacus, hooks")]
            faster = f"{spread(values, 1)} times as fast as Opacus with hooks" if values else "measured without Opacus"
            lines.append(f"- {record['processor']}, {TITLES[network]}, B = 250: {faster}.")
    return "\n".join(lines) or "**Not yet run**: no benchmark on a GPU is recorded, so nothing is claimed for one."


def engines_agree(examples: int = 8) -> str:
    """Compare both engines with a loop over batches of one, here and now, and return one stable line.

    Args:
        examples: batch size of the comparison, which is in float64.
    """
    worst = 0.0
    for network in NETWORKS:
        given = problem(network, examples, torch.device("cpu"))
        model, inputs = given.model.double(), given.inputs.double()
        weights = flatten(model)
        for order, clip_norm in ((1, 30.0), (2, 1.0)):
            loop = torch.zeros_like(weights)
            for image, label in zip(inputs, given.labels, strict=True):
                model.zero_grad()
                cross_entropy(model(image[None]), label[None]).sum().backward()
                parts = (torch.zeros(0) if p.grad is None else p.grad.flatten() for p in model.parameters())
                gradient = torch.cat(list(parts))
                loop += gradient * min(1.0, clip_norm / torch.linalg.vector_norm(gradient, ord=order).item())
            for engine in ("fast", "general"):
                summed = example_clipped_sum(
                    model, weights, inputs, given.labels, cross_entropy, clip_norm=clip_norm, order=order, engine=engine
                )
                worst = max(worst, ((summed.total - loop).norm() / loop.norm()).item())
    verdict = "pass" if worst < 1e-10 else f"FAIL: relative difference {worst:.1e}"
    return f"both engines, both networks, L1 and L2, against a loop over batches of one in float64: {verdict}"
