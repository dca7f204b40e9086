"""Which images a network learns from, and which it does not, so that they may choose its epoch.

The networks of an ensemble of seeds share the split's train and validation. Those of an ensemble of
folds share out both: each learns from all but its own fold, by patient, so that every image teaches
most of them and chooses for one. What a network says of its own fold is unseen by it; together the
folds are one prediction, out of fold, for every image, which calibration and operating points are
chosen from in place of validation's. Test images belong to no fold.
Source: Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pellucid.auditing.copies import find_copies
from pellucid.data.folds import folds_by_patient
from pellucid.data.linking import link_rows
from pellucid.errors import SplitError
from pellucid.preparation import Prepared
from pellucid.progress import Progress
from pellucid.training.members import n_networks

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The rows of a dataset that a network learns from, and those that choose its epoch."""

    learned: Rows
    unseen: Rows


@dataclass(frozen=True)
class Unseen:
    """What networks say of images that they have not learned from.

    `rows` (n,) of the dataset, in ascending order, and `logits` (n, task.n_logits).
    """

    rows: Rows
    logits: npt.NDArray[np.float32]


def parts_of(prepared: Prepared, progress: Progress) -> list[Part]:
    """A part for each network of the plan; raises `SplitError` for a class of too few patients."""
    plan, train, validation = prepared.plan, prepared.rows("train"), prepared.rows("validation")
    if plan.ensemble_of == "seeds":
        return [Part(train, validation)] * n_networks(plan)
    rows = np.sort(np.concatenate([train, validation]))
    try:
        folds = deal_rows(prepared, rows, plan.members, copies_of(prepared, progress))
    except SplitError as error:
        raise SplitError(error.rule, error.found, "Try --set ensemble_of=seeds.") from error
    return [Part(rows[folds != fold], rows[folds == fold]) for fold in range(plan.members)]


def deal_rows(prepared: Prepared, rows: Rows, n_folds: int, linked: Rows) -> Rows:
    """The fold of each of these rows; patients and copies of a picture stay together."""
    within = replace(prepared.dataset, table=prepared.dataset.table.iloc[rows])
    folds = folds_by_patient(within, n_folds, prepared.plan.seed, linked=linked[rows])
    return folds.to_numpy().astype(np.int64)


def copies_of(prepared: Prepared, progress: Progress) -> Rows:
    """Rows of equal value show the same picture."""
    copies = find_copies(prepared.cache, progress.counter("Comparing pictures"))
    return copies.groups(len(prepared.dataset.table))


def fewest_patients(prepared: Prepared, rows: Rows, linked: Rows) -> int:
    """Of these rows, the units of patients that the rarest class of a target has."""
    units = link_rows(prepared.dataset.table.iloc[rows], linked[rows])[0]
    codes = prepared.dataset.codes()[rows]
    counts = [
        len(np.unique(units[codes[:, number] == code]))
        for number, target in enumerate(prepared.dataset.task.targets)
        for code in range(len(target.classes))
        if (codes[:, number] == code).any()
    ]
    return min(counts)
