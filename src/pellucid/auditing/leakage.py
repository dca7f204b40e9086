"""Leakage by identity: patients, studies and objects that stand in more than one split.

Reads the table alone: who is who as the source says it. It does not know pixels, so the same
picture under two names is not found here (see `copies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from pellucid.auditing.findings import GROUPS_SHOWN, LISTED, Finding, found
from pellucid.data.index import Dataset
from pellucid.data.listing import count, normal

STUDY = ("studyinstanceuid", "studyuid")
OBJECT = ("sopinstanceuid", "sopuid")
_COLLECTIONS = r"\.(?:npz|npy)(?:#|$)"  # files of many patients, whose rows are no one object


def find_leakage(dataset: Dataset) -> Iterator[Finding]:
    """Patients, studies and objects in two splits, studies of two patients, patients not known."""
    if dataset.synthetic:
        yield found("NOTE", "synthetic", "The pictures are synthetic, not of patients.")
    if not dataset.patients_known:
        yield _no_patients()
    yield from _unmatched(dataset)
    table = dataset.table.assign(study=study_of(dataset), object=object_of(dataset))
    if "split" in table:
        yield from _shared_patients(table)
        yield from _shared_studies(table)
        yield from _shared_objects(table)
    if dataset.patients_known:
        yield from _studies_of_two(table)


def study_of(dataset: Dataset) -> pd.Series[str]:
    """The study of each row (n,), missing where no column of UIDs tells."""
    return _column(dataset, STUDY)


def object_of(dataset: Dataset) -> pd.Series[str]:
    """The object of each row (n,): its SOP Instance UID, or else its file.

    Missing where the file is an archive, which holds the pictures of many patients.
    """
    paths = dataset.table["image_path"].astype(str)
    one = ~paths.str.contains(_COLLECTIONS, case=False)
    files = paths.where(one).str.replace(r"(?<=\.nii|i\.gz)#\w+$", "", case=False, regex=True)
    return _column(dataset, OBJECT).fillna(files)


def _column(dataset: Dataset, names: Sequence[str]) -> pd.Series[str]:
    """The first column that has one of these names, however it is spelled."""
    named = [column for column in dataset.table if normal(column) in names]
    if not named:
        return pd.Series(None, index=dataset.table.index, dtype=object)
    return dataset.table[named[0]].replace("", None)


def _unmatched(dataset: Dataset) -> Iterator[Finding]:
    """Images that a table of labels does not name, and rows of it that name no image."""
    for names, code, message in (
        (dataset.unmatched_images, "images_without_label", "have no row in the table of labels"),
        (dataset.unmatched_rows, "labels_without_image", "name no image that was read"),
    ):
        if names:
            what = count(len(names), "image" if code == "images_without_label" else "row")
            yield Finding(
                "NOTE",
                code,
                f"{what} {message}.",
                image_ids=names[:LISTED],
                n_rows=len(names),
                remedy="If that is not meant, compare how both write their names.",
            )


def _no_patients() -> Finding:
    message = (
        "No patients are known: each image counts as its own patient, so pictures of one "
        "patient may stand in several splits."
    )
    remedy = "Give --patient-pattern, --patient-column or --patients."
    return found("WARN", "no_patients", message, remedy=remedy)


def _shared_patients(table: pd.DataFrame) -> Iterator[Finding]:
    rows = rows_that_mix(table, "patient_id", "split")
    message = "{what} with {images} stand in more than one split."
    remedy = "Split by patient."
    yield from _told("shared_patients", rows, ("patient_id", "patient"), (message, remedy))


def _shared_studies(table: pd.DataFrame) -> Iterator[Finding]:
    rows = rows_that_mix(table, "study", "split")
    message = "Pictures of one study stand in more than one split: {what} with {images}."
    remedy = "Split by patient; a study has one patient."
    yield from _told("shared_studies", rows, ("study", "study"), (message, remedy))


def _shared_objects(table: pd.DataFrame) -> Iterator[Finding]:
    rows = rows_that_mix(table, "object", "split")
    message = "Frames of one object stand in more than one split: {what} with {images}."
    remedy = "Keep all frames of a file with its patient in one split."
    yield from _told("shared_objects", rows, ("object", "object"), (message, remedy))


def _studies_of_two(table: pd.DataFrame) -> Iterator[Finding]:
    rows = rows_that_mix(table, "study", "patient_id")
    if not len(rows):
        return
    n = rows["study"].nunique()
    yield found(
        "WARN",
        "study_of_two_patients",
        f"One study belongs to two or more patients in {_studies(n)} ({count(len(rows), 'image')})."
        " Either the patients are wrong, or one person has several ids.",
        remedy="Correct the patient ids, so that a split by patient can be trusted.",
        rows=rows,
        groups=side_by_side(rows, "study", "patient_id"),
        figures={"n_studies": n},
    )


def _studies(n: int) -> str:
    return "1 study" if n == 1 else f"{n:,} studies"


def rows_that_mix(table: pd.DataFrame, key: str, column: str) -> pd.DataFrame:
    """The rows whose `key` has more than one value of `column`; a missing one is none."""
    pairs = table[[key, column]].dropna().drop_duplicates()
    mixed = pairs.loc[pairs[key].duplicated(), key]
    return table[table[key].isin(mixed)] if len(mixed) else table.iloc[:0]


def side_by_side(rows: pd.DataFrame, key: str, column: str) -> list[list[str]]:
    """For the first values of `key`, one image of each value of `column`."""
    one_each = rows.dropna(subset=[column]).drop_duplicates([key, column])
    one_each = one_each[one_each[key].isin(one_each[key].unique()[:GROUPS_SHOWN])]
    groups = one_each.groupby(key, sort=False)["image_id"]
    return [[str(name) for name in names] for _, names in groups]


def _told(
    code: str, rows: pd.DataFrame, key: tuple[str, str], text: tuple[str, str]
) -> Iterator[Finding]:
    """A FAIL on rows that mix splits; `key` is the column and its noun, `text` says what to do."""
    if not len(rows):
        return
    column, noun = key
    n = rows[column].nunique()
    what = _studies(n) if noun == "study" else count(n, noun)
    yield found(
        "FAIL",
        code,
        text[0].format(what=what, images=count(len(rows), "image")),
        remedy=text[1],
        rows=rows,
        groups=side_by_side(rows, column, "split"),
        figures={f"n_{'studies' if noun == 'study' else noun + 's'}": n, "n_images": len(rows)},
    )
