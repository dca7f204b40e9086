"""The lecture's metrics, each computed for one or for many weightings of the images at once.

Count metrics come from confusion matrices (…, K, K), rows true and columns predicted; rank metrics
from scores sorted once. A weighting of all ones gives the plain value, resampled patients give the
bootstrap (`intervals`). An undefined value is NaN here and gets its reason in `document`.
Sources: lecture, "evaluation"; Hanley and McNeil 1982 for AUROC as a probability of ranks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pellucid.outputs import probabilities_from_logits
from pellucid.task import Task

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _divide(top: Floats, bottom: Floats) -> Floats:
    """Top / bottom, NaN where the bottom is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def one_vs_rest(confusion: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """True positives, false positives, false negatives, true negatives, each (…, K)."""
    tp = np.einsum("...kk->...k", confusion)
    fp = confusion.sum(axis=-2) - tp
    fn = confusion.sum(axis=-1) - tp
    return tp, fp, fn, confusion.sum(axis=(-1, -2))[..., None] - tp - fp - fn


def sensitivity(confusion: Floats) -> Floats:
    """TP / (TP + FN), also called recall, of each class (…, K)."""
    tp, _, fn, _ = one_vs_rest(confusion)
    return _divide(tp, tp + fn)


def specificity(confusion: Floats) -> Floats:
    """TN / (TN + FP) of each class (…, K)."""
    _, fp, _, tn = one_vs_rest(confusion)
    return _divide(tn, tn + fp)


def ppv(confusion: Floats) -> Floats:
    """TP / (TP + FP), positive predictive value, also called precision, of each class (…, K)."""
    tp, fp, _, _ = one_vs_rest(confusion)
    return _divide(tp, tp + fp)


def npv(confusion: Floats) -> Floats:
    """TN / (TN + FN), negative predictive value, of each class (…, K)."""
    _, _, fn, tn = one_vs_rest(confusion)
    return _divide(tn, tn + fn)


def f1(confusion: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN), the harmonic mean of PPV and sensitivity, of each class (…, K)."""
    tp, fp, fn, _ = one_vs_rest(confusion)
    return _divide(2 * tp, 2 * tp + fp + fn)


def accuracy(confusion: Floats) -> Floats:
    """Share of images whose predicted class is the true one (…)."""
    return _divide(np.einsum("...kk->...", confusion), confusion.sum(axis=(-1, -2)))


def balanced_accuracy(confusion: Floats) -> Floats:
    """Mean sensitivity over the classes (…)."""
    return np.asarray(sensitivity(confusion).mean(axis=-1))


def prevalence(confusion: Floats) -> Floats:
    """Share of each class among the images (…, K)."""
    rows = confusion.sum(axis=-1)
    return _divide(rows, np.broadcast_to(rows.sum(axis=-1, keepdims=True), rows.shape).copy())


PER_CLASS: dict[str, Callable[[Floats], Floats]] = {
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "f1": f1,
}
OVERALL: dict[str, Callable[[Floats], Floats]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}


class Ranking:
    """One class's scores, sorted once; then AUROC and AUPRC of any weighting of the images.

    `scores` (n,) are probabilities of the class, `is_class` (n,) whether the image has it. Ties
    count half in AUROC and stand at one threshold in AUPRC, as in scikit-learn.
    """

    def __init__(self, scores: Floats, is_class: npt.NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._positive = is_class[self._order].astype(np.float64)
        ranked = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def _by_threshold(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of positives and of negatives at each distinct score, highest first (B, T)."""
        sorted_weights = weights[:, self._order]
        positive = np.add.reduceat(sorted_weights * self._positive, self._starts, axis=1)
        return positive, np.add.reduceat(sorted_weights, self._starts, axis=1) - positive

    def auroc(self, weights: Floats) -> Floats:
        """Area under the ROC curve (B,) for weights (B, n); NaN where a class has no weight."""
        positive, negative = self._by_threshold(weights)
        above = np.cumsum(positive, axis=1) - 0.5 * positive
        both = positive.sum(axis=1) * negative.sum(axis=1)
        return _divide((negative * above).sum(axis=1), both)

    def auprc(self, weights: Floats) -> Floats:
        """Average precision (B,): precision at each threshold, weighted by the recall it adds."""
        positive, negative = self._by_threshold(weights)
        found = np.cumsum(positive, axis=1)
        precision = _divide(found, found + np.cumsum(negative, axis=1))
        added = np.nansum(positive * precision, axis=1)
        return _divide(added, positive.sum(axis=1))


def validation_auroc(codes: Ints, logits: npt.NDArray[np.floating], task: Task) -> float:
    """Mean AUROC over targets, for choosing the epoch; K classes count one-vs-rest, evenly.

    `codes` (n, n_targets) with -1 for a missing label, `logits` (n, task.n_logits). A class that
    is absent is left out; NaN when nothing is defined.
    """
    values = []
    for number, target in enumerate(task.targets):
        known = codes[:, number] >= 0
        part = probabilities_from_logits(logits[known][:, task.slices()[target.name]], target)
        classes = [1] if target.is_binary else range(len(target.classes))
        weights = np.ones((1, int(known.sum())))
        areas = [
            Ranking(part[:, k], codes[known, number] == k).auroc(weights)[0]
            if known.any()
            else np.nan
            for k in classes
        ]
        if not np.isnan(areas).all():
            values.append(float(np.nanmean(areas)))
    return float(np.mean(values)) if values else float("nan")
