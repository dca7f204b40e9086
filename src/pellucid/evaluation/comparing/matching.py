"""Predictions tables of several models, matched: the same images in the same order for each.

Joins by image_id within target and split, counts what not all models have, and refuses tables that
contradict each other. It compares nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.predictions import check_predictions, classes_of, task_from_predictions
from pellucid.task import Target

Tables = Mapping[str, Sequence[pd.DataFrame]]
_NUMBERED = re.compile(r"row \d+")  # what check_predictions writes where there is no image_id


@dataclass(frozen=True)
class Matched:
    """The images of one target and split that every run of every model has judged.

    `runs` gives each model's runs, with the images of all in the same order; `left_out` how many
    labelled images of each model not all have.
    """

    target: Target
    split: str
    runs: dict[str, tuple[Judged, ...]]
    left_out: dict[str, int]

    @property
    def any_run(self) -> Judged:
        """One of the runs, for what is the same in all: images, patients and labels."""
        return next(iter(self.runs.values()))[0]


def match_tables(
    tables: Tables, split: str, positive: str | None
) -> tuple[list[Matched], list[str]]:
    """The targets that all tables have, matched, and the names of the targets that not all have.

    A target counts where it has labels in the split, as long as one of them has in every table.
    A table without patients takes those of the first that knows them. Raises `PredictionsError`
    where labels, patients or classes contradict, or no image is common to all.
    """
    checked = {name: [_checked(name, table) for table in runs] for name, runs in tables.items()}
    every = [table for runs in checked.values() for table in runs]
    task = task_from_predictions(every[0], positive)
    present = [set(table["target"]) for table in every]
    common = set.intersection(*present)
    if not common:
        found = "; ".join(
            f"{name} has {', '.join(_targets(runs))}" for name, runs in checked.items()
        )
        raise PredictionsError("Tables that are compared need a target in common", found)
    labelled = [set(_labelled(table, split)["target"]) for table in every]
    common = set.intersection(common, *labelled) or common
    matched = [_match(checked, target, split) for target in task.targets if target.name in common]
    return matched, sorted(set.union(*present) - common)


def _labelled(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[(table["split"] == split) & table["y_true"].notna()]


def _checked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    table = check_predictions(table)
    if table["image_id"].map(lambda value: bool(_NUMBERED.fullmatch(str(value)))).all():
        raise PredictionsError(
            "Tables are joined by image_id, so that each row meets its own image",
            f"no image_id in {name}",
        )
    return table


def _targets(runs: Sequence[pd.DataFrame]) -> list[str]:
    return sorted({str(target) for table in runs for target in table["target"]})


def _match(tables: Tables, target: Target, split: str) -> Matched:
    judged = {
        name: [_judged(name, table, target, split) for table in runs]
        for name, runs in tables.items()
    }
    every = [part for runs in judged.values() for part in runs]
    common = sorted(set.intersection(*(set(part.image_ids) for part in every)))
    if not common:
        raise PredictionsError(
            f"Tables that are compared need images in common (target {target.name!r}, {split})",
            "none",
            "Predict the same images with each model; image_id must be written alike.",
        )
    ordered = {name: [_take(part, common) for part in runs] for name, runs in judged.items()}
    _check_labels(ordered)
    return Matched(
        target=target,
        split=split,
        runs={name: tuple(runs) for name, runs in _with_patients(ordered).items()},
        left_out={
            name: len({image for part in runs for image in part.image_ids} - set(common))
            for name, runs in judged.items()
        },
    )


def _judged(name: str, table: pd.DataFrame, target: Target, split: str) -> Judged:
    classes = classes_of(table[table["target"] == target.name])
    if set(classes) != set(target.classes):
        raise PredictionsError(
            f"Tables that are compared need the same classes of target {target.name!r}",
            f"{', '.join(target.classes)} and, in {name}, {', '.join(classes)}",
        )
    for part in judged_splits(table, target):
        if part.split == split:
            return part
    raise PredictionsError(
        f"Each table needs labelled rows of target {target.name!r} in the split {split}",
        f"none in {name}",
    )


def _take(judged: Judged, images: Sequence[Any]) -> Judged:
    """These images, in this order."""
    order: npt.NDArray[np.intp] = pd.Index(judged.image_ids).get_indexer(pd.Index(images))
    return replace(
        judged,
        probabilities=judged.probabilities[order],
        codes=judged.codes[order],
        table=judged.table.iloc[order].reset_index(drop=True),
    )


def _check_labels(runs: Mapping[str, Sequence[Judged]]) -> None:
    (first, reference), *rest = [(name, part) for name, parts in runs.items() for part in parts]
    for name, part in rest:
        wrong = reference.codes != part.codes
        if wrong.any():
            raise PredictionsError(
                "An image has the same label in every table that is compared",
                f"{int(wrong.sum())} images labelled otherwise in {name} than in {first}, "
                f"first {reference.image_ids[wrong][0]!r}",
            )


def _with_patients(runs: Mapping[str, Sequence[Judged]]) -> dict[str, list[Judged]]:
    """Every run with the patients of the first that knows them; refused where two differ."""
    known = [(name, part) for name, parts in runs.items() for part in parts if part.patients_known]
    if not known:
        return {name: list(parts) for name, parts in runs.items()}
    (first, reference), *rest = known
    for name, part in rest:
        wrong = reference.patient_ids != part.patient_ids
        if wrong.any():
            raise PredictionsError(
                "An image has the same patient in every table that is compared",
                f"{int(wrong.sum())} images with another patient in {name} than in {first}, "
                f"first {reference.image_ids[wrong][0]!r}",
            )
    patients = reference.patient_ids
    return {
        name: [replace(part, table=part.table.assign(patient_id=patients)) for part in parts]
        for name, parts in runs.items()
    }
