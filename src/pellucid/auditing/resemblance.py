"""Which pictures of a data set may be copies of each other, found without comparing all pairs.

Each picture becomes 128 numbers; its nearest neighbours in that space are the candidates, and each
candidate pair is then laid over each other (see `registration`). Knows grey views; it does not know
patients, classes or splits.

Sources: PCA with whitening as in Jegou and Chum, "Negative evidences and co-occurences in image
retrieval" (ECCV 2012); the index is faiss (Johnson, Douze and Jegou 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.auditing.registration import normalise, register, similarity, warped
from pellucid.images.describing import Floats, area_means

Views = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Report = Callable[[int, int], None]

SIMILAR = 0.75
"""From here on a pair counts as near-duplicates; `benchmarks/near_duplicates.py` measures it."""

TOLD_UP_TO = 0.97
"""Where strangers ask for a threshold above this, copies cannot be told from them."""

_STRANGERS = 500  # random pairs that show how alike pictures are which are no copies
_FEW = 20  # pictures; fewer, and random pairs may well be the copies
_SPREADS = 4.0  # above their median, in robust standard deviations

_DIMENSIONS = 128
_NEIGHBOURS = 5
_CROP = -0.10  # a query cut by 5 % on each side, whose nearest may be cropped so
_EXACT_UP_TO = 20_000  # pictures; above, the index looks into a few cells only
_CELLS_LOOKED_INTO = 16
_CHUNK = 256
_COARSE_SIDE = 32


@dataclass(frozen=True)
class Sketches:
    """The small pictures that candidates are found and first compared by.

    `queries` are unit vectors (2, n, d): of the whole picture and of its inner part; `coarse` are
    normalised pictures (n, 32, 32); `keys` (n,) are numbers that depend on the picture alone.
    """

    queries: Floats
    coarse: npt.NDArray[np.float16]
    keys: Rows

    def by_content(self) -> tuple[Sketches, Rows]:
        """The same in an order that the pictures decide, and that order (n,)."""
        order = np.argsort(self.keys, kind="stable")
        return Sketches(self.queries[:, order], self.coarse[order], self.keys[order]), order


class Similar(NamedTuple):
    """Near-duplicates: pairs of rows (m, 2), the smaller row first, sorted, and how alike they are.

    `threshold` is the similarity that they passed; above `TOLD_UP_TO` there are no pairs, since the
    data set's strangers are as alike as copies.
    """

    pairs: Rows
    similarity: Floats
    threshold: float

    @property
    def told(self) -> bool:
        """Whether copies could be told from strangers."""
        return self.threshold <= TOLD_UP_TO


def find_similar(
    views: Views, rows: Rows, progress: Report | None = None, workers: int = 2
) -> Similar:
    """The near-duplicates among `rows` of the views (n, 128, 128), whatever their order.

    Which picture of a pair is laid over the other, and which strangers are drawn, moves a pair that
    lies at the threshold; so pictures decide it, and not the order of files.
    """
    nothing = Similar(np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.float32), SIMILAR)
    if len(rows) < 2:
        return nothing
    sketches, order = sketch(views, rows).by_content()
    rows = rows[order]
    threshold = _threshold(views, rows, sketches.coarse)
    if threshold > TOLD_UP_TO:
        return nothing._replace(threshold=threshold)
    pairs = find_candidates(sketches.queries)
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    found = []
    with ThreadPoolExecutor(workers) as pool:
        compared = pool.map(lambda chunk: _compare(views, rows, sketches.coarse, chunk), chunks)
        for number, similar in enumerate(compared, start=1):
            found.append(similar)
            if progress:
                progress(len(rows) * number // len(chunks), len(rows))
    alike = np.concatenate(found)
    kept = np.flatnonzero(alike >= threshold)
    found_pairs = np.sort(rows[pairs[kept]], axis=1)
    by_row = np.lexsort((found_pairs[:, 1], found_pairs[:, 0]))
    return Similar(found_pairs[by_row], alike[kept[by_row]], threshold)


def _threshold(views: Views, rows: Rows, coarse: npt.NDArray[np.float16]) -> float:
    """`SIMILAR`, or more where pictures drawn at random are already alike in fine structure.

    So it is with drawn or simulated pictures, which share their outlines to the pixel.
    """
    if len(rows) < _FEW:
        return SIMILAR
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(rows), (_STRANGERS, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    first, second = (coarse[pairs[:, side]].astype(np.float32) for side in (0, 1))
    alike = _look_closely(views, rows, pairs, register(first, second))
    alike = alike[alike > -1]
    if len(alike) < _STRANGERS // 10:
        return SIMILAR
    median = float(np.median(alike))
    spread = 1.4826 * float(np.median(np.abs(alike - median)))
    return max(SIMILAR, median + _SPREADS * spread)


def sketch(views: Views, rows: Rows) -> Sketches:
    """The sketches of some rows of the views; the whitening is learnt from these rows."""
    raw, coarse, keys = [], [], []
    for start in range(0, len(rows), _CHUNK):
        block = views[rows[start : start + _CHUNK]]
        raw.append(_raw_queries(block))
        coarse.append(area_means(normalise(block, 6.0), block.shape[1] // _COARSE_SIDE))
        keys.append(_keys(block))
    queries = _whitened(np.concatenate(raw, axis=1))
    return Sketches(queries, np.concatenate(coarse).astype(np.float16), np.concatenate(keys))


def _keys(views: Views) -> Rows:
    """A number (n,) of each picture: its greys, each times a fixed number, added up exactly."""
    pixels = views[0].size
    weights = np.random.default_rng(0).integers(0, 2**24, pixels).astype(np.float64)
    return np.asarray(views.reshape(len(views), -1).astype(np.float64) @ weights, dtype=np.int64)


def find_candidates(queries: Floats) -> Rows:
    """Pairs (m, 2) of the nearest neighbours of each query (2, n, d), each pair once, sorted."""
    n = queries.shape[1]
    index = _build_index(queries[0])
    pairs = []
    for part in queries:
        _, nearest = index.search(np.ascontiguousarray(part), min(n, _NEIGHBOURS + 1))
        own = np.repeat(np.arange(n, dtype=np.int64), nearest.shape[1])
        pair = np.stack([own, nearest.ravel().astype(np.int64)], axis=1)
        pairs.append(pair[(pair[:, 1] >= 0) & (pair[:, 0] != pair[:, 1])])
    return np.asarray(np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0))


def _build_index(vectors: Floats) -> Any:
    """An index of unit vectors by inner product: exact while that is cheap, in cells above."""
    import faiss

    vectors = np.ascontiguousarray(vectors)
    n, dimensions = vectors.shape
    flat = faiss.IndexFlatIP(dimensions)
    if n <= _EXACT_UP_TO:
        flat.add(vectors)
        return flat
    cells = int(4 * np.sqrt(n))
    index = faiss.IndexIVFFlat(flat, dimensions, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = 64
    index.cp.niter = 10
    index.train(vectors)
    index.add(vectors)
    index.nprobe = _CELLS_LOOKED_INTO
    return index


def _raw_queries(views: Views) -> Floats:
    """16 x 16 numbers of each picture and of its inner part, (2, n, 256), mean 0 and length 1."""
    small = area_means(views.astype(np.float32), views.shape[1] // _COARSE_SIDE)
    inner = np.tile(np.array([_CROP, 0, _CROP, 0], dtype=np.float32), (len(small), 1))
    parts = [small, warped(small, inner)[0]]
    flat = np.stack([normalise(area_means(part, 2), 3.0).reshape(len(part), -1) for part in parts])
    flat -= flat.mean(axis=-1, keepdims=True)
    return _unit(flat)


def _whitened(raw: Floats) -> Floats:
    """The leading principal components, each with the same spread, as unit vectors.

    What all pictures of a data set share, such as the shape of a chest, weighs no more than what
    tells them apart.
    """
    mean = raw[0].mean(axis=0)
    centred = raw[0] - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    keep = np.flatnonzero(variances > variances[-1] * 1e-6)[-_DIMENSIONS:]
    basis = directions[:, keep] / np.sqrt(np.maximum(variances[keep], 1e-12))
    return _unit(np.asarray((raw - mean) @ basis, dtype=np.float32))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def _compare(views: Views, rows: Rows, coarse: npt.NDArray[np.float16], pairs: Rows) -> Floats:
    """How alike the pictures of each pair are; only hopeful pairs are looked at closely."""
    first, second = (coarse[pairs[:, side]].astype(np.float32) for side in (0, 1))
    warp = register(first, second)
    alike = similarity(first, second, warp)
    hopeful = np.flatnonzero(alike >= SIMILAR)
    if len(hopeful):
        alike[hopeful] = _look_closely(views, rows, pairs[hopeful], warp[hopeful])
    return alike


def _look_closely(views: Views, rows: Rows, pairs: Rows, warp: Floats) -> Floats:
    drawn, place = np.unique(pairs, return_inverse=True)  # a picture may stand in many pairs
    close = _close(views, rows[drawn])
    first, second = (close[place.reshape(pairs.shape)[:, side]] for side in (0, 1))
    return similarity(first, second, register(first, second, warp))


def _close(views: Views, rows: Rows) -> Floats:
    return area_means(normalise(views[rows], 6.0), 2)
