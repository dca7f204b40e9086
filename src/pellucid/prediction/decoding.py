"""Image files read on worker threads, ahead of whoever computes with their pixels.

While one batch is computed with, the next is in the making, in two buffers that are used in turns,
so that memory stays the same for any number of files. Decoders leave Python's lock, so threads are
enough. Knows files and preprocessing; it knows no network.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.errors import ReadError
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image

_BATCHES_AHEAD = 2
_MOST_THREADS = 8  # more only wait for one another, or for the disk


class Decoded(NamedTuple):
    """A batch: the files that could be read, their pixels in the same order, and the failures.

    `pixels`, uint8 (n, channel, row, column), is overwritten when the next batch is asked for.
    """

    names: list[str]
    pixels: npt.NDArray[np.uint8]
    failures: list[ReadError]


def decode_ahead(
    paths: Sequence[Path], preprocessing: Preprocessing, batch_size: int
) -> Generator[Decoded]:
    """The files in order, preprocessed, a batch at a time; the threads end with the iterator."""
    side, channels = preprocessing.image_size, preprocessing.channels
    threads = min(_MOST_THREADS, os.cpu_count() or 1, len(paths))
    shape = (min(batch_size, len(paths)), channels, side, side)
    spare = [np.empty(shape, dtype=np.uint8) for _ in range(_BATCHES_AHEAD)]
    making: deque[tuple[Sequence[Path], npt.NDArray[np.uint8], list[_Row]]] = deque()
    starts = iter(range(0, len(paths), batch_size))
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode")
    try:
        while True:
            while spare and (start := next(starts, None)) is not None:
                batch, buffer = paths[start : start + batch_size], spare.pop()
                rows = [
                    pool.submit(_read_into, target, path, preprocessing)
                    for target, path in zip(buffer, batch, strict=False)
                ]
                making.append((batch, buffer, rows))
            if not making:
                return
            batch, buffer, rows = making.popleft()
            yield _gather(batch, buffer, rows)
            spare.append(buffer)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_Row = Future[ReadError | None]


def _read_into(
    target: npt.NDArray[np.uint8], path: Path, preprocessing: Preprocessing
) -> ReadError | None:
    """Read one file into its place of the batch, or give the reason why it cannot be read."""
    try:
        image = read_image(path, window=preprocessing.window)
        target[...] = preprocess(image.pixels, preprocessing)
    except ReadError as error:
        return error
    return None


def _gather(paths: Sequence[Path], buffer: npt.NDArray[np.uint8], rows: list[_Row]) -> Decoded:
    """Wait for a batch; what could not be read is taken out of it."""
    reasons = [row.result() for row in rows]
    failures = [reason for reason in reasons if reason is not None]
    if not failures:
        return Decoded([str(path) for path in paths], buffer[: len(paths)], [])
    read = [number for number, reason in enumerate(reasons) if reason is None]
    return Decoded([str(paths[number]) for number in read], buffer[read], failures)
