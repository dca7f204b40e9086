"""Features of texture: grey-level co-occurrence (GLCM) and uniform local binary patterns (LBP).

Sources: Haralick, Shanmugam and Dinstein, "Textural features for image classification" (1973);
Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture
classification with local binary patterns" (2002). Computed by scikit-image.
"""

from __future__ import annotations

import numpy as np

from pellucid.classical.pictures import Bytes, Features

LEVELS = 32  # grey levels that the GLCM tells apart, of 8 each
DISTANCES = (1, 2, 4)  # pixels
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
RADII = {1: 8, 2: 16}  # pixels, and how many neighbours are compared


def texture(pictures: Bytes) -> Features:
    """`texture.…` of uint8 (m, row, column)."""
    return _cooccurrence(pictures) | _binary_patterns(pictures)


def _cooccurrence(pictures: Bytes) -> Features:
    """Each property at each distance, averaged over the four angles (Haralick's mean).

    A turn by 90° or a reflection changes none of them. Correlation is 1 for a constant picture, as
    scikit-image has it.
    """
    from skimage.feature import graycomatrix, graycoprops

    matrices = []
    for one in pictures // (256 // LEVELS):
        matrix = graycomatrix(  # type: ignore[no-untyped-call]
            one, DISTANCES, ANGLES, levels=LEVELS, symmetric=True, normed=True
        )
        matrices.append(matrix)
    side_by_side = np.concatenate(matrices, axis=2)  # pictures take the place of distances
    features: Features = {}
    for name in PROPERTIES:
        found = graycoprops(side_by_side, name)  # type: ignore[no-untyped-call]
        values = found.reshape(len(pictures), len(DISTANCES), -1)
        for number, distance in enumerate(DISTANCES):
            features[f"texture.glcm.{name}.d{distance}"] = values[:, number].mean(axis=1)
    return features


def _binary_patterns(pictures: Bytes) -> Features:
    """The share of each pattern; the last bin is of all that are not uniform.

    Only the order of grey levels counts, so a brighter or more contrasted picture gives the same.
    Pixels at the border, whose neighbours lie outside, are left out.
    """
    from skimage.feature import local_binary_pattern

    features: Features = {}
    for radius, neighbours in RADII.items():
        bins = neighbours + 2
        shares = np.empty((len(pictures), bins))
        for row, picture in zip(shares, pictures, strict=True):
            patterns = local_binary_pattern(  # type: ignore[no-untyped-call]
                picture, neighbours, radius, method="uniform"
            )
            inner = patterns[radius:-radius, radius:-radius].astype(np.int64)
            row[:] = np.bincount(inner.ravel(), minlength=bins) / inner.size
        for number, share in enumerate(shares.T):
            features[f"texture.lbp.r{radius}.bin{number:02d}"] = share
    return features
