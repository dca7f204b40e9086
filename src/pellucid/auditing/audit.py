"""Every check of a dataset, in order: who is where, what the labels say, what the pictures show.

A check is a function from the dataset (and its decoded pictures) to findings; each stands in the
file named after what it finds. Knows their order alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.auditing.balance import find_imbalance
from pellucid.auditing.contradictions import find_contradictions
from pellucid.auditing.copies import Copies, copy_findings, find_copies
from pellucid.auditing.findings import Audit
from pellucid.auditing.leakage import find_leakage
from pellucid.auditing.markers import find_markers
from pellucid.auditing.outliers import find_outliers
from pellucid.auditing.quality import find_poor_quality
from pellucid.auditing.sample_size import find_sample_size
from pellucid.auditing.shortcuts import find_shortcuts
from pellucid.data.index import Dataset

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache


def audit_dataset(
    dataset: Dataset, cache: PixelCache | None = None, copies: Copies | None = None
) -> Audit:
    """Look for leakage, shortcuts and poor quality; with a cache, in the pictures as well.

    `copies` are looked for where they are not given. The checks that need splits are left out where
    the table has no `split` column.
    """
    findings = [
        *find_leakage(dataset),
        *find_contradictions(dataset),
        *find_imbalance(dataset),
        *find_sample_size(dataset),
    ]
    unreadable: list[dict[str, str]] = []
    if cache is not None:
        findings += [
            *copy_findings(dataset, find_copies(cache) if copies is None else copies),
            *find_shortcuts(dataset, cache),
            *find_outliers(dataset, cache),
            *find_poor_quality(dataset, cache),
            *find_markers(dataset, cache),
        ]
        unreadable = _unreadable(dataset, cache)
    return Audit(findings, unreadable, _about(dataset))


def _unreadable(dataset: Dataset, cache: PixelCache) -> list[dict[str, str]]:
    """Every file that cannot be read, with its reason."""
    ids = dataset.table["image_id"].to_numpy(dtype=object)
    return [
        {"image_id": str(ids[row]), "reason": cache.reasons.get(int(row), "unreadable")}
        for row in np.flatnonzero(~cache.readable)
    ]


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
