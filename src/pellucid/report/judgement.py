"""One target as it was judged: its tables, its plots and its surest mistakes, as plain data.

Takes every figure from evaluation.json, and from the predictions only which images were mistaken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.documents import RunDocuments
from pellucid.report.pictures import Thumbnail, make_thumbnail
from pellucid.report.plots import (
    Curve,
    Mark,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
)
from pellucid.report.writing import (
    METRIC_MEANINGS,
    METRIC_NAMES,
    UNBOUNDED,
    Estimate,
    decimal,
    metric_name,
    percent,
    split_name,
)

MISTAKES_SHOWN = 12
CURVES_SHOWN = 7  # as many as can be told apart in grey
PER_CLASS_ORDER = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1")
POINT_ORDER = ("sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "accuracy")


@dataclass(frozen=True)
class MetricRow:
    """One metric on the split judged, and on validation beside it."""

    name: str
    meaning: str
    estimate: Estimate
    validation: Estimate | None
    on_unit_scale: bool


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` is of its row, None in an empty row."""

    count: int
    share: str
    tint: float
    is_right: bool


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction that the network was sure of."""

    image_id: str
    truth: str
    predicted: str
    probability: str
    thumbnail: Thumbnail
    is_synthetic: bool


@dataclass(frozen=True)
class Judgement:
    """All that the page says about one target."""

    target: str
    anchor: str
    classes: tuple[str, ...]
    positive: str | None
    split: str
    n_images: int
    metrics: list[MetricRow]
    has_validation: bool
    confusion: list[tuple[str, list[Cell]]]
    per_class: tuple[list[str], list[tuple[str, int, list[Estimate]]]]
    points: tuple[list[str], list[tuple[str, str, str, list[Estimate]]]]
    plots: list[str]
    calibration: str
    curves_left_out: int
    mistakes: list[Mistake]
    n_mistakes: int | None


def judge_target(documents: RunDocuments, target: str, number: int) -> Judgement:
    """Everything about one target; `number` makes the ids of its plots unique on the page."""
    block = documents.main_block(target)
    validation = documents.block(target, "validation")
    other = None if validation is block else validation
    wrong = find_mistakes(documents, block)
    return Judgement(
        target=target,
        anchor=f"target-{number}",
        classes=tuple(block["classes"]),
        positive=block.get("positive"),
        split=split_name(str(block["split"])),
        n_images=int(block["n_images"]),
        metrics=list(_metric_rows(block, other)),
        has_validation=other is not None,
        confusion=_confusion_rows(block),
        per_class=_per_class(block),
        points=_points(block),
        plots=list(_plots(block, other, number)),
        calibration=_describe_calibration(block),
        curves_left_out=max(0, len(block["classes"]) - CURVES_SHOWN),
        mistakes=_show_mistakes(documents, wrong),
        n_mistakes=None if wrong is None else len(wrong),
    )


def _metric_rows(block: dict[str, Any], other: dict[str, Any] | None) -> Iterator[MetricRow]:
    metrics = block.get("metrics", {})
    beside = (other or {}).get("metrics", {})
    order = [*(key for key in METRIC_NAMES if key in metrics), *metrics]
    for key in dict.fromkeys(order):
        yield MetricRow(
            name=metric_name(key),
            meaning=METRIC_MEANINGS.get(key, ""),
            estimate=Estimate.of(metrics[key]),
            validation=Estimate.of(beside.get(key)) if key in beside else None,
            on_unit_scale=key not in UNBOUNDED,
        )


def _confusion_rows(block: dict[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Rows are the truth, columns the prediction."""
    rows = []
    for true, counts in enumerate(block.get("confusion_matrix") or []):
        total = sum(counts)
        cells = [
            Cell(
                count=int(number),
                share=percent(number / total) if total else "",
                tint=round(number / total, 3) if total else 0.0,
                is_right=true == predicted,
            )
            for predicted, number in enumerate(counts)
        ]
        rows.append((str(block["classes"][true]), cells))
    return rows


def _per_class(block: dict[str, Any]) -> tuple[list[str], list[tuple[str, int, list[Estimate]]]]:
    """For more than two classes: each class against the rest."""
    figures = block.get("per_class") or {}
    if len(block["classes"]) < 3 or not figures:
        return [], []
    keys = [key for key in PER_CLASS_ORDER if any(key in entry for entry in figures.values())]
    matrix = block.get("confusion_matrix") or []
    support = {
        label: int(sum(row)) for label, row in zip(block["classes"], matrix, strict=False)
    }
    rows = [
        (label, support.get(label, 0), [Estimate.of(entry.get(key)) for key in keys])
        for label, entry in figures.items()
    ]
    return [metric_name(key) for key in keys], rows


def _points(block: dict[str, Any]) -> tuple[list[str], list[tuple[str, str, str, list[Estimate]]]]:
    """The operating points: name, threshold, where it was chosen, and the figures there."""
    points = [entry for entry in block.get("operating_points") or [] if entry.get("metrics")]
    keys = [key for key in POINT_ORDER if any(key in entry["metrics"] for entry in points)][:5]
    rows = [
        (
            str(entry.get("name", "")).replace("_", " "),
            _threshold(entry),
            str(entry.get("chosen_on") or ""),
            [Estimate.of(entry["metrics"].get(key)) for key in keys],
        )
        for entry in points
    ]
    return [metric_name(key) for key in keys], rows


def _threshold(point: Mapping[str, Any]) -> str:
    value = point.get("threshold")
    return "not defined" if value is None else decimal(float(value))


def _plots(block: dict[str, Any], other: dict[str, Any] | None, number: int) -> Iterator[str]:
    curves = block.get("curves") or {}
    if curves.get("roc"):
        lines = _curves(block, other, "roc", ("fpr", "tpr", "auroc"))
        yield plot_roc(lines, _marks(block, "roc"), name=f"roc-{number}")
    if curves.get("precision_recall"):
        lines = _curves(block, other, "precision_recall", ("recall", "precision", "auprc"))
        positive = block.get("positive") if len(block["classes"]) == 2 else None
        share = (block.get("prevalence") or {}).get(positive) if positive else None
        marks = _marks(block, "precision_recall")
        yield plot_precision_recall(lines, marks, prevalence=share, name=f"precision-{number}")
    bins = (block.get("calibration") or {}).get("bins") or []
    if any(entry.get("n") for entry in bins):
        yield plot_reliability(bins, name=f"reliability-{number}")


def _curves(
    block: dict[str, Any], other: dict[str, Any] | None, kind: str, keys: tuple[str, str, str]
) -> list[Curve]:
    """For two classes the split judged and validation behind it; else one curve a class."""
    x, y, metric = keys
    if len(block["classes"]) > 2:
        found = block["curves"][kind]
        per_class = block.get("per_class") or {}
        labels = sorted(found, key=lambda label: _rank(per_class.get(label, {}).get(metric)))
        shown = [label for label in found if label in labels[:CURVES_SHOWN]]
        return [
            Curve(_legend(label, metric, per_class.get(label, {})), found[label][x], found[label][y])
            for label in shown
        ]
    curves = []
    for part in (block, other):
        lines = ((part or {}).get("curves") or {}).get(kind) or {}
        line = lines.get(block.get("positive")) or next(iter(lines.values()), None)
        if part is not None and line:
            label = _legend(split_name(str(part["split"])), metric, part.get("metrics", {}))
            curves.append(Curve(label, line[x], line[y]))
    return curves


def _rank(metric: Any) -> float:
    """The worst curves first, the undefined last, when not all can be shown."""
    value = Estimate.of(metric).value
    return 2.0 if value is None else value


def _legend(label: str, metric: str, metrics: Mapping[str, Any]) -> str:
    estimate = Estimate.of(metrics.get(metric))
    short = label if len(label) <= 24 else f"{label[:23]}…"
    return f"{short}, {metric_name(metric)} {estimate.number}" if estimate.is_defined else short


def _marks(block: dict[str, Any], kind: str) -> list[Mark]:
    """The operating points on the curve, where both of their figures are defined."""
    marks = []
    for point in block.get("operating_points") or []:
        figures = {key: Estimate.of(value).value for key, value in point["metrics"].items()}
        found, cleared, right = (figures.get(key) for key in ("sensitivity", "specificity", "ppv"))
        label = f"{str(point['name']).replace('_', ' ')}, threshold {_threshold(point)}"
        if kind == "roc" and found is not None and cleared is not None:
            marks.append(Mark(label, 1 - cleared, found))
        if kind == "precision_recall" and found is not None and right is not None:
            marks.append(Mark(label, found, right))
    return marks


def _describe_calibration(block: dict[str, Any]) -> str:
    calibration = block.get("calibration") or {}
    method = str(calibration.get("method") or "none")
    text = (
        "Probabilities are as the network gave them."
        if method == "none"
        else f"Probabilities were calibrated on validation ({method.replace('_', ' ')})."
    )
    error = Estimate.of(calibration.get("calibration_error"))
    if error.is_defined:
        text += f" Calibration error {error.text}."
    return text


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
    # At a probability of exactly 0.5 the positive class, which stands last, is called.
    best = len(columns) - 1 - probabilities[:, ::-1].argmax(axis=1)
    found = pd.DataFrame(
        {
            "image_id": table["image_id"].to_numpy(),
            "truth": [_label(value, block["classes"]) for value in table["y_true"]],
            "predicted": [str(block["classes"][code]) for code in best],
            "probability": probabilities.max(axis=1),
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


def _show_mistakes(documents: RunDocuments, wrong: pd.DataFrame | None) -> list[Mistake]:
    if wrong is None:
        return []
    places = _places(documents.index)
    all_synthetic = bool(documents.dataset.get("synthetic"))
    shown = []
    for row in wrong.head(MISTAKES_SHOWN).to_dict("records"):
        path, frame = places.get(str(row["image_id"]), ("", 0))
        thumbnail = make_thumbnail(path, frame)
        shown.append(
            Mistake(
                image_id=str(row["image_id"]),
                truth=str(row["truth"]),
                predicted=str(row["predicted"]),
                probability=decimal(float(row["probability"])),
                thumbnail=thumbnail,
                is_synthetic=all_synthetic or thumbnail.is_synthetic,
            )
        )
    return shown


def _places(index: pd.DataFrame | None) -> dict[str, tuple[str, int]]:
    """Where each image is: its path and frame."""
    if index is None or "image_path" not in index:
        return {}
    frames = index["frame"] if "frame" in index else pd.Series("0", index=index.index)
    frames = pd.to_numeric(frames, errors="coerce").fillna(0).astype(int)
    paths = index["image_path"].fillna("")
    rows = zip(index["image_id"], paths, frames, strict=True)
    return {str(key): (str(path), int(frame)) for key, path, frame in rows}
