"""Markdown tables and notes from runs, for notebooks and book. Frames are those of `runs.frames`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cnndp.equations.budget import budget_through, total_epsilon
from cnndp.papers import claims
from cnndp.privacy.curves import BestAttack, best_attack, curve
from cnndp.report import verdicts
from cnndp.report.explore_grid import upwards
from cnndp.report.numbers import epsilon_of, final_spread, listed, pretty, spread
from cnndp.runs.experiment import Experiment
from cnndp.runs.recording import releases_of

WHAT_IS_COVERED = (
    "A guarantee is for the weights of one run and everything that its ledger lists. It does not cover what is "
    "measured on training images, such as the curves and training accuracies on this page, and not two runs of one "
    "seed: they share their noise ({doc}`/book/private`)."
)


def table(rows: pd.DataFrame | Sequence[Mapping[str, str] | Sequence[str]], header: Sequence[str] | None = None) -> str:
    """Return a Markdown table of text: rows by column, or in the order of a header."""
    cells = pd.DataFrame(rows, columns=header).map(lambda cell: cell.replace("|", "\\|"))
    return str(cells.to_markdown(index=False, tablefmt="github", disable_numparse=True))


def by_label(runs: pd.DataFrame) -> Any:
    """Return the runs of each label, seeds together, in the order in which labels first appear."""
    return runs.groupby("label", sort=False)


def accuracy_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table: accuracies in percent as mean ± std (n), steps and privacy of each label."""
    epsilon = "ε" if runs["exact_epsilon"].notna().any() else "Nominal ε (Eq. 5)"
    return table(
        [
            {
                "Run": label,
                "Reading": group["reading"].iat[0],
                "Steps": f"{group['num_steps'].iat[0]:,}",
                "Train %": spread(group["train_accuracy"]),
                "Highest test %": spread(group["max_test_accuracy"]),
                "Final test %": final_spread(group),
                epsilon: epsilon_of(group.iloc[0]),
            }
            for label, group in by_label(runs)
        ]
    )


def guarantee_note(runs: pd.DataFrame) -> str:
    """Return one sentence for each guarantee, or reason why there is none, with the runs it is true of.

    Runs of one name that differ in their rate are named once.
    """
    said = runs.assign(sentence=[sentence(run) for _, run in runs.iterrows()]).query("sentence != ''")
    lines = [f"- {text} ({listed(group['title'])})." for text, group in said.groupby("sentence", sort=False)]
    private = said["exact_epsilon"].notna().any()
    return "\n".join([*lines, *(["", WHAT_IS_COVERED] if private else [])])


def sentence(run: pd.Series) -> str:
    """Return the guarantee of a run, or why it has none; "" where that was not recorded."""
    if pd.notna(run["no_guarantee"]):
        return f"**No guarantee**: {run['no_guarantee']}"
    if pd.isna(run["exact_epsilon"]):
        return ""
    return f"**Guarantee**: numerical (ε = {run['exact_epsilon']:.4g}, δ = {run['delta']:g})"


def verdict_table(study: Experiment, runs: pd.DataFrame) -> str:
    """Return P1's claims about this section and dataset beside what was measured, with verdicts."""
    stated = [claim for claim in claims.claims(section=study.section) if claim.dataset in ("", study.options.dataset)]
    if not stated:
        return f"P1 states no number for this section on {pretty(study.options.dataset)}."
    return verdicts.as_markdown(verdicts.compare(runs, stated=stated))


def source_note(study: Experiment, runs: pd.DataFrame) -> str:
    """Return which records, parameters and code the figures and tables of a section come from."""
    facts = {
        "records": f"{len(runs)} of section `{study.section}` on {pretty(runs['dataset'].iat[0])} "
        f"(`{runs['digest'].iat[0]}` to `{runs['digest'].iat[-1]}`)",
        "steps": listed(f"{step:,}" for step in sorted(runs["num_steps"])),
        "batch size": listed(runs["batch_size"]),
        "seeds": listed(sorted(runs["seed"])),
        "code": f"commit `{listed(runs['commit'])}`, torch {listed(runs['torch'])}",
        "device": listed(runs["device"]),
        "seconds": f"{sum(runs['seconds']):,.0f} in all",
        "data": f"SHA-256 `{runs['dataset_sha256'].iat[0][:12]}`",
    }
    note = "*Source.* " + "; ".join(f"{name}: {fact}" for name, fact in facts.items()) + "."
    return note + smaller_batches(study, runs["batch_size"].iat[0])


def smaller_batches(study: Experiment, batch_size: int) -> str:
    """Return a sentence where the batches of a user's own data are smaller than the papers', "" elsewhere."""
    num_train = study.options.num_train
    if num_train is None or "batch_size" in dict(study.options.changes):
        return ""
    return f" Batches follow the data, {num_train:,} training images: {batch_size} of them at once."


def table_two_check() -> str:
    """Return a Markdown table: what Eq. (5) through Table II's rows T = 300 and 600 gives at T = 1200."""
    rows = []
    for dataset, column in claims.TABLE_II.items():
        (a, b, c) = (column[steps].total_epsilon for steps in (300, 600, 1200))
        budget = budget_through((300, a), (600, b))
        rows.append(
            {
                "Dataset": pretty(dataset),
                "totals at 300, 600": f"{a:g}, {b:g}",
                "ε₁": f"{budget.initial_epsilon:.5f}",
                "d": f"{budget.increment:.2e}",
                "Eq. (5) at 1200": f"{total_epsilon(1200, budget):.1f}",
                "Table II at 1200": f"{c:g}",
            }
        )
    return table(rows)


def cap_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table: final test accuracy and the share of steps at which the cap binds."""
    return table(
        [
            {
                "Run": label,
                "Final test %": final_spread(group),
                "Steps at the cap %": spread(group["capped"], digits=1)
                if group["max_step"].notna().all()
                else "no cap",
            }
            for label, group in by_label(runs)
        ]
    )


def loss_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table of final accuracies and losses, training and validation, as P2's Table 2 has them."""
    return table(
        [
            {
                "Run": label,
                "Steps": f"{group['num_steps'].iat[0]:,}",
                "Training %": spread(group["train_accuracy"]),
                "Validation %": spread(group["test_accuracy"]),
                "Training loss": spread(group["train_loss"], 4),
                "Validation loss": spread(group["test_loss"], 4),
            }
            for label, group in by_label(runs)
        ]
    )


def epsilon_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table of epsilon, if batches were Poisson samples, and accuracy of each label."""
    return table(
        [
            {
                "Run": label,
                "Reading": first["reading"],
                "Steps": f"{first['num_steps']:,}",
                "Noise multiplier": "–" if pd.isna(first["noise_multiplier"]) else f"{first['noise_multiplier']:g}",
                "ε, if Poisson (RDP)": "–" if pd.isna(first["rdp_epsilon"]) else f"{first['rdp_epsilon']:.4f}",
                "Final test %": final_spread(group),
            }
            for label, group in by_label(runs)
            for first in [group.iloc[0]]
        ]
    )


def frontier_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table: numerical epsilon and what it leaves to an attack, test accuracy, seconds a run."""
    return table(
        [
            {
                "Target": label,
                "Numerical ε": f"{group['exact_epsilon'].max():.4f}",
                **attack_cells(best_attack(curve(releases_of(group.loc[group["exact_epsilon"].idxmax(), "ledger"])))),
                "Test %": final_spread(group),
                "Seconds, features read from the cache": spread(group["seconds"], digits=0),
            }
            for label, group in by_label(runs)
        ]
    )


def attack_cells(best: BestAttack) -> dict[str, str]:
    """Return what an attack reaches at most, in percent, by the heads of its columns; rounded up, as bounds are.

    >>> list(attack_cells(BestAttack(0.05142, 0.0084, 0.26401)).values())
    ['5.15', '0.84', '26.5']
    """
    heads = ("Found at 1 % false alarms, at most %", "Found at 0.1 %, at most %", "Advantage, at most %")
    return {head: f"{upwards(100 * rate):g}" for head, rate in zip(heads, best, strict=True)}


def attack_note(best: BestAttack) -> str:
    """Return one sentence on what an attack reaches at most, in words that people can use.

    >>> attack_note(BestAttack(0.05142, 0.0084, 0.26401)).split(";")[0]
    'An attacker who wrongly accuses 1 % of those left out finds at most 5.15 % of those in'
    """
    percent, permille, advantage = attack_cells(best).values()
    return (
        f"An attacker who wrongly accuses 1 % of those left out finds at most {percent} % of those in; at 0.1 % it is "
        f"at most {permille} %. At any rate, the two differ by at most {advantage} points."
    )
