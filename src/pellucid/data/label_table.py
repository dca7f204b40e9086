"""Labels from a table beside the images, joined by patient, study, object or file name.

Knows texts in columns; it opens no image. Rows without an image and images without a row are told,
never silently lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pellucid.data.listing import Choices, Listing, count, normal, some
from pellucid.data.manifest import (
    FILE_NAMES,
    IMAGE_NAMES,
    PATIENT_NAMES,
    PERSONAL,
    leave_unlabelled,
    other_columns,
    read_splits,
    read_table,
    usual,
    usual_label,
)
from pellucid.errors import ManifestError, did_you_mean

KEYS = {  # what the images can be told by, the most exact first, and how tables call it
    "sopinstanceuid": ("sopinstanceuid", "sopuid", "instanceuid", "imageuid"),
    "file": tuple(normal(name) for name in (*FILE_NAMES, *IMAGE_NAMES, "image_id", "name")),
    "studyinstanceuid": ("studyinstanceuid", "studyuid", "study", "studyid"),
    "patient_id": tuple(normal(name) for name in PATIENT_NAMES),
}
_KINDS = {"patient_id": "patient", "file": "image"}


class _Join(NamedTuple):
    """A column of the table, and for each image the value that it would stand under."""

    column: str
    key: str
    values: pd.Series[str]
    n_matched: int


def join_labels(listing: Listing, path: Path, choices: Choices) -> None:
    """Give a listing the targets, facts and splits of a table; images without a label go.

    The key is the column named by `join_column`, else one of a usual name, the most exact first:
    a table of objects that also names their patients labels these objects and no others. Where no
    name is usual, it is the column whose values fit best.
    Raises `ManifestError` when nothing matches, or when one key has two labels.
    """
    table = read_table(path)
    targets = _targets(table, choices)
    join = _find_join(listing.table, table, targets, choices)
    _check_one_label(table, join, targets, choices)
    rows = _one_row_a_key(table, join, choices, listing.notes)
    listing.notes.append(
        f"The labels are joined by {_words(join.key)}, column {join.column!r} of {path.name}."
    )
    _tell_unmatched(listing, rows, join, choices)
    matched = join.values.isin(rows.index)
    images = listing.table[matched].reset_index(drop=True)
    found = rows.reindex(join.values[matched].to_numpy()).reset_index(drop=True)
    _add(listing, images, (found, targets), choices)


def _targets(table: pd.DataFrame, choices: Choices) -> tuple[str, ...]:
    columns = list(table.columns)
    targets = tuple(choices.label_columns or (usual_label(columns),))
    for name in (*targets, choices.join_column, choices.patient_column, choices.split_column):
        if name and name not in columns:
            rule = f"The table of labels has {count(len(columns), 'column')} and the one named"
            raise ManifestError(rule, repr(name), did_you_mean(name, columns))
    return targets


def _find_join(
    images: pd.DataFrame, table: pd.DataFrame, targets: tuple[str, ...], choices: Choices
) -> _Join:
    columns = [choices.join_column] if choices.join_column else list(table.columns)
    columns = [name for name in columns if name not in targets]
    by_name = [
        join
        for key, names in KEYS.items()
        for name in columns
        if choices.join_column or normal(name) in names
        for join in _joins(images, table, name, key)
    ]
    matched = [join for join in by_name if join.n_matched]
    exact = matched[:1] if not choices.join_column else matched
    joins = [join for join in matched if join.key in {first.key for first in exact}]
    if not joins and not choices.join_column:
        joins = [
            join for key in KEYS for name in columns for join in _joins(images, table, name, key)
        ]
    best = max(joins, key=lambda join: join.n_matched, default=None)
    if best is None or not best.n_matched:
        raise _nothing_matches(images, table, columns, choices)
    return best


def _joins(images: pd.DataFrame, table: pd.DataFrame, column: str, key: str) -> Iterator[_Join]:
    for values in _values(images, key):
        yield _Join(column, key, values, int(values.isin(table[column].dropna()).sum()))


def _values(images: pd.DataFrame, key: str) -> Iterator[pd.Series[str]]:
    """What each image would be called in the table: for a file its path, name or stem."""
    if key != "file":
        if key in images:
            yield images[key]
        return
    paths = images["file_id"] if "file_id" in images else images["image_id"]
    names = paths.str.rsplit("/", n=1).str[-1]
    for values in (
        images["image_id"],
        paths,
        names,
        names.str.replace(r"(\.nii\.gz|\.[^.]*)$", "", case=False, regex=True),
    ):
        files = pd.DataFrame({"value": values, "path": paths}).drop_duplicates()
        if values is images["image_id"] or files["value"].is_unique:
            yield values


def _nothing_matches(
    images: pd.DataFrame, table: pd.DataFrame, columns: list[str], choices: Choices
) -> ManifestError:
    example = choices.show("image", [images["image_id"].iloc[0]])[0]
    shown_columns = [name for name in columns if normal(name) not in PERSONAL]
    cells = [str(value) for value in table[shown_columns].iloc[0].dropna()]
    shown = "cells that fit none" if choices.pseudonyms else some(cells, 6)
    return ManifestError(
        "The table of labels must name images by PatientID, StudyInstanceUID, SOPInstanceUID or "
        "file name",
        f"{shown} in its first row, and an image {example}",
        "Name the column with --join-column.",
    )


def _check_one_label(
    table: pd.DataFrame, join: _Join, targets: tuple[str, ...], choices: Choices
) -> None:
    labels = table[[join.column, *targets]].dropna(subset=[join.column]).drop_duplicates()
    twice = labels[join.column][labels[join.column].duplicated()].unique()
    if len(twice):
        shown = some(choices.show(_KINDS.get(join.key, "study"), twice), 3)
        raise ManifestError(
            f"One {_words(join.key)} has one label in the table",
            f"{len(twice):,} with two or more: {shown}",
        )


def _one_row_a_key(
    table: pd.DataFrame, join: _Join, choices: Choices, notes: list[str]
) -> pd.DataFrame:
    """The table with one row a key; columns that differ between rows of one key say nothing of it.

    Raises `ManifestError` when that column is the one of splits or patients.
    """
    keyed = table.dropna(subset=[join.column])
    several = keyed.groupby(join.column, sort=False).nunique(dropna=False).gt(1).any()
    ids = {name for names in KEYS.values() for name in names}
    unclear = [name for name in several.index[several] if normal(name) not in ids]
    split = choices.split_column or usual(unclear, ["split"])
    for name in unclear:
        if name in (split, choices.patient_column):
            raise ManifestError(
                f"Rows of one {_words(join.key)} agree in column {name!r}", "some that differ"
            )
    if unclear:
        notes.append(
            f"Left out, since rows of one {_words(join.key)} differ in it: {some(unclear)}."
        )
    return keyed.drop(columns=unclear).drop_duplicates(join.column).set_index(join.column)


def _tell_unmatched(listing: Listing, rows: pd.DataFrame, join: _Join, choices: Choices) -> None:
    images = listing.table
    bare = images.loc[~join.values.isin(rows.index), "image_id"]
    if len(bare):
        listing.unmatched_images = [str(name) for name in choices.show("image", bare)]
        shown = some(listing.unmatched_images)
        listing.notes.append(
            f"{count(len(bare), 'image')} without a row in the table left out: {shown}."
        )
    lost = rows.index.dropna().difference(pd.Index(join.values.dropna().unique()))
    if len(lost):
        listing.unmatched_rows = [
            str(name) for name in choices.show(_KINDS.get(join.key, "study"), lost)
        ]
        shown = some(listing.unmatched_rows)
        listing.notes.append(f"{count(len(lost), 'row')} of the table without an image: {shown}.")


def _words(key: str) -> str:
    return {
        "sopinstanceuid": "SOPInstanceUID",
        "studyinstanceuid": "StudyInstanceUID",
        "patient_id": "PatientID",
        "file": "file name",
    }[key]


def _add(
    listing: Listing,
    images: pd.DataFrame,
    joined: tuple[pd.DataFrame, tuple[str, ...]],
    choices: Choices,
) -> None:
    """Lay the table's columns beside the images; they go before what headers say."""
    rows, targets = joined
    split = choices.split_column or usual(list(rows.columns), ["split"])
    roles = [name for name in (split, choices.patient_column) if name]
    if choices.patient_column:
        images = images.assign(patient_id=rows[choices.patient_column])
    if split:
        images = images.assign(split=read_splits(rows[split], split))
    keys = {name for names in KEYS.values() for name in names}
    ids = [name for name in rows if normal(name) in keys and name not in (*targets, *roles)]
    others = rows.drop(columns=[*targets, *roles, *ids])
    facts = other_columns(others, targets, "labels", listing.notes)
    own = {normal(name) for name in facts}
    kept = tuple(name for name in listing.facts if normal(name) not in own)
    images = images.drop(columns=[name for name in listing.facts if name not in kept])
    merged = pd.concat([images, rows[list(targets)], facts], axis=1)
    listing.table = leave_unlabelled(merged, targets, listing.notes)
    listing.targets = targets
    listing.facts = (*kept, *facts.columns)
