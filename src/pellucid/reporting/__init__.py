"""From the files of a run folder to report.html: one page that a person can read, mail and print.

    documents.py   which files the run folder holds, read as they are;  legacy.py  older ones
    writing.py, metric_words.py    numbers, estimates and metrics as people write them
    tables.py, parts.py            a table with its CSV; words, figures and tables of one part
    sections/      what stands in each section, the first page before all, as plain data
    content.py     the whole page, section by section
    drawing/       figures as SVG, and how one becomes part of a page
    pictures.py    medical images as data: addresses
    rendering.py   templates, filled;  html.py  report.html;  audit_page.py  audit.html
    comparing/     comparison.html, and the same as a section of a report
    checklists/    CLAIM, TRIPOD+AI and model card, for the page and for the paper

This room computes no metric: figures come from evaluation.json. It knows no network and no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.reporting.html import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> object:
    """Load matplotlib and jinja2 only when a report is written."""
    if name == "write_report":
        from pellucid.reporting.html import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
