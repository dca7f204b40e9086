"""Slices of NIfTI volumes, as a radiologist looks at them.

The volume is turned to the canonical axes of its affine (x to the patient's right, y to the front,
z to the head) and cut across one of them; the patient's right is shown on the left, the front (or,
from the side, the head) up. Source: NIfTI-1.1 and NIfTI-2 (nifti.nimh.nih.gov), header fields by
their names there. It knows no labels, and nothing of a volume's time or colour.
"""

from __future__ import annotations

import gzip
import math
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image as Picture

from pellucid.errors import ReadError, UsageError, did_you_mean
from pellucid.images.image import (
    Array,
    Asked,
    Facts,
    FloatArray,
    Image,
    check_frame,
    check_size,
)
from pellucid.images.windows import apply_window, window_refusal

AXES = {  # the canonical axis that is cut across, that of the rows, and that of the columns
    "axial": (2, 1, 0),
    "coronal": (1, 2, 0),
    "sagittal": (0, 2, 1),
}
MAGIC = {  # sizeof_hdr of both versions in both byte orders, the first four bytes of a file
    b"\x5c\x01\0\0": 348,
    b"\0\0\x01\x5c": 348,
    b"\x1c\x02\0\0": 540,
    b"\0\0\x02\x1c": 540,
}
_MOST_BYTES = 768 * 2**20  # of a compressed volume once inflated: 1,500 slices of 512 x 512
_MOST_OFFSET = 2**26  # where the pixels begin: header and extensions before them
_MOST_GAIN = 1100  # deflate makes no file more than 1,032 times smaller
_MOST_SAMPLED = 2**22  # voxels that the percentiles are taken of
_PERCENTILES = (0.5, 99.5)
_SQUARE = 0.01  # a ratio of voxel sides this near to 1 is a rounding
_LARGEST_RATIO = 16.0  # of voxel sides; beyond it the header is not believed
_BLOCK = 2**22


def parse_slices(text: str | None) -> tuple[str, int]:
    """The axis and the step of `axial`, `coronal:4` and the like; None is every axial slice.

    >>> parse_slices("sagittal:2")
    ('sagittal', 2)
    """
    axis, colon, step = (text or "axial").strip().lower().partition(":")
    if axis not in AXES:
        remedy = did_you_mean(axis, list(AXES))
        raise UsageError("Slices are axial, coronal or sagittal", repr(axis), remedy)
    if colon and not (step.isascii() and step.isdigit() and 0 < int(step) < 10_000):
        raise UsageError("The step of slices is 1 or more", repr(step), "Write axial:4.")
    return axis, int(step) if colon else 1


def is_nifti_name(path: str) -> bool:
    """Whether a path ends as a NIfTI volume's does, with or without `#axis`.

    >>> is_nifti_name("brain.nii.gz#axial"), is_nifti_name("brain.png")
    (True, False)
    """
    before, mark, axis = path.rpartition("#")
    return (before if mark and axis in AXES else path).lower().endswith((".nii", ".nii.gz"))


def count_slices(path: Path, axis: str) -> int:
    """How many slices a volume has along an axis, from its header alone; raises `ReadError`."""
    name = str(path)
    try:
        header = _read_header(path, name)
    except OSError as error:
        raise ReadError(f"{name}: a file must be readable", error.strerror or "no file") from None
    return header.sizes[_cut(axis, name)[0]]


def read_nifti(path: Path, name: str, axis: str, asked: Asked) -> Image:
    """Read slice `asked.frame` along `axis` (axial by default) as float32 (1, row, column).

    Axial slices are counted from the feet, coronal from the back, sagittal from the patient's left.
    Values (with scl_slope and scl_inter) are laid under the chosen window where it means something
    (as `lay_window` judges the numbers of a TIFF), or else stretched from the volume's 0.5 to its
    99.5 percentile; voxels that are not square are enlarged to be so.
    """
    across, down, right = _cut(axis or "axial", name)
    header = _read_header(path, name)
    check_frame(name, asked.frame, header.sizes[across])
    check_size(name, header.sizes[right], header.sizes[down], asked.max_pixels)
    status = path.stat()
    with _one_at_a_time:  # threads that want the same volume wait for the first to load it
        volume = _open_volume(path, name, (status.st_mtime_ns, status.st_size))
    values = volume.plane(across, asked.frame)
    refusal = window_refusal(asked.window, 8 * header.dtype.itemsize, volume.units)
    if asked.window is None or refusal:
        low, high = volume.limits
        said = f"; {refusal}" if refusal else ""
        pixels, window = _stretched(values, low, high), f"percentiles {low:g} {high:g}{said}"
    else:
        pixels = apply_window(values, asked.window.centre, asked.window.width)
        window = str(asked.window)
    pixels = np.nan_to_num(np.clip(pixels, 0, 1), nan=0.0)
    square = _squared(pixels, header.voxel[down], header.voxel[right], asked.max_pixels)
    return Image(square[np.newaxis], _facts(header, square, axis or "axial", window))


@dataclass(frozen=True)
class _Header:
    """What a header says, the axes in canonical order but for `shape`, which is the file's own."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    stored_axis: tuple[int, int, int]  # of x, y and z
    ascending: tuple[bool, bool, bool]
    sizes: tuple[int, int, int]
    voxel: tuple[float, float, float]  # mm
    compressed: bool

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _cut(axis: str, name: str) -> tuple[int, int, int]:
    if axis not in AXES:
        raise ReadError(f"{name}: a volume is cut axial, coronal or sagittal", repr(axis))
    return AXES[axis]


def _read_header(path: Path, name: str) -> _Header:
    """Parse and check a header; raises `ReadError` for what is no volume of grey voxels."""
    with _plainly(name), _opened(path) as (file, compressed):
        block = file.read(540)
    size = MAGIC.get(block[:4])
    if size is None:
        what = "a gzip file that holds something else" if compressed else "a file of another kind"
        raise ReadError(f"{name}: a volume is a NIfTI file", what, "Convert it, or leave it out.")
    if len(block) < size:
        raise ReadError(f"{name}: a header must be whole", "a NIfTI file that ends too early")
    try:
        return _parsed(block[:size], name, compressed)
    except ReadError:
        raise
    except Exception as error:  # nibabel raises anything on a damaged header
        raise ReadError(f"{name}: a header must be whole", "a damaged NIfTI file") from error


def _parsed(block: bytes, name: str, compressed: bool) -> _Header:
    import nibabel

    kind: Any = nibabel.Nifti1Header if len(block) == 348 else nibabel.Nifti2Header
    header = kind(block, check=False)
    if bytes(header["magic"])[:2] == b"ni":
        found = "the .hdr of a pair of .hdr and .img"
        raise ReadError(f"{name}: a volume is one file", found, "Save it as .nii or .nii.gz.")
    shape = _shape(name, tuple(int(n) for n in header.get_data_shape()))
    dtype = header.get_data_dtype()
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        rule = f"{name}: voxels are one whole or floating number each"
        raise ReadError(rule, "colour" if dtype.names else str(dtype))
    offset = int(header["vox_offset"])
    if not len(block) <= offset <= _MOST_OFFSET:
        raise ReadError(f"{name}: the voxels begin behind the header", f"byte {offset:,}")
    slope, intercept = header.get_slope_inter()
    axes, ascending = _orientation(name, header.get_best_affine())
    zooms = [float(side) for side in header["pixdim"][1:4]]
    return _Header(
        shape=shape,
        dtype=dtype,
        offset=offset,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        stored_axis=axes,
        ascending=ascending,
        sizes=(shape[axes[0]], shape[axes[1]], shape[axes[2]]),
        voxel=(abs(zooms[axes[0]]), abs(zooms[axes[1]]), abs(zooms[axes[2]])),
        compressed=compressed,
    )


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Three sizes; a flat picture has one slice, and further dimensions of 1 mean nothing."""
    sizes = [*shape, 1, 1, 1]
    if not shape or min(shape) < 1 or max([*sizes[3:], 1]) > 1:
        rule = f"{name}: a volume has three dimensions"
        found = " x ".join(str(n) for n in shape) or "none"
        raise ReadError(rule, found, "Save one file for each point of time.")
    return sizes[0], sizes[1], sizes[2]


def _orientation(name: str, affine: Array) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which stored axis is x, y and z, and whether it runs right, forward and up."""
    import nibabel

    turned: Any = nibabel.io_orientation
    stored = turned(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if not np.isfinite(stored).all():
        rule = f"{name}: the affine says where right, front and up are"
        raise ReadError(rule, "one that does not", "Save the volume with a valid sform or qform.")
    found = {int(axis): (number, sign > 0) for number, (axis, sign) in enumerate(stored)}
    return (found[0][0], found[1][0], found[2][0]), (found[0][1], found[1][1], found[2][1])


class _Volume:
    """The voxels of one file as they are stored: a map of the file, or what it inflates to."""

    def __init__(self, header: _Header, stored: Array) -> None:
        self._header, self._stored = header, stored

    def plane(self, across: int, number: int) -> FloatArray:
        """Slice `number` across a canonical axis, turned to be looked at, in the file's units."""
        header = self._header
        cut = header.stored_axis[across]
        place = number if header.ascending[across] else header.sizes[across] - 1 - number
        plane = self._stored[tuple(place if axis == cut else slice(None) for axis in range(3))]
        _, down, right = next(axes for axes in AXES.values() if axes[0] == across)
        if header.stored_axis[down] > header.stored_axis[right]:
            plane = plane.T
        # what is shown begins at the front or the head, and at the patient's right or front
        rows = slice(None, None, -1 if header.ascending[down] else 1)
        columns = slice(None, None, -1 if header.ascending[right] else 1)
        return self._in_units(plane[rows, columns])

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The percentiles of the volume, of every n-th voxel where there are more than 4 million.

        n has no divisor in common with the sides, so that every row and column takes part.
        """
        flat = self._stored.reshape(-1, order="F")
        step = max(1, math.ceil(flat.size / _MOST_SAMPLED))
        while math.gcd(step, flat.size) > 1:
            step += 1
        values = self._in_units(flat[::step])
        finite = values[np.isfinite(values)]
        if not finite.size:
            return 0.0, 0.0
        low, high = np.percentile(finite, _PERCENTILES)
        return float(low), float(high)

    @property
    def units(self) -> str:
        """Hounsfield units ("HU") for numbers that may be: signed, below 0, or beyond [0, 1]."""
        kind = self._header.dtype.kind
        if kind == "i" and self._header.dtype.itemsize > 1:
            return "HU"
        low, high = self.limits
        return "HU" if low < 0 or (kind == "f" and high > 1) else ""

    def _in_units(self, stored: Array) -> FloatArray:
        values = np.array(stored, dtype=np.float32)
        if self._header.slope != 1:
            values *= np.float32(self._header.slope)
        if self._header.intercept != 0:
            values += np.float32(self._header.intercept)
        return values


_one_at_a_time = threading.Lock()


@lru_cache(maxsize=2)  # rows of a volume stand together; at a border two volumes are at work
def _open_volume(path: Path, name: str, version: tuple[int, int]) -> _Volume:
    """Open a volume once; `version` (time, size) makes a changed file a new one."""
    header = _read_header(path, name)
    stored = _inflate(path, name, header) if header.compressed else _map(path, name, header)
    return _Volume(header, stored.reshape(header.shape, order="F"))


def _map(path: Path, name: str, header: _Header) -> Array:
    if path.stat().st_size < header.offset + header.n_bytes:
        raise _too_short(name)
    n = math.prod(header.shape)
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=(n,))


def _inflate(path: Path, name: str, header: _Header) -> Array:
    """The voxels of a compressed file, and no byte more than its header announces."""
    if header.n_bytes > _MOST_BYTES:
        rule = f"{name}: a compressed volume may hold at most {_MOST_BYTES:,} bytes"
        raise ReadError(rule, f"{header.n_bytes:,}", "Nothing was inflated. Save it as .nii.")
    if header.n_bytes > _MOST_GAIN * path.stat().st_size:
        raise _too_short(name)
    buffer: Array = np.empty(header.n_bytes, dtype=np.uint8)
    view, done = buffer.data, 0
    with _plainly(name), _opened(path) as (file, _):
        file.seek(header.offset)
        while done < len(view) and (part := file.read(min(_BLOCK, len(view) - done))):
            view[done : done + len(part)] = part
            done += len(part)
    if done < len(view):
        raise _too_short(name)
    return buffer.view(header.dtype)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """A file, inflated while it is read where it is compressed, and whether it is."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            yield file, False
            return
        with gzip.GzipFile(fileobj=file) as inflating:
            yield cast(BinaryIO, inflating), True


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise _too_short(name) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ReadError(f"{name}: the voxels must be whole", "a damaged gzip file") from error


def _too_short(name: str) -> ReadError:
    remedy = "Copy it again from its source."
    return ReadError(f"{name}: the voxels must be whole", "a file that ends too early", remedy)


def _stretched(values: FloatArray, low: float, high: float) -> FloatArray:
    if high <= low:
        return np.zeros_like(values)
    return np.asarray((values - np.float32(low)) / np.float32(high - low), dtype=np.float32)


def _squared(pixels: FloatArray, height: float, width: float, max_pixels: int) -> FloatArray:
    """Enlarge the side along which voxels are longer; `height` and `width` are a voxel's in mm."""
    ratio = height / width if height > 0 and width > 0 else 1.0
    believed = math.isfinite(ratio) and 1 / _LARGEST_RATIO <= ratio <= _LARGEST_RATIO
    if not believed or abs(ratio - 1) <= _SQUARE:
        return np.ascontiguousarray(pixels)
    rows, columns = pixels.shape
    rows, columns = (round(rows * ratio), columns) if ratio > 1 else (rows, round(columns / ratio))
    check_size("a slice with square pixels", columns, rows, max_pixels)
    picture = Picture.fromarray(np.ascontiguousarray(pixels))
    larger = picture.resize((columns, rows), Picture.Resampling.BILINEAR)
    return np.asarray(np.clip(np.asarray(larger), 0, 1), dtype=np.float32)


def _facts(header: _Header, pixels: FloatArray, axis: str, window: str) -> Facts:
    across = AXES[axis][0]
    facts: Facts = {
        "format": "NIfTI",
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "bit_depth": 8 * header.dtype.itemsize,
        "mode": "L",
        "frames": header.sizes[across],
        "synthetic": False,
        "window": window,
        "axis": axis,
    }
    for letter, side in zip("xyz", header.voxel, strict=True):
        facts[f"voxel_{letter}_mm"] = round(side, 4) if math.isfinite(side) else 0.0
    return facts
