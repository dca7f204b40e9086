"""Decode once: every picture of a dataset as uint8 in memory-mapped files.

A cache is a folder named after what made it, so a changed file or another preprocessing makes
another cache. It can be stopped at any moment and goes on where it was (see `pixel_store`). It
knows no labels, splits or networks, and never deletes a cache: the user may, at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from pellucid.data import pixel_store
from pellucid.data.mapped_rows import map_rows
from pellucid.data.pixel_store import PixelStore, Row
from pellucid.errors import DataError, ReadError
from pellucid.images.image import Facts, Image, quiet_decoders
from pellucid.images.measures import measure
from pellucid.images.preprocessing import Preprocessing, preprocess
from pellucid.images.reading import read_image, split_archive_path
from pellucid.images.view import digest_of, view_of
from pellucid.storage import cache_root

if TYPE_CHECKING:
    from pellucid.data.index import Dataset

FORMAT = 3  # raise it when the layout changes, or when a reader gives other pixels than before
_SECONDS_BETWEEN_SAVES = 2.0

Progress = Callable[[int, int], None]


@dataclass
class PixelCache:
    """The pixels of a dataset, row by row of its table, and what could not be read.

    `pixels` is what the network takes, uint8 (n, channel, row, column), and `views` what the audit
    looks at, uint8 (n, 128, 128); both are read-only memory maps in which an unreadable row is
    black. `facts` has one row for each of the table's, with None where a file has no such fact:
    the reader's facts, `file_bytes`, `pixel_digest` (see `images.view`) and the measures.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    views: np.ndarray[Any, np.dtype[np.uint8]]
    readable: np.ndarray[Any, np.dtype[np.bool_]]
    reasons: dict[int, str]
    facts: pd.DataFrame
    folder: Path


def build_cache(
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PixelCache:
    """Decode and preprocess every image of `dataset.table` once, or open what was made before.

    The cache stands in `folder` (default `cache_root()/pixels`) under its key. `workers` threads
    decode, one a processor unless told; `progress(done, total)` is called from this thread.
    Unreadable rows are recorded with their reasons. A second process that wants the same cache
    waits for the first. Raises `DataError` when the disk is full or the folder cannot be written.
    """
    if dataset.table.empty:
        raise DataError("A dataset has at least one image", "none")
    home = (folder or cache_root() / "pixels") / cache_key(dataset, preprocessing)
    shape = (len(dataset.table), preprocessing.channels, *[preprocessing.image_size] * 2)
    try:
        if not pixel_store.is_complete(home, shape):
            job = _Job(home, shape, _wanted(dataset.table), preprocessing)
            with pixel_store.locked(home):
                if not pixel_store.is_complete(home, shape):
                    _build(job, workers, progress)
        return _open(home)
    except OSError as error:
        raise pixel_store.cannot_write(home, error) from error


def cache_key(dataset: Dataset, preprocessing: Preprocessing) -> str:
    """A name for the pixels: the files (path, size, time, frame) and what is done to them.

    Mean and deviation are left out, since the pixels are kept before they are normalised. Whether a
    file may be read counts, so that a permission given later is noticed.
    """
    made_by = preprocessing.model_dump(mode="json", exclude={"mean", "std"})
    digest = hashlib.sha256(json.dumps([FORMAT, made_by], sort_keys=True).encode())
    versions: dict[str, str] = {}
    for path, frame in _wanted(dataset.table):
        if path not in versions:
            versions[path] = _file_version(path)
        digest.update(f"\0{path}\0{versions[path]}\0{frame}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def data_digest(cache: PixelCache) -> str:
    """A name for the pictures themselves, whatever their files, names and order: 64 digits."""
    digests = cache.facts["pixel_digest"].fillna("").astype(str).sort_values()
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def check_readable(
    cache: PixelCache, dataset: Dataset, *, strict: bool = False, limit: float = 0.01
) -> None:
    """Raise `DataError` when more than `limit` of the images are unreadable; with `strict`, any."""
    failed, total = len(cache.reasons), len(cache.readable)
    if failed <= (0 if strict else limit * total):
        return
    allowed = f"At most {limit:.0%} of the images may be unreadable"
    if strict:
        allowed = "With --strict every image must be readable"
    lines = [f"  {cache.reasons[row]}" for row in sorted(cache.reasons)[:5]]
    more = f"\n  … and {failed - 5} more" if failed > 5 else ""
    raise DataError(
        allowed,
        f"{failed} of {total}:\n" + "\n".join(lines) + more + "\n",
        "Mend or remove these files.",
    )


class _Job(NamedTuple):
    """What is to be made, and where."""

    home: Path
    shape: tuple[int, ...]
    wanted: list[tuple[str, int]]  # path and frame of each row
    preprocessing: Preprocessing


def _build(job: _Job, workers: int | None, progress: Progress | None) -> None:
    tell = progress or (lambda done, total: None)
    store = PixelStore(job.home, job.shape)
    try:
        rows = store.rows_to_do()
        done = store.n_rows - len(rows)
        tell(done, store.n_rows)
        saved = time.monotonic()
        with closing(_decoded(job, rows, max(1, workers or os.cpu_count() or 1))) as decoded:
            for row in decoded:
                store.add(row)
                done += 1
                if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                    store.save()
                    saved = time.monotonic()
                tell(done, store.n_rows)
        store.save()
    finally:
        store.close()
    pixel_store.complete(job.home, job.shape)


def _decoded(job: _Job, rows: list[int], workers: int) -> Generator[Row]:
    """Decode rows in threads, in order, a few dozen ahead; an interruption stops at once."""
    waiting: deque[Future[Row]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        with quiet_decoders():  # around all threads, so that the warning filters change once
            for row in rows:
                waiting.append(pool.submit(_decode, row, job))
                if len(waiting) > 32 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(number: int, job: _Job) -> Row:
    path, frame = job.wanted[number]
    try:
        image = read_image(path, frame, window=job.preprocessing.window)
    except ReadError as error:
        return Row(number, (), {"reason": str(error)})
    arrays = (preprocess(image.pixels, job.preprocessing), view_of(image.pixels))
    return Row(number, arrays, {"facts": {**image.facts, **_measured(path, image)}})


def _measured(path: str, image: Image) -> Facts:
    """What is measured on the whole picture while it is at hand."""
    file, array_name = split_archive_path(path)
    facts: Facts = {"pixel_digest": digest_of(image.pixels), **measure(image.pixels)}
    if not array_name:  # the size of an archive says nothing of one of its pictures
        facts["file_bytes"] = file.stat().st_size
    return facts


def _open(home: Path) -> PixelCache:
    reasons = pixel_store.load_reasons(home)
    pixels, views = (map_rows(home / name) for name in pixel_store.ARRAYS)
    readable = np.ones(len(pixels), dtype=bool)
    readable[list(reasons)] = False
    facts = pd.read_parquet(home / "facts.parquet")
    return PixelCache(pixels, views, readable, reasons, facts, home)


def _wanted(table: pd.DataFrame) -> list[tuple[str, int]]:
    frames = table["frame"].astype(int)
    return list(zip(table["image_path"].astype(str), frames, strict=True))


def _file_version(name: str) -> str:
    path, _ = split_archive_path(name)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns} {os.access(path, os.R_OK)}"
