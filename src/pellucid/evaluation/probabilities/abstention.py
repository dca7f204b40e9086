"""Abstention: how the error rate falls when others judge what the model is least sure of.

Confidence is the largest probability. Images are kept from the surest down; equal ones are kept
together. Sources: Geifman and El-Yaniv 2017 (risk-coverage curve and its
area); Clopper and Pearson 1934 where none of the kept is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.ratios import ratio
from pellucid.evaluation.uncertainty.intervals import resample
from pellucid.evaluation.uncertainty.resampled import (
    CONFIDENCE,
    PatientSums,
    as_list,
    band,
    group_scores,
    resampled_figure,
    share_figure,
)

COVERAGES = np.arange(1, 101) / 100
KEPT = (0.8, 0.9)
_ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def abstention(judged: Judged, validation: Judged | None, draw: tuple[int, int]) -> dict[str, Any]:
    """The block "abstention": curve with bands, area, and the risk where validation set the limit.

    `draw` is (n_resamples, seed). A thousand resamples of 100,000 patients take 6 s.
    """
    n_groups = len(np.unique(confidence(judged)))
    exact = RiskCoverage(judged, n_groups)(np.ones((1, judged.patients.n)))
    grouped = RiskCoverage(judged)
    low, high = band(grouped.risk, judged.patients, draw)["risk"]
    n_kept = np.maximum(1, COVERAGES * judged.patients.n)
    # without a mistake among the surest no resample has one: the exact interval stands instead
    high = np.where(high == 0, 1 - ((1 - CONFIDENCE) / 2) ** (1 / n_kept), high)
    area = resample(grouped.area, judged.patients, *draw, stratified=False)["area"]
    return {
        "coverage": COVERAGES.tolist(),
        "risk": as_list(exact["risk"][0]),
        "risk_low": as_list(low),
        "risk_high": as_list(high),
        "area": resampled_figure(float(exact["area"][0]), area, "no image"),
        "risk_is": "error rate of the images kept",
        **_at_limits(judged, validation),
    }


def confidence(judged: Judged) -> Floats:
    """The largest probability (n,)."""
    return np.asarray(judged.probabilities.max(axis=1))


def wrong(judged: Judged) -> Bools:
    """Which images (n,) get a wrong class: the likeliest, of two the positive one from 0.5 on."""
    if judged.target.is_binary:
        return np.asarray((judged.probabilities[:, 1] >= 0.5) != (judged.codes == 1))
    return np.asarray(judged.probabilities.argmax(axis=1) != judged.codes)


class RiskCoverage:
    """The curve at coverages 0.01 to 1 and its area, for patient weights (b, P).

    The risk at a coverage is that of the fewest surest images that reach it. The area is the mean,
    over the images, of the risk of keeping all that are at least as sure, as average precision is.
    """

    def __init__(self, judged: Judged, n_groups: int = 2000) -> None:
        values, groups = group_scores(-confidence(judged), n_groups)
        sums = (judged.patients, groups, len(values))
        self._errors = PatientSums(*sums, wrong(judged).astype(np.float64))
        self._kept = PatientSums(*sums, np.ones(judged.n))

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """{"risk": (b, 100), "area": (b,)} of these weightings."""
        return self.risk(weights) | self.area(weights)

    def risk(self, weights: Floats) -> dict[str, Floats]:
        """The curve, {"risk": (b, 100)}."""
        _, kept, risk = self._totals(weights)
        share = ratio(kept, np.broadcast_to(kept[:, -1:], kept.shape))
        places = np.stack([np.searchsorted(row, COVERAGES - _ROUNDING) for row in share])
        return {"risk": np.take_along_axis(risk, places, axis=1)}

    def area(self, weights: Floats) -> dict[str, Floats]:
        """The area, {"area": (b,)}."""
        images, kept, risk = self._totals(weights)
        return {"area": ratio((images * np.nan_to_num(risk)).sum(axis=1), kept[:, -1])}

    def _totals(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Images in each group of equals, images kept down to it, and the risk of keeping them."""
        images = self._kept(weights)
        kept = images.cumsum(axis=1)
        return images, kept, ratio(self._errors(weights).cumsum(axis=1), kept)


def limit_for(judged: Judged, coverage: float) -> float:
    """The highest confidence from which on at least this share of the images is kept."""
    ranked = np.sort(confidence(judged))[::-1]
    return float(ranked[int(np.ceil(coverage * len(ranked) - _ROUNDING)) - 1])


def _at_limits(judged: Judged, validation: Judged | None) -> dict[str, Any]:
    if validation is None:
        return {"at": [], "reason": "there is no validation split to choose a confidence on"}
    if judged.split == validation.split:
        return {"at": [], "reason": "a confidence is chosen on these images and judged on others"}
    return {"at": [_at(judged, validation, coverage) for coverage in KEPT]}


def _at(judged: Judged, validation: Judged, coverage: float) -> dict[str, Any]:
    limit = limit_for(validation, coverage)
    kept, owner = confidence(judged) >= limit, judged.patients.of_image
    return {
        "coverage": coverage,
        "threshold": limit,
        "risk": share_figure(wrong(judged)[kept], owner[kept], "no image is kept"),
        "kept": share_figure(kept, owner, "no image"),
        "chosen_on": validation.split,
    }
