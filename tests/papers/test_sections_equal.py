"""Equal terms: the same clip for all of a panel, the same grid for all, and the rates that were chosen from it."""

import pytest
import torch

from cnndp.data import datasets
from cnndp.papers import tuned
from cnndp.papers.sections.entries import rate_of
from cnndp.papers.sections.equal import PANELS, RATES, equal_terms, equal_terms_tuning


def test_all_of_a_panel_clip_alike_and_meet_the_same_kind_of_noise():
    for panel, rows in PANELS.items():
        entries = [entry for entry in equal_terms("mnist", 300) if entry.facts.panel == panel]
        assert [entry.name for entry in entries] == list(rows)
        assert len(rows) >= 4
        configs = [entry.config for entry in entries]
        assert len({(config.clip, config.clip_norm, config.mechanism, config.batch_size) for config in configs}) == 1


def test_every_method_is_tuned_on_the_same_grid_and_never_on_test_images():
    grids = {}
    for name, config, facts in equal_terms_tuning("mnist", 300):
        assert config.split == "8:2 validation"
        grids.setdefault((facts.panel, name), []).append(rate_of(config))
    assert all(grid == list(RATES) for grid in grids.values())
    final = equal_terms("mnist", 300)
    assert set(grids) == {(entry.facts.panel, entry.name) for entry in final if entry.name != "noise-free"}
    assert all(entry.config.split == "8:2" for entry in final)


def test_validation_images_are_a_tenth_of_the_training_part_and_no_test_images():
    whole, part = datasets.load("digits"), datasets.load("digits", split="8:2 validation")
    assert len(part.test_labels) == len(whole.train_labels) - int(0.9 * len(whole.train_labels))
    assert torch.equal(torch.cat([part.train_images, part.test_images]), whole.train_images)
    assert part.sha256 == whole.sha256


@pytest.mark.parametrize(
    ("dataset", "chosen_on"), [("mnist", "mnist"), ("fashion_mnist", "fashion_mnist"), ("digits", "mnist")]
)
def test_every_method_runs_at_the_rate_that_was_chosen_for_it_in_its_panel(dataset, chosen_on):
    chosen = {(one.panel, one.name): one.rate for one in tuned.choices("equal_terms_tuning", chosen_on)}
    found = {(entry.facts.panel, entry.name): rate_of(entry.config) for entry in equal_terms(dataset, 300)}
    del found["", "noise-free"]
    assert found == chosen


def test_without_choices_the_rates_are_in_the_middle_of_the_grid(monkeypatch):
    monkeypatch.setitem(tuned.stored(), "equal_terms_tuning", {})
    assert {rate_of(entry.config) for entry in equal_terms("mnist", 300)} == {0.3}
