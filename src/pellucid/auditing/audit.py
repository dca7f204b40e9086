"""What is wrong with a dataset: leakage between splits, and quality.

A finding is FAIL (results would be wrong), WARN (results may mislead) or NOTE (worth knowing).
Pictures are compared by their decoded pixels, whatever the files are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.auditing.copies import Copies, copy_findings, find_copies
from pellucid.auditing.findings import Audit, Finding, Level, found
from pellucid.auditing.markers import find_markers
from pellucid.auditing.shortcuts import find_shortcuts
from pellucid.data.index import Dataset
from pellucid.data.listing import count
from pellucid.data.split import shared_patients

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

FEW_PATIENTS = 10
TOO_FEW_PATIENTS = 3  # one for each of train, validation and test
UNREADABLE_SHARE = 0.01
RARE_SHARE = 0.1
UNEVEN_POINTS = 0.1


def audit_dataset(
    dataset: Dataset, cache: PixelCache | None = None, copies: Copies | None = None
) -> Audit:
    """Look for leakage, shortcuts and poor quality; with a cache, in the pictures as well.

    `copies` are looked for where they are not given. The checks that need splits are left out where
    the table has no `split` column.
    """
    findings = [*_audit_patients(dataset), *_audit_classes(dataset)]
    unreadable: list[dict[str, str]] = []
    if cache is not None:
        ids = dataset.table["image_id"].to_numpy(dtype=object)
        rows = np.flatnonzero(~cache.readable)
        unreadable = [
            {"image_id": str(ids[row]), "reason": cache.reasons.get(int(row), "unreadable")}
            for row in rows
        ]
        findings += [*_audit_unreadable(dataset, rows), *_audit_pixels(dataset, cache)]
        findings += copy_findings(dataset, copies or find_copies(cache))
        findings += [*find_shortcuts(dataset, cache), *find_markers(dataset, cache)]
    return Audit(findings, unreadable, _about(dataset))


def _about(dataset: Dataset) -> dict[str, Any]:
    """What was audited."""
    return {
        "name": dataset.name,
        "n_images": len(dataset.table),
        "n_patients": int(dataset.table["patient_id"].nunique()),
        "patients_known": dataset.patients_known,
        "synthetic": dataset.synthetic,
        "targets": list(dataset.task.names),
        "description": dataset.describe().splitlines(),
    }


def _found(
    level: Level, code: str, text: tuple[str, str], table: pd.DataFrame | None = None
) -> Finding:
    """A finding on the rows of `table`; `text` is the message and the remedy."""
    return found(level, code, text[0], remedy=text[1], rows=table)


def _audit_patients(dataset: Dataset) -> Iterator[Finding]:
    table = dataset.table
    if dataset.synthetic:
        yield _found("NOTE", "synthetic", ("The pictures are synthetic, not of patients.", ""))
    if not dataset.patients_known:
        message = (
            "No patients are known: each image counts as its own patient, so pictures of one "
            "patient may stand in several splits."
        )
        remedy = "Give --patient-pattern, --patient-column or --patients."
        yield _found("WARN", "no_patients", (message, remedy))
    if "split" not in table:
        return
    shared = table[table["patient_id"].isin(shared_patients(table))]
    if len(shared):
        message = (
            f"{count(shared['patient_id'].nunique(), 'patient')} with "
            f"{count(len(shared), 'image')} stand in more than one split."
        )
        yield _found("FAIL", "shared_patients", (message, "Split by patient."), shared)


def _audit_classes(dataset: Dataset) -> Iterator[Finding]:
    for target in dataset.task.targets:
        labels = dataset.table[target.name]
        missing = dataset.table[labels.isna()]
        if len(missing):
            message = f"{count(len(missing), 'image')} have no label for {target.name!r}."
            yield _found("NOTE", "missing_labels", (message, ""), missing)
        for label in target.classes:
            yield from _audit_class(dataset, target.name, label)
        yield from _audit_balance(dataset, target.name, target.classes)


def _audit_class(dataset: Dataset, target: str, label: str) -> Iterator[Finding]:
    """Too few patients of a class, or none in a split."""
    rows = dataset.table[dataset.table[target] == label]
    n = rows["patient_id"].nunique()
    who = count(n, "patient" if dataset.patients_known else "image")
    if n < FEW_PATIENTS:
        level: Level = "FAIL" if n < TOO_FEW_PATIENTS else "WARN"
        message = f"Class {label!r} of {target!r} has {who}."
        remedy = "Merge it into another class (--merge), or add patients."
        yield _found(level, "few_patients", (message, remedy), rows)
    if "split" not in dataset.table:
        return
    for split in dataset.table["split"].unique():
        if not (rows["split"] == split).any():
            level = "FAIL" if split == "train" else "WARN"
            message = f"Class {label!r} of {target!r} does not stand in {split}."
            yield _found(level, "absent_class", (message, "Correct the splits."))


def _audit_balance(dataset: Dataset, target: str, classes: tuple[str, ...]) -> Iterator[Finding]:
    labels = dataset.table[target].dropna()
    shares = labels.value_counts(normalize=True).reindex(list(classes), fill_value=0.0)
    text = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    level: Level = "WARN" if shares.min() < RARE_SHARE / max(1, len(classes) - 1) else "NOTE"
    remedy = "Accuracy would flatter; look at each class." if level == "WARN" else ""
    yield _found(level, "class_balance", (f"Classes of {target!r}: {text}.", remedy))
    if "split" not in dataset.table:
        return
    inside = pd.crosstab(dataset.table["split"], dataset.table[target], normalize="index")
    gaps = (inside - shares.reindex(inside.columns)).abs().to_numpy()
    if gaps.size and gaps.max() > UNEVEN_POINTS:
        row, column = (int(place) for place in np.unravel_index(gaps.argmax(), gaps.shape))
        split, label = str(inside.index[row]), str(inside.columns[column])
        message = (
            f"{label!r} of {target!r} makes {float(inside.to_numpy()[row, column]):.0%} of {split} "
            f"and {shares[label]:.0%} of all images."
        )
        yield _found("WARN", "split_balance", (message, "Predictive values will differ by split."))


def _audit_unreadable(dataset: Dataset, rows: npt.NDArray[np.intp]) -> Iterator[Finding]:
    if not len(rows):
        return
    share = len(rows) / len(dataset.table)
    level: Level = "FAIL" if share > UNREADABLE_SHARE else "WARN"
    message = f"{count(len(rows), 'file')} ({share:.1%}) cannot be read and are set aside."
    remedy = "The reasons stand under `unreadable` in audit.json."
    yield _found(level, "unreadable", (message, remedy), dataset.table.iloc[rows])


def _audit_pixels(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """Pictures of one grey value."""
    constant = dataset.table[((cache.facts["pixel_digest"] == "") & cache.readable).to_numpy()]
    if len(constant):
        message = f"{count(len(constant), 'picture')} show one grey value only."
        yield _found("WARN", "constant", (message, "Look at them and leave them out."), constant)
