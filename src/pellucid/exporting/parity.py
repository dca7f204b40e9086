"""Images for which an exported file must answer as Pellucid does, or it is not exported.

Those that the user gives, or of a run its own, or else synthetic ones of all three cases in several
sizes, grey and in colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import Bundle
from pellucid.errors import CheckFailed, ReadError, UsageError
from pellucid.images.preprocessing import preprocess
from pellucid.images.reading import read_image
from pellucid.outputs import probabilities_from_logits
from pellucid.prediction import predict_logits
from pellucid.prediction.listing import list_images

TOLERANCE = 1e-4  # of a probability
MOST_IMAGES = 32
_SIZES = ((64, 64), (100, 37), (224, 224), (300, 517), (1100, 900), (7, 5))

Pixels = npt.NDArray[np.float32]
Probabilities = list[npt.NDArray[np.float64]]
Images = tuple[list[Pixels], str]  # and what they are
T = TypeVar("T")


class Parity(NamedTuple):
    """How many images were asked, of what kind, and the largest difference of a probability."""

    n_images: int
    images: str
    largest: float


def images_to_ask(model: Path, given: Sequence[Path]) -> Images:
    """Decoded images (channel, row, column) and what they are.

    Raises `ReadError` for one of those given that cannot be read.
    """
    if given:
        listed = _some(list_images(given))
        return [read_image(one.path, one.frame).pixels for one in listed], "the images given"
    index = model / "index.csv"
    if index.is_file():
        table = pd.read_csv(index, dtype=str)
        table = table[table["split"].isin(["test", "validation"])]
        paths = [Path(name) for name in table["image_path"].dropna().unique()]
        if images := _read(_some([path for path in paths if path.is_file()])):
            return images, "images of the run"
    return _synthetic(), "synthetic images"


def check_parity(
    bundle: Bundle, answer: Callable[[Pixels], Probabilities], images: Images
) -> Parity:
    """Hold the answers for images against those of torch; raises `CheckFailed`."""
    if not images[0]:
        raise UsageError("An exported model is checked on images", f"none of {images[1]}")
    largest = 0.0
    for pixels in images[0]:
        square = preprocess(pixels, bundle.preprocessing)[np.newaxis]
        logits = predict_logits(bundle.classifier, square, bundle.preprocessing)
        for target, found in zip(bundle.task.targets, answer(pixels), strict=True):
            part = bundle.task.slices()[target.name]
            expected = probabilities_from_logits(logits[:, part], target)
            largest = max(largest, float(np.abs(expected - found).max()))
    if not largest <= TOLERANCE:
        rule = f"An exported model gives Pellucid's probabilities to {TOLERANCE:g}"
        found_gap = f"a difference of {largest:.2g} on {len(images[0])} of {images[1]}"
        raise CheckFailed(rule, found_gap, "Nothing was exported.")
    return Parity(len(images[0]), images[1], largest)


def _some(items: list[T]) -> list[T]:
    """At most as many as are asked, from the whole list: a folder begins with one class."""
    return items[:: -(-len(items) // MOST_IMAGES) or 1]


def _read(paths: list[Path]) -> list[Pixels]:
    found = []
    for path in paths:
        try:
            found.append(read_image(path).pixels)
        except ReadError:
            continue
    return found


def _synthetic() -> list[Pixels]:
    """Shades, discs and noise, since no picture comes with the package."""
    generator = np.random.default_rng(0)
    found = []
    for height, width in _SIZES:
        rows, columns = np.mgrid[:height, :width] / max(height, width)
        disc = np.hypot(rows - 0.4, columns - 0.5) < 0.2
        noise = generator.normal(0, 0.05, (height, width))
        grey = np.clip(0.3 * rows + 0.5 * disc + noise + 0.1, 0, 1)[np.newaxis]
        colour = grey * generator.uniform(0.5, 1, (3, 1, 1))
        found += [grey.astype(np.float32), colour.astype(np.float32)]
    return found
