"""Features of edges: a small histogram of oriented gradients (HOG).

Source: Dalal and Triggs, "Histograms of oriented gradients for human detection" (CVPR 2005), with
cells so large that only the layout is kept. Computed by scikit-image.
"""

from __future__ import annotations

import numpy as np

from pellucid.classical.pictures import Bytes, Features

CELLS = 4  # on each side
ORIENTATIONS = 8


def edges(pictures: Bytes) -> Features:
    """`edges.hog.r<row>c<column>.o<orientation>` of uint8 (m, row, column).

    Each cell is normalised alone, so a feature says how its edges are turned, not how strong they
    are. Orientations are those of the gradient in steps of 22.5°: 0 where grey changes along a row,
    so of an upright edge, and 4 of a level one. A cell without edges has zeros.
    """
    from skimage.feature import hog

    _, height, width = pictures.shape
    cell = (height // CELLS, width // CELLS)
    values = np.stack(
        [
            hog(one, ORIENTATIONS, cell, (1, 1), block_norm="L2-Hys", feature_vector=False)
            for one in pictures
        ]
    )
    return {
        f"edges.hog.r{row}c{column}.o{orientation}": values[:, row, column, 0, 0, orientation]
        for row in range(CELLS)
        for column in range(CELLS)
        for orientation in range(ORIENTATIONS)
    }
