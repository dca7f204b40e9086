"""What a compressed frame says of itself, before anything decodes it.

A file's header may say 100 x 100 while the compressed frame inside says 60,000 x 60,000. Knows the
headers of JPEG, JPEG-LS, JPEG 2000 (also High-Throughput) and DICOM's run-length coding; it decodes
nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pellucid.errors import ReadError

_SIZ = b"\xff\x4f\xff\x51"  # ITU-T T.800, A.4.1 and A.5.1: start of codestream, then image size
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # ITU-T T.81, table B.1: tables and an extension among the frames
_JPEG_LS_FRAME = 0xF7  # ITU-T T.87, C.1.1
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xDA))
_APP0, _APP14 = 0xE0, 0xEE
_RGB_NAMES = (b"RGB", b"rgb")
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA  # T.81, B.2.3
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # entropy-coded data holds no other
_MOST_SCANS = 100  # a progressive picture has about ten


class Codestream(NamedTuple):
    """Size, components and bits as the frame announces them.

    `colours` is "RGB" or "YBR" where the codestream tells its own colour space (component names, an
    Adobe or a JFIF segment), and "" where it leaves that to the file's header.
    """

    width: int
    height: int
    components: int
    precision: int
    colours: str = ""
    whole: bool = True


def read_codestream(data: bytes) -> Codestream | None:
    """The announcement of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else.

    >>> read_codestream(b"run-length coded")
    """
    if data.startswith(b"\xff\xd8"):
        return _read_jpeg(data)
    start = data.find(_SIZ, 0, 4096)  # a JP2 file has boxes before it
    if start < 0 or len(data) < start + 43:
        return None
    right, bottom, left, top = (_number(data[start + at :][:4]) for at in (8, 12, 16, 20))
    components = _number(data[start + 40 : start + 42])
    precision = (data[start + 42] & 0x7F) + 1  # T.800, A.5.1: Ssiz, whose first bit is the sign
    return Codestream(right - left, bottom - top, components, precision)


def check_scans(name: str, data: bytes) -> None:
    """Refuse a JPEG that draws the same pixels over and over: 50 bytes and 10 ms a time.

    Counted up to its end: what follows it, such as a film, is never decoded.
    """
    scans, at = 0, 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE[1]:
            break
        scans += marker == _START_OF_SCAN
        if marker not in _WITHOUT_LENGTH:
            at += max(2, _number(data[at : at + 2]))
    if scans > _MOST_SCANS:
        rule = f"{name}: a JPEG is drawn in at most {_MOST_SCANS} scans"
        raise ReadError(rule, f"{scans:,}", "Save it again from its source.")


def _read_jpeg(data: bytes) -> Codestream | None:
    """Walk the marker segments to the frame header (T.81, B.2.2): length, precision, Y, X."""
    at, colours = 2, ""
    while at + 10 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == _JPEG_LS_FRAME:
            return _jpeg_frame(data, at, colours)
        else:
            length = max(2, _number(data[at + 2 : at + 4]))
            colours = _named_colours(marker, data[at + 4 : at + 2 + length]) or colours
            at += 2 + length
    return None


def _jpeg_frame(data: bytes, at: int, colours: str) -> Codestream:
    height, width = _number(data[at + 5 : at + 7]), _number(data[at + 7 : at + 9])
    components = data[at + 9]
    names = data[at + 10 : at + 10 + 3 * components : 3]
    # T.81, B.2.1: a frame ends in a marker that entropy-coded data cannot hold; libjpeg fills what
    # is missing with grey and says nothing
    whole = data.find(_END_OF_IMAGE, at + 10) >= 0
    return Codestream(
        width, height, components, data[at + 4], "RGB" if names in _RGB_NAMES else colours, whole
    )


def _named_colours(marker: int, segment: bytes) -> str:
    """The colour space of an Adobe (T.872, 6.5.3) or JFIF (T.871, 6.3) segment, "" of others."""
    if marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
        return {0: "RGB", 1: "YBR"}.get(segment[11], "")
    return "YBR" if marker == _APP0 and segment.startswith(b"JFIF") else ""


def run_length_segments(data: bytes) -> int:
    """How many segments a run-length coded frame announces (PS3.5, G.5); 0 when it cannot be."""
    if len(data) < 64:
        return 0
    return int.from_bytes(data[:4], "little")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
