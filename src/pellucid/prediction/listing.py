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
    """One image: what the table will call it, where it is, which frame of it, and whose it is.

    A name whose bytes are no UTF-8 is written with them: a table is text.
    """

    image_id: str
    path: Path
    frame: int = 0
    patient_id: str = ""


def list_images(
    images: Iterable[str | os.PathLike[str]], *, out: Path | None = None
) -> list[Listed]:
    """Files named, every visible file of a folder in sorted order, and the rows of a manifest.

    A .csv or .parquet file is a manifest: a column of paths, relative to its folder, and where they
    stand in it `image_id`, `frame` and `patient_id`. What is being written to `out`, and beside it,
    is no image of a folder. Raises `UsageError` where there is nothing, and `ManifestError`.
    """
    found: list[Listed] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            inside = (one for one in path.rglob("*") if _is_visible(one, path) and one.is_file())
            found.extend(_listed(one) for one in sorted(inside) if not _is_written(one, out))
        elif path.suffix.lower() in _TABLES:
            found.extend(_list_manifest(path))
        else:
            found.append(_listed(path))
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
            yield _listed(Path(name))


def _listed(path: Path) -> Listed:
    return Listed(plain(str(path)), path)


def plain(name: str) -> str:
    """A name, or a sentence with one, as text that can be written anywhere."""
    return name.encode("utf-8", "backslashreplace").decode()


def _is_visible(path: Path, folder: Path) -> bool:
    """Whether neither a file nor a folder on the way to it begins with a dot."""
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_written(path: Path, out: Path | None) -> bool:
    """Whether a file is what a prediction writes: its table, or a half of one beside it."""
    if out is None or not (path.name == out.name or path.name.startswith(f"{out.name}.")):
        return False
    return path.parent.resolve() == out.parent.resolve()


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
    frames = pd.Series(_frames(table, by_name.get("frame"), path), index=table.index)
    if "image_id" in by_name:
        ids = table[by_name["image_id"]]
    else:
        many = names.duplicated(keep=False)
        ids = names.where(~many, names.astype(str) + "#" + frames.astype(str))
    if ids.isna().any() or ids.duplicated().any():
        row = int((ids.isna() | ids.duplicated()).to_numpy().argmax())
        rule = f"{path.name}: every row is an image of its own, by its image_id or path and frame"
        raise ManifestError(rule, f"{ids.iloc[row]!r} in row {row + 2}")
    patient = next((by_name[name] for name in PATIENT_NAMES if name in by_name), None)
    patients = table[patient].fillna("") if patient else pd.Series("", index=table.index)
    rows = zip(ids, names, frames, patients, strict=True)
    return [Listed(str(i), path.parent / str(n), int(f), str(p)) for i, n, f, p in rows]


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
