"""One image explained: its logits in words, its maps, and its way through the network.

Knows the bundle and what `explanation` computes; it hands plain arrays to the page, which draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.errors import UsageError, did_you_mean
from pellucid.explanation.attribution.attribute import METHODS, attribute
from pellucid.explanation.attribution.settings import find_baseline
from pellucid.explanation.goals import Goal, find_goal, find_target
from pellucid.explanation.layers import full_name
from pellucid.explanation.walk import Walk, walk
from pellucid.explanation.wording import Wording, word_logits
from pellucid.images.image import Image
from pellucid.images.preprocessing import place_back, preprocess
from pellucid.prediction import predict_logits
from pellucid.reporting.drawing.heat_maps import LONGEST_SIDE, SHORTEST_SIDE, fit_picture
from pellucid.reporting.explaining.explained import (
    ExplainedImage,
    ExplainedMap,
    LogitSum,
    ShownStage,
)
from pellucid.reporting.explaining.method_words import method_words
from pellucid.task import Target

GRAD_CAM = "grad_cam"


@dataclass(frozen=True)
class Wish:
    """What is explained and how; None is every target, the class called, each method's default."""

    target: str | None = None
    label: str | None = None
    methods: tuple[str, ...] = (GRAD_CAM,)
    layer: str | None = None
    baseline: str | None = None

    def check(self, bundle: Bundle) -> Wish:
        """Raise `UsageError` for what this model cannot give; "all" becomes every method."""
        methods = METHODS if "all" in self.methods else tuple(dict.fromkeys(self.methods))
        for method in methods:
            if method not in METHODS:
                known = did_you_mean(method, [*METHODS, "all"])
                raise UsageError("Unknown method", repr(method), known)
        if not methods:
            raise UsageError("At least one method is wanted", "none", did_you_mean("", [*METHODS]))
        if self.layer is not None:
            if GRAD_CAM not in methods:
                raise UsageError("A layer is of Grad-CAM alone", ", ".join(methods))
            full_name(bundle.classifier, self.layer)
        if self.baseline is not None:
            if methods == (GRAD_CAM,):
                raise UsageError("Grad-CAM has no baseline; the other methods have", self.baseline)
            find_baseline(_number(self.baseline), bundle.preprocessing)
        for target in self.targets(bundle):
            if self.label is not None:
                find_goal(bundle.task, target.name, self.label)
        return replace(self, methods=methods)

    def options(self, method: str) -> dict[str, Any]:
        """What a method is told: Grad-CAM its layer, the others their baseline."""
        if method == GRAD_CAM:
            return {"layer": self.layer} if self.layer else {}
        return {"baseline": _number(self.baseline)} if self.baseline else {}

    def targets(self, bundle: Bundle) -> tuple[Target, ...]:
        """The targets that are explained: the one named, those that have the class, or all."""
        if self.target is not None or len(bundle.task.targets) == 1:
            return (find_target(bundle.task, self.target),)
        having = tuple(t for t in bundle.task.targets if self.label in (None, *t.classes))
        return having or bundle.task.targets


def explain_one(bundle: Bundle, image: Image, name: str, model: str, wish: Wish) -> ExplainedImage:
    """All that is shown of one image; `wish` has been checked. `name` and `model` are shown."""
    pixels = preprocess(image.pixels, bundle.preprocessing)[np.newaxis]
    logits = predict_logits(bundle.classifier, pixels, bundle.preprocessing)[0]
    wordings = word_each(bundle, logits)
    picture = fit_picture(image.pixels)
    height, width = picture.shape[:2]
    maps = []
    for target in wish.targets(bundle):
        goal = goal_of(wordings[target.name], wish.label)
        for method in wish.methods:
            found = attribute(bundle, pixels, goal, method, **wish.options(method))
            heat = place_back(found.values[0], height, width, bundle.preprocessing)
            maps.append(
                ExplainedMap(
                    target=goal.target,
                    label=goal.label,
                    method=method,
                    layer=found.layer,
                    settings=found.settings,
                    score=float(found.scores[0]),
                    values=heat,  # nothing may be left of it once the padding is cut
                    says_nothing=bool(found.says_nothing[0]) or float(np.ptp(heat)) == 0.0,
                )
            )
    way = walk(bundle, pixels)
    return ExplainedImage(
        name=name,
        model=model,
        picture=picture,
        words=tuple(wordings[target.name].to_json() for target in wish.targets(bundle)),
        maps=tuple(maps),
        stages=show_stages(way),
        sums=show_sums(way, [target.name for target in wish.targets(bundle)]),
        pooling=way.pooling,
        remarks=tuple(_remarks(image, picture)),
        facts=tuple(_facts(bundle, image, model, wish).items()),
        is_synthetic=bool(image.facts.get("synthetic", False)),
    )


def _number(baseline: str) -> str | float:
    """A baseline by name, or as a number."""
    try:
        return float(baseline)
    except ValueError:
        return baseline


def word_each(bundle: Bundle, logits: npt.NDArray[np.floating]) -> dict[str, Wording]:
    """Each target's logits in words, from all logits (task.n_logits,) of one image."""
    places = bundle.task.slices()
    return {t.name: word_logits(logits[places[t.name]], t) for t in bundle.task.targets}


def goal_of(wording: Wording, label: str | None) -> Goal:
    """The class asked for, else the one that was called."""
    return Goal(wording.target, label or wording.classes[wording.called])


def show_stages(way: Walk) -> tuple[ShownStage, ...]:
    """The stages of a walk as the page takes them."""
    return tuple(
        ShownStage(
            layer=stage.layer,
            shape=stage.shape,
            sees=stage.field.size,
            channels=stage.channels,
            strengths=stage.strengths,
            maps=stage.maps,
        )
        for stage in way.stages
    )


def show_sums(way: Walk, targets: Sequence[str]) -> tuple[LogitSum, ...]:
    """Each logit of these targets as the sum that it is."""
    return tuple(
        LogitSum(part.target, part.label, part.contributions, part.bias, part.logit)
        for part in way.logits
        if part.target in targets
    )


def _remarks(image: Image, picture: npt.NDArray[np.uint8]) -> list[str]:
    """What was done to the picture so that it can be shown."""
    height, width = image.pixels.shape[1:]
    size = f"{height:,} × {width:,} pixels (rows × columns)"
    if max(height, width) > LONGEST_SIDE:
        return [f"{size}, made smaller to {picture.shape[0]:,} × {picture.shape[1]:,} here."]
    if max(height, width) < SHORTEST_SIDE:
        return [f"{size}, enlarged {picture.shape[0] // height} times."]
    return [f"{size}, all of them shown."]


def _facts(bundle: Bundle, image: Image, model: str, wish: Wish) -> dict[str, str]:
    """How all came about, for the foot of the page."""
    from pellucid import __version__

    size = bundle.preprocessing.image_size
    facts = {
        "Model": model,
        "Network": bundle.spec.name,
        "The network sees": f"{size} × {size} pixels, {bundle.preprocessing.fit}",
        "Image format": str(image.facts.get("format", "")),
        "Window": str(image.facts.get("window", "")),
        "Methods": ", ".join(method_words(method).name for method in wish.methods),
        "Pellucid": __version__,
    }
    return {name: value for name, value in facts.items() if value}
