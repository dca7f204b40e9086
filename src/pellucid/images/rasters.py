"""PNG, JPEG and BMP, header first, through Pillow (and imagecodecs where Pillow loses bits).

Knows one open file of a known format; it does not know how the format was found out.
"""

from __future__ import annotations

from typing import BinaryIO, cast

import numpy as np
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin
from PIL import Image as Picture

from pellucid.images.codestreams import check_scans
from pellucid.images.image import (
    Array,
    Asked,
    Facts,
    FloatArray,
    Image,
    channels_first,
    check_frame,
    check_size,
    oriented,
    unit_range,
    windowed,
    without_alpha,
)
from pellucid.images.windows import lay_window

ORIENTATION = 0x0112
_RUN_LENGTHS = (1, 2)  # BMP's RLE8 and RLE4, which Pillow unpacks in Python
_MOST_RUN_LENGTHS = 4_000_000  # pixels, a second
_BIT_DEPTH = {"1": 1, "I;16": 16, "I": 32, "F": 32}
_WITH_ALPHA = {"P": "RGBA", "L": "LA", "RGB": "RGBA"}


def read_raster(file: BinaryIO, name: str, kind: str, asked: Asked) -> Image:
    """Read an open PNG, JPEG or BMP file; whatever the decoder raises is the caller's to translate.

    The plugins are called directly: they read the header alone, so that the bound on the size is
    ours, before a pixel is decoded. Pillow's own bound is a warning, and only from 89 million on.
    """
    picture = _open(file, kind)
    is_packed = kind == "BMP" and picture.info.get("compression") in _RUN_LENGTHS
    most = min(asked.max_pixels, _MOST_RUN_LENGTHS) if is_packed else asked.max_pixels
    check_size(name, picture.width, picture.height, most)
    check_frame(name, 0, 1)
    if kind == "JPEG":
        file.seek(0)
        check_scans(name, file.read())
    bits = _bit_depth(picture, kind, file)
    stored = _decode_png16(file) if kind == "PNG" and bits == 16 else _decode(picture)
    shown, window = lay_window(stored, bits, asked.window)
    pixels = without_alpha(unit_range(name, channels_first(shown)))
    pixels = oriented(pixels, int(picture.getexif().get(ORIENTATION, 1)))
    return Image(pixels, _facts(picture, kind, bits, pixels) | windowed(window))


def _open(file: BinaryIO, kind: str) -> Picture.Image:
    file.seek(0)
    if kind == "PNG":
        return PngImagePlugin.PngImageFile(file)
    if kind == "JPEG":
        return JpegImagePlugin.JpegImageFile(file)
    return BmpImagePlugin.BmpImageFile(file)


def _bit_depth(picture: Picture.Image, kind: str, file: BinaryIO) -> int:
    if kind != "PNG":
        return _BIT_DEPTH.get(picture.mode, 8)
    file.seek(24)  # PNG, 11.2.1 IHDR: the byte after width and height
    depth = file.read(1)[0]
    file.seek(0)
    return depth


def _decode(picture: Picture.Image) -> Array:
    """Decode to bool, uint8 (row, column[, channel]) in grey, grey + alpha, RGB or RGBA."""
    mode = picture.mode
    if "transparency" in picture.info and mode in _WITH_ALPHA:
        return np.asarray(picture.convert(_WITH_ALPHA[mode]))
    if mode in ("1", "L", "LA", "RGB", "RGBA"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGBA" if mode == "PA" else "RGB"))


def _decode_png16(file: BinaryIO) -> Array:
    """Decode a PNG of 16 bits a channel; Pillow would silently keep 8 of them in colour."""
    from imagecodecs import png_decode

    file.seek(0)
    return cast(Array, png_decode(file.read()))


def _facts(picture: Picture.Image, kind: str, bits: int, pixels: FloatArray) -> Facts:
    mode = "L" if picture.mode.startswith("I") else picture.mode
    return {
        "format": kind,
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "bit_depth": bits,
        "mode": mode,
        "frames": 1,
        "synthetic": "Synthetic" in picture.info,
    }
