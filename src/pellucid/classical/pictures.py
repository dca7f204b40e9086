"""What is described: grey pictures of a moderate size, a few at a time.

Colour becomes grey by its Rec. 601 luma. Large pictures are reduced by area means of a whole
factor, tiny ones enlarged by repeating pixels, so that every feature is defined and affordable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pellucid.errors import DataError
from pellucid.images.preprocessing import LUMA

LARGEST = 128  # pixels of the longer side; texture and shape need no more
SMALLEST = 16  # below it the cells of the edges and the distances of the texture do not fit
AT_ONCE = 32  # pictures described together: enough for NumPy, few enough for the processor's cache

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Features = dict[str, npt.NDArray[np.floating]]
"""Features of m pictures: a name and its values (m,)."""


def chunks(pixels: Bytes, rows: Rows) -> Iterator[Bytes]:
    """Grey pictures (m, row, column) of these rows, m at most `AT_ONCE`, in order."""
    for start in range(0, len(rows), AT_ONCE):
        yield grey_pictures(pixels[rows[start : start + AT_ONCE]])


def grey_pictures(pixels: Bytes) -> Bytes:
    """Grey uint8 (m, row, column) from uint8 (m, 1 or 3 channels, row, column), to size.

    Raises `DataError` for any other shape or type.
    """
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.dtype != np.uint8:
        found = f"{pixels.dtype} {pixels.shape}"
        raise DataError("Pictures to describe are uint8 (n, 1 or 3 channels, row, column)", found)
    if pixels.shape[1] == 1:
        return _to_size(pixels[:, 0])
    grey = np.tensordot(np.asarray(LUMA, np.float32), pixels.astype(np.float32), axes=(0, 1))
    return _to_size((grey + np.float32(0.5)).astype(np.uint8))


def reduced(pictures: Bytes, longest: int) -> Bytes:
    """Area means by the smallest whole factor that makes the longer side at most `longest`."""
    m, height, width = pictures.shape
    factor = -(-max(height, width) // longest)
    if factor < 2 or min(height, width) < factor:
        return pictures
    rows, columns = height // factor, width // factor
    cut = pictures[:, : rows * factor, : columns * factor].astype(np.float32)
    means = cut.reshape(m, rows, factor, columns, factor).mean(axis=(2, 4))
    return np.asarray(means + np.float32(0.5), dtype=np.uint8)


def _to_size(pictures: Bytes) -> Bytes:
    smaller = reduced(pictures, LARGEST)
    times = -(-SMALLEST // min(smaller.shape[1:]))
    if times < 2:
        return np.ascontiguousarray(smaller)
    return smaller.repeat(times, axis=1).repeat(times, axis=2)
