"""All that can be said of predictions, as the document of `evaluation.json`.

One block a target and split: counts, confusion matrix, metrics with intervals, per-class figures,
operating points, calibration and curves. A metric that is undefined stands there as null with the
reason; none is dropped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation import metrics
from pellucid.evaluation.calibration import describe_calibration
from pellucid.evaluation.curves import precision_recall_points, roc_points
from pellucid.evaluation.intervals import (
    Patients,
    extreme_interval,
    group_patients,
    percentile_interval,
    resample,
)
from pellucid.evaluation.metrics import Ranking
from pellucid.evaluation.operating_point import (
    DEFAULT,
    OperatingPoint,
    confusion_at,
    youden_point,
)
from pellucid.evaluation.predictions import (
    PROBABILITY,
    SPLITS,
    check_predictions,
    task_from_predictions,
)
from pellucid.storage import write_json
from pellucid.task import Target, Task

FORMAT, VERSION = "pellucid-evaluation", 1
CONFIDENCE = 0.95
FEW_PATIENTS = 5
ALL = ""  # the owner of figures that belong to no single class
AVERAGES = {
    "auroc": "macro one-vs-rest",
    "weighted_auroc": "one-vs-rest, weighted by the classes' images",
    "macro_f1": "macro",
    "weighted_f1": "weighted by the classes' images",
    "macro_sensitivity": "macro",
    "macro_specificity": "macro",
    "macro_ppv": "macro",
}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = dict[tuple[str, str], Floats]


@dataclass(frozen=True)
class Judged:
    """The labelled rows of one target and split, as arrays of n images."""

    target: Target
    split: str
    probabilities: Floats
    codes: Ints
    patient_ids: npt.NDArray[np.object_]
    patients_known: bool

    @cached_property
    def patients(self) -> Patients:
        """Patients as clusters, in strata of their classes."""
        return group_patients(self.patient_ids, self.codes, len(self.target.classes))

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Each class's scores, sorted."""
        return [
            Ranking(self.probabilities[:, k], self.codes == k)
            for k in range(len(self.target.classes))
        ]


def evaluate_predictions(
    table: pd.DataFrame,
    task: Task | None = None,
    *,
    positive: str | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a predictions table; returns the document of `evaluation.json`.

    Without a task, classes are read from the columns; `positive` chooses the positive class anew.
    Operating points are chosen on validation where the table has it. Raises `PredictionsError`.
    """
    table = check_predictions(table)
    if task is None or positive is not None:
        task = task_from_predictions(table, positive)
    blocks = []
    for target in task.targets:
        judged = _judged_splits(table, target)
        points = [DEFAULT, *_chosen_points(judged)] if target.is_binary else []
        blocks += [_block(part, points, (n_resamples, seed)) for part in judged]
    if not blocks:
        raise PredictionsError("No image of the table has a label, so nothing can be judged")
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "n_resamples": n_resamples,
        "confidence": CONFIDENCE,
        "blocks": blocks,
    }


def save_evaluation(document: dict[str, Any], path: Path) -> Path:
    """Write the document as JSON, in one step."""
    return write_json(path, document)


def load_evaluation(path: Path) -> dict[str, Any]:
    """Read `evaluation.json`; raises `PredictionsError` when it is another or a newer file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{path} is not a readable evaluation") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise PredictionsError(f"{path} is not an evaluation of Pellucid")
    if document.get("version", 0) > VERSION:
        raise PredictionsError(f"{path} was written by a newer Pellucid")
    return document


def describe_evaluation(document: dict[str, Any]) -> str:
    """The main figures as lines for a terminal, test first."""
    lines = []
    for block in document["blocks"]:
        who = f"{block['n_images']:,} images"
        if block["patients_known"]:
            who += f" of {block['n_patients']:,} patients"
        positive = f", positive: {block['positive']}" if block["positive"] else ""
        lines.append(f"{block['target']}, {block['split']}: {who}{positive}")
        for name, figure in block["metrics"].items():
            lines.append(f"  {name.replace('_', ' '):<20} {_figure_text(figure)}")
    return "\n".join(lines)


def _figure_text(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return f"not defined ({figure['method'].removeprefix('undefined: ')})"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def _judged_splits(table: pd.DataFrame, target: Target) -> list[Judged]:
    rows = table[(table["target"] == target.name) & table["y_true"].notna()]
    absent = [name for name in target.classes if PROBABILITY + name not in rows]
    if absent:
        raise PredictionsError(
            f"The table needs the column {PROBABILITY}{absent[0]} for target {target.name!r}"
        )
    return [
        _judged(rows[rows["split"] == split], target, split)
        for split in SPLITS
        if (rows["split"] == split).any()
    ]


def _judged(rows: pd.DataFrame, target: Target, split: str) -> Judged:
    ids = rows["patient_id"].to_numpy(dtype=object)
    return Judged(
        target=target,
        split=split,
        probabilities=rows[[PROBABILITY + name for name in target.classes]].to_numpy(dtype=float),
        codes=pd.Index(target.classes).get_indexer(pd.Index(rows["y_true"])).astype(np.int64),
        patient_ids=ids,
        patients_known=bool((ids != rows["image_id"].to_numpy(dtype=object)).any()),
    )


def _chosen_points(judged: list[Judged]) -> Iterator[OperatingPoint]:
    for part in judged:
        if part.split == "validation":
            point = youden_point(part.probabilities[:, 1], part.codes == 1, "validation")
            if point:
                yield point


def _block(judged: Judged, points: list[OperatingPoint], draw: tuple[int, int]) -> dict[str, Any]:
    target, codes = judged.target, judged.codes
    predicted = _predicted(judged)
    k = len(target.classes)
    figures = _figures(judged, k * codes + predicted, draw)
    counts = np.bincount(codes, minlength=k)
    return {
        "target": target.name,
        "split": judged.split,
        "n_images": len(codes),
        "n_patients": judged.patients.n,
        "patients_known": judged.patients_known,
        "classes": list(target.classes),
        "positive": target.positive,
        "prevalence": dict(zip(target.classes, (counts / len(codes)).tolist(), strict=True)),
        "confusion_matrix": np.bincount(k * codes + predicted, minlength=k * k)
        .reshape(k, k)
        .tolist(),
        "metrics": _main_metrics(figures, target),
        "per_class": {name: figures[name] for name in target.classes},
        "operating_points": [_point_block(judged, point, draw) for point in points],
        "calibration": describe_calibration(judged.probabilities, codes),
        "curves": _curves(judged),
    }


def _predicted(judged: Judged) -> Ints:
    """The class of each image (n,): for two classes the positive one from 0.5 on."""
    if judged.target.is_binary:
        return (judged.probabilities[:, 1] >= DEFAULT.threshold).astype(np.int64)
    return np.asarray(judged.probabilities.argmax(axis=1))


def _main_metrics(figures: dict[str, dict[str, Any]], target: Target) -> dict[str, Any]:
    """Of two classes the figures of the positive one stand first, then those of all together."""
    positive = figures[target.classes[1]] if target.is_binary else {}
    return {**positive, **figures[ALL]}


def _figures(judged: Judged, cells: Ints, draw: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Every metric with its interval, by class; under `ALL` those of all classes together."""
    statistic = Statistic(judged, cells)
    plain = statistic(np.ones((1, judged.patients.n)))
    drawn = resample(statistic, judged.patients, *draw)
    few = _fewest_patients(judged) < FEW_PATIENTS
    figures: dict[str, dict[str, Any]] = {}
    for (owner, name), value in plain.items():
        figure = _figure(float(value[0]), drawn[owner, name], _reason(name, owner, judged))
        if figure["low"] is not None and figure["low"] == figure["high"]:
            figure |= _flat(float(value[0]), _patients_counted(judged, cells, owner, name))
        if few and figure["low"] is not None:
            figure["note"] = f"a class has fewer than {FEW_PATIENTS} patients"
        if owner == ALL and name in AVERAGES:
            figure["average"] = AVERAGES[name]
        figures.setdefault(owner, {})[name] = figure
    return figures


def _figure(value: float, spread: Floats, reason: str) -> dict[str, Any]:
    if math.isnan(value):
        return {"value": None, "low": None, "high": None, "method": f"undefined: {reason}"}
    low, high = percentile_interval(spread, CONFIDENCE)
    if math.isnan(low):
        undefined = int(np.isnan(spread).sum())
        method = f"no interval: undefined in {undefined} of {len(spread)} resamples"
        return {"value": value, "low": None, "high": None, "method": method}
    method = f"patient bootstrap, percentile, {len(spread)} resamples"
    return {"value": value, "low": low, "high": high, "method": method}


def _flat(value: float, n_patients: int | None) -> dict[str, Any]:
    """An interval where every resample gave the same value, and resampling is blind to chance."""
    if n_patients is None or value not in (0.0, 1.0):
        method = "no interval: every resample gave the same value"
        return {"low": None, "high": None, "method": method}
    low, high = extreme_interval(value, n_patients, CONFIDENCE)
    return {"low": low, "high": high, "method": f"Clopper-Pearson over {n_patients} patients"}


def _patients_counted(judged: Judged, cells: Ints, owner: str, name: str) -> int | None:
    """How many patients stand in the denominator of a proportion; None for any other metric."""
    k = len(judged.target.classes)
    if name == "accuracy":
        return judged.patients.n
    if owner == ALL or name not in ("sensitivity", "specificity", "ppv", "npv"):
        return None
    number = judged.target.classes.index(owner)
    of_class = (cells // k if name in ("sensitivity", "specificity") else cells % k) == number
    counted = of_class if name in ("sensitivity", "ppv") else ~of_class
    return len(np.unique(judged.patients.of_image[counted]))


def _reason(name: str, owner: str, judged: Judged) -> str:
    counts = np.bincount(judged.codes, minlength=len(judged.target.classes))
    absent = [c for c, n in zip(judged.target.classes, counts, strict=True) if not n]
    if absent:
        return f"no image of class {', '.join(absent)}"
    what = {"ppv": "predicted as", "npv": "predicted as anything but"}.get(name, "predicted as")
    return f"no image is {what} {owner}" if owner else "a class's figure is undefined"


def _fewest_patients(judged: Judged) -> int:
    counts = [len(set(judged.patient_ids[judged.codes == k])) for k in np.unique(judged.codes)]
    return min(counts)


class Statistic:
    """All metrics of one target and split, for patient weights (b, n_patients).

    Keys are (class, metric), or (`ALL`, metric) for all classes together; values (b,).
    """

    def __init__(self, judged: Judged, cells: Ints) -> None:
        self._judged = judged
        self._k = len(judged.target.classes)
        self._counts = np.zeros((judged.patients.n, self._k**2))
        np.add.at(self._counts, (judged.patients.of_image, cells), 1.0)

    def __call__(self, weights: Floats) -> Values:
        """The metrics of these weightings."""
        confusion = (weights @ self._counts).reshape(len(weights), self._k, self._k)
        of_images = weights[:, self._judged.patients.of_image]
        by_class = {
            "auroc": np.stack([r.auroc(of_images) for r in self._judged.rankings], axis=1),
            "auprc": np.stack([r.auprc(of_images) for r in self._judged.rankings], axis=1),
            **{name: metric(confusion) for name, metric in metrics.PER_CLASS.items()},
        }
        values: Values = {}
        for number, owner in enumerate(self._judged.target.classes):
            values |= {(owner, name): column[:, number] for name, column in by_class.items()}
        if self._k > 2:
            values |= _averages(by_class, metrics.prevalence(confusion))
        return values | {(ALL, name): f(confusion) for name, f in metrics.OVERALL.items()}


def _averages(by_class: dict[str, Floats], shares: Floats) -> Values:
    """Macro (all classes alike) and weighted (by their images) means of per-class figures."""
    return {
        (ALL, "auroc"): by_class["auroc"].mean(axis=1),
        (ALL, "weighted_auroc"): (shares * by_class["auroc"]).sum(axis=1),
        (ALL, "macro_f1"): by_class["f1"].mean(axis=1),
        (ALL, "weighted_f1"): (shares * by_class["f1"]).sum(axis=1),
        (ALL, "macro_sensitivity"): by_class["sensitivity"].mean(axis=1),
        (ALL, "macro_specificity"): by_class["specificity"].mean(axis=1),
        (ALL, "macro_ppv"): by_class["ppv"].mean(axis=1),
    }


def _point_block(judged: Judged, point: OperatingPoint, draw: tuple[int, int]) -> dict[str, Any]:
    cells = confusion_at(judged.probabilities[:, 1], judged.codes == 1, point.threshold)
    figures = _main_metrics(_figures(judged, cells, draw), judged.target)
    shown = [name for name in figures if name not in ("auroc", "auprc")]
    return {**asdict(point), "metrics": {name: figures[name] for name in shown}}


def _curves(judged: Judged) -> dict[str, Any]:
    """Thinned ROC and precision-recall curves of the classes that are neither absent nor alone."""
    classes = list(enumerate(judged.target.classes))
    if judged.target.is_binary:
        classes = classes[1:]
    curves: dict[str, Any] = {"roc": {}, "precision_recall": {}}
    for number, name in classes:
        is_class, scores = judged.codes == number, judged.probabilities[:, number]
        if is_class.any() and not is_class.all():
            curves["roc"][name] = roc_points(scores, is_class)
            curves["precision_recall"][name] = precision_recall_points(scores, is_class)
    return curves
