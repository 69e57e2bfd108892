"""All claims of both papers beside all full-size records: what the results page and the README print."""

from collections.abc import Iterable

import pandas as pd

from cnndp.papers import claims
from cnndp.papers.presets import PRIVATE
from cnndp.papers.sections.plan import SECTIONS, book_profile
from cnndp.report import tables, verdicts
from cnndp.report.numbers import epsilon_of, final_spread, pretty
from cnndp.runs import experiment
from cnndp.runs.experiment import Experiment
from cnndp.runs.frames import frame

VERDICTS = (
    "reproduced",
    "not reproduced",
    "inconsistent within the paper",
    "inconsistent with its source",
    "not testable",
    "too few seeds",
    "not yet run",
)
MADE_VALID = {"fig09_comparison": "private_fig09", "p2_table3": "private_p2"}  # at the same T
# Where each figure and table is shown under the private reading.
PRIVATE_PAGES = {
    "fig07_ablation": "private_fig07_08",
    "fig08_loss": "private_fig07_08",
    "fig09_comparison": "private_fig09",
    "fig10_thresholds": "private_fig10",
    "p2_table2_fig07": "private_p2",
    "p2_table3": "private_p2",
}
# What stands beside the frontier: the papers' lengths and batches, and their network. Sections, and names there.
BESIDE_FRONTIER = {
    "scattering, linear, Table II's totals": (("frontier_table2",), "scattering, linear"),
    "CNN, DP-SGD, batches of 1,024": (("frontier_cnn",), "CNN, DP-SGD"),
    "CNN, DP-SGD, P1's batches": (("private_fig07_08", "private_fig09"), "DP-SGD"),
    "CNN, CNN-DP-GAN-Polyak": (("private_fig07_08", "private_fig09"), "CNN-DP-GAN-Polyak"),
}
# What both papers are quoted for: the best and the worst of P1, its abstract, and P2's Table 3.
HEADLINES = (
    "p1.fig07.cnn_dp_gan.max_test_accuracy",
    "p1.fig07.cnn.max_test_accuracy",
    "p1.fig07.order",
    "p1.fig08.test.cnn_dp_gan",
    "p1.fig08.test.dp_sgd",
    "p1.fig09.mnist.polyak",
    "p1.fig09.cifar10.polyak",
    "p2.table3.e20.accuracy",
    "p2.table3.e20.accuracy.on_mnist",
    "p2.table3.e20.epsilon",
)
# What the first page draws: the claims, and the model that shows what a guarantee can have.
LEAD = (
    "p1.fig09.mnist.polyak",
    "p1.fig07.cnn_dp_gan.max_test_accuracy",
    "p1.fig07.cnn.max_test_accuracy",
    "p2.table3.e20.accuracy",
    "p2.table3.e20.accuracy.on_mnist",
)


def study_of(section: str, dataset: str) -> Experiment:
    """Return the full-size experiment of a section, at the size at which the book shows this dataset."""
    return experiment.prepare(section, dataset=dataset, profile=book_profile(section, dataset))


def runs_of(section: str, dataset: str) -> pd.DataFrame:
    """Return the frame of the stored runs of `study_of`."""
    return frame(experiment.stored(study_of(section, dataset)))


def shown(section: str, dataset: str) -> pd.DataFrame:
    """Return the runs of a page of the book: `runs_of`, and none while one is missing, as there is no page then.

    A dataset that the section does not have, such as a file of yours, has no page either.
    """
    if dataset not in SECTIONS[section].datasets:
        return frame([])
    found = runs_of(section, dataset)
    return found if len(found) == len(study_of(section, dataset).runs) else frame([])


def all_runs() -> pd.DataFrame:
    """Return what `claimed_runs` gives for every section."""
    return together(claimed_runs(name) for name in SECTIONS)


def claimed_runs(section: str) -> pd.DataFrame:
    """Return the stored full-size runs of a section on all its datasets, and the private ones that repeat it."""
    own = [runs_of(section, dataset) for dataset in SECTIONS[section].datasets]
    if section in MADE_VALID:
        private = claimed_runs(MADE_VALID[section])
        own.append(private[is_own_method(private)].assign(section=section))
    return together(own)


def together(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return frames of runs as one."""
    known = [part for part in parts if len(part)]
    return pd.concat(known, ignore_index=True) if known else frame([])


def is_own_method(runs: pd.DataFrame) -> pd.Series:
    """Return whether each run is one of the papers' methods made valid, with the noise that the paper gives it."""
    noise = runs["method"].map({method: values["mechanism"] for method, values in PRIVATE.items()})
    return (runs["reading"] == "private") & (runs["mechanism"] == noise)


def comparison(section: str = "") -> str:
    """Return the table of claims and verdicts in Markdown, of all sections or of one."""
    runs = claimed_runs(section) if section else all_runs()
    return verdicts.as_markdown(verdicts.compare(runs, stated=claims.claims(section=section)))


def claim_summary(frame: pd.DataFrame) -> str:
    """Return how many of the claims in a frame of `verdicts.compare` have which verdict.

    >>> claim_summary(pd.DataFrame({"verdict": ["reproduced", "not yet run", "reproduced"]}))
    'Of 3 claims of both papers: 2 reproduced, 1 not yet run.'
    """
    counts = frame["verdict"].value_counts()
    parts = [f"{counts[name]} {name}" for name in VERDICTS if name in counts]
    return f"Of {counts.sum()} claims of both papers: " + ", ".join(parts) + "."


def private_note(study: Experiment) -> str:
    """Return a Markdown table of the full-size private runs that repeat a figure on its dataset, with their page."""
    page, dataset = PRIVATE_PAGES[study.section], study.options.dataset
    found = shown(page, dataset)
    if found.empty:
        return f"The private reading of this page is not yet run on {pretty(dataset)}."
    made = tables.table(
        [
            {
                "Run": label,
                "Steps": f"{group['num_steps'].iat[0]:,}",
                "ε": epsilon_of(group.iloc[0]),
                "Final test %": final_spread(group),
            }
            for label, group in tables.by_label(found)
        ]
    )
    return f"The same methods made valid; curves and settings are in {{doc}}`{page}`.\n\n{made}"


def with_others(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return the runs of section frontier with those of `BESIDE_FRONTIER` that a dataset has, each with its `line`."""
    parts = [runs.assign(line="scattering, linear")]
    for line, (sections, name) in BESIDE_FRONTIER.items():
        stored = together(shown(section, dataset) for section in sections)
        parts.append(stored[(stored["name"] == name) & (stored["reading"] == "private")].assign(line=line))
    return together(parts)


def headlines(frame: pd.DataFrame) -> str:
    """Return the rows of `HEADLINES` from a frame of `verdicts.compare`, as a Markdown table."""
    return verdicts.as_markdown(frame.set_index("key", drop=False).loc[list(HEADLINES)])


def lead(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what the first page draws, a row a claim of `LEAD`: `what`, `paper`, the mean of each reading, `epsilon`.

    The last row is the linear model of the frontier, at the smallest whole target. Numerical epsilons are the range of
    the private runs that a mean is over.

    Args:
        runs: of all sections, as `all_runs` gives them.
    """
    chosen = stated(LEAD)
    shown = verdicts.compare(runs, stated=chosen)
    private = runs[is_own_method(runs) & (runs["beside"] == "")]
    own = [
        verdicts.selected(private, {**claim.where, "section": claim.section, "dataset": claim.dataset})
        for claim in chosen
    ]
    means = {reading: shown[f"mean_{reading}"] for reading in verdicts.READINGS}
    texts = {"what": described(chosen), "epsilon": [span(part) for part in own]}
    rows = pd.DataFrame({**texts, "paper": shown["paper"].astype(float), **means})
    best = runs[(runs["section"] == "frontier") & (runs["dataset"] == "mnist") & (runs["target_epsilon"] == 1)]
    model = {"what": "This book: a linear model on scattering features, MNIST", "private": best["test_accuracy"].mean()}
    return pd.concat([rows, pd.DataFrame([{**model, "epsilon": span(best)}])], ignore_index=True)


def stated(keys: Iterable[str]) -> list[claims.Stated]:
    """Return claims by their keys, in this order."""
    by_key = {claim.key: claim for claim in claims.claims()}
    return [by_key[key] for key in keys]


def described(chosen: Iterable[claims.Stated]) -> list[str]:
    """Return what claims state, with the paper, the place and the dataset."""
    return [
        f"{claim.paper}, {claim.place.split(';')[0].removesuffix(', text')}: {claim.what}"
        + ("" if pretty(claim.dataset) in claim.what.split(", ")[-1] else f", {pretty(claim.dataset)}")
        for claim in chosen
    ]


def span(runs: pd.DataFrame) -> str:
    """Return the numerical epsilons of runs as "ε = 1" or "ε = 72 to 264"; "" where they have none.

    >>> span(pd.DataFrame({"exact_epsilon": [72.46, 263.9]})), span(pd.DataFrame({"exact_epsilon": [None]}))
    ('ε = 72.5 to 264', '')
    """
    known = runs["exact_epsilon"].dropna()
    ends = dict.fromkeys(f"{end:.3g}" for end in (known.min(), known.max())) if len(known) else {}
    return f"ε = {' to '.join(ends)}" if ends else ""


def valid_guarantees() -> str:
    """Return a Markdown table: test accuracy at each epsilon of the frontier, one row a dataset with records."""
    rows = []
    for dataset in SECTIONS["frontier"].datasets:
        runs = runs_of("frontier", dataset)
        if len(runs):
            finals = {label: final_spread(group) for label, group in tables.by_label(runs)}
            rows.append({"numerical": pretty(dataset), **finals})
    return tables.table(pd.DataFrame(rows).fillna(""))
