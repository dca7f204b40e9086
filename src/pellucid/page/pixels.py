"""A picture and a heat map as numbers, for the viewer in the browser.

Sixteen bits of what the network was given reach the browser: level and window there lie within the
file's own window, or the model's, which the facts name. What that window cut off is not sent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from pellucid.images.image import FloatArray
from pellucid.images.preprocessing import Preprocessing, place_back
from pellucid.serving.answers import FACTS, Looked

LONGEST_SIDE = 2048  # of what is sent; a screen shows no more
_FULL = np.float32(65535)


class Shown(NamedTuple):
    """Facts as JSON, and the numbers, little-endian."""

    facts: dict[str, Any]
    data: bytes


def picture(looked: Looked) -> Shown:
    """uint16 (plane, row, column): one plane of grey or three of colour, at most 2,048 a side."""
    planes = shown_planes(looked.image.pixels)
    numbers = np.rint(planes * _FULL).astype("<u2")
    facts = {key: looked.image.facts[key] for key in FACTS if key in looked.image.facts}
    n, rows, columns = numbers.shape
    about = {"planes": n, "rows": rows, "columns": columns, "facts": facts}
    return Shown(about, numbers.tobytes())


def shown_planes(pixels: FloatArray, longest: int = LONGEST_SIDE) -> FloatArray:
    """Pixels (1 or 3, row, column), at most so many a side, each the mean of what it covers."""
    if len(pixels) == 3 and all(np.array_equal(pixels[0], plane) for plane in pixels[1:]):
        pixels = pixels[:1]
    height, width = shown_size(pixels, longest)
    if (height, width) == pixels.shape[1:]:
        return pixels
    size, way = (width, height), Picture.Resampling.BOX
    planes = [np.asarray(Picture.fromarray(plane).resize(size, way)) for plane in pixels]
    return np.asarray(np.clip(np.stack(planes), 0, 1), dtype=np.float32)


def shown_size(pixels: FloatArray, longest: int = LONGEST_SIDE) -> tuple[int, int]:
    """Rows and columns of what is sent."""
    height, width = pixels.shape[1], pixels.shape[2]
    share = min(1.0, longest / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def heat(
    values: npt.NDArray[np.floating], looked: Looked, preprocessing: Preprocessing
) -> tuple[bytes, float]:
    """A map (S, S) laid over the picture that is shown: int8 (row, column), and its full scale.

    127 is the largest magnitude; below 0 speaks against.
    """
    height, width = shown_size(looked.image.pixels)
    placed = place_back(np.asarray(values, dtype=np.float32), height, width, preprocessing)
    full = float(np.abs(placed).max())
    numbers = np.rint(127 * placed / (full or 1.0)).astype(np.int8)
    return numbers.tobytes(), full
