"""DeLong's variance of AUROCs and the paired test of two of them, also by patient.

AUROC is the mean of placement values: of a positive image, the share of negative images that score
lower (ties count half), and of a negative image the share of positives that score higher. Their
spread gives the variance. Where a patient has several images, or images of both classes, placement
values are summed by patient first; with one image a patient the two are the same.
Sources: DeLong, DeLong and Clarke-Pearson 1988; Sun and Xu 2014 for midranks in n log n; Obuchowski
1997 for patients with several images; Pepe 2003, 5.2.5, for the interval on the logit scale;
Newcombe 2006 (part 2, method 5) for the interval where hardly a pair is misranked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from pellucid.evaluation.uncertainty.distributions import (
    normal_quantile,
    normal_share,
    student_quantile,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class PairedDelong(NamedTuple):
    """The second AUROC minus the first, its interval, and the test that both are equal."""

    difference: float
    low: float
    high: float
    z: float
    p: float


def auroc_delong(
    scores: Floats, is_class: Bools, clusters: npt.NDArray[Any] | None = None
) -> tuple[float, float]:
    """AUROC and its variance, of scores (n,) and whether each image has the class (n,).

    `clusters` (n,) names the patient of each image; without it images are independent. Both are NaN
    where a class is absent; the variance is NaN where a class has but one patient.

    >>> value, variance = auroc_delong(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]) > 0)
    >>> value, variance
    (0.75, 0.125)
    """
    values, covariance = delong_covariance(np.atleast_2d(scores), is_class, clusters)
    return float(values[0]), float(covariance[0, 0])


def delong_covariance(
    scores_by_model: Floats, is_class: Bools, clusters: npt.NDArray[Any] | None = None
) -> tuple[Floats, Floats]:
    """AUROCs (M,) and their covariance (M, M), of M models' scores (M, n) for the same images.

    `is_class` (n,) and `clusters` (n,) as in `auroc_delong`, and so is what is undefined.
    """
    scores = np.asarray(scores_by_model, dtype=np.float64)
    is_class = np.asarray(is_class, dtype=bool)
    n_models, n = scores.shape
    if not is_class.any() or is_class.all():
        return np.full(n_models, np.nan), np.full((n_models, n_models), np.nan)
    placements = placement_values(scores, is_class)
    values = placements[:, is_class].mean(axis=1)
    patient = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    residuals = (placements - values[:, None]) / np.where(
        is_class, is_class.sum(), (~is_class).sum()
    )
    return values, _covariance(residuals, is_class, patient.reshape(-1))


def placement_values(scores: Floats, is_class: Bools) -> Floats:
    """Of each image (M, n), the share of the other class's images that it is rightly placed to.

    `scores` (M, n), `is_class` (n,). Source: Sun and Xu 2014, by three midrank passes.
    """
    placements = np.empty(scores.shape)
    among_all = _midranks(scores)
    for inside, rightly in ((is_class, 1.0), (~is_class, -1.0)):
        among_own = _midranks(scores[:, inside])
        below = (among_all[:, inside] - among_own) / (~inside).sum()
        placements[:, inside] = below if rightly > 0 else 1.0 - below
    return placements


def _midranks(scores: Floats) -> Floats:
    """The rank of each score (M, n) in its row, from 1; equal scores share the mean of theirs."""
    ranks = np.empty(scores.shape)
    for row, values in zip(ranks, scores, strict=True):
        order = np.argsort(values)
        ranked = values[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        ends = np.r_[starts[1:], len(ranked)]
        row[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return ranks


def _covariance(residuals: Floats, is_class: Bools, patient: Ints) -> Floats:
    """Obuchowski 1997, equations 3 to 5: spread of patients' sums in each class and across them."""
    n_patients = int(patient.max()) + 1
    positive = _sums(np.where(is_class, residuals, 0.0), patient, n_patients)
    negative = _sums(np.where(is_class, 0.0, residuals), patient, n_patients)
    across = positive @ negative.T
    return np.asarray(
        _unbiased(len(np.unique(patient[is_class]))) * positive @ positive.T
        + _unbiased(len(np.unique(patient[~is_class]))) * negative @ negative.T
        + _unbiased(n_patients) * (across + across.T)
    )


def _sums(values: Floats, patient: Ints, n_patients: int) -> Floats:
    return np.stack([np.bincount(patient, weights=row, minlength=n_patients) for row in values])


def _unbiased(n: int) -> float:
    return n / (n - 1) if n > 1 else float("nan")


def logit_interval(
    value: float, variance: float, degrees: float = np.inf, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of an area or share in (0, 1), symmetric on the logit scale.

    `degrees` of freedom of the variance choose Student's t. NaN where the variance is NaN or zero,
    or the value 0 or 1.
    """
    if not (variance > 0 and 0 < value < 1 and degrees > 0):
        return float("nan"), float("nan")
    quantile = student_quantile(0.5 + confidence / 2, degrees)
    reach = quantile * np.sqrt(variance) / (value * (1 - value))
    return float(expit(logit(value) - reach)), float(expit(logit(value) + reach))


def newcombe_interval(
    value: float, n_positive: float, n_negative: float, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of an AUROC that is (nearly) 1, where placement values hardly vary.

    All areas from which `value` is no surprise, under the variance that exponential scores have at
    each (Hanley and McNeil 1982). `n_positive` and `n_negative` are independent patients.

    >>> newcombe_interval(1.0, 20, 20)
    (0.8986681357635511, 1.0)
    """
    from scipy.optimize import brentq  # seldom needed, and slow to load

    z = float(normal_quantile(0.5 + confidence / 2))
    middle = (n_positive + n_negative) / 2 - 1

    def surprise(area: float) -> float:
        inner = 1 + middle * (1 - area) / (2 - area) + middle * area / (1 + area)
        return (value - area) ** 2 - z * z * area * (1 - area) * inner / (n_positive * n_negative)

    inside = min(max(value, 1e-12), 1 - 1e-12)  # at 0 and 1 themselves nothing varies
    low = float(brentq(surprise, 0.0, inside)) if value > 0 else 0.0
    return low, float(brentq(surprise, inside, 1.0)) if value < 1 else 1.0


def paired_delong(
    first: Floats,
    second: Floats,
    is_class: Bools,
    clusters: npt.NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> PairedDelong:
    """Two models' scores (n,) for the same images: second AUROC minus first, interval, z and p.

    `is_class` (n,) and `clusters` (n,) as in `auroc_delong`. Models that rank alike differ by 0
    with p = 1. Where the variance is zero or undefined and they differ, bounds, z and p are NaN.
    """
    values, covariance = delong_covariance(np.stack([first, second]), is_class, clusters)
    difference = float(values[1] - values[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if not variance > 1e-15:  # rounding leaves this much where it is zero
        if abs(difference) < 1e-12 and not np.isnan(variance):
            return PairedDelong(0.0, 0.0, 0.0, 0.0, 1.0)
        return PairedDelong(difference, *(float("nan"),) * 4)
    error = float(np.sqrt(variance))
    z = difference / error
    reach = float(normal_quantile(0.5 + confidence / 2)) * error
    return PairedDelong(
        difference, difference - reach, difference + reach, z, float(2 * normal_share(-abs(z)))
    )
