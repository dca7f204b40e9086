"""Scaling: probabilities made honest by one or two numbers that are fitted on validation.

Temperature scaling divides every logit by one number, so that ranks and the predicted class stay;
it is the default. Platt's scaling fits a line to the logit of the positive class. Test is never
fitted on. Probabilities below 2.2e-16 count as that, as in the log-loss.
Sources: Guo et al. 2017 (temperature); Platt 1999, with Lin et al. 2007 (targets).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.probability_metrics import SMALLEST
from pellucid.evaluation.probabilities.recalibration import fit_line
from pellucid.evaluation.uncertainty.resampled import sum_by

NO_BEST = "every image is given its true class, so that no finite temperature is best"
_COLDEST = 1e6  # 1 / temperature beyond which a fit counts as infinite
_HALVINGS = 60  # of the range that holds the minimum: to the last digit

Method = Literal["temperature", "platt"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scaling:
    """A fitted scaling: its method, its numbers by name, and the split they were fitted on.

    temperature: {"temperature": T}, logits are divided by T; above 1 the model was too sure.
    platt: {"intercept": a, "slope": b}, the logit z of the positive class becomes a + b·z.
    """

    method: str
    parameters: dict[str, float]
    fitted_on: str

    def apply(self, probabilities: Floats) -> Floats:
        """Scaled probabilities (n, K) of probabilities (n, K); rows sum to 1."""
        logs = log_probabilities(probabilities)
        if self.method == "temperature":
            return np.asarray(softmax(logs / self.parameters["temperature"], axis=1))
        z = self.parameters["intercept"] + self.parameters["slope"] * (logs[:, 1] - logs[:, 0])
        return np.stack([expit(-z), expit(z)], axis=1)


def scale(judged: Judged, scaling: Scaling) -> Judged:
    """The same images with scaled probabilities."""
    return replace(judged, probabilities=scaling.apply(judged.probabilities))


def log_probabilities(probabilities: Floats) -> Floats:
    """Logarithms (n, K): the logits, but for a constant in each row, which scaling does not see.

    Of two classes only the positive one is read, so that equal probabilities stay equal.
    """
    if probabilities.shape[1] > 2:
        return np.log(np.maximum(probabilities, SMALLEST))
    positive = np.clip(probabilities[:, 1], SMALLEST, 1 - SMALLEST)
    return np.stack([np.log1p(-positive), np.log(positive)], axis=1)


def fit_scaling(validation: Judged, method: Method = "temperature") -> tuple[Scaling | None, str]:
    """The scaling with the least log-loss on these images, or None and the reason.

    Raises `UsageError` for another method, or for Platt's where there are more than two classes.
    """
    if method not in ("temperature", "platt"):
        raise UsageError("A scaling is one of temperature, platt", repr(method))
    if method == "platt" and not validation.target.is_binary:
        found = f"{len(validation.target.classes)} for target {validation.target.name!r}"
        raise UsageError("Platt's scaling needs two classes", found, "Take temperature scaling.")
    if len(np.unique(validation.codes)) < 2:
        return None, f"all images of {validation.split} have one class"
    logs = log_probabilities(validation.probabilities)
    fit = _fit_temperature if method == "temperature" else _fit_platt
    parameters, reason = fit(logs, validation.codes)
    if reason:
        return None, f"{reason} on {validation.split}"
    return Scaling(method, parameters, validation.split), ""


def _fit_temperature(logs: Floats, codes: Ints) -> tuple[dict[str, float], str]:
    """The log-loss is convex in 1/T, so that its only minimum is where its slope crosses zero."""
    true = logs[np.arange(len(codes)), codes]

    def slope(cold: float) -> float:
        return float(((softmax(cold * logs, axis=1) * logs).sum(axis=1) - true).mean())

    if slope(0.0) >= 0:
        return {}, "the probabilities do not favour the true classes"
    if (true == logs.max(axis=1)).all():
        return {}, NO_BEST
    high = 1.0
    while slope(high) < 0:
        high *= 2
        if high > _COLDEST:
            return {}, NO_BEST
    low = 0.0
    for _ in range(_HALVINGS):  # scipy.optimize would take half a second to load
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return {"temperature": 2 / (low + high)}, ""


def _fit_platt(logs: Floats, codes: Ints) -> tuple[dict[str, float], str]:
    """A line through softened targets, (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), as Platt proposed."""
    logits, place = np.unique(logs[:, 1] - logs[:, 0], return_inverse=True)
    n = np.bincount(codes, minlength=2)
    targets = np.where(codes == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    hits, totals = sum_by(place, targets), sum_by(place)
    intercept, line = fit_line(logits, hits[None], totals[None])
    if np.isnan(line[0]):
        return {}, "every image has the same probability"
    return {"intercept": float(intercept[0]), "slope": float(line[0])}, ""
