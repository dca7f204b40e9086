"""Other ways to cut a dataset by patient: folds, repeated folds, one site left out at a time.

Each gives the dataset's table with one split column a cut, which is a manifest that `train` reads
back. Knows patients, classes and columns; it reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.data.dealing import deal
from pellucid.data.index import Dataset
from pellucid.data.listing import count, some
from pellucid.data.split import FRACTIONS, split_by_patient
from pellucid.errors import SplitError, UsageError


def folds_by_patient(
    dataset: Dataset,
    n_folds: int,
    seed: int = 0,
    *,
    repeat: int = 0,
    stratify_by: Sequence[str] = (),
) -> pd.Series[int]:
    """The fold, 0 … n_folds - 1, of each row: patient-disjoint and stratified like the splits.

    Each `repeat`, from 0, is another deal with the same seed.
    """
    if n_folds < 2:
        raise UsageError("The number of folds must be at least 2", str(n_folds))
    key = f"{seed}/{repeat}" if repeat else seed
    part = deal(dataset, [1 / n_folds] * n_folds, key, stratify_by=stratify_by)
    return pd.Series(part, index=dataset.table.index, name="fold")


def cut_into_folds(
    dataset: Dataset,
    n_folds: int,
    *,
    repeats: int = 1,
    seed: int = 0,
    stratify_by: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """The table with `split_1` … : fold i is test, the next one validation, the rest train."""
    if n_folds < 3:
        raise UsageError("Train, validation and test need at least 3 folds", str(n_folds))
    table, number = _bare(dataset), 0
    for repeat in range(repeats):
        folds = folds_by_patient(dataset, n_folds, seed, repeat=repeat, stratify_by=stratify_by)
        for fold in range(n_folds):
            number += 1
            validation = folds == (fold + 1) % n_folds
            names = np.select([folds == fold, validation], ["test", "validation"], "train")
            table[f"split_{number}"] = names
    times = f", dealt {repeats} times" if repeats > 1 else ""
    note = f"{n_folds} folds by patient with seed {seed}{times}: split_1 … split_{number}."
    return table, [note]


def leave_one_out(
    dataset: Dataset, column: str, *, seed: int = 0
) -> tuple[pd.DataFrame, list[str]]:
    """The table with `split_1` … , one for each value of a column, such as a site, as the test.

    A patient who was seen at the site that is left out belongs to its test with all images, also
    those of other sites, so that no patient stands on both sides. Validation is set apart from the
    rest by patient.
    """
    values = _values(dataset, column)
    names = sorted(values.unique())
    if len(names) < 2:
        found = some(names) or "none"
        raise UsageError(f"To leave one out, {column!r} needs at least two values", found)
    table, notes = _bare(dataset), []
    patients = dataset.table["patient_id"]
    validation = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
    for number, name in enumerate(names, start=1):
        out = patients.isin(patients[values == name])
        rest = Dataset(dataset.table[~out], dataset.task, dataset.name, dataset.source)
        if rest.table.empty:
            raise SplitError(f"Something must be left to train on without {name!r}", "nothing")
        splits = split_by_patient(rest, fractions=(1 - validation, validation, 0.0), seed=seed)
        table[f"split_{number}"] = splits.reindex(table.index).fillna("test")
        elsewhere = int((out & (values != name)).sum())
        beside = f", with {count(elsewhere, 'image')} of its patients elsewhere" * bool(elsewhere)
        images = count(int((values == name).sum()), "image")
        notes.append(f"split_{number}: test is {column} {name} ({images}{beside}).")
    return table, notes


def _bare(dataset: Dataset) -> pd.DataFrame:
    return dataset.table.drop(columns="split", errors="ignore").copy()


def _values(dataset: Dataset, column: str) -> pd.Series[str]:
    if column not in dataset.table:
        known = f"Columns: {some(list(dataset.table.columns), 20)}."
        raise UsageError("There is no such column to leave out", repr(column), known)
    return dataset.table[column].fillna("(none)").astype(str)
