"""Ratios whose denominator may be zero: they are then undefined, which is NaN in every array.

A zero denominator says that nobody was there to count, so neither 0 nor 1 nor infinity is put in
its place; whoever writes the figure down gives the reason.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def ratio(top: Floats, bottom: Floats) -> Floats:
    """Top / bottom, elementwise; NaN, without a warning, where the bottom is zero or NaN.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    there = bottom > 0
    return np.where(there, top / np.where(there, bottom, 1.0), np.nan)
