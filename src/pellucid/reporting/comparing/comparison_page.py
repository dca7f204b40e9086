"""comparison.html: which of several models is better, on one page that can be mailed and printed.

Knows the document of a comparison; a run's report holds the same section.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.reporting.comparing.comparison_section import ComparisonSection, comparison_section
from pellucid.reporting.rendering import render
from pellucid.reporting.writing import listing
from pellucid.storage import write_text

__all__ = ["ComparisonPage", "comparison_section", "write_comparison_page"]


@dataclass(frozen=True)
class ComparisonPage:
    """Everything that stands in comparison.html."""

    title: str
    subtitle: str
    comparison: ComparisonSection


def write_comparison_page(document: Mapping[str, Any], path: Path) -> Path:
    """Write the page of a comparison document, one self-contained file; returns its path."""
    names = [str(name) for name in document["names"]]
    page = ComparisonPage(
        title=listing(names),
        subtitle=f"Comparison of {len(names)} models by Pellucid",
        comparison=comparison_section(document),
    )
    return write_text(path, render("comparison.html", page))
