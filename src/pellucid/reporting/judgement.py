"""One target as it was judged: its tables, its plots and its surest mistakes, as plain data.

Takes every figure from evaluation.json, and from the predictions only which images were mistaken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.curves import CURVES_SHOWN, plot_curves, threshold_text
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.mistakes import Mistake, find_mistakes, show_mistakes
from pellucid.reporting.writing import (
    ERRORS,
    METRIC_MEANINGS,
    METRIC_NAMES,
    Estimate,
    metric_name,
    percent,
    split_name,
)

PER_CLASS_ORDER = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1")
MACRO_AUROC = "mean over the classes, each ranked against the rest; 0.5 is guessing"
POINT_ORDER = ("sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "accuracy")


@dataclass(frozen=True)
class MetricRow:
    """One metric on the split judged, and on validation beside it."""

    name: str
    meaning: str
    estimate: Estimate
    validation: Estimate | None
    has_bar: bool  # errors have none: they are best when low, and have another scale


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` is of its row, None in an empty row."""

    count: int
    share: str
    tint: float
    is_right: bool


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
    scale_start: float  # where the bars of the metrics begin; they end at 1
    has_validation: bool
    confusion: list[tuple[str, list[Cell]]]
    per_class: tuple[list[str], list[tuple[str, int, list[Estimate]]]]
    points: tuple[list[str], list[tuple[str, str, str, list[Estimate]]]]
    plots: list[str]
    calibration: str
    has_reliability: bool
    curves_left_out: int
    mistakes: list[Mistake]
    n_mistakes: int | None
    has_pictures: bool  # whether the run says where its images are


def judge_target(documents: RunDocuments, target: str, number: int) -> Judgement:
    """Everything about one target; `number` makes the ids of its plots unique on the page."""
    block = documents.main_block(target)
    validation = documents.block(target, "validation")
    other = None if validation is block else validation
    wrong = find_mistakes(documents, block)
    metrics = list(_metric_rows(block, other))
    return Judgement(
        target=target,
        anchor=f"target-{number}",
        classes=tuple(block["classes"]),
        positive=block.get("positive"),
        split=split_name(str(block["split"])),
        n_images=int(block["n_images"]),
        metrics=metrics,
        scale_start=_scale_start(metrics),
        has_validation=other is not None,
        confusion=_confusion_rows(block),
        per_class=_per_class(block),
        points=_points(block),
        plots=list(plot_curves(block, other, number)),
        calibration=_describe_calibration(block),
        has_reliability=bool((block.get("calibration") or {}).get("bins")),
        curves_left_out=max(0, len(block["classes"]) - CURVES_SHOWN),
        mistakes=show_mistakes(documents, wrong),
        n_mistakes=None if wrong is None else len(wrong),
        has_pictures=documents.index is not None,
    )


def _metric_rows(block: dict[str, Any], other: dict[str, Any] | None) -> Iterator[MetricRow]:
    metrics = block.get("metrics", {})
    beside = (other or {}).get("metrics", {})
    several = len(block["classes"]) > 2
    order = [*(key for key in METRIC_NAMES if key in metrics), *metrics]
    for key in dict.fromkeys(order):
        yield MetricRow(
            name="macro AUROC" if key == "auroc" and several else metric_name(key),
            meaning=MACRO_AUROC if key == "auroc" and several else METRIC_MEANINGS.get(key, ""),
            estimate=Estimate.of(metrics[key]),
            validation=Estimate.of(beside.get(key)) if key in beside else None,
            has_bar=key not in ERRORS,
        )


def _scale_start(rows: list[MetricRow]) -> float:
    """0.5 where nothing reaches below it, so that good figures can be told apart; else 0."""
    estimates = [part for row in rows if row.has_bar for part in (row.estimate, row.validation)]
    reached = [part.low or part.value for part in estimates if part and part.value is not None]
    return 0.5 if reached and min(value or 0.0 for value in reached) >= 0.5 else 0.0


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
    support = {label: int(sum(row)) for label, row in zip(block["classes"], matrix, strict=False)}
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
            threshold_text(entry),
            str(entry.get("chosen_on") or ""),
            [Estimate.of(entry["metrics"].get(key)) for key in keys],
        )
        for entry in points
    ]
    return [metric_name(key) for key in keys], rows


def _describe_calibration(block: dict[str, Any]) -> str:
    calibration = block.get("calibration") or {}
    method = str(calibration.get("method") or "none")
    text = (
        "Probabilities are as the network gave them."
        if method == "none"
        else f"Probabilities were calibrated on validation ({method.replace('_', ' ')})."
    )
    figures = [
        f"{metric_name(key)} {estimate.text}"
        for key in ("brier", "log_loss", "calibration_error")
        if (estimate := Estimate.of(calibration.get(key))).is_defined
    ]
    return f"{text} {', '.join(figures).capitalize()}." if figures else text
