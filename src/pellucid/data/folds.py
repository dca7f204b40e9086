"""Other ways to cut a dataset by patient: folds, repeated folds, one site left out at a time.

Each gives the dataset's table with one split column a cut, which is a manifest that `train` reads
back. Knows patients, classes and columns; it reads no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.dealing import deal
from pellucid.data.index import Dataset
from pellucid.data.linking import Ints, link_rows
from pellucid.data.listing import count, some
from pellucid.data.split import FRACTIONS
from pellucid.errors import SplitError, UsageError

MOST_CUTS = 200  # more values than that are an age or an id, not a site
_PARTS = ["train", "validation", "test"]

Bools = npt.NDArray[np.bool_]


def folds_by_patient(
    dataset: Dataset,
    n_folds: int,
    seed: int = 0,
    *,
    repeat: int = 0,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> pd.Series[int]:
    """The fold, 0 … n_folds - 1, of each row: patient-disjoint and stratified like the splits.

    Each `repeat`, from 0, is another deal with the same seed. `linked` and `stratify_by` are those
    of `split_by_patient`.
    """
    if n_folds < 2:
        raise UsageError("The number of folds must be at least 2", str(n_folds))
    key = f"{seed}/{repeat}" if repeat else seed
    shares = [1 / n_folds] * n_folds
    part = deal(dataset, shares, key, linked=linked, stratify_by=stratify_by)
    return pd.Series(part, index=dataset.table.index, name="fold")


def fewest_patients(dataset: Dataset, linked: Ints | None = None) -> int:
    """How many patients the rarest class of a target has; those who share a picture count as one.

    A class without an image does not count.
    """
    units, codes = link_rows(dataset.table, linked)[0], dataset.codes()
    counts = [
        len(np.unique(units[codes[:, number] == code]))
        for number, target in enumerate(dataset.task.targets)
        for code in range(len(target.classes))
        if (codes[:, number] == code).any()
    ]
    return min(counts, default=0)


def cut_into_folds(
    dataset: Dataset,
    n_folds: int,
    *,
    repeats: int = 1,
    seed: int = 0,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """The table with `split_1` … : fold i is test, the next one validation, the rest train."""
    if n_folds < 3:
        raise UsageError("Train, validation and test need at least 3 folds", str(n_folds))
    if not 1 <= repeats <= MOST_CUTS // n_folds:
        raise UsageError(
            f"Folds are dealt at least once, and cut into {MOST_CUTS} splits at most", f"{repeats}"
        )
    cuts = []
    for repeat in range(repeats):
        folds = folds_by_patient(
            dataset, n_folds, seed, repeat=repeat, linked=linked, stratify_by=stratify_by
        )
        for fold in range(n_folds):
            validation = folds == (fold + 1) % n_folds
            cuts.append(np.select([folds == fold, validation], [2, 1], 0))
    times = f", dealt {repeats} times" if repeats > 1 else ""
    note = f"{n_folds} folds by patient with seed {seed}{times}: split_1 … split_{len(cuts)}."
    return _with_cuts(dataset, cuts), [note]


def leave_one_out(
    dataset: Dataset,
    column: str,
    *,
    seed: int = 0,
    linked: Ints | None = None,
    stratify_by: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """The table with `split_1` … , one for each value of a column, such as a site, as the test.

    A patient who was seen at the site that is left out belongs to its test with all images, also
    those of other sites, so that no patient stands on both sides; `linked` patients go with them.
    Rows without a value are left out together, like a site. Validation is set apart from the rest
    by patient. Raises `SplitError` when too little is left to train on.
    """
    values = _values(dataset, column)
    names = sorted(values.unique())
    if not 2 <= len(names) <= MOST_CUTS:
        found = some(names, 3) or "none"
        raise UsageError(f"To leave one out, {column!r} needs 2 to {MOST_CUTS} values", found)
    row_unit, _, _ = link_rows(dataset.table, linked)
    cuts, notes = [], []
    for number, name in enumerate(names, start=1):
        here = (values == name).to_numpy()
        out = np.isin(row_unit, row_unit[here])
        cut = np.full(len(out), 2)
        try:
            _check_classes_left(dataset, ~out)
            cut[~out] = _set_apart(dataset, ~out, seed, linked=linked, stratify_by=stratify_by)
        except SplitError as error:
            rule = f"Without {column} {name}, {error.rule[0].lower()}{error.rule[1:]}"
            raise SplitError(rule, error.found, error.remedy) from error
        cuts.append(cut)
        notes.append(f"split_{number}: test is {column} {name} ({_images(here, out)}).")
    return _with_cuts(dataset, cuts), notes


def _check_classes_left(dataset: Dataset, rest: Bools) -> None:
    """Raise `SplitError` when a class, or everything, is gone from the rest."""
    lost = [
        f"class {label!r} of {target.name!r}"
        for target, codes in zip(dataset.task.targets, dataset.codes().T, strict=True)
        for number, label in enumerate(target.classes)
        if (codes == number).any() and not (codes[rest] == number).any()
    ]
    if lost:
        raise SplitError(
            "Every class must be left to train on",
            f"nobody of {some(lost)}",
            "Merge the class into another (--merge), or leave these images out.",
        )


def _set_apart(
    dataset: Dataset, rest: Bools, seed: int, *, linked: Ints | None, stratify_by: Sequence[str]
) -> Ints:
    """0 for train and 1 for validation for each row of the rest, in their usual shares."""
    share = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
    within = replace(dataset, table=dataset.table[rest])
    groups = None if linked is None else linked[rest]
    return deal(within, (1 - share, share), seed, linked=groups, stratify_by=stratify_by)


def _images(here: Bools, out: Bools) -> str:
    """How many images the test has, and how many come with them from elsewhere."""
    elsewhere = int((out & ~here).sum())
    images = count(int(here.sum()), "image")
    if not elsewhere:
        return images
    return f"{images}, with {count(elsewhere, 'image')} of its patients elsewhere"


def _with_cuts(dataset: Dataset, cuts: Iterable[Ints]) -> pd.DataFrame:
    """The table without its own split, and a column for each cut."""
    columns = {
        f"split_{number}": pd.Categorical.from_codes(cut.astype(np.int8), pd.Index(_PARTS))
        for number, cut in enumerate(cuts, start=1)
    }
    bare = dataset.table.drop(columns="split", errors="ignore")
    return pd.concat([bare, pd.DataFrame(columns, index=bare.index)], axis=1)


def _values(dataset: Dataset, column: str) -> pd.Series[str]:
    if column not in dataset.table:
        known = f"Columns: {some(list(dataset.table.columns), 20)}."
        raise UsageError("There is no such column to leave out", repr(column), known)
    return dataset.table[column].astype(object).fillna("(none)").astype(str)
