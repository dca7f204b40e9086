"""Comparisons as sections of a report: network against baseline, and against other models.

Here stands which there are and where they stand; what they say is `comparison_section`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.reporting.comparing.comparison_section import ComparisonSection, comparison_section
from pellucid.reporting.documents import RunDocuments


@dataclass(frozen=True)
class ShownComparison:
    """One comparison with its place on the page; `comparison` is what its template reads."""

    anchor: str
    title: str
    comparison: ComparisonSection


def show_comparisons(documents: RunDocuments) -> list[ShownComparison]:
    """The comparison with the baseline from evaluation.json, and that of comparison.json."""
    named = (
        ("Network against classical baseline", documents.evaluation.get("comparison")),
        ("Comparison of models", documents.compared),
    )
    found = [(title, document) for title, document in named if document]
    return [
        ShownComparison(anchor, title, comparison_section(document, anchor))
        for number, (title, document) in enumerate(found)
        for anchor in (f"comparison-{number}",)
    ]
