"""Images for which an exported file must answer as Pellucid does, or it is not exported.

Those that the user gives, or of a run its own, or else synthetic ones of all three cases in several
sizes, grey and in colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import Bundle
from pellucid.errors import CheckFailed, ReadError
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


class Parity(NamedTuple):
    """How many images were asked, of what kind, and the largest difference of a probability."""

    n_images: int
    images: str
    largest: float


def images_to_ask(model: Path, given: Sequence[Path]) -> tuple[list[Pixels], str]:
    """Decoded images (channel, row, column) and what they are."""
    if given:
        return _read([listed.path for listed in list_images(given)]), "the images given"
    index = model / "index.csv"
    if index.is_file():
        table = pd.read_csv(index, dtype=str)
        table = table[table["split"].isin(["test", "validation"])]
        paths = [Path(name) for name in table["image_path"].dropna().unique()]
        step = max(1, len(paths) // MOST_IMAGES)
        if images := _read([path for path in paths[::step] if path.is_file()]):
            return images, "images of the run"
    return _synthetic(), "synthetic images"


def check_parity(
    bundle: Bundle, answer: Callable[[Pixels], Probabilities], images: tuple[list[Pixels], str]
) -> Parity:
    """Hold the answers for images against those of torch; raises `CheckFailed`."""
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


def _read(paths: list[Path]) -> list[Pixels]:
    found = []
    for path in paths[:MOST_IMAGES]:
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
