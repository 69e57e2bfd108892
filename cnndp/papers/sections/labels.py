"""How a run is called where it is shown: the one place that makes labels, from fields, and nobody takes them apart."""

from cnndp.papers.sections.entries import Entry, rate_of


def plain(entry: Entry) -> str:
    """Return the name, with what sets it apart, and whether it is as printed."""
    name, config, facts = entry
    if config.reading == "printed" and name != "printed":
        return f"{name} (printed{facts.variant and f', {facts.variant}'})"
    beside = f" ({facts.beside})" if facts.beside else ""
    return f"{name}{facts.variant and f', {facts.variant}'}{beside}"


def valid(entry: Entry) -> str:
    """Return the name of a private run; others keep theirs."""
    return f"{entry.name} (private)" if entry.config.reading == "private" else entry.name


def targeted(entry: Entry) -> str:
    """Return the name of a private run with the budget that it spends; others keep theirs.

    >>> from cnndp.papers.presets import preset
    >>> from cnndp.papers.sections.entries import Facts
    >>> targeted(Entry("DP-SGD", preset("dp_sgd", "private", "mnist", 300), Facts(target="ε = 8")))
    'DP-SGD (private, ε = 8)'
    """
    name, _, facts = entry
    return f"{name} (private, {facts.target})" if facts.target else name


def tuned(entry: Entry) -> str:
    """Return the name with its rate."""
    return f"{entry.name}{rate(entry)}"


def targeted_tuned(entry: Entry) -> str:
    """Return the name of a private run with its budget and its rate."""
    return f"{targeted(entry)}{rate(entry)}"


def rate(entry: Entry) -> str:
    """Return how a rate, or a cap, is written behind a name."""
    return f", rate {rate_of(entry.config):g}"


def in_panel(entry: Entry) -> str:
    """Return the name behind that of its panel."""
    return f"{entry.facts.panel}: {entry.name}" if entry.facts.panel else entry.name


def in_panel_tuned(entry: Entry) -> str:
    """Return the same with the rate."""
    return f"{in_panel(entry)}{rate(entry)}"


def threshold(entry: Entry) -> str:
    """Return threshold and budget of a run of Fig. 10; printed, there is no threshold."""
    name, config, facts = entry
    if facts.budget is None:
        return name
    budget = f"budget {facts.budget:g}"
    return f"{budget} (printed)" if config.reading == "printed" else f"threshold {config.max_step:g}, {budget}"


def cap(entry: Entry) -> str:
    """Return the name with cap and budget, of a private run of Fig. 10."""
    name, _, facts = entry
    if facts.budget is None:
        return name
    return f"{name}, cap x {facts.cap_factor:g}, budget {facts.budget:g} (private)"


def epsilon(entry: Entry) -> str:
    """Return the budget alone, where all runs are of one model."""
    return f"ε = {entry.config.target_epsilon:g}"


def idea(entry: Entry) -> str:
    """Return an idea with its dimension, where there is one, and its budget."""
    size = "" if entry.config.projection is None else f", d = {entry.config.projection}"
    return f"{entry.name}{size}, {epsilon(entry)}"


def idea_tuned(entry: Entry) -> str:
    """Return the same with the rate."""
    return f"{idea(entry)}{rate(entry)}"


def with_length(label: str, entry: Entry) -> str:
    """Return a label with its number of steps, where a section has several."""
    return f"{label}, T = {entry.config.num_steps}"
