"""Every figure of one target and split with its interval: value, bounds, and how they were found.

A figure that is undefined stands there as null with the reason; none is dropped. Which method suits
which metric says `methods`; where a method would not hold what it promises (too few patients of a
class) there is no interval, and the figure says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.averages import AVERAGES
from pellucid.evaluation.uncertainty.delong import auroc_delong, logit_interval, newcombe_interval
from pellucid.evaluation.uncertainty.intervals import (
    jackknife_interval,
    leave_out,
    percentile_interval,
    resample,
)
from pellucid.evaluation.uncertainty.methods import Method, method_of
from pellucid.evaluation.uncertainty.proportions import kish_size, share_interval
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic, Values
from pellucid.task import Target

CONFIDENCE = 0.95
NEARLY_PERFECT = 0.5  # so few positives or negatives stand on the wrong side that DeLong misleads

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Bounds = tuple[float, float, str]


class NoInterval(Exception):
    """An interval is not to be had; the message says why. Never leaves this module."""


def main_metrics(figures: dict[str, dict[str, Any]], target: Target) -> dict[str, Any]:
    """Of two classes the figures of the positive one stand first, then those of all together."""
    positive = figures[target.classes[1]] if target.is_binary else {}
    return {**positive, **figures[ALL]}


def build_figures(
    judged: Judged,
    cells: Ints,
    draw: tuple[int, int],
    *,
    ordered: bool = False,
    prevalence: float | Sequence[float] | None = None,
    only_counts: bool = False,
) -> dict[str, dict[str, Any]]:
    """Every metric with its interval, by class; under `ALL` those of all classes together.

    `cells` (n,) are K · true + predicted, `draw` the number of resamples and the seed; the rest as
    in `Statistic`.
    """
    statistic = Statistic(
        judged, cells, ordered=ordered, prevalence=prevalence, only_counts=only_counts
    )
    evidence = Evidence(judged, cells, statistic, draw)
    figures: dict[str, dict[str, Any]] = {}
    for (owner, name), value in statistic(np.ones((1, judged.patients.n))).items():
        figure = evidence.figure(owner, name, float(value[0]))
        if owner == ALL and name in AVERAGES:
            figure["average"] = AVERAGES[name]
        figures.setdefault(owner, {})[name] = figure
    return figures


class Evidence:
    """What the intervals of one target and split are found from, each found when first needed."""

    def __init__(
        self, judged: Judged, cells: Ints, statistic: Statistic, draw: tuple[int, int]
    ) -> None:
        self._judged, self._statistic, self._draw = judged, statistic, draw
        k = len(judged.target.classes)
        self._true, self._called = cells // k, cells % k

    def figure(self, owner: str, name: str, value: float) -> dict[str, Any]:
        """The value of a metric with its bounds, and how they were found or why not."""
        if math.isnan(value):
            method = f"undefined: {_reason(name, owner, self._judged)}"
            return {"value": None, "low": None, "high": None, "method": method}
        try:
            low, high, method = self._bounds(owner, name, value)
        except NoInterval as reason:
            return {"value": value, "low": None, "high": None, "method": f"no interval: {reason}"}
        return {"value": value, "low": min(low, value), "high": max(high, value), "method": method}

    def _bounds(self, owner: str, name: str, value: float) -> Bounds:
        method = method_of(owner, name)
        if method.kind == "none":
            raise NoInterval(method.why)
        if method.kind == "share":
            return self._share(owner, name, method)
        patients = self._patients(owner, method)
        if method.kind == "area":
            return self._area(owner, value)
        if method.kind == "bootstrap":
            return self._bootstrap(owner, name)
        if method.kind == "loss" and self._left_out[owner, name].min() < value / 2:
            raise NoInterval("one patient, or very few, make more than half of it")
        return self._jackknife(owner, name, value, method.scale, patients - 1)

    def _share(self, owner: str, name: str, method: Method) -> Bounds:
        """Wilson, or Clopper-Pearson where no image or every image counts."""
        counted, hit = self._counted(owner, name)
        sizes, hits = self._images(counted), self._images(counted & hit)
        there = sizes > 0
        several = bool(sizes.max(initial=0) > 1)
        across = name in ("ppv", "npv")  # rightly and wrongly predicted patients differ in class
        fewest = method.smallest if across else method.fewest(several=several)
        _check_enough(sizes, fewest, "that it counts")
        if across and several:
            self._patients(owner, method)
        return share_interval(hits[there], sizes[there], CONFIDENCE, across_classes=across)

    def _counted(self, owner: str, name: str) -> tuple[Bools, Bools]:
        """Which images (n,) a share counts, and which of all images are hits."""
        if owner == ALL:
            return np.ones(self._judged.n, dtype=bool), self._true == self._called
        number = self._judged.target.classes.index(owner)
        of_class, called = self._true == number, self._called == number
        return {
            "sensitivity": (of_class, called),
            "specificity": (~of_class, ~called),
            "ppv": (called, of_class),
            "npv": (~called, ~of_class),
        }[name]

    def _area(self, owner: str, value: float) -> Bounds:
        """DeLong on the logit scale, with as many degrees of freedom as the scarcer class has."""
        target = self._judged.target
        number = 1 if target.is_binary else target.classes.index(owner)  # of two, one area
        is_class = self._judged.codes == number
        of_class, of_rest = (kish_size(self._images(part)) for part in (is_class, ~is_class))
        fewer = min(of_class, of_rest)
        if fewer * min(value, 1 - value) < NEARLY_PERFECT:
            low, high = newcombe_interval(value, of_class, of_rest, CONFIDENCE)
            return low, high, "Newcombe 2006 (hardly a pair misranked), by patient"
        patients = self._judged.patients.of_image
        _, variance = auroc_delong(self._judged.probabilities[:, number], is_class, patients)
        low, high = logit_interval(value, variance, fewer - 1, CONFIDENCE)
        if math.isnan(low):
            raise NoInterval("every patient ranks alike, so that there is no spread to learn from")
        several = self._judged.n > self._judged.patients.n
        how = "DeLong, clustered by patient (Obuchowski 1997)" if several else "DeLong"
        return low, high, f"{how}, logit scale, Student's t"

    def _jackknife(self, owner: str, name: str, value: float, scale: str, degrees: float) -> Bounds:
        left_out = self._left_out[owner, name]
        low, high = jackknife_interval(value, left_out, scale, degrees, CONFIDENCE)
        if math.isnan(low):
            raise NoInterval(
                "no patient moves the value, or it is at the end of its scale, or one keeps it off"
            )
        n, n_patients = len(left_out), self._judged.patients.n
        who = f"{n} patients" if n == n_patients else f"{n} groups of {n_patients} patients"
        return low, high, f"jackknife over {who}, {scale} scale, Student's t"

    def _bootstrap(self, owner: str, name: str) -> Bounds:
        spread = self._drawn[owner, name]
        low, high = percentile_interval(spread, CONFIDENCE)
        if math.isnan(low):
            raise NoInterval(
                f"undefined in {int(np.isnan(spread).sum())} of {len(spread)} resamples"
            )
        if low == high:
            raise NoInterval("every resample gave the same value")
        return low, high, f"patient bootstrap within classes, percentile, {len(spread)} resamples"

    @cached_property
    def _left_out(self) -> Values:
        return leave_out(self._statistic, self._judged.patients)

    @cached_property
    def _drawn(self) -> Values:
        return resample(self._statistic.points, self._judged.patients, *self._draw)

    def _images(self, inside: Bools) -> Ints:
        """How many of these images (n,) each patient has (n_patients,)."""
        return np.bincount(
            self._judged.patients.of_image[inside], minlength=self._judged.patients.n
        )

    def _patients(self, owner: str, method: Method) -> float:
        """The patients of the scarcest class that the metric needs; raises where too few."""
        groups = self._groups(owner, method)
        fewest = method.fewest(several=self._judged.n > self._judged.patients.n)
        for what, inside in groups:
            _check_enough(self._images(inside), fewest, what)
        return min(kish_size(self._images(inside)) for _, inside in groups)

    def _groups(self, owner: str, method: Method) -> list[tuple[str, Bools]]:
        """The images that a metric sets against each other, with their names."""
        codes, classes = self._judged.codes, self._judged.target.classes
        if method.kind == "loss":
            return [("that it counts", np.ones(self._judged.n, dtype=bool))]
        if owner == ALL or self._judged.target.is_binary:
            needed = range(len(classes)) if method.kind == "share" else np.unique(codes)
            return [(f"of class {classes[k]}", codes == k) for k in needed]
        own = codes == classes.index(owner)
        return [(f"of class {owner}", own), (f"of classes other than {owner}", ~own)]


def _check_enough(images: npt.NDArray[Any], smallest: int, what: str) -> None:
    """Raise where the patients with such images (n_patients,) are worth fewer than `smallest`."""
    worth, n = kish_size(images), int((images > 0).sum())
    if worth >= smallest - 1e-9:
        return
    who = "1 patient has" if n == 1 else f"{n} patients have"
    unlike = f" (in such unlike numbers that they are worth {worth:.1f})" if n >= smallest else ""
    raise NoInterval(f"only {who} images {what}{unlike}, and the method holds from {smallest} on")


def _reason(name: str, owner: str, judged: Judged) -> str:
    counts = np.bincount(judged.codes, minlength=len(judged.target.classes))
    absent = [c for c, n in zip(judged.target.classes, counts, strict=True) if not n]
    if absent:
        return f"no image of class {', '.join(absent)}"
    if not owner:
        return "a class's figure is undefined, or all images are called alike"
    return {
        "npv": f"no image is predicted as anything but {owner}",
        "positive_likelihood_ratio": f"no image is wrongly predicted as {owner}",
        "negative_likelihood_ratio": f"no image is rightly predicted as anything but {owner}",
        "npv_at_prevalence": f"no image is predicted as anything but {owner}",
    }.get(name, f"no image is predicted as {owner}")
