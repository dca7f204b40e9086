"""One block of `evaluation.json`: everything that can be said of one target and split.

Knows which measures there are and what each needs; what a measure is stands in its own file.
What is chosen (thresholds, scaling, sets) is chosen on validation and reported here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.decisions.curves import curves_block
from pellucid.evaluation.decisions.decision_curve import decision_curve
from pellucid.evaluation.decisions.operating_point import (
    DEFAULT,
    OperatingPoint,
    Unreached,
    Wishes,
    choose_points,
    confusion_at,
)
from pellucid.evaluation.groups.failures import judge_failures
from pellucid.evaluation.groups.subgroups import judge_subgroups
from pellucid.evaluation.judged import Judged
from pellucid.evaluation.measures.patient_level import RULES, by_patient
from pellucid.evaluation.probabilities.abstention import abstention
from pellucid.evaluation.probabilities.calibration import calibration_block
from pellucid.evaluation.probabilities.prediction_sets import prediction_sets
from pellucid.evaluation.probabilities.scaling import Method, Scaling, scale
from pellucid.evaluation.uncertainty.figures import build_figures, main_metrics
from pellucid.evaluation.uncertainty.statistic import ALL

LOSSES = ("brier", "log_loss")
ROUGHLY = 500  # resamples for bands and groups, which are looked at and not quoted

Ints = npt.NDArray[np.int64]
Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Features:
    """What the network made of images: `values` (m, d) of the images `image_ids` (m,)."""

    image_ids: npt.NDArray[np.str_]
    values: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Asked:
    """What is asked of a judgement beside the predictions.

    `ordered` are the classes from least to most where they have an order, `features` describe
    images so that mistakes can be gathered by similarity.
    """

    wishes: Wishes = field(default_factory=Wishes)
    ordered: tuple[str, ...] = ()
    features: Features | None = None
    n_resamples: int = 1000
    seed: int = 0

    @property
    def draw(self) -> tuple[int, int]:
        """Resamples and seed of what is quoted."""
        return self.n_resamples, self.seed

    @property
    def rough(self) -> tuple[int, int]:
        """Resamples and seed of what is looked at."""
        return min(self.n_resamples, ROUGHLY), self.seed


def build_block(
    judged: Judged, validation: Judged | None, asked: Asked, *, is_deep: bool
) -> dict[str, Any]:
    """The block of one target and split; without `is_deep` the figures and curves alone."""
    target, codes = judged.target, judged.codes
    predicted = predicted_classes(judged)
    k = len(target.classes)
    figures = _figures(judged, k * codes + predicted, asked)
    counts = np.bincount(codes, minlength=k)
    block = {
        "target": target.name,
        "split": judged.split,
        "n_images": judged.n,
        "n_patients": judged.patients.n,
        "patients_known": judged.patients_known,
        "classes": list(target.classes),
        "ordered": _is_ordered(judged, asked),
        "positive": target.positive,
        "prevalence": dict(zip(target.classes, (counts / judged.n).tolist(), strict=True)),
        "stated_prevalence": asked.wishes.prevalence,
        "confusion_matrix": np.bincount(k * codes + predicted, minlength=k * k)
        .reshape(k, k)
        .tolist(),
        "metrics": main_metrics(figures, target),
        "per_class": {name: figures[name] for name in target.classes},
        "operating_points": _points(judged, validation, asked),
        "calibration": _calibration(judged, validation, asked, figures[ALL]),
        "curves": curves_block(judged, asked.rough),
    }
    return block | (_depth(judged, validation, asked) if is_deep else {})


def predicted_classes(judged: Judged) -> Ints:
    """The class of each image (n,): for two classes the positive one from 0.5 on."""
    if judged.target.is_binary:
        return (judged.probabilities[:, 1] >= 0.5).astype(np.int64)
    return np.asarray(judged.probabilities.argmax(axis=1))


def _calibration(
    judged: Judged, validation: Judged | None, asked: Asked, figures: dict[str, Any]
) -> dict[str, Any]:
    """Before and after scaling; losses have the intervals that they have among the metrics.

    Two classes are scaled by Platt's two numbers, since one temperature moves no intercept.
    """
    method: Method = "platt" if judged.target.is_binary else "temperature"
    block = calibration_block(judged, validation, asked.draw, method)
    block["before"] |= {name: figures[name] for name in LOSSES}
    if block["scaling"] is not None:
        scaled = scale(judged, Scaling(**block["scaling"]))
        cells = len(judged.target.classes) * scaled.codes + predicted_classes(scaled)
        after = _figures(scaled, cells, asked)[ALL]
        block["after"] |= {name: after[name] for name in LOSSES}
    return block


def _is_ordered(judged: Judged, asked: Asked) -> bool:
    return len(asked.ordered) > 2 and tuple(asked.ordered) == judged.target.classes


def _figures(judged: Judged, cells: Ints, asked: Asked, *, only_counts: bool = False) -> Figures:
    return build_figures(
        judged,
        cells,
        asked.draw,
        ordered=_is_ordered(judged, asked),
        prevalence=asked.wishes.prevalence if judged.target.is_binary else None,
        only_counts=only_counts,
    )


def _depth(judged: Judged, validation: Judged | None, asked: Asked) -> dict[str, Any]:
    """What is asked of the split that the report is about."""
    known = asked.features
    return {
        "decision_curve": decision_curve(judged, asked.rough, asked.wishes.prevalence),
        "prediction_sets": prediction_sets(judged, validation),
        "abstention": abstention(judged, validation, asked.rough),
        "patient_level": _patient_level(judged, asked),
        "subgroups": judge_subgroups(judged, asked.rough),
        "failures": judge_failures(
            judged,
            None if known is None else known.values,
            None if known is None else known.image_ids,
        ),
    }


def _points(judged: Judged, validation: Judged | None, asked: Asked) -> list[dict[str, Any]]:
    """The operating points, chosen on validation, with the figures of this split at each."""
    if not judged.target.is_binary:
        return []
    chosen = choose_points(validation, asked.wishes) if validation is not None else []
    return [_at_point(judged, point, asked) for point in (DEFAULT, *chosen)]


def _at_point(judged: Judged, point: OperatingPoint | Unreached, asked: Asked) -> dict[str, Any]:
    if isinstance(point, Unreached):
        return {**asdict(point), "metrics": {}}
    cells = confusion_at(judged.probabilities[:, 1], judged.codes == 1, point.threshold)
    figures = _figures(judged, cells, asked, only_counts=True)
    return {**asdict(point), "reason": "", "metrics": main_metrics(figures, judged.target)}


def _patient_level(judged: Judged, asked: Asked) -> dict[str, Any]:
    """The same figures where each patient counts once; null where images are all there is."""
    if not judged.patients_known:
        return {"reason": "patients are not known"}
    if judged.patients.n == judged.n:
        return {"reason": "every patient has one image, so both levels are the same"}
    return {rule: _by_rule(judged, rule, asked) for rule in RULES}


def _by_rule(judged: Judged, rule: str, asked: Asked) -> dict[str, Any]:
    level = by_patient(judged, rule)
    about = {"n_left_out": level.n_left_out, "n_mixed": level.n_mixed, "reason": level.reason}
    if level.judged is None:
        return {"n": 0, "metrics": {}, **about}
    patients = level.judged
    k = len(patients.target.classes)
    figures = _figures(patients, k * patients.codes + predicted_classes(patients), asked)
    return {"n": patients.n, "metrics": main_metrics(figures, patients.target), **about}
