"""A picture as 400 numbers: what stands where, how its greys are spread, how its edges run.

Alike for pictures of one kind and far apart for others, whatever the network takes: the audit looks
for odd pictures with it, and a bundle keeps what the training pictures had in common. Knows grey
views; it does not know what a picture should show.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHUNK = 256
_GREYS, _DIRECTIONS, _CELLS = 16, 8, 4
_SIDE = 16

Floats = npt.NDArray[np.float32]


def describe_views(views: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> Floats:
    """These rows of views (n, side, side), as vectors (len(rows), 400), a few read at a time."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    return np.concatenate([_describe(views[chunk]) for chunk in chunks])


def _describe(views: npt.NDArray[np.uint8]) -> Floats:
    """Shape (16 x 16 greys), spread of greys, and directions of edges in 4 x 4 cells."""
    grey = views.astype(np.float32) / np.float32(255)
    n = len(grey)
    small = area_means(grey, views.shape[1] // _SIDE).reshape(n, -1)
    bins = np.minimum(views.reshape(n, -1) // (256 // _GREYS), _GREYS - 1)
    spread = np.stack([(bins == level).mean(axis=1) for level in range(_GREYS)], axis=1)
    return np.concatenate(
        [_unit(small - small.mean(axis=1, keepdims=True)), np.sqrt(spread), _unit(_edges(grey))],
        axis=1,
    ).astype(np.float32)


def _edges(grey: Floats) -> Floats:
    """How much edge there is in each direction and cell, (n, directions * cells * cells)."""
    n, height, width = grey.shape
    across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]
    strength = np.hypot(across, down)
    direction = np.mod(np.arctan2(down, across), np.pi) * (_DIRECTIONS / np.pi)
    side = (min(height, width) - 1) // _CELLS
    kept = slice(None, side * _CELLS)
    cells = [
        np.where((direction >= k) & (direction < k + 1), strength, 0)[:, kept, kept]
        .reshape(n, _CELLS, side, _CELLS, side)
        .mean(axis=(2, 4))
        .reshape(n, -1)
        for k in range(_DIRECTIONS)
    ]
    return np.concatenate(cells, axis=1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-3))


def area_means(pictures: Floats, factor: int) -> Floats:
    """Pictures (n, row, column) made smaller: means of `factor` x `factor` pixels."""
    n, height, width = pictures.shape
    shape = (n, height // factor, factor, width // factor, factor)
    return np.asarray(pictures.reshape(shape).mean(axis=(2, 4)), dtype=np.float32)
