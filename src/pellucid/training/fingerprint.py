"""Measuring what the plan's rules want to know of a dataset.

Sizes and colour come from a sample of the images, since most datasets are of one kind; labels and
patients from the table. The rules themselves stand in `rules`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.data.index import Dataset
from pellucid.errors import DataError, ReadError
from pellucid.images.reading import read_image
from pellucid.training.rules import Fingerprint

SAMPLE = 48
GREY_TOLERANCE = 8 / 255  # JPEG turns a grey picture's channels apart by a few levels


def measure_fingerprint(dataset: Dataset) -> Fingerprint:
    """What the plan's rules want to know; sizes and colour from a sample of the images."""
    table = dataset.table
    given = int((table["split"] == "train").sum()) if "split" in table else 0
    heights, widths, coloured = _measure_sample(table)
    counts = {
        target.name: tuple(int((codes == code).sum()) for code in range(len(target.classes)))
        for target, codes in zip(dataset.task.targets, dataset.codes().T, strict=True)
    }
    return Fingerprint(
        n_images=len(table),
        n_train=given or max(1, round(0.7 * len(table))),
        n_patients=int(table["patient_id"].nunique()),
        class_counts=counts,
        median_height=float(np.median(heights)),
        median_width=float(np.median(widths)),
        channels=3 if coloured else 1,
        hint=dataset.name,
    )


def _measure_sample(table: pd.DataFrame) -> tuple[list[int], list[int], bool]:
    """Heights, widths and whether any has colour, of images spread evenly over the table."""
    heights, widths, coloured, failure = [], [], False, None
    step = max(1, len(table) // SAMPLE)
    for path, frame in zip(table["image_path"][::step], table["frame"][::step], strict=True):
        try:
            pixels = read_image(path, int(frame)).pixels
        except ReadError as error:
            failure = error
            continue
        heights.append(pixels.shape[1])
        widths.append(pixels.shape[2])
        coloured |= len(pixels) == 3 and float(np.ptp(pixels, axis=0).max()) > GREY_TOLERANCE
    if not heights:
        raise DataError(
            "None of the images looked at could be read", f"for example: {failure}"
        ) from failure
    return heights, widths, bool(coloured)
