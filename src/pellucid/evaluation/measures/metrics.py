"""The lecture's metrics of counts, each for one or for many weightings of the images at once.

Counts come from confusion matrices (…, K, K), rows true and columns predicted; metrics of ranks are
in `ranks`, of probabilities in `probability_metrics`, averages in `averages`. A weighting of all
ones gives the plain value, resampled patients give the bootstrap (`intervals`). An undefined value
is NaN here, never 0, 1 or infinity, and gets its reason in `figures`.
Sources: lecture, "evaluation"; Altman and Bland 1994 (predictive values); Deeks and Altman 2004
(likelihood ratios); Gorodkin 2004 (Matthews, K classes); Cohen 1960 and 1968 (kappa).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.measures.ranks import Ranking as Ranking
from pellucid.evaluation.measures.ratios import ratio
from pellucid.outputs import probabilities_from_logits
from pellucid.task import Task

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def one_vs_rest(confusion: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """True positives, false positives, false negatives, true negatives, each (…, K)."""
    tp = np.einsum("...kk->...k", confusion)
    others = 1 - np.eye(confusion.shape[-1])
    of_others = others @ confusion
    # Sums of the cells themselves: a difference of sums would leave a crumb where nobody is.
    fp = np.einsum("...kk->...k", of_others)
    fn = np.einsum("...kk->...k", confusion @ others)
    return tp, fp, fn, (of_others * others).sum(axis=-1)


def sensitivity(confusion: Floats) -> Floats:
    """TP / (TP + FN), also called recall, of each class (…, K)."""
    tp, _, fn, _ = one_vs_rest(confusion)
    return ratio(tp, tp + fn)


def specificity(confusion: Floats) -> Floats:
    """TN / (TN + FP) of each class (…, K)."""
    _, fp, _, tn = one_vs_rest(confusion)
    return ratio(tn, tn + fp)


def ppv(confusion: Floats) -> Floats:
    """TP / (TP + FP), positive predictive value, also called precision, of each class (…, K)."""
    tp, fp, _, _ = one_vs_rest(confusion)
    return ratio(tp, tp + fp)


def npv(confusion: Floats) -> Floats:
    """TN / (TN + FN), negative predictive value, of each class (…, K)."""
    _, _, fn, tn = one_vs_rest(confusion)
    return ratio(tn, tn + fn)


def f1(confusion: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN), the harmonic mean of PPV and sensitivity, of each class (…, K)."""
    tp, fp, fn, _ = one_vs_rest(confusion)
    return ratio(2 * tp, 2 * tp + fp + fn)


def positive_likelihood_ratio(confusion: Floats) -> Floats:
    """Sensitivity / (1 - specificity) of each class (…, K); NaN where nobody is a false positive.

    It would be infinite there, which says how few were looked at rather than how good the test is.
    """
    return ratio(sensitivity(confusion), _false_positive_rate(confusion))


def negative_likelihood_ratio(confusion: Floats) -> Floats:
    """(1 - sensitivity) / specificity of each class (…, K); NaN where the specificity is 0."""
    return ratio(_false_negative_rate(confusion), specificity(confusion))


def ppv_at_prevalence(confusion: Floats, prevalence: npt.ArrayLike) -> Floats:
    """What the PPV of each class (…, K) would be where its share of patients is `prevalence`.

    `prevalence` is one share for each class (K,) or one for all; of two classes, [1 - p, p].
    By Bayes from sensitivity and specificity, which are taken to be the same there. NaN where
    nobody would be called so. Raises `UsageError` for a prevalence outside [0, 1].
    """
    share = _checked_prevalence(prevalence)
    true = sensitivity(confusion) * share
    return ratio(true, true + _false_positive_rate(confusion) * (1 - share))


def npv_at_prevalence(confusion: Floats, prevalence: npt.ArrayLike) -> Floats:
    """What the NPV of each class (…, K) would be where its share is `prevalence`; see PPV."""
    share = _checked_prevalence(prevalence)
    true = specificity(confusion) * (1 - share)
    return ratio(true, true + _false_negative_rate(confusion) * share)


def _false_positive_rate(confusion: Floats) -> Floats:
    _, fp, _, tn = one_vs_rest(confusion)
    return ratio(fp, fp + tn)


def _false_negative_rate(confusion: Floats) -> Floats:
    tp, _, fn, _ = one_vs_rest(confusion)
    return ratio(fn, tp + fn)


def _checked_prevalence(prevalence: npt.ArrayLike) -> Floats:
    shares = np.asarray(prevalence, dtype=np.float64)
    wrong = shares[~((shares >= 0) & (shares <= 1))]
    if wrong.size:
        raise UsageError(
            "A prevalence must be in [0, 1]",
            f"{wrong.flat[0]:g}",
            "Give a share of patients, not a percentage.",
        )
    return shares


def accuracy(confusion: Floats) -> Floats:
    """Share of images whose predicted class is the true one (…)."""
    return ratio(np.einsum("...kk->...", confusion), confusion.sum(axis=(-1, -2)))


def balanced_accuracy(confusion: Floats) -> Floats:
    """Mean sensitivity over the classes (…)."""
    return np.asarray(sensitivity(confusion).mean(axis=-1))


def micro_f1(confusion: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN) with the counts of all classes added up (…).

    Where each image has one class and one is predicted, this is the accuracy.
    """
    tp, fp, fn, _ = (count.sum(axis=-1) for count in one_vs_rest(confusion))
    return ratio(2 * tp, 2 * tp + fp + fn)


def matthews(confusion: Floats) -> Floats:
    """The correlation of true and predicted class (…), from -1 to 1, for any number of classes.

    NaN where all images have one class or all are given one (scikit-learn says 0 there).
    Source: Matthews 1975; Gorodkin 2004 for K classes.
    """
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    right = np.einsum("...kk->...", confusion)
    shared = true.sum(axis=-1) * right - (true * predicted).sum(axis=-1)
    return ratio(shared, np.sqrt(_pairs_apart(true) * _pairs_apart(predicted)))


def _pairs_apart(counts: Floats) -> Floats:
    """How many ordered pairs of images stand in different classes (…), from counts (…, K)."""
    return np.asarray((counts * (counts @ (1 - np.eye(counts.shape[-1])))).sum(axis=-1))


def kappa(confusion: Floats) -> Floats:
    """Cohen's kappa (…): agreement beyond what the classes' shares alone would give.

    NaN where all images have one class and are all given it. Source: Cohen 1960.
    """
    return _kappa(confusion, 1 - np.eye(confusion.shape[-1]))


def linear_kappa(confusion: Floats) -> Floats:
    """Kappa of ordered classes (…): a mistake counts by how many classes it is off."""
    return _kappa(confusion, _distance(confusion.shape[-1]))


def quadratic_kappa(confusion: Floats) -> Floats:
    """Kappa of ordered classes (…): a mistake counts by the square of that. Source: Cohen 1968."""
    return _kappa(confusion, _distance(confusion.shape[-1]) ** 2)


def _distance(k: int) -> Floats:
    steps = np.arange(k, dtype=np.float64)
    return np.abs(steps[:, None] - steps)


def _kappa(confusion: Floats, cost: Floats) -> Floats:
    """1 - the cost of the mistakes made / the cost of those that chance would make."""
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    made = (confusion * cost).sum(axis=(-1, -2))
    expected = np.einsum("...i,ij,...j->...", true, cost, predicted)
    return np.asarray(1 - ratio(made * true.sum(axis=-1), expected))


def prevalence(confusion: Floats) -> Floats:
    """Share of each class among the images (…, K)."""
    rows = confusion.sum(axis=-1)
    return ratio(rows, np.broadcast_to(rows.sum(axis=-1, keepdims=True), rows.shape).copy())


Metric = Callable[[Floats], Floats]

PER_CLASS: dict[str, Metric] = {
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "f1": f1,
    "positive_likelihood_ratio": positive_likelihood_ratio,
    "negative_likelihood_ratio": negative_likelihood_ratio,
}
OVERALL: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "matthews": matthews,
    "kappa": kappa,
}
ORDERED: dict[str, Metric] = {"linear_kappa": linear_kappa, "quadratic_kappa": quadratic_kappa}
"""Only for classes that have an order, in which they must stand."""

AT_PREVALENCE: dict[str, Callable[[Floats, npt.ArrayLike], Floats]] = {
    "ppv_at_prevalence": ppv_at_prevalence,
    "npv_at_prevalence": npv_at_prevalence,
}


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
