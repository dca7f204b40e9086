"""Of a run that is served: its report, and its mistakes on validation.

A bundle has neither, since no picture goes with it. Images are asked for by a number in the run's
own index and by nothing else, so that no path can be made up; names and patients stay here.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pellucid.errors import ReadError, UsageError
from pellucid.evaluation.predictions import PROBABILITY, read_predictions
from pellucid.images.reading import read_image
from pellucid.reporting.drawing.heat_maps import draw_picture, fit_picture
from pellucid.run import Run

SPLIT = "validation"  # whose predictions are shown; test is looked at once, in the report
MOST_SHOWN = 60
_SIDE = 320  # pixels


def report_of(place: Path) -> Path | None:
    """The report of a run folder, if it is one."""
    path = Run(place).report_path
    return path if path.is_file() else None


def mistakes(place: Path, target: str, truth: str, called: str) -> list[dict[str, Any]]:
    """Validation images of a class that were called another (or the same), the surest first.

    Each has its number in the run's index and the probability of the class that was called.
    """
    table = _of_target(place, target)
    names = [str(name) for name in table.columns]
    known = [name.removeprefix(PROBABILITY) for name in names if name.startswith(PROBABILITY)]
    if truth not in known or called not in known:
        raise UsageError(f"The classes of {target!r} are {', '.join(known)}")
    part = table[(table["y_true"] == truth) & (table["called"] == called)]
    part = part.sort_values(PROBABILITY + called, ascending=False).head(MOST_SHOWN)
    return [
        {"number": int(number), "probability": float(p)}
        for number, p in zip(part["number"], part[PROBABILITY + called], strict=True)
    ]


def image_of(place: Path, number: int) -> bytes:
    """An image that a mistake may be of, as a small PNG; raises `UsageError`, `ReadError`.

    Of an ensemble of folds those are the images of train too, predicted out of fold; never of test.
    """
    index = _index(place, _version(place))
    shown = (SPLIT, "train") if Run(place).is_of_folds else (SPLIT,)
    if not 0 <= number < len(index) or index["split"].iloc[number] not in shown:
        raise UsageError("No mistake of the run is of an image of this number", str(number))
    row = index.iloc[number]
    try:
        pixels = read_image(str(row["image_path"]), int(row["frame"])).pixels
    except ReadError as error:
        raise ReadError("The image is no longer where the run found it") from error
    step = max(1, max(pixels.shape[1:]) // _SIDE)
    return draw_picture(fit_picture(np.ascontiguousarray(pixels[:, ::step, ::step])))


def _of_target(place: Path, target: str) -> pd.DataFrame:
    """The predictions of validation for a target, each with its number and the class called."""
    path = Run(place).predictions_path(SPLIT)
    if not path.is_file() or not Run(place).index_path.is_file():
        raise UsageError("Mistakes are shown of a run that is served, not of a bundle")
    table = read_predictions(path)
    table = table[(table["target"] == target) & table["y_true"].notna()].copy()
    if table.empty:
        raise UsageError("The target must be one of the model's", repr(target))
    names = [str(name) for name in table.columns if str(name).startswith(PROBABILITY)]
    columns = [name for name in names if table[name].notna().any()]
    places = table[columns].to_numpy(dtype=float).argmax(axis=1)
    table["called"] = [columns[place].removeprefix(PROBABILITY) for place in places]
    index = _index(place, _version(place))
    numbers = pd.Series(range(len(index)), index=index["image_id"].astype(str))
    table["number"] = table["image_id"].astype(str).map(numbers[~numbers.index.duplicated()])
    return table[table["number"].notna()]


def _version(place: Path) -> int:
    return Run(place).index_path.stat().st_mtime_ns


@lru_cache(maxsize=4)
def _index(place: Path, version: int) -> pd.DataFrame:
    """The run's index; `version` makes a changed one another."""
    return Run(place).load_index()
