"""An external test set: a second dataset, of other patients, that training never sees.

Knows two datasets with the same question; it reads no file.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pellucid.data.index import Dataset
from pellucid.data.listing import count, some
from pellucid.errors import DataError, SplitError


def with_external(
    dataset: Dataset, other: Dataset, *, allow_shared_patients: bool = False
) -> Dataset:
    """The dataset with all rows of another one as its split `external_test`.

    The other one must have the same targets, and no class that the first does not have. Raises
    `DataError` otherwise, and `SplitError` when a patient stands in both.
    """
    _check_same_question(dataset, other)
    if dataset.patients_known and other.patients_known and not allow_shared_patients:
        _check_no_patient_in_both(dataset, other)
    rows = other.table.assign(split="external_test")
    rows["image_id"] = f"{other.name}/" + rows["image_id"].astype(str)
    if not other.patients_known:
        rows["patient_id"] = rows["image_id"]
    own = dataset.table if "split" in dataset.table else dataset.table.assign(split=None)
    facts = tuple(dict.fromkeys((*dataset.facts, *other.facts)))
    roles = ["image_id", "image_path", "frame", "patient_id", *dataset.task.names]
    table = pd.concat([own, rows], ignore_index=True)[[*roles, *facts, "split"]]
    note = f"External test: {count(len(rows), 'image')} of {other.name}."
    return replace(
        dataset,
        table=table,
        facts=facts,
        patients_known=dataset.patients_known and other.patients_known,
        synthetic=dataset.synthetic and other.synthetic,
        notes=(*dataset.notes, *other.notes, note),
    )


def _check_same_question(dataset: Dataset, other: Dataset) -> None:
    if dataset.task.names != other.task.names:
        raise DataError(
            "An external test has the targets of the dataset",
            f"{some(list(other.task.names))} instead of {some(list(dataset.task.names))}",
        )
    for own, theirs in zip(dataset.task.targets, other.task.targets, strict=True):
        strange = [name for name in theirs.classes if name not in own.classes]
        if strange:
            raise DataError(
                f"An external test has no class that the dataset does not have ({own.name!r})",
                some(strange),
                "Merge classes alike (--merge), or leave them out.",
            )


def _check_no_patient_in_both(dataset: Dataset, other: Dataset) -> None:
    both = set(dataset.table["patient_id"]) & set(other.table["patient_id"])
    if both:
        raise SplitError(
            "A patient of the external test must not stand in the dataset",
            f"{count(len(both), 'patient')} in both",
            "If equal ids are different people, make the ids differ; else leave them out, or use "
            "--allow-shared-patients.",
        )
