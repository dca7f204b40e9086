"""May it be used for screening? A plain answer with its reasons, the gravest first.

The answer is never yes: this is research software. What the figures can change is how firm the no
is, and what would have to be shown. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.sections.cautions import worse_groups
from pellucid.reporting.sections.verdict import images_of, main_metric
from pellucid.reporting.writing import Estimate, in_hundred, listing

# A screening test that may miss more than one in ten is refused here outright. The bound is ours;
# what a programme asks for depends on the disease.
WANTED_SENSITIVITY = 0.90
FEWEST_CLEARED = 0.5  # of those without the finding; below it most of them would be called back
GUESSING = 0.5
REASONS_SHOWN = 5
DEVICE = (
    "This is research software and not a medical device: no use on patients without a prospective "
    "study, validation at the place of use, and approval."
)


@dataclass(frozen=True)
class Answer:
    """The answer in a few words, and why."""

    short: str
    reasons: list[str]
    last: str = DEVICE


def answer_screening(documents: RunDocuments) -> Answer:
    """The answer over all targets, from their figures and from what is known of the data."""
    grave = [*_about_data(documents), *_each(documents, _about_figures)]
    missing = [*_missing(documents), *_each(documents, _about_groups)]
    reasons = list(dict.fromkeys([*grave, *missing]))[:REASONS_SHOWN]
    if grave:
        return Answer("No.", reasons)
    if missing:
        return Answer("Not on this evidence.", reasons)
    good = "The figures speak for a prospective study; they do not replace one."
    return Answer("Not by this report alone.", [good])


def _each(documents: RunDocuments, about: Any) -> Iterator[str]:
    for target in documents.targets:
        where = f"{target}: " if len(documents.targets) > 1 else ""
        block, external = documents.main_block(target), documents.block(target, "external_test")
        yield from (f"{where}{reason}" for reason in about(block))
        if external is not None and external is not block:
            yield from (f"{where}Elsewhere: {reason}" for reason in about(external))


def _about_data(documents: RunDocuments) -> Iterator[str]:
    if documents.dataset.get("synthetic"):
        yield "The images are synthetic and show no patient."
    if documents.shares_patients:
        yield "Patients of the test took part in training."
    levels = [str(finding.get("level")) for finding in documents.audit.get("findings", [])]
    if "FAIL" in levels:
        yield "The audit of the data found a failure, which the figures rest on."


def _about_figures(block: dict[str, Any]) -> Iterator[str]:
    if block["split"] not in ("test", "external_test"):
        yield f"It was judged on {block['split']} images only, not on a test."
    name, estimate = main_metric(block)
    if name.endswith("AUROC") and estimate.value is not None and estimate.value <= GUESSING:
        yield f"It was no better than guessing ({name} {estimate.text})."
    elif name.endswith("AUROC") and estimate.low is not None and estimate.low <= GUESSING:
        yield f"It may be no better than guessing ({name} {estimate.text})."
    if estimate.value is not None and estimate.low is None:
        yield f"How sure its {name} is cannot be said ({estimate.remark or 'no interval'})."
    yield from _misses(block)
    yield from _false_alarms(block)


def _misses(block: dict[str, Any]) -> Iterator[str]:
    """What may be missed, by the lower bound of sensitivity."""
    for label, figure in screened(block):
        found = Estimate.of(figure)
        if found.value is None:
            yield f"How many {images_of(block, label)} it finds is not known ({found.reason})."
            continue
        low = found.value if found.low is None else found.low
        if low < WANTED_SENSITIVITY:
            missed = in_hundred(1 - low)
            yield f"Of 100 {images_of(block, label)} it may miss {missed} (by the interval)."


def _false_alarms(block: dict[str, Any]) -> Iterator[str]:
    """A test that calls most of the well ill finds all the ill, and is none."""
    if len(block["classes"]) != 2:
        return
    cleared = Estimate.of((block.get("metrics") or {}).get("specificity")).value
    if cleared is not None and cleared < FEWEST_CLEARED:
        negative, positive = map(str, block["classes"])
        n = in_hundred(1 - cleared)
        yield f"Of 100 {images_of(block, negative)} it called {n} {positive}."


def screened(block: dict[str, Any]) -> list[tuple[str, Any]]:
    """The classes that must not be missed, with their sensitivity; of several the worst one."""
    if len(block["classes"]) == 2:
        return [(str(block["classes"][1]), (block.get("metrics") or {}).get("sensitivity"))]
    found = {
        label: figures.get("sensitivity")
        for label, figures in (block.get("per_class") or {}).items()
        if Estimate.of(figures.get("sensitivity")).is_defined
    }
    if not found:
        return []
    worst = min(found, key=lambda label: (Estimate.of(found[label]).value or 0.0, label))
    return [(worst, found[worst])]


def _missing(documents: RunDocuments) -> Iterator[str]:
    if not any(block["split"] == "external_test" for block in documents.blocks):
        known = "It was not tested" if documents.was_trained_here else "Nothing says it was tested"
        yield f"{known} on images from another place."
    if not documents.patients_known:
        yield "Patients are not known, so that figures may flatter and intervals are too narrow."


def _about_groups(block: dict[str, Any]) -> Iterator[str]:
    worse = [str(entry["fact"]).replace("_", " ") for entry in worse_groups(block)]
    if worse:
        yield f"It does not work equally well by {listing(worse)}."
    elif not block.get("subgroups"):
        yield "Nobody has looked at groups of patients (sex, age, site)."
