"""Which images to predict: files, folders, a manifest, or paths on standard input, one by one.

Nothing is decoded, and what comes as a stream is never held as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import pandas as pd

from pellucid.data.manifest import IMAGE_NAMES, PATIENT_NAMES, read_table
from pellucid.errors import ManifestError, UsageError, did_you_mean

_MAX_LISTED_FILES = 1_000_000
_MAX_PATH = 4096  # characters
_TABLES = (".csv", ".parquet")


class Listed(NamedTuple):
    """One image: what the table will call it, where it is, which frame of it, and whose it is."""

    image_id: str
    path: Path
    frame: int = 0
    patient_id: str = ""


def list_images(images: Iterable[str | os.PathLike[str]]) -> list[Listed]:
    """Files named, every visible file of a folder in sorted order, and the rows of a manifest.

    A .csv or .parquet file is a manifest: a column of paths, relative to its folder, and where they
    stand in it `image_id`, `frame` and `patient_id`. Raises `UsageError` where there is nothing.
    """
    found: list[Listed] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            found.extend(Listed(str(one), one) for one in sorted(inside))
        elif path.suffix.lower() in _TABLES:
            found.extend(_list_manifest(path))
        else:
            found.append(Listed(str(path), path))
        if len(found) > _MAX_LISTED_FILES:
            rule = "One prediction takes at most 1,000,000 files"
            raise UsageError(rule, f"{len(found):,}", "Give their paths on standard input.")
    if not found:
        raise UsageError("There is no image to predict", remedy="Give image files or a folder.")
    return found


def read_paths(stream: TextIO) -> Iterator[Listed]:
    """A path a line, as `find` prints them; empty lines are passed over."""
    for line in stream:
        name = line.rstrip("\r\n")
        if len(name) > _MAX_PATH:
            rule = f"A line of standard input is one path of at most {_MAX_PATH:,} characters"
            raise UsageError(rule, f"{len(name):,}")
        if name.strip():
            yield Listed(name, Path(name))


def _list_manifest(path: Path) -> list[Listed]:
    """The rows of a manifest; labels and facts in it are of no use here."""
    table = read_table(path)
    by_name = {str(name).strip().lower(): str(name) for name in table.columns}
    column = next((by_name[name] for name in IMAGE_NAMES if name in by_name), None)
    if column is None:
        found = f"columns {', '.join(map(str, table.columns[:12]))}"
        remedy = did_you_mean("image_path", [str(name) for name in table.columns])
        raise ManifestError(f"{path.name}: a manifest has a column of paths", found, remedy)
    names = table[column].astype(object)
    if names.isna().any():
        row = int(names.isna().to_numpy().argmax()) + 2
        raise ManifestError(f"{path.name}: every row has a path", f"none in row {row}")
    ids = table[by_name["image_id"]] if "image_id" in by_name else names
    if not ids.notna().all() or ids.duplicated().any():
        ids = names
    patient = next((by_name[name] for name in PATIENT_NAMES if name in by_name), None)
    patients = table[patient].fillna("") if patient else pd.Series("", index=table.index)
    frames = _frames(table, by_name.get("frame"), path)
    rows = zip(ids, names, frames, patients, strict=True)
    return [Listed(str(i), path.parent / str(n), f, str(p)) for i, n, f, p in rows]


def _frames(table: pd.DataFrame, column: str | None, path: Path) -> list[int]:
    if column is None:
        return [0] * len(table)
    frames = pd.to_numeric(table[column].fillna("0"), errors="coerce")
    wrong = ~(frames >= 0) | (frames % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        rule = f"{path.name}: frames are whole numbers from 0 on"
        raise ManifestError(rule, f"{table[column].iloc[row]!r} in row {row + 2}")
    return [int(frame) for frame in frames]
