"""The page that explains one image: what it was called, where that comes from, and what it means.

One self-contained file. Knows what a reader needs to be told and in which order; it does not know
how a map was computed, nor how the page looks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Picture

from pellucid.reporting.drawing.heat_maps import (
    Bytes,
    colour_scale,
    draw_heat_maps,
    draw_overlay,
    draw_picture,
)
from pellucid.reporting.explaining.explained import ExplainedImage, ExplainedMap, ShownStage
from pellucid.reporting.explaining.method_words import heat_map_of, method_words, settings_words
from pellucid.reporting.explaining.walk_part import StageRow, logit_text, stage_rows, sums_part
from pellucid.reporting.explaining.words_part import words_part
from pellucid.reporting.parts import Part
from pellucid.reporting.rendering import render
from pellucid.storage import write_text

LOSSLESS_SIDE = 512  # larger pictures are JPEG inside the page, so that it can be mailed
JPEG_QUALITY = 90
FINE_CELLS = 7  # rows of a map, as in the Grad-CAM paper's networks of 224 pixels


@dataclass(frozen=True)
class ShownMap:
    """A map as the page shows it."""

    title: str
    value: str
    question: str
    settings: str
    address: str
    scale: str
    missing: str


@dataclass(frozen=True)
class ShownGoal:
    """One class of one target: the picture with each method's map."""

    title: str
    maps: list[ShownMap]


@dataclass(frozen=True)
class ExplanationPage:
    """Everything that stands on the page of one image."""

    title: str
    subtitle: str
    is_synthetic: bool
    calls: list[tuple[str, str]]  # target, empty where it is the only one, and its call
    picture: str
    remarks: list[str]
    goals: list[ShownGoal]
    words: list[Part]
    stages: list[StageRow]
    sums: Part | None
    limits: list[str]
    facts: list[tuple[str, str]]


def write_explanation_page(explained: ExplainedImage, path: Path, input_size: int) -> Path:
    """Write the page of one image in one step; `input_size` is the side of the network's input."""
    return write_text(path, render("explanation.html", _build(explained, input_size)))


def goal_pictures(explained: ExplainedImage) -> Iterator[tuple[str, str, bytes]]:
    """Target, class and one PNG for each class that was explained: the picture and its maps."""
    for maps in _by_goal(explained):
        first = maps[0]
        title = f"{explained.name}: {first.label}, logit {logit_text(first.score)}"
        drawn = [heat_map_of(one.method, one.values, one.label) for one in maps]
        yield first.target, first.label, draw_heat_maps(explained.picture, drawn, title)


def _build(explained: ExplainedImage, input_size: int) -> ExplanationPage:
    several = len(explained.words) > 1
    targets = [str(words["target"]) for words in explained.words]
    return ExplanationPage(
        title=explained.name,
        subtitle=f"Explanation of one image by Pellucid. Model: {explained.model}",
        is_synthetic=explained.is_synthetic,
        calls=list(zip(targets if several else [""], explained.calls, strict=True)),
        picture=address_of(explained.picture, draw_picture(explained.picture)),
        remarks=list(explained.remarks),
        goals=[_goal(explained, maps, several) for maps in _by_goal(explained)],
        words=[
            words_part(words, number, target if several else "The output of the network")
            for number, (target, words) in enumerate(zip(targets, explained.words, strict=True))
        ],
        stages=stage_rows(explained.stages, input_size),
        sums=sums_part(explained),
        limits=list(_limits(explained.maps, explained.stages, input_size)),
        facts=list(explained.facts),
    )


def _by_goal(explained: ExplainedImage) -> list[list[ExplainedMap]]:
    """The maps of each class together, in the order in which they were made."""
    goals: dict[tuple[str, str], list[ExplainedMap]] = {}
    for one in explained.maps:
        goals.setdefault((one.target, one.label), []).append(one)
    return list(goals.values())


def _goal(explained: ExplainedImage, maps: Sequence[ExplainedMap], several: bool) -> ShownGoal:
    first = maps[0]
    title = f"{first.target}: {first.label}" if several else f"What speaks for {first.label}"
    return ShownGoal(title, [_map(explained, one, explained.maps.index(one)) for one in maps])


def _map(explained: ExplainedImage, one: ExplainedMap, number: int) -> ShownMap:
    words = method_words(one.method)
    layer = f" at {one.layer}" if one.layer else ""
    missing = address = scale = ""
    if one.says_nothing:
        missing = "The map is the same everywhere: it points nowhere."
    else:
        heat = heat_map_of(one.method, one.values, one.label)
        address = address_of(explained.picture, draw_overlay(explained.picture, heat))
        scale = colour_scale(heat, f"scale-{number}")
    return ShownMap(
        title=f"{words.name}{layer}",
        value=f"{one.label}, logit {logit_text(one.score)}",
        question=words.question.format(label=one.label),
        settings=settings_words(one.settings),
        address=address,
        scale=scale,
        missing=missing,
    )


def address_of(picture: Bytes, png: bytes) -> str:
    """A drawn picture as a data: address; a large one as JPEG."""
    if max(picture.shape[:2]) <= LOSSLESS_SIDE:
        return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(png)) as drawn:
        drawn.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _limits(
    maps: Sequence[ExplainedMap], stages: Sequence[ShownStage], input_size: int
) -> Iterator[str]:
    """What the maps can say and what they cannot, in few words."""
    yield (
        "A map says which places the score depends on. It does not say that there is disease in "
        "them, and it does not say that the call is right: a wrong call has a map too."
    )
    layer = next((one.layer for one in maps if one.layer), "")
    yield from _coarseness(layer, stages, input_size)
    if len({one.method for one in maps}) > 1:
        yield (
            "The methods ask different questions, so their maps differ. Where they disagree, none "
            "of them is the true one."
        )
    if any(one.method == "occlusion" for one in maps):
        yield (
            "A hidden square is itself something that the network has not learnt: grey in a dark "
            "place may look like a finding."
        )
    yield (
        "Colours are scaled to each map by itself: a strong colour is strong for this image and "
        "this class, not beside other images."
    )
    yield (
        "Whether the maps of a network mean anything can be measured: “pellucid explain RUN "
        "--split test” hides what they mark, draws the weights anew and, where masks are given, "
        "asks whether they hit lesions whose place is known."
    )


def _coarseness(layer: str, stages: Sequence[ShownStage], input_size: int) -> Iterator[str]:
    """How finely Grad-CAM can point."""
    own = next((stage for stage in stages if stage.layer == layer), None)
    if own is None:
        return
    _, rows, columns = own.shape
    yield (
        f"{layer} has {rows} × {columns} cells, each {input_size / max(rows, columns):.0f} pixels "
        f"of the {input_size} × {input_size} that the network sees. Between the cells Grad-CAM is "
        "interpolated: it cannot point more finely than that."
    )
    if min(rows, columns) < FINE_CELLS:
        yield "So few cells miss much of what the network looks at; a shallower layer has more."
