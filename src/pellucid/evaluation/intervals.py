"""Intervals by resampling patients, since images of one patient are not independent.

Percentile bootstrap: patients are drawn with replacement, within strata of the classes that their
images show, so that no class vanishes from a resample; a patient brings all of its images. A
resample is a row of weights, so that a metric is computed for hundreds of them at once.
Sources: Efron and Tibshirani 1993, ch. 13; Field and Welsh 2007 for clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Key = TypeVar("Key")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CELLS = 4_000_000  # weights held at once: 32 MB


@dataclass(frozen=True)
class Patients:
    """Which patient each image belongs to, and which stratum each patient.

    `of_image` (n,) and `stratum` (n_patients,) are codes from 0.
    """

    of_image: Ints
    stratum: Ints

    @property
    def n(self) -> int:
        """How many patients there are."""
        return len(self.stratum)


def group_patients(patient_ids: npt.NDArray[np.object_], codes: Ints, n_classes: int) -> Patients:
    """Patients of images with class codes (n,); a stratum is a set of classes seen together."""
    _, of_image = np.unique(patient_ids.astype(str), return_inverse=True)
    shows = np.zeros((of_image.max() + 1, n_classes), dtype=bool)
    shows[of_image, codes] = True
    _, stratum = np.unique(shows, axis=0, return_inverse=True)
    return Patients(of_image.astype(np.int64), stratum.reshape(-1).astype(np.int64))


def draw_weights(patients: Patients, n_resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of patient weights (b, n_patients): how often each patient is in each resample."""
    generator = np.random.default_rng(seed)
    block = max(1, min(n_resamples, _CELLS // max(len(patients.of_image), 1)))
    members = [np.flatnonzero(patients.stratum == s) for s in range(patients.stratum.max() + 1)]
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        weights = np.empty((size, patients.n))
        for inside in members:
            even = np.full(len(inside), 1 / len(inside))
            weights[:, inside] = generator.multinomial(len(inside), even, size=size)
        yield weights


def resample(
    statistic: Callable[[Floats], dict[Key, Floats]],
    patients: Patients,
    n_resamples: int,
    seed: int,
) -> dict[Key, Floats]:
    """Every named statistic over all resamples (n_resamples, …); it takes patient weights."""
    blocks = [statistic(weights) for weights in draw_weights(patients, n_resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def percentile_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The central interval of resampled values (n,); NaN when under nine in ten are defined."""
    defined = values[~np.isnan(values)]
    if len(defined) < 0.9 * len(values):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def extreme_interval(value: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of 0 or 1 among n independent patients.

    No resample of such a share differs from it, so resampling would claim certainty.
    Source: Clopper and Pearson 1934.

    >>> extreme_interval(1.0, 100)
    (0.9637833073548235, 1.0)
    """
    bound = ((1 - confidence) / 2) ** (1 / n)
    return (bound, 1.0) if value == 1.0 else (0.0, 1.0 - bound)
