"""Rows of a memory-mapped file, which may be larger than the memory: how the system reads them.

Knows a file of equal rows and how much memory there is; it does not know what the rows are.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

_ANNOUNCED_BYTES = 256 * 2**20  # of one request; more is a view, that is not read now


class _RowsBeyondMemory(np.memmap[Any, np.dtype[np.uint8]]):
    """Rows of a file that does not stay in memory: those asked for are read at once, and alone.

    Left to itself the system reads ahead at every row drawn at random (25 times what was asked for,
    where it was measured) and puts out what is still wanted; told not to, it waits for each page.
    """

    _mmap: mmap.mmap

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice | list | np.ndarray):
            self._announce(self._rows(key))
        return np.asarray(super().__getitem__(key))

    def _rows(self, key: Any) -> np.ndarray[Any, Any]:
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        rows = np.asarray(key)
        if rows.dtype == bool:
            return np.flatnonzero(rows)
        rows = rows.astype(np.int64)  # numbers of bytes follow from them, which 32 bits do not hold
        return np.sort(rows % len(self), axis=None)

    def _announce(self, rows: np.ndarray[Any, Any]) -> None:
        length = self.strides[0]
        if len(rows) * length > _ANNOUNCED_BYTES:
            return
        for start in (self.offset + rows * length).tolist():
            page = start - start % mmap.PAGESIZE
            self._mmap.madvise(mmap.MADV_WILLNEED, page, start + length - page)


def map_rows(path: Path) -> ByteArray:
    """An array of a .npy file of uint8, read-only; beyond half the memory it is read by rows."""
    rows: ByteArray = np.load(path, mmap_mode="r", allow_pickle=False)
    if not hasattr(mmap, "MADV_RANDOM") or rows.nbytes <= memory_bytes() / 2:
        return rows
    beyond = rows.view(_RowsBeyondMemory)
    beyond._mmap.madvise(mmap.MADV_RANDOM)
    return beyond


def memory_bytes() -> int:
    """The memory that this process may have: the machine's, a container's or RLIMIT_DATA's."""
    import resource  # not on Windows, where nobody asks

    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):  # no container, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    data, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if data != resource.RLIM_INFINITY:
        limits.append(data)
    return min(limits)
