"""From edges to disease: the stages of a network for one image, and the sum that a logit is.

Knows maps and numbers; it does not know how the network gave them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from PIL import Image as Picture

from pellucid.reporting.drawing.feature_plots import Scale, common_scale
from pellucid.reporting.drawing.wording_plots import plot_sum
from pellucid.reporting.explaining.explained import ExplainedImage, Floats, LogitSum, ShownStage
from pellucid.reporting.parts import Part
from pellucid.reporting.writing import count, decimal

FEATURES_SHOWN = 8
SUMS_SHOWN = 12  # logits; more would bury the page
SMALL = 96  # rows of a map up to which a value is drawn as a square with sharp edges


@dataclass(frozen=True)
class MapTile:
    """One channel of a stage as a picture."""

    address: str
    caption: str
    is_small: bool


@dataclass(frozen=True)
class StageRow:
    """One stage: its name, what it is, and its strongest channels."""

    title: str
    words: str
    tiles: list[MapTile]


def stage_rows(stages: Sequence[ShownStage], input_size: int) -> list[StageRow]:
    """A row a stage, from the shallowest to the last."""
    return [_row(stage, number, input_size) for number, stage in enumerate(stages, 1)]


def _row(stage: ShownStage, number: int, input_size: int) -> StageRow:
    scale = common_scale(list(stage.maps))
    channels, rows, columns = stage.shape
    sees = f"{stage.sees:,.0f} × {stage.sees:,.0f} pixels"
    if stage.sees >= 2 * input_size:
        sees = f"all of the {input_size} × {input_size} pixels"
    ends = f"0 (black) to {scale.high:.2g} (pale)"
    if scale.low < 0:
        ends = f"{scale.low:.2g} (blue) over 0 (grey) to {scale.high:.2g} (yellow)"
    return StageRow(
        title=f"{number}. {stage.layer}",
        words=f"{count(channels, 'map')} of {rows} × {columns}; one value depends on {sees} of the "
        f"network's input. The strongest channels, from {ends.replace('-', '−')}.",
        tiles=[
            MapTile(_address(values, scale), f"channel {channel}", rows <= SMALL)
            for channel, values in zip(stage.channels, stage.maps, strict=True)
        ],
    )


def _address(values: Floats, scale: Scale) -> str:
    shares = (np.asarray(values, dtype=np.float64) - scale.low) / (scale.high - scale.low)
    colours = mpl.colormaps[scale.colours](np.clip(shares, 0.0, 1.0))[..., :3]
    buffer = io.BytesIO()
    Picture.fromarray(np.rint(255 * colours).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def sums_part(explained: ExplainedImage) -> Part | None:
    """How the logits come about from the pooled features; None where nobody took them apart."""
    if not explained.sums:
        return None
    shown = explained.sums[:SUMS_SHOWN]
    n_features = len(shown[0].contributions)
    words = (
        f"Global {explained.pooling} pooling leaves one number of each of the last stage's "
        f"{n_features:,} maps. Each is multiplied by a weight of the class, and all are added up: "
        f"that sum, with the bias, is the logit.",
    )
    return Part(
        "Pooled features to logits",
        "sums",
        words,
        tuple(_plot(one, f"sum-{number}") for number, one in enumerate(shown)),
        key=f"The {FEATURES_SHOWN} features that move each logit most, up (orange) or down (blue); "
        "a feature's number is that of its channel in the last stage.",
    )


def _plot(one: LogitSum, name: str) -> str:
    total = f"logit of {one.label}"
    return plot_sum(list(_terms(one)), total=total, unit=f"{total}, nats of log-odds", name=name)


def _terms(one: LogitSum) -> Iterator[tuple[str, float]]:
    """The largest contributions, all the others together, and the bias."""
    order = np.argsort(-np.abs(one.contributions), kind="stable")
    first, rest = order[:FEATURES_SHOWN], order[FEATURES_SHOWN:]
    for feature in first:
        yield f"feature {feature}", float(one.contributions[feature])
    if len(rest):
        yield f"{len(rest):,} others", float(one.contributions[rest].sum())
    yield "bias", one.bias


def logit_text(value: float) -> str:
    """A logit with its sign."""
    return f"+{decimal(value, 2)}" if value >= 0 else decimal(value, 2)
