"""Features of grey levels: moments, percentiles, entropy, histogram, and where it is bright.

All but the zones ignore where a pixel stands. Sources: Gonzalez and Woods, "Digital Image
Processing", 11.3 (moments, entropy of the histogram); Shannon 1948.
"""

from __future__ import annotations

import numpy as np

from pellucid.classical.pictures import Bytes, Features, Floats

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
BINS = 16  # of 16 grey levels each
ZONES = 4  # on each side


def intensity(pictures: Bytes) -> Features:
    """`intensity.…` of uint8 (m, row, column).

    Mean, deviation and percentiles are in grey levels, 0 to 255; skewness and excess kurtosis are 0
    for a constant picture; entropy is in bits of the 256 levels; the histogram is in shares.
    """
    flat = pictures.reshape(len(pictures), -1)
    shares = _histogram(flat)
    features = _moments(shares)
    for percent, values in zip(PERCENTILES, np.percentile(flat, PERCENTILES, axis=1), strict=True):
        features[f"intensity.percentile.{percent:02d}"] = values
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    features["intensity.level.entropy"] = -(shares * logs).sum(axis=1)
    for number, share in enumerate(shares.reshape(len(flat), BINS, -1).sum(axis=2).T):
        features[f"intensity.histogram.bin{number:02d}"] = share
    return features | _zones(pictures)


def _histogram(flat: Bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The share (m, 256) of each grey level."""
    m, n = flat.shape
    places = flat + 256 * np.arange(m)[:, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=256 * m)
    return np.asarray(counts.reshape(m, 256) / n)


def _moments(shares: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Features:
    levels = np.arange(256.0)
    mean = shares @ levels
    away = levels - mean[:, np.newaxis]
    second, third, fourth = ((shares * away**power).sum(axis=1) for power in (2, 3, 4))
    varied = second > 0
    one = np.where(varied, second, 1.0)
    return {
        "intensity.level.mean": mean,
        "intensity.level.deviation": np.sqrt(second),
        "intensity.level.skewness": np.where(varied, third / one**1.5, 0.0),
        "intensity.level.kurtosis": np.where(varied, fourth / one**2 - 3, 0.0),
    }


def _zones(pictures: Bytes) -> Features:
    """Mean and deviation of each zone of a grid of 4 × 4: coarsely, what is bright where."""
    m, height, width = pictures.shape
    rows, columns = height // ZONES, width // ZONES
    cut: Floats = pictures[:, : ZONES * rows, : ZONES * columns].astype(np.float32)
    blocks = cut.reshape(m, ZONES, rows, ZONES, columns)
    measures = {"mean": blocks.mean(axis=(2, 4)), "deviation": blocks.std(axis=(2, 4))}
    return {
        f"intensity.zone.{what}.r{row}c{column}": values[:, row, column]
        for what, values in measures.items()
        for row in range(ZONES)
        for column in range(ZONES)
    }
