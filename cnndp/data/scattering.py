"""Scattering coefficients of images: fixed wavelets that are not learned, so that they cost no privacy.

With a low-pass filter phi and oriented band-pass filters psi at two scales, an image x becomes

    x * phi,    |x * psi| * phi,    ||x * psi| * psi'| * phi    (psi' coarser than psi; * is convolution)

which a linear classifier separates far better than pixels. Two scales and eight angles give 81 paths: 1, 16 and
64 of the three kinds. Everything is sampled every 4 pixels.

The filters are kymatio's, and so are the numbers (a test compares them). The order of work is our own, about
twice as fast on a CPU: only what is left of a band after subsampling is multiplied, and since phi is a product of
a row and a column filter, the last convolution and its sampling are two small matrix products. They can sample at
any offset as well, which gives the coefficients of *moved* images for little more than those of one.

Sources: Bruna and Mallat, arXiv 1203.1513; kymatio, arXiv 1812.11214.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

SCALES = 2  # J
ANGLES = 8  # L
PATHS = 1 + SCALES * ANGLES + ANGLES**2
STRIDE = 2**SCALES  # pixels between samples
Shift = tuple[int, int]  # pixels down, pixels right
STILL: Shift = (0, 0)


class Filters(NamedTuple):
    """kymatio's filters for padded images of P x P pixels, as Fourier transforms."""

    fine: Tensor  # [8, P, P] real, the band-pass filters of the finer scale
    coarse: Tensor  # [8, P, P] complex, those of the coarser scale, over 4 for the four parts that meet
    low: dict[int, Tensor]  # resolution n -> [n] real: the low-pass filter is its outer product with itself
    padding: int  # pixels on each side


def scatter(images: Tensor) -> Tensor:
    """Return the scattering coefficients of images, `[B, C, 81, H/4, W/4]`.

    Args:
        images: `[B, C, H, W]`, H = W a multiple of 4, real.

    Raises:
        ValueError: images of another shape.

    >>> scatter(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1, 81, 7, 7])
    """
    return scatter_moved(images, [STILL])[0]


def scatter_moved(images: Tensor, shifts: Sequence[Shift]) -> Tensor:
    """Return the coefficients of images moved by some pixels, `[K, B, C, 81, H/4, W/4]`.

    The work up to the last low-pass filter is shared. What moves is the image with its mirrored border, and the
    coefficients differ from those of an image moved before the transform by what the intermediate subsampling
    loses: a few percent in norm.

    Args:
        images: `[B, C, H, W]`, H = W a multiple of 4, real.
        shifts: K pairs (pixels down, pixels right), small; (0, 0) is the image itself.
    """
    bank = filters(_side(images.shape))
    examples, channels, side, _ = images.shape
    padded = torch.nn.functional.pad(images, (bank.padding,) * 4, mode="reflect").flatten(0, 1).unsqueeze(1)
    spectrum = torch.fft.fft2(padded)  # [B C, 1, P, P]
    fine = modulus(torch.fft.ifft2(spectrum * bank.fine))  # [B C, 8, P, P]
    coarse = modulus(torch.fft.ifft2(half_band(spectrum, bank.coarse))).flatten(1, 2)  # [B C, 8, P/2, P/2]
    both = modulus(torch.fft.ifft2(half_band(torch.fft.fft2(fine), bank.coarse))).flatten(1, 2)  # 64 paths
    paths = (padded, fine, coarse, both)
    moved = [torch.cat([low_pass(path, side, shift) for path in paths], dim=1) for shift in shifts]
    return torch.stack(moved).view(len(shifts), examples, channels, PATHS, side // STRIDE, side // STRIDE)


def _side(shape: torch.Size) -> int:
    if len(shape) != 4 or shape[2] != shape[3] or shape[2] % STRIDE or shape[2] < 2 * STRIDE:
        raise ValueError(
            f"images of shape {tuple(shape)} do not fit; pass [B, C, H, W] with H = W a multiple of {STRIDE}, "
            f"at least {2 * STRIDE}"
        )
    return shape[2]


@cache
def filters(side: int) -> Filters:
    """Return the filters for images of `side` x `side` pixels, float32, made once."""
    from kymatio import Scattering2D  # here, since it is slow to import

    bank: Any = Scattering2D(J=SCALES, shape=(side, side), L=ANGLES, frontend="torch")
    padded = side + 2 * STRIDE
    bands = [[psi["levels"][0] for psi in bank.psi if psi["j"] == scale] for scale in range(SCALES)]
    fine, coarse = (torch.stack([torch.as_tensor(band).view(padded, padded) for band in scale]) for scale in bands)
    low = {}
    for level in bank.phi["levels"]:
        column = torch.as_tensor(level).flatten(1)[:, 0].double()
        low[len(column)] = column / column[0].sqrt()
    return Filters(fine.float(), (coarse / 4).to(torch.complex64), low, padding=STRIDE)


def modulus(band: Tensor) -> Tensor:
    """Return |z|, and use up `band`: several times faster than `Tensor.abs` on a CPU.

    >>> modulus(torch.tensor([3 + 4j]))
    tensor([5.])
    """
    parts = torch.view_as_real(band).square_()
    return (parts[..., 0] + parts[..., 1]).sqrt_()


def half_band(spectrum: Tensor, coarse: Tensor) -> Tensor:
    """Return `[..., 8, P/2, P/2]`, the spectra of the filtered images at every second pixel.

    Subsampling adds the four quarters of a spectrum; `coarse` holds the 1/4 that belongs to it.

    Args:
        spectrum: `[..., P, P]`.
        coarse: `[8, P, P]`.
    """
    spectrum, half = spectrum.unsqueeze(-3), spectrum.shape[-1] // 2
    low, high = slice(0, half), slice(half, None)
    total = spectrum[..., low, low] * coarse[:, low, low]
    for rows, columns in ((low, high), (high, low), (high, high)):
        total.addcmul_(spectrum[..., rows, columns], coarse[:, rows, columns])
    return total


def low_pass(path: Tensor, side: int, shift: Shift) -> Tensor:
    """Return `[..., H/4, W/4]`: a path `[..., n, n]` moved, smoothed, sampled every 4 pixels, padding cut off."""
    down, right = (sampling(side, path.shape[-1], pixels) for pixels in shift)
    smoothed: Tensor = down @ path @ right.T
    return smoothed


@cache
def sampling(side: int, resolution: int, pixels: int) -> Tensor:
    """Return the matrix `[H/4, n]` that moves, smooths and samples one axis.

    Row m is phi around 4 m - `pixels`, so that its product with an axis is (moved axis * phi) at 4 m.

    Args:
        side: H, pixels of the image.
        resolution: n, samples of the padded axis.
        pixels: how far the image moves towards larger coordinates.

    >>> sampling(28, 36, 0).sum(dim=1)  # smoothing keeps a constant
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    """
    bank = filters(side)
    step = bank.fine.shape[-1] // resolution  # pixels from one sample to the next
    frequency = torch.fft.fftfreq(resolution, dtype=torch.float64)
    moved = bank.low[resolution] * torch.exp(-2j * torch.pi * frequency * pixels / step)
    kernel = torch.fft.ifft(moved).real
    centres = torch.arange(0, resolution, STRIDE // step)
    rows = kernel[(centres.unsqueeze(1) - torch.arange(resolution)) % resolution]
    inner: Tensor = rows[bank.padding // STRIDE : -bank.padding // STRIDE]
    return inner.float()
