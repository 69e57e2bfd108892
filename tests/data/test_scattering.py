"""Scattering coefficients are kymatio's, move with the image, and treat every image on its own."""

import pytest
import torch
from kymatio import Scattering2D
from torch import Generator

from cnndp.data.datasets import pixels
from cnndp.data.scattering import filters, low_pass, modulus, sampling, scatter, scatter_moved


def rand(*shape, seed=0):
    return torch.rand(shape, generator=Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 32, 32), (2, 1, 8, 8)])
def test_coefficients_are_those_of_kymatio(shape):
    images = rand(*shape)
    expected = Scattering2D(J=2, shape=shape[2:], L=8, frontend="torch")(images)
    assert scatter(images).shape == expected.shape == (*shape[:2], 81, shape[2] // 4, shape[3] // 4)
    assert torch.allclose(scatter(images), expected, atol=1e-6, rtol=0)


def test_a_constant_image_has_only_its_mean():
    coefficients = scatter(torch.full((1, 1, 28, 28), 0.5))[0, 0]
    assert torch.allclose(coefficients[0], torch.full((7, 7), 0.5), atol=1e-4)
    assert coefficients[1:].abs().max() < 1e-4  # the band-pass filters let a mean through nearly not at all


def test_images_do_not_meet():
    images = rand(4, 1, 28, 28)
    alone = torch.cat([scatter(image.unsqueeze(0)) for image in images])
    assert torch.allclose(scatter(images), alone, atol=1e-6)


def test_inputs_are_left_as_they_were():
    images = rand(2, 1, 28, 28)
    before = images.clone()
    scatter(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shift", [(1, 0), (0, -2), (1, 1), (-2, 2)])
def test_moved_coefficients_are_nearly_those_of_the_moved_image(shift, digits):
    images = torch.nn.functional.pad(pixels(digits.train_images[:20])[:, :, 6:-6, 6:-6], (6,) * 4)  # empty borders
    still, moved = scatter_moved(images, [(0, 0), shift])
    expected = scatter(torch.roll(images, shift, dims=(2, 3)))
    assert torch.equal(still, scatter(images))
    assert (moved - expected).norm() < 0.1 * expected.norm()
    assert (moved - expected).norm() < 0.35 * (still - expected).norm()


def test_a_shift_by_the_stride_moves_the_samples_by_one():
    axis = rand(36)
    still, moved = sampling(28, 36, 0) @ axis, sampling(28, 36, 4) @ axis
    assert torch.allclose(moved[1:], still[:-1], atol=1e-6)


def test_the_low_pass_filter_is_a_product_of_two_axes():
    path = rand(36, 36)
    low = filters(28).low[36]
    direct = torch.fft.ifft2(torch.fft.fft2(path.double()) * low.outer(low)).real[4:-4:4, 4:-4:4]
    assert torch.allclose(low_pass(path, 28, (0, 0)).double(), direct, atol=1e-6)


def test_modulus_is_the_absolute_value():
    numbers = torch.view_as_complex(rand(50, 2) - 0.5)
    assert torch.allclose(modulus(numbers.clone()), numbers.abs())


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 1, 28, 32), (1, 1, 30, 30), (1, 1, 4, 4)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"pass \[B, C, H, W\] with H = W a multiple of 4"):
        scatter(torch.zeros(shape))
