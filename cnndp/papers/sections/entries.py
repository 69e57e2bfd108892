"""One run of a section before its seeds: a name, a Config, and what the section varies that no field of it tells."""

from typing import NamedTuple

from cnndp.papers import claims
from cnndp.training.config import Config


class Facts(NamedTuple):
    """What a section knows of a run beside its Config; columns of `runs.frame`.

    Attributes:
        panel: the group that a run is compared in, such as "no clip".
        target: how a private run's budget is named, "ε = 8" or "Table II".
        budget: of one step, where it is the same in every step.
        cap_factor: the cap over the tuned one.
        variant: what else sets a run apart from another of its name, such as "total 960".
        beside: why a run stands beside a method's own and is not compared with claims, such as "MNIST's constants".
    """

    panel: str = ""
    target: str = ""
    budget: float | None = None
    cap_factor: float | None = None
    variant: str = ""
    beside: str = ""


class Entry(NamedTuple):
    """A run of a section; `name` is the method or the idea, without its settings."""

    name: str
    config: Config
    facts: Facts = Facts()


def rate_of(config: Config) -> float | None:
    """Return the one number of a run that is tuned: its rate, or the cap of a Polyak step."""
    return config.max_step if config.step == "polyak" else config.learning_rate


def with_rate(config: Config, rate: float) -> Config:
    """Return the config with that number set."""
    return config.replace(max_step=rate) if config.step == "polyak" else config.replace(learning_rate=rate)


def named(entries: list[Entry]) -> dict[str, Entry]:
    """Return entries by name; of several with one name the first."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.name, entry)
    return found


def target_name(epsilon: float | None) -> str:
    """Return how a budget is named; None stands for Table II's total.

    >>> target_name(8.0), target_name(None)
    ('ε = 8', 'Table II')
    """
    return "Table II" if epsilon is None else f"ε = {epsilon:g}"


def spending(name: str, config: Config, epsilon: float | None) -> Entry:
    """Return a private run with the name of its budget."""
    return Entry(name, config, Facts(target=target_name(epsilon)))


def table_two(dataset: str, num_steps: int) -> float:
    """Return Table II's total, its likely misprint read as it was most likely meant."""
    return claims.total_epsilon(dataset, num_steps)
