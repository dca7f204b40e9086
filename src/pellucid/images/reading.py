"""Which format a file has, by its content and not by its ending, and who reads it.

The border of the room: whatever a decoder raises leaves here as one plain `ReadError`. It knows no
labels, and nothing of how the pixels are used.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pellucid.errors import ReadError
from pellucid.images.image import MAX_PIXELS, Asked, Image, check_frame, quiet_decoders
from pellucid.images.windows import parse_window

__all__ = ["MAX_PIXELS", "Image", "read_image", "read_image_bytes", "split_archive_path"]

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x93NUMPY": "NPY",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "NIfTI",  # compressed; whether a volume is inside is for its reader to say
    b"\x5c\x01\0\0": "NIfTI",
    b"\0\0\x01\x5c": "NIfTI",
    b"\x1c\x02\0\0": "NIfTI",
    b"\0\0\x02\x1c": "NIfTI",
}
_STRANGERS = {  # named, so that the message says what the file is
    b"GIF8": "a GIF",
    b"RIFF": "a WebP or another RIFF file",
    b"\0\0\0\x0cjP": "a JPEG 2000 file",
    b"\xff\x4f\xff\x51": "a JPEG 2000 codestream",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"PK\x05\x06": "an empty archive",
}
_END_MARKS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_KNOWN = "PNG, JPEG, TIFF, BMP, NPY, DICOM, NIfTI, or an array of an NPZ archive (file.npz#array)"
_WITH_PART = (".npz", ".nii", ".nii.gz")  # files of which a path may name a part after a "#"


def read_image(
    path: str | os.PathLike[str],
    frame: int = 0,
    *,
    max_pixels: int = MAX_PIXELS,
    window: str | None = None,
) -> Image:
    """Read one picture: float32 (channel, row, column) in [0, 1], 1 or 3 channels, and facts.

    The format is told by the content: PNG, JPEG, TIFF, BMP, NPY, DICOM or NIfTI;
    `archive.npz#array` is row `frame` of an array, `volume.nii.gz#coronal` slice `frame` along an
    axis. `frame` is a TIFF page, a DICOM frame or a row of a stack, from 0. The
    header's size is held against `max_pixels` (rows times columns) before a pixel is decoded.
    `window`, a preset such as "lung" or "CENTER,WIDTH", is laid over grey of more than 8 bits in
    place of the file's own window; the fact `window` says what was done (docs/dicom.md).
    Raises `ReadError`, with one plain reason, for every file that cannot be read.
    """
    name = os.fspath(path)
    asked = Asked(frame, max_pixels, parse_window(window))
    file_path, array_name = split_archive_path(name)
    _check_file(file_path, name)

    def look() -> Image:
        with file_path.open("rb") as file:
            kind = _kind(file)
            if kind == "NIfTI":
                from pellucid.images.nifti import read_nifti

                return read_nifti(file_path, name, array_name, asked)
            if array_name or kind == "ZIP":
                return _read_archive(file_path, name, kind, (array_name, asked))
            return _read_one(file, name, kind, asked)

    return _plainly(look, name, lambda: file_path.open("rb"))


def read_image_bytes(
    data: bytes,
    name: str = "image",
    frame: int = 0,
    *,
    max_pixels: int = MAX_PIXELS,
    window: str | None = None,
) -> Image:
    """Read one picture from memory, as a server gets it: what `read_image` does, but no file.

    `name` stands in error messages. Volumes and archives, which hold many pictures, are refused.
    Raises `ReadError`.
    """
    asked = Asked(frame, max_pixels, parse_window(window))
    if not data:
        raise ReadError(f"{name}: an image is a file", "an empty one (0 bytes)", "Send it again.")

    def look() -> Image:
        file = io.BytesIO(data)
        kind = _kind(file)
        if kind in ("NIfTI", "ZIP"):
            found = "a volume or an archive of many" if kind == "NIfTI" else "an archive of many"
            raise ReadError(f"{name}: one file is one picture", found, "Send the pictures alone.")
        return _read_one(file, name, kind, asked)

    return _plainly(look, name, lambda: io.BytesIO(data))


def _plainly(look: Callable[[], Image], name: str, reopen: Callable[[], BinaryIO]) -> Image:
    """What a reader gives; whatever a decoder raises becomes one plain `ReadError`."""
    try:
        with quiet_decoders():
            return look()
    except (ReadError, ImportError, NameError):  # a package or our own word missing: not the file
        raise
    except PermissionError:
        raise ReadError(f"{name}: the file must be readable", "no permission to read it") from None
    except MemoryError:
        raise ReadError(f"{name}: a picture must fit into the memory", "too large a one") from None
    except Exception as error:  # decoders of damaged files raise anything
        with reopen() as file:
            raise _not_decoded(file, name) from error


def split_archive_path(name: str) -> tuple[Path, str]:
    """Split `file.npz#array` or `file.nii#axis` into file and part; else the part is "".

    >>> split_archive_path("pneumonia.npz#train_images")[1]
    'train_images'
    """
    before, mark, after = name.rpartition("#")
    if mark and before.lower().endswith(_WITH_PART) and not Path(name).exists():
        return Path(before), after
    return Path(name), ""


def _check_file(path: Path, name: str) -> None:
    """Refuse what is not a regular file with content; a pipe would wait for ever."""
    rule = f"{name}: an image is a file"
    try:
        if path.is_file():
            if path.stat().st_size == 0:
                raise ReadError(rule, "an empty one (0 bytes)", "Copy it again from its source.")
            return
        found = "a folder" if path.is_dir() else "no such file"
        if path.exists() and not path.is_dir():
            found = "a device or a pipe"
    except OSError as error:
        found = error.strerror or "no such file"
    except ValueError:
        found = "a path that no file can have"
    raise ReadError(rule, found, "Check the path.")


def _read_one(file: BinaryIO, name: str, kind: str, asked: Asked) -> Image:
    """The picture of an open file that holds pictures alone."""
    if kind in ("PNG", "JPEG", "BMP"):
        from pellucid.images.rasters import read_raster

        check_frame(name, asked.frame, 1)
        return read_raster(file, name, kind, asked)
    if kind == "TIFF":
        from pellucid.images.tiff import read_tiff

        return read_tiff(file, name, asked)
    if kind == "NPY":
        from pellucid.images.arrays import read_npy

        return read_npy(file, name, asked)
    if kind == "DICOM":
        from pellucid.images.dicom import read_dicom

        return read_dicom(file, name, asked)
    raise ReadError(f"{name}: an image is {_KNOWN}", kind, "Convert it, or leave it out.")


def _read_archive(path: Path, name: str, kind: str, wanted: tuple[str, Asked]) -> Image:
    from pellucid.images.arrays import array_names, read_npz

    array_name, asked = wanted
    if kind != "ZIP":
        raise ReadError(f"{name}: an array stands in an NPZ archive", f"a {kind} file")
    if not array_name:
        names = ", ".join(array_names(path)) or "no arrays"
        remedy = f"Write {name}#ARRAY. It holds: {names}."
        raise ReadError(f"{name}: an archive holds many pictures", "no array's name", remedy)
    return read_npz(path, name, array_name, asked)


def _kind(file: BinaryIO) -> str:
    """The format by its first bytes, or what the file seems to be in words."""
    head = file.read(256)
    file.seek(0)
    if head[128:132] == b"DICM":  # first, since PS3.10 lets a preamble hold a TIFF header
        return "DICOM"
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if looks_like_dicom(head):
        return "DICOM"
    for signature, words in _STRANGERS.items():
        if head.startswith(signature):
            return words
    text = bytes(range(32, 127)) + b"\t\r\n\f"
    return "a text file" if not head.translate(None, text) else "a file of another kind"


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file's first 256 bytes are those of a DICOM file, with or without preamble.

    PS3.10, 7.1: 128 bytes and "DICM". Older files begin at once with an element of group 0002 or
    0008, whose explicit VR is two capitals (PS3.5, 7.1.2) or whose implicit length is short.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 12 or head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"):
        return False
    vr, implicit_length = head[4:6], int.from_bytes(head[4:8], "little")
    return (vr.isalpha() and vr.isupper()) or implicit_length < 1024


def _not_decoded(file: BinaryIO, name: str) -> ReadError:
    """The plain reason for a file whose decoder gave up; the decoder's own words stay inside."""
    kind = _kind(file)
    file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
    tail = file.read()
    found = f"a damaged {kind} file"
    if kind in _END_MARKS and _END_MARKS[kind] not in tail:
        found = f"a {kind} file that ends too early"
    return ReadError(f"{name}: the pixels must be whole", found, "Copy it again, or leave it out.")
