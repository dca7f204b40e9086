"""Intervals by weighing patients anew, since images of one patient are not independent.

Bootstrap (percentile, BCa): patients are drawn with replacement; a patient brings all of its
images. Within strata of the classes that they show no class vanishes, but their shares stay fixed:
only for metrics that do not depend on the prevalence. Jackknife: patients are left out in turn, and
the spread of the metric, on a scale where it is nearly normal, gives the interval.
A weighing is a row of weights, so that a metric is computed for hundreds of them at once.
Sources: Efron and Tibshirani 1993, ch. 11, 13 and 14; Field and Welsh 2007 for clusters; Shao and
Tu 1995, 2.3, for leaving out groups; Tukey 1958 for the jackknife with Student's t.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from pellucid.evaluation.uncertainty.distributions import (
    normal_quantile,
    normal_share,
    student_quantile,
)

Key = TypeVar("Key")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CELLS = 4_000_000  # weights held at once: 32 MB
_FEW = 200  # patients of a stratum, whose draws are counted for several resamples together
MOST_LEFT_OUT = 1000  # with more patients, groups of them are left out

SCALES: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "logit": (logit, expit),  # shares and areas, in (0, 1)
    "log": (np.log, np.exp),  # ratios and losses, above 0
    "Fisher's z": (np.arctanh, np.tanh),  # correlations and kappas, in (-1, 1)
}
"""Scales on which metrics are nearly normal: there and back."""


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


def draw_weights(
    patients: Patients, n_resamples: int, seed: int, *, stratified: bool = True
) -> Iterator[Floats]:
    """Blocks of patient weights (b, n_patients): how often each patient is in each resample.

    Stratified, as many patients of each stratum are drawn as there are. Metrics that depend on the
    prevalence (PPV, F1, AUPRC, accuracy …) need `stratified=False`: with it their intervals are too
    narrow (benchmarks/coverage.py).
    """
    generator = np.random.default_rng(seed)
    stratum = patients.stratum if stratified else np.zeros_like(patients.stratum)
    members = [np.flatnonzero(stratum == s) for s in range(stratum.max() + 1)]
    for size in _blocks(n_resamples, patients):
        weights = np.empty((size, patients.n))
        for inside in members:
            drawn = generator.integers(len(inside), size=(size, len(inside)), dtype=np.uint32)
            if len(inside) <= _FEW:
                weights[:, inside] = _times_drawn(drawn)
                continue
            for row, patients_drawn in zip(weights, drawn, strict=True):
                row[inside] = np.bincount(patients_drawn, minlength=len(inside))
        yield weights


def _times_drawn(drawn: npt.NDArray[np.uint32]) -> Ints:
    """How often each of n members stands in each row (b, n) of draws with replacement.

    Rows are counted together, since a call costs as much as some thousand draws.
    """
    n_rows, n = drawn.shape
    together = 4 * _FEW // n
    places = drawn + n * (np.arange(n_rows, dtype=np.int64) % together)[:, None]
    parts = [places[first : first + together] for first in range(0, n_rows, together)]
    counts = [np.bincount(part.ravel(), minlength=part.size) for part in parts]
    return np.concatenate(counts).reshape(n_rows, n)


def _blocks(n_rows: int, patients: Patients) -> Iterator[int]:
    """Numbers of rows that add up to `n_rows`, each few enough to be held at once."""
    block = max(1, min(n_rows, _CELLS // max(len(patients.of_image), 1)))
    for start in range(0, n_rows, block):
        yield min(block, n_rows - start)


def resample(
    statistic: Callable[[Floats], dict[Key, Floats]],
    patients: Patients,
    n_resamples: int,
    seed: int,
    *,
    stratified: bool = True,
) -> dict[Key, Floats]:
    """Every named statistic over all resamples (n_resamples, …); it takes patient weights."""
    drawn = draw_weights(patients, n_resamples, seed, stratified=stratified)
    return _joined([statistic(weights) for weights in drawn])


def leave_out(
    statistic: Callable[[Floats], dict[Key, Floats]], patients: Patients
) -> dict[Key, Floats]:
    """Every named statistic (G, …) with each patient left out in turn.

    With more than `MOST_LEFT_OUT` patients that many groups of patients are left out, dealt at
    random (always alike), which is as good and takes the time of as many resamples.
    """
    n_groups = min(patients.n, MOST_LEFT_OUT)
    group = np.arange(patients.n) % n_groups
    if n_groups < patients.n:
        group = np.random.default_rng(0).permutation(group)
    parts, start = [], 0
    for size in _blocks(n_groups, patients):
        out = np.arange(start, start + size)
        parts.append(statistic((group != out[:, None]).astype(np.float64)))
        start += size
    return _joined(parts)


def _joined(parts: list[dict[Key, Floats]]) -> dict[Key, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The central interval of resampled values (n,); NaN when under nine in ten are defined."""
    defined = values[~np.isnan(values)]
    if len(defined) < 0.9 * len(values):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def bca_interval(
    values: Floats, plain: float, left_out: Floats, confidence: float = 0.95
) -> tuple[float, float]:
    """The bias-corrected and accelerated interval of resampled values (n,).

    `plain` is the metric itself and `left_out` (G,) are its values without each patient, for the
    acceleration. NaN as in `percentile_interval`. Source: Efron 1987.
    """
    defined = np.sort(values[~np.isnan(values)])
    if len(defined) < 0.9 * len(values) or np.isnan(left_out).any():
        return float("nan"), float("nan")
    n = len(defined)
    below = ((defined < plain).sum() + 0.5 * (defined == plain).sum()) / n
    bias = float(normal_quantile(np.clip(below, 0.5 / n, 1 - 0.5 / n)))
    pull = left_out.mean() - left_out
    total = float((pull**2).sum()) ** 1.5
    acceleration = float((pull**3).sum()) / (6 * total) if total > 0 else 0.0
    z = bias + normal_quantile([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(defined, normal_share(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def jackknife_interval(
    value: float, left_out: Floats, scale: str, degrees: float, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval from the spread of a metric without each patient (G,), by Student's t.

    `scale` is a key of `SCALES`, `degrees` the degrees of freedom. NaN where the metric, or the
    metric without one patient, lies at the end of its scale or is undefined, or nothing varies.
    """
    there, back = SCALES[scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, moved = there(np.array(value)), there(left_out)
    if not (np.isfinite(middle) and np.isfinite(moved).all() and degrees > 0):
        return float("nan"), float("nan")
    n = len(moved)
    error = np.sqrt((n - 1) / n * ((moved - moved.mean()) ** 2).sum())
    reach = student_quantile(0.5 + confidence / 2, degrees) * error
    if not reach > 0:
        return float("nan"), float("nan")
    return float(back(middle - reach)), float(back(middle + reach))


def extreme_interval(value: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of 0 or 1 among n independent patients.

    No resample of such a share differs from it, so resampling would claim certainty.
    Source: Clopper and Pearson 1934.

    >>> extreme_interval(1.0, 100)
    (0.9637833073548235, 1.0)
    """
    bound = ((1 - confidence) / 2) ** (1 / n)
    return (bound, 1.0) if value == 1.0 else (0.0, 1.0 - bound)
