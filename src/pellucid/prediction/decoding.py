"""Images read on worker threads, ahead of whoever computes with their pixels.

While one batch is computed with, the next is in the making, in two buffers that are used in turns,
so that memory stays the same for any number of images. Decoders leave Python's lock, so threads are
enough. Knows files, preprocessing and the guard; it knows no network.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.bundle.guard import Guard
from pellucid.errors import ReadError
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image
from pellucid.prediction.listing import Listed

_BATCHES_AHEAD = 2
_MOST_THREADS = 8  # more only wait for one another, or for the disk


class Failure(NamedTuple):
    """An image that could not be read, and why."""

    listed: Listed
    error: ReadError


class Decoded(NamedTuple):
    """A batch: the images that could be read, their pixels in the same order, and the failures.

    `pixels`, uint8 (n, channel, row, column), is overwritten when the next batch is asked for.
    `cautions` are the guard's codes of each image, with a space between several.
    """

    listed: list[Listed]
    pixels: npt.NDArray[np.uint8]
    cautions: list[str]
    failures: list[Failure]


def decode_ahead(
    images: Iterable[Listed],
    preprocessing: Preprocessing,
    batch_size: int,
    guard: Guard | None = None,
) -> Generator[Decoded]:
    """The images in order, preprocessed, a batch at a time; the threads end with the iterator."""
    side, channels = preprocessing.image_size, preprocessing.channels
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    shape = (batch_size, channels, side, side)
    spare = [np.empty(shape, dtype=np.uint8) for _ in range(_BATCHES_AHEAD)]
    making: deque[tuple[list[Listed], npt.NDArray[np.uint8], list[_Row]]] = deque()
    left = _batches(images, batch_size)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        while True:
            while spare and (batch := next(left, None)) is not None:
                buffer = spare.pop()
                rows = [
                    pool.submit(_read_into, target, listed, preprocessing, guard)
                    for target, listed in zip(buffer, batch, strict=False)
                ]
                making.append((batch, buffer, rows))
            if not making:
                return
            batch, buffer, rows = making.popleft()
            yield _gather(batch, buffer, rows)
            spare.append(buffer)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_Row = Future[str | ReadError]


def _batches(images: Iterable[Listed], size: int) -> Iterator[list[Listed]]:
    """Lists of `size` images, the last one shorter."""
    left = iter(images)
    while batch := list(islice(left, size)):
        yield batch


def _read_into(
    target: npt.NDArray[np.uint8],
    listed: Listed,
    preprocessing: Preprocessing,
    guard: Guard | None,
) -> str | ReadError:
    """Read one image into its place of the batch; its cautions, or why it cannot be read."""
    try:
        image = read_image(listed.path, listed.frame, window=preprocessing.window)
        target[...] = preprocess(image.pixels, preprocessing)
        return " ".join(code for code, _ in guard.cautions(image)) if guard else ""
    except ReadError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one image, whatever it is, never stops the rest
        found = f"{type(error).__name__} while it was"
        return ReadError(f"{listed.path}: an image can be prepared for the network", found)


def _gather(batch: list[Listed], buffer: npt.NDArray[np.uint8], rows: list[_Row]) -> Decoded:
    """Wait for a batch; what could not be read is taken out of it."""
    answers = [row.result() for row in rows]
    pairs = list(zip(batch, answers, strict=True))
    failures = [Failure(one, said) for one, said in pairs if isinstance(said, ReadError)]
    cautions = [said for said in answers if isinstance(said, str)]
    if not failures:
        return Decoded(batch, buffer[: len(batch)], cautions, [])
    read = [number for number, said in enumerate(answers) if isinstance(said, str)]
    return Decoded([batch[number] for number in read], buffer[read], cautions, failures)
