"""Stored values of one frame: every transfer syntax, each with the one decoder that reads it.

Decoders differ by grey levels and in what they do to colour, so the table below is fixed: what else
is installed changes nothing, there is no second try with another decoder, and the one that was used
is a fact of the image. Colour is left as it is stored; `dicom_colour.py` converts it, once. Knows
bytes, sizes and signs; it does not know what the values mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from pydicom import uid

from pellucid.errors import ReadError
from pellucid.images.codestreams import (
    Codestream,
    check_scans,
    read_codestream,
    run_length_segments,
)
from pellucid.images.dicom_frames import Layout, encapsulated_frame, native_frame
from pellucid.images.dicom_header import Header, syntax_name
from pellucid.images.image import Array, check_size

Codec = Callable[[bytes], Array]

# retired in 2004 and still met: spectral selection (processes 6 and 8), progression (10 and 12)
PROGRESSIVE = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")
FRAME_DEFLATED = "1.2.840.10008.1.2.8.1"  # PS3.5, A.4.13; not yet in pydicom's dictionary
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"  # PS3.5, A.4.11


class Frame(NamedTuple):
    """Stored values (row, column[, sample]), their photometric interpretation, and who decoded."""

    values: Array
    interpretation: str
    decoder: str


def _jpeg(data: bytes) -> Array:
    """JPEG, lossy and lossless, through libjpeg-turbo without its guess at the colour space.

    Chosen for lossless frames as well, since it knows restart intervals; `read_codestream` sees to
    it that a cut frame does not get so far.
    """
    from imagecodecs import jpeg8_decode

    stream = read_codestream(data)
    if stream is not None and stream.components == 3:
        return np.asarray(jpeg8_decode(data, colorspace="YCBCR", outcolorspace="YCBCR"))
    return np.asarray(jpeg8_decode(data))


def _jpeg_ls(data: bytes) -> Array:
    from imagecodecs import jpegls_decode

    return np.asarray(jpegls_decode(data))


def _jpeg_2000(data: bytes) -> Array:
    """JPEG 2000 and HTJ2K through OpenJPEG, which also undoes RCT and ICT (T.800, annex G).

    OpenJPH, imagecodecs' other decoder of HTJ2K, lets values beyond 8 bits wrap around: 255 grey
    levels off in 0.1 % of the values of HTJ2K_08_RGB.dcm.
    """
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(data))


CODECS: dict[str, tuple[str, Codec]] = {
    uid.JPEGBaseline8Bit: ("imagecodecs jpeg8", _jpeg),
    uid.JPEGExtended12Bit: ("imagecodecs jpeg8", _jpeg),
    PROGRESSIVE[0]: ("imagecodecs jpeg8", _jpeg),
    PROGRESSIVE[1]: ("imagecodecs jpeg8", _jpeg),
    uid.JPEGLossless: ("imagecodecs jpeg8", _jpeg),
    uid.JPEGLosslessSV1: ("imagecodecs jpeg8", _jpeg),
    uid.JPEGLSLossless: ("imagecodecs jpegls", _jpeg_ls),
    uid.JPEGLSNearLossless: ("imagecodecs jpegls", _jpeg_ls),
    uid.JPEG2000Lossless: ("imagecodecs jpeg2k", _jpeg_2000),
    uid.JPEG2000: ("imagecodecs jpeg2k", _jpeg_2000),
    uid.HTJ2KLossless: ("imagecodecs jpeg2k", _jpeg_2000),
    uid.HTJ2KLosslessRPCL: ("imagecodecs jpeg2k", _jpeg_2000),
    uid.HTJ2K: ("imagecodecs jpeg2k", _jpeg_2000),
}
PACKED: dict[str, str] = {  # frames that unpack to the bytes of an uncompressed one
    uid.RLELossless: "imagecodecs dicomrle",
    FRAME_DEFLATED: "zlib",
    ENCAPSULATED_UNCOMPRESSED: "native",
}
NATIVE: dict[str, str] = {  # uncompressed
    uid.ImplicitVRLittleEndian: "native",
    uid.ExplicitVRLittleEndian: "native",
    uid.ExplicitVRBigEndian: "native",
    uid.DeflatedExplicitVRLittleEndian: "native, zlib",
}
_WIDE = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_OWN_BITS = (*_WIDE, uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_CONVERTED = {"YBR_RCT": "RGB", "YBR_ICT": "RGB"}  # C.7.6.3.1.2, undone inside JPEG 2000


def decode_frame(header: Header, layout: Layout, name: str, asked: tuple[int, int]) -> Frame:
    """Decode one frame; `asked` is (frame, max_pixels). Raises `ReadError` with a plain reason."""
    syntax, (frame, max_pixels) = header.syntax, asked
    if syntax in NATIVE:
        data, bit = native_frame(header, layout, name, frame)
        return Frame(_native(header, layout, data, bit), _expanded(layout), NATIVE[syntax])
    if syntax in PACKED:
        packed = encapsulated_frame(header, name, frame)
        data = _unpack(syntax, packed, layout, name)
        return Frame(_native(header, layout, data, 0), _expanded(layout), PACKED[syntax])
    if syntax not in CODECS:
        raise _unknown(header, name)
    data = encapsulated_frame(header, name, frame)
    stream = _checked_codestream(data, layout, name, max_pixels)
    decoder, codec = CODECS[syntax]
    values = _decode(codec, data, f"{name}: {syntax_name(syntax)}", decoder)
    if values.shape != _shape(layout):
        raise _mismatch(name, layout, " x ".join(str(length) for length in values.shape))
    own_bits = syntax in _OWN_BITS
    return Frame(
        _whole_numbers(values, layout, stream.precision, own_bits),
        _colour_space(layout, stream, syntax),
        decoder,
    )


def _unknown(header: Header, name: str) -> ReadError:
    rule = f"{name}: the transfer syntax is one that a decoder at hand reads"
    remedy = "Convert the file to an uncompressed syntax or JPEG 2000."
    called = syntax_name(header.syntax)
    known = "a film" if "MPEG" in called or "HEVC" in called else ""
    found = f"{called}{', ' + known if known else ''}"
    return ReadError(rule, found, remedy)


def _decode(codec: Codec, data: bytes, what: str, decoder: str) -> Array:
    try:
        return codec(data)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each codec raises its own kind
        found = f"data that {decoder} cannot decode: damaged, or of a rare kind"
        raise ReadError(f"{what}: the compressed pixels must be whole", found) from error


def _checked_codestream(data: bytes, layout: Layout, name: str, max_pixels: int) -> Codestream:
    """Hold what the frame announces against the bound and the header, before decoding it."""
    stream = read_codestream(data)
    if stream is None:
        rule = f"{name}: a compressed frame begins with its size"
        raise ReadError(rule, "other or damaged data")
    check_size(name, stream.width, stream.height, max_pixels)
    check_scans(name, data)
    announced = (stream.height, stream.width, stream.components)
    if announced != (layout.rows, layout.columns, layout.samples):
        raise _mismatch(name, layout, f"{announced[0]:,} x {announced[1]:,} x {announced[2]}")
    if not stream.whole:
        rule = f"{name}: the compressed pixels must be whole"
        raise ReadError(rule, "a frame without its end", "Copy the file again from its source.")
    return stream


def _mismatch(name: str, layout: Layout, found: str) -> ReadError:
    size = f"{layout.rows:,} x {layout.columns:,} x {layout.samples}"
    return ReadError(f"{name}: the compressed frame has the header's {size}", found)


def _shape(layout: Layout) -> tuple[int, ...]:
    plane = (layout.rows, layout.columns)
    return plane if layout.samples == 1 else (*plane, layout.samples)


def _colour_space(layout: Layout, stream: Codestream, syntax: str) -> str:
    """The codestream's word on its colours where it has one, else the header's (PS3.5, 8.2.1)."""
    if layout.samples == 1:
        return layout.interpretation
    if syntax in _WIDE:
        return _CONVERTED.get(layout.interpretation, layout.interpretation)
    own = {"RGB": "RGB", "YBR": "YBR_FULL", "": layout.interpretation}[stream.colours]
    return "YBR_FULL" if own == "YBR_FULL_422" else own  # the decoder has doubled the shared values


def _expanded(layout: Layout) -> str:
    """The interpretation once shared colour values are doubled, as `_native` does."""
    return layout.interpretation.removesuffix("_422")


def _unpack(syntax: str, packed: bytes, layout: Layout, name: str) -> bytes:
    """Run-length (PS3.5, annex G) or deflated (A.4.13) frames to the bytes of a native one."""
    expected = -(-layout.frame_bits // 8)
    if syntax == uid.RLELossless:
        data = _run_lengths(packed, layout, name)
    elif syntax == FRAME_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, expected + 2)
    else:
        data = packed
    if not expected <= len(data) <= expected + 1:
        rule = f"{name}: a frame of {layout.rows:,} x {layout.columns:,} has {expected:,} bytes"
        raise ReadError(rule, f"{len(data):,}", "Copy the file again from its source.")
    return data[:expected]


def _run_lengths(packed: bytes, layout: Layout, name: str) -> bytes:
    from imagecodecs import dicomrle_decode

    segments = layout.samples * max(1, layout.allocated // 8)  # G.2: a byte plane each
    if run_length_segments(packed) != segments:
        rule = f"{name}: a run-length coded frame has {segments} segments"
        raise ReadError(rule, str(run_length_segments(packed)))
    sample = f"<u{max(1, layout.allocated // 8)}"

    def codec(data: bytes) -> Array:
        return np.frombuffer(bytes(dicomrle_decode(data, sample)), np.uint8)

    return _decode(codec, packed, f"{name}: RLE", "imagecodecs dicomrle").tobytes()


def _native(header: Header, layout: Layout, data: bytes, first_bit: int) -> Array:
    """Bytes to values (PS3.5, 8.1 and 8.2): words, planes and signs."""
    little = header.syntax not in (uid.ExplicitVRBigEndian,)
    count = layout.rows * layout.columns * layout.samples
    keyword = header.pixels.keyword if header.pixels else "PixelData"
    if keyword != "PixelData":  # C.7.6.24 and C.7.6.25: floating point
        kind = f"{'<' if little else '>'}f{layout.allocated // 8}"
        floats: Array = np.frombuffer(data, kind).astype(kind[1:])
        return _arranged(floats, layout, header)
    if layout.allocated == 1:  # PS3.5, 8.1.1: the first pixel in the lowest bit
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return _arranged(bits[first_bit : first_bit + count], layout, header)
    words = _words(data[first_bit // 8 :], layout.allocated // 8, little)
    if layout.interpretation.endswith("_422"):
        words = _without_sharing(words)
    values = _arranged(words[:count], layout, header)
    return _whole_numbers(values, layout, layout.allocated, False)


def _words(data: bytes, width: int, little: bool) -> Array:
    """Unsigned integers of `width` bytes in the machine's own order."""
    if width in (1, 2, 4, 8):
        kind = np.dtype(f"{'<' if little else '>'}u{width}")
        return np.frombuffer(data, kind).astype(kind.newbyteorder("="))
    planes = np.frombuffer(data, np.uint8).reshape(-1, width)
    wide = np.zeros((len(planes), 4), np.uint8)
    wide[:, :width] = planes if little else planes[:, ::-1]
    return wide.view("<u4")[:, 0].astype(np.uint32)


def _without_sharing(words: Array) -> Array:
    """C.7.6.3.1.2, YBR_FULL_422: Y1 Y2 B R becomes Y1 B R Y2 B R."""
    y1, y2, blue, red = words.reshape(-1, 4).T
    return np.stack([y1, blue, red, y2, blue, red], axis=1).ravel()


def _arranged(values: Array, layout: Layout, header: Header) -> Array:
    """C.7.6.3.1.3: samples pixel by pixel or plane by plane; run-length coding is always planar."""
    if layout.samples == 1:
        return values.reshape(layout.rows, layout.columns)
    planar = layout.planar and not layout.interpretation.endswith("_422")
    if planar or header.syntax == uid.RLELossless:
        planes = values.reshape(layout.samples, layout.rows, layout.columns)
        return np.moveaxis(planes, 0, -1)
    return values.reshape(layout.rows, layout.columns, layout.samples)


def _whole_numbers(values: Array, layout: Layout, precision: int, own_bits: bool) -> Array:
    """Keep the bits of the value alone, and give them their sign (PS3.5, 8.1.1 and 8.1.2).

    Bits beyond those stored may hold an old overlay. JPEG 2000 and JPEG-LS say themselves how many
    bits they hold (`own_bits`), as pydicom and GDCM take them; elsewhere the header does.
    """
    size = 8 * values.dtype.itemsize
    high, stored = layout.high, layout.stored
    if own_bits or high >= precision:
        stored = min(size, precision if own_bits else min(precision, stored))
        high = stored - 1
    numbers: Any = values.view(f"{'i' if layout.signed else 'u'}{values.dtype.itemsize}")
    if stored == size:
        return np.asarray(numbers)
    return np.asarray((numbers << (size - 1 - high)) >> (size - stored))
