"""Square pixels: the shorter side of a picture whose pixels are not square is enlarged.

Knows Pixel Aspect Ratio and the pixel spacings; it does not know what the picture shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as Picture

from pellucid.images.dicom_groups import PIXEL_MEASURES, FrameElements
from pellucid.images.dicom_header import Header
from pellucid.images.image import Asked, Facts, FloatArray, check_size

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SQUARE = 0.01  # a ratio this near to 1 is a rounding of the scanner's
_LARGEST = 16.0  # a ratio beyond this is no picture's


def square_pixels(header: Header, pixels: FloatArray, asked: Asked) -> tuple[FloatArray, Facts]:
    """Enlarge (channel, row, column) to square pixels; the facts say from what, if anything was."""
    ratio = _pixel_ratio(FrameElements(header, asked.frame))
    if abs(ratio - 1) <= _SQUARE or not 1 / _LARGEST <= ratio <= _LARGEST:
        return pixels, {}
    rows, columns = pixels.shape[1:]
    rows, columns = (round(rows * ratio), columns) if ratio > 1 else (rows, round(columns / ratio))
    check_size("a picture with square pixels", columns, rows, asked.max_pixels)
    planes = [
        Picture.fromarray(plane).resize((columns, rows), Picture.Resampling.BILINEAR)
        for plane in pixels
    ]
    return np.clip(np.stack([np.asarray(plane) for plane in planes]), 0, 1), {
        "pixel_aspect": round(ratio, 4)
    }


def _pixel_ratio(elements: FrameElements) -> float:
    """C.7.6.3.1.7: a pixel's height over its width, stated only where no spacing says it.

    The spacings (10.7.1.3) are the distance of rows, then of columns.
    """
    for keyword in (*_SPACINGS, "PixelAspectRatio"):
        value = elements.get(keyword, PIXEL_MEASURES)
        ratio = _quotient(value)
        if ratio is not None:
            return ratio
    return 1.0


def _quotient(value: Any) -> float | None:
    try:
        vertical, horizontal = (float(part) for part in value)
    except (TypeError, ValueError):
        return None
    usable = vertical > 0 and horizontal > 0 and np.isfinite(vertical) and np.isfinite(horizontal)
    return vertical / horizontal if usable else None
