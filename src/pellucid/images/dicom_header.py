"""The header of a DICOM file: the elements up to the pixels, the facts, why a file is no image.

Only the elements of `dicom_elements.py` are ever parsed. Knows the header and where the pixels
begin; it decodes nothing.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pellucid.errors import ReadError
from pellucid.images.dicom_elements import (
    FACT_KEYWORDS,
    NEW_SYNTAXES,
    NUMBERS,
    OTHER_OBJECTS,
    PIXEL_TAGS,
    TAGS,
)
from pellucid.images.image import Facts, quiet_decoders

_HEADERS_KEPT = 4  # decoding threads stay close together
_UNDEFINED = 0xFFFFFFFF  # PS3.5, 7.1.1: a length that the file does not state
_HEADER_BYTES = 2**24  # of a deflated file, inflated to find its header
_INFLATED_BYTES = 2**29  # of a deflated file in all
_MOST_ELEMENTS = 20_000  # of the main dataset
_MOST_READS = 2_000_000
_ITEM_HEADER = 8  # bytes: a tag and a length
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # of either order of bytes
_MOST_ITEMS = 100_000  # a scan of a thousand frames has twenty a frame
_AGE = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5, 6.2: Age String
_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5, 9.1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST_CHARACTERS, _MOST_VALUES = 64, 8  # that a fact keeps of a text element
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True)
class PixelElement:
    """Where the pixels stand: the element's keyword, the offset of its value and its length.

    `length` is None where the file leaves it open, as encapsulated pixels do (PS3.5, A.4).
    """

    keyword: str
    vr: str
    offset: int
    length: int | None


@dataclass(frozen=True)
class Header:
    """The elements before the pixels, the transfer syntax, and the stream that holds the pixels."""

    elements: Any  # a pydicom Dataset of the elements named in this module, and no others
    syntax: UID
    stream: BinaryIO  # the file, or what a deflated file inflates to
    pixels: PixelElement | None

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of an element of the main dataset, or `default` when absent or empty."""
        if tag_for_keyword(keyword) not in self._present:  # most are absent, and pydicom is slow
            return default
        value = self.elements.get(keyword)
        return default if value is None or value == "" else value

    @cached_property
    def _present(self) -> frozenset[int]:
        return frozenset(int(tag) for tag in self.elements.keys())  # noqa: SIM118  its elements

    @property
    def frames(self) -> int:
        """PS3.3, C.7.6.6.1.1: Number of Frames; an absent or empty one means a single frame."""
        return max(1, int(self.get("NumberOfFrames") or 1))


def read_dicom_facts(path: Path) -> Facts:
    """The facts of a DICOM image from its header alone, in about a millisecond, with `frames`.

    Raises `ReadError` with the plain reason for what is no DICOM image.
    """
    name = str(path)
    try:
        with quiet_decoders(), path.open("rb") as file:
            header = read_header(file, name)
            check_pixels(header, name)
            return {"format": "DICOM", **header_facts(header)}
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"{name}: a file must be readable", error.strerror or "no file") from None
    except Exception as error:  # pydicom raises anything on a damaged header
        raise ReadError(f"{name}: a header must be whole", "a damaged DICOM file") from error


_kept: OrderedDict[tuple[int, ...], Header] = OrderedDict()
_kept_lock = threading.Lock()


def read_header(file: BinaryIO, name: str) -> Header:
    """Read the named elements of an open DICOM file up to its pixels (PS3.10, 7.1).

    The headers of the last few multi-frame files are kept: parsing the functional groups of a
    thousand frames for each of them would take longer than decoding them.
    """
    key = _identity(file)
    with _kept_lock:
        kept = _kept.get(key)
    if kept is not None:
        return replace(kept, stream=file)
    header = _parse(file, name)
    if key and header.stream is file and "NumberOfFrames" in header.elements:
        with _kept_lock:
            _kept[key] = replace(header, stream=BytesIO())
            while len(_kept) > _HEADERS_KEPT:
                _kept.popitem(last=False)
    return header


def _identity(file: BinaryIO) -> tuple[int, ...]:
    """What is the same only for the same, unchanged file; () for a stream that is no file."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _parse(file: BinaryIO, name: str) -> Header:
    start = _deflated_start(file)
    if start is not None:
        return _read_deflated(file, name, start)
    found: list[PixelElement] = []
    file.seek(0)
    counted: Any = _Counted(file, name)
    stop = _stop_at(file, found, name)
    with counted:
        dataset: Any = read_partial(counted, stop, force=True, specific_tags=TAGS)
        counted.count_unparsed(dataset)
    syntax = dataset.file_meta.get("TransferSyntaxUID") or _parsed_syntax(dataset)
    return Header(dataset, UID(syntax), file, found[0] if found else None)


class _Counted:
    """A stream from which pydicom may read so many items of sequences, and so often.

    An item has eight bytes (PS3.5, 7.5), and takes a kilobyte and 18 µs when it is parsed. What
    stands behind the header is not looked at.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._reads, self._items = 0, 0
        self._refusal: ReadError | None = None

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        if self._refusal is not None:  # which pydicom may have called something else
            raise self._refusal

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._reads += 1
        if size == _ITEM_HEADER and data[:4] in _ITEMS:
            self.count(1)
        if self._reads > _MOST_READS:
            self._refuse(f"{self._name}: a DICOM header ends", "one of endless elements")
        return data

    def count(self, items: int) -> None:
        """Note items; raises `ReadError` for too many."""
        self._items += items
        if self._items > _MOST_ITEMS:
            rule = f"{self._name}: a DICOM file has at most {_MOST_ITEMS:,} items of sequences"
            self._refuse(rule, "more", "Split it into several files.")

    def _refuse(self, *said: str) -> None:
        self._refusal = ReadError(*said)
        raise self._refusal

    def count_unparsed(self, dataset: Any) -> None:
        """The same for sequences of a known length, which are parsed when they are asked for."""
        for tag in dataset.keys():  # noqa: SIM118  its elements
            value = dataset.get_item(tag).value
            if isinstance(value, bytes):
                self.count(sum(value.count(item) for item in _ITEMS))


def _stop_at(stream: BinaryIO, found: list[PixelElement], name: str) -> Any:
    """A rule that stops pydicom at the pixels and notes where their value begins.

    It refuses a header that goes on and on.
    """
    passed = 0

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal passed
        passed += 1
        if passed > _MOST_ELEMENTS:
            rule = f"{name}: a DICOM header has at most {_MOST_ELEMENTS:,} elements"
            raise ReadError(rule, "more")
        keyword = PIXEL_TAGS.get(int(tag))
        if keyword is None:
            return False
        known = None if length == _UNDEFINED else length
        found.append(PixelElement(keyword, vr or "OW", stream.tell(), known))
        return True

    return stop


def _parsed_syntax(dataset: Any) -> UID:
    """Give a file without meta group (older than PS3.10) the syntax that it was parsed with."""
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else explicit


def _deflated_start(file: BinaryIO) -> int | None:
    """Where the deflated part of a file begins (PS3.5, A.5), None for any other file."""
    file.seek(0)
    head = file.read(1024)
    if head[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in head:
        return None
    # PS3.10, 7.1: after "DICM" comes the length of the meta group, which is never deflated itself
    return 144 + int.from_bytes(head[140:144], "little")


def _read_deflated(file: BinaryIO, name: str, start: int) -> Header:
    """Inflate the header first, and then no more than it announces (and never beyond the bound)."""
    file.seek(132)
    meta = read_dataset(BytesIO(file.read(start - 132)), False, True)
    header = _parse_inflated(inflate(file, name, start, _HEADER_BYTES), meta, name)
    if header.pixels is None or header.pixels.length is None:
        return header
    end = header.pixels.offset + header.pixels.length
    if end > _INFLATED_BYTES:
        rule = f"{name}: a deflated file may hold at most {_INFLATED_BYTES:,} bytes"
        raise ReadError(rule, f"{end:,}")
    return _parse_inflated(inflate(file, name, start, end), meta, name)


def _parse_inflated(data: bytes, meta: Any, name: str) -> Header:
    stream, found = BytesIO(data), list[PixelElement]()
    counted: Any = _Counted(stream, name)
    with counted:
        dataset: Any = read_dataset(
            counted, False, True, stop_when=_stop_at(stream, found, name), specific_tags=TAGS
        )
        counted.count_unparsed(dataset)
    dataset.file_meta = meta
    pixels = found[0] if found else None
    return Header(dataset, DeflatedExplicitVRLittleEndian, stream, pixels)


def inflate(file: BinaryIO, name: str, start: int, limit: int) -> bytes:
    """The first `limit` bytes, or all there are, of a raw deflate stream (PS3.5, A.5)."""
    file.seek(start)
    inflater, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    try:
        while size < limit and not inflater.eof and (packed := file.read(2**18)):
            while packed and size < limit:
                part = inflater.decompress(packed, min(2**24, limit - size))
                packed, size = inflater.unconsumed_tail, size + len(part)
                parts.append(part)
    except zlib.error as error:
        raise ReadError(f"{name}: a deflated file must inflate", "a damaged one") from error
    return b"".join(parts)


def check_pixels(header: Header, name: str) -> None:
    """Refuse, by the header alone, what is no picture, each with its plain reason."""
    if header.pixels is None:
        found, remedy = _why_no_pixels(header)
        raise ReadError(f"{name}: a DICOM image holds pixels", found, remedy)
    for keyword in ("Rows", "Columns", "PhotometricInterpretation"):
        if header.get(keyword) is None:
            raise ReadError(f"{name}: a DICOM image states its {keyword}", "none")
    for keyword in NUMBERS:
        try:
            int(header.get(keyword, 0))
        except (TypeError, ValueError):
            found = plain_text(header.elements.get(keyword)) or "no number"
            raise ReadError(f"{name}: {keyword} is one whole number", found) from None


def _why_no_pixels(header: Header) -> tuple[str, str]:
    leave = "Leave the file out."
    if header.get("EncryptedAttributesSequence"):  # PS3.15, E.1.1: the protected originals
        return "encrypted attributes (PS3.15) and no pixels", "Decrypt the file first."
    if header.get("PixelDataProviderURL"):  # PS3.5, A.6: JPIP
        return "only the address of a server that holds them (JPIP)", "Fetch the pixels first."
    kind = class_name(header)
    if not kind:
        return "a file without the elements of an image", leave
    words = next((words for word, words in OTHER_OBJECTS.items() if word in kind), "")
    return f"none in {words + ' (' + kind + ')' if words else kind}", leave


def class_name(header: Header) -> str:
    """The object's SOP class in words (PS3.4, B.5), "" when the file names none."""
    meta = getattr(header.elements, "file_meta", {})
    uid = header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    return _uid_name(str(uid), "an object of unknown class") if uid else ""


def syntax_name(syntax: str) -> str:
    """A transfer syntax in words (PS3.6, annex A)."""
    return NEW_SYNTAXES.get(syntax) or _uid_name(syntax, "a damaged UID")


def _uid_name(uid: str, damaged: str) -> str:
    return str(UID(uid).name) if _UID.fullmatch(uid) else damaged


def header_facts(header: Header) -> Facts:
    """What the header says, under the DICOM keyword in lower case, and the age in years."""
    facts: Facts = {
        "frames": header.frames,
        "width": int(header.get("Columns", 0)),
        "height": int(header.get("Rows", 0)),
        "transfersyntaxuid": syntax_name(header.syntax),
    }
    for keyword in FACT_KEYWORDS:
        value = plain_text(header.get(keyword))
        if value:
            facts[keyword.lower()] = value
    years = age_in_years(str(facts.get("patientage", "")))
    if years is not None:
        facts["age_years"] = years
    return facts


def plain_text(value: Any) -> str:
    """A value as text, "" for what no short text element holds (PS3.5, 6.2: 64 characters).

    A damaged length makes a value swallow the elements behind it, a patient's name among them, so
    text with a control character, as their tags have, is not told.
    """
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        return "\\".join(plain_text(part) for part in value[:_MOST_VALUES])
    text = "" if value is None else str(value).strip().strip("\0").strip()
    return text if len(text) <= _MOST_CHARACTERS and not _CONTROL.search(text) else ""


def age_in_years(age: str) -> float | None:
    """Years of an Age String such as 045Y, 006M, 003W or 010D (PS3.5, 6.2); None for others.

    >>> age_in_years("006M")
    0.5
    """
    match = _AGE.fullmatch(age.strip().upper())
    return round(int(match[1]) * _YEARS[match[2]], 3) if match else None
