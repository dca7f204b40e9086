"""Partitions that share no patient: dealt out by class and seed, or given and checked.

A patient goes to one partition with all pictures. The deal depends on the patients' ids, the seed
and the labels, never on the order of files. This module reads no file and knows no pixels.

Source of the deal: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
(ECML PKDD 2011), with patients in the place of examples: the rarest class is dealt first, each
patient to the partition that lacks most of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.index import Dataset
from pellucid.data.listing import count, some
from pellucid.errors import SplitError, UsageError

SPLITS = ("train", "validation", "test", "external_test")
FRACTIONS = (0.7, 0.15, 0.15)

Ints = npt.NDArray[np.int64]


def assign_splits(
    dataset: Dataset,
    *,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    allow_shared_patients: bool = False,
) -> tuple[Dataset, list[str]]:
    """A new dataset with a `split` for every row, and sentences that say how it came about.

    Given splits are honoured; a missing validation or test is set apart from train. Raises
    `SplitError` when given splits share patients (unless allowed), when there is no train, or when
    a class has too few patients.
    """
    if "split" not in dataset.table:
        splits = split_by_patient(dataset, fractions=fractions, seed=seed)
        done = replace(dataset, table=dataset.table.assign(split=splits))
        return done, [_counts(done, f"Split by patient with seed {seed}")]
    shared = shared_patients(dataset.table)
    if shared and not allow_shared_patients:
        check_patient_disjoint(dataset.table)
    if "train" not in set(dataset.table["split"]):
        found = some(sorted(dataset.table["split"].unique()))
        raise SplitError("The given splits must include train", f"only {found}")
    done, notes = _fill_missing(dataset, fractions, seed)
    notes.insert(0, _counts(done, "The given splits are used"))
    if shared:
        notes.append(
            f"Beware: {count(len(shared), 'patient')} stand in more than one of the given splits, "
            "as --allow-shared-patients permits; figures on them are too good."
        )
    return done, notes


def split_by_patient(
    dataset: Dataset, *, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> pd.Series[str]:
    """The split of each row: patient-disjoint, stratified by class, independent of row order.

    `fractions` are the shares of images for train, validation and test, and add up to 1; they are
    met up to the size of a patient. Every class with at least as many patients as there are splits
    stands in each of them; a class with fewer raises `SplitError`.
    """
    _check_fractions(fractions)
    named = list(zip(SPLITS, fractions, strict=False))
    used = [(name, share) for name, share in named if share > 0]
    part = _deal(dataset, [share for _, share in used], seed)
    names = np.array([name for name, _ in used])
    return pd.Series(names[part], index=dataset.table.index, dtype=str, name="split")


def folds_by_patient(dataset: Dataset, n_folds: int, seed: int = 0) -> pd.Series[int]:
    """The fold, 0 … n_folds - 1, of each row: patient-disjoint and stratified like the splits."""
    if n_folds < 2:
        raise UsageError("The number of folds must be at least 2", str(n_folds))
    part = _deal(dataset, [1 / n_folds] * n_folds, seed)
    return pd.Series(part, index=dataset.table.index, name="fold")


def shared_patients(table: pd.DataFrame) -> list[str]:
    """The patients who stand in more than one split, sorted."""
    pairs = table[["patient_id", "split"]].drop_duplicates()
    return sorted(pairs.loc[pairs["patient_id"].duplicated(), "patient_id"].unique())


def check_patient_disjoint(table: pd.DataFrame) -> None:
    """Raise `SplitError` with the patients who stand in more than one split."""
    shared = shared_patients(table)
    if shared:
        raise SplitError(
            "The given splits must not share patients",
            f"{count(len(shared), 'patient')} in more than one: {some(shared, 10)}",
            "Correct the splits, or train all the same with --allow-shared-patients (the report "
            "will say so).",
        )


def _check_fractions(fractions: Sequence[float]) -> None:
    right = len(fractions) == 3 and min(fractions) >= 0 and fractions[0] > 0
    if not right or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(
            "The shares of train, validation and test must be positive and add up to 1",
            ", ".join(f"{share:g}" for share in fractions),
        )


def _fill_missing(
    dataset: Dataset, fractions: Sequence[float], seed: int
) -> tuple[Dataset, list[str]]:
    """Set a missing validation or test apart from the given train."""
    _check_fractions(fractions)
    given = set(dataset.table["split"])
    shares = [
        share if name == "train" or name not in given else 0.0
        for name, share in zip(SPLITS, fractions, strict=False)
    ]
    missing = [name for name, share in zip(SPLITS, shares, strict=False) if share][1:]
    if not missing:
        return dataset, []
    train = dataset.table["split"] == "train"
    within = replace(dataset, table=dataset.table[train])
    total = sum(shares)
    parts = split_by_patient(within, fractions=[share / total for share in shares], seed=seed)
    splits = dataset.table["split"].where(~train, parts.reindex(dataset.table.index))
    names = " and ".join(missing)
    note = f"No {names} was given: set apart from train by patient with seed {seed}."
    return replace(dataset, table=dataset.table.assign(split=splits)), [note]


def _counts(dataset: Dataset, start: str) -> str:
    parts = []
    for name in SPLITS:
        rows = dataset.table.loc[dataset.table["split"] == name, "patient_id"]
        patients = f" of {count(rows.nunique(), 'patient')}" if dataset.patients_known else ""
        if len(rows):
            parts.append(f"{name} {count(len(rows), 'image')}{patients}")
    unknown = "" if dataset.patients_known else " (no patients known: each image is its own)"
    return f"{start}{unknown}: {', '.join(parts)}."


def _deal(dataset: Dataset, shares: Sequence[float], seed: int) -> Ints:
    """Which part (n,) each row belongs to."""
    patients, row_patient = np.unique(
        dataset.table["patient_id"].to_numpy(dtype=object).astype(str), return_inverse=True
    )
    images = _images_per_class(dataset, row_patient, len(patients))
    _check_enough(dataset, (images > 0).sum(axis=0), len(shares))
    keys = [_key(seed, patient) for patient in patients]
    order = np.array(sorted(range(len(patients)), key=keys.__getitem__))
    # The last column is every image, so that patients without any label are dealt as well.
    images = np.column_stack([images, np.bincount(row_patient, minlength=len(patients))])
    part = np.empty(len(patients), dtype=np.int64)
    part[order] = _represent(images[order], _deal_patients(images[order], shares), len(shares))
    return part[row_patient]


def _key(seed: int, patient: str) -> bytes:
    """The place of a patient in the shuffled line, whoever else stands in it."""
    return hashlib.blake2b(f"{seed}:{patient}".encode(), digest_size=16).digest()


def _images_per_class(dataset: Dataset, row_patient: Ints, n_patients: int) -> Ints:
    """Number of images (n_patients, n_classes of all targets side by side)."""
    columns = []
    for target, codes in zip(dataset.task.targets, dataset.codes().T, strict=True):
        counts = np.zeros((n_patients, len(target.classes)), dtype=np.int64)
        np.add.at(counts, (row_patient[codes >= 0], codes[codes >= 0]), 1)
        columns.append(counts)
    return np.concatenate(columns, axis=1)


def _check_enough(dataset: Dataset, n_patients: Ints, n_parts: int) -> None:
    names = [(target.name, label) for target in dataset.task.targets for label in target.classes]
    few = [
        f"class {label!r} of {name!r} with {count(int(n), 'patient')}"
        for (name, label), n in zip(names, n_patients, strict=True)
        if 0 < n < n_parts
    ]
    if few:
        raise SplitError(
            f"Every class needs at least {n_parts} patients to stand in each of {n_parts} parts",
            some(few),
            "Merge the class into another (--merge), or add patients.",
        )


def _deal_patients(images: Ints, shares: Sequence[float]) -> Ints:
    """The part of each patient (n_patients,), the rarest class first; rows are in random order."""
    n_patients, n_classes = images.shape
    wanted = np.outer(shares, images.sum(axis=0)).tolist()
    part = np.full(n_patients, -1, dtype=np.int64)
    rarest = np.argsort((images[:, :-1] > 0).sum(axis=0), kind="stable")
    for label in [*rarest.tolist(), n_classes - 1]:
        for patient in np.flatnonzero((part < 0) & (images[:, label] > 0)):
            chosen = max(range(len(shares)), key=lambda k: (wanted[k][label], wanted[k][-1]))
            part[patient] = chosen
            for other in np.flatnonzero(images[patient]):
                wanted[chosen][other] -= float(images[patient, other])
    return part


def _represent(images: Ints, part: Ints, n_parts: int) -> Ints:
    """Move single patients until every class stands in every part, where that can be done."""
    has = images[:, :-1] > 0
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        for empty in range(n_parts):
            inside = np.bincount(part[has[:, label]], minlength=n_parts)
            if inside[empty] or inside.max() < 2:
                continue
            giver = int(inside.argmax())
            left = has[part == giver].sum(axis=0)  # patients of each class that the giver has
            candidates = np.flatnonzero(has[:, label] & (part == giver))
            spare = [p for p in candidates if (left[has[p]] > 1).all()]
            if spare:
                part[min(spare, key=lambda p: images[p, -1])] = empty
    return part
