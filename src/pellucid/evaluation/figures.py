"""Every figure of one target and split with its interval: value, bounds, and how they were found.

A figure that is undefined stands there as null with the reason; none is dropped. Knows which method
suits which metric; the methods themselves are in `intervals`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation import metrics
from pellucid.evaluation.intervals import extreme_interval, percentile_interval, resample
from pellucid.evaluation.judged import Judged
from pellucid.task import Target

CONFIDENCE = 0.95
FEW_PATIENTS = 5
ALL = ""  # the owner of figures that belong to no single class
AVERAGES = {
    "auroc": "macro one-vs-rest",
    "weighted_auroc": "one-vs-rest, weighted by the classes' images",
    "macro_f1": "macro",
    "weighted_f1": "weighted by the classes' images",
    "macro_sensitivity": "macro",
    "macro_specificity": "macro",
    "macro_ppv": "macro",
}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = dict[tuple[str, str], Floats]


def main_metrics(figures: dict[str, dict[str, Any]], target: Target) -> dict[str, Any]:
    """Of two classes the figures of the positive one stand first, then those of all together."""
    positive = figures[target.classes[1]] if target.is_binary else {}
    return {**positive, **figures[ALL]}


def build_figures(judged: Judged, cells: Ints, draw: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Every metric with its interval, by class; under `ALL` those of all classes together."""
    statistic = Statistic(judged, cells)
    plain = statistic(np.ones((1, judged.patients.n)))
    drawn = resample(statistic, judged.patients, *draw)
    few = _fewest_patients(judged) < FEW_PATIENTS
    figures: dict[str, dict[str, Any]] = {}
    for (owner, name), value in plain.items():
        figure = _figure(float(value[0]), drawn[owner, name], _reason(name, owner, judged))
        if figure["low"] is not None and figure["low"] == figure["high"]:
            figure |= _flat(float(value[0]), _patients_counted(judged, cells, owner, name))
        if few and figure["low"] is not None:
            figure["note"] = f"a class has fewer than {FEW_PATIENTS} patients"
        if owner == ALL and name in AVERAGES:
            figure["average"] = AVERAGES[name]
        figures.setdefault(owner, {})[name] = figure
    return figures


def _figure(value: float, spread: Floats, reason: str) -> dict[str, Any]:
    if math.isnan(value):
        return {"value": None, "low": None, "high": None, "method": f"undefined: {reason}"}
    low, high = percentile_interval(spread, CONFIDENCE)
    if math.isnan(low):
        undefined = int(np.isnan(spread).sum())
        method = f"no interval: undefined in {undefined} of {len(spread)} resamples"
        return {"value": value, "low": None, "high": None, "method": method}
    method = f"patient bootstrap, percentile, {len(spread)} resamples"
    return {"value": value, "low": low, "high": high, "method": method}


def _flat(value: float, n_patients: int | None) -> dict[str, Any]:
    """An interval where every resample gave the same value, and resampling is blind to chance."""
    if n_patients is None or value not in (0.0, 1.0):
        method = "no interval: every resample gave the same value"
        return {"low": None, "high": None, "method": method}
    low, high = extreme_interval(value, n_patients, CONFIDENCE)
    return {"low": low, "high": high, "method": f"Clopper-Pearson over {n_patients} patients"}


def _patients_counted(judged: Judged, cells: Ints, owner: str, name: str) -> int | None:
    """How many patients stand in the denominator of a proportion; None for any other metric."""
    k = len(judged.target.classes)
    if name == "accuracy":
        return judged.patients.n
    if owner == ALL or name not in ("sensitivity", "specificity", "ppv", "npv"):
        return None
    number = judged.target.classes.index(owner)
    of_class = (cells // k if name in ("sensitivity", "specificity") else cells % k) == number
    counted = of_class if name in ("sensitivity", "ppv") else ~of_class
    return len(np.unique(judged.patients.of_image[counted]))


def _reason(name: str, owner: str, judged: Judged) -> str:
    counts = np.bincount(judged.codes, minlength=len(judged.target.classes))
    absent = [c for c, n in zip(judged.target.classes, counts, strict=True) if not n]
    if absent:
        return f"no image of class {', '.join(absent)}"
    what = {"ppv": "predicted as", "npv": "predicted as anything but"}.get(name, "predicted as")
    return f"no image is {what} {owner}" if owner else "a class's figure is undefined"


def _fewest_patients(judged: Judged) -> int:
    counts = [len(set(judged.patient_ids[judged.codes == k])) for k in np.unique(judged.codes)]
    return min(counts)


class Statistic:
    """All metrics of one target and split, for patient weights (b, n_patients).

    Keys are (class, metric), or (`ALL`, metric) for all classes together; values (b,).
    """

    def __init__(self, judged: Judged, cells: Ints) -> None:
        self._judged = judged
        self._k = len(judged.target.classes)
        self._counts = np.zeros((judged.patients.n, self._k**2))
        np.add.at(self._counts, (judged.patients.of_image, cells), 1.0)

    def __call__(self, weights: Floats) -> Values:
        """The metrics of these weightings."""
        confusion = (weights @ self._counts).reshape(len(weights), self._k, self._k)
        of_images = weights[:, self._judged.patients.of_image]
        by_class = {
            "auroc": np.stack([r.auroc(of_images) for r in self._judged.rankings], axis=1),
            "auprc": np.stack([r.auprc(of_images) for r in self._judged.rankings], axis=1),
            **{name: metric(confusion) for name, metric in metrics.PER_CLASS.items()},
        }
        values: Values = {}
        for number, owner in enumerate(self._judged.target.classes):
            values |= {(owner, name): column[:, number] for name, column in by_class.items()}
        if self._k > 2:
            values |= _averages(by_class, metrics.prevalence(confusion))
        return values | {(ALL, name): f(confusion) for name, f in metrics.OVERALL.items()}


def _averages(by_class: dict[str, Floats], shares: Floats) -> Values:
    """Macro (all classes alike) and weighted (by their images) means of per-class figures."""
    return {
        (ALL, "auroc"): by_class["auroc"].mean(axis=1),
        (ALL, "weighted_auroc"): (shares * by_class["auroc"]).sum(axis=1),
        (ALL, "macro_f1"): by_class["f1"].mean(axis=1),
        (ALL, "weighted_f1"): (shares * by_class["f1"]).sum(axis=1),
        (ALL, "macro_sensitivity"): by_class["sensitivity"].mean(axis=1),
        (ALL, "macro_specificity"): by_class["specificity"].mean(axis=1),
        (ALL, "macro_ppv"): by_class["ppv"].mean(axis=1),
    }
