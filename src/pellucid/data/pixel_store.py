"""The files of one pixel cache, written so that a kill at any moment loses seconds at most.

A row is written in the order pixels, facts, state, each brought to the disk before the next, so a
state that says "done" is always true. Knows bytes and rows; it does not know images or datasets.

    pixels.npy     uint8 (n, channel, row, column); row i belongs to row i of the table
    views.npy      uint8 (n, 128, 128): what the audit looks at
    facts.jsonl    one line a row: its facts, or why it is unreadable
    states.bin     one byte a row: 0 to do, 1 done, 2 unreadable
    facts.parquet  the facts as a table, and
    complete.json  the reasons; only when every row has its state
    lock           locked by the process that is building; the system frees it when that dies
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from pellucid.errors import DataError
from pellucid.images.view import VIEW_SIZE

ARRAYS = ("pixels.npy", "views.npy")
TO_DO, DONE, UNREADABLE = 0, 1, 2
_SPARE_BYTES = 64 * 2**20  # facts and states, and room for the run that follows
_SECONDS_BETWEEN_TRIES = 0.1
_FACTS_ALWAYS = (
    "format",
    "width",
    "height",
    "bit_depth",
    "mode",
    "frames",
    "synthetic",
    "pixel_digest",
)
_REMEDY = (
    "Free some space, or set PELLUCID_CACHE to a folder on another disk, and run the same command "
    "again: it goes on where it stopped."
)


ByteArray = np.ndarray[Any, np.dtype[np.uint8]]


class Row(NamedTuple):
    """One decoded row: (pixels, view) and {"facts": ...}, or () and {"reason": ...}."""

    number: int
    arrays: tuple[ByteArray, ...]
    record: dict[str, Any]


class _ArrayFile:
    """A .npy file of uint8 that is filled row by row, in any order."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._row_bytes = int(np.prod(shape[1:]))
        self.file = _open_for_update(path)
        npy.write_array_header_1_0(
            self.file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        self._start = self.file.tell()
        self.file.truncate(self._start + shape[0] * self._row_bytes)

    def write(self, number: int, row: ByteArray) -> None:
        """Write one row."""
        self.file.seek(self._start + number * self._row_bytes)
        self.file.write(row.tobytes())


class PixelStore:
    """The growing files of a cache that is being built.

    Plain writes rather than a memory map: on a full disk they raise an error, where a page of a
    memory map that finds no room ends the process.
    """

    def __init__(self, home: Path, shape: tuple[int, ...]) -> None:
        self.n_rows = shape[0]
        shapes = (shape, (shape[0], VIEW_SIZE, VIEW_SIZE))
        self._states = _load_states(home, shape)
        row_bytes = sum(int(np.prod(wanted[1:])) for wanted in shapes)
        _check_space(home, len(self.rows_to_do()) * row_bytes)
        self._arrays = [
            _ArrayFile(home / name, wanted) for name, wanted in zip(ARRAYS, shapes, strict=True)
        ]
        self._states_file = _open_for_update(home / "states.bin")
        self._records_file = (home / "facts.jsonl").open("ab")
        self._records_file.write(b"\n")  # a line that a kill cut in half must not spoil the next
        self._waiting: list[Row] = []

    def rows_to_do(self) -> list[int]:
        """The rows without a state, in order."""
        return [int(row) for row in np.flatnonzero(self._states == TO_DO)]

    def add(self, row: Row) -> None:
        """Write a row's arrays; it counts as done after the next `save`."""
        for array, values in zip(self._arrays, row.arrays, strict=False):
            array.write(row.number, values)
        self._waiting.append(row._replace(arrays=()))

    def save(self) -> None:
        """Bring arrays, facts and states to the disk, in this order."""
        for array in self._arrays:
            _flush(array.file)
        for row in self._waiting:
            line = json.dumps({"row": row.number, **row.record})
            self._records_file.write(line.encode() + b"\n")
        _flush(self._records_file)
        for row in self._waiting:
            self._states[row.number] = UNREADABLE if "reason" in row.record else DONE
        self._states_file.seek(0)
        self._states_file.write(self._states.tobytes())
        _flush(self._states_file)
        self._waiting.clear()

    def close(self) -> None:
        """Close the files; what was not saved may be lost, and is decoded again."""
        arrays = [array.file for array in self._arrays]
        for file in (*arrays, self._records_file, self._states_file):
            with suppress(OSError):  # a full disk was told of already
                file.close()


def complete(home: Path, shape: tuple[int, ...]) -> None:
    """Gather the facts and the reasons, and mark the cache as complete, last of all."""
    columns, reasons = _gather(home, shape[0])
    facts = pd.DataFrame(columns, index=range(shape[0]))
    for name in _FACTS_ALWAYS:  # a table without columns would lose its rows
        if name not in facts:
            facts[name] = None
    facts.to_parquet(home / "facts.parquet")
    temporary = home / "complete.json.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"shape": list(shape), "reasons": reasons}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(home / "complete.json")


def is_complete(home: Path, shape: tuple[int, ...]) -> bool:
    """Whether a finished cache stands there whole."""
    try:
        document = json.loads((home / "complete.json").read_text(encoding="utf-8"))
        facts_bytes = (home / "facts.parquet").stat().st_size
    except (FileNotFoundError, ValueError):
        return False
    return document["shape"] == list(shape) and facts_bytes > 0 and _has_pixels(home, shape)


def load_reasons(home: Path) -> dict[int, str]:
    """Row → why it is unreadable, of a complete cache."""
    document = json.loads((home / "complete.json").read_text(encoding="utf-8"))
    return {int(row): reason for row, reason in document["reasons"].items()}


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Make the folder and hold its lock; wait while another process builds there."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("ab") as file:
        while not _try_lock(file):
            time.sleep(_SECONDS_BETWEEN_TRIES)
        yield  # closing the file frees the lock


def cannot_write(home: Path, error: OSError) -> DataError:
    """The plain error for a cache that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError("The disk is full", f"no room left at {home}", _REMEDY)
    found = error.strerror or type(error).__name__
    remedy = "Set PELLUCID_CACHE to a folder that can be written."
    return DataError(f"The folder of decoded pixels, {home}, must be writable", found, remedy)


def _check_space(home: Path, needed: int) -> None:
    free = shutil.disk_usage(home).free
    if free < needed + _SPARE_BYTES:
        found = f"{free / 1e9:.2f} GB free and {(needed + _SPARE_BYTES) / 1e9:.2f} GB needed"
        raise DataError(f"The disk is full: the decoded pixels go to {home}", found, _REMEDY)


def _load_states(home: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The states so far; a row counts only where its pixels and its facts are there too."""
    states = np.full(shape[0], TO_DO, dtype=np.uint8)
    path = home / "states.bin"
    if not (path.exists() and _has_pixels(home, shape)):
        return states
    found = np.frombuffer(path.read_bytes(), dtype=np.uint8)[: shape[0]]
    states[: len(found)] = found
    recorded = np.zeros(shape[0], dtype=bool)
    for record in _records(home):
        recorded[record["row"]] = True
    states[~recorded] = TO_DO
    return states


def _gather(home: Path, n: int) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """The facts by name, one for each row, and the reasons; the last line of a row counts.

    Lists of columns take a quarter of the memory that a dictionary a row would.
    """
    columns: dict[str, list[Any]] = {}
    reasons: dict[int, str] = {}
    for record in _records(home):
        row = record["row"]
        for values in columns.values():
            values[row] = np.nan
        for name, value in record.get("facts", {}).items():
            columns.setdefault(name, [np.nan] * n)[row] = value
        reasons.pop(row, None)
        if "reason" in record:
            reasons[row] = record["reason"]
    return columns, reasons


def _records(home: Path) -> Iterator[dict[str, Any]]:
    """The whole lines, in the order in which they were written."""
    if not (home / "facts.jsonl").exists():
        return
    with (home / "facts.jsonl").open("rb") as file:
        for line in file:
            with suppress(ValueError):  # empty, or cut in half by a kill
                yield json.loads(line)


def _has_pixels(home: Path, shape: tuple[int, ...]) -> bool:
    sizes = (int(np.prod(shape)), shape[0] * VIEW_SIZE**2)
    try:
        return all(
            (home / name).stat().st_size > size for name, size in zip(ARRAYS, sizes, strict=True)
        )
    except FileNotFoundError:
        return False


def _open_for_update(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _try_lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        return False
    return True
