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

    The other one must have the same targets, and no class that the first does not have; classes
    that the first has merged are merged in it as well. Its ids get its name in front. Raises
    `DataError` for another question, and `SplitError` when a patient stands in both.
    """
    labels = _labels_alike(dataset, other)
    if dataset.patients_known and other.patients_known and not allow_shared_patients:
        _check_no_patient_in_both(dataset, other)
    rows = other.table.assign(**labels, split="external_test")
    rows["image_id"] = _free_prefix(dataset, other) + rows["image_id"].astype(str)
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
        unmatched_images=(*dataset.unmatched_images, *other.unmatched_images),
        unmatched_rows=(*dataset.unmatched_rows, *other.unmatched_rows),
    )


def _labels_alike(dataset: Dataset, other: Dataset) -> dict[str, pd.Series[str]]:
    """The labels of the other dataset, by target, with the classes of the first."""
    if set(dataset.task.names) != set(other.task.names):
        raise DataError(
            "An external test has the targets of the dataset",
            f"{some(list(other.task.names))} instead of {some(list(dataset.task.names))}",
            "Choose the same columns with --label-column.",
        )
    new = {part: name for name, parts in dataset.task.merge.items() for part in parts}
    labels = {}
    for target in dataset.task.targets:
        theirs = other.table[target.name]
        merged = theirs.map({name: new.get(name, name) for name in theirs.dropna().unique()})
        strange = sorted(set(merged.dropna().unique()) - set(target.classes))
        if strange:
            raise DataError(
                f"An external test has no class that the dataset does not have ({target.name!r})",
                f"{some(strange)} beside {some(target.classes, 20)}",
                "Merge classes alike (--merge), or leave them out.",
            )
        labels[target.name] = merged.astype(theirs.dtype)
    return labels


def _free_prefix(dataset: Dataset, other: Dataset) -> str:
    """What stands before the ids of the other dataset, and before no id of the first."""
    prefix = f"{other.name}/"
    while dataset.table["image_id"].str.startswith(prefix).any():
        prefix = f"external/{prefix}"
    return prefix


def _check_no_patient_in_both(dataset: Dataset, other: Dataset) -> None:
    both = set(dataset.table["patient_id"]) & set(other.table["patient_id"])
    if both:
        raise SplitError(
            "A patient of the external test must not stand in the dataset",
            f"{count(len(both), 'patient')} in both",
            "If equal ids are different people, make the ids differ; else leave them out, or use "
            "--allow-shared-patients.",
        )
