"""One target as it was judged: its tables, its plots and its failures, as plain data.

Takes every figure from evaluation.json. Each part is in a file of its own; a part without its block
is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.drawing.curves import CURVES_SHOWN, plot_curves
from pellucid.reporting.parts import Part
from pellucid.reporting.sections.calibration_part import calibration_part
from pellucid.reporting.sections.decision_parts import (
    abstention_part,
    decision_curve_part,
    points_part,
    prediction_sets_part,
)
from pellucid.reporting.sections.external_part import external_part
from pellucid.reporting.sections.group_parts import subgroups_part
from pellucid.reporting.sections.metric_tables import (
    Cell,
    Method,
    ShownGroup,
    confusion_rows,
    confusion_table,
    group_metrics,
    patient_level_part,
    per_class_part,
)
from pellucid.reporting.sections.mistakes import Failures, show_failures
from pellucid.reporting.tables import Table
from pellucid.reporting.writing import split_name


@dataclass(frozen=True)
class Judgement:
    """All that the page says about one target."""

    target: str
    anchor: str
    classes: tuple[str, ...]
    positive: str | None
    split: str
    n_images: int
    has_validation: bool
    validation_chose_epoch: bool
    n_folds: int
    groups: list[ShownGroup]
    methods: list[Method]
    confusion: list[tuple[str, list[Cell]]]
    confusion_table: Table
    before_failures: list[Part]
    failures: Failures


def judge_target(documents: RunDocuments, target: str, number: int) -> Judgement:
    """Everything about one target; `number` makes the ids of its plots unique on the page."""
    block = documents.main_block(target)
    validation = documents.block(target, "validation")
    other = None if validation is block else validation
    groups, methods = group_metrics(block, other, number)
    return Judgement(
        target=target,
        anchor=f"target-{number}",
        classes=tuple(block["classes"]),
        positive=block.get("positive"),
        split=split_name(str(block["split"])),
        n_images=int(block["n_images"]),
        has_validation=other is not None,
        validation_chose_epoch=documents.was_trained_here,
        n_folds=documents.n_folds,
        groups=groups,
        methods=methods,
        confusion=confusion_rows(block),
        confusion_table=confusion_table(block, number),
        before_failures=_parts(documents, target, block, other, number),
        failures=show_failures(documents, block, number),
    )


def _parts(
    documents: RunDocuments,
    target: str,
    block: dict[str, Any],
    other: dict[str, Any] | None,
    number: int,
) -> list[Part]:
    """In the order in which a reader asks: how good, for whom, with what threshold, where not."""
    test, external = (documents.block(target, split) for split in ("test", "external_test"))
    parts = [
        external_part(test, external, number),
        per_class_part(block, number),
        patient_level_part(block, number),
        _curves_part(block, other, number),
        calibration_part(block, number),
        points_part(block, number),
        decision_curve_part(block, number),
        prediction_sets_part(block, number),
        abstention_part(block, number),
        subgroups_part(block, number),
    ]
    return [part for part in parts if part is not None]


def _curves_part(block: dict[str, Any], other: dict[str, Any] | None, number: int) -> Part | None:
    plots = tuple(plot_curves(block, other, number))
    if not plots:
        return None
    left_out = len(block["classes"]) - CURVES_SHOWN
    key = "Bands are 95 % intervals." if _has_band(block) else ""
    if left_out > 0:
        key += f" The classes with the lowest areas are drawn; {left_out} more are in "
        key += "evaluation.json."
    return Part("Curves over all thresholds", f"curves-{number}", plots=plots, key=key.strip())


def _has_band(block: dict[str, Any]) -> bool:
    return any(line.get("tpr_low") for line in (block["curves"].get("roc") or {}).values())
