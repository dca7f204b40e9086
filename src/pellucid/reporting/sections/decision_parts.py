"""From probabilities to decisions: operating points, decision curve, sets and abstention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pellucid.reporting.drawing.curves import point_name, threshold_text
from pellucid.reporting.drawing.plots import Mark
from pellucid.reporting.drawing.probability_plots import plot_coverage_risk, plot_decision_curve
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, Table, build_table
from pellucid.reporting.writing import (
    Estimate,
    capitalise,
    count,
    metric_name,
    percent,
    sentence_of,
)

POINT_ORDER = ("sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "accuracy")
SET_FIGURES = ("coverage", "mean_size", "singletons", "empty")
Block = dict[str, Any]


def points_part(block: Block, number: int) -> Part | None:
    """Thresholds with what they do here; none was chosen on the images shown."""
    points = block.get("operating_points") or []
    keys = [key for key in POINT_ORDER if any(key in point["metrics"] for point in points)][:5]
    if not keys:
        return None
    rows: list[list[Cell]] = [
        [
            point_name(point),
            threshold_text(point),
            str(point.get("chosen_on") or ""),
            *(_figure_at(point, key) for key in keys),
        ]
        for point in points
    ]
    heads = ["Point", "Threshold", "Chosen on", *(capitalise(metric_name(key)) for key in keys)]
    table = build_table(f"points-{number}", heads, rows)
    words = (
        "An image is called positive from the threshold on. A threshold is chosen on validation "
        "and only reported here; so what was wanted is not met exactly. Youden's point has the "
        "largest sum of sensitivity and specificity.",
    )
    return Part("Operating points", f"points-{number}", words, tables=(table,))


def _figure_at(point: Block, key: str) -> Estimate:
    if not point["metrics"] and point.get("reason"):
        return Estimate(None, method=f"undefined: {point['reason']}")
    return Estimate.of(point["metrics"].get(key))


def decision_curve_part(block: Block, number: int) -> Part | None:
    """Net benefit: whether calling by the model beats calling everybody or nobody."""
    curve = block.get("decision_curve")
    if not curve:
        return None
    title, anchor = "Decision curve: is it worth using?", f"decisions-{number}"
    if "reason" in curve:
        return Part(title, anchor, (f"Not shown: {sentence_of(str(curve['reason']))}",))
    words = (
        "Net benefit weighs images found against false alarms by the threshold at which one would "
        "act: at 0.2, four false alarms weigh as much as one image found. The model is worth using "
        "where its line lies above both others. Net benefit holds at a prevalence of "
        f"{percent(float(curve['prevalence']))}"
        f"{' (' + str(curve['prevalence_is']) + ')' if curve.get('prevalence_is') else ''}.",
    )
    plot = plot_decision_curve(curve, name=f"decision-curve-{number}")
    return Part(title, anchor, words, (plot,), (_curve_table(curve, number),))


def _curve_table(curve: Block, number: int) -> Table:
    """Net benefit at the round thresholds."""
    rows: list[list[Cell]] = []
    wanted = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    thresholds = [float(value) for value in curve["thresholds"]]
    places = {min(range(len(thresholds)), key=lambda k: abs(thresholds[k] - t)) for t in wanted}
    for k in sorted(places):
        low, high = ((curve.get(f"model_{end}") or [None] * (k + 1))[k] for end in ("low", "high"))
        figure = Estimate(curve["model"][k], low, high, "band of the curve")
        rows.append([thresholds[k], figure, curve["treat_all"][k], curve["treat_none"][k]])
    heads = ["Threshold", "By the model", "Treat all", "Treat none"]
    return build_table(f"net-benefit-{number}", heads, rows)


def prediction_sets_part(block: Block, number: int) -> Part | None:
    """Sets of classes that hold the truth as often as promised."""
    sets = block.get("prediction_sets")
    if not sets:
        return None
    title, anchor = "Prediction sets", f"sets-{number}"
    if isinstance(sets, dict):
        return Part(title, anchor, (f"Not shown: {sentence_of(str(sets.get('reason')))}",))
    heads = ["Promised", "Held the truth", "Mean size", "One class", "No class"]
    classes = list(dict.fromkeys(label for entry in sets for label in entry.get("per_class") or {}))
    rows: list[list[Cell]] = [
        [
            percent(float(entry["promised"])),
            *(Estimate.of(entry.get(key)) for key in SET_FIGURES),
            *(Estimate.of((entry.get("per_class") or {}).get(label)) for label in classes),
        ]
        for entry in sets
    ]
    table = build_table(f"sets-{number}", [*heads, *(f"held {c}" for c in classes)], rows)
    words = (
        "Instead of one class the network may name a set: all classes that it cannot rule out. "
        f"{_promise(sets[0])} The promise is for all images together, not for each class; so each "
        "class is shown too.",
    )
    notes = [str(x[key]) for key in ("method", "counted", "reason") for x in sets if x.get(key)]
    key = " ".join(map(sentence_of, dict.fromkeys(notes)))
    return Part(title, anchor, words, tables=(table,), key=key)


def _promise(entry: Block) -> str:
    return (
        f"They were fitted on {count(int(entry['n_calibration']), 'patient')} of "
        f"{entry['fitted_on']} and promise to hold the truth in the stated share of images."
    )


def abstention_part(block: Block, number: int) -> Part | None:
    """What is gained when the least sure images go to a human reader."""
    curve = block.get("abstention")
    if not curve:
        return None
    title, anchor = "Abstention: leaving the least sure to a reader", f"abstention-{number}"
    if not curve.get("coverage"):
        return Part(title, anchor, (f"Not shown: {sentence_of(str(curve.get('reason')))}",))
    area = Estimate.of(curve.get("area"))
    words = [
        "Images are kept in the order in which the network is sure of them. A curve that falls to "
        "the left means that its doubt is worth something; the band is wide where few are kept. "
        f"The area under the curve is {area.sentence}; 0 is best."
    ]
    if curve.get("reason") and not curve.get("at"):
        words.append(f"No threshold is given: {sentence_of(str(curve['reason']))}")
    plot = plot_coverage_risk(curve, list(_kept_marks(curve)), name=f"coverage-{number}")
    return Part(title, anchor, tuple(words), (plot,), tuple(_kept_table(curve, number)))


def _kept_marks(curve: Block) -> Iterator[Mark]:
    for entry in curve.get("at") or []:
        kept, risk = Estimate.of(entry.get("kept")).value, Estimate.of(entry.get("risk")).value
        if risk is not None:
            place = float(entry["coverage"]) if kept is None else kept
            yield Mark(f"threshold for {percent(float(entry['coverage']))} kept", place, risk)


def _kept_table(curve: Block, number: int) -> Iterator[Table]:
    rows: list[list[Cell]] = [
        [
            percent(float(entry["coverage"])),
            entry.get("threshold"),
            str(entry.get("chosen_on") or ""),
            Estimate.of(entry["kept"]) if "kept" in entry else None,
            Estimate.of(entry.get("risk")),
        ]
        for entry in curve.get("at") or []
    ]
    if rows:
        risk = str(curve.get("risk_is", "risk")).capitalize()
        heads = ["Meant to keep", "Threshold", "Chosen on", "Kept here", risk]
        yield build_table(f"abstention-{number}", heads, rows)
