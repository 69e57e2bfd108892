"""The engine clips linear softmax on features as the closed form says, and copies of an image as one record."""

import pytest
import torch
from torch import Generator, nn

from cnndp.equations.losses import cross_entropy
from cnndp.training.clipping import example_clipped_sum, pick_engine
from cnndp.training.gradients import flatten
from cnndp.training.models import build

CLIP_NORM = 0.3


@pytest.fixture
def problem():
    """Return the model with weights that are not zero, 17 rows of features of norm 1, and labels; in float64."""
    generator = Generator().manual_seed(0)
    model = build("scattering_linear", num_classes=4, activation="tanh", num_features=9, generator=generator).double()
    features = torch.randn(17, 9, dtype=torch.float64, generator=generator)
    return model, features / features.norm(dim=1, keepdim=True), torch.randint(4, (17,), generator=generator)


def residuals(model, features, labels):
    """Return p - y, `[B, K]`."""
    return torch.softmax(model(features), dim=-1).detach() - nn.functional.one_hot(labels, 4)


def test_the_clipped_sum_is_one_matrix_product_with_closed_form_norms(problem):
    model, features, labels = problem
    errors = residuals(model, features, labels)
    norms = features.norm(dim=1) * errors.norm(dim=1)
    factors = (CLIP_NORM / norms).clamp(max=1)
    assert factors.min() < 1
    expected = (factors.unsqueeze(1) * errors).T @ features
    summed = example_clipped_sum(
        model, flatten(model), features, labels, cross_entropy, clip_norm=CLIP_NORM, order=2, engine="fast"
    )
    assert torch.allclose(summed.total, expected.flatten(), atol=1e-12)
    assert summed.sensitivity == CLIP_NORM


def copies_loss(logits, labels):
    """Return the mean loss over the copies of each example, `[B]`, from logits `[B, copies, K]`."""
    count = logits.shape[1]
    each = cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(count))
    return each.view(-1, count).mean(dim=1)


def test_the_mean_gradient_of_moved_copies_is_clipped_as_one_record(problem):
    model, features, labels = problem
    copies = torch.stack([features, features.roll(1, dims=1), features.roll(2, dims=1)], dim=1)  # [B, 3, D]
    assert pick_engine(model, "auto") == "fast"
    gradients = torch.stack(
        [residuals(model, copy, labels).unsqueeze(2) * copy.unsqueeze(1) for copy in copies.unbind(1)]
    )
    mean = gradients.mean(dim=0).flatten(1)
    factors = (CLIP_NORM / mean.norm(dim=1)).clamp(max=1)
    assert factors.min() < 1
    for engine in ("fast", "general"):
        summed = example_clipped_sum(
            model, flatten(model), copies, labels, copies_loss, clip_norm=CLIP_NORM, order=2, engine=engine
        )
        assert torch.allclose(summed.total, factors @ mean, atol=1e-9), engine
        assert summed.sensitivity == CLIP_NORM
