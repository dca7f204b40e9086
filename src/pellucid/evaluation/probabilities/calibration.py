"""Whether probabilities mean what they say: of images given 0.8, eight in ten should be positive.

For two classes the probability of the positive class is held against how often it is right; for
more, that of the predicted class (confidence calibration), which says nothing of the classes that
were not predicted. The slope and the intercept recalibrate the logit of that same claim.
Sources: Cox 1958 and Van Calster et al. 2019 (slope, intercept); Guo et al. 2017 (the predicted
class's claim); Naeini et al. 2015 (calibration error). Its error has no interval: resamples are
further from the diagonal than the images, which are further than the truth (Bröcker 2012).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.probability_metrics import (
    N_BINS,
    ProbabilityScores,
    claims,
    equal_bins,
    equal_mass_bins,
)
from pellucid.evaluation.probabilities.recalibration import fit_intercept, fit_line, is_parted
from pellucid.evaluation.probabilities.scaling import Method, Scaling, fit_scaling, scale
from pellucid.evaluation.uncertainty.intervals import resample
from pellucid.evaluation.uncertainty.resampled import (
    PatientSums,
    group_scores,
    resampled_figure,
    share_figure,
    sum_by,
    without_interval,
)

SUREST = 1e-8  # claims of 0 and 1 have no logit; they are taken as this and its complement
N_SIMULATED = 200
FITTED_GROUPS = 250  # move a slope by 0.03 of its spread at most, on 100,000 images
NO_INTERVAL = "resamples show more error than their images do, so that a percentile one misses"
RESAMPLED = ("brier", "log_loss", "slope", "intercept")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def calibration_block(
    judged: Judged,
    validation: Judged | None,
    draw: tuple[int, int],
    method: Method = "temperature",
) -> dict[str, Any]:
    """The block "calibration": these images before and after a scaling fitted on validation.

    `draw` is (n_resamples, seed). A thousand resamples of 100,000 patients take 3 s. "after" is
    None, with the reason, where there is nothing to fit on.
    """
    scaling, reason = _fit(judged, validation, method)
    states = {"before": judged}
    if scaling is not None:
        states["after"] = scale(judged, scaling)
    statistics = {when: Calibration(state) for when, state in states.items()}

    def statistic(weights: Floats) -> dict[tuple[str, str], Floats]:
        return {(w, n): v for w, s in statistics.items() for n, v in s(weights).items()}

    drawn = resample(statistic, judged.patients, *draw, stratified=False)
    described = {
        when: _describe(state, statistics[when], {n: drawn[when, n] for n in RESAMPLED}, draw[1])
        for when, state in states.items()
    }
    return {
        "claim": "positive class" if judged.target.is_binary else "predicted class",
        "before": described["before"],
        "after": described.get("after"),
        "scaling": None if scaling is None else asdict(scaling),
        "reason": reason,
    }


def _fit(judged: Judged, validation: Judged | None, method: Method) -> tuple[Scaling | None, str]:
    if validation is None:
        return None, "there is no validation split to fit a scaling on"
    if judged.split == validation.split:
        return None, "a scaling is fitted on these images, so it is judged on others"
    return fit_scaling(validation, method)


class Calibration:
    """Brier, log-loss, slope and intercept of one target and split, for patient weights (b, P).

    A resample's slope and intercept are fitted to at most 250 groups of claims; `values` are
    those of the images themselves, ungrouped.
    """

    def __init__(self, judged: Judged) -> None:
        self._scores = ProbabilityScores(
            judged.probabilities, judged.codes, judged.patients.of_image
        )
        claimed, self.right = claims(judged.probabilities, judged.codes)
        held = np.clip(claimed, SUREST, 1 - SUREST)
        self.n_held = int((held != claimed).sum())
        self.logits = np.log(held) - np.log1p(-held)
        self._points, groups = group_scores(self.logits, FITTED_GROUPS)
        sums = (judged.patients, groups, len(self._points))
        self._hits = PatientSums(*sums, self.right.astype(np.float64))
        self._totals = PatientSums(*sums, np.ones(judged.n))
        self._n_patients = judged.patients.n

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """The four (b,) of these weightings; NaN where there is none."""
        return self._all(weights, self._points, self._hits(weights), self._totals(weights))

    def _all(
        self, weights: Floats, points: Floats, hits: Floats, totals: Floats
    ) -> dict[str, Floats]:
        scores = self._scores(weights)
        return {
            "brier": scores["brier"],
            "log_loss": scores["log_loss"],
            "slope": fit_line(points, hits, totals)[1],
            "intercept": fit_intercept(points, hits, totals),
        }

    def values(self) -> dict[str, float]:
        """The four and both calibration errors of the images as they are."""
        whole = np.ones((1, self._n_patients))
        points, place = np.unique(self.logits, return_inverse=True)
        hits, totals = sum_by(place, self.right)[None], sum_by(place)[None]
        fitted = self._all(whole, points, hits, totals)
        return {name: float(value[0]) for name, value in (self._scores(whole) | fitted).items()}

    def why_no_fit(self) -> tuple[str, str]:
        """Why there is no slope, and why there is no intercept."""
        if self.right.all() or not self.right.any():
            one = "every claim is right" if self.right.all() else "every claim is wrong"
            return one, one
        if np.ptp(self.logits) == 0:
            return "every image has the same probability", ""
        _, place = np.unique(self.logits, return_inverse=True)
        if is_parted(sum_by(place, self.right)[None], sum_by(place)[None])[0]:
            return (
                "the probabilities part the images without overlap, so no finite slope is best",
                "",
            )
        return "the fit did not settle", "the fit did not settle"


def _describe(
    judged: Judged, statistic: Calibration, drawn: dict[str, Floats], seed: int
) -> dict[str, Any]:
    values = statistic.values()
    no_slope, no_intercept = statistic.why_no_fit()
    reasons = {"slope": no_slope, "intercept": no_intercept}
    figures = {
        name: resampled_figure(values[name], drawn[name], reasons.get(name, "no image"))
        for name in RESAMPLED
    }
    claimed, _ = claims(judged.probabilities, judged.codes)
    for name, bins in (
        ("calibration_error", equal_bins(claimed)),
        ("adaptive_calibration_error", equal_mass_bins(claimed)),
    ):
        figures[name] = without_interval(values[name], NO_INTERVAL)
        expected = error_by_chance(claimed, bins, seed)
        figures[name]["note"] = f"chance alone gives honest probabilities {expected:.3f} here"
    figures["intercept"]["note"] = "calibration in the large: the slope is held at 1"
    if statistic.n_held:
        figures["slope"]["note"] = (
            f"{statistic.n_held} claims of 0 or 1 were taken as 1e-8 or 1-1e-8"
        )
    return {**figures, "bins": reliability_bins(judged)}


def error_by_chance(claimed: Floats, bins: Ints, seed: int) -> float:
    """The mean calibration error that perfectly calibrated claims (n,) show in these bins.

    Outcomes are drawn from the claims themselves, images as if independent.
    Source: Bröcker and Smith 2007, consistency resampling.
    """
    generator = np.random.default_rng(seed)
    errors = []
    for _ in range(N_SIMULATED):
        gap = claimed - (generator.random(len(claimed)) < claimed)
        errors.append(np.abs(np.bincount(bins, gap, minlength=N_BINS)).sum() / len(claimed))
    return float(np.mean(errors))


def reliability_bins(judged: Judged) -> list[dict[str, Any]]:
    """Ten equal bins of probability: images, their mean claim, how often right, and its interval.

    An empty bin has n = 0 and None for the rest.
    """
    claimed, right = claims(judged.probabilities, judged.codes)
    place = equal_bins(claimed)
    return [
        _bin(number, claimed[inside], right[inside], judged.patients.of_image[inside])
        for number, inside in ((number, place == number) for number in range(N_BINS))
    ]


def _bin(
    number: int, claimed: Floats, right: npt.NDArray[np.bool_], patients: Ints
) -> dict[str, Any]:
    edges = {"low": number / N_BINS, "high": (number + 1) / N_BINS, "n": len(claimed)}
    if not len(claimed):
        empty = ("mean_probability", "observed", "observed_low", "observed_high")
        return edges | dict.fromkeys(empty)
    observed = share_figure(right, patients, "no image")
    return edges | {
        "mean_probability": float(claimed.mean()),
        "observed": observed["value"],
        "observed_low": observed["low"],
        "observed_high": observed["high"],
    }
