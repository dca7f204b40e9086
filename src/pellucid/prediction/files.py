"""Image files or folders of them → predictions, and the files that could not be read.

Knows which files there are and the order of the steps; it does not know how one is decoded or who
computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid.errors import ReadError, UsageError
from pellucid.prediction.decoding import decode_ahead
from pellucid.prediction.engines import OpenedModel, open_engine
from pellucid.prediction.tables import Shift, find_shifts, tabulate_unlabelled

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

FILES_AT_ONCE = 32
_MAX_LISTED_FILES = 1_000_000


def predict(
    model: Bundle | str | os.PathLike[str],
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[int, int], None] | None = None,
    *,
    engine: str = "auto",
    precision: str = "float32",
    prevalence: float | Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, list[ReadError]]:
    """Predictions for image files or folders of them, and the files that could not be read.

    The table has a row an image and target, with `y_true` empty; `image_id` is the path as given.
    Its `attrs` name the `engine` and `precision` that computed it; see `engines.open_engine` for
    what can be asked for. `prevalence` is the share of positives, or of classes by name, where the
    images come from, if it is another than the validation images': the probabilities are shifted
    to it (see `evaluation.probabilities.prior_shift`). An unreadable file never stops the rest.
    Raises `UsageError` when there is no file at all.
    """
    opened = open_engine(model, engine, precision)
    shifts = find_shifts(prevalence, opened.task, opened.card)
    paths = list_image_files([images] if isinstance(images, str | os.PathLike) else images)
    return predict_files(opened, paths, progress, shifts)


def predict_files(
    opened: OpenedModel,
    paths: Sequence[Path],
    progress: Callable[[int, int], None] | None = None,
    shifts: Mapping[str, Shift] | None = None,
) -> tuple[pd.DataFrame, list[ReadError]]:
    """`predict` for an engine that is open already, as a server keeps it."""
    names: list[str] = []
    logits = [np.zeros((0, opened.task.n_logits), dtype=np.float32)]
    failures: list[ReadError] = []
    with closing(decode_ahead(paths, opened.preprocessing, FILES_AT_ONCE)) as batches:
        for batch in batches:
            names += batch.names
            failures += batch.failures
            if batch.names:
                logits.append(opened.compute(batch.pixels))
            if progress:
                progress(len(names) + len(failures), len(paths))
    table = tabulate_unlabelled(names, np.concatenate(logits), opened.task, shifts)
    table.attrs = {"engine": opened.name, "precision": opened.precision}
    if shifts:
        table.attrs["prevalence"] = {
            target.name: dict(zip(target.classes, shifts[target.name][1], strict=True))
            for target in opened.task.targets
            if target.name in shifts
        }
    return table, failures


def list_image_files(images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files named, and for a folder every visible file in it, in sorted order."""
    paths: list[Path] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            paths.extend(sorted(inside))
        else:
            paths.append(path)
        if len(paths) > _MAX_LISTED_FILES:
            raise UsageError("One prediction takes at most 1,000,000 files", f"{len(paths):,}")
    if not paths:
        raise UsageError("There is no image to predict", remedy="Give image files or a folder.")
    return paths
