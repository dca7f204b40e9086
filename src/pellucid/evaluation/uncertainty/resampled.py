"""What resampled patients say of a value: a figure with its interval, or a band along a curve.

Patients are drawn without strata wherever a value depends on how common the classes are: strata
would hold the prevalence still and make the interval too narrow. Values of images are summed by
patient first, so that a resample costs one product of matrices.
Source: Efron and Tibshirani 1993, ch. 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from pellucid.evaluation.uncertainty.intervals import (
    Patients,
    percentile_interval,
    resample,
)
from pellucid.evaluation.uncertainty.proportions import share_interval

CONFIDENCE = 0.95
MOST_GROUPS = 2000
BAND_RESAMPLES = 200  # a band is looked at, not quoted

Figure = dict[str, Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class PatientSums:
    """Values of images (n,), summed by patient and by a group of the image, from 0 to n_groups - 1.

    Called with patient weights (b, n_patients) it gives the weighted sums (b, n_groups). Held
    sparsely: a call costs b times the images, whatever the groups.
    """

    def __init__(self, patients: Patients, groups: Ints, n_groups: int, values: Floats) -> None:
        shape = (patients.n, n_groups)
        self._sums = scipy.sparse.csr_array((values, (patients.of_image, groups)), shape=shape)

    def __call__(self, weights: Floats) -> Floats:
        """The sums of these weightings."""
        return np.asarray(weights @ self._sums)


def group_scores(scores: Floats, n_groups: int = MOST_GROUPS) -> tuple[Floats, Ints]:
    """Scores (n,) as groups: the groups' mean scores (G,), ascending, and each image's group (n,).

    Equal scores stand in one group. Each distinct score has its own group up to `n_groups` of them;
    beyond that neighbours share one, so that resampling a curve costs the same for any n.
    """
    distinct, groups = np.unique(scores, return_inverse=True)
    if len(distinct) > n_groups:
        counts = np.bincount(groups)
        shared = (np.cumsum(counts) - counts) * n_groups // len(scores)
        _, relabelled = np.unique(shared, return_inverse=True)
        groups = relabelled[groups]
        distinct = np.bincount(groups, scores) / np.bincount(groups)
    return distinct, groups.astype(np.int64)


def sum_by(groups: Ints, values: npt.NDArray[Any] | None = None, n_groups: int = 0) -> Floats:
    """Values (n,), or ones, summed by group (n_groups,)."""
    return np.bincount(groups, values, minlength=n_groups).astype(np.float64)


def undefined(reason: str) -> Figure:
    """The figure of what has no value."""
    return {"value": None, "low": None, "high": None, "method": f"undefined: {reason}"}


def without_interval(value: float, reason: str) -> Figure:
    """The figure of a value whose interval is withheld."""
    return {"value": value, "low": None, "high": None, "method": f"no interval: {reason}"}


def resampled_figure(value: float, drawn: Floats, reason: str) -> Figure:
    """A value with the central interval of its resamples (n,); `reason` is why it would be NaN."""
    if math.isnan(value):
        return undefined(reason)
    low, high = percentile_interval(drawn, CONFIDENCE)
    if math.isnan(low):
        n = int(np.isnan(drawn).sum())
        return without_interval(value, f"undefined in {n} of {len(drawn)} resamples")
    if low == high:
        return without_interval(value, "every resample gave the same value")
    method = f"patient bootstrap, percentile, {len(drawn)} resamples"
    return {"value": value, "low": low, "high": high, "method": method}


def share_figure(hits: npt.NDArray[Any], owners: Ints, reason: str) -> Figure:
    """The share of images (n,) that are hits, with its interval; owners (n,) are their patients."""
    if not len(hits):
        return undefined(reason)
    _, patients = np.unique(owners, return_inverse=True)
    found, sizes = sum_by(patients, hits), sum_by(patients)
    return interval_figure(float(found.sum() / sizes.sum()), share_interval(found, sizes))


def interval_figure(value: float, interval: tuple[float, float, str]) -> Figure:
    """A value with an interval (low, high, method), whose method is the reason where it is NaN."""
    low, high, method = interval
    if math.isnan(low):
        return without_interval(value, method)
    return {"value": value, "low": low, "high": high, "method": method}


def band(
    statistic: Callable[[Floats], dict[str, Floats]],
    patients: Patients,
    draw: tuple[int, int],
    *,
    stratified: bool = False,
) -> dict[str, tuple[Floats, Floats]]:
    """The pointwise band (low (m,), high (m,)) of every curve (b, m) that the statistic gives.

    At most 200 resamples, whose least and largest fortieth are left out; NaN where fewer than nine
    in ten are defined.
    """
    n_resamples, seed = draw
    n_resamples = min(n_resamples, BAND_RESAMPLES)
    drawn = resample(statistic, patients, n_resamples, seed, stratified=stratified)
    return {name: _limits(curves) for name, curves in drawn.items()}


def _limits(curves: Floats) -> tuple[Floats, Floats]:
    missing = np.isnan(curves).mean(axis=0)
    limits = np.full((2, curves.shape[1]), np.nan)
    shares = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    limits[:, missing == 0] = np.quantile(curves[:, missing == 0], shares, axis=0)
    some = (missing > 0) & (missing <= 0.1)  # slow, and seldom
    limits[:, some] = np.nanquantile(curves[:, some], shares, axis=0)
    return limits[0], limits[1]


def as_list(values: Floats) -> list[float | None]:
    """Numbers as a document holds them: None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]
