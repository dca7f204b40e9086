"""From the files of a run folder to report.html: one page that a person can read, mail and print.

    documents.py   which files the run folder holds, read as they are;  legacy.py  older ones
    writing.py, metric_words.py    numbers, estimates and metrics as people write them
    tables.py, parts.py            a table with its CSV; words, figures and tables of one part
    first_page.py  what a clinician reads in a minute, from
                   verdict, cautions, screening and people
    judgement.py   one target: metric_tables, curves, calibration_part, decision_parts, group_parts,
                   external_part, mistakes
    data_section.py, findings.py, compared.py, run_sections.py, checklist_section.py   the rest
    content.py     the whole page as plain data, section by section
    plots.py, *_plots.py           figures as SVG;  svg.py  how a figure becomes part of a page
    pictures.py    medical images as data: addresses
    rendering.py   templates, filled;  html.py  report.html;  audit_page.py  audit.html
    comparison_page.py   comparison.html, from comparison_section.py;  checklists/  for the paper

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
