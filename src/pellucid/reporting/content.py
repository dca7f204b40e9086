"""The whole page as plain data, section by section; a section without its file is left out.

Knows what a reader needs to be told and in which order. It does not know how the page looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pellucid.reporting.documents import Hyperparameter, RunDocuments
from pellucid.reporting.parts import Part
from pellucid.reporting.pictures import png_address
from pellucid.reporting.sections.baseline_part import baseline_parts
from pellucid.reporting.sections.cautions import Caution
from pellucid.reporting.sections.checklist_section import ChecklistSection, build_checklists
from pellucid.reporting.sections.compared import ShownComparison, show_comparisons
from pellucid.reporting.sections.data_section import SplitTable, describe_source, split_table
from pellucid.reporting.sections.explanation_part import (
    ExplanationSection,
    explanation_section,
)
from pellucid.reporting.sections.findings import ShownFinding, show_findings, unreadable_table
from pellucid.reporting.sections.first_page import FirstPage, build_first_page, further_cautions
from pellucid.reporting.sections.group_parts import robustness_parts
from pellucid.reporting.sections.judgement import Judgement, judge_target
from pellucid.reporting.sections.run_sections import (
    Training,
    build_network,
    build_training,
    methods,
    plan_table,
    run_facts,
)
from pellucid.reporting.tables import Table

FILES = {
    "index.csv": "index",
    "history.csv": "history",
    "plan.yaml": "plan",
    "audit.json": "audit",
    "predictions": "predictions",
}


@dataclass(frozen=True)
class Page:
    """Everything that stands in report.html."""

    title: str
    subtitle: str
    is_synthetic: bool
    several_targets: bool
    patients_known: bool
    first: FirstPage
    contents: list[tuple[str, str]]
    further: list[Caution]
    source: str
    split_tables: list[SplitTable]
    notes: list[str]
    findings: list[ShownFinding]
    unreadable: Table
    judgements: list[Judgement]
    robustness: list[Part]
    explanation: ExplanationSection | None
    comparisons: list[ShownComparison]
    baselines: list[Part]
    training: Training | None
    augmentations: str
    network: dict[str, Any]
    plan: tuple[Hyperparameter, ...]
    plan_table: Table
    has_reasons: bool
    checklists: ChecklistSection | None
    command: str
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    methods: list[str]
    missing: list[str]


def build_page(documents: RunDocuments) -> Page:
    """Everything that stands in report.html, from the files of the run."""
    facts, targets, plan = documents.facts, documents.targets, documents.plan
    page = Page(
        title=str(documents.dataset.get("name") or documents.folder.resolve().name),
        subtitle=_subtitle(documents),
        is_synthetic=bool(documents.dataset.get("synthetic")),
        several_targets=len(targets) > 1,
        patients_known=documents.patients_known,
        first=build_first_page(documents),
        contents=[],
        further=further_cautions(documents),
        source=describe_source(documents),
        split_tables=[split_table(documents, name, i) for i, name in enumerate(targets)],
        notes=[str(note) for note in facts.get("notes") or []],
        findings=show_findings(documents.audit, documents.index, targets, documents.window),
        unreadable=unreadable_table(documents.audit),
        judgements=[judge_target(documents, name, i) for i, name in enumerate(targets)],
        robustness=robustness_parts(documents.evaluation.get("robustness") or []),
        explanation=explanation_section(documents),
        comparisons=show_comparisons(documents),
        baselines=baseline_parts(documents),
        training=build_training(documents),
        augmentations=png_address(documents.augmentations),
        network=build_network(facts.get("network") or {}),
        plan=plan,
        plan_table=plan_table(plan),
        has_reasons=any(setting.reason for setting in plan),
        checklists=build_checklists(documents),
        command=str(facts.get("command") or ""),
        facts=list(run_facts(documents)),
        versions=[(str(key), str(value)) for key, value in (facts.get("versions") or {}).items()],
        methods=list(methods(documents)),
        missing=[name for name, part in FILES.items() if _is_missing(getattr(documents, part))],
    )
    page.contents.extend(_contents(page))
    return page


def _is_missing(part: Any) -> bool:
    return part is None or (isinstance(part, dict | tuple) and not part)


def _subtitle(documents: RunDocuments) -> str:
    what = "Report of a classifier" if documents.was_trained_here else "Report of predictions"
    started = str(documents.facts.get("started") or "")[:10]
    version = (documents.facts.get("versions") or {}).get("pellucid")
    by = f"Pellucid {version}" if version else "Pellucid"
    return ", ".join(part for part in (f"{what} by {by}", started) if part)


def _contents(page: Page) -> Iterator[tuple[str, str]]:
    """The anchors of the sections with their names, in the order of the page."""
    if page.further:
        yield "cautions", "More to beware of"
    yield "data", "Data and split"
    for part in page.judgements:
        where = f": {part.target}" if page.several_targets else ""
        yield part.anchor, f"Judgement{where}"
        for inner in part.before_failures:
            yield inner.anchor, f"· {inner.title.partition(':')[0]}"
        if part.failures.n is not None:
            yield part.failures.anchor, "· Failures"
    if page.robustness:
        yield "robustness", "Robustness"
    if page.explanation:
        yield "explanation", "What the network looks at"
    yield from ((item.anchor, item.title) for item in page.comparisons)
    named = {
        "training": (page.training, "Training"),
        "augmentation": (page.augmentations, "Augmentation"),
        "network": (page.network["rows"] or page.network["formula"], "Network"),
        "plan": (page.plan, "Hyperparameters"),
        "checklists": (page.checklists, "Checklists"),
    }
    yield from ((anchor, name) for anchor, (part, name) in named.items() if part)
    yield "record", "How it was made"
