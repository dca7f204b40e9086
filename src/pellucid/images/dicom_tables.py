"""The lookup tables of grey: Modality LUT and VOI LUT, whose form is the same.

Knows one table and the values to look up; it does not know what they mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.images.dicom_header import Header
from pellucid.images.image import Array, FloatArray


def look_up(header: Header, table: Any, values: Array) -> tuple[FloatArray, int]:
    """Whole values of any shape through a table: float32 of the same shape, and the table's bits.

    PS3.3, C.11.1.1.1 and C.11.2.1.1: the descriptor holds the number of entries (0 for 65,536),
    the value that the first of them is for, and the bits of an entry; smaller and larger values get
    the first and the last entry. Raises `ValueError` for a damaged table.
    """
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    if not 1 <= bits <= 16:
        raise ValueError(f"{bits} bits an entry")
    entries = _entries(header, table.LUTData, count or 2**16, bits)
    whole = values.astype(np.int64)
    # The first value is signed where values are; some write it as unsigned (PS3.5, 6.2: US or SS).
    if first >= 2**15 and (whole.min() < 0 or whole.max() < first):
        first -= 2**16
    found: FloatArray = entries[np.clip(whole - first, 0, len(entries) - 1)].astype(np.float32)
    return found, bits


def _entries(header: Header, data: Any, count: int, bits: int) -> Array:
    """The entries as whole numbers; those of 8 bits may stand two in a word (C.11.1.1.1)."""
    if isinstance(data, bytes):
        order = "<" if header.syntax.is_little_endian else ">"
        words = np.frombuffer(data + bytes(len(data) % 2), f"{order}u2").astype("<u2")
    else:
        words = np.atleast_1d(np.asarray(data)).astype("<u2")
    entries = words.view(np.uint8) if bits <= 8 and len(words) < count else words
    if len(entries) < count:
        raise ValueError(f"{len(entries)} of {count} entries")
    return entries[:count]
