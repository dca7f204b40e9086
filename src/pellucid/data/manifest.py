"""A manifest: a CSV or Parquet table with a row an image.

Every cell is text: `001` stays `001`, and only an empty cell is missing ("NA" and "None" may be
classes). Paths are relative to the manifest's folder; a manifest is the user's own list, so it may
also name absolute paths and folders above itself. With a column `frame` a row is a frame of its
image; without, DICOM objects and NIfTI volumes become as many rows as they have frames. Every
column without a role is a fact, but for names and dates of birth, which are never kept. An
`index.csv` that Pellucid wrote is a manifest. This module decodes no image and merges no class.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pellucid.data.frames import Report, expand_files
from pellucid.data.listing import (
    LABELS_ONLY,
    RESERVED,
    SPLIT_WORDS,
    Choices,
    Listing,
    count,
    normal,
    some,
)
from pellucid.errors import ManifestError, UsageError, did_you_mean
from pellucid.images.reading import split_archive_path

FILE_NAMES = ("filename", "file_name", "filepath", "file_path", "file")
IMAGE_NAMES = ("image_path", "path", *FILE_NAMES, "image", "image_file", "img_path", "img")
LABEL_NAMES = ["label", "labels", "class", "diagnosis", "finding", "target"]
PATIENT_NAMES = ["patient_id", "patientid", "patient", "subject_id", "subjectid", "subject"]
PERSONAL = (  # what names a person; never kept, wherever it stands
    "name",
    "fullname",
    "patientname",
    "patientsname",
    "patientfullname",
    "patientfirstname",
    "patientlastname",
    "otherpatientnames",
    "firstname",
    "lastname",
    "surname",
    "familyname",
    "givenname",
    "birthdate",
    "birthday",
    "patientdob",
    "patientbirthdate",
    "patientsbirthdate",
    "dateofbirth",
    "dob",
)
TAKEN_LATER = ("target", "y_true", *RESERVED)  # columns that a predictions table has of its own


@dataclass(frozen=True)
class Roles:
    """Which column of a manifest is what."""

    image: str
    labels: tuple[str, ...]
    patient: str | None
    split: str | None
    frame: str | None = None
    image_id: str | None = None

    @property
    def columns(self) -> list[str]:
        """Every column with a role."""
        others = [self.patient, self.split, self.frame, self.image_id]
        return [self.image, *self.labels, *(name for name in others if name)]


def read_manifest(path: Path, choices: Choices, progress: Report | None = None) -> Listing:
    """List the images of a manifest.

    `image_id` is that column of the manifest where its values are unique, else the path as the
    manifest gives it, with forward slashes. Columns that the user did not name are found by their
    usual names, and a note says which were taken. Raises `ManifestError`.
    """
    choices.refuse(["patients"], "a manifest (use --patient-column)")
    choices.refuse(LABELS_ONLY, "a manifest, which has labels of its own")
    table = read_table(path)
    notes: list[str] = []
    roles = _find_roles(table, choices, notes)
    images = _list_images(table, roles, path, choices)
    labels = _labels(table, roles, notes)
    facts = other_columns(table.drop(columns=roles.columns), roles.labels, "manifest", notes)
    rows = pd.concat([images, labels, facts], axis=1)
    rows = leave_unlabelled(rows, roles.labels, notes)
    listing = Listing(rows, roles.labels, path.stem, facts=tuple(facts.columns), notes=notes)
    expand_files(listing, choices, progress)
    return listing


def _list_images(table: pd.DataFrame, roles: Roles, path: Path, choices: Choices) -> pd.DataFrame:
    """Which images: `image_id`, `image_path` and `frame`, with `file_id` where frames are given."""
    names = _file_names(table[roles.image], roles.image)
    images = pd.DataFrame({"image_id": names})
    images["image_path"] = _locate(names, path, choices)
    images["frame"] = 0
    if roles.frame:
        images["frame"] = _frames(table[roles.frame], roles.frame)
        many = images["image_path"].duplicated(keep=False)
        framed = names + "#" + images["frame"].astype(str)
        images["image_id"] = names.where(~many, framed)
        # rows of an archive are images of their own, of the same file only by accident
        archived = names.str.contains(".npz#", regex=False)
        images["file_id"] = names.where(~archived, images["image_id"])
    _check_once(images, choices)
    if roles.image_id:
        images["image_id"] = table[roles.image_id]
    return images


def _frames(words: pd.Series[str], column: str) -> pd.Series[int]:
    try:
        return words.astype(int)
    except (ValueError, TypeError):
        raise ManifestError(f"Column {column!r} must hold frames, counted from 0", "none") from None


def _labels(table: pd.DataFrame, roles: Roles, notes: list[str]) -> pd.DataFrame:
    """The columns of labels, patients and splits under the names that they have from here on."""
    labels = table[list(roles.labels)].copy()
    if roles.patient:
        labels.insert(0, "patient_id", table[roles.patient])
    if roles.split:
        labels["split"] = read_splits(table[roles.split], roles.split)
    return labels


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table as text, an empty cell as missing; raises `ManifestError`.

    White space around a cell is dropped. A CSV may be separated by commas, semicolons or tabs.
    """
    if not path.is_file():
        raise ManifestError("No such table", str(path))
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    table = _read_parquet(path) if is_parquet else _read_csv(path)
    table.columns = [str(name).strip() for name in table.columns]
    twice = [name for name, times in Counter(table.columns).items() if times > 1]
    if twice:
        raise ManifestError("Column names must differ", f"{some(twice)} more than once in {path}")
    if table.empty:
        raise ManifestError("A table needs at least one row under its header", f"none in {path}")
    for name in table.columns:
        table[name] = table[name].str.strip()
    return table.mask(table == "")


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=separator, strict=True) if any(row)]
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path} must be a CSV table in UTF-8", "bytes that are no text", "Save it as UTF-8."
        ) from error
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{path} must be a CSV table", str(error)) from error
    if not rows or "\0" in header:
        raise ManifestError(f"{path} must be a CSV table", "an empty file" if not rows else "bytes")
    uneven = [number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    if uneven:
        raise ManifestError(
            f"Every row of {path} must have {count(len(rows[0]), 'cell')}",
            f"{len(rows[uneven[0] - 1])} in row {uneven[0]}",
            "Put quotes around cells that hold a separator.",
        )
    return pd.DataFrame(rows[1:], columns=rows[0], dtype=str)


def _read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet table as text; whole numbers that pandas holds as floats lose their `.0`."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise ManifestError(f"{path} must be a Parquet table", str(error).split("\n")[0]) from error
    columns = {}
    for position, name in enumerate(table.columns):
        column = table.iloc[:, position]
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")
        columns[name] = column.astype(object).where(column.notna(), "").astype(str)
    return pd.DataFrame(columns, dtype=str).reset_index(drop=True)


def _find_roles(table: pd.DataFrame, choices: Choices, notes: list[str]) -> Roles:
    columns = list(table.columns)
    image = choices.image_column or usual(columns, IMAGE_NAMES)
    if not image:
        raise ManifestError(
            "The column of image paths has no usual name",
            f"the columns {some(columns, 20)}",
            "Name it with --image-column.",
        )
    labels = tuple(choices.label_columns or ())
    if not labels:
        labels = (usual_label(columns),)
        notes.append(f"The labels are those of column {labels[0]!r}, found by its name.")
    patient = choices.patient_column
    if not patient and not choices.patient_pattern:
        patient = usual(columns, PATIENT_NAMES)
        if patient:
            notes.append(f"The patients are those of column {patient!r}, found by its name.")
    split = choices.split_column or _usual_split(table)
    if split and not choices.split_column:
        notes.append(f"The splits are those of column {split!r}, found by its name.")
    roles = Roles(image, labels, patient, split, _usual_frame(table), _usual_image_id(table, image))
    _check_roles(roles, columns, choices)
    return roles


def _check_roles(roles: Roles, columns: list[str], choices: Choices) -> None:
    for name in roles.columns:
        if name not in columns:
            raise ManifestError(
                f"The manifest has {count(len(columns), 'column')} and must have the one named",
                repr(name),
                did_you_mean(name, columns),
            )
    twice = [name for name, times in Counter(roles.columns).items() if times > 1]
    if twice:
        raise ManifestError(
            "A column of the manifest has one role (image, label, patient or split)",
            f"{some(twice)} in more than one",
            "Choose the column of classes with --label-column.",
        )
    wrong = [name for name in roles.labels if name in RESERVED]
    if wrong:
        raise ManifestError(
            f"A label column cannot be named {', '.join(RESERVED)}",
            repr(wrong[0]),
            "Rename the column.",
        )
    if choices.patient_column and choices.patient_pattern:
        raise UsageError("Patients come from --patient-column or --patient-pattern, not from both")


def usual(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first column with one of the usual names, in the order of the names."""
    lower = {column.casefold().replace(" ", "_"): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def usual_label(columns: list[str]) -> str:
    """The label column when the user named none; two candidates are not decided by guessing."""
    usual = [name for name in columns if name.casefold() in LABEL_NAMES]
    if len(usual) != 1:
        raise ManifestError(
            "The label column must be named when it is not plain which one it is",
            f"the columns {some(columns, 20)}",
            "Name it with --label-column (repeat it for several targets).",
        )
    return usual[0]


def _usual_split(table: pd.DataFrame) -> str | None:
    """A column "split" whose values are words for splits; any other column "split" is a fact.

    Empty cells between such words are refused later, since they leave images without a place.
    """
    name = usual(list(table.columns), ["split"])
    words = table[name].dropna().str.casefold() if name else pd.Series(dtype=str)
    return name if len(words) and words.isin(list(SPLIT_WORDS)).all() else None


def _usual_frame(table: pd.DataFrame) -> str | None:
    """A column "frame" of whole numbers; any other column "frame" is a fact."""
    name = usual(list(table.columns), ["frame"])
    whole = name is not None and table[name].fillna("").str.fullmatch(r"\d{1,9}").all()
    return name if whole else None


def _usual_image_id(table: pd.DataFrame, image: str) -> str | None:
    """A column "image_id" whose values differ, as in an index that Pellucid wrote."""
    unique = "image_id" in table and image != "image_id" and table["image_id"].notna().all()
    return "image_id" if unique and table["image_id"].is_unique else None


def _file_names(paths: pd.Series[str], column: str) -> pd.Series[str]:
    empty = paths.isna()
    if empty.any():
        raise ManifestError(
            f"Every row needs an image in column {column!r}",
            f"{count(int(empty.sum()), 'row')} without, the first in row {int(empty.argmax()) + 1}",
        )
    slashed = paths.str.replace("\\", "/") if os.sep == "/" else paths
    return slashed.map(os.path.normpath).str.replace(os.sep, "/").astype(str)


def _locate(names: pd.Series[str], manifest: Path, choices: Choices) -> pd.Series[str]:
    """Absolute paths; raises `ManifestError` with the first files that do not exist."""
    folder = str(manifest.resolve().parent)
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names]  # noqa: PTH118  many files
    lost = [
        name
        for name, path in zip(names, paths, strict=True)
        if not os.path.isfile(path) and not split_archive_path(path)[0].is_file()  # noqa: PTH113  many files
    ]
    if lost:
        raise ManifestError(
            f"Every image of the manifest must exist below {folder}",
            f"{len(lost):,} of {len(paths):,} that do not: {some(choices.show('image', lost))}",
            "Paths are relative to the manifest's folder.",
        )
    return pd.Series(paths, index=names.index, dtype=str)


def _check_once(images: pd.DataFrame, choices: Choices) -> None:
    twice = images.duplicated(["image_path", "frame"])
    again = list(images.loc[twice, "image_id"].unique())
    if again:
        raise ManifestError(
            "An image has one row (several labels are several columns)",
            f"{len(again):,} with two or more: {some(choices.show('image', again))}",
        )


def other_columns(
    table: pd.DataFrame, targets: Sequence[str], origin: str, notes: list[str]
) -> pd.DataFrame:
    """The columns without a role, as facts.

    Names and dates of birth are dropped; a name that Pellucid's own tables use gets `origin` in
    front; other cuts (`split_1`, `split_2` …) of the same data are no facts.
    """
    personal = [name for name in table if normal(name) in PERSONAL]
    if personal:
        notes.append(f"Not kept, since they may name a person: {some(personal)}.")
    cuts = [name for name in table if re.fullmatch(r"split_\d+", str(name))]
    facts = table.drop(columns=[*personal, *cuts]).dropna(axis=1, how="all")
    taken = [*TAKEN_LATER, *targets]
    new = {
        name: f"{origin}_{name}"
        for name in facts.columns
        if name in taken or name.startswith(("logit_", "probability_"))
    }
    if new:
        notes.append(f"Renamed, since the name is taken: {some([*new])} (now {origin}_…).")
    return facts.rename(columns=new)


def read_splits(words: pd.Series[str], column: str) -> pd.Series[str]:
    """The words of a split column as the names of partitions; raises `ManifestError`."""
    splits = words.str.casefold().map(SPLIT_WORDS)
    wrong = words[splits.isna()]
    if len(wrong):
        first = "an empty cell" if pd.isna(wrong.iloc[0]) else repr(wrong.iloc[0])
        raise ManifestError(
            f"Column {column!r} must say train, validation, test or external_test",
            f"{first} ({count(len(wrong), 'row')} like this)",
        )
    return splits.astype(str)


def leave_unlabelled(
    listing: pd.DataFrame, targets: tuple[str, ...], notes: list[str]
) -> pd.DataFrame:
    """Leave out rows that have no label for any target."""
    bare = listing[list(targets)].isna().all(axis=1)
    if bare.any():
        notes.append(f"{count(int(bare.sum()), 'row')} without any label left out.")
    return listing[~bare].reset_index(drop=True)
