"""The first page: what was predicted, on whom, how good, how sure, when not to trust it.

A clinician reads it in a minute; every number is of evaluation.json. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.drawing.people import draw_people
from pellucid.reporting.sections.cautions import Caution, collect_cautions
from pellucid.reporting.sections.screening import Answer, answer_screening
from pellucid.reporting.sections.verdict import (
    describe_goodness,
    describe_question,
    images_of,
    main_metric,
    worst_confusion,
)
from pellucid.reporting.writing import (
    Estimate,
    count,
    decimal,
    in_hundred,
    listing,
    percent,
    split_name,
)

CAUTIONS_FIRST, CAUTIONS_OF_SEVERAL = 6, 5  # beside one target and beside more, on A4
NARROW, WIDE = 0.05, 0.10
PEOPLE_SHOWN = 4  # classes; more do not fit
START = 0.5  # where the scale of AUROC begins: guessing


@dataclass(frozen=True)
class People:
    """A hundred images of one class: how many were called rightly."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Scale:
    """An estimate that is drawn on a scale from `start` to 1."""

    label: str
    estimate: Estimate


@dataclass(frozen=True)
class FirstTarget:
    """What the first page says of one target."""

    target: str
    question: str
    positive: str
    whom: list[tuple[str, str]]
    metric: str
    estimate: Estimate
    scales: list[Scale]
    start: float
    good: list[str]
    sure: str
    people: list[People]
    threshold: str


@dataclass(frozen=True)
class FirstPage:
    """Everything on the first page."""

    targets: list[FirstTarget]
    cautions: list[Caution]
    answer: Answer


def build_first_page(documents: RunDocuments) -> FirstPage:
    """The first page of a run."""
    return FirstPage(
        targets=[_target(documents, name, n) for n, name in enumerate(documents.targets)],
        cautions=collect_cautions(documents)[: _n_cautions(documents)],
        answer=answer_screening(documents),
    )


def further_cautions(documents: RunDocuments) -> list[Caution]:
    """The cautions that found no place on the first page."""
    return collect_cautions(documents)[_n_cautions(documents) :]


def _n_cautions(documents: RunDocuments) -> int:
    return CAUTIONS_FIRST if len(documents.targets) == 1 else CAUTIONS_OF_SEVERAL


def _target(documents: RunDocuments, target: str, number: int) -> FirstTarget:
    block = documents.main_block(target)
    question, _, positive = describe_question(documents, target).partition("? ")
    metric, estimate = main_metric(block)
    scales = list(_scales(documents, target, block))
    is_binary = len(block["classes"]) == 2
    return FirstTarget(
        target=target,
        question=question if question.endswith("?") else f"{question}?",
        positive=positive,
        whom=list(_describe_whom(documents, block)),
        metric=metric,
        estimate=estimate,
        scales=scales,
        start=_start(scales),
        good=describe_goodness(documents, target),
        sure=_describe_sureness(documents, block, metric, estimate),
        people=list(_people(block, number)),
        threshold="At the threshold 0.5" if is_binary else "Calling the most probable class",
    )


def _describe_whom(documents: RunDocuments, block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    who = count(int(block["n_images"]), "image")
    if documents.patients_known:
        who += f" of {count(int(block['n_patients']), 'patient')}"
    yield "Judged on", who
    yield "Which are", _which(documents, str(block["split"]))
    yield "From", str(documents.dataset.get("name") or "a predictions table")
    yield "Prevalence", _prevalence(block).replace(" %", "\u00a0%")


def _which(documents: RunDocuments, split: str) -> str:
    if split not in ("test", "external_test"):
        return f"{split}, not a test"
    if not documents.was_trained_here:
        return f"{split_name(split)} split, as the table says"
    if documents.shares_patients:
        return f"{split_name(split)} split; some patients trained it too"
    return f"{split_name(split)} split, never used in training"


def _prevalence(block: dict[str, Any]) -> str:
    """How many images show what is looked for; of several classes, each one's share."""
    shares = block.get("prevalence") or {}
    matrix = block["confusion_matrix"]
    if len(block["classes"]) == 2:
        n, label = int(sum(matrix[1])), str(block["classes"][1])
        return f"{n:,} {images_of(block, label)} ({percent(float(shares.get(label) or 0))})"
    parts = [f"{label} {percent(float(shares.get(label) or 0))}" for label in block["classes"]]
    return listing(parts) if len(parts) <= PEOPLE_SHOWN else f"{len(parts)} classes"


def _scales(documents: RunDocuments, target: str, block: dict[str, Any]) -> Iterator[Scale]:
    yield Scale(split_name(str(block["split"])), main_metric(block)[1])
    external = documents.block(target, "external_test")
    if external is not None and external is not block:
        yield Scale("external test", main_metric(external)[1])


def _start(scales: list[Scale]) -> float:
    ends = [scale.estimate.low or scale.estimate.value for scale in scales]
    return START if all(end is None or end >= START for end in ends) else 0.0


def _describe_sureness(
    documents: RunDocuments, block: dict[str, Any], metric: str, estimate: Estimate
) -> str:
    """The interval in words."""
    if estimate.value is None:
        return f"{metric} is not defined here: {estimate.reason}."
    if estimate.low is None or estimate.high is None:
        return f"Nobody can say: there is {estimate.remark or 'no interval'}."
    n = int(block["n_patients"] if documents.patients_known else block["n_images"])
    who = count(n, "patient" if documents.patients_known else "image")
    low, high = decimal(estimate.low), decimal(estimate.high)
    text = (
        f"Judged on other patients of the same kind, {metric} would differ; values from {low} to "
        f"{high} fit these {who} (95 % interval). "
    )
    width = estimate.high - estimate.low
    if width > WIDE:
        return f"{text}That is wide: they do not settle how good it is."
    if width > NARROW:
        return f"{text}That is fairly sure."
    return f"{text}That is sure, for patients of this kind."


def _people(block: dict[str, Any], number: int) -> Iterator[People]:
    """The positive class and then the negative one; of several classes, those found least."""
    per_class = block.get("per_class") or {}
    metrics = block.get("metrics") or {}
    if len(block["classes"]) == 2:
        negative, positive = map(str, block["classes"])
        figures = {positive: metrics.get("sensitivity"), negative: metrics.get("specificity")}
    else:
        figures = {str(x): (per_class.get(x) or {}).get("sensitivity") for x in block["classes"]}
    known = {label: Estimate.of(figure) for label, figure in figures.items()}
    if len(known) > PEOPLE_SHOWN:
        order = sorted(known, key=lambda label: (known[label].value is None, known[label].value))
        known = {label: known[label] for label in order[:PEOPLE_SHOWN]}
    for place, (label, estimate) in enumerate(known.items()):
        yield _hundred(block, label, estimate, f"people-{number}-{place}")


def _hundred(block: dict[str, Any], label: str, estimate: Estimate, name: str) -> People:
    title = f"Of 100 {images_of(block, label)}"
    if estimate.value is None:
        what = "specificity" if _is_negative(block, label) else "sensitivity"
        return People(title, f"{what} is {estimate.sentence}.", "")
    share = estimate.value
    right = min(99, round(100 * share)) if share < 1 else 100
    right = max(1, right) if share > 0 else 0
    wrong = _wrongly(block, label, in_hundred(1 - share))
    verb = "cleared" if _is_negative(block, label) else "found"
    n = sum(block["confusion_matrix"][[str(name) for name in block["classes"]].index(label)])
    caption = f"{in_hundred(share)} {verb}, {wrong}; counted on {count(n, 'image')}, no interval."
    if estimate.low is not None and estimate.high is not None:
        low, high = (f"{100 * end:.0f}" for end in (estimate.low, estimate.high))
        span = low if low == high else f"{low} to {high}"
        caption = f"{in_hundred(share)} {verb} (interval {span}), {wrong}."
    return People(title, caption, draw_people(right, label=f"{title}: {caption}", name=name))


def _wrongly(block: dict[str, Any], label: str, n: str) -> str:
    if len(block["classes"]) == 2:
        return f"{n} {'false alarms' if _is_negative(block, label) else 'missed'}"
    mostly = worst_confusion(block, label)
    return f"{n} not" + (f", mostly called {mostly}" if mostly and n != "0" else "")


def _is_negative(block: dict[str, Any], label: str) -> bool:
    return len(block["classes"]) == 2 and label == str(block["classes"][0])
