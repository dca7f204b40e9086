"""A run folder's files become report.html: one file, nothing outside it, printable."""

from __future__ import annotations

import os
from pathlib import Path

from pellucid.reporting.documents import load_documents
from pellucid.reporting.rendering import render
from pellucid.storage import write_text

__all__ = ["render", "write_report"]


def write_report(run: str | os.PathLike[str]) -> Path:
    """Write RUN/report.html from the files of the run folder alone, in one step; returns its path.

    Of these files, only evaluation.json must be there; the section of a missing one is left out.
    Raises `UsageError` when the folder is no run folder or a file in it is broken.
    """
    from pellucid.reporting.content import build_page

    folder = Path(run)
    html = render("report.html", build_page(load_documents(folder)))
    return write_text(folder / "report.html", html)
