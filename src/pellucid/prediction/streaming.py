"""Any number of images → a predictions file, a batch at a time, to be gone on with after a stop.

    OUT.part            rows as they come, as CSV
    OUT.part.json       how many images and bytes of it stand, of which model and images
    OUT.unreadable.csv  images that could not be read, and why; only where there are any

The note is replaced after the rows are on the disk, so that whatever a kill leaves behind it is cut
off, and no image is missing or answered twice. Memory does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from csv import reader as read_csv
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from shutil import copyfile
from typing import Any, BinaryIO, NamedTuple

import pandas as pd

from pellucid.errors import PredictionsError, UsageError
from pellucid.evaluation.predictions import FLOATS, REQUIRED
from pellucid.prediction.engines import OpenedModel
from pellucid.prediction.files import (
    Predicted,
    describe_computing,
    predict_batches,
    tabulate_nothing,
)
from pellucid.prediction.listing import Listed, plain
from pellucid.prediction.tables import Shift
from pellucid.storage import cannot_write, write_json

_SECONDS_BETWEEN_NOTES = 2.0
_TEXT = (*REQUIRED, "caution")
_SHOWN_REASONS = 20


class Streamed(NamedTuple):
    """What was done: how many images, how many of them unreadable, and the first reasons."""

    n_images: int
    n_unreadable: int
    reasons: list[str]


@dataclass
class _Note:
    """What stands in the part file, and of what it is."""

    about: dict[str, Any]
    n_images: int = 0
    n_unreadable: int = 0
    n_bytes: int = 0
    n_failed_bytes: int = 0
    names: str = ""  # SHA-256 of the names of the images that are done


def predict_to_file(
    opened: OpenedModel,
    images: Iterable[Listed],
    out: Path,
    *,
    shifts: Mapping[str, Shift] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Streamed:
    """Write predictions as .csv or .parquet; the file appears when all of it is there.

    With `resume` a stopped prediction of the same model and images is gone on with. Raises
    `UsageError` when a file is in the way, or what was stopped is of another model or other images.
    `progress` is told how many images are done.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise PredictionsError("Predictions are written as .csv or .parquet", repr(out.name))
    place = _Place(out)
    about = {"model": opened.digest, **describe_computing(opened, shifts)}
    note = _begin(place, about, resume=resume, overwrite=overwrite)
    digest, left = hashlib.sha256(), iter(images)
    for listed in islice(left, note.n_images):
        digest.update(_name(listed))
    if digest.hexdigest() != (note.names or hashlib.sha256().hexdigest()):
        rule = f"What was stopped at {place.part} is a prediction of other images"
        raise UsageError(rule, remedy="Give the same images in the same order, or add --overwrite.")
    reasons, names = list[str](), list[bytes]()

    def noted() -> Iterator[Listed]:
        """The images, their names taken down in the order in which they are answered."""
        for listed in left:
            names.append(_name(listed))
            yield listed

    try:
        with place.part.open("r+b") as rows, place.failed.open("r+b") as failed:
            rows.seek(note.n_bytes)
            rows.truncate()
            failed.seek(note.n_failed_bytes)
            failed.truncate()
            if note.n_bytes == 0:
                _write(rows, tabulate_nothing(opened), header=True)
                failed.write(b"image_id,reason\n")
            last = time.monotonic()
            for batch in predict_batches(opened, noted(), shifts):
                reasons += _add(batch, rows, failed)[: _SHOWN_REASONS - len(reasons)]
                for name in names[: batch.n_images]:
                    digest.update(name)
                del names[: batch.n_images]
                note.n_images += batch.n_images
                note.n_unreadable += len(batch.failures)
                if progress:
                    progress(note.n_images)
                if time.monotonic() - last > _SECONDS_BETWEEN_NOTES:
                    _take_note(place, note, (rows, failed), digest.hexdigest())
                    last = time.monotonic()
            _take_note(place, note, (rows, failed), digest.hexdigest())
    except OSError as error:
        raise cannot_write(place.part, error) from error
    if note.n_images == 0:
        place.clear()
        raise UsageError("There is no image to predict", remedy="Give image files or a folder.")
    _finish(place, note)
    return Streamed(note.n_images, note.n_unreadable, reasons)


class _Place:
    """The files of one prediction."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.part = out.with_name(f"{out.name}.part")
        self.note = out.with_name(f"{out.name}.part.json")
        self.failed = out.with_name(f"{out.name}.unreadable.part")
        self.parquet = out.with_name(f"{out.name}.whole.part")
        self.unreadable = out.with_name(f"{out.name}.unreadable.csv")

    def clear(self) -> None:
        """Remove what is half done."""
        for path in (self.part, self.note, self.failed, self.parquet):
            path.unlink(missing_ok=True)


def _begin(place: _Place, about: dict[str, Any], *, resume: bool, overwrite: bool) -> _Note:
    """Where to go on: at the note of a stopped prediction, or at the beginning."""
    if place.out.exists() and not overwrite:
        remedy = "Choose another --out or add --overwrite."
        raise UsageError(f"{place.out} exists", remedy=remedy)
    if place.note.is_file() and not overwrite:
        if not resume:
            rule = f"A prediction was stopped at {place.part}"
            raise UsageError(rule, remedy="Add --resume to go on, or --overwrite to begin again.")
        note = _read_note(place)
        if note.about != about:
            rule = f"What was stopped at {place.part} was computed in another way"
            found = "another model, engine, precision or prevalence"
            raise UsageError(rule, found, "Give the same ones, or add --overwrite.")
        return note
    try:
        place.clear()
        place.out.parent.mkdir(parents=True, exist_ok=True)
        for path in (place.part, place.failed):
            path.touch()
    except OSError as error:
        raise cannot_write(place.part, error) from error
    return _Note(about)


def _read_note(place: _Place) -> _Note:
    try:
        note = _Note(**json.loads(place.note.read_text(encoding="utf-8")))
        whole = place.part.stat().st_size >= note.n_bytes > 0
        if not (whole and place.failed.stat().st_size >= note.n_failed_bytes):
            raise ValueError("rows are missing")
    except (OSError, ValueError, TypeError) as error:
        rule = f"What was stopped at {place.part} is damaged"
        raise UsageError(rule, remedy="Begin again with --overwrite.") from error
    return note


def _name(listed: Listed) -> bytes:
    parts = (listed.image_id, str(listed.path), str(listed.frame), listed.patient_id)
    return ("\0".join(parts) + "\n").encode("utf-8", "surrogateescape")


def _add(batch: Predicted, rows: BinaryIO, failed: BinaryIO) -> list[str]:
    """Append a batch; the reasons of what could not be read."""
    _write(rows, batch.table, header=False)
    reasons = [plain(str(failure.error)) for failure in batch.failures]
    if reasons:
        ids = [failure.listed.image_id for failure in batch.failures]
        _write(failed, pd.DataFrame({"image_id": ids, "reason": reasons}), header=False)
    return reasons


def _write(file: BinaryIO, table: pd.DataFrame, *, header: bool) -> None:
    text = table.to_csv(index=False, header=header, float_format=FLOATS, lineterminator="\n")
    file.write(text.encode("utf-8", "surrogateescape"))


def _take_note(place: _Place, note: _Note, written: tuple[BinaryIO, BinaryIO], names: str) -> None:
    for file in written:
        file.flush()
        os.fsync(file.fileno())
    note.n_bytes, note.n_failed_bytes = (file.tell() for file in written)
    note.names = names
    write_json(place.note, asdict(note))


def _finish(place: _Place, note: _Note) -> None:
    """Give the files their names; as Parquet where that is wanted."""
    try:
        if place.out.suffix == ".parquet":
            _to_parquet(place.part, place.parquet)
        if note.n_unreadable:
            copyfile(place.failed, place.unreadable)
        else:
            place.unreadable.unlink(missing_ok=True)
        # the last step that counts: where OUT is, what was unreadable is beside it
        (place.parquet if place.out.suffix == ".parquet" else place.part).replace(place.out)
        place.clear()
    except OSError as error:
        raise cannot_write(place.out, error) from error


def _to_parquet(rows: Path, out: Path) -> None:
    """The same rows as Parquet, some at a time."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    with rows.open(encoding="utf-8", newline="") as file:
        names = next(read_csv(file))
    kinds = {name: pa.string() if name in _TEXT else pa.float64() for name in names}
    convert = csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
    parsing = csv.ParseOptions(newlines_in_values=True)
    with (
        csv.open_csv(rows, parse_options=parsing, convert_options=convert) as reader,
        parquet.ParquetWriter(out, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
