"""Medical images as thumbnails inside the page: copied small, never linked to.

Knows how to read an image and to make it small. It does not know why the report shows it.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from pellucid.errors import ReadError
from pellucid.images.reading import read_image

LONGEST_SIDE = 224
LOSSLESS_SIDE = 96  # smaller pictures are shown enlarged, where JPEG's blocks would be seen
JPEG_QUALITY = 85
MAX_PICTURE_BYTES = 4_000_000


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data: address, or the reason why there is none."""

    address: str = ""
    missing: str = ""
    is_small: bool = False
    is_synthetic: bool = False


def make_thumbnail(path: str, frame: int = 0, window: str | None = None) -> Thumbnail:
    """Read an image and make it small; a file that is gone or broken gives the reason instead."""
    if not path:
        return Thumbnail(missing="The run does not say where this image is.")
    try:
        pixels, facts = read_image(path, frame, window=window)
    except ReadError:
        gone = not Path(path.rpartition("#")[0] or path).exists()
        return Thumbnail(missing=f"The file {'is no longer there' if gone else 'cannot be read'}.")
    picture = _pillow_image(pixels)
    is_small = max(picture.size) <= LOSSLESS_SIDE
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), PillowImage.Resampling.LANCZOS)
    return Thumbnail(
        address=_encode(picture, "PNG" if is_small else "JPEG"),
        is_small=is_small,
        is_synthetic=bool(facts.get("synthetic", False)),
    )


def png_address(data: bytes | None) -> str:
    """A PNG file as a data: address; empty when it is none, or too large for a page."""
    if data is None or not data.startswith(b"\x89PNG") or len(data) > MAX_PICTURE_BYTES:
        return ""
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def photo_address(data: bytes | None) -> str:
    """A PNG file of a photograph as a data: address, as JPEG, which is a fifth as large.

    Empty when it is none, broken, or too large for a page.
    """
    if not png_address(data):
        return ""
    try:
        with PillowImage.open(io.BytesIO(data or b""), formats=("PNG",)) as picture:
            return _encode(picture.convert("RGB"), "JPEG")
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return ""


def _pillow_image(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> PillowImage.Image:
    """From float (channel, row, column) in [0, 1] to 8-bit grey or RGB."""
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    if len(levels) in (3, 4):
        return PillowImage.fromarray(np.ascontiguousarray(np.moveaxis(levels[:3], 0, -1)))
    return PillowImage.fromarray(levels[0])


def _encode(picture: PillowImage.Image, kind: str) -> str:
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY} if kind == "JPEG" else {}
    picture.save(buffer, kind, optimize=True, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{data}"
