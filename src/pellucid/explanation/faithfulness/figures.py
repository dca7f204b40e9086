"""Figures over images with their intervals by patient: means and shares, as JSON-able values.

Knows numbers and patients; it knows no map and no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from pellucid.evaluation.uncertainty.methods import SHARE
from pellucid.evaluation.uncertainty.proportions import kish_size, share_interval

CONFIDENCE = 0.95
FEWEST = 8  # patients; below, their spread is known too badly for Student's t to be worth drawing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Figure = dict[str, Any]


def code_patients(patient_ids: Sequence[str] | None, n: int) -> Ints:
    """A number (n,) for each image's patient; without patients each image is its own."""
    if patient_ids is None:
        return np.arange(n)
    return np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)[1].reshape(-1)


def mean_figure(
    values: npt.NDArray[Any], patients: Ints, within: tuple[float, float] = (-math.inf, math.inf)
) -> Figure:
    """The mean of values (n,) over images, NaN left out, with Student's t interval over patients.

    The variance is that of a ratio of sums over patients (Cochran 1977, 6.3), the degrees of
    freedom are the effective number of patients less one; bounds are cut to `within`. With fewer
    than `FEWEST` patients the bounds are None.
    """
    known = ~np.isnan(values)
    values, own = values[known], np.unique(patients[known], return_inverse=True)[1].reshape(-1)
    if not len(values):
        return _figure(math.nan, math.nan, math.nan, own)
    mean, sizes = float(values.mean()), np.bincount(own)
    worth = kish_size(sizes)
    if worth < FEWEST:
        return _figure(mean, math.nan, math.nan, own)
    sums = np.bincount(own, weights=values - mean)
    error = math.sqrt(float((sums**2).sum()) * len(sizes) / (len(sizes) - 1)) / len(values)
    reach = float(student.ppf(0.5 + CONFIDENCE / 2, worth - 1)) * error
    return _figure(mean, max(mean - reach, within[0]), min(mean + reach, within[1]), own)


def share_figure(hits: npt.NDArray[Any], patients: Ints) -> Figure:
    """The share of hits (n,), each in [0, 1], NaN left out, with the interval of sensitivity.

    With fewer patients than that interval needs the bounds are None.
    """
    known = ~np.isnan(hits)
    hits, own = hits[known], np.unique(patients[known], return_inverse=True)[1].reshape(-1)
    if not len(hits):
        return _figure(math.nan, math.nan, math.nan, own)
    sizes, found = np.bincount(own), np.bincount(own, weights=hits)
    if kish_size(sizes) < SHARE.fewest(several=bool(sizes.max() > 1)):
        return _figure(float(hits.mean()), math.nan, math.nan, own)
    low, high, _ = share_interval(found, sizes, CONFIDENCE)
    return _figure(float(hits.mean()), low, high, own)


def mean_curve(curves: Floats, patients: Ints) -> dict[str, list[float | None]]:
    """The mean of curves (n, points) at each point with its bounds: "mean", "low", "high"."""
    figures = [mean_figure(column, patients) for column in curves.T]
    names = {"mean": "value", "low": "low", "high": "high"}
    return {name: [figure[key] for figure in figures] for name, key in names.items()}


def _figure(value: float, low: float, high: float, own: Ints) -> Figure:
    bounds = {"value": value, "low": low, "high": high}
    known = {name: None if math.isnan(bound) else bound for name, bound in bounds.items()}
    return {**known, "n": len(own), "n_patients": len(np.unique(own))}
