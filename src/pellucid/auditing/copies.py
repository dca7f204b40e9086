"""Copies: the same picture, or nearly the same, where it should not stand twice.

The same picture means equal decoded pixels, whatever the file is; a near-duplicate is a picture
that was resized, compressed again, brightened, cropped by up to 5 % or written on (`resemblance`).
Knows the dataset's labels, patients and splits; it does not know how likeness is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.auditing.findings import Finding, Level, found
from pellucid.auditing.resemblance import find_similar
from pellucid.data.index import Dataset
from pellucid.data.listing import count

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

LEAKED_SHARE = 0.01
"""From this share of a judged split on, near-duplicates of training images are a FAIL."""

JUDGED = ("validation", "test", "external_test")

Rows = npt.NDArray[np.int64]
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Copies:
    """Pairs of rows that show the same picture: (m, 2), the smaller row first, sorted.

    `identical` (m,) says whether their pixels are equal; the others are near-duplicates. Of a group
    of equal pictures each is paired with the first. `told` says whether near-duplicates could be
    told from strangers at all.
    """

    pairs: Rows
    identical: npt.NDArray[np.bool_]
    similarity: npt.NDArray[np.float32]
    told: bool = True

    def groups(self, n_rows: int) -> Rows:
        """A label (n_rows,) for each row, equal where rows are linked through copies."""
        return _components(self.pairs, n_rows)

    def n_copies(self, n_rows: int) -> int:
        """How many of the rows show what one before them shows."""
        return n_rows - len(np.unique(self.groups(n_rows)))


def find_copies(cache: PixelCache, progress: Report | None = None) -> Copies:
    """Look for copies among the readable pictures; pictures of one grey value are left out.

    Each group of identical pictures is represented once in the search for near-duplicates.
    """
    digests = cache.facts["pixel_digest"].where(cache.readable).replace("", None)
    digests = digests.reset_index(drop=True)
    first = digests.dropna().drop_duplicates()
    identical = _pair_with_first(digests, first)
    rows = first.index.to_numpy(dtype=np.int64)
    near = find_similar(cache.views, rows, progress)
    pairs = np.concatenate([identical, near.pairs])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Copies(
        pairs=pairs[order],
        identical=np.arange(len(pairs))[order] < len(identical),
        similarity=np.concatenate([np.ones(len(identical), np.float32), near.similarity])[order],
        told=near.told,
    )


def _pair_with_first(digests: pd.Series[str], first: pd.Series[str]) -> Rows:
    again = digests[digests.notna() & digests.duplicated()]
    leader = again.map(pd.Series(first.index, index=first.to_numpy()))
    return np.stack([leader.to_numpy(dtype=np.int64), again.index.to_numpy(np.int64)], axis=1)


def _components(pairs: Rows, n_rows: int) -> Rows:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_rows, n_rows))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def copy_findings(dataset: Dataset, copies: Copies) -> Iterator[Finding]:
    """Copies across splits, across classes, across patients, and repeated."""
    yield from _findings_of(dataset, copies.pairs[copies.identical], identical=True)
    yield from _findings_of(dataset, copies.pairs[~copies.identical], identical=False)
    if not copies.told:
        yield found(
            "NOTE",
            "near_duplicates_unjudged",
            "Pictures drawn at random are as alike in fine structure as copies are, as in drawn or "
            "simulated data; identical pictures were looked for, near-duplicates were not.",
            remedy="Make sure by other means that no picture was changed and taken in again.",
        )


def _findings_of(dataset: Dataset, pairs: Rows, *, identical: bool) -> Iterator[Finding]:
    """Each group is told under the gravest heading that it falls under, two classes always.

    Two splits and two classes are two faults: who allows the one, or mends it, has not mended the
    other.
    """
    if not len(pairs):
        return
    rows, ends = np.unique(pairs, return_inverse=True)
    table = dataset.table.iloc[rows].assign(group=_components(ends.reshape(pairs.shape), len(rows)))
    left = np.ones(len(table), dtype=bool)
    kind = "identical" if identical else "near_duplicates"
    for where, columns in _headings(dataset).items():
        chosen = _mixed(table, columns) & (left | (where == "_across_classes"))
        left &= ~chosen
        if chosen.any():
            yield _finding(dataset.table, table[chosen], f"{kind}{where}")
    if left.any():
        yield _finding(dataset.table, table[left], kind)


def _headings(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """What copies may lie across, the gravest first, and the columns that tell."""
    headings = {"_across_splits": ("split",), "_across_classes": dataset.task.names}
    return {**headings, "_across_patients": ("patient_id",)} if dataset.patients_known else headings


def _mixed(table: pd.DataFrame, columns: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether each row's group has more than one value of a column; a missing one is none."""
    groups = table.groupby("group")
    mixed = np.zeros(len(table), dtype=bool)
    for name in columns:
        if name in table:
            mixed |= (groups[name].transform("nunique") > 1).to_numpy(dtype=bool)
    return mixed


_WORDS = {
    "_across_splits": (
        "stand in more than one split",
        "Give copies the same patient, or leave copies out.",
    ),
    "_across_classes": (
        "stand in more than one class",
        "Find out which label is right, or leave both out.",
    ),
    "_across_patients": (
        "stand under more than one patient",
        "Find out whose they are; until then they are kept in one split.",
    ),
    "": ("are repeated", "Copies count several times; leave all but one out."),
}


def _finding(whole: pd.DataFrame, table: pd.DataFrame, code: str) -> Finding:
    """A finding on groups of rows; `whole` is the dataset's table."""
    identical = code.startswith("identical")
    kind = "identical" if identical else "near_duplicates"
    what, remedy = _WORDS[code.removeprefix(kind)]
    table = table.sort_values("group", kind="stable")
    groups = [list(ids.astype(str)) for _, ids in table.groupby("group")["image_id"]]
    which = count(len(groups), "identical picture" if identical else "group")
    message = (
        f"{which}{'' if identical else ' of near-duplicates'} "
        f"({count(len(table), 'image')}) {what}."
    )
    rows = table.drop(columns="group")
    level = _level(whole, table, code)
    return found(level, code, message, remedy=remedy, rows=rows, groups=groups)


def _level(whole: pd.DataFrame, table: pd.DataFrame, code: str) -> Level:
    """Equal pixels in two splits or classes cannot be right; near-duplicates by how much leaks."""
    if code in ("identical_across_splits", "identical_across_classes"):
        return "FAIL"
    if code == "near_duplicates_across_splits" and _leaked_share(whole, table) > LEAKED_SHARE:
        return "FAIL"
    return "WARN"


def _leaked_share(whole: pd.DataFrame, table: pd.DataFrame) -> float:
    """The largest share of a judged split that has a copy in train."""
    trained = table.loc[table["split"] == "train", "group"]
    leaked = table[table["group"].isin(trained)]["split"].value_counts()
    sizes = whole["split"].value_counts()
    return max(float(leaked.get(name, 0) / sizes.get(name, 1)) for name in JUDGED)
