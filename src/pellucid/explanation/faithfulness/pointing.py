"""Maps against lesions whose place is known: the pointing game, and the overlap with the mask.

Pointing (Zhang et al. 2018): a hit where the map's maximum lies in the mask, or within a tolerance
of it. What pointing at random and always pointing at the centre would hit stands beside it, under
the same tolerance. Knows maps and masks; it knows no network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from pellucid.errors import UsageError
from pellucid.images.preprocessing import Preprocessing, preprocess

TOLERANCE = 0.03  # of the image's side; Zhang et al. allow 15 pixels in photographs of about 500

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]


def default_tolerance(image_size: int) -> int:
    """The tolerance in pixels for images of that side.

    >>> default_tolerance(64), default_tolerance(224)
    (2, 7)
    """
    return round(TOLERANCE * image_size)


def place_mask(pixels: npt.NDArray[Any], preprocessing: Preprocessing) -> Masks:
    """A mask file's pixels, float (channel, row, column), as the network's input sees it (S, S).

    Above 0 is lesion. A pixel of the result is lesion where at least half of it is; of a lesion
    too small for that, where any of it is.
    """
    grey = preprocessing.model_copy(update={"channels": 1, "mean": (0.5,), "std": (0.25,)})
    covered = preprocess((np.asarray(pixels) > 0).max(axis=0, keepdims=True), grey)[0]
    half = covered >= 128
    return np.asarray(half if half.any() else covered > 0)


def pointing_game(maps: npt.NDArray[Any], masks: Masks, tolerance: int = 0) -> Floats:
    """Whether each map's (n, S, S) maximum lies within `tolerance` pixels of its mask: (n,).

    Where several pixels share the maximum it is the share of them that does, which is what one of
    them drawn at random would give; a map that is the same everywhere scores as pointing at random.
    NaN where the mask is empty.
    """
    maps, masks = _check(maps, masks)
    grown = grow(masks, tolerance)
    is_top = maps == maps.max(axis=(1, 2), keepdims=True)
    hits = (is_top & grown).sum(axis=(1, 2)) / is_top.sum(axis=(1, 2))
    return _of_lesions(hits, masks)


def point_at_random(masks: Masks, tolerance: int = 0) -> Floats:
    """How often (n,) a random pixel would be a hit: the share of the mask with its tolerance."""
    return _of_lesions(grow(masks, tolerance).mean(axis=(1, 2)), masks)


def point_at_centre(masks: Masks, tolerance: int = 0) -> Floats:
    """Whether (n,) the centre of the image would be a hit; of an even side its four pixels."""
    size = masks.shape[-1]
    rows = np.abs(np.arange(size) - (size - 1) / 2)
    heat = -np.maximum(rows[:, None], rows[None])
    return pointing_game(np.broadcast_to(heat, masks.shape), masks, tolerance)


def mask_shares(masks: Masks) -> Floats:
    """The share (n,) of the image that the mask covers; NaN where it is empty."""
    return _of_lesions(masks.mean(axis=(1, 2)), masks)


def overlap_iou(maps: npt.NDArray[Any], masks: Masks) -> Floats:
    """Intersection over union (n,) of the mask and the map's k highest pixels, k its area.

    Of pixels that share the k-th value an equal part of each is taken. NaN where the mask is empty.
    """
    maps, masks = _check(maps, masks)
    return np.array([_iou(heat, mask) for heat, mask in zip(maps, masks, strict=True)])


def overlap_energy(maps: npt.NDArray[Any], masks: Masks) -> Floats:
    """The share (n,) of the map's values above 0 that lies in the mask (Wang et al. 2020).

    A map without a value above 0 says nothing: it gets the mask's share of the image, as one that
    is the same everywhere does. NaN where the mask is empty.
    """
    maps, masks = _check(maps, masks)
    positive = np.maximum(maps, 0)
    total = positive.sum(axis=(1, 2))
    inside = (positive * masks).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return _of_lesions(np.where(total > 0, inside, masks.mean(axis=(1, 2))), masks)


def grow(masks: Masks, tolerance: int) -> Masks:
    """The masks (n, S, S) with every pixel at most `tolerance` pixels away; empty stays empty."""
    if tolerance < 0:
        raise UsageError("A tolerance is at least 0 pixels", str(tolerance))
    if tolerance == 0:
        return masks
    grown = [distance_transform_edt(~mask) <= tolerance if mask.any() else mask for mask in masks]
    return np.array(grown, dtype=bool)


def _iou(heat: Floats, mask: Masks) -> float:
    area = int(mask.sum())
    if not area:
        return float("nan")
    kth = np.partition(heat, heat.size - area, axis=None)[heat.size - area]
    above, equal = heat > kth, heat == kth
    part = (area - above.sum()) / equal.sum()
    shared = float((above & mask).sum() + part * (equal & mask).sum())
    return shared / (2 * area - shared)


def _of_lesions(values: npt.NDArray[Any], masks: Masks) -> Floats:
    return np.where(masks.any(axis=(1, 2)), values, np.nan)


def _check(maps: npt.NDArray[Any], masks: Masks) -> tuple[Floats, Masks]:
    if np.ndim(maps) != 3 or np.shape(maps) != np.shape(masks) or masks.dtype != np.bool_:
        rule = "Maps are (n, S, S), with masks of the same shape and of type bool"
        raise UsageError(rule, f"{np.shape(maps)} and {np.shape(masks)} of {masks.dtype}")
    if not np.isfinite(maps).all():
        raise UsageError("A map holds finite numbers", "NaN or infinite")
    return np.asarray(maps, dtype=np.float64), masks
