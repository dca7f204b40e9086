"""Features of shape: the largest bright regions above Otsu's threshold.

What counts as a region is a computer's guess, not an organ or a lesion. Sources: Otsu, "A threshold
selection method from gray-level histograms" (1979); Hu, "Visual pattern recognition by moment
invariants" (1962). Computed by scikit-image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.classical.pictures import Bytes, Features

REGIONS = 3  # the largest
SMALLEST_SHARE = 0.005  # of the picture; a smaller region is noise
HU_SCALE = 1e8  # the seventh of Hu's moments is about this small
_MEASURES = ("area", "eccentricity", "solidity", "extent")
NAMES = (
    "shape.bright.threshold",
    "shape.bright.share",
    "shape.bright.regions",
    *(f"shape.region.{what}.n{number}" for number in range(1, REGIONS + 1) for what in _MEASURES),
    *(f"shape.hu.{number}" for number in range(1, 8)),
)


def shape(pictures: Bytes) -> Features:
    """`shape.…` of uint8 (m, row, column).

    `threshold` is Otsu's in grey levels, `share` that of the pixels above it, `regions` how many
    regions take at least 0.5 % of the picture, areas are shares of the picture. Hu's moments are of
    the largest region, on a logarithmic scale. A region that is not there has zeros.
    """
    values = np.array([_describe(one) for one in pictures]).reshape(len(pictures), len(NAMES))
    return dict(zip(NAMES, values.T, strict=True))


def _describe(picture: Bytes) -> list[float]:
    from skimage.filters import threshold_otsu
    from skimage.measure import label, regionprops

    threshold = float(threshold_otsu(picture))  # type: ignore[no-untyped-call]
    bright = picture > threshold
    numbered = label(bright, connectivity=2)  # type: ignore[no-untyped-call]
    areas = np.bincount(numbered.ravel())[1:]
    large = np.flatnonzero(areas >= max(1, SMALLEST_SHARE * picture.size))
    chosen = large[np.argsort(-areas[large], kind="stable")][:REGIONS]
    places = np.zeros(len(areas) + 1, dtype=np.int64)
    places[chosen + 1] = np.arange(1, len(chosen) + 1)
    regions = regionprops(places[numbered])  # type: ignore[no-untyped-call]
    measured = [_measure(region, picture.size) for region in regions]
    measured += [[0.0] * len(_MEASURES)] * (REGIONS - len(regions))
    hu = _log_scale(regions[0].moments_hu) if regions else np.zeros(7)
    first = [threshold, float(bright.mean()), float(len(large))]
    return [*first, *(value for one in measured for value in one), *hu.tolist()]


def _measure(region: Any, n_pixels: int) -> list[float]:
    return [region.area / n_pixels, region.eccentricity, region.solidity, region.extent]


def _log_scale(moments: Any) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Moments of many magnitudes on one scale that keeps the sign and passes smoothly through 0."""
    values = np.asarray(moments, dtype=np.float64)
    return np.sign(values) * np.log10(1 + HU_SCALE * np.abs(values))
