"""Colour for display: palettes and the YBR spaces become RGB, here and nowhere else.

Knows stored values and their photometric interpretation (PS3.3, C.7.6.3.1.2); it does not know how
they were encoded: the decoders hand over what is stored.
"""

from __future__ import annotations

import numpy as np
from pydicom.pixels import processing

from pellucid.errors import ReadError
from pellucid.images.dicom_frames import Layout
from pellucid.images.dicom_header import Header
from pellucid.images.image import Array, FloatArray

_RED = 1.402  # C.7.6.3.1.2, YBR_FULL, solved for R, G and B: red from C_R,
_GREEN_BLUE, _GREEN_RED = 0.344136, 0.714136  # green from C_B and from C_R,
_BLUE = 1.772  # and blue from C_B
_FOOT, _LUMA, _CHROMA = 16 / 256, 219 / 256, 224 / 256  # YBR_PARTIAL: not the full range


def colour_pixels(header: Header, layout: Layout, stored: Array, space: str) -> FloatArray:
    """Stored values (row, column[, sample]) of the colour space `space` as RGB in [0, 1]."""
    if space == "PALETTE COLOR":
        return _palette(header, stored)
    top = np.float32(2**layout.stored - 1)
    if space == "RGB":
        numbers = stored if layout.stored > 8 or layout.allocated <= 8 else stored & int(top)
        return np.clip(np.divide(numbers, top, dtype=np.float32), 0, 1)
    return _from_ybr(stored, float(top), space)


def check_interpretation(layout: Layout, name: str) -> None:
    """Refuse a photometric interpretation that is unknown, retired, or not the samples'."""
    known = {
        1: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
        3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"),
    }[layout.samples]
    if layout.interpretation not in known:
        rule = f"{name}: the photometric interpretation of {layout.samples} samples a pixel"
        raise ReadError(f"{rule} is one of {', '.join(known)}", layout.interpretation or "another")


def _from_ybr(stored: Array, top: float, space: str) -> FloatArray:
    """C.7.6.3.1.2, YBR_FULL and the retired YBR_PARTIAL_422, rounded to whole stored values.

    Decoders round as well, so a file of the same picture in RGB has the same pixels.
    """
    luma, blue, red = (stored[..., sample].astype(np.float32) for sample in range(3))
    middle = np.float32((top + 1) / 2)
    blue, red = blue - middle, red - middle
    if space.startswith("YBR_PARTIAL"):
        luma = (luma - np.float32(_FOOT * (top + 1))) / np.float32(_LUMA)
        blue, red = blue / np.float32(_CHROMA), red / np.float32(_CHROMA)
    rgb = np.empty(stored.shape, dtype=np.float32)
    rgb[..., 0] = luma + np.float32(_RED) * red
    rgb[..., 1] = luma - np.float32(_GREEN_BLUE) * blue - np.float32(_GREEN_RED) * red
    rgb[..., 2] = luma + np.float32(_BLUE) * blue
    whole = np.clip(np.floor(rgb + np.float32(0.5)), 0, np.float32(top))
    return np.asarray(whole / np.float32(top), dtype=np.float32)


def _palette(header: Header, stored: Array) -> FloatArray:
    """C.7.6.3.1.5 and, segmented, C.7.9.2: lookup tables of 8 or 16 bits an entry, to RGB."""
    colours = np.asarray(processing.apply_color_lut(stored, header.elements))
    full_scale = np.iinfo(colours.dtype).max
    count, first, bits = (int(n) for n in header.get("RedPaletteColorLookupTableDescriptor"))
    if bits == 16 and int(colours.max()) <= 255:
        # 8-bit colours in 16-bit tables, as some writers leave them; a dark frame is told from them
        # by the colours that it does not use
        every = np.arange(first, first + (count or 2**16))
        if int(np.max(processing.apply_color_lut(every, header.elements))) <= 255:
            full_scale = 255
    return np.asarray(np.divide(colours, np.float32(full_scale), dtype=np.float32))
