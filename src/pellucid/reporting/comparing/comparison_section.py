"""Which of several models is better, as a section: the same for its own page and a run's report.

Every number and every verdict comes from the comparison document; this module only arranges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.evaluation.comparing.pair_verdict import (
    LOW_IS_BETTER,
    is_beyond_chance,
    metric_words,
    p_words,
    signed,
)
from pellucid.reporting.comparing.comparison_methods import describe_methods
from pellucid.reporting.comparing.comparison_tables import (
    figures_table,
    models_table,
    pairs_table,
    seeds_table,
)
from pellucid.reporting.drawing.forest import ForestRow, plot_forest
from pellucid.reporting.sections.verdict import is_yes_or_no
from pellucid.reporting.tables import Table
from pellucid.reporting.writing import Estimate, count, listing, shorten, split_name

PAIRS_DRAWN = 6  # in a forest plot; of more models only the pairs with the first are drawn
PAIR_LIMIT = 19  # letters of two names in the label of a difference

Document = Mapping[str, Any]


@dataclass(frozen=True)
class ShownVerdict:
    """What follows for one pair: in a word, with its numbers, and the rest."""

    head: str
    numbers: str
    rest: str
    is_beyond_chance: bool


@dataclass(frozen=True)
class Difference:
    """One row of the table of pairs."""

    metric: str
    value: str
    interval: str
    p: str
    p_corrected: str
    test: str
    remark: str
    is_beyond_chance: bool


@dataclass(frozen=True)
class TargetComparison:
    """All that is said of one target."""

    target: str
    question: str
    whom: str
    verdicts: list[ShownVerdict]
    plots: list[str]
    drawn_against: str  # the model whose pairs alone are drawn; empty where all are
    models: Table
    all_figures: Table
    pairs: list[tuple[str, list[Difference]]]
    pairs_table: Table  # the same as CSV


@dataclass(frozen=True)
class ComparisonSection:
    """The section as plain data and plots."""

    several_targets: bool
    targets: list[TargetComparison]
    seeds: Table
    notes: list[str]
    methods: list[str]


def comparison_section(document: Document, name: str = "comparison") -> ComparisonSection:
    """The section of a comparison document; `name` makes the ids of its plots unique on a page."""
    targets = document["targets"]
    return ComparisonSection(
        several_targets=len(targets) > 1,
        targets=[_target(block, f"{name}-{number}") for number, block in enumerate(targets)],
        seeds=seeds_table(document["seeds"], f"{name}-seeds"),
        notes=[str(note) for note in document["notes"]],
        methods=list(describe_methods(document)),
    )


def _target(block: Document, name: str) -> TargetComparison:
    metrics, n_classes = list(block["pairs"][0]["metrics"]), len(block["classes"])
    all_drawn = len(_drawn(block)) == len(block["pairs"])
    return TargetComparison(
        target=str(block["target"]),
        question=_question(block),
        whom=_whom(block),
        verdicts=[_verdict(pair, metrics[0]) for pair in block["pairs"]],
        plots=[_forest(block, metric, f"{name}-{metric}") for metric in metrics],
        drawn_against="" if all_drawn else str(block["models"][0]["name"]),
        models=models_table(block, metrics, f"{name}-models"),
        all_figures=figures_table(block, f"{name}-figures"),
        pairs=[(_pair_name(pair), list(_differences(pair, n_classes))) for pair in block["pairs"]],
        pairs_table=pairs_table(block, f"{name}-pairs"),
    )


def _question(block: Document) -> str:
    who = listing([str(model["name"]) for model in block["models"]], "or")
    classes = [str(label) for label in block["classes"]]
    if is_yes_or_no(classes) and block["target"] != "label":  # which says nothing
        return f"Which tells better whether the image shows {block['target']}: {who}?"
    if len(classes) == 2:
        return f"Which tells {classes[1]} from {classes[0]} better: {who}?"
    return f"Which tells {listing(classes)} apart better: {who}?"


def _whom(block: Document) -> str:
    text = f"All were judged on the same {count(int(block['n_images']), 'image')}"
    if block["patients_known"]:
        text += f" of {count(int(block['n_patients']), 'patient')}"
    text += f" ({split_name(str(block['split']))})."
    if block["positive"]:
        text += f" Positive means {block['positive']}."
    left = [f"{n:,} of {name}" for name, n in block["left_out"].items() if n]
    if left:
        text += f" Left out, since not all models have judged them: {listing(left)}."
    return text


def _verdict(pair: Document, leading: str) -> ShownVerdict:
    text = _unbroken(str(pair["verdict"]))
    lead, rest = text, ""
    if ". " not in f"{pair['first']} {pair['second']}":  # then the first full stop ends a sentence
        lead, dot, rest = text.partition(". ")
        lead += dot.strip()
    head, colon, numbers = lead.partition(" chance: ")
    head = f"{head} chance:" if colon else head
    return ShownVerdict(head, numbers, rest, is_beyond_chance(pair["metrics"][leading]))


def _unbroken(text: str) -> str:
    """No line ends inside "p < 0.001" or "95 %"."""
    for word in ("p < ", "p = ", "95 %"):
        text = text.replace(word, word.replace(" ", "\u00a0"))
    return text


def _pair_name(pair: Document) -> str:
    return f"{pair['second']} − {pair['first']}"


def _differences(pair: Document, n_classes: int) -> Iterator[Difference]:
    for metric, entry in pair["metrics"].items():
        figure = entry["difference"]
        known = figure["value"] is not None
        yield Difference(
            metric=metric_words(metric, n_classes),
            value=signed(figure["value"]) if known else "not defined",
            interval=_signed_interval(figure),
            p=_p(entry["p"]),
            p_corrected=_p(entry["p_corrected"]),
            test=str(entry["test"]),
            remark=str(figure.get("note") or _reason(figure)),
            is_beyond_chance=is_beyond_chance(entry),
        )


def _signed_interval(figure: Document) -> str:
    if figure["low"] is None or figure["high"] is None:
        return ""
    return f"{signed(figure['low'])} to {signed(figure['high'])}"


def _reason(figure: Document) -> str:
    """Why a difference or its interval is missing; empty where both are there."""
    return "" if figure["low"] is not None else str(figure["method"])


def _p(p: float | None) -> str:
    return "" if p is None else p_words(p).removeprefix("p ").removeprefix("= ")


def _drawn(block: Document) -> Sequence[Document]:
    """The pairs of the forest plots: all of them, or those with the first model where many."""
    pairs: Sequence[Document] = block["pairs"]
    if len(pairs) <= PAIRS_DRAWN:
        return pairs
    first = block["models"][0]["name"]
    return [pair for pair in pairs if pair["first"] == first]


def _forest(block: Document, metric: str, name: str) -> str:
    title = metric_words(metric, len(block["classes"]))
    estimates = [
        _row(str(model["name"]), Estimate.of(model["metrics"].get(metric)))
        for model in block["models"]
    ]
    sides = ("first better", "second better")
    return plot_forest(
        f"{title[:1].upper()}{title[1:]}",
        estimates,
        [_difference_row(pair, metric) for pair in _drawn(block)],
        sides=_named_sides(block, sides if metric not in LOW_IS_BETTER else sides[::-1]),
        name=name,
    )


def _named_sides(block: Document, sides: tuple[str, ...]) -> tuple[str, str]:
    """Of two models, their names; of more, the places in "second − first"."""
    if len(block["pairs"]) > 1:
        return sides[0], sides[1]
    first, second = (shorten(str(block["pairs"][0][key]), 18) for key in ("first", "second"))
    names = {"first better": f"{first} better", "second better": f"{second} better"}
    return names[sides[0]], names[sides[1]]


def _row(label: str, estimate: Estimate) -> ForestRow:
    return ForestRow(label, estimate.text, estimate.value, estimate.low, estimate.high)


def _short_pair(second: str, first: str) -> str:
    """Both names so that each can still be told: the longer one gives way first."""
    half = PAIR_LIMIT // 2
    second = shorten(second, max(half, PAIR_LIMIT - len(first)))
    return f"{second} − {shorten(first, max(half, PAIR_LIMIT - len(second)))}"


def _difference_row(pair: Document, metric: str) -> ForestRow:
    entry = pair["metrics"][metric]
    figure = entry["difference"]
    label = _short_pair(str(pair["second"]), str(pair["first"]))
    if figure["value"] is None:
        return ForestRow(label, "not defined", None)
    interval = _signed_interval(figure)
    text = f"{signed(figure['value'])} ({interval})" if interval else signed(figure["value"])
    bounds = (figure["value"], figure["low"], figure["high"])
    return ForestRow(label, text, *bounds, is_filled=is_beyond_chance(entry))
