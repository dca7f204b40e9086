"""All that can be said of predictions, as the document of `evaluation.json`.

One block a target and split: counts, confusion matrix, metrics with intervals, per-class figures,
operating points, calibration and curves. A metric that is undefined stands there as null with the
reason; none is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.errors import PredictionsError
from pellucid.evaluation.calibration import describe_calibration
from pellucid.evaluation.curves import precision_recall_points, roc_points
from pellucid.evaluation.figures import CONFIDENCE, build_figures, main_metrics
from pellucid.evaluation.judged import Judged, judged_splits
from pellucid.evaluation.operating_point import (
    DEFAULT,
    OperatingPoint,
    confusion_at,
    youden_point,
)
from pellucid.evaluation.predictions import check_predictions, task_from_predictions
from pellucid.storage import write_json
from pellucid.task import Task

FORMAT, VERSION = "pellucid-evaluation", 1

Ints = npt.NDArray[np.int64]


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
        judged = judged_splits(table, target)
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
    figures = build_figures(judged, k * codes + predicted, draw)
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
        "metrics": main_metrics(figures, target),
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


def _point_block(judged: Judged, point: OperatingPoint, draw: tuple[int, int]) -> dict[str, Any]:
    cells = confusion_at(judged.probabilities[:, 1], judged.codes == 1, point.threshold)
    figures = main_metrics(build_figures(judged, cells, draw), judged.target)
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
