"""The figure of the first page: the claims and the readings of them, from records."""

import numpy as np
import pandas as pd
import pytest
from vector import COLOURS, INK, svg

from cnndp.report import findings, verdicts
from cnndp.report.figures import lead

pytestmark = pytest.mark.xdist_group("all runs")

INKS = {name: "#111111" for name in lead.MARKS}


@pytest.fixture(scope="module")
def runs(all_runs):
    return all_runs


@pytest.fixture(scope="module")
def rows(runs):
    return findings.lead(runs)


def test_every_number_is_that_of_the_table_of_claims(runs, rows):
    table = verdicts.compare(runs).set_index("key").loc[list(findings.LEAD)]
    assert rows["paper"][:-1].tolist() == table["paper"].tolist()
    for reading in verdicts.READINGS:
        np.testing.assert_array_equal(rows[reading][:-1].astype(float), table[f"mean_{reading}"])


def test_the_last_row_is_the_linear_model_at_an_epsilon_of_one(runs, rows):
    best = runs.query("section == 'frontier' and dataset == 'mnist' and target_epsilon == 1")
    assert rows.iloc[-1]["private"] == best["test_accuracy"].mean()
    assert rows.iloc[-1]["epsilon"] == f"ε = {best['exact_epsilon'].iat[0]:.3g}"
    assert rows.iloc[-1][["paper", "printed", "reconstructed"]].isna().all()


def test_a_row_says_which_paper_place_and_dataset(rows):
    assert rows["what"][0] == "P1, Abstract: mean final accuracy of CNN-DP-GAN-Polyak, MNIST"
    assert rows["what"][3] == "P2, Abstract: accuracy after 20 epochs, Fashion-MNIST"
    assert rows["what"].is_unique


def test_epsilons_are_those_of_the_runs_that_a_mean_is_over(runs, rows):
    own = runs[findings.is_own_method(runs) & (runs["section"] == "fig09_comparison") & (runs["dataset"] == "mnist")]
    polyak = own[own["method"] == "cnn_dp_gan_polyak"]["exact_epsilon"]
    assert rows["epsilon"][0] == f"ε = {polyak.min():.3g} to {polyak.max():.3g}"
    assert rows["epsilon"][1] == ""  # nothing private repeats Fig. 7 at its own total


def test_a_mark_stands_where_its_number_is(rows):
    axes = lead.lead(rows, INK, INKS).axes[0]
    drawn = sorted(
        line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None" and line.get_ydata()[0] > lead.TOP
    )
    known = rows[list(lead.MARKS)].to_numpy(dtype=float)
    assert drawn == sorted(known[~np.isnan(known)])


def test_the_text_for_those_who_do_not_see_it_has_every_number(rows):
    text = lead.described(rows)
    for name in lead.MARKS:
        for value in rows[name].dropna():
            assert f"{lead.NAMES[name]} {value:.1f} %" in text


def test_a_picture_takes_the_colours_of_the_page_and_escapes_its_text():
    row = {"what": "a", "paper": 1.0, "printed": None, "reconstructed": 2.0, "private": None, "epsilon": ""}
    drawn = svg(lead.lead(pd.DataFrame([row]), INK, dict(zip(lead.MARKS, COLOURS, strict=False))), 'a "<b>"')
    assert "currentColor" in drawn
    assert not [colour for colour in COLOURS if colour in drawn]
    assert 'aria-label="a &quot;&lt;b&gt;&quot;"' in drawn
