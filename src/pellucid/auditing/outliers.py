"""Pictures unlike all others: another body part, another modality, a screenshot among scans.

Each picture is described by its grey values and the directions of its edges; odd is what is far
from its neighbours and badly put together from what the others share. Knows grey views; it does not
know what a picture should show, and finds single strangers, not a second population.

Sources: k nearest neighbours after Ramaswamy et al. (SIGMOD 2000); reconstruction from principal
components after Jackson and Mudholkar (Technometrics 1979); the threshold by peaks over threshold
(Pickands 1975).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pellucid.auditing.findings import GROUP_SIZE, Finding, found
from pellucid.data.index import Dataset
from pellucid.data.listing import count
from pellucid.images.describing import Floats, describe_views

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

LEAST_PICTURES = 100
"""Below it nobody can say what is usual."""

EXPECTED_FALSE_ALARMS = 3.0  # of a whole data set whose oddness has an exponential tail
MORE_THAN_CHANCE = 8  # so many would come by chance in one clean data set of eighty
_LEAST_ODDNESS = 4.5  # robust deviations; a data set without a tail has no odd pictures
_NEIGHBOUR = 20  # so that a few strangers do not vouch for each other
_COMPONENTS = 16
_SPACE = 24  # dimensions in which neighbours are looked for
_COMPARED_WITH = 20_000  # pictures; beyond, a sample stands for all


def find_outliers(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """One finding with the odd pictures, the oddest first, beside a typical one."""
    digests = cache.facts["pixel_digest"].fillna("").to_numpy(dtype=object)
    rows = np.flatnonzero(cache.readable & (digests != ""))
    if len(rows) < LEAST_PICTURES:
        return
    oddness = measure_oddness(cache.views, rows)
    odd = np.flatnonzero(oddness > _threshold(oddness))
    if not len(odd):
        return
    odd = odd[np.argsort(-oddness[odd], kind="stable")]
    typical = np.argsort(oddness, kind="stable")[: GROUP_SIZE - 2]
    ids = dataset.table["image_id"].astype(str).to_numpy(dtype=object)[rows]
    beside = list(ids[odd[: GROUP_SIZE - len(typical)]]) + list(ids[typical])
    verb = "is" if len(odd) == 1 else "are"
    yield found(
        "WARN" if len(odd) >= MORE_THAN_CHANCE else "NOTE",
        "outliers",
        f"{count(len(odd), 'picture')} {verb} unlike all others.",
        remedy="Look whether they belong here: first the oddest, then typical ones beside them.",
        rows=dataset.table.iloc[rows[odd]],
        groups=[beside],
        figures={"oddest": round(float(oddness[odd[0]]), 2), "pictures": len(rows)},
    )


def measure_oddness(views: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> Floats:
    """How odd each of the rows of the views is, (n,), in robust deviations from what is usual."""
    described = describe_views(views, rows)
    usual = _sample(len(rows))
    centred = described - np.median(described[usual], axis=0).astype(np.float32)
    bulk = centred[usual[_inner(centred[usual])]]  # a stranger must not shape what is usual
    _, spreads, directions = np.linalg.svd(bulk, full_matrices=False)
    shared = directions[:_COMPONENTS]
    left = ((centred - (centred @ shared.T) @ shared) ** 2).sum(axis=1)
    scale = np.sqrt(spreads[:_SPACE] / np.sqrt(len(bulk)) + 1e-9)
    space = np.ascontiguousarray(centred @ directions[:_SPACE].T / scale, dtype=np.float32)
    near = _distance_to_neighbour(space, usual)
    parts = [_deviations(np.log(np.maximum(part, 1e-12))) for part in (near, left)]
    return np.asarray(sum(parts) / 1.5, dtype=np.float32)


def _sample(n: int) -> npt.NDArray[np.int64]:
    """The rows that stand for all: every one, or always the same sample."""
    if n <= _COMPARED_WITH:
        return np.arange(n, dtype=np.int64)
    chosen = np.random.default_rng(0).choice(n, _COMPARED_WITH, replace=False)
    return np.sort(chosen).astype(np.int64)


def _inner(centred: Floats) -> npt.NDArray[np.bool_]:
    """The nine tenths nearest to the median."""
    distance = np.linalg.norm(centred, axis=1)
    return np.asarray(distance <= np.quantile(distance, 0.9))


def _distance_to_neighbour(space: Floats, usual: npt.NDArray[np.int64]) -> Floats:
    """The distance of each picture to its 20th neighbour, itself not counted."""
    import faiss

    index = faiss.IndexFlatL2(space.shape[1])
    index.add(np.ascontiguousarray(space[usual]))
    squared, _ = index.search(space, min(_NEIGHBOUR + 1, len(usual)))
    return np.asarray(np.sqrt(np.maximum(squared[:, -1], 0)), dtype=np.float32)


def _deviations(values: Floats) -> Floats:
    """Distance from the median in units of the median absolute deviation (times 1.4826)."""
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    return np.asarray((values - median) / max(float(spread), 1e-9), dtype=np.float32)


def _threshold(oddness: Floats) -> float:
    """What one picture of such a data set would be expected to pass by chance.

    Beyond its 95th percentile oddness falls off exponentially; how fast is told by the
    97.5th, which a few strangers do not move.
    """
    start, half = np.quantile(oddness, [0.95, 0.975])
    decay = (half - start) / np.log(2)
    chance = start + decay * np.log(0.05 * len(oddness) / EXPECTED_FALSE_ALARMS)
    return max(_LEAST_ODDNESS, float(chance))
