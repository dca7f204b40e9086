"""What all phantoms are drawn with: a canvas, smooth random fields and curves, speckle, exposure.

Coordinates run over the picture from 0 to 1, rows downwards, so that one patient looks alike at
every image size. Knows nothing of anatomy, classes or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Field = NDArray[np.floating[Any]]  # single precision where speed asks for it
Mask = NDArray[np.bool_]

FINEST = 128  # smaller pictures are drawn at this size or above and averaged down


@dataclass(frozen=True)
class Canvas:
    """The grid to draw on: `size` pixels a side, reaching `margin` beyond the picture."""

    size: int
    difficulty: float = 0.5
    margin: float = 0.0

    @cached_property
    def x(self) -> Field:
        """Column positions, shape (1, size)."""
        return self.y.T

    @cached_property
    def y(self) -> Field:
        """Row positions, shape (size, 1)."""
        centres = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size
        return np.asarray(centres * (1 + 2 * self.margin) - self.margin)[:, None]

    def dial(self, easy: float, hard: float) -> float:
        """The value between `easy` and `hard` that the difficulty stands for."""
        return easy + (hard - easy) * self.difficulty

    def fade(self, easy: float, hard: float) -> float:
        """The same for strengths above 0, by equal ratios: half way lies well below the mean."""
        return float(easy * (hard / easy) ** self.difficulty)


def drawing_size(image_size: int) -> int:
    """The side to draw at: a whole multiple of `image_size`, at least `FINEST`."""
    return image_size * -(-FINEST // image_size)


def average_down(picture: Field, image_size: int) -> Field:
    """The means of square blocks, which is what a coarser detector would see."""
    factor = picture.shape[0] // image_size
    if factor == 1:
        return picture
    blocks = picture.reshape(image_size, factor, image_size, factor)
    return np.asarray(blocks.mean(axis=(1, 3)))


def ramp(values: Field, width: float) -> Field:
    """A smooth step from 0 to 1, `width` wide, rising through 0.5 where `values` is 0."""
    t = np.clip(values * np.float32(1 / width) + np.float32(0.5), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def bump(values: Field) -> Field:
    """A bell of height 1 and half-width 1, zero outside (a biweight: cheaper than a Gaussian)."""
    t = np.maximum(1 - values * values, 0)
    return np.asarray(t * t)


def smooth_curve(generator: np.random.Generator, canvas: Canvas, scale: float) -> Field:
    """A random periodic function of the column, shape (size,), about unit variance."""
    n_waves = max(2, int(np.ceil(0.45 / scale)))
    frequency = np.arange(1, n_waves + 1)
    weight = np.exp(-2 * (np.pi * frequency * scale) ** 2)
    weights = weight / np.sqrt((weight**2).sum()) * generator.standard_normal((2, n_waves))
    angle = 2 * np.pi * canvas.x[0, :, None] * frequency
    return np.asarray(np.cos(angle) @ weights[0] + np.sin(angle) @ weights[1], dtype=np.float32)


def smooth_fields(
    generator: np.random.Generator, canvas: Canvas, scale_y: float, scale_x: float
) -> tuple[Field, Field]:
    """Two independent random pictures of unit variance with features of the given scales.

    White noise in the frequency domain under a Gaussian; only frequencies that matter are drawn,
    so a coarse field is the same at every canvas size. The fields wrap round at the borders.
    """
    gain = _spectrum(canvas.size, scale_y, scale_x)
    white = generator.standard_normal((2, *gain.shape), dtype=np.float32)
    spectrum = np.zeros((canvas.size, canvas.size), dtype=np.complex64)
    rows, columns = (_frequencies(n) for n in gain.shape)
    spectrum[np.ix_(rows, columns)] = gain * (white[0] + 1j * white[1])
    field = fft.ifft2(spectrum, norm="forward", overwrite_x=True)
    return field.real, field.imag


def speckle(
    generator: np.random.Generator, canvas: Canvas, scale_y: float, scale_x: float
) -> Field:
    """Fully developed speckle: the intensity, of mean 1, of a random complex field.

    Its square root is Rayleigh-distributed (Goodman, Speckle Phenomena in Optics, chapter 3). The
    scales are the axial and the lateral resolution.
    """
    real, imaginary = smooth_fields(generator, canvas, scale_y, scale_x)
    return np.asarray((real * real + imaginary * imaginary) * np.float32(0.5))


def expose(picture: Field, mean: float) -> Field:
    """Add the one value that gives the picture, clipped to [0, 1], the wanted mean.

    Each image's mean is drawn without regard to its class, so that it tells nothing of the class.
    """
    step = max(1, picture.shape[0] // 64)
    sample = picture[::step, ::step].ravel()
    offset = mean - float(sample.mean())
    for _ in range(4):  # Newton's rule: the slope is the share of pixels that are not clipped
        moved = sample + np.float32(offset)
        clipped = np.clip(moved, 0, 1)
        slope = max(float(np.count_nonzero(clipped == moved)) / sample.size, 0.2)
        offset += (mean - float(clipped.mean())) / slope
    return np.asarray(np.clip(picture + np.float32(offset), 0, 1))


def _frequencies(n: int) -> NDArray[np.int64]:
    """The rows of the spectrum for -(n-1)/2 ... (n-1)/2; negative ones count from the end."""
    return np.arange(n) - n // 2


@lru_cache(maxsize=64)
def _spectrum(size: int, scale_y: float, scale_x: float) -> Field:
    """The Gaussian gain over the frequencies that matter, scaled for unit variance."""
    profiles = []
    for scale in (scale_y, scale_x):
        highest = min(size // 2 - 1, int(np.ceil(0.45 / scale)))
        frequency = np.arange(-highest, highest + 1)
        profiles.append(np.exp(-2 * (np.pi * frequency * scale) ** 2))
    gain = np.outer(*profiles)
    return np.asarray(gain / np.sqrt((gain**2).sum()), dtype=np.float32)
