"""The box at the top of a page: what became of the papers' claims about it, in one or two sentences."""

import math

import pandas as pd

from cnndp.papers import claims
from cnndp.papers.kinds import NOT_TESTABLE
from cnndp.report import verdicts
from cnndp.report.findings import HEADLINES, VERDICTS
from cnndp.report.numbers import listed, pretty
from cnndp.report.verdicts import NOT_RUN, REPRODUCED, TOO_FEW
from cnndp.runs.experiment import Experiment

MOST = 2  # claims that the box names; the table below it has all
UNDECIDED = (NOT_RUN, TOO_FEW, NOT_TESTABLE)


def verdict(study: Experiment, runs: pd.DataFrame) -> str:
    """Return the box of a page in Markdown: a word for all its claims, how many have which verdict, and the first two.

    Args:
        study: the section and dataset of the page.
        runs: its runs.
    """
    stated = [
        claim
        for claim in claims.claims(section=study.section)
        if claim.kind == "claim" and claim.dataset in ("", study.options.dataset)
    ]
    if not stated:
        text = f"Neither paper states a number about this on {pretty(study.options.dataset)}; ours are below."
        return box("No number to check", "none", text)
    found = verdicts.compare(runs, stated=stated)
    word = overall(list(found["verdict"]))
    ordered = sorted(found.to_dict("records"), key=lambda row: rank(row["key"]))
    sentences = [counted(list(found["verdict"])), *(sentence(row) for row in ordered[:MOST] if sentence(row))]
    return box(word, word.lower().replace(" ", "-"), " ".join(sentences))


def box(word: str, kind: str, text: str) -> str:
    """Return a quotation that begins with a word; `kind` is its class in the book, where it gives the colour."""
    return f'> <span class="verdict verdict-{kind}">{word}</span> {text}'


def rank(key: str) -> int:
    """Return the place of a claim among those that the papers are quoted for; the others come after."""
    return HEADLINES.index(key) if key in HEADLINES else len(HEADLINES)


def overall(found: list[str]) -> str:
    """Return one word for several verdicts.

    >>> overall(["reproduced", "not reproduced"]), overall(["not reproduced", "not yet run"]), overall(["not yet run"])
    ('Partly reproduced', 'Not reproduced', 'Undecided')
    """
    decided = [one for one in found if one not in UNDECIDED]
    if not decided:
        return "Undecided"
    reproduced = decided.count(REPRODUCED)
    return "Reproduced" if reproduced == len(decided) else "Partly reproduced" if reproduced else "Not reproduced"


def counted(found: list[str]) -> str:
    """Return how many claims have which verdict.

    >>> counted(["reproduced", "not reproduced", "reproduced"])
    'Of 3 claims, 2 are reproduced, 1 is not reproduced.'
    >>> counted(["not yet run"])
    'The one claim is not yet run.'
    """
    counts = {name: found.count(name) for name in VERDICTS if name in found}
    if len(found) == 1:
        return f"The one claim {told(found[0], 1)}."
    return f"Of {len(found)} claims, {listed(f'{count} {told(name, count)}' for name, count in counts.items())}."


def told(name: str, count: int) -> str:
    """Return a verdict as the end of a sentence."""
    if name == TOO_FEW:
        return f"{'has' if count == 1 else 'have'} too few seeds for a verdict"
    return f"{'is' if count == 1 else 'are'} {name}"


def sentence(row: dict[str, object]) -> str:
    """Return what the paper states beside what we measured; "" for a claim without runs."""
    paper, mean, std = row["paper"], row["mean_reconstructed"], row["std_reconstructed"]
    if not row["reconstructed"]:
        return ""
    what = verdicts.plain(row["what"])
    what = what[0].upper() + what[1:]
    if isinstance(paper, str):
        return f"{what}: {verdicts.plain(paper)} in the paper, {verdicts.plain(row['reconstructed'])} here."
    assert isinstance(mean, float)  # a number has a mean where it was measured
    unit = {"%": " %", "points": " points"}.get(str(row["unit"]), "")
    spread = f"{mean:.2f}" if not isinstance(std, float) or math.isnan(std) else f"{mean:.2f} ± {std:.2f}"
    return f"{what}: {paper:g}{unit} in the paper, {spread}{unit} here (n = {row['n_reconstructed']})."
