"""ROC and precision-recall curves, thinned so that a document stays small and the picture the same.

Kept points are exact, and both ends are always kept. scikit-learn computes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

POINTS = 300

Curve = dict[str, list[float]]


def roc_points(scores: npt.NDArray[np.float64], is_class: npt.NDArray[np.bool_]) -> Curve:
    """False and true positive rate from (0, 0) to (1, 1); both classes must be there."""
    fpr, tpr, _ = roc_curve(is_class, scores)
    keep = _evenly(len(fpr))
    return {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()}


def precision_recall_points(
    scores: npt.NDArray[np.float64], is_class: npt.NDArray[np.bool_]
) -> Curve:
    """Recall from 0 upwards with the precision there; both classes must be there."""
    precision, recall, _ = precision_recall_curve(is_class, scores)
    keep = _evenly(len(recall))
    return {"recall": recall[::-1][keep].tolist(), "precision": precision[::-1][keep].tolist()}


def _evenly(n: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.int64))
