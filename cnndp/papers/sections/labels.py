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


def in_panel(entry: Entry) -> str:
    """Return the name behind that of its panel."""
    return f"{entry.facts.panel}: {entry.name}" if entry.facts.panel else entry.name


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
    return f"{sized(entry.name, entry.config.projection)}, {epsilon(entry)}"


def sized(name: str, projection: float | None) -> str:
    """Return a name with the number of mixtures that a run has.

    >>> sized("Laplace", 20), sized("decayed", None)
    ('Laplace, d = 20', 'decayed')
    """
    return name if projection is None else f"{name}, d = {projection:.0f}"


def with_rate(title: str, entry: Entry) -> str:
    """Return a label with the number that is tuned, where a section tunes it: the rate, or the cap of a Polyak step."""
    return f"{title}, rate {rate_of(entry.config):g}"


def with_length(label: str, entry: Entry) -> str:
    """Return a label with its number of steps, where a section has several."""
    return f"{label}, T = {entry.config.num_steps}"
