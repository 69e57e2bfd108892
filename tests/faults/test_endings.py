"""The judge of the properties itself: each kind of bad ending is planted, and it sees it."""

import json

import pytest
from endings import ending

from cnndp.checks import positive
from cnndp.runs.store import RecordError


def test_what_runs_runs_and_what_is_refused_in_a_sentence_is_refused():
    assert ending(lambda: 1) == "ran"
    assert ending(lambda: positive(growth=-1.0), "growth") == "refused"


def raised(error):
    raise error


@pytest.mark.parametrize(
    ("attempt", "names"),
    [
        (lambda: json.loads("{"), ()),  # a ValueError, of another package
        (lambda: positive(growth=-1.0), ("decay",)),  # of another argument
        (lambda: raised(RecordError("bad")), ()),  # raised here
    ],
)
def test_a_bad_refusal_is_noticed(attempt, names):
    with pytest.raises(AssertionError):
        ending(attempt, *names)


@pytest.mark.parametrize("error", [KeyError("config"), OverflowError("math range error"), RecursionError()])
def test_a_traceback_is_noticed(error):
    with pytest.raises(type(error)):
        ending(lambda: raised(error))
