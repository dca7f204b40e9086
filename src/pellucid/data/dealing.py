"""Dealing patients to parts: by class, by seed, and never two halves of one patient.

The deal depends on the patients' ids, the seed and the labels, never on the order of files. Parts
are sized in patients; since patients are dealt in the order of how many images they have, images
follow. Knows counts and shares; it does not know what the parts are for.

Sources: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD
2011), with patients in the place of examples and the rarest class first; within a class parts take
turns by the method of Webster and Sainte-Laguë, so that the shares hold at every moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.index import Dataset
from pellucid.data.listing import count, some
from pellucid.errors import SplitError, UsageError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Units:
    """What goes to one part as a whole: a patient, or patients who share a picture.

    `images` (n_units, n_labels) counts images by label; the last column is every image. The first
    `n_classes` labels are classes, the others strata. `patients` (n_units,) counts patients.
    """

    images: Ints
    patients: Ints
    n_classes: int


def deal(
    dataset: Dataset,
    shares: Sequence[float],
    seed: int | str,
    *,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> Ints:
    """The part (n,) of each row; `shares` are of patients and add up to 1.

    Rows with equal labels in `linked` (n,) stay in one part, and so do all rows of their patients.
    `stratify_by` are columns whose values are balanced within each class as well. Raises
    `SplitError` when a class has fewer patients than there are parts.
    """
    codes, patients = pd.factorize(dataset.table["patient_id"].astype(str), sort=True)
    unit_of_patient = _link(codes.astype(np.int64), len(patients), linked)
    row_unit = unit_of_patient[codes]
    n_units = int(unit_of_patient.max()) + 1
    classes = _class_columns(dataset)
    _check_enough(dataset, classes, codes, len(shares))
    columns = [*classes, *_strata(dataset, stratify_by)]
    units = _Units(_images(columns, row_unit, n_units), np.bincount(unit_of_patient), len(classes))
    keys = np.full(n_units, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(keys, unit_of_patient, _keys(seed, patients))
    size = np.log2(np.maximum(units.images[:, -1], 1)).astype(np.int64)
    order = np.lexsort((keys, -size))  # by size in powers of two, else as the seed says
    part = np.empty(n_units, dtype=np.int64)
    in_order = _Units(units.images[order], units.patients[order], units.n_classes)
    part[order] = _represent(in_order, _take_turns(in_order, shares), len(shares))
    return part[row_unit]


def _keys(seed: int | str, patients: pd.Index) -> npt.NDArray[np.uint64]:
    """The place of each patient in the shuffled line, whoever else stands in it."""
    digests = (hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8) for name in patients)
    return np.frombuffer(b"".join(digest.digest() for digest in digests), dtype="<u8")


def _link(codes: Ints, n_patients: int, linked: Ints | None) -> Ints:
    """The unit of each patient (n_patients,): patients linked through rows are one unit."""
    if linked is None:
        return np.arange(n_patients, dtype=np.int64)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, groups = np.unique(linked, return_inverse=True)
    n_nodes = n_patients + int(groups.max()) + 1
    links = coo_matrix(
        (np.ones(len(codes)), (codes, n_patients + groups)), shape=(n_nodes, n_nodes)
    )
    labels = connected_components(links, directed=False)[1][:n_patients]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _class_columns(dataset: Dataset) -> list[npt.NDArray[np.bool_]]:
    """One column (n,) for each class of each target: which rows have it."""
    codes = dataset.codes()
    return [
        codes[:, number] == label
        for number, target in enumerate(dataset.task.targets)
        for label in range(len(target.classes))
    ]


def _strata(dataset: Dataset, stratify_by: Sequence[str]) -> list[npt.NDArray[np.bool_]]:
    """One column (n,) for each class together with each value of the columns asked for."""
    columns = []
    for name in stratify_by:
        if name not in dataset.table:
            raise UsageError(
                "A split is balanced by a column of the data",
                repr(name),
                f"Columns: {some(list(dataset.table.columns), 20)}.",
            )
        values = pd.factorize(dataset.table[name].fillna("").astype(str), sort=True)[0]
        for column in _class_columns(dataset):
            columns += [column & (values == value) for value in range(values.max() + 1)]
    return columns


def _images(columns: Sequence[npt.NDArray[np.bool_]], row_unit: Ints, n_units: int) -> Ints:
    """Images (n_units, n_labels + 1) by label; the last column is every image."""
    counts = [np.bincount(row_unit[column], minlength=n_units) for column in columns]
    return np.stack([*counts, np.bincount(row_unit, minlength=n_units)], axis=1).astype(np.int64)


def _check_enough(
    dataset: Dataset, classes: Sequence[npt.NDArray[np.bool_]], codes: Ints, n_parts: int
) -> None:
    names = [(target.name, label) for target in dataset.task.targets for label in target.classes]
    few = []
    for (name, label), column in zip(names, classes, strict=True):
        n = len(np.unique(codes[column]))
        if 0 < n < n_parts:
            few.append(f"class {label!r} of {name!r} with {count(n, 'patient')}")
    if few:
        raise SplitError(
            f"Every class needs at least {n_parts} patients to stand in each of {n_parts} parts",
            some(few),
            "Merge the class into another (--merge), or add patients.",
        )


def _take_turns(units: _Units, shares: Sequence[float]) -> Ints:
    """The part of each unit (n_units,), the rarest label first; units are in the seed's order."""
    n_units, n_labels = units.images.shape
    labels_of = [np.flatnonzero(row).tolist() for row in units.images]
    weights = units.patients.tolist()
    dealt = [[0.0] * n_labels for _ in shares]  # patients so far, by part and label
    part = np.full(n_units, -1, dtype=np.int64)
    places = list(range(len(shares)))
    rarest = np.argsort((units.images[:, :-1] > 0).sum(axis=0), kind="stable")
    for label in [*rarest.tolist(), n_labels - 1]:
        for unit in np.flatnonzero((part < 0) & (units.images[:, label] > 0)).tolist():
            half = weights[unit] / 2
            chosen = min(
                places,
                key=lambda k: (  # who would be least ahead of its share
                    (dealt[k][label] + half) / shares[k],
                    (dealt[k][-1] + half) / shares[k],
                ),
            )
            part[unit] = chosen
            for other in labels_of[unit]:
                dealt[chosen][other] += weights[unit]
    return part


def _represent(units: _Units, part: Ints, n_parts: int) -> Ints:
    """Move single units until every class stands in every part, where that can be done."""
    has = units.images[:, : units.n_classes] > 0
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        for empty in range(n_parts):
            inside = np.bincount(part[has[:, label]], minlength=n_parts)
            if inside[empty] or inside.max() < 2:
                continue
            giver = int(inside.argmax())
            left = has[part == giver].sum(axis=0)  # units of each class that the giver has
            candidates = np.flatnonzero(has[:, label] & (part == giver))
            spare = [unit for unit in candidates if (left[has[unit]] > 1).all()]
            if spare:
                part[min(spare, key=lambda unit: units.images[unit, -1])] = empty
    return part
