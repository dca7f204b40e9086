"""The classical baseline of a dataset: described, classified, and put down as predictions.

It is fitted on the rows of train alone, patches, scaling, choice and all, and then answers for the
other splits in the same predictions table as the network, so that the two can be compared. Knows
the dataset and its decoded pixels; it judges nothing and writes no file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pellucid.classical.classification import Chosen, TrainingRows, fit_classifier
from pellucid.classical.description import Description, describe
from pellucid.classical.filters import Patches, fit_patches
from pellucid.classical.importance import (
    ALONE_METHOD,
    METHOD,
    family_importance,
    features_alone,
)
from pellucid.classical.pictures import Bytes, grey_pictures
from pellucid.data.folds import folds_by_patient
from pellucid.errors import DataError
from pellucid.evaluation.predictions import build_predictions
from pellucid.task import Target

if TYPE_CHECKING:
    from pellucid.classical.candidates import Bools, Ints
    from pellucid.data.cache import PixelCache
    from pellucid.data.index import Dataset

TRAIN_ROWS = 8_000  # at most, of whole patients; more would take hours and tell little
FOLDS = 5
FEW_PATIENTS = 3  # of a class; below it the class is trained on but not cross-validated

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Baseline:
    """The predictions of every split but train, and the document of `baseline.json`.

    `predictions` has no entry for a split without a labelled row. A target that could not be
    learned is not in the tables, and `record` says why.
    """

    predictions: dict[str, pd.DataFrame]
    record: dict[str, Any]


@dataclass(frozen=True)
class _Work:
    """What every target shares: the rows of each split (train first) and their features."""

    dataset: Dataset
    codes: Ints
    seed: int
    rows: dict[str, Ints]
    described: dict[str, Description]
    patches: Patches


def fit_baseline(
    dataset: Dataset,
    cache: PixelCache | Bytes,
    codes: Ints,
    rows_by_split: Mapping[str, Ints],
    *,
    seed: int,
    progress: Report | None = None,
    fit_progress: Report | None = None,
) -> Baseline:
    """Describe, tune, fit on `rows_by_split["train"]`, and predict the other splits.

    `cache` is the dataset's pixel cache or its pixels, uint8 (n, 1 or 3 channels, row, column);
    unreadable rows of a cache are passed over, and rows without a label. `codes` (n, targets) are
    those of `dataset.codes()`. `progress` counts pictures described, `fit_progress` candidates
    tried. Only labels of train are looked at. Raises `DataError` without a row to train on.
    """
    clock = time.monotonic()
    pixels: Bytes = cache if isinstance(cache, np.ndarray) else cache.pixels
    rows = _usable(cache, codes, rows_by_split)
    found = len(rows["train"])
    rows["train"] = _capped(dataset, rows["train"], seed)
    work = _describe(dataset, pixels, codes, rows, seed=seed, progress=progress)
    described = time.monotonic()
    fitted = [_fit_target(work, number, fit_progress) for number in range(codes.shape[1])]
    seconds = {
        "description": round(described - clock, 1),
        "classification": round(time.monotonic() - described, 1),
    }
    record = {
        "format": "pellucid-baseline",
        "version": 1,
        "seed": seed,
        "description": _description_record(work, pixels, found),
        "counts": {split: len(part) for split, part in rows.items()},
        "seconds": seconds,
        "targets": [one for _, one in fitted],
    }
    return Baseline(_predictions(work, [chosen for chosen, _ in fitted]), record)


def _usable(
    cache: PixelCache | Bytes, codes: Ints, rows_by_split: Mapping[str, Ints]
) -> dict[str, Ints]:
    """The readable rows with any label of each split, train first."""
    good: Bools = np.asarray((codes >= 0).any(axis=1))
    if not isinstance(cache, np.ndarray):
        good = good & cache.readable
    order = sorted(rows_by_split, key=lambda split: split != "train")
    rows = {split: np.asarray(rows_by_split[split], dtype=np.int64) for split in order}
    rows = {split: part[good[part]] for split, part in rows.items()}
    if not len(rows.get("train", ())):
        raise DataError("The classical baseline needs a readable, labelled image in train", "none")
    return rows


def _capped(dataset: Dataset, rows: Ints, seed: int) -> Ints:
    """At most `TRAIN_ROWS` rows, of whole patients where that is possible, in the order of names.

    The order of the files therefore does not matter.
    """
    names = dataset.table["image_id"].to_numpy(dtype=object)
    rows = rows[np.argsort(names[rows].astype(str), kind="stable")]
    if len(rows) <= TRAIN_ROWS:
        return rows
    patients, known = pd.factorize(dataset.table["patient_id"].to_numpy(dtype=object)[rows])
    order = np.random.default_rng(seed).permutation(len(known))
    kept = np.cumsum(np.bincount(patients)[order]) <= TRAIN_ROWS
    chosen = rows[np.isin(patients, order[kept])]
    return np.asarray(chosen if len(chosen) else rows[:TRAIN_ROWS], dtype=np.int64)


def _describe(
    dataset: Dataset,
    pixels: Bytes,
    codes: Ints,
    rows: dict[str, Ints],
    *,
    seed: int,
    progress: Report | None,
) -> _Work:
    """Learn the patches from train, then describe every split."""
    patches = fit_patches(pixels, rows["train"], seed=seed)
    total, before, described = sum(map(len, rows.values())), 0, {}
    for split, part in rows.items():
        described[split] = describe(
            pixels, part, patches=patches, progress=_offset(progress, before, total)
        )
        before += len(part)
    return _Work(dataset, codes, seed, rows, described, patches)


def _offset(progress: Report | None, before: int, total: int) -> Report | None:
    """A counter of one split's pictures that reports those of all."""
    if progress is None:
        return None
    tell = progress
    return lambda done, _: tell(before + done, total)


def _fit_target(
    work: _Work, number: int, progress: Report | None
) -> tuple[Chosen | None, dict[str, Any]]:
    """The classifier of one target and its record; None, and a reason, where none can be fitted."""
    target = work.dataset.task.targets[number]
    rows = work.rows["train"]
    labelled = np.flatnonzero(work.codes[rows, number] >= 0)
    codes = work.codes[rows[labelled], number]
    absent = [name for code, name in enumerate(target.classes) if not (codes == code).any()]
    patients = work.dataset.table["patient_id"].iloc[rows[labelled]].nunique()
    record: dict[str, Any] = {
        "target": target.name,
        "classes": list(target.classes),
        "n_train_images": len(labelled),
        "n_train_patients": int(patients),
    }
    if len(target.classes) - len(absent) < 2:
        reason = f"not fitted: train has no image of {', '.join(absent)}"
        return None, {**record, "classifier": None, "reason": reason}
    description = work.described["train"]
    folds = _folds(work, number, rows[labelled])
    features = description.values[labelled].astype(np.float64)
    data = TrainingRows(features, codes, folds, len(target.classes))
    chosen = fit_classifier(data, seed=work.seed, progress=progress)
    lacking = [f"Train has no image of {name}; its probability is nearly 0." for name in absent]
    return chosen, {
        **record,
        **_choice_record(chosen, data),
        "notes": [*lacking, *chosen.notes],
        "importance": _importance_record(data, chosen, description, target, work.seed),
    }


def _folds(work: _Work, number: int, rows: Ints) -> Ints:
    """The fold (n,) of each training row by patient; -1 for a class of too few patients.

    All rows of a patient have one fold; a row of a rare class follows its patient.
    """
    table = work.dataset.table.iloc[rows].reset_index(drop=True)
    target = work.dataset.task.targets[number]
    sizes = table.groupby(target.name)["patient_id"].nunique()
    classes = tuple(name for name in target.classes if sizes.get(name, 0) >= FEW_PATIENTS)
    if len(classes) < 2:
        return np.full(len(rows), -1)
    inside = table[table[target.name].isin(classes)].reset_index(drop=True)
    asked = Target(name=target.name, classes=classes)
    task = work.dataset.task.model_copy(update={"targets": (asked,)})
    part = replace(work.dataset, table=inside, task=task)
    n_folds = min(FOLDS, int(sizes[list(classes)].min()))
    of_row = folds_by_patient(part, n_folds, work.seed)
    of_patient = dict(zip(inside["patient_id"], of_row, strict=True))
    return np.array([of_patient.get(name, -1) for name in table["patient_id"]], dtype=np.int64)


def _choice_record(chosen: Chosen, data: TrainingRows) -> dict[str, Any]:
    candidate = chosen.model.candidate
    return {
        "classifier": candidate.name,
        "hyperparameters": dict(candidate.settings),
        "chosen_by": "mean AUROC of folds within train, of whole patients",
        "n_folds": len(data.numbers()),
        "cross_validation": [trial.to_json() for trial in chosen.trials],
    }


def _importance_record(
    data: TrainingRows, chosen: Chosen, description: Description, target: Target, seed: int
) -> dict[str, Any]:
    families = description.families()
    candidate = chosen.model.candidate
    return {
        "method": METHOD,
        "families": family_importance(data, candidate, families, seed=seed),
        "alone_method": ALONE_METHOD,
        "alone": features_alone(data.features, data.codes, description.names, target.classes),
    }


def _description_record(work: _Work, pixels: Bytes, n_train: int) -> dict[str, Any]:
    description, filters = work.described["train"], work.patches.filters
    size = grey_pictures(pixels[work.rows["train"][:1]]).shape[1:]
    notes = ["Colour is described as grey."] if pixels.shape[1] == 3 else []
    if n_train > len(work.rows["train"]):
        kept = f"{len(work.rows['train']):,} of {n_train:,}"
        notes.append(f"Trained on {kept} images, of patients drawn with the seed.")
    return {
        "picture": list(size),
        "n_features": len(description.names),
        "families": {name: len(columns) for name, columns in description.families().items()},
        "patches": {
            "n": len(filters),
            "size": int(filters.shape[1]),
            "learned_from": f"{work.patches.n_pictures} pictures of train, without their labels",
        },
        "notes": notes,
    }


def _predictions(work: _Work, chosen: list[Chosen | None]) -> dict[str, pd.DataFrame]:
    """One table a split, of the targets that were fitted."""
    predictions = {}
    for split, rows in work.rows.items():
        if split == "train" or not len(rows):
            continue
        parts = [_tabulate(work, number, split, one) for number, one in enumerate(chosen) if one]
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        if len(table):
            predictions[split] = table
    return predictions


def _tabulate(work: _Work, number: int, split: str, chosen: Chosen) -> pd.DataFrame:
    """The rows of one split and target as the predictions table has them.

    The logit of one is the log-odds of the positive class; those of several are log-probabilities.
    """
    rows, target = work.rows[split], work.dataset.task.targets[number]
    features = work.described[split].values.astype(np.float64)
    logits = chosen.model.log_probabilities(features)
    if target.n_logits == 1:
        logits = logits[:, 1:] - logits[:, :1]
    table = work.dataset.table.iloc[rows]
    return build_predictions(
        table["image_id"].tolist(),
        table["patient_id"].tolist(),
        split,
        target,
        work.codes[rows, number],
        logits,
        facts=table[list(work.dataset.facts)],
    )
