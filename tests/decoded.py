"""Decoded pictures without files, as the audit's checks take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.cache import PixelCache
from pellucid.data.index import Dataset
from pellucid.images.view import VIEW_SIZE, digest_of, view_of
from pellucid.task import Target, Task


def make_dataset(n: int = 80, **columns: Any) -> Dataset:
    """Balanced classes, each image its own known patient, no splits; columns replace these.

    A column that is no role becomes a fact.
    """
    table = pd.DataFrame({"image_id": [f"{row}.png" for row in range(n)]})
    table["image_path"] = table["image_id"]
    table["frame"] = 0
    table["patient_id"] = [f"p{row}" for row in range(n)]
    table["label"] = (["ill", "well"] * n)[:n]
    roles = [*table.columns, "split"]
    for name, values in columns.items():
        table[name] = values
    task = Task(targets=(Target(name="label", classes=("well", "ill")),))
    facts = tuple(name for name in columns if name not in roles)
    return Dataset(table, task, "made", "made", facts=facts, patients_known=True)


def decode(pictures: npt.NDArray[Any], **facts: Any) -> PixelCache:
    """A cache of pictures (n, row, column), uint8 or float in [0, 1]; facts are columns.

    The measures of decoding are left out, for speed: give them as facts where they are needed.
    """
    planes = np.asarray(pictures)
    if planes.dtype == np.uint8:
        planes = planes.astype(np.float32) / np.float32(255)
    table = pd.DataFrame(
        {
            "format": "PNG",
            "width": planes.shape[2],
            "height": planes.shape[1],
            "bit_depth": 8,
            "mode": "L",
            "frames": 1,
            "synthetic": False,
            "file_bytes": planes[0].size,
            "pixel_digest": [digest_of(plane[np.newaxis]) for plane in planes],
            **facts,
        }
    )
    views = np.stack([view_of(plane[np.newaxis].astype(np.float32)) for plane in planes])
    assert views.shape[1:] == (VIEW_SIZE, VIEW_SIZE)
    pixels = np.rint(planes[:, np.newaxis] * 255).astype(np.uint8)
    return PixelCache(pixels, views, np.ones(len(planes), dtype=bool), {}, table, Path("made"))


def noise(n: int = 80, size: int = 16, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Pictures that have nothing in common, uint8 (n, size, size)."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, size, size), dtype=np.uint8)
