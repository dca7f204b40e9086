"""Grey for display: stored values, modality, values of interest, polarity, padding.

The order is PS3.3's (C.11.1 and C.11.2; PS3.4, N.2). Knows one frame's stored values and elements;
it does not know how they were encoded. Overlays (C.9) and presentation states are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from pydicom.multival import MultiValue

from pellucid.images.dicom_frames import Layout
from pellucid.images.dicom_groups import FRAME_VOI, PIXEL_VALUES, FrameElements
from pellucid.images.dicom_header import Header, plain_text
from pellucid.images.dicom_tables import look_up
from pellucid.images.image import Array, FloatArray
from pellucid.images.windows import Window, apply_window, window_refusal

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_HOUNSFIELD = "HU"


class Grey(NamedTuple):
    """Pixels (row, column) in [0, 1], and the window that made them, in words."""

    pixels: FloatArray
    window: str


def grey_pixels(
    header: Header, layout: Layout, stored: Array, asked: tuple[int, Window | None]
) -> Grey:
    """One frame's stored values (row, column) as grey in [0, 1]; `asked` is (frame, window)."""
    elements = FrameElements(header, asked[0])
    padding = padding_mask(header, layout, stored)
    values = modality_values(header, elements, stored)
    shown = _values_of_interest(
        header, (elements, layout), (stored, values, padding), _chosen(header, elements, asked[1])
    )
    pixels = shown.pixels
    # C.7.6.3.1.2: the minimum of MONOCHROME1 is white. Presentation LUT Shape INVERSE says the same
    # of the same objects (C.8.11.3.1.2) and is therefore not applied a second time.
    if layout.interpretation == "MONOCHROME1":
        pixels = np.float32(1) - pixels
    # what was never measured is background: padding, and NaN in floating point pixels
    pixels = np.nan_to_num(np.clip(pixels, 0, 1), nan=0.0)
    if padding is not None:
        pixels[padding] = 0
    return Grey(pixels.astype(np.float32, copy=False), shown.window)


def modality_values(header: Header, elements: FrameElements, stored: Array) -> Array:
    """C.11.1: the Modality LUT, or stored value times Rescale Slope plus Rescale Intercept."""
    if header.get("ModalityLUTSequence") and stored.dtype.kind in "iu":
        return look_up(header, header.get("ModalityLUTSequence")[0], stored)[0]
    slope = _number(elements.get("RescaleSlope", PIXEL_VALUES), 1.0)
    intercept = _number(elements.get("RescaleIntercept", PIXEL_VALUES), 0.0)
    exact = stored.dtype.itemsize <= 2  # float32 holds 24 bits; wider values need float64
    values: Array = stored.astype(np.float32 if exact else np.float64)
    if slope != 1:
        values *= values.dtype.type(slope)
    if intercept != 0:
        values += values.dtype.type(intercept)
    return values


def padding_mask(header: Header, layout: Layout, stored: Array) -> Array | None:
    """C.7.5.1.1.2: where Pixel Padding Value, up to Pixel Padding Range Limit, is stored."""
    kind = {"f4": "Float", "f8": "DoubleFloat"}.get(stored.dtype.str[1:], "")
    value = _first(header.get(f"{kind}PixelPaddingValue"))
    if value is None:
        return None
    limit = _number(header.get(f"{kind}PixelPaddingRangeLimit"), value)
    if layout.signed and not kind:  # written as unsigned by some (PS3.5, 6.2: US or SS)
        value, limit = (_as_signed(number, layout.allocated) for number in (value, limit))
    mask = (stored >= min(value, limit)) & (stored <= max(value, limit))
    return mask if mask.any() and not mask.all() else None


def _as_signed(number: float, bits: int) -> float:
    return number - 2**bits if number >= 2 ** (bits - 1) else number


def _chosen(header: Header, elements: FrameElements, window: Window | None) -> tuple[Any, str]:
    """The chosen window where it means something for this picture, else why not."""
    units = plain_text(elements.get("RescaleType", PIXEL_VALUES, "")).upper()
    rescaled = elements.get("RescaleIntercept", PIXEL_VALUES) is not None
    bits = int(header.get("BitsStored") or header.get("BitsAllocated") or 0)
    # C.8.2.1, table C.8-3: the rescaled values of an original CT image are Hounsfield units. It has
    # 12 bits or more (C.8.2.1.1.5); 8 are a screenshot's or another secondary capture's.
    if str(header.get("Modality", "")) == "CT" and rescaled and not units and bits > 8:
        units = _HOUNSFIELD
    refusal = window_refusal(window, bits, units)
    return (None if refusal else window), refusal


def _values_of_interest(
    header: Header,
    where: tuple[FrameElements, Layout],
    arrays: tuple[Array, Array, Array | None],
    chosen: tuple[Window | None, str],
) -> Grey:
    """C.11.2: the chosen window, else the file's first VOI LUT or window, else the full range.

    The standard leaves the last case open. Up to 8 unsigned bits the range of the bits is the
    display's; a wider one would leave most pictures black, so the smallest and the largest value
    of the frame (without pixel padding) are taken.
    """
    elements, layout = where
    stored, values, padding = arrays
    window, refusal = chosen
    if window is not None:
        return Grey(apply_window(values, window.centre, window.width), str(window))
    said = f"; {refusal}" if refusal else ""
    lut = _voi_lut(header, elements, (stored, values))
    if lut is not None:
        return Grey(lut, "voi lut" + said)
    own = _own_window(elements)
    if own is not None:
        centre, width, function = own
        if stored.dtype.kind == "f" and function == "LINEAR":
            # C.11.2.1.2.1 takes half a step off whole numbers; the values of floating point pixels
            # often lie within one, and LINEAR would make a map of 0 to 1 all white
            function = "LINEAR_EXACT"
        words = f"{function.lower()} {centre:g} {width:g}{said}"
        return Grey(apply_window(values, centre, width, function), words)
    top = 2**layout.stored - 1
    if layout.stored <= 8 and stored.dtype.kind == "u" and _within(values, top):
        return Grey(np.asarray(values / np.float32(top), dtype=np.float32), "full range" + said)
    return Grey(_own_range(values, padding), "own range" + said)


def _within(values: Array, top: int) -> bool:
    return bool(values.max() <= top and values.min() >= 0)


def _own_window(elements: FrameElements) -> tuple[float, float, str] | None:
    """C.11.2.1.2: the first of the frame's windows, None where it has no usable one."""
    centre = _first(elements.get("WindowCenter", FRAME_VOI))
    width = _first(elements.get("WindowWidth", FRAME_VOI))
    function = str(elements.get("VOILUTFunction", FRAME_VOI, "LINEAR")).strip().upper()
    function = function if function in _FUNCTIONS else "LINEAR"  # C.11.2.1.3: an absent one
    if centre is None or width is None or width < (1 if function == "LINEAR" else 1e-9):
        return None
    return centre, width, function


def _voi_lut(
    header: Header, elements: FrameElements, arrays: tuple[Array, Array]
) -> FloatArray | None:
    """C.11.2.1.1: the first table of the frame's VOI LUT Sequence, scaled by its bits."""
    stored, values = arrays
    tables = elements.get("VOILUTSequence", FRAME_VOI)
    if not tables or stored.dtype.kind not in "iu":
        return None
    found, bits = look_up(header, tables[0], np.rint(values))
    return np.asarray(np.clip(found / np.float32(2**bits - 1), 0, 1), dtype=np.float32)


def _own_range(values: Array, padding: Array | None) -> FloatArray:
    """Scale by the smallest and the largest value that was measured."""
    inside = np.isfinite(values) if padding is None else np.isfinite(values) & ~padding
    if not inside.any():
        return np.zeros(values.shape, dtype=np.float32)
    low, high = float(values[inside].min()), float(values[inside].max())
    span = high - low
    if not np.isfinite(span):  # the whole range of float64
        return np.where(values > 0, np.float32(1), np.float32(0))
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (span or 1.0)
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def _number(value: Any, default: float) -> float:
    first = _first(value)
    return default if first is None else first


def _first(value: Any) -> float | None:
    """The first of one or several values, None when absent, empty or not a finite number."""
    if isinstance(value, (list, MultiValue)):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
