"""The size that a compressed frame announces itself, before anything decodes it.

A file's header may say 100 x 100 while the compressed frame inside says 60,000 x 60,000. Knows the
headers of JPEG, JPEG-LS and JPEG 2000; it decodes nothing.
"""

from __future__ import annotations

_SIZ = b"\xff\x4f\xff\x51"  # ITU-T T.800, A.4.1 and A.5.1: start of codestream, then image size
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # ITU-T T.81, table B.1: tables and an extension among the frames
_JPEG_LS_FRAME = 0xF7  # ITU-T T.87, C.1.1
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xDA))


def announced_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else.

    >>> announced_size(b"run-length coded")
    """
    start = data.find(_SIZ, 0, 4096)  # a JP2 file has boxes before it
    if start >= 0 and not data.startswith(b"\xff\xd8"):
        right, bottom, left, top = (_number(data[start + at :][:4]) for at in (8, 12, 16, 20))
        return right - left, bottom - top
    if not data.startswith(b"\xff\xd8"):
        return None
    return _jpeg_size(data)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the marker segments to the frame header (T.81, B.2.2): length, precision, Y, X."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == _JPEG_LS_FRAME:
            return _number(data[at + 7 : at + 9]), _number(data[at + 5 : at + 7])
        else:
            at += 2 + max(2, _number(data[at + 2 : at + 4]))
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
