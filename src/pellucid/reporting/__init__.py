"""From the files of a run folder to report.html: one page that a person can read, mail and print.

    documents.py   which files the run folder holds, read as they are
    writing.py     numbers and lists as people write them; an estimate with its interval
    verdict.py     what was asked, how good the answer is, and what to beware of, in sentences
    judgement.py   one target on one split: tables, curves and mistakes
    content.py     the whole page as plain data, section by section
    plots.py       curves and bars, as SVG;  svg.py  how a figure becomes part of a page
    pictures.py    medical images as data: addresses
    html.py        content and templates become one file

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
