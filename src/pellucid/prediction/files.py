"""Images → predictions as a table, and the images that could not be read.

Knows the order of the steps; it does not know how an image is decoded or who computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from pellucid.errors import ReadError
from pellucid.prediction.decoding import Failure, decode_ahead
from pellucid.prediction.engines import OpenedModel, open_engine
from pellucid.prediction.listing import Listed, list_images
from pellucid.prediction.tables import Shift, find_shifts, tabulate_unlabelled

if TYPE_CHECKING:
    from pellucid.bundle import Bundle

FILES_AT_ONCE = 32


class Predicted(NamedTuple):
    """One batch: its table, what could not be read, and how many images it took."""

    table: pd.DataFrame
    failures: list[Failure]
    n_images: int


def predict(
    model: Bundle | str | os.PathLike[str],
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[int, int], None] | None = None,
    *,
    engine: str = "auto",
    precision: str = "float32",
    prevalence: float | Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, list[ReadError]]:
    """Predictions for image files, folders of them or manifests, and the files not readable.

    The table has a row an image and target, with `y_true` empty; `image_id` is the path as given.
    `caution` holds codes of what speaks against an answer (see `bundle.guard`), where the model
    has a guard. Its `attrs` name the `engine` and `precision` that computed it; see
    `engines.open_engine` for what can be asked for. `prevalence` is the share of positives, or of
    classes by name, where the images come from, if it is another than the validation images': the
    probabilities are shifted to it (see `evaluation.probabilities.prior_shift`). An unreadable file
    never stops the rest. Raises `UsageError` when there is no file at all. For more images than a
    table can hold see `streaming.predict_to_file`.
    """
    opened = open_engine(model, engine, precision)
    shifts = find_shifts(prevalence, opened.task, opened.card)
    listed = list_images([images] if isinstance(images, str | os.PathLike) else images)
    return predict_files(opened, listed, progress, shifts)


def predict_files(
    opened: OpenedModel,
    listed: list[Listed],
    progress: Callable[[int, int], None] | None = None,
    shifts: Mapping[str, Shift] | None = None,
) -> tuple[pd.DataFrame, list[ReadError]]:
    """`predict` for an engine that is open already."""
    tables, failures, done = [tabulate_nothing(opened)], list[ReadError](), 0
    for batch in predict_batches(opened, listed, shifts):
        tables.append(batch.table)
        failures += [failure.error for failure in batch.failures]
        done += batch.n_images
        if progress:
            progress(done, len(listed))
    filled = [table for table in tables if len(table)] or tables[:1]
    table = pd.concat(filled, ignore_index=True)
    attrs: Any = describe_computing(opened, shifts)
    table.attrs = attrs
    return table, failures


def predict_batches(
    opened: OpenedModel, images: Iterable[Listed], shifts: Mapping[str, Shift] | None = None
) -> Iterator[Predicted]:
    """The predictions of any number of images, a batch at a time, in their order."""
    batches = decode_ahead(images, opened.preprocessing, FILES_AT_ONCE, opened.guard)
    with closing(batches):
        for batch in batches:
            n_images = len(batch.listed) + len(batch.failures)
            logits = np.zeros((0, opened.task.n_logits), dtype=np.float32)
            if batch.listed:
                logits = opened.compute(batch.pixels)
            table = tabulate_unlabelled(
                [one.image_id for one in batch.listed],
                logits,
                opened.task,
                shifts,
                patient_ids=[one.patient_id for one in batch.listed],
                cautions=batch.cautions if opened.guard else None,
            )
            yield Predicted(table, batch.failures, n_images)


def tabulate_nothing(opened: OpenedModel) -> pd.DataFrame:
    """The table of no image: its columns."""
    none = np.zeros((0, opened.task.n_logits), dtype=np.float32)
    return tabulate_unlabelled([], none, opened.task, cautions=[] if opened.guard else None)


def describe_computing(opened: OpenedModel, shifts: Mapping[str, Shift] | None) -> dict[str, Any]:
    """Who computed in what numbers, and for which prevalence if it was shifted."""
    about: dict[str, Any] = {"engine": opened.name, "precision": opened.precision}
    if shifts:
        about["prevalence"] = {
            target.name: dict(zip(target.classes, shifts[target.name][1], strict=True))
            for target in opened.task.targets
            if target.name in shifts
        }
    return about
