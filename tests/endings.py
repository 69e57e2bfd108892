"""How an attempt may end: it runs, or one sentence of this package names what is wrong and what to do instead."""

import os
import re
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

import cnndp
from cnndp.checks import Refusal

FULL = int(os.environ.get("CNNDP_FAULTS", "1"))  # how many times the inputs of the small profile
PACKAGE = Path(cnndp.__file__).parent
SENTENCE = re.compile(r"\S.*[;:] \S", re.DOTALL)  # what is wrong, then the remedy


def ending(attempt, *names):
    """Return "ran" or "refused"; fail on any other error, and on a refusal that does not say what to do.

    Args:
        attempt: takes no argument.
        names: of which the sentence has to name one; none where nothing has a name.
    """
    try:
        attempt()
    except (ValueError, TypeError, Refusal) as error:
        text, raised = str(error), Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert raised.is_relative_to(PACKAGE), f"raised in {raised}: {text}"
        check_sentence(text)
        assert not names or any(name in text for name in names), f"{text!r} names none of {names}"
        return "refused"
    return "ran"


def check_sentence(text):
    """Fail unless a refusal says what is wrong and what to do."""
    assert SENTENCE.search(text), f"{text!r} names no remedy"
    assert "Traceback" not in text


def some(count, *, shrink=True):
    """Return the settings of a property: `count` inputs, or a multiple of it in a full run, then never the same.

    Without `shrink` the first bad input is shown as it is: where each takes long, a smaller one takes minutes to find.
    """
    return settings(
        max_examples=count * FULL,
        derandomize=FULL == 1,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
