"""A few test images of a run explained for its report, and its maps tested: explanation.json.

Reads the predictions that the run has written. Knows which images are taken and where everything
goes; it does not know how the report shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import Bundle
from pellucid.errors import PellucidError, ReadError
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import read_predictions
from pellucid.explaining.choosing import MEASURED_RULE, RULE, Chosen, choose_measured, choose_shown
from pellucid.explaining.masks import phantom_mask
from pellucid.explaining.measuring import QUICK, images_to_measure, measure
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.goals import Goal
from pellucid.images.preprocessing import place_back
from pellucid.images.reading import read_image
from pellucid.progress import Progress
from pellucid.reporting.drawing.heat_maps import draw_strip, fit_picture
from pellucid.reporting.explaining.method_words import heat_map_of
from pellucid.run import Run
from pellucid.storage import write_bytes, write_json

FORMAT, VERSION = "pellucid-explanation", 1
SPLITS = ("test", "external_test", "validation")  # the first that has predictions
METHODS = ("grad_cam", "integrated_gradients")  # occlusion takes seconds an image
OPTIONS: dict[str, dict[str, Any]] = {"integrated_gradients": {"steps": 16}}
TESTED_SIDE = 128  # above, the methods of many passes are shown and not tested: minutes on a CPU
TARGETS_SHOWN = 3
_TOO_LARGE = (
    f"at more than {TESTED_SIDE} pixels it takes minutes; “pellucid explain RUN --split test "
    "--method integrated_gradients” tests it"
)

Pixels = npt.NDArray[np.uint8]
Document = dict[str, Any]


def explain_run(
    run: Run,
    bundle: Bundle,
    pixels: Pixels,
    table: pd.DataFrame,
    *,
    progress: Progress | None = None,
    seed: int = 0,
) -> Document:
    """Write RUN/explanation.json and RUN/pictures/explained-*.png; returns the document.

    `pixels` is uint8 (n, C, S, S), of which row i belongs to row i of `table` (image_id,
    image_path, frame, patient_id). The images come from the predictions of the first of `SPLITS`
    that has any; without predictions nothing is written and the document is empty. A method that
    cannot be used is left out with its reason: it never stops a run. What is there already is kept.
    """
    if run.explanation_path.is_file():
        return run.explanation
    found = _predictions(run, bundle)[:TARGETS_SHOWN]
    if not found:
        return {}
    progress = progress or Progress()
    progress.say(f"Explaining some {found[0].split} images, and testing the maps")
    source = _Source(bundle, pixels, table)
    shown = source.known([one for judged in found for one in choose_shown(judged)])
    document: Document = {
        "format": FORMAT,
        "version": VERSION,
        "split": found[0].split,
        "rule": RULE,
        "image_size": bundle.preprocessing.image_size,
        "missing": {},
    }
    maps = _attribute(source, shown, document)
    document["methods"] = [
        {"method": method, "layer": one.layer, "settings": one.settings}
        for method, one in maps.items()
    ]
    document["images"] = [_show(run, source, one, maps, number) for number, one in enumerate(shown)]
    most = images_to_measure(bundle.preprocessing.image_size)
    document["faithfulness"] = [
        _measure(source, choose_measured(judged, most, seed), tuple(maps), progress, seed)
        for judged in found
    ]
    write_json(run.explanation_path, document)
    return document


class _Source:
    """The images of a run by their names."""

    def __init__(self, bundle: Bundle, pixels: Pixels, table: pd.DataFrame) -> None:
        self.bundle, self._pixels, self._table = bundle, pixels, table
        self._rows = {str(name): row for row, name in enumerate(table["image_id"])}

    def known(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """Those that stand in the table."""
        return [one for one in chosen if one.image_id in self._rows]

    def pixels(self, chosen: Sequence[Chosen]) -> Pixels:
        """What the network sees of each (n, C, S, S)."""
        return np.array(self._pixels[[self._rows[one.image_id] for one in chosen]])

    def column(self, chosen: Sequence[Chosen], name: str) -> list[str]:
        """A column of the table for each."""
        rows = [self._rows[one.image_id] for one in chosen]
        return [str(value) for value in self._table[name].iloc[rows]]

    def picture(self, one: Chosen) -> tuple[Pixels, bool]:
        """The whole image where its file can still be read, else as the network sees it."""
        row = self._table.iloc[self._rows[one.image_id]]
        window = self.bundle.preprocessing.window
        try:
            image = read_image(str(row["image_path"]), int(row["frame"]), window=window)
        except ReadError:
            return fit_picture(self.pixels([one])[0].astype(np.float32) / 255), False
        return fit_picture(image.pixels), bool(image.facts.get("synthetic", False))


def _predictions(run: Run, bundle: Bundle) -> list[Judged]:
    """The judged images of the first split that has any, one entry a target."""
    for split in SPLITS:
        path = run.predictions_path(split)
        if not path.is_file():
            continue
        table = read_predictions(path)
        each = [judged_splits(table, target) for target in bundle.task.targets]
        judged = [one for splits in each for one in splits[:1] if one.n]
        if judged:
            return judged
    return []


def _attribute(
    source: _Source, chosen: Sequence[Chosen], document: Document
) -> dict[str, Attribution]:
    """The maps of every method that can be used; the reason of one that cannot is kept."""
    goals = [Goal(one.target, one.called) for one in chosen]
    maps: dict[str, Attribution] = {}
    for method in METHODS if chosen else ():
        try:
            pixels = source.pixels(chosen)
            maps[method] = attribute(
                source.bundle, pixels, goals, method, **OPTIONS.get(method, {})
            )
        except PellucidError as error:
            document["missing"][method] = str(error)
    return maps


def _show(
    run: Run, source: _Source, one: Chosen, maps: dict[str, Attribution], number: int
) -> dict[str, Any]:
    """Draw one image with its maps; what explanation.json says of it has no patient and no path."""
    picture, is_synthetic = source.picture(one)
    height, width = picture.shape[:2]
    drawn = [
        heat_map_of(
            method,
            place_back(found.values[number], height, width, source.bundle.preprocessing),
            one.called,
        )
        for method, found in maps.items()
    ]
    path = write_bytes(run.explained_path(number), draw_strip(picture, drawn))
    return {
        "target": one.target,
        "image_id": one.image_id,
        "truth": one.truth,
        "called": one.called,
        "probability": one.probability,
        "is_right": one.is_right,
        "synthetic": is_synthetic,
        "picture": path.name,
        "says_nothing": [
            method for method, found in maps.items() if bool(found.says_nothing[number])
        ],
    }


def _measure(
    source: _Source,
    chosen: Sequence[Chosen],
    methods: tuple[str, ...],
    progress: Progress,
    seed: int,
) -> Document:
    """The tests of one target's maps, with the lesions of phantoms; the reason where they fail."""
    known = source.known(chosen)
    is_small = source.bundle.preprocessing.image_size <= TESTED_SIDE
    tested = tuple(method for method in methods if is_small or method not in OPTIONS)
    try:
        found = measure(
            source.bundle,
            source.pixels(known),
            [Goal(one.target, one.called) for one in known],
            tested,
            masks=[phantom_mask(path) for path in source.column(known, "image_path")],
            patient_ids=source.column(known, "patient_id"),
            options=OPTIONS,
            effort=QUICK,
            seed=seed,
            progress=progress,
        )
    except PellucidError as error:
        return {"target": chosen[0].target if chosen else "", "reason": str(error), "methods": []}
    left_out = {method: _TOO_LARGE for method in methods if method not in tested}
    return {**found, "rule": MEASURED_RULE, "missing": {**found["missing"], **left_out}}
