"""Text from records: tables, verdicts, source notes and single numbers, for notebooks, book and README."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from cnndp.equations.budget import budget_through, total_epsilon
from cnndp.papers import claims
from cnndp.papers.sections.cifar10 import BESIDE
from cnndp.privacy.pairs import pair_epsilon
from cnndp.report import verdicts
from cnndp.report.intervals import paired_interval
from cnndp.runs.experiment import Experiment, Result
from cnndp.runs.store import Record

DATASET_NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
STATISTICS = {
    "final": lambda record: record["final"]["test_accuracy"],
    "train": lambda record: record["final"]["train_accuracy"],
    "max": lambda record: max(record["history"]["test_accuracy"]),
    "capped": lambda record: 100 * record["final"]["steps_at_cap"] / record["final"]["last_step"],
}
PRIVACY: dict[str, Callable[[Record], float | None]] = {  # the same for every seed
    "epsilon": lambda record: record["privacy"]["exact_epsilon"],
    "renyi": lambda record: record["privacy"]["renyi_epsilon"],
    "pair": lambda record: priced_as_pair(record),
}


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return "mean ± std (n)"; with one value there is no std to show.

    >>> spread([96.0, 98.0])
    '97.00 ± 1.41 (2)'
    """
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{deviation} ({len(values)})"


def final_spread(records: Sequence[Record]) -> str:
    """Return the final test accuracy in percent as mean ± std (n), and whether runs diverged on the way."""
    return spread([STATISTICS["final"](record) for record in records]) + divergence(records)


def divergence(records: Sequence[Record]) -> str:
    """Return at which steps runs stopped because a weight or a loss was no number any more; "" where none did.

    >>> divergence([{"status": "diverged", "final": {"last_step": 16}}, {"status": "finished", "final": {}}])
    '; 1 of 2 diverged, at step 16'
    """
    steps = verdicts.diverged_at(records)
    if not steps:
        return ""
    how_many = "" if len(records) == 1 else f"{len(steps)} of {len(records)} "
    return f"; {how_many}diverged{',' if how_many else ''} at step {' and '.join(map(str, steps))}"


def by_label(results: Iterable[Result]) -> dict[str, list[Record]]:
    """Return the records of each label, in the order in which labels first appear."""
    grouped: dict[str, list[Record]] = {}
    for result in results:
        grouped.setdefault(result.label, []).append(result.record)
    return grouped


def measured(results: Iterable[Result], label: str, statistic: str) -> str:
    """Return one number for prose: an accuracy with its spread, "98.01 ± 0.10 % (5)", or an epsilon, "0.989".

    Args:
        results: of one section and dataset.
        label: which of its runs.
        statistic: a key of `STATISTICS`, accuracies and shares in percent, or of `PRIVACY`.

    Raises:
        ValueError: no such label, or no epsilon, so that prose can never show a number without records.
    """
    grouped = by_label(results)
    if label not in grouped:
        raise ValueError(f"label={label!r} has no records; known: {', '.join(grouped)}")
    if statistic in PRIVACY:
        epsilon = PRIVACY[statistic](grouped[label][0])
        if epsilon is None:
            raise ValueError(f"the records of label={label!r} hold no epsilon of the kind {statistic!r}")
        return f"{epsilon:.3g}"
    mean, _, count = spread([STATISTICS[statistic](record) for record in grouped[label]]).rpartition(" ")
    return f"{mean} % {count}{divergence(grouped[label])}"


def priced_as_pair(record: Record) -> float | None:
    """Return what the Laplace noise on gradient and loss of a run costs as a pair; None for other runs.

    Only where the noise is the same in every step.
    """
    entries = [entry for entry in record["ledger"] if entry["sampling"] == "poisson"]
    if len(entries) != 2 or any(entry["mechanism"] != "laplace" or len(entry["scales"]) > 1 for entry in entries):
        return None
    first, second = (entry["sensitivity"] / entry["scales"][0][0] for entry in entries)
    steps = entries[0]["scales"][0][1]
    return pair_epsilon(first, second, entries[0]["sampling_prob"], steps, record["config"]["delta"])


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def accuracy_table(results: Sequence[Result]) -> str:
    """Return a Markdown table: accuracies in percent as mean ± std (n), steps and privacy of each label."""
    rows = [
        [
            label,
            records[0]["config"]["reading"],
            f"{records[0]['config']['num_steps']:,}",
            *(spread([STATISTICS[name](record) for record in records]) for name in ("train", "max")),
            final_spread(records),
            epsilon_of(records[0]),
        ]
        for label, records in by_label(results).items()
    ]
    exact = any(result.record["privacy"]["exact_epsilon"] is not None for result in results)
    epsilon = "ε" if exact else "Nominal ε (Eq. 5)"
    header = ("Run", "Reading", "Steps", "Train %", "Highest test %", "Final test %", epsilon)
    return table(rows, header)


def epsilon_of(record: Record) -> str:
    """Return the numerical epsilon of a private run, else the nominal total, or a dash where no noise was added."""
    privacy = record["privacy"]
    if privacy["exact_epsilon"] is not None:
        return f"{privacy['exact_epsilon']:.4g}, numerical"
    return "–" if privacy["nominal_epsilon"] is None else f"{privacy['nominal_epsilon']:.6g}"


def guarantee_note(results: Sequence[Result]) -> str:
    """Return one sentence for each guarantee, or reason why there is none, with the runs it is true of.

    Runs of one name that differ in their rate are named once.
    """
    reasons: dict[str, dict[str, None]] = {}
    for label, records in by_label(results).items():
        name = label.partition(", rate ")[0]
        if reason := records[0]["privacy"]["no_guarantee"]:
            reasons.setdefault(f"**No guarantee**: {reason}", {})[name] = None
        elif (exact := records[0]["privacy"]["exact_epsilon"]) is not None:
            delta = records[0]["privacy"]["delta"]
            reasons.setdefault(f"**Guarantee**: numerical (ε = {exact:.4g}, δ = {delta:g})", {})[name] = None
    lines = [f"- {reason} ({', '.join(labels)})." for reason, labels in reasons.items()]
    private = any(reason.startswith("**Guarantee**") for reason in reasons)
    return "\n".join([*lines, *(["", WHAT_IS_COVERED] if private else [])])


WHAT_IS_COVERED = (
    "A guarantee is for the weights of one run and everything that its ledger lists. It does not cover what is "
    "measured on training images, such as the curves and training accuracies on this page, and not two runs of one "
    "seed: they share their noise ({doc}`/book/private`)."
)


def compared(results: Iterable[Result]) -> list[Record]:
    """Return the records that claims are compared with: a method's own, not those of other constants beside it."""
    return [result.record for result in results if not result.label.endswith(BESIDE)]


def verdict_table(study: Experiment, results: Sequence[Result]) -> str:
    """Return P1's claims about this section and dataset beside what was measured, with verdicts."""
    stated = [claim for claim in claims.claims(section=study.section) if claim.dataset in ("", study.options.dataset)]
    if not stated:
        return f"P1 states no number for this section on {pretty(study.options.dataset)}."
    frame = verdicts.compare({study.section: compared(results)}, stated=stated)
    return verdicts.as_markdown(frame)


def pretty(dataset: str) -> str:
    """Return how a reader knows a dataset."""
    return DATASET_NAMES.get(dataset, dataset)


def source_note(study: Experiment, results: Sequence[Result]) -> str:
    """Return which records, parameters and code the figures and tables of a section come from."""
    records = [result.record for result in results]
    made = [record["provenance"] for record in records]
    config = records[0]["config"]
    seeds = sorted({record["config"]["seed"] for record in records})
    steps = sorted({record["config"]["num_steps"] for record in records})
    facts = {
        "records": f"{len(records)} of section `{study.section}` on {pretty(config['dataset'])} "
        f"(`{records[0]['digest']}` to `{records[-1]['digest']}`)",
        "steps": listed(f"{step:,}" for step in steps),
        "batch size": listed(record["config"]["batch_size"] for record in records),
        "seeds": listed(seeds),
        "code": f"commit `{listed(fact['commit'] for fact in made)}`, torch {listed(fact['torch'] for fact in made)}",
        "device": listed(fact["device"] for fact in made),
        "seconds": f"{sum(fact['seconds'] for fact in made):,.0f} in all",
        "data": f"SHA-256 `{made[0]['dataset_sha256'][:12]}`",
    }
    note = "*Source.* " + "; ".join(f"{name}: {fact}" for name, fact in facts.items()) + "."
    return note + smaller_batches(study, config)


def smaller_batches(study: Experiment, config: Mapping[str, Any]) -> str:
    """Return a sentence where the batches of a user's own data are smaller than the papers', "" elsewhere."""
    num_train = study.options.num_train
    if num_train is None or "batch_size" in dict(study.options.changes):
        return ""
    return f" Batches follow the data, {num_train:,} training images: {config['batch_size']} of them at once."


def listed(values: Iterable[Any]) -> str:
    """Return the different values in order, separated by commas.

    >>> listed([2, 1, 2])
    '2, 1'
    """
    return ", ".join(str(value) for value in dict.fromkeys(values))


def table_two_check() -> str:
    """Return a Markdown table: what Eq. (5) through Table II's rows T = 300 and 600 gives at T = 1200."""
    rows = []
    for dataset, column in claims.TABLE_II.items():
        (a, b, c) = (column[steps].total_epsilon for steps in (300, 600, 1200))
        budget = budget_through((300, a), (600, b))
        rows.append(
            [
                pretty(dataset),
                f"{a:g}, {b:g}",
                f"{budget.initial_epsilon:.5f}",
                f"{budget.increment:.2e}",
                f"{total_epsilon(1200, budget):.1f}",
                f"{c:g}",
            ]
        )
    header = ("Dataset", "totals at 300, 600", "ε₁", "d", "Eq. (5) at 1200", "Table II at 1200")
    return table(rows, header)


def finals_by_seed(results: Iterable[Result]) -> dict[str, dict[int, float]]:
    """Return the final test accuracy of each label and seed."""
    return {
        label: {record["config"]["seed"]: STATISTICS["final"](record) for record in records}
        for label, records in by_label(results).items()
    }


def difference_table(results: Sequence[Result], base: str) -> str:
    """Return a Markdown table: final test accuracy of each label, and its difference to `base` in points.

    Differences are paired by seed, so that what two runs share cancels.
    """
    final, grouped = finals_by_seed(results), by_label(results)
    if base not in final:
        return accuracy_table(results)
    rows = []
    for label, values in final.items():
        paired = [value - final[base][seed] for seed, value in values.items() if seed in final[base]]
        rows.append([label, final_spread(grouped[label]), spread(paired) if paired and label != base else ""])
    return table(rows, ("Run", "Final test %", f"Difference to {base!r}, points"))


def cap_table(results: Sequence[Result]) -> str:
    """Return a Markdown table: final test accuracy and the share of steps at which the cap binds."""
    rows = []
    for label, records in by_label(results).items():
        capped = records[0]["config"]["max_step"] is not None
        shares = [STATISTICS["capped"](record) for record in records]
        final = final_spread(records)
        rows.append([label, final, spread(shares, digits=1) if capped else "no cap"])
    return table(rows, ("Run", "Final test %", "Steps at the cap %"))


def stated_losses(study: Experiment) -> dict[str, dict[str, float]]:
    """Return the losses that P1 states for a study's dataset, by part ("train", "test") and method."""
    stated: dict[str, dict[str, float]] = {"train": {}, "test": {}}
    for claim in claims.claims(section="fig08_loss"):
        if claim.dataset == study.options.dataset and isinstance(claim.value, float | int):
            part = "train" if claim.statistic.endswith("(train)") else "test"
            stated[part][claims.label_of(claim)] = float(claim.value)
    return stated


def stated_means(study: Experiment) -> dict[str, float]:
    """Return the means over T that P1 states for a study's dataset, by method."""
    return {
        claims.label_of(claim): float(claim.value)
        for claim in claims.claims(section="fig09_comparison")
        if claim.dataset == study.options.dataset and claim.statistic == "mean over T"
        if isinstance(claim.value, float | int)
    }


def budget_of(record: Record) -> float:
    """Return the budget of one step of a run whose budget does not grow."""
    config = record["config"]
    return float(round(config["total_epsilon"] / config["num_steps"], 10))


def interaction_note(results: Sequence[Result], small: float = 0.1, large: float = 1.0) -> str:
    """Return whether a smaller threshold helps more at the smallest than at the largest budget, with its interval.

    The contrast of one seed is (accuracy with the small threshold minus that with the large one) at the smallest
    budget, minus the same at the largest.

    Args:
        results: of section fig10_thresholds.
        small, large: the thresholds to compare.
    """
    final: dict[tuple[float, float], dict[int, float]] = {}
    for label, record in results:
        if label.startswith("threshold"):
            config = record["config"]
            key = (config["max_step"], budget_of(record))
            final.setdefault(key, {})[config["seed"]] = STATISTICS["final"](record)
    words = "At a budget of {:g} a step, the threshold {:g} instead of {:g}"
    return contrast_note(final, small, large, words) or "The runs at hand do not hold both thresholds at all budgets."


def contrast_note(
    final: Mapping[tuple[float, float], Mapping[int, float]], small: float, large: float, words: str
) -> str:
    """Return what `small` instead of `large` changes at the least and at the most, and the interaction; "" without.

    Args:
        final: accuracy in percent by (setting, amount) and seed.
        small, large: the settings to compare.
        words: with places for the amount, the small and the large setting.
    """
    amounts = sorted({amount for _, amount in final})
    if not amounts or any((setting, amount) not in final for setting in (small, large) for amount in amounts):
        return ""
    low, high = amounts[0], amounts[-1]
    gains = {
        amount: {seed: final[small, amount][seed] - final[large, amount][seed] for seed in final[small, amount]}
        for amount in (low, high)
    }
    contrast = [gains[low][seed] - gains[high][seed] for seed in gains[low] if seed in gains[high]]
    lines = [
        f"- {words.format(amount, small, large)} changes the accuracy by {spread(list(gains[amount].values()))} points."
        for amount in (low, high)
    ]
    return "\n".join([*lines, f"- The difference of the two, the interaction: {interval(contrast)}."])


def pair_note(results: Sequence[Result], first: str, second: str) -> str:
    """Return a Markdown list: final test accuracy of `first` minus that of `second`, paired by seed, for each T.

    Args:
        results: of one section.
        first, second: labels without the ", T = ..." that sections of several T add.
    """
    final = finals_by_seed(results)
    lines = []
    for label, values in final.items():
        name, _, length = label.partition(", T = ")
        other = final.get(label.replace(first, second, 1), {}) if name == first else {}
        paired = [value - other[seed] for seed, value in values.items() if seed in other]
        if paired:
            lines.append(f"- {first} minus {second}{length and f', T = {length}'}: {interval(paired)}.")
    return "\n".join(lines) or f"The runs at hand do not hold both {first} and {second}."


def interval(values: Sequence[float]) -> str:
    """Return mean and 95 % interval (Student's t) of a paired difference, in points.

    >>> interval([1.0, 1.0])
    '1.00 points, 95 % interval 1.00 to 1.00 (n = 2)'
    """
    found = paired_interval(values)
    if found is None:
        return f"{fmean(values):.2f} points (n = {len(values)}: too few for an interval)"
    return f"{fmean(values):.2f} points, 95 % interval {found[0]:.2f} to {found[1]:.2f} (n = {len(values)})"


def loss_table(results: Sequence[Result]) -> str:
    """Return a Markdown table of final accuracies and losses, training and validation, as P2's Table 2 has them."""
    rows = []
    for label, records in by_label(results).items():
        columns = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
        digits = (2, 2, 4, 4)
        cells = (
            spread([record["final"][name] for record in records], count)
            for name, count in zip(columns, digits, strict=True)
        )
        rows.append([label, f"{records[0]['config']['num_steps']:,}", *cells])
    return table(rows, ("Run", "Steps", "Training %", "Validation %", "Training loss", "Validation loss"))


def epsilon_table(results: Sequence[Result]) -> str:
    """Return a Markdown table of epsilon, if batches were Poisson samples, and accuracy of each label."""
    rows = []
    for label, records in by_label(results).items():
        config, epsilon = records[0]["config"], records[0]["final"].get("rdp_epsilon")
        rows.append(
            [
                label,
                config["reading"],
                f"{config['num_steps']:,}",
                "–" if config["noise_multiplier"] is None else f"{config['noise_multiplier']:g}",
                "–" if epsilon is None else f"{epsilon:.4f}",
                final_spread(records),
            ]
        )
    return table(rows, ("Run", "Reading", "Steps", "Noise multiplier", "ε, if Poisson (RDP)", "Final test %"))
