"""Command line: `python -m cnndp data | run | sweep | audit | replay | tune | verify | seal | status | bench`."""

from __future__ import annotations

import ast
import errno
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnndp.checks import Refusal
from cnndp.papers.sections.profiles import PROFILES

# What imports torch is imported by the command that needs it: help, version and a mistyped option answer at once.
if TYPE_CHECKING:
    import pandas as pd

    from cnndp.runs import experiment, replay

DATASET = click.option("--dataset", default="digits", show_default=True, help="A name, or a path to an .npz.")
PROFILE = click.option("--profile", default="small", show_default=True, help=f"One of {', '.join(PROFILES)}.")
PARAMETERS = click.option(
    "-p", "parameters", multiple=True, metavar="KEY=VALUE", help="num_steps=120, seeds=[0,1], learning_rate=0.1"
)


BOOK = click.option("--book", is_flag=True, help="Replace what the book shows; else it stands beside that.")

SAMPLE_EXAMPLES = 2_560  # that each record of a cover is trained on again: 10 steps of 256, but 2 of 1,500

OPTION = {"dataset": "datasets", "profile": "profile", "device": "device"}  # that stand for a parameter


INTERRUPTED = 130  # the exit code that shells give to Ctrl-C
RESUMED = ("run", "sweep")  # commands that go on where they stopped


class Commands(click.Group):
    """The commands; whatever is refused in one of them ends in one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:  # a reader such as head has read enough, which click deals with
                raise
            place = f"{error.filename}: " if error.filename else ""
            sys.exit(f"error: {place}{error.strerror or error}; check that it is there and what you may do with it")
        except (ValueError, TypeError, Refusal) as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            click.echo(stopped(ctx.invoked_subcommand), err=True)
            sys.exit(INTERRUPTED)


def stopped(command: str | None) -> str:
    """Return what is said after Ctrl-C.

    >>> stopped("sweep")
    'interrupted: runs that had ended are stored; run the same command again to go on from there'
    """
    if command in RESUMED:
        return "interrupted: runs that had ended are stored; run the same command again to go on from there"
    return "interrupted: nothing of this command is kept but what it has reported as written"


@click.group(cls=Commands)
@click.version_option(package_name="cnndp")
def main() -> None:
    """Run, resume and check the experiments of the book."""


@main.command("data")
@click.argument("names", nargs=-1)
def data_command(names: tuple[str, ...]) -> None:
    """Fetch and verify datasets (all of them without NAMES)."""
    from cnndp.data import datasets

    for name in names or datasets.DATASETS:
        images = datasets.load(name)
        click.echo(f"{name}: {len(images.train_labels)} + {len(images.test_labels)} images, verified")


@main.command()
@click.argument("section")
@DATASET
@PROFILE
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--refresh", is_flag=True, help="Train again what is recorded, and replace it.")
@PARAMETERS
def run(section: str, dataset: str, profile: str, device: str, refresh: bool, parameters: tuple[str, ...]) -> None:
    """Run the experiments of SECTION; what is recorded already is not repeated."""
    from cnndp.runs import experiment

    given = parse(parameters)
    if twice := sorted({"dataset", "profile", "device", "refresh"} & given.keys()):
        raise ValueError(f"-p {twice[0]}={given[twice[0]]!r}: run has an option for that; use --{twice[0]}")
    prepared = experiment.prepare(section, dataset=dataset, profile=profile, device=device, refresh=refresh, **given)
    click.echo(summary(experiment.run(prepared)))


@main.command()
@click.option("--datasets", default="mnist", show_default=True, help="Comma-separated names.")
@click.option("--profile", default="paper", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", default=None, type=click.IntRange(1), help="Runs at once, in as many processes.")
@click.option("--scheduler", default=None, metavar="ADDRESS", help="Of a Dask cluster: tcp://HOST:8786.")
@click.option("--slurm", is_flag=True, help="One SLURM job a run, at most --jobs at once.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Of each worker of a cluster.")
@PARAMETERS
def sweep(
    datasets: str,
    profile: str,
    device: str,
    jobs: int | None,
    scheduler: str | None,
    slurm: bool,
    threads: int,
    parameters: tuple[str, ...],
) -> None:
    """Run all sections on all DATASETS; interrupt it at will, a second call goes on."""
    if scheduler and (slurm or jobs):
        raise click.UsageError("--scheduler takes all workers of that cluster; leave --slurm and --jobs out")
    from cnndp.papers.sections.plan import SECTIONS, NoRuns
    from cnndp.runs import executors, experiment

    given = parse(parameters)
    if twice := sorted({"dataset", "profile", "device"} & given.keys()):
        raise ValueError(f"-p {twice[0]}={given[twice[0]]!r}: sweep has an option for that; use --{OPTION[twice[0]]}")
    pool = executors.chosen(device, jobs, scheduler, slurm=slurm, threads=threads)
    # A cluster's workers pick their own device, which this machine need not have.
    here = "cpu" if scheduler or slurm else device
    left_out = []
    for name in datasets.split(","):
        for section in SECTIONS:
            click.echo(f"{section} on {name}")
            options = {"dataset": name, "profile": profile, "device": here, **given}
            try:
                prepared = experiment.prepare(section, **options)
            except NoRuns as nothing:
                click.echo(f"skipped: {nothing}")
                continue
            try:
                click.echo(summary(executors.run(prepared, pool) if pool else experiment.run(prepared)))
            except executors.Unfinished as unfinished:
                left_out.append(str(unfinished))
                click.echo(f"left out: {unfinished}")
    if left_out:
        raise executors.Unfinished("; ".join(left_out))


@main.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--repeats", default=15, show_default=True, help="Turns of each variant; the spread is over these.")
@click.option("--threads", default=None, type=click.IntRange(1), help="On a CPU; torch's own choice without it.")
@click.option("--store", "of_store", is_flag=True, help="Instead: what reading the run store costs as it grows.")
@BOOK
def bench(device: str, repeats: int, threads: int | None, of_store: bool, book: bool) -> None:
    """Measure what a private step costs on this machine, beside ordinary SGD and Opacus."""
    import torch

    from cnndp.bench import cost, scale, timing
    from cnndp.runs import experiment, store

    if of_store:
        click.echo(scale.measure().round(3).to_string(index=False))
        return
    if threads:
        torch.set_num_threads(threads)
    record = timing.measure(experiment.pick_device(device), repeats=repeats)
    path = store.save(record, timing.path_for(store.default_root(), record, own=not book), refresh=True)
    click.echo(f"{cost.all_tables(record)}\n\n{cost.targets_table(record)}\n\nwritten to {path}")


@main.command("audit")
@click.argument("kinds", nargs=-1)
@click.option("--seeds", default=None, type=click.IntRange(1), help="For each audit; the book's numbers without it.")
@BOOK
def audit_command(kinds: tuple[str, ...], seeds: int | None, book: bool) -> None:
    """Attack private runs and planted mistakes, on digits, and store what was found: half an hour for all KINDS.

    What is found stands beside what the book shows.
    """

    if book and seeds is not None:
        raise click.UsageError("--book takes the book's numbers of seeds; leave --seeds out")
    from cnndp.audit import campaign
    from cnndp.runs import store

    for kind in kinds or campaign.KINDS:
        record = campaign.make(kind, seeds)
        path = store.save(record, campaign.path_for(store.default_root(), kind, own=not book), refresh=True)
        click.echo(f"{campaign.source(record)}\nwritten to {path}")


@main.command("replay")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path))
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1), help="How many; with --cover at most.")
@click.option("--full", is_flag=True, help="All steps, with final metrics and everything released.")
@click.option("--dataset", default=None, help="The .npz that the records were made from.")
@click.option("--sample", default=None, type=click.IntRange(1), help="Every n-th record: at most so many are replayed.")
@click.option("--cover", is_flag=True, help="One record for each section, dataset, method and reading.")
@click.option("--draw", default=None, type=click.FloatRange(0), help="Seconds of training: a sample by commit.")
@click.option("--longest", default=300.0, show_default=True, help="With --draw: seconds of the longest record.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Processes at once.")
def replay_command(
    records: tuple[Path, ...],
    steps: int,
    full: bool,
    dataset: str | None,
    sample: int | None,
    cover: bool,
    draw: float | None,
    longest: float,
    jobs: int,
) -> None:
    """Train RECORDS (all stored ones without RECORDS) again for some steps and compare."""
    from cnndp.runs import provenance, replay, store

    # Every record is verified, chosen or not.
    stored = [(path, store.load_run(path)) for path in records or store.paths_in(store.default_root())]
    if not records:
        stored = [(path, record) for path, record in stored if "not_replayable" not in record]
    if cover:
        stored = list({replay.kind(record): (path, record) for path, record in reversed(stored)}.values())[::-1]
    if sample and len(stored) > sample:
        stored = stored[:: -(-len(stored) // sample)]
    if draw is not None:
        word = provenance.commit().removesuffix("-dirty")
        chosen = {record["digest"] for record in replay.drawn((one for _, one in stored), word, draw, longest)}
        stored = [(path, record) for path, record in stored if record["digest"] in chosen]
    parts = replay.by_data(
        replay.Task(path.name, record, steps_of(record["config"], steps, full=full, cover=cover))
        for path, record in stored
    )
    failed = 0
    for name, verdict in replayed(parts, dataset, jobs):
        failed += verdict != "pass"
        click.echo(f"{verdict}  {name}")
    click.echo(f"{len(stored) - failed} passed, {failed} failed")
    if failed or not stored:
        sys.exit("replay: nothing to replay" if not stored else 1)


def steps_of(config: dict[str, Any], steps: int, *, full: bool, cover: bool) -> int:
    """Return for how many steps a record is replayed: all, or fewer of larger batches where all kinds are covered."""
    if full:
        return int(config["num_steps"])
    return max(2, min(steps, SAMPLE_EXAMPLES // config["batch_size"])) if cover else steps


def replayed(parts: list[list[replay.Task]], dataset: str | None, jobs: int) -> Iterator[tuple[str, str]]:
    """Yield the name and the verdict of every task, part by part, or as parts end in several processes."""
    from cnndp.runs import replay

    if jobs == 1:
        for part in parts:
            yield from replay.replay_part(part, dataset)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(replay.replay_part, part, dataset) for part in parts]):
            yield from done.result()


@main.command("tune")
def tune_command() -> None:
    """Choose every rate again from the records of the tuning sections, and write papers/tuned.json."""
    from cnndp.papers import tuned
    from cnndp.runs import store, tuning

    content = tuning.tune()
    if tuned.FILE.exists() and (lost := tuning.lost(content, tuned.stored())):
        raise click.ClickException(
            f"{tuned.FILE.name} would lose the rates of {', '.join(lost)}, whose runs are not all in "
            f"{store.default_root()}; run those sections first, or leave CNNDP_RESULTS out"
        )
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    changed = not tuned.FILE.exists() or tuned.FILE.read_text(encoding="utf-8") != text
    store.write_atomically(tuned.FILE, text)
    click.echo(f"{tuned.FILE.name}: {'written' if changed else 'unchanged'}")


@main.command("verify")
def verify_command() -> None:
    """Check every stored run without training: does each part follow from the others, and is it as sealed?"""
    from cnndp.runs import seal, store, verify

    root, count, failed = store.default_root(), 0, 0
    for name, found in verify.whole_store():
        count, failed = count + 1, failed + bool(found)
        for check, lines in found.items():
            click.echo(f"{name}: {check}: {lines[0]}")
    unsealed = seal.changes(seal.read(root), seal.made_from(root))
    for change in unsealed:
        click.echo(f"not as sealed: {change}")
    click.echo(f"{count - failed} of {count} runs hang together, {len(unsealed)} files are not as sealed")
    if failed or unsealed:
        sys.exit(1)


@main.command("seal")
@click.option("--check", is_flag=True, help="Change nothing, and fail when a record is not as it was sealed.")
def seal_command(check: bool) -> None:
    """Write the manifest of all records, and say which are new or changed."""
    from cnndp.runs import seal, store

    root = store.default_root()
    made = seal.made_from(root)
    found = seal.changes(seal.read(root), made)
    for change in found:
        click.echo(str(change))
    if check and found:
        sys.exit(f"seal: {len(found)} of {len(made)} records are not as sealed; see that this is meant, then run seal")
    if not check:
        seal.write(root, made)
    click.echo(f"{len(made)} records sealed, {len(found)} of them new or changed")


@main.command("status")
@click.option("--datasets", default="mnist,digits", show_default=True, help="Comma-separated names.")
@click.option("--profile", default="paper", show_default=True, help=f"One of {', '.join(PROFILES)}.")
def status_command(datasets: str, profile: str) -> None:
    """Show what is recorded and what is missing, and on which device it was made."""
    from cnndp.papers.sections.plan import SECTIONS, NoRuns
    from cnndp.runs import experiment

    rows: list[dict[str, Any]] = []
    for name in datasets.split(","):
        for section in SECTIONS:
            with suppress(NoRuns):
                rows += experiment.status(experiment.prepare(section, dataset=name, profile=profile))
    click.echo(status_table(rows).to_string(index=False))


def status_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row for each section, dataset and label."""
    import pandas as pd

    grouped = pd.DataFrame(rows).groupby(["section", "dataset", "label"], sort=False)
    return grouped.agg(
        num_steps=("num_steps", "first"),
        runs=("recorded", "size"),
        recorded=("recorded", "sum"),
        device=("device", lambda names: ", ".join(sorted(set(names.dropna()))) or "-"),
    ).reset_index()


def summary(finished: list[experiment.Result]) -> str:
    """Return a table of final test accuracies: mean, standard deviation and number of seeds of each label."""
    from cnndp.runs.frames import frame

    grouped = frame(finished).groupby(["label", "reading", "num_steps", "status"], sort=False)
    return str(grouped["test_accuracy"].agg(["mean", "std", "count"]).round(2).to_string())


def parse(parameters: tuple[str, ...]) -> dict[str, Any]:
    """Return `key=value` texts as a mapping; values are Python literals, anything else is a string.

    >>> parse(("num_steps=120", "seeds=[0, 1]", "activation=relu"))
    {'num_steps': 120, 'seeds': [0, 1], 'activation': 'relu'}
    """
    parsed: dict[str, Any] = {}
    for parameter in parameters:
        key, separator, text = parameter.partition("=")
        if not separator or not key:
            raise ValueError(f"-p {parameter!r} is no KEY=VALUE; write for example -p num_steps=120")
        try:
            parsed[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # all that a literal can be wrong in
            parsed[key] = text
    return parsed


if __name__ == "__main__":
    main()
