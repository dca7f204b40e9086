"""Dealing patients to parts: by class, by seed, and never two halves of one patient.

The deal depends on the patients' ids, the seed and the labels, never on the order of files. Parts
are sized in patients; since patients with about as many images stand side by side when they are
dealt, images follow. Knows counts and shares; it does not know what the parts are for.

Sources: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD
2011), with patients in the place of examples and the rarest label first; a patient goes where all
of its labels together are least ahead (Pocock and Simon, "Sequential treatment assignment with
balancing for prognostic factors", Biometrics 1975), so that many small strata cannot add up to a
class that one part keeps; for a single label that is the method of Webster and Sainte-Laguë.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.index import Dataset
from pellucid.data.linking import Ints, link_rows
from pellucid.data.listing import count, some
from pellucid.errors import SplitError, UsageError

Keys = npt.NDArray[np.uint64]

_WEIGHT_OF_ALL = (
    0.125  # of the label that all have: classes decide, and it settles their remainders
)


@dataclass(frozen=True)
class _Units:
    """What goes to one part as a whole, see `linking`, with the labels it has.

    The labels of unit i are `labels[start[i] : start[i + 1]]`, ascending: classes come first,
    strata after them, and the last label is one that every patient has. `n_patients` says how many
    patients of the unit have each of these labels.
    """

    labels: Ints
    n_patients: Ints
    start: Ints
    n_labels: int
    n_images: Ints
    keys: Keys

    def of(self, unit: int) -> slice:
        """Where the labels of one unit stand."""
        return slice(self.start[unit], self.start[unit + 1])

    def owners(self) -> Ints:
        """The unit of each entry of `labels`."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.start))

    def frequency(self) -> Ints:
        """How many units have each label (n_labels,)."""
        return np.bincount(self.labels, minlength=self.n_labels)


def deal(
    dataset: Dataset,
    shares: Sequence[float],
    seed: int | str,
    *,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> Ints:
    """The part (n,) of each row; `shares` are of patients, positive, and add up to 1.

    Rows with equal values in `linked` (n,) stay in one part, and so do all rows of their patients.
    `stratify_by` are columns whose values are balanced within each class as well. Raises
    `SplitError` when a class has fewer patients than there are parts.
    """
    columns = [*_class_columns(dataset), *_strata(dataset, stratify_by)]
    units, row_unit = _gather(dataset.table, columns, seed, linked)
    _check_enough(dataset, units.frequency(), len(shares))
    n_classes = sum(len(target.classes) for target in dataset.task.targets)
    part = _take_turns(units, np.asarray(shares))
    return _represent(units, part, (len(shares), n_classes))[row_unit]


def _keys(seed: int | str, names: Iterable[object]) -> Keys:
    """The place of each patient in the shuffled line, whoever else stands in it."""
    start = hashlib.blake2b(f"{seed}:".encode(), digest_size=8)

    def key(name: object) -> bytes:
        digest = start.copy()
        digest.update(str(name).encode("utf-8", "surrogateescape"))
        return digest.digest()

    return np.frombuffer(b"".join(map(key, names)), dtype="<u8").astype(np.uint64)


def _class_columns(dataset: Dataset) -> list[tuple[Ints, int]]:
    """The class (n,) of each row, -1 where it is missing, and how many there are, by target."""
    codes = dataset.codes()
    targets = enumerate(dataset.task.targets)
    return [(codes[:, number], len(target.classes)) for number, target in targets]


def _strata(dataset: Dataset, stratify_by: Sequence[str]) -> Iterator[tuple[Ints, int]]:
    """Each class together with each value of a column that occurs with it, numbered likewise."""
    for name in stratify_by:
        if name not in dataset.table:
            raise UsageError(
                "A split is balanced by a column of the data",
                repr(name),
                f"Columns: {some(list(dataset.table.columns), 20)}.",
            )
        values = pd.factorize(dataset.table[name].astype(object).fillna("").astype(str))[0]
        for classes, n_classes in _class_columns(dataset):
            both = np.where(classes >= 0, values.astype(np.int64) * n_classes + classes, -1)
            known, numbers = np.unique(both, return_inverse=True)
            first = int(known[0] < 0)  # the missing ones
            yield numbers.astype(np.int64) - first, len(known) - first


def _gather(
    table: pd.DataFrame, columns: Sequence[tuple[Ints, int]], seed: int | str, linked: Ints | None
) -> tuple[_Units, Ints]:
    """The units with their labels, and the unit (n,) of each row."""
    row_unit, unit_of_patient, patients = link_rows(table, linked)
    row_patient = pd.factorize(table["patient_id"].astype(str))[0].astype(np.int64)
    n_units, n_labels = int(unit_of_patient.max()) + 1, sum(n for _, n in columns) + 1
    pairs, offset = [unit_of_patient * n_labels + (n_labels - 1)], 0
    for numbers, n in columns:
        known = numbers >= 0
        pair = np.unique(row_patient[known] * n_labels + (numbers[known] + offset))
        pairs.append(unit_of_patient[pair // n_labels] * n_labels + pair % n_labels)
        offset += n
    found, n_patients = np.unique(np.concatenate(pairs), return_counts=True)
    of_unit = np.bincount(found // n_labels, minlength=n_units)
    start = np.concatenate([[0], np.cumsum(of_unit)])
    keys = np.full(n_units, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(keys, unit_of_patient, _keys(seed, patients))
    n_images = np.bincount(row_unit)
    return _Units(found % n_labels, n_patients, start, n_labels, n_images, keys), row_unit


def _check_enough(dataset: Dataset, frequency: Ints, n_parts: int) -> None:
    names = [(target.name, label) for target in dataset.task.targets for label in target.classes]
    few = [
        f"class {label!r} of {name!r} with {count(int(n), 'patient')}"
        for (name, label), n in zip(names, frequency, strict=False)
        if 0 < n < n_parts
    ]
    if few:
        raise SplitError(
            f"Every class needs at least {n_parts} patients to stand in each of {n_parts} parts",
            f"{some(few)} (patients who share a picture count as one)",
            "Merge the class into another (--merge), or add patients.",
        )


def _take_turns(units: _Units, shares: npt.NDArray[np.float64]) -> Ints:
    """The part (n_units,) of each unit: group by group of equal labels, the rarest label first."""
    order, ends = _line_up(units)
    part = np.empty(len(order), dtype=np.int64)
    dealt = np.zeros((len(shares), units.n_labels))  # patients so far
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        place = units.of(order[first])
        labels, patients = units.labels[place], units.n_patients[place]
        weights = patients * np.where(labels == units.n_labels - 1, _WEIGHT_OF_ALL, 1.0)
        taken, step = dealt[:, labels] @ weights, float(patients @ weights)
        chosen = _next_parts(taken, step, shares, end - first)
        part[order[first:end]] = chosen
        dealt[:, labels] += np.outer(np.bincount(chosen, minlength=len(shares)), patients)
    return part


def _line_up(units: _Units) -> tuple[Ints, list[int]]:
    """The order of the units, and where each group of equal labels ends.

    Many linked patients come first, while there is room for them everywhere; then the rarest label.
    Within a group units stand by size, in steps of √2, so that each part gets its share of large
    ones, and the line begins at a random place, so that each may come into any part.
    """
    starts = units.start[:-1]
    signs = _keys("label", range(units.n_labels))[units.labels] * units.n_patients.astype(np.uint64)
    _, group = np.unique(np.add.reduceat(signs, starts), return_inverse=True)
    group_key = np.full(int(group.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(group_key, group, units.keys)
    rarity = np.minimum.reduceat(units.frequency()[units.labels], starts)
    most = -units.n_patients[units.start[1:] - 1]
    size = (2 * np.log2(units.n_images)).astype(np.int64)
    order = np.lexsort((units.keys, size, group_key[group], rarity, most))
    ends = np.append(np.flatnonzero(np.diff(group[order])) + 1, len(order))
    sizes = np.diff(ends, prepend=0)
    begin = np.repeat(ends - sizes, sizes)
    turned = (group_key[group[order]] % np.repeat(sizes, sizes).astype(np.uint64)).astype(np.int64)
    place = np.arange(len(order)) - begin + turned
    line = np.empty_like(order)
    line[begin + place % np.repeat(sizes, sizes)] = order
    return line, ends.tolist()


def _next_parts(
    taken: npt.NDArray[np.float64], step: float, shares: npt.NDArray[np.float64], n: int
) -> Ints:
    """The parts (n,) of n equal units, one after the other to the part least ahead of its share.

    `taken` (n_parts,) is what each part has, `step` what one unit adds. The part that is least
    ahead after each turn is that of the n smallest values of (taken + step (turn + ½)) / share.
    """
    if n == 1:
        return np.array([np.argmin((taken + step / 2) / shares)])
    last = step * (n + len(shares)) + taken.sum()  # by here at least n turns have come
    turns = np.clip((last * shares - taken) / step + 1, 0, n).astype(np.int64)
    parts = np.repeat(np.arange(len(shares)), turns)
    turn = np.arange(len(parts)) - np.repeat(np.cumsum(turns) - turns, turns)
    ahead = (taken[parts] + step * (turn + 0.5)) / shares[parts]
    return np.asarray(parts[np.argsort(ahead, kind="stable")[:n]], dtype=np.int64)


def _represent(units: _Units, part: Ints, size: tuple[int, int]) -> Ints:
    """Move single units until every class stands in every part, where that can be done.

    `size` is the number of parts and of classes.
    """
    (n_parts, n_classes), owners = size, units.owners()
    inside = np.zeros((units.n_labels, n_parts), dtype=np.int64)
    np.add.at(inside, (units.labels, part[owners]), 1)
    frequency = units.frequency()[:n_classes]
    for label in np.argsort(frequency, kind="stable").tolist():
        for empty in np.flatnonzero(inside[label] == 0).tolist() if frequency[label] else ():
            giver = int(inside[label].argmax())
            mine = owners[units.labels == label]
            spare = [
                unit
                for unit in mine[part[mine] == giver].tolist()
                if (inside[_classes(units, unit, n_classes), giver] > 1).all()
            ]
            if spare:
                moved = min(spare, key=units.keys.__getitem__)
                inside[units.labels[units.of(moved)], giver] -= 1
                inside[units.labels[units.of(moved)], empty] += 1
                part[moved] = empty
    return part


def _classes(units: _Units, unit: int, n_classes: int) -> Ints:
    """The labels of a unit that are classes."""
    labels = units.labels[units.of(unit)]
    return labels[labels < n_classes]
