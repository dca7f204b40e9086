"""The metrics of one target as tables: grouped by what they answer, by class, and by patient.

Each figure stands with its interval and a letter for how the interval was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from pellucid.evaluation.uncertainty.methods import METHODS, method_of
from pellucid.reporting.metric_words import (
    GROUPS,
    MACRO_AUROC,
    METRIC_MEANINGS,
    WITHOUT_BAR,
    MetricGroup,
    group_of,
    in_order,
)
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell as TableCell
from pellucid.reporting.tables import Table, build_table
from pellucid.reporting.writing import (
    Estimate,
    capitalise,
    count,
    metric_name,
    percent,
    sentence_of,
    split_name,
    without_numbers,
)

PER_CLASS_ORDER = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1")
PATIENT_METRICS = (
    *("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy"),
    *("accuracy", "macro_f1", "brier"),
)
RULES = {
    "mean": "mean of its images' probabilities",
    "max": "highest of its images' probabilities",
    "noisy_or": "1 minus the product of 1 − probability over its images",
}
WHY = {  # where a figure needed another method than its metric has
    "patient bootstrap, percentile": "resamples whole patients: images of one patient are alike",
    "Newcombe": "hardly any pair is misranked, where a variance would claim certainty",
}


@dataclass(frozen=True)
class MetricRow:
    """One metric on the split judged, and on validation beside it; `mark` points to its method."""

    name: str
    meaning: str
    estimate: Estimate
    validation: Estimate | None
    has_bar: bool  # errors and ratios have none: their scale is another
    mark: str


@dataclass(frozen=True)
class ShownGroup:
    """The metrics that answer one question; their bars begin at `start` and end at 1."""

    name: str
    question: str
    rows: list[MetricRow]
    start: float
    table: Table


@dataclass(frozen=True)
class Method:
    """How intervals were found, and why so."""

    mark: str
    text: str
    why: str


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` is of its row, empty in an empty row."""

    count: int
    share: str
    tint: float
    is_right: bool


def group_metrics(
    block: dict[str, Any], other: dict[str, Any] | None, number: int
) -> tuple[list[ShownGroup], list[Method]]:
    """The metrics of a block in groups, with validation beside, and the methods they refer to."""
    figures, beside = _figures(block), _figures(other or {})
    methods = _collect_methods(figures, "" if len(block["classes"]) > 2 else block["classes"][1])
    marks = {method.text: method.mark for method in methods}
    groups = []
    for group in GROUPS:
        keys = [key for key in in_order(figures) if group_of(key) == group.name]
        rows = [_row(block, key, figures[key], beside.get(key), marks) for key in keys]
        if rows:
            groups.append(_shown(group, rows, block, other, number))
    return groups, methods


def _figures(block: dict[str, Any]) -> dict[str, Any]:
    """The metrics, and those of the probabilities also where only the calibration holds them."""
    before = (block.get("calibration") or {}).get("before") or {}
    of_probabilities = {key: value for key, value in before.items() if key in WITHOUT_BAR}
    for key in ("slope", "intercept"):
        of_probabilities.pop(key, None)
    return {**of_probabilities, **(block.get("metrics") or {})}


def _row(
    block: dict[str, Any], key: str, figure: Any, beside: Any, marks: dict[str, str]
) -> MetricRow:
    is_macro = key == "auroc" and len(block["classes"]) > 2
    estimate = Estimate.of(figure)
    return MetricRow(
        name="Macro AUROC" if is_macro else capitalise(metric_name(key)),
        meaning=MACRO_AUROC if is_macro else METRIC_MEANINGS.get(key, ""),
        estimate=estimate,
        validation=None if beside is None else Estimate.of(beside),
        has_bar=key not in WITHOUT_BAR,
        mark=marks.get(without_numbers(estimate.method), ""),
    )


def _shown(
    group: MetricGroup,
    rows: list[MetricRow],
    block: dict[str, Any],
    other: dict[str, Any] | None,
    number: int,
) -> ShownGroup:
    heads = ["metric", str(block["split"]), *(["validation"] if other else [])]
    cells = [[row.name, row.estimate, *([row.validation] if other else [])] for row in rows]
    name = f"{group.name.lower()}-{number}"
    question = group.question
    if group.name == "Decisions" and len(block["classes"]) == 2:
        question = "How often is the call at the threshold 0.5 right?"
    table = build_table(name, heads, cells)
    return ShownGroup(group.name, question, rows, scale_start(rows), table)


def scale_start(rows: list[MetricRow]) -> float:
    """0.5 where nothing reaches below it, so that good figures can be told apart; else 0."""
    estimates = [part for row in rows if row.has_bar for part in (row.estimate, row.validation)]
    reached = [part.low or part.value for part in estimates if part and part.value is not None]
    return 0.5 if reached and min(value or 0.0 for value in reached) >= 0.5 else 0.0


def _collect_methods(figures: dict[str, Any], owner: str) -> list[Method]:
    """Each method once, lettered in the order in which the tables meet them."""
    keys: dict[str, str] = {}
    for key in in_order(figures):
        text = without_numbers(Estimate.of(figures[key]).method)
        if text and not text.startswith(("undefined", "no interval")):
            keys.setdefault(text, key)
    letters = zip(ascii_lowercase, keys.items(), strict=False)
    return [Method(letter, text, _why(text, owner, key)) for letter, (text, key) in letters]


def _why(text: str, owner: str, key: str) -> str:
    """Why that method, and not the one that its metric has where it is another."""
    own = method_of(owner, key).why if key in METHODS else ""
    return next((why for start, why in WHY.items() if text.startswith(start)), own)


def confusion_rows(block: dict[str, Any]) -> list[tuple[str, list[Cell]]]:
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


def confusion_table(block: dict[str, Any], number: int) -> Table:
    """The confusion matrix for its CSV."""
    classes = [str(label) for label in block["classes"]]
    counts = block.get("confusion_matrix") or []
    rows: list[tuple[TableCell, ...]] = [
        (label, *map(int, row)) for label, row in zip(classes, counts, strict=False)
    ]
    heads = ("truth", *(f"called {label}" for label in classes))
    return Table(f"confusion-{number}", heads, tuple(rows))


def per_class_part(block: dict[str, Any], number: int) -> Part | None:
    """For more than two classes: each class against the rest."""
    figures = block.get("per_class") or {}
    if len(block["classes"]) < 3 or not figures:
        return None
    keys = [key for key in PER_CLASS_ORDER if any(key in entry for entry in figures.values())]
    matrix = block.get("confusion_matrix") or []
    support = {label: int(sum(row)) for label, row in zip(block["classes"], matrix, strict=False)}
    rows: list[list[TableCell]] = [
        [label, support.get(label, 0), *(Estimate.of(entry.get(key)) for key in keys)]
        for label, entry in figures.items()
    ]
    heads = ["Class", "Images", *(capitalise(metric_name(key)) for key in keys)]
    table = build_table(f"classes-{number}", heads, rows)
    return Part("Each class against the rest", f"classes-{number}", tables=(table,))


def patient_level_part(block: dict[str, Any], number: int) -> Part | None:
    """The same metrics with one row a patient, its images put together by a rule."""
    levels = block.get("patient_level") or {}
    if not levels:
        return None
    title, anchor = "Patient by patient", f"patients-{number}"
    if "reason" in levels:
        return Part(title, anchor, (f"Not shown: {sentence_of(str(levels['reason']))}",))
    rules = [rule for rule in levels if (levels[rule] or {}).get("metrics")]
    found = {key for rule in rules for key in levels[rule]["metrics"]}
    shown = in_order(found & set(PATIENT_METRICS))
    rows: list[list[TableCell]] = [
        [
            capitalise(metric_name(key)),
            Estimate.of((block.get("metrics") or {}).get(key)),
            *(Estimate.of(levels[rule]["metrics"].get(key)) for rule in rules),
        ]
        for key in shown
    ]
    heads = ["Metric", "by image", *(f"by patient, {rule.replace('_', '-')}" for rule in rules)]
    words = [_patients_sentence(block, levels, rules)]
    key = "; ".join(f"{rule.replace('_', '-')}: {RULES.get(rule, rule)}" for rule in rules)
    table = build_table(f"patients-{number}", heads, rows)
    return Part(title, anchor, tuple(words), tables=(table,), key=sentence_of(key))


def _patients_sentence(block: dict[str, Any], levels: dict[str, Any], rules: list[str]) -> str:
    n = max((int(levels[rule].get("n") or 0) for rule in rules), default=0)
    text = f"A patient is judged once, from all of its images: {count(n, 'patient')}"
    left_out = next((str(levels[rule].get("reason") or "") for rule in rules), "")
    if left_out:
        return f"{text}. {sentence_of(left_out)}"
    return f"{text} of {int(block['n_images']):,} {split_name(str(block['split']))} images."
