"""Pixels from NumPy's own files: a picture or a stack in a .npy, the rows of an array in a .npz.

Nothing is ever unpickled. Knows arrays; it does not know the labels that stand beside them.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from pellucid.errors import ReadError
from pellucid.images.image import (
    Array,
    Asked,
    Facts,
    Image,
    channels_first,
    check_frame,
    check_size,
    unit_range,
    windowed,
    without_alpha,
)
from pellucid.images.windows import lay_window

_BLOCK_BYTES = 32 * 2**20
_BLOCKS_KEPT = 4  # decoding threads stay close together, so a few blocks serve them all
_COLOURS = (1, 2, 3, 4)


def read_npy(file: BinaryIO, name: str, asked: Asked) -> Image:
    """Read (row, column), (row, column, channel) or the frame of a stack (frame first).

    Of a stack nothing but the frame is read.
    """
    shape, fortran, dtype = _header(name, file)
    stacked = len(shape) == 4 or (len(shape) == 3 and shape[-1] not in _COLOURS)
    if len(shape) == 3 and stacked and shape[0] in (3, 4):
        raise ReadError(
            f"{name}: colour stands last, (row, column, channel)",
            f"the shape {shape}, which could be channels or frames",
            "Move the channels last, or save one file a frame.",
        )
    if fortran and stacked:
        raise ReadError(f"{name}: a stack is saved row by row", "column by column (Fortran order)")
    frames = shape[0] if stacked else 1
    check_frame(name, asked.frame, frames)
    of_one = shape[1:] if stacked else shape
    _check_picture(name, of_one, asked.max_pixels)
    n_bytes = int(np.prod(of_one)) * dtype.itemsize
    file.seek(n_bytes * asked.frame, os.SEEK_CUR)
    stored = np.frombuffer(file.read(n_bytes), dtype)
    picture = stored.reshape(of_one, order="F" if fortran else "C")
    return _image(name, picture, ("NPY", frames), asked)


def read_npz(path: Path, name: str, array_name: str, asked: Asked) -> Image:
    """Read a row of array (n, row, column[, channel]) of an archive, as MedMNIST keeps them."""
    status = path.stat()
    rows = _open_rows(path, name, array_name, (status.st_mtime_ns, status.st_size))
    check_frame(name, asked.frame, rows.shape[0])
    _check_picture(name, rows.shape[1:], asked.max_pixels)
    return _image(name, rows.row(asked.frame), ("NPZ", rows.shape[0]), asked)


def _header(name: str, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns stand together (Fortran order), and the kind of number."""
    shape, fortran, dtype = _read_header(file)
    if dtype.hasobject:
        raise ReadError(f"{name}: an array holds numbers", "Python objects, which are never loaded")
    return shape, fortran, dtype


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)


def _check_picture(name: str, shape: tuple[int, ...], max_pixels: int) -> None:
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[-1] not in _COLOURS):
        raise ReadError(f"{name}: a picture is (row, column) or (row, column, channel)", str(shape))
    check_size(name, shape[1], shape[0], max_pixels)


def _image(name: str, stored: Array, source: tuple[str, int], asked: Asked) -> Image:
    kind, frames = source
    shown, window = lay_window(stored, 8 * stored.dtype.itemsize, asked.window)
    pixels = without_alpha(unit_range(name, channels_first(shown)))
    facts: Facts = {
        "format": kind,
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "bit_depth": 1 if stored.dtype == np.bool_ else 8 * stored.dtype.itemsize,
        "mode": "L" if len(pixels) == 1 else "RGB",
        "frames": frames,
        "synthetic": False,
        **windowed(window),
    }
    return Image(pixels, facts)


class _Rows:
    """The rows of one array of an archive, inflated forward in blocks of which a few are kept.

    So an archive larger than the memory, or one that announces more than it holds, costs some
    blocks and no more. Rows far behind the last one asked for start again from the beginning.
    """

    def __init__(self, path: Path, name: str, member: str) -> None:
        self._archive = zipfile.ZipFile(path)
        self._member = member
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Array] = OrderedDict()
        self._start()
        self.shape, fortran, self.dtype = _header(name, self._file)
        if fortran:
            rule = f"{name}: a stack is saved row by row"
            raise ReadError(rule, "column by column (Fortran order)")
        self._row_bytes = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        self._rows_per_block = max(1, _BLOCK_BYTES // self._row_bytes)

    def row(self, index: int) -> Array:
        """Row `index`, read-only."""
        number, offset = divmod(index, self._rows_per_block)
        with self._lock:
            block: Array = self._block(number)[offset]
        return block

    def _start(self) -> None:
        self._file: Any = self._archive.open(self._member)
        self._next = 0

    def _block(self, number: int) -> Array:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if number < self._next:
            self._start()
            _read_header(self._file)
        while self._next <= number:
            self._blocks[self._next] = self._inflate(self._next)
            self._next += 1
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[number]

    def _inflate(self, number: int) -> Array:
        count = min(self._rows_per_block, self.shape[0] - number * self._rows_per_block)
        data = self._file.read(count * self._row_bytes)
        return np.frombuffer(data, dtype=self.dtype).reshape(count, *self.shape[1:])


@lru_cache(maxsize=4)
def _open_rows(path: Path, name: str, array_name: str, version: tuple[int, int]) -> _Rows:
    """Open an array of an archive once; `version` (time, size) makes a changed file a new one."""
    arrays = array_names(path)
    if array_name not in arrays:
        rule = f"{name}: the array must stand in the archive"
        raise ReadError(rule, repr(array_name), f"It holds: {', '.join(arrays)}.")
    return _Rows(path, name, f"{array_name}.npy")


def array_names(path: Path) -> list[str]:
    """The names of the arrays of an archive, in its order."""
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    return [member.removesuffix(".npy") for member in members if member.endswith(".npy")]
