"""Deletion and insertion: the score falls where the evidence lies, if the map says truly where.

Pixels are taken out of an image in the order of its map, and the probability of the goal's class
is read off on the way; or put into a blurred image in that order (Petsiuk, Das and Saenko 2018).
The comparison is not with single random pixels, which hardly hide anything, but with random maps
that are exactly as smooth as the map itself.

What it does not show: an image with pixels taken out is none that the network was trained on, so
a fall of the score may come from the patch rather than from what it hides. The random maps make
patches of the same kind, which answers this in part only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.faithfulness.random_maps import random_maps, rank_pixels
from pellucid.explanation.goals import Goal, check_pixels, find_target, goals_of_each
from pellucid.network.classifier import evaluating
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits

BLUR = 1 / 8  # of the image's side: the standard deviation that leaves no detail of a lesion
REPLACED = ("blur", "mean")

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Removal:
    """Probabilities of the goals' classes while pixels go, or come.

    `shares` (k + 1,) of the pixels, from 0 to 1; the curves are (n, k + 1): of the map, and of the
    random maps, averaged over them.
    """

    shares: Floats
    deletion: Floats
    random_deletion: Floats
    insertion: Floats
    random_insertion: Floats

    @property
    def deletion_gains(self) -> Floats:
        """By how much the area under the curve (n,) is smaller than at random; above 0 is good."""
        return self.area(self.random_deletion) - self.area(self.deletion)

    @property
    def insertion_gains(self) -> Floats:
        """By how much the area under the curve (n,) is larger than at random; above 0 is good."""
        return self.area(self.insertion) - self.area(self.random_insertion)

    def area(self, curves: Floats) -> Floats:
        """The area (n,) under curves (n, k + 1), by trapezia; between 0 and 1."""
        return np.asarray(np.trapezoid(curves, self.shares, axis=1))


def deletion_insertion(
    bundle: Bundle,
    pixels: Pixels,
    goals: Goal | Sequence[Goal],
    maps: npt.NDArray[Any],
    *,
    steps: int = 10,
    rankings: int = 3,
    replaced: str = "blur",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Removal:
    """Curves of deletion and insertion of images (n, C, S, S) in the order of `maps` (n, S, S).

    The highest values go first, in `steps` equal parts; equal values go in the order of a random
    field, by `seed`. Each image is also measured with `rankings` random maps. `replaced` is what
    stands where pixels are missing: "blur", the image blurred by an eighth of its side, or "mean",
    its own mean. Raises `UsageError`.
    """
    images = check_pixels(pixels, bundle.spec)
    each = goals_of_each(bundle.task, goals, len(images))
    _check(images, maps, steps, rankings, replaced)
    random = np.random.default_rng(seed)
    found = np.zeros((len(images), 1 + rankings, 2, steps + 1))
    with evaluating(bundle.classifier):
        for i, (image, heat) in enumerate(zip(images, np.asarray(maps, np.float64), strict=True)):
            ranked = rank_pixels(np.stack([heat, *random_maps(heat, rankings, random)]), random)
            masked = _masked(image, _without(image, replaced), ranked, steps)
            scores = goal_probabilities(bundle, masked.reshape(-1, *image.shape), each[i])
            found[i] = scores.reshape(found[i].shape)
            if progress:
                progress(i + 1, len(images))
    random_curves = found[:, 1:].mean(axis=1)
    return Removal(
        shares=np.linspace(0, 1, steps + 1),
        deletion=found[:, 0, 0],
        random_deletion=random_curves[:, 0],
        insertion=found[:, 0, 1],
        random_insertion=random_curves[:, 1],
    )


def goal_probabilities(bundle: Bundle, pixels: Pixels, goal: Goal) -> Floats:
    """The probability (n,) of the goal's class for images (n, C, S, S)."""
    target = find_target(bundle.task, goal.target)
    logits = predict_logits(bundle.classifier, pixels, bundle.preprocessing)
    block = logits[:, bundle.task.slices()[target.name]]
    return probabilities_from_logits(block, target)[:, target.classes.index(goal.label)]


def _masked(
    image: Pixels, without: Pixels, ranked: npt.NDArray[np.int64], steps: int
) -> npt.NDArray[np.uint8]:
    """(rankings, 2, steps + 1, C, S, S): the image while pixels go, and while they come."""
    cuts = np.linspace(0, ranked[0].size, steps + 1).round()
    is_first = (ranked[:, None] < cuts[:, None, None])[:, :, None]
    deleted = np.where(is_first, without, image)
    inserted = np.where(is_first, image, without)
    return np.stack([deleted, inserted], axis=1)


def _without(image: Pixels, replaced: str) -> Pixels:
    """What stands where pixels of the image (C, S, S) are missing."""
    planes = image.astype(np.float64)
    if replaced == "mean":
        filled = np.broadcast_to(planes.mean(axis=(1, 2), keepdims=True), planes.shape)
    else:
        sigma = BLUR * image.shape[-1]
        filled = gaussian_filter(planes, (0, sigma, sigma), mode="nearest")
    return np.asarray(filled.round().astype(np.uint8))


def _check(
    images: Pixels, maps: npt.NDArray[Any], steps: int, rankings: int, replaced: str
) -> None:
    shape = (len(images), *images.shape[2:])
    if np.shape(maps) != shape:
        raise UsageError(f"There is one map an image, together {shape}", str(np.shape(maps)))
    if not np.isfinite(maps).all():
        raise UsageError("A map holds finite numbers", "NaN or infinite")
    if replaced not in REPLACED:
        raise UsageError(f"Missing pixels are replaced by one of {REPLACED}", repr(replaced))
    for name, number, most in (("steps", steps, 100), ("rankings", rankings, 20)):
        if not 1 <= number <= most:
            raise UsageError(f"{name} is between 1 and {most}", str(number))
