"""The Image that every reader returns, the bound on its size, and what full scale means.

Knows arrays and facts; it does not know files or formats.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pellucid.errors import ReadError
from pellucid.images.windows import Window

MAX_PIXELS = (
    64_000_000  # rows times columns of one frame; the largest mammograms have about 20 million
)
_TOLERANCE = 1e-6  # a float image written as x / x.max() may end a rounding above 1

Array = np.ndarray[Any, np.dtype[Any]]
FloatArray = np.ndarray[Any, np.dtype[np.float32]]
_Number = TypeVar("_Number", bound=np.generic)
Facts = dict[str, str | int | float | bool]


class Image(NamedTuple):
    """Pixels, float32 (channel, row, column) in [0, 1] with 1 or 3 channels, and facts.

    Facts always hold format, width, height, bit_depth, mode, frames and synthetic.
    """

    pixels: FloatArray
    facts: Facts


class Asked(NamedTuple):
    """What a reader is asked for: a frame, the bound on its size, and a chosen window or none."""

    frame: int = 0
    max_pixels: int = MAX_PIXELS
    window: Window | None = None


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Raise `ReadError` unless the frame announced by a header may be decoded."""
    if width < 1 or height < 1:
        raise ReadError(
            f"{name}: an image has at least one row and one column", f"{height} x {width}"
        )
    if width * height > max_pixels:
        raise ReadError(
            f"{name}: an image may have at most {max_pixels:,} pixels",
            f"{width:,} x {height:,} = {width * height:,}",
            "Nothing was decoded. Make the picture smaller, or leave it out.",
        )


def check_frame(name: str, frame: int, frames: int) -> None:
    """Raise `ReadError` unless the file has the frame, counted from 0."""
    if not 0 <= frame < frames:
        raise ReadError(f"{name}: frames are counted from 0 to {frames - 1}", str(frame))


def unit_range(name: str, array: Array) -> FloatArray:
    """Scale stored numbers to float32 in [0, 1]: integers by the full scale of their type.

    Booleans and unsigned integers have a natural full scale. Signed integers have none, so they are
    refused; floats are taken as they are, and must be finite and in [0, 1] already.
    """
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if array.dtype.kind == "u":
        full_scale = np.float32(np.iinfo(array.dtype).max)
        return np.divide(array, full_scale, dtype=np.float32)
    remedy = "Scale it to [0, 1] with one rule for all images, and save it as float32 or uint8."
    if array.dtype.kind != "f":
        rule = f"{name}: pixels are unsigned integers, or floats in [0, 1]"
        raise ReadError(rule, str(array.dtype), remedy)
    if not np.isfinite(array).all():
        raise ReadError(f"{name}: every pixel is a finite number", "NaN or infinity", remedy)
    low, high = float(array.min()), float(array.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        rule = f"{name}: float pixels are in [0, 1]"
        raise ReadError(rule, f"{low:g} to {high:g}", remedy)
    return np.clip(array, 0, 1).astype(np.float32, copy=False)


def channels_first(
    pixels: np.ndarray[Any, np.dtype[_Number]],
) -> np.ndarray[Any, np.dtype[_Number]]:
    """Turn (row, column) or (row, column, channel) into contiguous (channel, row, column).

    Bytes are turned five times as fast as the floats that they become.
    """
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[np.newaxis])
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def without_alpha(pixels: FloatArray) -> FloatArray:
    """Composite the last of 2 or 4 channels (opacity) on black; opaque alpha changes nothing.

    Black, because that is the background of the modalities and of letterboxed padding.
    """
    if len(pixels) not in (2, 4):
        return pixels
    colour, alpha = pixels[:-1], pixels[-1]
    return colour if float(alpha.min()) >= 1 else colour * alpha


def windowed(words: str) -> Facts:
    """The fact `window` where a window was asked for, and nothing where none was."""
    return {"window": words} if words else {}


def oriented(pixels: FloatArray, orientation: int) -> FloatArray:
    """Undo the Orientation tag (TIFF 6.0, 274; EXIF 2.3, 4.6.4): 1 is upright, 6 a quarter."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels)


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters = warnings.catch_warnings()


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep decoders' warnings from the user, who gets one plain reason instead; threads may nest.

    `warnings.catch_warnings` is not safe across threads: the first thread in and the last one out
    change the filters, the others only count.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.simplefilter("ignore")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_filters.__exit__(None, None, None)


# A logger without a handler prints to the user's screen; pydicom does the same for its own.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
