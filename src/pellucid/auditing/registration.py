"""Laying one picture over another, and how alike they then are: the test that a copy must pass.

Two pictures of the same anatomy share their shapes, a copy shares its noise, its speckle and its
texture as well, whatever was done to size, brightness or compression. So candidates are registered
(a crop is a scale and a shift along each axis) and then compared block by block in fine structure
alone. Knows arrays of grey views; it does not know files, patients or classes.

Sources: Lucas and Kanade, "An iterative image registration technique" (IJCAI 1981), coarse to fine
with weights against outliers; local contrast normalisation after Jarrett et al. (ICCV 2009).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from pellucid.images.describing import Floats, area_means

MOST = 0.16  # of the half side: a crop of 6 % on both sides scales by 1 / 0.88
_NOISE_FLOOR = 4.0  # grey levels; flatter places are left flat instead of blown up
_STEPS = {16: 6, 32: 4, 64: 3}  # side in pixels, steps of descent
_BLOCKS = 8  # along each side
_TEXTURED = 0.25  # deviation after normalisation; a block below it is flat and says nothing
_LEAST_BLOCKS = 8


def normalise(views: npt.NDArray[np.generic], sigma: float) -> Floats:
    """Local mean 0 and deviation 1 of views (n, row, column), within `sigma` pixels.

    A change of brightness, contrast or gamma is gone afterwards, since it is locally linear.
    """
    grey = views.astype(np.float32)
    difference = grey - _blurred(grey, sigma)
    spread = np.sqrt(_blurred(difference * difference, sigma) + np.float32(_NOISE_FLOOR**2))
    return np.asarray(difference / spread, dtype=np.float32)


def register(first: Floats, second: Floats, warp: Floats | None = None) -> Floats:
    """Scale and shift along x and y, (n, 4), that lay each `second` over its `first`.

    Normalised pictures (n, side, side); a crop of up to 6 % a side is found, coarse to fine.
    """
    side = first.shape[-1]
    sides = [size for size in _STEPS if size <= side and (warp is None or size == side)]
    warp = np.zeros((len(first), 4), np.float32) if warp is None else warp
    for size in sides:
        fixed, moving = area_means(first, side // size), area_means(second, side // size)
        for _ in range(_STEPS[size]):
            warp = _descend(fixed, moving, warp)
    return warp


def _descend(fixed: Floats, moving: Floats, warp: Floats) -> Floats:
    """One step of Lucas and Kanade, in which a pixel that differs much (a marker) weighs little."""
    moved, inside = warped(moving, warp)
    n, height, width = fixed.shape
    across = np.linspace(-1, 1, width, dtype=np.float32)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis]
    slope_x = np.gradient(moved, axis=2) * np.float32((width - 1) / 2)
    slope_y = np.gradient(moved, axis=1) * np.float32((height - 1) / 2)
    error = fixed - moved
    weight = (inside / (1 + error * error)).reshape(n, -1, 1)
    slopes = np.stack([slope_x * across, slope_x, slope_y * down, slope_y], axis=-1)
    slopes = slopes.reshape(n, -1, 4)
    weighted = (slopes * weight).transpose(0, 2, 1)
    curvature = weighted @ slopes + np.float32(1e-3) * np.eye(4, dtype=np.float32)
    step = np.linalg.solve(curvature, weighted @ error.reshape(n, -1, 1))[..., 0]
    return np.asarray(np.clip(warp + step, -MOST, MOST), dtype=np.float32)


def warped(moving: Floats, warp: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The moved pictures, bilinear, and where they are defined; an axis at a time."""
    rows, row_part, row_inside = _places(warp[:, 2], warp[:, 3], moving.shape[1])
    columns, column_part, column_inside = _places(warp[:, 0], warp[:, 1], moving.shape[2])
    rows, row_part = rows[:, :, np.newaxis], row_part[:, :, np.newaxis]
    columns, column_part = columns[:, np.newaxis], column_part[:, np.newaxis]
    half = np.take_along_axis(moving, rows, 1) * (1 - row_part)
    half += np.take_along_axis(moving, rows + 1, 1) * row_part
    whole = np.take_along_axis(half, columns, 2) * (1 - column_part)
    whole += np.take_along_axis(half, columns + 1, 2) * column_part
    return whole, row_inside[:, :, np.newaxis] & column_inside[:, np.newaxis]


def _places(
    scale: Floats, shift: Floats, length: int
) -> tuple[npt.NDArray[np.intp], Floats, npt.NDArray[np.bool_]]:
    """Where each pixel along an axis comes from: whole part, fraction, and whether it exists."""
    grid = np.linspace(-1, 1, length, dtype=np.float32)
    place = ((1 + scale[:, np.newaxis]) * grid + shift[:, np.newaxis] + 1) * ((length - 1) / 2)
    inside = (place >= 0) & (place <= length - 1)
    place = np.clip(place, 0, length - 1.001)
    whole = place.astype(np.intp)
    return whole, np.asarray(place - whole, dtype=np.float32), inside


def similarity(first: Floats, second: Floats, warp: Floats) -> Floats:
    """How alike registered pictures are, (n,) from -1 to 1: 1 for a copy, near 0 for strangers.

    The median over textured blocks of their correlation in fine structure; the median, so that a
    marker or a line of text in some blocks changes nothing. Pairs with fewer than 8 textured blocks
    are -1: there is nothing to tell them by.
    """
    moved, inside = warped(second, warp)
    a, b = _block(_fine(first)), _block(_fine(moved))
    whole = _block(inside.astype(np.float32)).min(axis=-1) > 0
    a -= a.mean(axis=-1, keepdims=True)
    b -= b.mean(axis=-1, keepdims=True)
    spread_a, spread_b = a.std(axis=-1), b.std(axis=-1)
    correlation = (a * b).mean(axis=-1) / np.maximum(spread_a * spread_b, 1e-6)
    told = whole & (spread_a > _TEXTURED) & (spread_b > _TEXTURED)
    correlation[~told] = np.nan
    enough = told.sum(axis=1) >= _LEAST_BLOCKS
    found = np.full(len(a), -1, dtype=np.float32)
    found[enough] = np.nanmedian(correlation[enough], axis=1)
    return found


def _fine(views: Floats) -> Floats:
    """Structure of about 2 pixels, at one strength everywhere; views are normalised already."""
    difference = views - _blurred(views, 2.0)
    spread = np.sqrt(_blurred(difference * difference, 2.0) + np.float32(0.05**2))
    return np.asarray(difference / spread, dtype=np.float32)


def _block(views: Floats) -> Floats:
    """(n, side, side) as (n, blocks, pixels of a block)."""
    n, side, _ = views.shape
    edge = side // _BLOCKS
    blocks = views.reshape(n, _BLOCKS, edge, _BLOCKS, edge).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(n, _BLOCKS * _BLOCKS, edge * edge)


def _blurred(views: Floats, sigma: float) -> Floats:
    down = gaussian_filter1d(views, sigma, axis=-2, mode="nearest", truncate=3.0)
    return np.asarray(gaussian_filter1d(down, sigma, axis=-1, mode="nearest", truncate=3.0))
