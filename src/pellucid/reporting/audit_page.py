"""audit.html: what `pellucid audit` found, with the pictures side by side, as one page.

Knows audit.json and the index beside it; a run's report holds the same section.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import UsageError
from pellucid.reporting.documents import read_json, read_table
from pellucid.reporting.rendering import render
from pellucid.reporting.sections.findings import ShownFinding, show_findings, unreadable_table
from pellucid.reporting.tables import Table
from pellucid.reporting.writing import count, listing
from pellucid.storage import write_text

WORDS = {"FAIL": "failure", "WARN": "warning", "NOTE": "note"}


@dataclass(frozen=True)
class AuditPage:
    """Everything that stands in audit.html."""

    title: str
    subtitle: str
    is_synthetic: bool
    verdict: str
    lines: list[str]
    findings: list[ShownFinding]
    unreadable: Table


def write_audit_page(folder: Path) -> Path:
    """Write audit.html from audit.json and index.csv of a folder; raises `UsageError`."""
    audit = read_json(folder / "audit.json")
    if not audit:
        raise UsageError(f"There is no audit.json in {folder}")
    return write_text(folder / "audit.html", render("audit.html", _build(audit, folder)))


def _build(audit: dict[str, Any], folder: Path) -> AuditPage:
    dataset = audit.get("dataset") or {}
    targets = [str(name) for name in dataset.get("targets") or []]
    index = read_table(folder / "index.csv")
    return AuditPage(
        title=str(dataset.get("name") or folder.resolve().name),
        subtitle=f"Audit of a dataset by Pellucid {audit.get('pellucid', '')}".rstrip(),
        is_synthetic=bool(dataset.get("synthetic")),
        verdict=_verdict(audit),
        lines=[str(line) for line in dataset.get("description") or []],
        findings=show_findings(audit, index, targets),
        unreadable=unreadable_table(audit),
    )


def _verdict(audit: dict[str, Any]) -> str:
    """Whether one may train on it, in one sentence."""
    levels = Counter(str(finding["level"]) for finding in audit.get("findings", []))
    if not levels:
        return "Nothing was found."
    parts = listing([count(levels[level], word) for level, word in WORDS.items() if levels[level]])
    if audit.get("failed"):
        return f"Do not train on it yet: {parts}."
    return f"Nothing forbids training on it: {parts}."
