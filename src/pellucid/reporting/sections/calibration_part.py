"""Calibration as the report shows it: the diagram before and after scaling, and the figures."""

from __future__ import annotations

from typing import Any

from pellucid.reporting.drawing.probability_plots import Reliability, plot_reliability
from pellucid.reporting.metric_words import PROBABILITY_METRICS
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Table, build_table
from pellucid.reporting.writing import (
    Estimate,
    capitalise,
    decimal,
    listing,
    metric_name,
    sentence_of,
    shorten,
)

KEYS = ("slope", "intercept", *PROBABILITY_METRICS)
READING = (
    "Points on the dotted line mean that a probability of 0.8 comes true in 80 % of the images. "
    "Bars are 95 % intervals; the grey columns say how many images got which probability."
)


def calibration_part(block: dict[str, Any], number: int) -> Part | None:
    """The calibration of one block; None where there is nothing to show."""
    calibration = block.get("calibration") or {}
    if not calibration.get("before"):
        return None
    parts = [
        Reliability(label, calibration[when]["bins"])
        for when, label in (("before", "as the model gives them"), ("after", "after scaling"))
        if has_images(calibration.get(when))
    ]
    plots: tuple[str, ...] = ()
    if parts:
        plots = (plot_reliability(parts, of=claim_of(block), name=f"reliability-{number}"),)
    words = (_describe(calibration), READING) if parts else (_describe(calibration),)
    return Part(
        "Calibration: do probabilities mean what they say?",
        f"calibration-{number}",
        words,
        plots,
        (_table(calibration, number),),
        _notes(calibration),
    )


def claim_of(block: dict[str, Any]) -> str:
    """Which probability the diagram is about."""
    if len(block["classes"]) == 2:
        return f"Predicted probability of {shorten(str(block['classes'][-1]))}"
    return "Probability of the class called"


def has_images(figures: dict[str, Any] | None) -> bool:
    """Whether there is a bin to draw."""
    return any(entry.get("n") for entry in (figures or {}).get("bins") or [])


def _describe(calibration: dict[str, Any]) -> str:
    scaling = calibration.get("scaling")
    if not scaling:
        reason = str(calibration.get("reason") or "")
        text = "Probabilities are as the model gives them"
        return f"{text}; they were not scaled: {sentence_of(reason)}" if reason else f"{text}."
    named = [
        f"{str(name).replace('_', ' ')} {decimal(float(value))}"
        for name, value in scaling["parameters"].items()
    ]
    return (
        f"Scaling ({scaling['method']}; {', '.join(named)}) was fitted on {scaling['fitted_on']} "
        "and is held here against images that it has not seen. It leaves the ranking as it is, "
        "and the model too: its probabilities stay as given."
    )


def _table(calibration: dict[str, Any], number: int) -> Table:
    sides = [("before", calibration["before"]), ("after", calibration.get("after") or {})]
    keys = [key for key in KEYS if any(key in figures for _, figures in sides)]
    rows = [
        [
            capitalise(metric_name(key)),
            *(Estimate.of(figures[key]) if key in figures else None for _, figures in sides),
        ]
        for key in keys
    ]
    heads = ["Figure", "as given", "after scaling"]
    return build_table(f"calibration-{number}", heads, rows)


def _notes(calibration: dict[str, Any]) -> str:
    """What the figures say of themselves, each once."""
    sides = {"as given": calibration["before"], "after scaling": calibration.get("after") or {}}
    notes: dict[str, list[str]] = {}
    for key in KEYS:
        for side, figures in sides.items():
            note = (figures.get(key) or {}).get("note")
            if note:
                notes.setdefault(str(note), []).append(f"{metric_name(key)}, {side}")
    return " ".join(sentence_of(f"{_whose(named)}: {note}") for note, named in notes.items())


def _whose(named: list[str]) -> str:
    """The figure that a note is about; both sides of one figure are its name alone."""
    if len(named) > 1 and len({name.partition(",")[0] for name in named}) == 1:
        return named[0].partition(",")[0]
    return listing(named)
