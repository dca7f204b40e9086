"""Which curves and operating points of evaluation.json are drawn, and what their legends say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pellucid.reporting.drawing.plots import (
    Curve,
    Mark,
    plot_precision_recall,
    plot_roc,
)
from pellucid.reporting.writing import Estimate, decimal, metric_name, shorten, split_name

POINT_NAMES = {
    "youden": "Youden",
    "sensitivity": "wanted sensitivity",
    "specificity": "wanted specificity",
    "cost": "cost ratio",
}
CURVES_SHOWN = 7  # as many as can be told apart in grey


def plot_curves(block: dict[str, Any], other: dict[str, Any] | None, number: int) -> Iterator[str]:
    """The plots of one block that it has the figures for; `other` is validation, drawn behind.

    `number` makes the ids of the plots unique on the page.
    """
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
            _curve(_legend(label, metric, per_class.get(label, {})), found[label], x, y)
            for label in shown
        ]
    curves = []
    for part in (block, other):
        lines = ((part or {}).get("curves") or {}).get(kind) or {}
        line = lines.get(block.get("positive")) or next(iter(lines.values()), None)
        if part is not None and line:
            label = _legend(split_name(str(part["split"])), metric, part.get("metrics", {}))
            curves.append(_curve(label, line, x, y, with_band=part is block))
    return curves


def _curve(label: str, line: Mapping[str, Any], x: str, y: str, *, with_band: bool = True) -> Curve:
    """A curve with its band; one that stands behind another has none, so that both can be seen."""
    if not with_band:
        return Curve(label, line[x], line[y])
    low, high = line.get(f"{y}_low") or (), line.get(f"{y}_high") or ()
    return Curve(label, line[x], line[y], low=low, high=high)


def _rank(metric: Any) -> float:
    """The worst curves first, the undefined last, when not all can be shown."""
    value = Estimate.of(metric).value
    return 2.0 if value is None else value


def _legend(label: str, metric: str, metrics: Mapping[str, Any]) -> str:
    estimate = Estimate.of(metrics.get(metric))
    short = shorten(label)
    return f"{short}, {metric_name(metric)} {estimate.number}" if estimate.is_defined else short


def _marks(block: dict[str, Any], kind: str) -> list[Mark]:
    """The operating points on the curve, where both of their figures are defined."""
    marks = []
    for point in block.get("operating_points") or []:
        if point.get("threshold") is None:
            continue
        figures = {key: Estimate.of(value).value for key, value in point["metrics"].items()}
        found, cleared, right = (figures.get(key) for key in ("sensitivity", "specificity", "ppv"))
        label = f"{point_name(point)}, threshold {threshold_text(point)}"
        if kind == "roc" and found is not None and cleared is not None:
            marks.append(Mark(label, 1 - cleared, found))
        if kind == "precision_recall" and found is not None and right is not None:
            marks.append(Mark(label, found, right))
    return marks


def point_name(point: Mapping[str, Any]) -> str:
    """An operating point as a reader says it: wanted sensitivity 0.95."""
    name = POINT_NAMES.get(str(point.get("name")), str(point.get("name", "")).replace("_", " "))
    return f"{name} {point['wanted']:g}" if point.get("wanted") is not None else name


def threshold_text(point: Mapping[str, Any]) -> str:
    """The threshold of an operating point."""
    value = point.get("threshold")
    return "not defined" if value is None else decimal(float(value))
