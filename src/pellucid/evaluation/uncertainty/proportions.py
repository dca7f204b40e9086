"""Intervals of shares such as sensitivity: of independent images, or of patients with several.

Wilson's interval where images are independent. Where patients have several, the same interval with
the effective number of images that the patients' spread leaves, made smaller still where there are
few patients (Korn and Graubard). A share of 0 or 1 has no spread to learn from: there each patient
counts once, and the interval is the exact one.
Sources: Wilson 1927; Clopper and Pearson 1934; Korn and Graubard 1998; Cochran 1977, 6.3, for the
variance of a ratio; Kish 1965 for patients with unequal numbers of images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.uncertainty.distributions import (
    beta_quantile,
    normal_quantile,
    student_quantile,
)

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share among n independent images; n need not be whole.

    >>> wilson(0.8, 10)
    (0.4901624715366418, 0.9433178485456248)
    """
    z = float(normal_quantile(0.5 + confidence / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def clopper_pearson(hits: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of `hits` among n independent images: never too narrow, often too wide.

    >>> clopper_pearson(10, 10)
    (0.6915028921812392, 1.0)
    """
    tail = (1 - confidence) / 2
    low = beta_quantile(tail, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta_quantile(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return low, high


def kish_size(sizes: Numbers) -> float:
    """How many equally large patients weigh as much as these with `sizes` (J,) images each.

    >>> kish_size(np.array([3, 3, 3])), kish_size(np.array([7, 1, 1]))
    (3.0, 1.588235294117647)
    """
    images = np.asarray(sizes, dtype=np.float64)
    squares = float((images**2).sum())
    return float(images.sum() ** 2 / squares) if squares > 0 else 0.0


def effective_size(
    hits: Numbers, sizes: Numbers, confidence: float = 0.95, *, across_classes: bool = False
) -> float:
    """How many independent images these patients are worth, for the share of their hits.

    `hits` (J,) of `sizes` (J,) images of J patients, the share neither 0 nor 1. At most the number
    of images; NaN where one patient is all there is. With `across_classes` hits and misses are
    those of patients of different classes, as for predictive values: then chance is known no better
    than from the patients of the scarcer outcome, and they give the degrees of freedom.
    """
    hits, sizes = np.asarray(hits, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    n, patients = float(sizes.sum()), kish_size(sizes)
    if (sizes == 1).all():
        return n
    if patients < 1 + 1e-9:
        return float("nan")
    share = hits.sum() / n
    spread = float(((hits - share * sizes) ** 2).sum()) * len(sizes) / (len(sizes) - 1) / n**2
    size = min(share * (1 - share) / spread, n) if spread > 0 else n
    degrees = patients - 1
    if across_classes:
        scarcer = min(kish_size(hits), kish_size(sizes - hits))
        degrees = min(degrees, max(scarcer, 2.0))
    tail = 0.5 + confidence / 2
    return size * (student_quantile(tail, n - 1) / student_quantile(tail, degrees)) ** 2


def share_interval(
    hits: Numbers, sizes: Numbers, confidence: float = 0.95, *, across_classes: bool = False
) -> tuple[float, float, str]:
    """The interval of a share and how it was found, from `hits` (J,) of `sizes` (J,) images.

    Every patient has at least one image in `sizes`; `across_classes` as in `effective_size`. NaN
    where all images are of one patient and the share is neither 0 nor 1.
    """
    n_patients, n = len(sizes), float(np.sum(sizes))
    share = float(np.sum(hits)) / n
    if share in (0.0, 1.0):
        exact = clopper_pearson(share * n_patients, n_patients, confidence)
        return *exact, f"Clopper-Pearson over {n_patients} patients"
    size = effective_size(hits, sizes, confidence, across_classes=across_classes)
    if math.isnan(size):
        return math.nan, math.nan, "all images are of one patient"
    low, high = wilson(share, size, confidence)
    if n == n_patients:
        return low, high, f"Wilson, {n_patients} independent patients"
    worth = f"{n:.0f} images of {n_patients} patients worth {size:.1f} independent ones"
    return low, high, f"Wilson, clustered by patient (Korn and Graubard 1998), {worth}"
