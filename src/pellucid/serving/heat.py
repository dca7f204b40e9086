"""Where an image speaks for a class, as a picture: the class map over the whole image.

Computed from the bundle's graph, so that no torch is needed (see `prediction.class_map`).
"""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from pellucid.errors import UsageError, did_you_mean
from pellucid.images.preprocessing import place_back
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction.class_map import class_map, enlarge
from pellucid.serving.answers import Looked
from pellucid.serving.models import Served
from pellucid.task import Target

_drawing = threading.Lock()


class Explanation(BaseModel):
    """Where an image speaks for a class.

    `overlay` is a PNG of the image with the map over it, base64; `cell_rows` and `cell_columns` are
    those of the map before it was enlarged: it shows nothing finer.
    """

    model: str
    digest: str
    name: str
    target: str
    of_class: str
    probability: float
    method: Literal["grad_cam"]
    cell_rows: int
    cell_columns: int
    strongest: float
    overlay: str
    notice: str


class Heat(NamedTuple):
    """A map (S, S) over the network's square, none below 0, with what it is of."""

    values: npt.NDArray[np.float32]
    target: Target
    of_class: str
    probability: float
    cells: tuple[int, int]
    layer: str = "the last layer"


def find_target(served: Served, name: str | None) -> Target:
    """The target of that name, or the first; raises `UsageError`."""
    targets = {target.name: target for target in served.opened.task.targets}
    if name is None:
        return next(iter(targets.values()))
    if name not in targets:
        remedy = did_you_mean(name, list(targets))
        raise UsageError("The target must be one of the model's", repr(name), remedy)
    return targets[name]


def explain(served: Served, looked: Looked, target: Target, of_class: str | None) -> Heat:
    """The map of a class; of the likeliest where none is named. Raises `UsageError`."""
    logits, maps = served.opened.engine.compute_maps(looked.pixels[np.newaxis])
    part = served.opened.task.slices()[target.name]
    probabilities = probabilities_from_logits(logits[:, part], target)[0]
    chosen = of_class or target.classes[int(np.argmax(probabilities))]
    coarse = class_map(target, served.heads[target.name], maps[0], chosen)
    square = enlarge(coarse, served.opened.preprocessing.image_size)
    probability = float(probabilities[target.classes.index(chosen)])
    return Heat(square, target, chosen, probability, (coarse.shape[0], coarse.shape[1]))


def draw(served: Served, looked: Looked, heat: Heat) -> bytes:
    """The whole image with the map over it, as PNG; one at a time, since figures share fonts."""
    from pellucid.reporting.drawing.heat_maps import HeatMap, draw_overlay, fit_picture

    picture = fit_picture(looked.image.pixels)
    height, width = picture.shape[0], picture.shape[1]
    values = place_back(heat.values, height, width, served.opened.preprocessing)
    with _drawing:
        return draw_overlay(picture, HeatMap(values, f"for {heat.of_class}", "logit"))
