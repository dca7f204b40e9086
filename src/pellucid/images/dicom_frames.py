"""The bytes of one frame, found without decoding or keeping the others, their length checked.

Knows where pixels stand in a file (PS3.5, 8 and A.4) and what a frame must weigh; it does not know
what the bytes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from pydicom.encaps import get_frame

from pellucid.errors import ReadError
from pellucid.images.dicom_header import Header, PixelElement, plain_text
from pellucid.images.image import check_frame, check_size

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # PS3.5, 7.5: item, end of the sequence
_COPY_AGAIN = "Copy the file again from its source, or leave it out."


@dataclass(frozen=True)
class Layout:
    """The Image Pixel module (PS3.3, C.7.6.3) as whole numbers, checked."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: bool
    interpretation: str

    @property
    def frame_bits(self) -> int:
        """How many bits one uncompressed frame takes."""
        bits = self.rows * self.columns * self.samples * self.allocated
        # C.7.6.3.1.2: YBR_FULL_422 shares each pair's two colour values
        return bits * 2 // 3 if self.interpretation.endswith("_422") else bits


def read_layout(header: Header, name: str, max_pixels: int) -> Layout:
    """The checked layout; raises `ReadError` before a pixel is read."""
    rows, columns = int(header.get("Rows")), int(header.get("Columns"))
    check_size(name, columns, rows, max_pixels)
    samples = int(header.get("SamplesPerPixel", 1))
    if samples not in (1, 3):
        raise ReadError(f"{name}: a DICOM image has 1 or 3 samples a pixel", str(samples))
    allocated = int(header.get("BitsAllocated", 0))
    if allocated not in (1, 8, 16, 24, 32, 64):  # PS3.5, 8.1.1: 1 or a multiple of 8
        raise ReadError(f"{name}: a sample takes 1, 8, 16, 24, 32 or 64 bits", str(allocated))
    stored = int(header.get("BitsStored", allocated))
    if not 1 <= stored <= allocated:
        rule = f"{name}: the bits stored are 1 to the {allocated} allocated"
        raise ReadError(rule, str(stored))
    high = int(header.get("HighBit", stored - 1))
    return Layout(
        rows=rows,
        columns=columns,
        samples=samples,
        allocated=allocated,
        stored=stored,
        high=high if stored - 1 <= high < allocated else stored - 1,
        signed=bool(int(header.get("PixelRepresentation", 0))),
        planar=bool(int(header.get("PlanarConfiguration", 0))),
        interpretation=plain_text(header.get("PhotometricInterpretation")).upper(),
    )


def native_frame(header: Header, layout: Layout, name: str, frame: int) -> tuple[bytes, int]:
    """The bytes that hold an uncompressed frame (PS3.5, 8.2), and the bit at which it begins.

    8-bit samples in big-endian words (PS3.5, 8.1.1) are put into their order.
    """
    check_frame(name, frame, header.frames)
    element = _element(header)
    _check_length(header, layout, name)
    first = frame * layout.frame_bits
    start, end = first // 8, -(-(first + layout.frame_bits) // 8)
    swapped = not header.syntax.is_little_endian and element.vr == "OW" and layout.allocated <= 8
    if swapped:
        start, end = start - start % 2, end + end % 2
    header.stream.seek(element.offset + start)
    data = header.stream.read(end - start)
    if swapped:
        data = _swapped(data)
    return data, first - 8 * start


def _swapped(data: bytes) -> bytes:
    whole = bytearray(data + bytes(len(data) % 2))
    whole[0::2], whole[1::2] = whole[1::2], whole[0::2]
    return bytes(whole)


def _check_length(header: Header, layout: Layout, name: str) -> None:
    """Hold the length of the pixels against the header; a frame too many or few is refused."""
    element = _element(header)
    frame_bytes = -(-layout.frame_bits // 8)
    expected = -(-layout.frame_bits * header.frames // 8)
    rule = f"{name}: {_size_of(header, layout)} take {expected:,} bytes"
    if element.length is None:
        raise ReadError(rule, "compressed pixels under an uncompressed transfer syntax")
    present = min(element.length, max(0, _end_of(header.stream) - element.offset))
    if present < expected:
        cut = f"a file that ends too early, after {present:,} of them"
        found = cut if present < element.length else f"{present:,}: too few"
        raise ReadError(rule, found, _COPY_AGAIN)
    # PS3.5, 8.2: a byte pads an odd length; some writers pad to a block. A whole frame more means
    # that the header describes other pixels than these.
    if element.length - expected >= max(2, frame_bytes):
        raise ReadError(rule, f"{element.length:,}: too many", _COPY_AGAIN)


def _size_of(header: Header, layout: Layout) -> str:
    frames = f"{header.frames:,} frames" if header.frames > 1 else "pixels"
    return f"{frames} of {layout.rows:,} x {layout.columns:,}"


def encapsulated_frame(header: Header, name: str, frame: int) -> bytes:
    """The compressed bytes of one frame (PS3.5, A.4), whose fragments must all be in the file."""
    check_frame(name, frame, header.frames)
    element = _element(header)
    fragments = _count_fragments(header.stream, element, name)
    if fragments < header.frames and fragments > 0 and not header.get("ExtendedOffsetTable"):
        rule = f"{name}: {header.frames:,} frames take as many fragments or more"
        raise ReadError(rule, f"{fragments:,}", _COPY_AGAIN)
    offsets, lengths = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
    header.stream.seek(element.offset)
    try:
        data = get_frame(
            header.stream,
            frame,
            number_of_frames=header.frames,
            extended_offsets=(offsets, lengths) if offsets and lengths else None,
        )
    except Exception as error:  # pydicom raises ValueError and struct.error
        raise _damaged(name) from error
    return bytes(data)


def _count_fragments(stream: BinaryIO, element: PixelElement, name: str) -> int:
    """Walk the items by their lengths, so that no cut fragment reaches a decoder."""
    end = _end_of(stream)
    at, items = element.offset, 0
    while at + 8 <= end:
        stream.seek(at)
        tag, length = stream.read(4), int.from_bytes(stream.read(4), "little")
        if tag == _END:
            break
        if tag != _ITEM:
            raise _damaged(name)
        at, items = at + 8 + length, items + 1
        if at > end:
            rule = f"{name}: the compressed pixels must be whole"
            raise ReadError(rule, "a file that ends too early", _COPY_AGAIN)
    if items < 2:  # the first item is the Basic Offset Table
        raise ReadError(f"{name}: a DICOM image holds pixels", "an empty element", _COPY_AGAIN)
    return items - 1


def _damaged(name: str) -> ReadError:
    rule = f"{name}: compressed pixels stand in items (PS3.5, A.4)"
    return ReadError(rule, "other or damaged data", _COPY_AGAIN)


def _element(header: Header) -> PixelElement:
    if header.pixels is None:  # check_pixels comes first
        raise ValueError("no pixels")
    return header.pixels


def _end_of(stream: BinaryIO) -> int:
    stream.seek(0, 2)
    return stream.tell()
