"""The surest mistakes: which images the network called wrongly with the highest probability.

Needs the predictions, and from the index where each image is; patients do not appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.findings import image_places
from pellucid.reporting.pictures import Thumbnail, make_thumbnail
from pellucid.reporting.writing import decimal

MISTAKES_SHOWN = 12


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction that the network was sure of."""

    image_id: str
    truth: str
    predicted: str
    probability: str
    thumbnail: Thumbnail
    is_synthetic: bool


def find_mistakes(documents: RunDocuments, block: dict[str, Any]) -> pd.DataFrame | None:
    """The images whose most probable class is wrong, the surest first.

    Columns image_id, truth, predicted, probability; None when the predictions are missing.
    """
    table = documents.predictions_of(str(block["target"]), str(block["split"]))
    columns = [f"probability_{label}" for label in block["classes"]]
    if table is None or not set(columns) <= set(table.columns):
        return None
    table = table.dropna(subset=columns)
    probabilities = table[columns].to_numpy(dtype=np.float64)
    if not len(probabilities):
        return table.assign(truth="", predicted="", probability=0.0)
    # At a probability of exactly 0.5 the positive class, which stands last, is called.
    best = len(columns) - 1 - probabilities[:, ::-1].argmax(axis=1)
    found = pd.DataFrame(
        {
            "image_id": table["image_id"].to_numpy(),
            "truth": [_label(value, block["classes"]) for value in table["y_true"]],
            "predicted": [str(block["classes"][code]) for code in best],
            "probability": probabilities.max(axis=1),
        }
    )
    wrong = found[found["truth"] != found["predicted"]]
    return wrong.sort_values(["probability", "image_id"], ascending=[False, True], kind="stable")


def _label(value: str, classes: Sequence[str]) -> str:
    """The truth as a class name; other tools write its code."""
    if value in classes or not value.removesuffix(".0").isdigit():
        return value
    code = int(value.removesuffix(".0"))
    return str(classes[code]) if code < len(classes) else value


def show_mistakes(documents: RunDocuments, wrong: pd.DataFrame | None) -> list[Mistake]:
    """The surest of them with their pictures, at most twelve."""
    if wrong is None:
        return []
    places = image_places(documents.index)
    all_synthetic = bool(documents.dataset.get("synthetic"))
    shown = []
    for row in wrong.head(MISTAKES_SHOWN).to_dict("records"):
        path, frame = places.get(str(row["image_id"]), ("", 0))
        thumbnail = make_thumbnail(path, frame, documents.window)
        shown.append(
            Mistake(
                image_id=str(row["image_id"]),
                truth=str(row["truth"]),
                predicted=str(row["predicted"]),
                probability=decimal(float(row["probability"])),
                thumbnail=thumbnail,
                is_synthetic=all_synthetic or thumbnail.is_synthetic,
            )
        )
    return shown
