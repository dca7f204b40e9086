"""Logits to words, as a part of a page: the bars, the table of every form, and one more logit.

Every number and sentence comes from the document of the wording; this module arranges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.reporting.drawing.wording_plots import ClassBar, plot_logits, plot_probabilities
from pellucid.reporting.parts import Part
from pellucid.reporting.tables import Cell, Table, Written, build_table

SHOWN = 12  # classes; of more only the likeliest

Words = Mapping[str, Any]


def words_part(words: Words, number: int, title: str) -> Part:
    """One target's logits, odds, probabilities and log-probabilities side by side."""
    name = f"words-{number}"
    entries = _likeliest(words["classes"])
    bars = [_bar(entry, words) for entry in entries]
    left = len(words["classes"]) - len(entries)
    key = (
        "Natural logarithms. The odds of several logits are known up to one common factor, so only "
        "their ratios count; odds against the rest are p / (1 − p)."
    )
    if words["is_one_logit"]:
        key = "One logit z: the odds are e^z, the other class has −z and 1 / odds."
    if left:
        key += f" The {SHOWN} likeliest of {SHOWN + left} classes."
    return Part(
        title,
        name,
        tuple(str(sentence) for sentence in words["sentences"]),
        (plot_logits(bars, name=f"{name}-z"), plot_probabilities(bars, name=f"{name}-p")),
        (_forms(entries, words, name), _raised(words, entries, name)),
        key,
    )


def _likeliest(entries: Sequence[Words]) -> list[Words]:
    """The likeliest classes, in their own order."""
    kept = sorted(entries, key=lambda entry: -float(entry["log_probability"]))[:SHOWN]
    return [entry for entry in entries if entry in kept]


def _bar(entry: Words, words: Words) -> ClassBar:
    return ClassBar(
        label=str(entry["label"]),
        logit=float(entry["logit"]),
        logit_text=str(entry["logit_text"]),
        probability=float(entry["probability"]),
        probability_text=str(entry["probability_text"]),
        is_called=entry["label"] == words["called"],
    )


def _forms(entries: Sequence[Words], words: Words, name: str) -> Table:
    """A row a class, a column a form."""
    columns = ["Class", "Logit z", "Odds e^z", "Odds against the rest", "Probability p", "log p"]
    if words["is_one_logit"]:
        columns[3] = "In words"
    rows: list[list[Cell]] = [
        [
            str(entry["label"]),
            Written(str(entry["logit_text"]), float(entry["logit"])),
            _odds(entry),
            str(entry["odds_against_rest"]),
            Written(str(entry["probability_text"]), float(entry["probability"])),
            Written(str(entry["log_probability_text"]), float(entry["log_probability"])),
        ]
        for entry in entries
    ]
    caption = "The same output in every form"
    return build_table(f"{name}-forms", columns, rows, caption=caption)


def _odds(entry: Words) -> Cell:
    text, odds = str(entry["odds_text"]), entry["odds"]
    return text if odds is None else Written(text, float(odds))


def _raised(words: Words, entries: Sequence[Words], name: str) -> Table:
    """What one more on a logit would do to each probability; a row a logit."""
    labels = [entry["label"] for entry in entries]
    places = [k for k, entry in enumerate(words["classes"]) if entry["label"] in labels]
    now: list[Cell] = ["as it is", ""]
    now += [
        Written(str(entry["probability_text"]), float(entry["probability"])) for entry in entries
    ]
    rows = [now]
    for raised in words["raised"]:
        if raised["label"] not in labels:
            continue
        texts, values = raised["texts"], raised["probabilities"]
        row: list[Cell] = [f"{raised['label']} + 1", "× 2.72"]
        rows.append([*row, *(Written(str(texts[k]), float(values[k])) for k in places)])
    columns = ["Logit", "Its odds", *(f"p of {label}" for label in labels)]
    caption = "What one more on a logit would do"
    return build_table(f"{name}-raised", columns, rows, caption=caption)
