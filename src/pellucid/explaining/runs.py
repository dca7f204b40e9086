"""A few test images of a run explained for its report, and its maps tested: explanation.json.

Reads the predictions that the run has written. Knows which images are taken and where everything
goes; it does not know how the report shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.bundle import Bundle
from pellucid.errors import PellucidError, ReadError
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import read_predictions
from pellucid.explaining.choosing import RULE, Chosen, choose_shown
from pellucid.explanation.attribution.attribute import Attribution, attribute
from pellucid.explanation.goals import Goal
from pellucid.explanation.layers import capture, last_convolutional_layer
from pellucid.images.preprocessing import place_back
from pellucid.images.reading import read_image
from pellucid.network.classifier import normalise
from pellucid.progress import Progress
from pellucid.reporting.drawing.heat_maps import HeatMap, draw_strip, fit_picture
from pellucid.reporting.explaining.method_words import heat_map_of
from pellucid.run import Run
from pellucid.storage import write_bytes, write_json

FORMAT, VERSION = "pellucid-explanation", 1
SPLITS = ("test", "external_test", "validation")  # the first that has predictions
SHOWN_METHODS = ("grad_cam", "integrated_gradients", "occlusion")
TARGETS_SHOWN = 3

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
    image_path, frame). The images come from the predictions of the first of `SPLITS` that has
    any; without predictions nothing is written and the document is empty. A method that cannot be
    used is left out with its reason: it never stops a run. What is there already is kept.
    """
    if run.explanation_path.is_file():
        return run.explanation
    found = _predictions(run, bundle)
    if not found:
        return {}
    progress = progress or Progress()
    progress.say(f"Explaining {found[0].split} images")
    rows = pd.Series(np.arange(len(table)), index=table["image_id"].astype(str))
    document = _describe(bundle, found[0].split)
    chosen = [one for judged in found[:TARGETS_SHOWN] for one in choose_shown(judged)]
    known = [one for one in chosen if one.image_id in rows.index]
    batch = np.array(pixels[rows[[one.image_id for one in known]].to_numpy(dtype=int)])
    maps = _attribute(bundle, batch, known, document)
    for number, one in enumerate(known):
        at = table.iloc[int(rows[one.image_id])]
        picture = _picture(bundle, at, batch[number])
        drawn = _heat_maps(bundle, picture, maps, number)
        write_bytes(run.explained_path(number), draw_strip(picture, drawn))
        document["images"].append(_entry(one, run.explained_path(number), maps, number))
    write_json(run.explanation_path, document)
    return document


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


def _describe(bundle: Bundle, split: str) -> Document:
    layer = last_convolutional_layer(bundle.classifier)
    size = bundle.preprocessing.image_size
    return {
        "format": FORMAT,
        "version": VERSION,
        "split": split,
        "rule": RULE,
        "layer": layer,
        "cells": _cells(bundle, layer),
        "image_size": size,
        "methods": [],
        "missing": {},
        "images": [],
        "faithfulness": [],
    }


def _cells(bundle: Bundle, layer: str) -> list[int]:
    """Rows and columns of Grad-CAM's map before it is enlarged."""
    import torch

    spec = bundle.spec
    empty = torch.zeros((1, spec.channels, spec.image_size, spec.image_size), dtype=torch.uint8)
    x = normalise(empty, bundle.preprocessing.mean, bundle.preprocessing.std)
    return [int(side) for side in capture(bundle.classifier, x, [layer])[layer].shape[2:]]


def _attribute(
    bundle: Bundle, batch: Pixels, chosen: Sequence[Chosen], document: Document
) -> dict[str, Attribution]:
    """The maps of every method that can be used; the reason of one that cannot is kept."""
    goals = [Goal(one.target, one.called) for one in chosen]
    maps: dict[str, Attribution] = {}
    for method in SHOWN_METHODS if chosen else ():
        try:
            maps[method] = attribute(bundle, batch, goals, method)
        except PellucidError as error:
            document["missing"][method] = str(error)
    document["methods"] = list(maps)
    return maps


def _picture(bundle: Bundle, row: pd.Series[Any], seen: Pixels) -> Pixels:
    """The whole image where its file can still be read, else as the network sees it."""
    try:
        window = bundle.preprocessing.window
        image = read_image(str(row["image_path"]), int(row["frame"]), window=window)
    except ReadError:
        return fit_picture(seen.astype(np.float32) / 255)
    return fit_picture(image.pixels)


def _heat_maps(
    bundle: Bundle, picture: Pixels, maps: dict[str, Attribution], number: int
) -> list[HeatMap]:
    height, width = picture.shape[:2]
    placed = {
        method: place_back(found.values[number], height, width, bundle.preprocessing)
        for method, found in maps.items()
    }
    return [
        heat_map_of(method, values, maps[method].goals[number].label)
        for method, values in placed.items()
    ]


def _entry(one: Chosen, picture: Path, maps: dict[str, Attribution], number: int) -> dict[str, Any]:
    """What explanation.json says of one image; no patient, no path."""
    return {
        "target": one.target,
        "image_id": one.image_id,
        "truth": one.truth,
        "called": one.called,
        "probability": one.probability,
        "is_right": one.is_right,
        "picture": f"pictures/{picture.name}",
        "maps": [
            {
                "method": method,
                "logit": float(found.scores[number]),
                "says_nothing": bool(found.says_nothing[number]),
            }
            for method, found in maps.items()
        ],
    }
