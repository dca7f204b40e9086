"""The card: what a bundle says of itself, and the part of it that a run's judgement writes.

Thresholds and prediction sets stand in it by target, so that whoever uses a bundle decides as the
report says, and finds no other number. Knows documents; it does not know weights or pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from pellucid.errors import BundleError, PellucidError
from pellucid.images.preprocessing import Preprocessing
from pellucid.task import Task

if TYPE_CHECKING:
    from pellucid.bundle.files import BundleFiles

INTENDED_USE = "Research and teaching. Not a medical device."
NOT_STATED = "not stated"
DRAWN = ("format", "version", "seed", "n_resamples", "confidence")
CARRIED = (  # of a block; no image, patient or path goes with a bundle
    "target",
    "split",
    "n_images",
    "n_patients",
    "patients_known",
    "classes",
    "positive",
    "prevalence",
    "confusion_matrix",
    "metrics",
    "per_class",
    "operating_points",
    "calibration",
)
_POINT = ("name", "threshold", "wanted", "chosen_on", "reason")
_SET = ("promised", "method", "threshold", "fitted_on", "n_calibration", "reason")


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Point(BaseModel):
    name: str
    threshold: Share


class _Aim(BaseModel):
    name: str
    threshold: Share | None  # None: not reached


class _Set(BaseModel):
    promised: Share
    threshold: Share


class _Costs(BaseModel):
    split: str
    n_positive: Annotated[int, Field(ge=1)]
    n_negative: Annotated[int, Field(ge=1)]
    threshold: list[Share]
    sensitivity: list[Share]
    specificity: list[Share]


class _Block(BaseModel):
    target: str
    split: str
    prevalence: dict[str, Share | None] | None = None
    operating_points: list[_Aim] = []


class _Evaluation(BaseModel):
    blocks: list[_Block] = []


class _Network(BaseModel):
    name: str


class _Training(BaseModel):
    calibration: dict[str, dict[str, Any]] | None = None


class _Stated(BaseModel):
    """What is used of a card: of these kinds, or, where it may be missing, not there."""

    task: Task
    preprocessing: Preprocessing
    network: _Network
    training: _Training | None = None
    evaluation: _Evaluation | None = None
    operating_points: dict[str, list[_Point]] | None = None
    prediction_sets: dict[str, list[_Set]] | None = None
    thresholds: dict[str, _Costs] | None = None
    licence: str | None = None
    intended_use: str | None = None
    limits: list[str] | None = None


def read_card(opened: BundleFiles) -> tuple[Task, Preprocessing]:
    """What is asked of the classifier, and what is done to every image.

    Raises `BundleError` for a card in which anything that is used later is of another kind.
    """
    try:
        stated = _Stated.model_validate(opened.card)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BundleError(f"The bundle {opened.place} is damaged ({reason[:200]})") from error
    except (PellucidError, TypeError, AttributeError) as error:  # what a task's own rules raise
        raise BundleError(f"The bundle {opened.place} is damaged ({error})") from error
    return stated.task, stated.preprocessing


def judgement(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of how good the classifier is, from the document of `evaluation.json`."""
    blocks = document["blocks"]
    evaluation = {
        **{key: document[key] for key in DRAWN},
        "blocks": [{key: block[key] for key in CARRIED} for block in blocks],
    }
    return {
        "evaluation": evaluation,
        "operating_points": _points(blocks),
        "prediction_sets": _sets(blocks),
    }


def _points(blocks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Each target's thresholds, those that were reached."""
    return {
        block["target"]: [
            {key: point.get(key) for key in _POINT}
            for point in block["operating_points"]
            if point["threshold"] is not None
        ]
        for block in blocks
    }


def _sets(blocks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Each target's thresholds of prediction sets, which were fitted on validation."""
    found: dict[str, list[dict[str, Any]]] = {}
    for block in blocks:
        sets = block.get("prediction_sets")
        if isinstance(sets, list):
            kept = [{key: one.get(key) for key in _SET} for one in sets]
            found.setdefault(block["target"], kept)
    return found


def limits(facts: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """What the classifier is not known to do, in sentences, from a run's facts and judgement."""
    dataset, blocks = facts["dataset"], document["blocks"]
    splits = {block["split"] for block in blocks}
    said = []
    if dataset["synthetic"]:
        said.append("Trained on synthetic images, drawn and not scanned: of no use for patients.")
    if not dataset["patients_known"]:
        said.append("Patients were not known, so that its figures may be too good.")
    if not splits & {"test", "external_test"}:
        said.append("Judged on the images that chose its epoch: its figures are too good.")
    if "external_test" not in splits:
        said.append("Not tested on images of another hospital, scanner or time.")
    said.append("Not tested on other views, body parts or patients than those of training.")
    return said


def operating_points(card: Mapping[str, Any], target: str) -> list[dict[str, Any]]:
    """The thresholds of a target, of this version's cards and of the first one's."""
    stated = card.get("operating_points")
    if isinstance(stated, dict):
        return list(stated.get(target) or [])
    blocks = (card.get("evaluation") or {}).get("blocks") or []
    return _points([block for block in blocks if block["target"] == target]).get(target, [])


def set_thresholds(card: Mapping[str, Any], target: str) -> list[dict[str, Any]]:
    """The thresholds of a target's prediction sets, by promise; empty where none were fitted."""
    return list((card.get("prediction_sets") or {}).get(target) or [])
