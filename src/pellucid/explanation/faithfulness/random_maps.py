"""Random maps to compare with, and the order of pixels that a map gives.

Knows arrays; it knows no image and no network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

_TIES = 1 / 16  # of the side: how smooth the field is that orders pixels of equal value

Floats = npt.NDArray[np.float64]


def random_maps(heat: Floats, n: int, random: np.random.Generator) -> Floats:
    """Maps (n, S, S) with the power spectrum of `heat` (S, S), and so as smooth, but placed anew.

    The phases are those of white noise (Theiler et al. 1992, surrogate data).
    """
    amplitude = np.abs(np.fft.rfft2(heat - heat.mean()))
    noise = np.fft.rfft2(random.standard_normal((n, *heat.shape)))
    phases = noise / np.maximum(np.abs(noise), 1e-12)
    return np.asarray(np.fft.irfft2(amplitude * phases, s=heat.shape))


def rank_pixels(maps: Floats, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """The place of each pixel of maps (n, S, S) in the order from the highest value, from 0.

    Pixels of equal value are ordered by a smooth random field, not by their place in the image.
    """
    n, size = len(maps), maps.shape[-1]
    noise = random.standard_normal(maps.shape)
    sigma = size * _TIES
    ties = gaussian_filter(noise, (0, sigma, sigma), mode="wrap").reshape(n, -1)
    order = np.lexsort((ties, -maps.reshape(n, -1)), axis=1)
    return np.argsort(order, axis=1).reshape(maps.shape)
