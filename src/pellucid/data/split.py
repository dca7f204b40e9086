"""Partitions that share no patient: dealt out by class and seed, or given and checked.

A patient goes to one partition with all pictures, and pictures that are copies of each other go
together. How patients are dealt stands in `dealing`, other ways to cut a dataset in `folds`. This
module reads no file and knows no pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pellucid.data.dealing import deal
from pellucid.data.index import Dataset
from pellucid.data.linking import Ints
from pellucid.data.listing import count, some
from pellucid.errors import SplitError, UsageError

SPLITS = ("train", "validation", "test", "external_test")
FRACTIONS = (0.7, 0.15, 0.15)


class _Options(NamedTuple):
    """How rows are dealt: see `split_by_patient`."""

    fractions: Sequence[float]
    seed: int
    linked: Ints | None
    stratify_by: tuple[str, ...]


def assign_splits(
    dataset: Dataset,
    *,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    allow_shared_patients: bool = False,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> tuple[Dataset, list[str]]:
    """A new dataset with a `split` for every row, and sentences that say how it came about.

    Given splits are honoured; a missing validation or test is set apart from train, and rows
    without a split beside an external test are dealt. `linked` and `stratify_by` are those of
    `split_by_patient`. Raises `SplitError` when splits share patients (unless allowed), when there
    is no train, or when a class has too few patients.
    """
    table = dataset.table
    options = _Options(fractions, seed, linked, tuple(stratify_by))
    free = table["split"].isna() if "split" in table else pd.Series(True, index=table.index)
    if free.any():
        done = _deal_into(dataset, free, options)
        notes = [_counts(done, f"Split by patient with seed {seed}")]
    else:
        if "train" not in set(table["split"]):
            found = some(sorted(table["split"].unique()))
            raise SplitError("The given splits must include train", f"only {found}")
        if not allow_shared_patients:
            check_patient_disjoint(table)
        done, notes = _fill_missing(dataset, options)
        notes.insert(0, _counts(done, "The given splits are used"))
    shared = shared_patients(done.table)
    if shared and not allow_shared_patients:
        check_patient_disjoint(done.table)
    if shared:
        notes.append(
            f"Beware: {count(len(shared), 'patient')} stand in more than one of the given splits, "
            "as --allow-shared-patients permits; figures on them are too good."
        )
    return done, notes


def split_by_patient(
    dataset: Dataset,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> pd.Series[str]:
    """The split of each row: patient-disjoint, stratified by class, independent of row order.

    `fractions` are the shares of patients for train, validation and test, and add up to 1. Rows
    with equal values in `linked` (n,) show the same picture and stay together, with their patients;
    `stratify_by` names columns, such as a site, to balance within each class as well. Every class
    with at least as many patients as there are splits stands in each of them; a class with fewer
    raises `SplitError`.
    """
    _check_fractions(fractions)
    used = [(name, share) for name, share in zip(SPLITS, fractions, strict=False) if share > 0]
    shares = [share for _, share in used]
    part = deal(dataset, shares, seed, linked=linked, stratify_by=stratify_by)
    names = np.array([name for name, _ in used])
    return pd.Series(names[part], index=dataset.table.index, dtype=str, name="split")


def shares_of_train(given: Collection[str], fractions: Sequence[float] = FRACTIONS) -> list[float]:
    """Into which shares a given train is dealt: itself, and the splits that are not given.

    >>> shares_of_train({"train", "validation"}, (0.375, 0.5, 0.125))
    [0.75, 0.0, 0.25]
    """
    shares = [
        share if name == "train" or name not in given else 0.0
        for name, share in zip(SPLITS, fractions, strict=False)
    ]
    return [share / sum(shares) for share in shares]


def split_digest(table: pd.DataFrame) -> str:
    """SHA-256 of who stands where, in hexadecimal; the order of the rows does not matter."""
    columns = table[["patient_id", "image_id", "split"]].astype(str)
    lines = sorted(zip(*(columns[name] for name in columns), strict=True))
    digest = hashlib.sha256()
    for line in lines:
        digest.update("\0".join(line).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


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


def _deal_into(dataset: Dataset, rows: pd.Series[bool], options: _Options) -> Dataset:
    """The dataset with these rows dealt to train, validation and test; the others stay."""
    within = replace(dataset, table=dataset.table[rows])
    linked = None if options.linked is None else options.linked[rows.to_numpy()]
    parts = split_by_patient(
        within,
        fractions=options.fractions,
        seed=options.seed,
        linked=linked,
        stratify_by=options.stratify_by,
    )
    splits = parts.reindex(dataset.table.index)
    if "split" in dataset.table:
        splits = splits.where(rows, dataset.table["split"])
    return replace(dataset, table=dataset.table.assign(split=splits))


def _fill_missing(dataset: Dataset, options: _Options) -> tuple[Dataset, list[str]]:
    """Set a missing validation or test apart from the given train."""
    _check_fractions(options.fractions)
    shares = shares_of_train(set(dataset.table["split"]), options.fractions)
    missing = [name for name, share in zip(SPLITS, shares, strict=False) if share][1:]
    if not missing:
        return dataset, []
    options = options._replace(fractions=shares)
    done = _deal_into(dataset, dataset.table["split"] == "train", options)
    names = " and ".join(missing)
    note = f"No {names} was given: set apart from train by patient with seed {options.seed}."
    return done, [note]


def _counts(dataset: Dataset, start: str) -> str:
    parts = []
    for name in SPLITS:
        rows = dataset.table.loc[dataset.table["split"] == name, "patient_id"]
        patients = f" of {count(rows.nunique(), 'patient')}" if dataset.patients_known else ""
        if len(rows):
            parts.append(f"{name} {count(len(rows), 'image')}{patients}")
    unknown = "" if dataset.patients_known else " (no patients known: each image is its own)"
    return f"{start}{unknown}: {', '.join(parts)}."
