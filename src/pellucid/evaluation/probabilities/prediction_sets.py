"""Prediction sets: the classes that an image may have, with the share of truths caught promised.

Split conformal prediction, fitted on validation: the promise holds for images of new patients drawn
like those of validation, whatever the model. What is exchangeable is the patient, not the image,
so a patient's images share one vote (hierarchical conformal prediction), and coverage on test is
counted alike. With one image a patient this is plain split conformal prediction.
Sources: Sadinle et al. 2019 (LAC); Romano et al. 2020 (APS); Dunn et al. 2022 and Lee et al. 2023
(patients with several images); Angelopoulos and Bates 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.uncertainty.distributions import student_quantile
from pellucid.evaluation.uncertainty.proportions import share_interval, wilson
from pellucid.evaluation.uncertainty.resampled import (
    CONFIDENCE,
    Figure,
    interval_figure,
    sum_by,
    undefined,
    without_interval,
)

PROMISES = (0.90, 0.95)
METHODS = {
    "lac": "split conformal (least ambiguous: classes with at least the threshold's probability)",
    "aps": "split conformal (adaptive: likeliest classes until they sum to the threshold)",
}
_ROUNDING = 1e-9

Score = Literal["lac", "aps"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def prediction_sets(
    judged: Judged,
    validation: Judged | None,
    promises: Sequence[float] = PROMISES,
    score: Score = "lac",
) -> list[dict[str, Any]] | dict[str, str]:
    """Sets fitted on validation and counted on these images, one entry a promise; or the reason.

    Nothing is resampled: 0.3 s for 100,000 images. Raises `UsageError` for a promise outside (0, 1)
    or another score.
    """
    if score not in METHODS or not all(0 < promise < 1 for promise in promises):
        found = f"{list(promises)} and {score!r}"
        raise UsageError("A promise lies between 0 and 1, a score is lac or aps", found)
    if validation is None:
        return {"reason": "there is no validation split to fit prediction sets on"}
    if judged.split == validation.split:
        return {
            "reason": "prediction sets are fitted on these images, so they are judged on others"
        }
    misfits = strangeness(validation.probabilities, score)
    true = misfits[np.arange(validation.n), validation.codes]
    limits = [conformal_limit(true, validation.patients.of_image, p) for p in promises]
    strange = strangeness(judged.probabilities, score)
    counted = "one image a patient"
    if judged.patients.n < judged.n or validation.patients.n < validation.n:
        counted = "patients count alike: an image weighs one over its patient's images"
    return [
        {
            "promised": promise,
            "method": METHODS[score],
            "fitted_on": validation.split,
            "n_calibration": validation.patients.n,
            "threshold": _shown(limit, score),
            "reason": _reason(limit, promise, validation.patients.n),
            "counted": counted,
            **_figures(judged, strange <= limit),
        }
        for promise, limit in zip(promises, limits, strict=True)
    ]


def strangeness(probabilities: Floats, score: Score) -> Floats:
    """How ill each class suits each image (n, K): the least strange are in the set first.

    LAC: minus the class's probability, so that no rounding parts equal ones. APS: the probability
    of the classes at least as likely, itself included; without random ties, so coverage may exceed
    the promise.
    """
    if score == "lac":
        return -probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    strange = np.empty_like(sums)
    np.put_along_axis(strange, order, sums, axis=1)
    return strange


def conformal_limit(true: Floats, patients: Ints, promise: float) -> float:
    """The largest strangeness admitted, from that of the true classes (n,); inf admits all.

    The promised quantile, where each of P patients has weight 1 / (P + 1), shared by its images,
    and the rest of the weight lies at infinity for the patient to come.
    """
    _, owner, images = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(true, kind="stable")
    votes = np.cumsum(1 / images[owner[order]])
    enough = votes >= promise * (len(images) + 1) - _ROUNDING
    return float(true[order][np.argmax(enough)]) if enough.any() else math.inf


def _shown(limit: float, score: Score) -> float:
    """The threshold of the document, a probability: 0 (LAC) and 1 (APS) admit every class."""
    if score == "lac":
        return 0.0 if math.isinf(limit) else -limit
    return 1.0 if math.isinf(limit) else limit


def _reason(limit: float, promise: float, n_patients: int) -> str:
    if not math.isinf(limit):
        return ""
    needed = math.ceil(promise / (1 - promise) - _ROUNDING)
    return (
        f"{n_patients} patients are too few to promise {promise:g} (it takes {needed}), "
        "so every set holds every class"
    )


def _figures(judged: Judged, inside: Bools) -> dict[str, Any]:
    """Coverage and size of sets (n, K); a patient's value is the mean over its images."""
    size = inside.sum(axis=1)
    caught = inside[np.arange(judged.n), judged.codes]
    owner = judged.patients.of_image
    per_class = {}
    for code, name in enumerate(judged.target.classes):
        of_class = judged.codes == code
        means = _patient_means(caught[of_class], owner[of_class])
        per_class[name] = _share(means, f"no image of class {name}")
    return {
        "coverage": _share(_patient_means(caught, owner), ""),
        "mean_size": _mean(_patient_means(size, owner)),
        "singletons": _share(_patient_means(size == 1, owner), ""),
        "empty": _share(_patient_means(size == 0, owner), ""),
        "per_class": per_class,
    }


def _patient_means(values: npt.NDArray[Any], owner: Ints) -> Floats:
    """The mean of each patient's images (J,), of the patients that have any."""
    _, patients = np.unique(owner, return_inverse=True)
    return sum_by(patients, values) / sum_by(patients)


def _share(means: Floats, reason: str) -> Figure:
    """The mean of patients' shares (J,), by Wilson's interval with the size their spread leaves."""
    if not len(means):
        return undefined(reason)
    value, n = float(means.mean()), len(means)
    if np.isin(means, (0.0, 1.0)).all() or n == 1:
        return interval_figure(value, share_interval(means, np.ones(n)))
    size = n * value * (1 - value) / max(float(means.var(ddof=1)), 1e-12)
    return interval_figure(value, (*wilson(value, size), f"Wilson, means of {n} patients"))


def _mean(means: Floats) -> Figure:
    """The mean of patients' values (J,), by Student's t."""
    value, n = float(means.mean()), len(means)
    if n == 1:
        return without_interval(value, "all images are of one patient")
    error = float(means.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return without_interval(value, "every patient has the same value")
    reach = student_quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    return interval_figure(value, (value - reach, value + reach, f"Student's t over {n} patients"))
