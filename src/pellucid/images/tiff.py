"""TIFF through tifffile: 1 to 32 bit, grey, palette, colour, a page a frame.

Knows one open TIFF file; the pyramid and the microscope's dimensions stay unread.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile

from pellucid.errors import ReadError
from pellucid.images.codestreams import check_scans, read_codestream
from pellucid.images.image import (
    Array,
    Asked,
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

_BOUNDED = (
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.CCITTRLE,
    COMPRESSION.CCITTFAX3,
    COMPRESSION.CCITTFAX4,
    COMPRESSION.LZMA,
    COMPRESSION.ZSTD,
)
_OF_THEIR_OWN_SIZE = (
    COMPRESSION.JPEG,
    COMPRESSION.JPEG2000,
    COMPRESSION.JPEG_2000_LOSSY,
    COMPRESSION.APERIO_JP2000_YCBC,
    COMPRESSION.APERIO_JP2000_RGB,
)
_PLANAR = 2  # TIFF 6.0, PlanarConfiguration: one plane a channel
_MODES = {"MINISBLACK": "L", "MINISWHITE": "L", "PALETTE": "P", "SEPARATED": "CMYK"}


def read_tiff(file: BinaryIO, name: str, asked: Asked) -> Image:
    """Read one page of an open TIFF; the decoder's errors are the caller's to translate."""
    with TiffFile(file) as tiff:
        frames = len(tiff.pages)
        check_frame(name, asked.frame, frames)
        page: Any = tiff.pages[asked.frame].aspage()
        check_size(name, page.imagewidth, page.imagelength, asked.max_pixels)
        _check_layout(name, page)
        _check_segments(file, name, page)
        stored = _without_palette(page, _samples_last(page))
        shown, window = lay_window(stored, int(page.bitspersample), asked.window)
        pixels = unit_range(name, channels_first(_full_scale(page, shown)))
        mode = _MODES.get(page.photometric.name, "RGB")
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            pixels[:1] = 1 - pixels[:1]
        pixels = _without_ink(pixels) if mode == "CMYK" else without_alpha(pixels)
        orientation = page.tags.get("Orientation")
        pixels = oriented(pixels, int(orientation.value) if orientation else 1)
        facts = {
            "format": "TIFF",
            "width": pixels.shape[2],
            "height": pixels.shape[1],
            "bit_depth": int(page.bitspersample),
            "mode": "1" if page.bitspersample == 1 else mode,
            "frames": frames,
            "synthetic": False,
            **windowed(window),
        }
    return Image(pixels, facts)


def _check_layout(name: str, page: Any) -> None:
    samples = int(page.samplesperpixel)
    if page.imagedepth != 1 or samples > 4:
        raise ReadError(
            f"{name}: a TIFF page is one picture of 1 to 4 channels",
            f"{samples} channels, depth {page.imagedepth}",
            "Save each channel or slice as a page of its own.",
        )


def _check_segments(file: BinaryIO, name: str, page: Any) -> None:
    """Refuse compressed strips or tiles that are larger than the page says, before decoding them.

    The codecs of `_BOUNDED` never give more than they are asked for; these give what they hold.
    """
    if page.compression in _BOUNDED:
        return
    if page.compression not in _OF_THEIR_OWN_SIZE:
        known = ", ".join(one.name for one in (*_BOUNDED, *_OF_THEIR_OWN_SIZE))
        found = page.compression.name
        raise ReadError(f"{name}: a TIFF is compressed by one of {known}", found, "Save it anew.")
    most = int(np.prod(page.chunks))
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        if size == 0:  # a tile that nobody scanned
            continue
        file.seek(offset)
        data = file.read(size)
        stream = read_codestream(data)
        if stream is None:
            raise ReadError(f"{name}: a compressed strip or tile begins with its size", "none")
        if stream.width * stream.height > most:
            found = f"{stream.width:,} x {stream.height:,}"
            raise ReadError(f"{name}: a strip or tile has at most {most:,} values", found)
        check_scans(name, data)


def _samples_last(page: Any) -> Array:
    array = np.asarray(page.asarray(maxworkers=1))
    samples, rows, columns = int(page.samplesperpixel), page.imagelength, page.imagewidth
    if page.planarconfig == _PLANAR and samples > 1:
        return np.moveaxis(array.reshape(samples, rows, columns), 0, -1)
    return array.reshape((rows, columns, samples) if samples > 1 else (rows, columns))


def _without_palette(page: Any, array: Array) -> Array:
    if page.photometric != PHOTOMETRIC.PALETTE:
        return array
    colours = np.asarray(page.colormap, dtype=np.uint16)  # (3, 2 ** bits)
    if not (colours % 256).any():  # 8-bit colours, written times 256 rather than times 257
        colours = (colours // 256).astype(np.uint8)
    return np.moveaxis(colours[:, array], 0, -1)


def _full_scale(page: Any, array: Array) -> Array:
    """Give 2- to 15-bit samples the full scale of their own bits rather than of their type."""
    bits = int(page.bitspersample)
    if array.dtype.kind != "u" or page.photometric == PHOTOMETRIC.PALETTE:
        return array
    if bits == 8 * array.dtype.itemsize:
        return array
    return np.asarray(np.divide(array, np.float32(2**bits - 1), dtype=np.float32))


def _without_ink(pixels: FloatArray) -> FloatArray:
    """Turn cyan, magenta, yellow and black ink into light: RGB = (1 - CMY) (1 - K)."""
    if len(pixels) != 4:
        raise ReadError("A separated TIFF has four inks", f"{len(pixels)}")
    light: FloatArray = (1 - pixels[:3]) * (1 - pixels[3:])
    return light
