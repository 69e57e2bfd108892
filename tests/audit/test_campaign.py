"""Stored audits: made, sealed and read again; the sentence and the live check turn with the rows."""

import re
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from cnndp.__main__ import main
from cnndp.audit import campaign, plots
from cnndp.audit.controls import CONTROLS, CORRECT
from cnndp.runs import store

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
NOTEBOOK = TESTS.parent / "notebooks" / "audit.ipynb"


@pytest.fixture
def one_control(monkeypatch):
    """Leave one planted mistake and the correct mechanism, so that a test takes seconds."""
    monkeypatch.setattr(campaign, "CONTROLS", CONTROLS[:1])
    monkeypatch.setattr(campaign, "CORRECT", CORRECT[:1])


def row(control, *caught_by, expected=("audit",)):
    return {"control": control, "caught": bool(caught_by), "caught_by": list(caught_by), "expected": list(expected)}


def test_detections_are_stored_sealed_and_come_out_again(one_control, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    shown = store.save({"kind": "detections", "rows": []}, campaign.path_for(tmp_path, "detections"))
    before = shown.read_bytes()
    outcome = CliRunner().invoke(main, ["audit", "detections", "--seeds", "1"])
    assert outcome.exit_code == 0, outcome.output
    assert shown.read_bytes() == before  # what the book shows is left alone
    assert CliRunner().invoke(main, ["audit", "detections", "--seeds", "1", "--book"]).exit_code == 2
    record = store.load(tmp_path / "own" / "audit-detections.json")
    assert [(one["control"], one["caught"]) for one in record["rows"]] == [
        ("correct, Gaussian", False),
        ("half the noise, Gaussian", True),
    ]
    assert "2 rows of `book/results/audits/detections.json`" in campaign.source(record)
    assert campaign.live_check({"detections": record}) == "pass"
    planted = record["rows"][1]
    monkeypatch.setattr(campaign, "detect", lambda *asked: planted)
    for change, said in (
        ({"bound": planted["bound"] + 1.0}, "fail: bound"),
        ({"bound": None}, "fail: bound"),
        ({"caught_by": ["guard"]}, "fail: caught by audit, noise"),
    ):
        assert campaign.live_check({"detections": {"rows": [{**planted, **change}]}}).startswith(said)


def test_short_twins_of_bounds_and_of_simulated_runs_come_out_again_and_changed_ones_do_not(digits):
    config = campaign.correct("laplace", max(campaign.EPSILONS), 0)
    (bounded,) = campaign.bound(config, campaign.few(digits), 200, libraries=False)
    simulated = campaign.false_refutations(campaign.correct("gaussian", 1.0, 0), 320, 200, 30)
    more = {**bounded, "num_canaries": 400, "bound": 7.0}  # the shortest is the twin
    records = {"bounds": {"rows": [more, bounded]}, "validity": {"rows": [simulated]}}
    assert campaign.live_check(records) == "pass"
    forged = {"rows": [{**bounded, "bound": bounded["bound"] + 1.0}]}
    assert campaign.live_check({**records, "bounds": forged}).startswith("fail: bound")
    forged = {"rows": [{**simulated, "refuted": [27, 28, 29]}]}
    assert campaign.live_check({**records, "validity": forged}).startswith("fail: simulated runs with 200 canaries")


def test_an_unknown_kind_or_parameter_is_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"kind='detection' is not known; did you mean 'detections'\?"):
        campaign.make("detection")
    with pytest.raises(ValueError, match=r"parameter='seed' is not known; did you mean 'seeds'\?"):
        campaign.from_notebook({"measure": False, "seed": 1})
    with pytest.raises(ValueError, match="seeds=0 must be a whole number"):
        campaign.make("detections", 0)


def test_audits_that_are_missing_or_changed_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    with pytest.raises(store.RecordError, match=r"bounds\.json is missing"):
        campaign.from_notebook({"measure": False, "seeds": None})


def test_every_kind_plans_its_runs_with_the_seeds_asked_for(digits):
    for kind, tasks in campaign.KINDS.items():
        planned = list(tasks(digits, 2))
        assert len(planned) % 2 == 0, kind
        assert len(list(tasks(digits, 4))) == 2 * len(planned)


def test_the_sentence_says_what_caught_each_mistake_and_counts_false_alarms():
    rows = [
        row("a", "audit", "noise_is_as_stated"),
        row("a", "audit"),
        row("b", "guard", expected=("guard",)),
        row("c", "divisor_is_public", expected=("divisor_is_public",)),
        row("as it is", expected=()),
    ]
    assert campaign.summary(rows) == (
        "3 mistakes are planted, 4 runs in all. Caught in every run: 1 by the audit's bound; 1 by the guard before the "
        "weights move; 1 by a check alone (`divisor_is_public`). Of 1 runs of the correct mechanism 0 are called wrong."
    )
    missed = campaign.summary([*rows, row("a"), row("as it is", "audit", expected=())])
    assert "0 by the audit's bound" in missed
    assert "1 not in every run (a)" in missed
    assert "Of 2 runs of the correct mechanism 1 are called wrong" in missed


def test_areas_have_a_row_for_each_network_and_attack_and_a_mark_for_each_seed():
    shared = {"attack": "low loss", "smallest_auc": 0.55}
    rows = [
        {**shared, "reading": reading, "auc": auc, "auc_interval": [auc - 0.1, auc + 0.1]}
        for reading, auc in (("private", 0.5), ("private", 0.52), ("reconstructed", 0.7))
    ]
    (axes,) = plots.areas(rows).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["private: low loss", "reconstructed: low loss"]
    assert sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o") == [0.5, 0.52, 0.7]


def test_every_pitfall_of_the_page_names_a_test_that_exists():
    text = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    named = re.findall(r"\| `(\w+/test_\w+\.py)`: ([^|]+) \|", text)
    assert len(named) >= 14
    for file, words in named:
        function = "def test_" + words.strip().replace(" ", "_") + "("
        assert function in (TESTS / file).read_text(encoding="utf-8"), (file, words)


def test_bounds_against_canaries_have_both_ceilings_and_a_dot_for_each_run_at_the_largest_epsilon():
    shared = {"mechanism": "gaussian", "claimed": 7.98, "one_run_ceiling": 8.1, "ceiling": 7.3}
    rows = [
        {**shared, "num_canaries": 2000, "bound": 5.0, "ceiling": 6.3, "one_run_ceiling": 6.5},
        {**shared, "num_canaries": 10_000, "bound": 7.0},
        {**shared, "num_canaries": 10_000, "bound": 7.4},
        {**shared, "num_canaries": 10_000, "bound": None},  # above all of its shape: no place to draw it
        {**shared, "num_canaries": 10_000, "bound": 1.0, "claimed": 2.0},
    ]
    (axes,) = plots.canaries(rows).axes
    lines = {line.get_label(): [*line.get_ydata()] for line in axes.lines}
    assert lines["numerical ε"] == [7.98, 7.98]
    assert lines["all guesses right"] == [6.5, 8.1]
    assert lines["median bound of ideal runs"] == [6.3, 7.3]
    assert lines["audited bound"] == [5.0, pytest.approx(7.2)]
    dots = [line.get_ydata() for line in axes.lines if line.get_marker() == "."]
    assert [[*one] for one in dots] == [[5.0], [7.0, 7.4]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2,000", "10,000"]
