"""Equal terms: the same clip for all of a panel, the same grid for all, and a choice that follows from records."""

import pytest
import torch

from cnndp.data import datasets
from cnndp.papers.sections.equal import PANELS, RATES, TUNED, equal_terms, equal_terms_tuning, rate_of


def test_all_of_a_panel_clip_alike_and_meet_the_same_kind_of_noise():
    for panel, rows in PANELS.items():
        configs = [config for label, config in equal_terms("mnist", 300).items() if label.startswith(f"{panel}: ")]
        assert len(configs) == len(rows) >= 4
        assert len({(config.clip, config.clip_norm, config.mechanism, config.batch_size) for config in configs}) == 1


def test_every_method_is_tuned_on_the_same_grid_and_never_on_test_images():
    grids = {}
    for label, config in equal_terms_tuning("mnist", 300).items():
        assert config.split == "8:2 validation"
        grids.setdefault(label.rsplit(",", 1)[0], []).append(rate_of(config))
    assert all(grid == list(RATES) for grid in grids.values())
    assert set(grids) == {label for label in equal_terms("mnist", 300) if label != "noise-free"}
    assert all(config.split == "8:2" for config in equal_terms("mnist", 300).values())


def test_validation_images_are_a_tenth_of_the_training_part_and_no_test_images():
    whole, part = datasets.load("digits"), datasets.load("digits", split="8:2 validation")
    assert len(part.test_labels) == len(whole.train_labels) - int(0.9 * len(whole.train_labels))
    assert torch.equal(torch.cat([part.train_images, part.test_images]), whole.train_images)
    assert part.sha256 == whole.sha256


@pytest.mark.parametrize("dataset", TUNED)
def test_the_chosen_rates_are_those_with_the_highest_accuracy_on_validation_images(best_rates, dataset):
    assert TUNED[dataset] == best_rates("equal_terms_tuning", dataset)
