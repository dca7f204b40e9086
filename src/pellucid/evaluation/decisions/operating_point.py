"""Thresholds: from the probability of the positive class to a decision.

An image is called positive when its probability is at least the threshold, so that images of equal
probability are called alike. A threshold is a probability that stands in validation: the lowest one
called positive there. It is chosen on validation and reported on test; nothing here looks at test
to choose. Sources: Youden 1950; Metz 1978 and Zweig and Campbell 1993 for costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.resampled import sum_by

_ROUNDING = 1e-9  # 0.95 · 20 must not ask for a twentieth image

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with its name, and the split that it was chosen on ("fixed" for none).

    `wanted` is the number asked for: a sensitivity, a specificity or a cost ratio.
    """

    name: str
    threshold: float
    chosen_on: str
    wanted: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Unreached:
    """A wish that no threshold answers, and the reason; it stands where its point would."""

    name: str
    chosen_on: str
    wanted: float | None
    reason: str
    threshold: None = None


DEFAULT = OperatingPoint("default", 0.5, "fixed")


@dataclass(frozen=True)
class Wishes:
    """What thresholds are asked for; None leaves a wish out.

    `cost_ratio` is the cost of a missed positive in false alarms (10: missing one is as bad as ten
    false alarms), weighed at `prevalence`, or at that of validation.
    Raises `UsageError` for a number outside its range.
    """

    sensitivity: float | None = 0.95
    specificity: float | None = 0.95
    cost_ratio: float | None = None
    prevalence: float | None = None

    def __post_init__(self) -> None:
        for name in ("sensitivity", "specificity"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise UsageError(f"A wanted {name} is above 0 and at most 1", repr(value))
        if self.cost_ratio is not None and not 0 < self.cost_ratio < float("inf"):
            raise UsageError("A cost ratio is above 0", repr(self.cost_ratio))
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise UsageError("A prevalence lies between 0 and 1", repr(self.prevalence))


def choose_points(
    validation: Judged, wishes: Wishes | None = None
) -> list[OperatingPoint | Unreached]:
    """Youden's point and one for every wish, all chosen on these images; binary targets only."""
    wishes = wishes or Wishes()
    split = validation.split
    wanted = {
        "youden": None,
        "sensitivity": wishes.sensitivity,
        "specificity": wishes.specificity,
        "cost_ratio": wishes.cost_ratio,
    }
    asked = {name: value for name, value in wanted.items() if name == "youden" or value is not None}
    counts = np.bincount(validation.codes, minlength=2)
    if not counts.all():
        absent = validation.target.classes[int(counts.argmin())]
        reason = f"no image of class {absent} in {split}"
        return [Unreached(name, split, value, reason) for name, value in asked.items()]
    called = Called.at_every_threshold(validation.probabilities[:, 1], validation.codes == 1)
    points: list[OperatingPoint | Unreached] = []
    for name, value in asked.items():
        threshold, reason = _choose(called, name, value, wishes.prevalence)
        if threshold is None:
            points.append(Unreached(name, split, value, reason))
        else:
            points.append(OperatingPoint(name, threshold, split, value))
    return points


@dataclass(frozen=True)
class Called:
    """How many are called positive at each threshold (T,), from the highest probability down."""

    thresholds: Floats
    true: Floats
    false: Floats

    @classmethod
    def at_every_threshold(cls, probabilities: Floats, is_positive: Bools) -> Called:
        """Count at each distinct probability (n,); ties are called together."""
        distinct, place = np.unique(-probabilities, return_inverse=True)
        true = sum_by(place, is_positive).cumsum()
        return cls(-distinct, true, sum_by(place).cumsum() - true)

    @property
    def youden(self) -> Floats:
        """Sensitivity + specificity - 1, times both classes' images: whole numbers, so ties tie."""
        return np.asarray(self.true * self.false[-1] - self.false * self.true[-1])


def _choose(
    called: Called, name: str, wanted: float | None, prevalence: float | None
) -> tuple[float | None, str]:
    if name == "sensitivity" and wanted is not None:
        return _reach_sensitivity(called, wanted)
    if name == "specificity" and wanted is not None:
        return _reach_specificity(called, wanted)
    if name == "cost_ratio" and wanted is not None:
        return _least_cost(called, wanted, prevalence)
    best = int(np.argmax(called.youden))
    if called.youden[best] <= 0:
        return None, "no threshold does better than chance"
    return float(called.thresholds[best]), ""


def _reach_sensitivity(called: Called, wanted: float) -> tuple[float | None, str]:
    """The highest threshold that reaches it, which has the highest specificity of all that do."""
    enough = called.true >= wanted * called.true[-1] - _ROUNDING
    place = int(np.argmax(enough))
    if called.false[place] == called.false[-1]:
        return (
            None,
            f"a sensitivity of {wanted:g} is reached only by calling all negatives positive",
        )
    return float(called.thresholds[place]), ""


def _reach_specificity(called: Called, wanted: float) -> tuple[float | None, str]:
    """The lowest threshold that reaches it, or the highest that finds as many positives."""
    enough = called.false[-1] - called.false >= wanted * called.false[-1] - _ROUNDING
    found = np.where(enough, called.true, 0.0)
    if not found.any():
        return None, f"a specificity of {wanted:g} is reached only by finding no positive image"
    return float(called.thresholds[int(np.argmax(found))]), ""


def _least_cost(called: Called, ratio: float, prevalence: float | None) -> tuple[float | None, str]:
    """The threshold of least expected cost, ratio · π · (1 - sensitivity) + (1 - π) · (1 - spec.).

    Among equals the highest threshold. Calling all or none is a threshold of its own kind.
    """
    positives, negatives = called.true[-1], called.false[-1]
    share = positives / (positives + negatives) if prevalence is None else prevalence
    missed = np.append(positives, positives - called.true) / positives
    alarms = np.append(0.0, called.false) / negatives
    cost = ratio * share * missed + (1 - share) * alarms
    best = int(np.flatnonzero(cost <= cost.min() * (1 + _ROUNDING))[0])
    if best == 0:
        return None, "at this cost ratio and prevalence calling no image positive costs least"
    if best == len(called.thresholds):
        return None, "at this cost ratio and prevalence calling every image positive costs least"
    return float(called.thresholds[best - 1]), ""


def youden_point(
    probabilities: Floats, is_positive: Bools, chosen_on: str
) -> OperatingPoint | None:
    """The threshold with the largest sensitivity + specificity - 1; None when a class is absent.

    Among equals the highest threshold is taken; 1 where none is better than chance.
    """
    if is_positive.all() or not is_positive.any():
        return None
    called = Called.at_every_threshold(probabilities, is_positive)
    best = int(np.argmax(called.youden))
    threshold = float(called.thresholds[best]) if called.youden[best] > 0 else 1.0
    return OperatingPoint("youden", threshold, chosen_on)


def confusion_at(
    probabilities: Floats, is_positive: Bools, threshold: float
) -> npt.NDArray[np.int64]:
    """The cell (n,) of each image in a 2 × 2 confusion matrix: 2 · true + predicted."""
    return 2 * is_positive.astype(np.int64) + (probabilities >= threshold)
