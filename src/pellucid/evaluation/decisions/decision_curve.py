"""Decision curves: what acting on the model is worth, against acting on all and on nobody.

The threshold probability says how the decider weighs harms: who treats from 0.1 on accepts nine
needless treatments for one that was needed. Net benefit counts true positives in images, less the
false ones at that rate. Source: Vickers and Elkin 2006; Vickers et al. 2008 for the bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.ratios import ratio
from pellucid.evaluation.uncertainty.resampled import PatientSums, as_list, band

THRESHOLDS = np.arange(1, 100) / 100

Floats = npt.NDArray[np.float64]


def decision_curve(
    judged: Judged, draw: tuple[int, int], prevalence: float | None = None
) -> dict[str, Any] | None:
    """Net benefit at thresholds 0.01 to 0.99 with pointwise bands; None unless binary.

    With a stated `prevalence` the shares called positive in each class are weighed by it, as for
    case-control images. {"reason": …} where a class is absent. At most 200 resamples: 1 s for
    100,000 patients. Raises `UsageError` for a prevalence outside (0, 1).
    """
    if not judged.target.is_binary:
        return None
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError("A prevalence lies between 0 and 1", repr(prevalence))
    counts = np.bincount(judged.codes, minlength=2)
    if not counts.all():
        return {"reason": f"no image of class {judged.target.classes[int(counts.argmin())]}"}
    statistic = NetBenefit(judged, prevalence)
    low, high = band(statistic, judged.patients, draw)["model"]
    share = float(counts[1] / judged.n) if prevalence is None else prevalence
    return {
        "thresholds": THRESHOLDS.tolist(),
        "model": as_list(statistic(np.ones((1, judged.patients.n)))["model"][0]),
        "model_low": as_list(low),
        "model_high": as_list(high),
        "treat_all": (share - (1 - share) * odds(THRESHOLDS)).tolist(),
        "treat_none": [0.0] * len(THRESHOLDS),
        "prevalence": share,
        "prevalence_is": "of these images" if prevalence is None else "stated",
    }


def odds(thresholds: Floats) -> Floats:
    """How many true positives one false positive costs at each threshold."""
    return thresholds / (1 - thresholds)


class NetBenefit:
    """Net benefit (b, 99) of acting from each threshold on, for patient weights (b, P)."""

    def __init__(self, judged: Judged, prevalence: float | None) -> None:
        self._prevalence = prevalence
        reached = np.searchsorted(THRESHOLDS, judged.probabilities[:, 1], side="right")
        groups = reached * 2 + judged.codes
        n_groups = 2 * (len(THRESHOLDS) + 1)
        self._sums = PatientSums(judged.patients, groups, n_groups, np.ones(judged.n))

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """The curve of these weightings, as "model"; NaN where a class it needs has no weight."""
        counts = self._sums(weights).reshape(len(weights), -1, 2)
        called = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        false, true = called[:, 1:, 0], called[:, 1:, 1]
        negatives, positives = called[:, :1, 0], called[:, :1, 1]
        if self._prevalence is None:
            total = negatives + positives
            return {"model": ratio(true - false * odds(THRESHOLDS), total + 0 * true)}
        sensitivity = ratio(true, positives + 0 * true)
        alarms = ratio(false, negatives + 0 * false)
        share = self._prevalence
        return {"model": share * sensitivity - (1 - share) * alarms * odds(THRESHOLDS)}
