"""ROC and precision-recall curves with bands, thinned so that a document stays small.

Kept points are exact, and both ends are always kept. Bands are pointwise, by patient: of the true
positive rate at a false positive rate, and of the precision at a recall.
Sources: Macskassy and Provost 2004 (vertical averaging); Clopper and Pearson 1934 where every
resample says 0 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.decisions.operating_point import Called
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.ratios import ratio
from pellucid.evaluation.uncertainty.intervals import extreme_interval
from pellucid.evaluation.uncertainty.resampled import (
    CONFIDENCE,
    PatientSums,
    as_list,
    band,
    group_scores,
)

POINTS = 300
_ROUNDING = 1e-9

Curve = dict[str, list[float]]
Banded = dict[str, list[float | None]]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def curves_block(judged: Judged, draw: tuple[int, int]) -> dict[str, Any]:
    """Both curves with bands of every class that is neither absent nor alone; of two, of one.

    At most 200 resamples of `draw` = (n_resamples, seed): 2 s for 100,000 patients.
    """
    classes = list(enumerate(judged.target.classes))
    if judged.target.is_binary:
        classes = classes[1:]
    block: dict[str, Any] = {"roc": {}, "precision_recall": {}}
    for code, name in classes:
        is_class = judged.codes == code
        if is_class.any() and not is_class.all():
            block["roc"][name] = roc_band(judged, code, draw)
            block["precision_recall"][name] = precision_recall_band(judged, code, draw)
    return block


def roc_points(scores: Floats, is_class: Bools) -> Curve:
    """False and true positive rate from (0, 0) to (1, 1); both classes must be there."""
    called = Called.at_every_threshold(scores, is_class)
    corners = np.r_[True, (np.diff(called.true, 2) != 0) | (np.diff(called.false, 2) != 0), True]
    corners = corners[: len(called.true)]  # the ends alone, where there is but one score
    true, false = np.r_[0.0, called.true[corners]], np.r_[0.0, called.false[corners]]
    keep = _evenly(len(true))
    return {"fpr": (false / false[-1])[keep].tolist(), "tpr": (true / true[-1])[keep].tolist()}


def precision_recall_points(scores: Floats, is_class: Bools) -> Curve:
    """Recall from 0 upwards with the precision there; both classes must be there."""
    called = Called.at_every_threshold(scores, is_class)
    recall = np.r_[0.0, called.true / called.true[-1]]
    precision = np.r_[1.0, called.true / (called.true + called.false)]
    keep = _evenly(len(recall))
    return {"recall": recall[keep].tolist(), "precision": precision[keep].tolist()}


def roc_band(judged: Judged, code: int, draw: tuple[int, int]) -> Banded:
    """The ROC curve of a class with a band of the true positive rate at each false one.

    Patients are drawn within strata of their classes, since neither rate depends on prevalence.
    """
    points = roc_points(judged.probabilities[:, code], judged.codes == code)
    counts = _Counts(judged, code)

    def statistic(weights: Floats) -> dict[str, Floats]:
        true, false = counts(weights)
        start = np.zeros((len(weights), 1))
        tpr = np.hstack([start, ratio(true, true[:, -1:] + 0 * true)])
        fpr = np.hstack([start, ratio(false, false[:, -1:] + 0 * false)])
        at = points["fpr"]
        return {"tpr": np.stack([np.interp(at, x, y) for x, y in zip(fpr, tpr, strict=True)])}

    low, high = band(statistic, judged.patients, draw, stratified=True)["tpr"]
    return _banded(points, "tpr", (low, high), counts.n_patients)


def precision_recall_band(judged: Judged, code: int, draw: tuple[int, int]) -> Banded:
    """The precision-recall curve of a class with a band of the precision at each recall.

    A resample's precision is that of the highest threshold which reaches the recall.
    """
    points = precision_recall_points(judged.probabilities[:, code], judged.codes == code)
    counts, wanted = _Counts(judged, code), np.array(points["recall"]) - _ROUNDING

    def statistic(weights: Floats) -> dict[str, Floats]:
        true, false = counts(weights)
        precision = ratio(true, true + false)
        recall = ratio(true, true[:, -1:] + 0 * true)
        places = np.stack([np.searchsorted(row, wanted) for row in recall])
        called = np.argmax(true + false > 0, axis=1)[:, None]  # above it no image was drawn
        places = np.clip(places, called, precision.shape[1] - 1)
        # a resample without the class has no recall; its precision is no evidence either
        precision[np.isnan(recall)] = np.nan
        return {"precision": np.take_along_axis(precision, places, axis=1)}

    low, high = band(statistic, judged.patients, draw)["precision"]
    return _banded(points, "precision", (low, high), counts.n_patients)


class _Counts:
    """Images called at each score, highest first, with the class and without: (b, G) each."""

    def __init__(self, judged: Judged, code: int) -> None:
        is_class = judged.codes == code
        values, groups = group_scores(-judged.probabilities[:, code])
        self._true = PatientSums(judged.patients, groups, len(values), is_class.astype(np.float64))
        self._false = PatientSums(
            judged.patients, groups, len(values), (~is_class).astype(np.float64)
        )
        self.n_patients = len(np.unique(judged.patients.of_image[is_class]))

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """Cumulative weights of true and of false positives."""
        return self._true(weights).cumsum(axis=1), self._false(weights).cumsum(axis=1)


def _banded(points: Curve, name: str, limits: tuple[Floats, Floats], n_patients: int) -> Banded:
    """The curve with its band, which holds the curve itself: a vertical step has one band for all.

    Where every resample says 0 or 1, the exact interval of the class's patients stands instead.
    """
    value, (low, high) = np.array(points[name]), limits
    sure = extreme_interval(1.0, n_patients, CONFIDENCE)[0]
    low = np.where((low == high) & (low == 1.0), sure, low)
    high = np.where((low == high) & (high == 0.0), 1 - sure, high)
    return {
        **{axis: list(numbers) for axis, numbers in points.items()},
        f"{name}_low": as_list(np.minimum(low, value)),
        f"{name}_high": as_list(np.maximum(high, value)),
    }


def _evenly(n: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.int64))
