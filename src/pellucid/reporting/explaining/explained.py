"""What is known of one explained image, as plain arrays and words: what a page is made from.

`pellucid.explaining` fills these in from a network; this room only shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ExplainedMap:
    """The map of one method for one class: `values` (row, column) of the picture, `score` a logit.

    `says_nothing` is a map that is the same everywhere; `layer` is "" where the method has none;
    `settings` are the method's own.
    """

    target: str
    label: str
    method: str
    layer: str
    score: float
    values: Floats
    says_nothing: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShownStage:
    """One stage of the network: maps (k, row, column) of its strongest channels.

    `shape` is (channels, row, column) of the whole stage; `sees` the side, in pixels of the
    network's input, of what one value depends on.
    """

    layer: str
    shape: tuple[int, int, int]
    sees: float
    channels: tuple[int, ...]
    strengths: tuple[float, ...]
    maps: Floats


@dataclass(frozen=True)
class LogitSum:
    """A logit as the sum of what each pooled feature adds, and the bias."""

    target: str
    label: str
    contributions: Floats
    bias: float
    logit: float


@dataclass(frozen=True)
class ExplainedImage:
    """One image with all that is shown of it.

    `picture` is uint8 (row, column, 3), of the size that is drawn; `words` are the documents of
    logits to words, one a target; `remarks` say what was done to the picture; `facts` how all came
    about.
    """

    name: str
    model: str
    picture: Bytes
    words: tuple[Mapping[str, Any], ...]
    maps: tuple[ExplainedMap, ...]
    stages: tuple[ShownStage, ...] = ()
    sums: tuple[LogitSum, ...] = ()
    pooling: str = "average"
    remarks: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    is_synthetic: bool = False

    @property
    def calls(self) -> list[str]:
        """What each target was called, with its probability."""
        return [
            f"{word['called']} with probability {called_entry(word)['probability_text']}"
            for word in self.words
        ]


def called_entry(words: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of the class that was called."""
    called = words["called"]
    return next(dict(entry) for entry in words["classes"] if entry["label"] == called)
