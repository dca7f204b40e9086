"""Thresholds: from the probability of the positive class to a decision.

An image is called positive when its probability is at least the threshold. A threshold is chosen
on validation and reported on test; nothing here looks at test to choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with its name, and the split that it was chosen on ("fixed" for none)."""

    name: str
    threshold: float
    chosen_on: str


DEFAULT = OperatingPoint("default", 0.5, "fixed")


def youden_point(
    probabilities: npt.NDArray[np.float64], is_positive: npt.NDArray[np.bool_], chosen_on: str
) -> OperatingPoint | None:
    """The threshold with the largest sensitivity + specificity - 1; None when a class is absent.

    Among equals the highest threshold is taken. Source: Youden 1950.
    """
    if is_positive.all() or not is_positive.any():
        return None
    fpr, tpr, thresholds = roc_curve(is_positive, probabilities, drop_intermediate=False)
    best = int(np.argmax(tpr - fpr))
    return OperatingPoint("youden", float(min(thresholds[best], 1.0)), chosen_on)


def confusion_at(
    probabilities: npt.NDArray[np.float64], is_positive: npt.NDArray[np.bool_], threshold: float
) -> npt.NDArray[np.int64]:
    """The cell (n,) of each image in a 2 × 2 confusion matrix: 2 · true + predicted."""
    return 2 * is_positive.astype(np.int64) + (probabilities >= threshold)
