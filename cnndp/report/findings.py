"""All claims of both papers beside all full-size records: what the results page and the README print."""

import pandas as pd

from cnndp.papers import claims
from cnndp.papers.presets import PRIVATE
from cnndp.papers.sections.plan import SECTIONS
from cnndp.report import tables, verdicts
from cnndp.runs import experiment
from cnndp.runs.experiment import Experiment, Result
from cnndp.runs.store import Record

VERDICTS = (
    "reproduced",
    "not reproduced",
    "inconsistent within the paper",
    "inconsistent with its source",
    "not testable",
    "too few seeds",
    "not yet run",
)
PROFILES = {"cifar10": "reduced"}  # the size at which the book shows a dataset; "paper" where none is named
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
# What stands beside the frontier: the papers' lengths and batches, and their network. Sections, and how labels start.
BESIDE_FRONTIER = {
    "scattering, linear, Table II's totals": (("frontier_table2",), "scattering, linear"),
    "CNN, DP-SGD, batches of 1,024": (("frontier_cnn",), "CNN, DP-SGD"),
    "CNN, DP-SGD, P1's batches": (("private_fig07_08", "private_fig09"), "DP-SGD (private"),
    "CNN, CNN-DP-GAN-Polyak": (("private_fig07_08", "private_fig09"), "CNN-DP-GAN-Polyak (private"),
}
FULL = ("cifar10_tuning", "frontier")  # but these are shown at "paper" size on every dataset
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


def study_of(section: str, dataset: str) -> Experiment:
    """Return the full-size experiment of a section, at the size at which the book shows this dataset."""
    profile = "paper" if section in FULL else PROFILES.get(dataset, "paper")
    return experiment.prepare(section, dataset=dataset, profile=profile)


def results_of(section: str, dataset: str, label: str | None = None) -> list[Result]:
    """Return the stored runs of `study_of`; those of one label where it is given."""
    study = study_of(section, dataset)
    runs = [run for run in study.runs if label in (None, run.label)]
    return experiment.stored(study._replace(runs=runs))


def shown(section: str, dataset: str) -> list[Result]:
    """Return the runs of a page of the book: `results_of`, and nothing while one is missing, as there is no page then.

    A dataset that the section does not have, such as a file of yours, has no page either.
    """
    if dataset not in SECTIONS[section].datasets:
        return []
    found = results_of(section, dataset)
    return found if len(found) == len(study_of(section, dataset).runs) else []


def all_records() -> dict[str, list[Record]]:
    """Return what `records_of` gives for every section."""
    return {name: records_of(name) for name in SECTIONS}


def records_of(section: str) -> list[Record]:
    """Return the stored full-size records of a section on all its datasets, and the private runs that repeat it."""
    datasets = SECTIONS[section].datasets
    own = [record for dataset in datasets for record in tables.compared(results_of(section, dataset))]
    return [*own, *filter(is_own_method, records_of(MADE_VALID[section]))] if section in MADE_VALID else own


def is_own_method(record: Record) -> bool:
    """Return whether a run is one of the papers' methods made valid, with the noise that the paper gives it."""
    config = record["config"]
    own = PRIVATE.get(config["method"], {}).get("mechanism")
    return bool(config["reading"] == "private" and config["mechanism"] == own)


def comparison(section: str = "") -> str:
    """Return the table of claims and verdicts in Markdown, of all sections or of one."""
    records = {section: records_of(section)} if section else all_records()
    return verdicts.as_markdown(verdicts.compare(records, stated=claims.claims(section=section)))


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
    found = tables.by_label(shown(page, dataset))
    if not found:
        return f"The private reading of this page is not yet run on {tables.pretty(dataset)}."
    rows = [
        [label, f"{records[0]['config']['num_steps']:,}", tables.epsilon_of(records[0]), tables.final_spread(records)]
        for label, records in found.items()
    ]
    made = tables.table(rows, ("Run", "Steps", "ε", "Final test %"))
    return f"The same methods made valid; curves and settings are in {{doc}}`{page}`.\n\n{made}"


def with_others(results: list[Result], dataset: str) -> dict[str, list[Result]]:
    """Return the runs of section frontier with those of `BESIDE_FRONTIER` that a dataset has, by line of the plot."""
    lines = {"scattering, linear": results}
    for line, (sections, start) in BESIDE_FRONTIER.items():
        stored = [run for section in sections for run in shown(section, dataset)]
        if found := [run for run in stored if run.label.startswith(start)]:
            lines[line] = found
    return lines


def headlines(frame: pd.DataFrame) -> str:
    """Return the rows of `HEADLINES` from a frame of `verdicts.compare`, as a Markdown table."""
    return verdicts.as_markdown(frame.set_index("key", drop=False).loc[list(HEADLINES)])


def valid_guarantees() -> str:
    """Return a Markdown table: test accuracy at each epsilon of the frontier, one row a dataset with records."""
    found = {name: tables.by_label(results_of("frontier", name)) for name in SECTIONS["frontier"].datasets}
    labels = dict.fromkeys(run.label for run in study_of("frontier", "mnist").runs)
    rows = [
        [tables.pretty(name), *(tables.final_spread(grouped[label]) if label in grouped else "" for label in labels)]
        for name, grouped in found.items()
        if grouped
    ]
    return tables.table(rows, ("numerical", *labels))
