"""What each method of attribution asks, in a sentence, and in which unit its maps are.

Knows the methods by name; it does not know how they are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.reporting.drawing.heat_maps import HeatMap


@dataclass(frozen=True)
class MethodWords:
    """A method as people call it; `unit` may name the class as {label}."""

    name: str
    unit: str
    question: str
    is_signed: bool = True
    is_smooth: bool = False


METHOD_WORDS = {
    "grad_cam": MethodWords(
        "Grad-CAM",
        "relative weight, 1 = strongest",
        "Where in a layer are those channels active that raise the logit of {label}? As coarse as "
        "the layer's map, and only what speaks for the class.",
        is_signed=False,
        is_smooth=True,
    ),
    "integrated_gradients": MethodWords(
        "Integrated gradients",
        "logit of {label}, per pixel",
        "How much does each pixel add to the logit of {label}, on the way from the "
        "baseline, an image of one shade, to this one? All together they are the difference of the "
        "two logits.",
    ),
    "occlusion": MethodWords(
        "Occlusion",
        "fall of the logit of {label} when hidden",
        "How much does the logit of {label} fall when a small square is hidden by the "
        "baseline? Asked for each place by itself; no gradient is needed.",
        is_smooth=True,
    ),
    "gradient_x_input": MethodWords(
        "Gradient × input",
        "logit of {label}, per pixel",
        "How much would the logit of {label} change, to first order, if each pixel faded to the "
        "baseline? Cheap, local, and noisier than the others.",
    ),
}


def method_words(method: str) -> MethodWords:
    """The words of a method; one that has none is called by its own name."""
    unknown = MethodWords(method.replace("_", " ").capitalize(), "value", "")
    return METHOD_WORDS.get(method, unknown)


def heat_map_of(method: str, values: npt.NDArray[np.floating], label: str) -> HeatMap:
    """The map of a method as it is drawn; what never goes below 0 is shown relative to its peak."""
    words = method_words(method)
    shown = np.asarray(values, dtype=np.float64)
    if not words.is_signed and shown.max() > 0:
        shown = shown / shown.max()
    unit = words.unit.format(label=label)
    return HeatMap(shown, words.name, unit, words.is_signed, words.is_smooth)


def settings_words(settings: Mapping[str, Any]) -> str:
    """The settings that change what a map shows, in a few words; empty where there are none.

    >>> settings_words({"baseline": [0.0], "window": 8, "stride": 4})
    'baseline black, window 8, stride 4'
    """
    parts = []
    for name, value in settings.items():
        if name == "baseline":
            grey = [f"{one:.2f}" for one in dict.fromkeys(value)]
            value = "black" if not any(value) else " ".join(grey)
        parts.append(f"{name} {value}")
    return ", ".join(parts)
