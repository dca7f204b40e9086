"""From edges to disease: one image on its way through the network, from the pixels to the logits.

At each stage the strongest channels with shape and receptive field; then the pooled vector; then
how each of its features adds to each logit. The head is linear, so a logit is exactly the sum of
feature × weight, and the bias. Lecture sections "Global pooling" and "Fully connected layer".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.feature_maps import (
    FeatureMaps,
    Floats,
    Pixels,
    rank,
    to_input,
    unit_fields,
)
from pellucid.explanation.layers import LOGITS, POOLED, capture, stages
from pellucid.network.classifier import head_name
from pellucid.network.receptive_field import ReceptiveField
from pellucid.task import Target

CHANNELS = 6

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One stage: its maps' `shape` (channels, row, column) and its strongest maps.

    `channels` are the numbers of the maps shown, `strengths` their mean |activation|, `maps` is
    float32 (k, row, column). `field` is the receptive field of one unit, in pixels of the image.
    """

    layer: str
    shape: tuple[int, int, int]
    field: ReceptiveField
    channels: tuple[int, ...]
    strengths: tuple[float, ...]
    maps: Floats

    @property
    def window(self) -> tuple[float, float, float]:
        """What the most active unit of the first map sees: (top, left, side) in pixels.

        A pixel's middle is a whole number, so the first pixel begins at -0.5.
        """
        if self.field.is_whole_image:
            return -0.5, -0.5, self.field.size
        _, columns = self.maps[0].shape
        row, column = divmod(int(np.abs(self.maps[0]).argmax()), columns)
        first = self.field.start - self.field.size / 2
        stride = self.field.stride
        return first + stride * row, first + stride * column, self.field.size


@dataclass(frozen=True)
class LogitParts:
    """How one logit comes about: `contributions` (n_features,) and the `bias` add up to it.

    `label` is the class whose logit it is, the positive class for a one-logit target. `logit` is
    what the network gave, in its single precision; `total` is the sum, in double.
    """

    target: str
    label: str
    contributions: Doubles
    bias: float
    logit: float

    @property
    def total(self) -> float:
        """The sum of the contributions and the bias, correctly rounded."""
        return math.fsum([*self.contributions.tolist(), self.bias])

    def strongest(self, number: int) -> list[int]:
        """The features that move the logit most, up or down."""
        return rank(np.abs(self.contributions), number)


@dataclass(frozen=True)
class Walk:
    """The way of one image. `pixels` is uint8 (C, S, S), `pooled` float32 (n_features,)."""

    pixels: Pixels
    stages: tuple[Stage, ...]
    pooling: str
    pooled: Floats
    logits: tuple[LogitParts, ...]


def walk(bundle: Bundle, pixels: Pixels, *, channels: int = CHANNELS) -> Walk:
    """Follow one image, uint8 (C, S, S) or (1, C, S, S), with `channels` maps a stage.

    Raises `UsageError` for more than one image.
    """
    batch = pixels[np.newaxis] if pixels.ndim == 3 else pixels
    if len(batch) != 1:
        raise UsageError("A walk follows one image", str(len(batch)))
    classifier, spec = bundle.classifier, bundle.spec
    layers = stages(classifier, spec)
    outputs = capture(classifier, to_input(bundle, batch), [*layers, POOLED, LOGITS])
    fields = unit_fields(bundle, {layer: outputs[layer].shape[2] for layer in layers})
    pooled, logits = (outputs[name][0].float().cpu().numpy() for name in (POOLED, LOGITS))
    return Walk(
        pixels=batch[0],
        stages=tuple(
            _stage(
                FeatureMaps(layer, outputs[layer].float().cpu().numpy()),
                fields[layer],
                channels,
            )
            for layer in layers
        ),
        pooling=spec.global_pooling,
        pooled=pooled,
        logits=_logits(bundle, pooled, logits),
    )


def logit_names(target: Target) -> tuple[str, ...]:
    """The class whose evidence each logit of a target is; one logit is the positive class's."""
    return target.classes[-1:] if target.n_logits == 1 else target.classes


def _stage(seen: FeatureMaps, field: ReceptiveField, number: int) -> Stage:
    chosen = seen.strongest(number)
    _, *shape = seen.maps.shape
    return Stage(
        layer=seen.layer,
        shape=(shape[0], shape[1], shape[2]),
        field=field,
        channels=tuple(chosen),
        strengths=tuple(float(seen.strengths[0, channel]) for channel in chosen),
        maps=seen.maps[0, chosen],
    )


def _logits(bundle: Bundle, pooled: Floats, logits: Floats) -> tuple[LogitParts, ...]:
    """Every logit in its parts. The product of two single-precision numbers is exact in double."""
    parts = []
    for target in bundle.task.targets:
        head = bundle.classifier.heads[head_name(target.name)]
        if not isinstance(head, nn.Linear):
            raise UsageError("A walk takes a logit apart whose head is linear", type(head).__name__)
        weights = head.weight.detach().double().cpu().numpy()
        biases = head.bias.detach().double().cpu().numpy()
        values = logits[bundle.task.slices()[target.name]]
        for number, label in enumerate(logit_names(target)):
            contributions = pooled.astype(np.float64) * weights[number]
            bias, logit = float(biases[number]), float(values[number])
            parts.append(LogitParts(target.name, label, contributions, bias, logit))
    return tuple(parts)
