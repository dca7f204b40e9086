"""Failures: the surest mistakes, the least sure calls, and mistakes that are alike, with pictures.

From evaluation.json; an older one names none, and then the predictions say which were mistaken.
From the index it takes where each image is; patients do not appear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pellucid.evaluation.groups.failures import called_classes
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.pictures import Thumbnail, make_thumbnail
from pellucid.reporting.sections.findings import image_places
from pellucid.reporting.tables import Table
from pellucid.reporting.writing import decimal

MISTAKES_SHOWN = 12
LEAST_SURE_SHOWN = 6
GROUP_SHOWN = 6


@dataclass(frozen=True)
class Mistake:
    """One image with what it is, what it was called, and how surely."""

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
    best, sure = called_classes(probabilities)
    found = pd.DataFrame(
        {
            "image_id": table["image_id"].to_numpy(),
            "truth": [_label(value, block["classes"]) for value in table["y_true"]],
            "predicted": [str(block["classes"][code]) for code in best],
            "probability": sure,
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


@dataclass(frozen=True)
class MistakeGroup:
    """Mistakes that have something in common, the first few with their pictures."""

    what: str
    n: int
    tiles: list[Mistake]


@dataclass(frozen=True)
class Failures:
    """What the page shows of the mistakes; `n` is None where nobody knows how many there are."""

    anchor: str
    n: int | None
    surest: list[Mistake]
    least_sure: list[Mistake]
    groups: list[MistakeGroup]
    has_pictures: bool  # whether the run says where its images are
    table: Table
    least_sure_table: Table


def show_failures(documents: RunDocuments, block: dict[str, Any], number: int) -> Failures:
    """The failures of one block with their pictures, at most twelve of a kind."""
    found = block.get("failures") or _from_predictions(documents, block)
    picture = _Pictures(documents)
    kinds = {key: list(found.get(key) or []) for key in ("surest", "least_sure")}
    return Failures(
        anchor=f"failures-{number}",
        n=found.get("n_mistakes"),
        surest=[picture(entry) for entry in kinds["surest"][:MISTAKES_SHOWN]],
        least_sure=[picture(entry) for entry in kinds["least_sure"][:LEAST_SURE_SHOWN]],
        groups=[_group(entry, picture, kinds["surest"]) for entry in found.get("groups") or []],
        has_pictures=documents.index is not None,
        table=_table(f"surest-{number}", kinds["surest"]),
        least_sure_table=_table(f"least-sure-{number}", kinds["least_sure"]),
    )


def _from_predictions(documents: RunDocuments, block: dict[str, Any]) -> dict[str, Any]:
    wrong = find_mistakes(documents, block)
    if wrong is None:
        return {"n_mistakes": None}
    first = wrong.head(MISTAKES_SHOWN).rename(columns={"predicted": "called"})
    return {"n_mistakes": len(wrong), "surest": first.to_dict("records")}


class _Pictures:
    """Makes a tile of an entry; every picture is read once."""

    def __init__(self, documents: RunDocuments) -> None:
        self._places = image_places(documents.index)
        self._window = documents.window
        self._all_synthetic = bool(documents.dataset.get("synthetic"))
        self._made: dict[str, Thumbnail] = {}

    def __call__(self, entry: Mapping[str, Any]) -> Mistake:
        name = str(entry["image_id"])
        if name not in self._made:
            path, frame = self._places.get(name, ("", 0))
            self._made[name] = make_thumbnail(path, frame, self._window)
        probability = entry.get("probability")
        return Mistake(
            image_id=name,
            truth=str(entry.get("truth", "")),
            predicted=str(entry.get("called", "")),
            probability="" if probability is None else decimal(float(probability)),
            thumbnail=self._made[name],
            is_synthetic=self._all_synthetic or self._made[name].is_synthetic,
        )


def _group(
    entry: Mapping[str, Any], picture: _Pictures, known: list[dict[str, Any]]
) -> MistakeGroup:
    """The first images of a group, with truth and call where they are among the surest."""
    by_name = {str(row["image_id"]): row for row in known}
    names = [str(name) for name in (entry.get("image_ids") or [])[:GROUP_SHOWN]]
    tiles = [picture(by_name.get(name, {"image_id": name})) for name in names]
    return MistakeGroup(str(entry["what"]), int(entry["n"]), tiles)


def _table(name: str, entries: list[dict[str, Any]]) -> Table:
    rows = [
        (str(x["image_id"]), str(x["truth"]), str(x["called"]), float(x["probability"]))
        for x in entries
    ]
    return Table(name, ("Image", "Truth", "Called", "Probability"), tuple(rows))
