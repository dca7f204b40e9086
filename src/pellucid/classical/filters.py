"""Features of filters: Sobel, mean, and small patches learned from training pictures.

A patch is matched everywhere by normalised cross-correlation, which is what a convolution layer
does with a fixed filter and a normalised window; its largest response is the lecture's max pooling.
Sources: Sobel and Feldman 1968; Lewis, "Fast normalized cross-correlation" (1995); Coates, Ng and
Lee, "An analysis of single-layer networks in unsupervised feature learning" (2011), for patches
that are centres of clusters.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pellucid.classical.one_thread import one_thread
from pellucid.classical.pictures import Bytes, Features, Floats, Rows, chunks, reduced

SIZES = (3, 5, 9, 17)  # of the mean filters, in pixels
N_PATCHES = 24
PATCH_SIDE = 64  # patches are matched in pictures of at most this size
_PICTURES, _WINDOWS = 400, 20  # pictures patches are learned from, and windows of each
_CONTRAST = 4.0  # grey levels of deviation; a fainter window is noise
_FLAT = 0.5  # squared norm; one pixel one level off its surroundings has more


@dataclass(frozen=True)
class Patches:
    """Filters (k, size, size), float32, each with mean 0 and norm 1; k may be 0.

    `n_pictures` says from how many pictures they were learned.
    """

    filters: Floats
    n_pictures: int = 0


NO_PATCHES = Patches(np.zeros((0, 3, 3), dtype=np.float32))


def filters(pictures: Bytes, patches: Patches = NO_PATCHES) -> Features:
    """`filters.…` of uint8 (m, row, column).

    Sobel magnitudes and differences from the mean filters are in grey levels; responses to patches
    are in [-1, 1].
    """
    return _sobel(pictures) | _means(pictures) | _responses(pictures, patches)


def fit_patches(pixels: Bytes, rows: Rows, *, seed: int, n_patches: int = N_PATCHES) -> Patches:
    """Patches learned from these rows of uint8 (n, channel, row, column), by k-means.

    Give rows of train only, in an order that does not depend on the files. Labels are not used.
    Fewer patches come back where the pictures have fewer different windows, and none from constant
    pictures.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    random = np.random.default_rng(seed)
    chosen = random.permutation(rows)[:_PICTURES]
    found = list(_windows(pixels, chosen, random))
    windows = np.concatenate(found) if found else np.zeros((0, 1, 1), dtype=np.float32)
    k = min(n_patches, len(np.unique(windows.round(3), axis=0)))
    if k < 1:
        return NO_PATCHES
    means = KMeans(k, n_init=1, random_state=seed % 2**32)
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer clusters than asked for
        centres = means.fit(windows.reshape(len(windows), -1)).cluster_centers_
    order = np.argsort(-np.bincount(means.labels_, minlength=k), kind="stable")
    return Patches(_normalised(centres[order].reshape(k, *windows.shape[1:])), len(chosen))


def _windows(pixels: Bytes, rows: Rows, random: np.random.Generator) -> Iterator[Floats]:
    """Normalised windows with some contrast, from random places of each picture."""
    for pictures in chunks(pixels, rows):
        small = reduced(pictures, PATCH_SIDE)
        views = _sliding(small, _patch_size(small))
        m, height, width = views.shape[:3]
        down, across = random.integers(0, (height, width), (m, _WINDOWS, 2)).transpose(2, 0, 1)
        taken = views[np.arange(m)[:, np.newaxis], down, across].astype(np.float32)
        taken = taken.reshape(-1, *views.shape[3:])
        yield _normalised(taken[taken.std(axis=(1, 2)) >= _CONTRAST])


def _patch_size(pictures: Bytes) -> int:
    """About a seventh of the picture, odd: 9 of 64 pixels, 5 of 28."""
    side: int = min(pictures.shape[1:])
    return max(3, side // 7 | 1)


def _sliding(pictures: Bytes, size: int) -> Bytes:
    return np.lib.stride_tricks.sliding_window_view(pictures, (size, size), axis=(1, 2))


def _normalised(windows: Floats) -> Floats:
    """Mean 0 and norm 1; an even window stays 0."""
    centred = windows - windows.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(centred / np.where(norms > 0, norms, 1), dtype=np.float32)


def correlate(pictures: Bytes, patches: Patches) -> Floats:
    """Normalised cross-correlation (m, row, column, k), only where a patch fits whole.

    An even window has no direction and gives 0.
    """
    size = patches.filters.shape[1]
    windows = _sliding(pictures, size)
    flat = windows.reshape(*windows.shape[:3], size * size).astype(np.float32)
    along = flat @ patches.filters.reshape(len(patches.filters), -1).T
    # Sums of bytes and of their squares are whole numbers below 2**24, so exact in float32.
    square = np.einsum("mrcw,mrcw->mrc", flat, flat) - flat.sum(axis=3) ** 2 / size**2
    scale = np.where(square > _FLAT, 1 / np.sqrt(np.maximum(square, _FLAT)), 0)
    return np.asarray(along * scale[..., np.newaxis], dtype=np.float32)


def _responses(pictures: Bytes, patches: Patches) -> Features:
    """How well each patch fits anywhere (its maximum), and how much all over (mean magnitude)."""
    if not len(patches.filters):
        return {}
    found = correlate(reduced(pictures, PATCH_SIDE), patches)
    largest, overall = found.max(axis=(1, 2)), np.abs(found).mean(axis=(1, 2))
    features: Features = {}
    for number in range(len(patches.filters)):
        features[f"filters.patch.max.p{number:02d}"] = largest[:, number]
        features[f"filters.patch.mean.p{number:02d}"] = overall[:, number]
    return features


def _magnitudes(picture: Bytes) -> Floats:
    """Sobel's magnitude of each pixel, flat."""
    from skimage.filters import sobel

    found = sobel(picture.astype(np.float32))  # type: ignore[no-untyped-call]
    return np.asarray(found, dtype=np.float32).ravel()


def _sobel(pictures: Bytes) -> Features:
    flat = np.stack([_magnitudes(one) for one in pictures])
    features: Features = {
        "filters.sobel.mean": flat.mean(axis=1),
        "filters.sobel.deviation": flat.std(axis=1),
        "filters.sobel.max": flat.max(axis=1),
    }
    for percent in (50, 90, 99):
        features[f"filters.sobel.percentile.{percent}"] = np.percentile(flat, percent, axis=1)
    return features


def _means(pictures: Bytes) -> Features:
    """What a mean filter takes away at each scale: the mean magnitude of it, and its deviation."""
    features: Features = {}
    grey = pictures.astype(np.float32)
    for size in SIZES:
        away = grey - ndimage.uniform_filter(grey, (0, size, size), mode="nearest")
        features[f"filters.mean.difference.s{size:02d}"] = np.abs(away).mean(axis=(1, 2))
        features[f"filters.mean.deviation.s{size:02d}"] = away.std(axis=(1, 2))
    return features
