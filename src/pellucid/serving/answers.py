"""From an upload to what is said of it: logits, probabilities, a decision, or why there is none.

An answer that should not be relied on still holds its numbers, for whoever studies the model, but
no decision: the model abstains and says why.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from pellucid.bundle.guard import Caution
from pellucid.errors import ReadError
from pellucid.images.image import Image
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image_bytes
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction.decisions import classes_in_question, decide
from pellucid.serving.models import Served
from pellucid.serving.uploads import Upload
from pellucid.task import Target

FACTS = ("format", "width", "height", "bit_depth", "frames", "mode", "modality", "window")


class Reason(BaseModel):
    """Why the model abstains: a code for programs and a sentence for people."""

    code: str
    message: str


class Decided(BaseModel):
    """The class called; `operating_point` and `threshold` are null for several classes."""

    called: str
    operating_point: str | None
    threshold: float | None


class PredictionSet(BaseModel):
    """The classes in question, of which the true one is promised to be one so often."""

    promised: float
    classes: list[str]


class TargetAnswer(BaseModel):
    """What is said of one target; `decision` is null where the model abstains."""

    target: str
    logits: dict[str, float]
    probabilities: dict[str, float]
    decision: Decided | None
    prediction_sets: list[PredictionSet]


class Answer(BaseModel):
    """What is said of one file; `targets` is empty where it could not be read."""

    name: str
    status: Literal["answered", "abstained", "unreadable"]
    reasons: list[Reason]
    image: dict[str, str | int | float | bool] = Field(description="Facts of the picture itself.")
    targets: list[TargetAnswer]


class Answers(BaseModel):
    """What is said of the files of a request, in their order."""

    model: str
    digest: str
    seconds: float
    results: list[Answer]
    notice: str


class Looked(NamedTuple):
    """A picture as the network takes it, uint8 (C, S, S), and what speaks against an answer."""

    image: Image
    pixels: npt.NDArray[np.uint8]
    cautions: list[Caution]


def look_at(served: Served, upload: Upload, frame: int, max_pixels: int) -> Looked:
    """Read and preprocess an upload; raises `ReadError`."""
    preprocessing = served.opened.preprocessing
    image = read_image_bytes(
        upload.data, upload.name, frame, max_pixels=max_pixels, window=preprocessing.window
    )
    guard = served.opened.guard
    cautions = guard.cautions(image) if guard else []
    return Looked(image, preprocess(image.pixels, preprocessing), cautions)


def look_briefly(served: Served, upload: Upload, frame: int, max_pixels: int) -> Looked:
    """`look_at` without the picture as it was read, which may have a thousand times the bytes."""
    looked = look_at(served, upload, frame, max_pixels)
    nothing = np.empty((1, 0, 0), dtype=np.float32)
    return looked._replace(image=Image(nothing, looked.image.facts))


def answer(
    served: Served, upload: Upload, looked: Looked, logits: npt.NDArray[np.float32]
) -> Answer:
    """What is said of a picture whose logits (n_logits,) are known."""
    task = served.opened.task
    return Answer(
        name=upload.name,
        status="abstained" if looked.cautions else "answered",
        reasons=[Reason(code=code, message=message) for code, message in looked.cautions],
        image={key: looked.image.facts[key] for key in FACTS if key in looked.image.facts},
        targets=[
            _of_target(
                served, target, logits[task.slices()[target.name]], abstains=bool(looked.cautions)
            )
            for target in task.targets
        ],
    )


def unreadable(upload: Upload, error: ReadError) -> Answer:
    """What is said of a file that is no picture; the reason is the reader's."""
    reason = Reason(code="unreadable", message=str(error))
    return Answer(name=upload.name, status="unreadable", reasons=[reason], image={}, targets=[])


def failed(upload: Upload) -> Answer:
    """What is said where we made a mistake with a file; the log says where."""
    reason = Reason(code="failed", message="The server made a mistake with this file.")
    return Answer(name=upload.name, status="unreadable", reasons=[reason], image={}, targets=[])


def _of_target(
    served: Served, target: Target, logits: npt.NDArray[np.float32], *, abstains: bool
) -> TargetAnswer:
    probabilities = probabilities_from_logits(logits[np.newaxis], target)[0]
    decided = decide(target, probabilities, served.points[target.name])
    sets: list[dict[str, Any]] = classes_in_question(served.opened.card, target, probabilities)
    return TargetAnswer(
        target=target.name,
        logits=_by_class(target.classes[-target.n_logits :], logits),
        probabilities=_by_class(target.classes, probabilities),
        decision=None if abstains else Decided(**decided._asdict()),
        prediction_sets=[PredictionSet(**one) for one in sets],
    )


def _by_class(classes: tuple[str, ...], values: npt.NDArray[np.floating]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, values, strict=True)}
