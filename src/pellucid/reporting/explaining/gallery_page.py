"""The page of many explained images: a picture each, and what was found about all of them.

One self-contained file; a picture may lead to the page of its image beside it. Knows pictures and
words; it does not know how they were made.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as Picture

from pellucid.reporting.drawing.heat_maps import Bytes, draw_overlay
from pellucid.reporting.explaining.explained import ExplainedMap
from pellucid.reporting.explaining.method_words import heat_map_of, method_words
from pellucid.reporting.parts import Part
from pellucid.reporting.rendering import render
from pellucid.reporting.tables import Table
from pellucid.storage import write_text

TILE_SIDE = 320
TILES_SHOWN = 120  # on one page, so that it stays small enough to mail


@dataclass(frozen=True)
class GalleryTile:
    """One image under its map; `href` is the page beside this one, or empty."""

    name: str
    address: str
    call: str
    note: str = ""
    href: str = ""
    is_synthetic: bool = False


@dataclass(frozen=True)
class GalleryPage:
    """Everything that stands on the page of many images."""

    title: str
    subtitle: str
    lead: str
    words: list[str]
    tiles: list[GalleryTile]
    key: str
    parts: list[Part] = field(default_factory=list)
    unreadable: Table = field(default_factory=lambda: unreadable_images(()))
    facts: list[tuple[str, str]] = field(default_factory=list)


def write_gallery_page(page: GalleryPage, path: Path) -> Path:
    """Write the page in one step; only the first `TILES_SHOWN` tiles should be given."""
    return write_text(path, render("gallery.html", page))


def tile_address(picture: Bytes, one: ExplainedMap) -> str:
    """The picture under the map, small, as a data: address."""
    shown = draw_overlay(picture, heat_map_of(one.method, one.values, one.label))
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(shown)) as drawn:
        small = drawn.convert("RGB")
        small.thumbnail((TILE_SIDE, TILE_SIDE), Picture.Resampling.LANCZOS)
        small.save(buffer, "JPEG", quality=88, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def tile_key(method: str, label: str | None = None) -> str:
    """What the colours of the tiles are; `label` is the class asked for, None the one called."""
    words = method_words(method)
    ends = (
        "blue speaks against the class, orange for it"
        if words.is_signed
        else "from purple to yellow the weight grows"
    )
    outline = " White lines: half of the strongest value" if words.is_smooth else ""
    if outline:
        outline += ", dashed where it speaks against the class." if words.is_signed else "."
    of = f"the class {label}" if label else "the class called"
    return f"{words.name} of {of}; {ends}, each image by itself.{outline}"


def unreadable_images(reasons: Sequence[tuple[str, str]]) -> Table:
    """The images that could not be read, each with its reason."""
    return Table("unreadable", ("Image", "Reason"), tuple(reasons))
