"""Content and templates become report.html: one file, nothing outside it, printable.

Everything that came from the user (names of classes, files, commands) is escaped by the templates;
only our own SVG goes in as it is.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pellucid.reporting.content import build_page
from pellucid.reporting.documents import load_documents
from pellucid.storage import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: str | os.PathLike[str]) -> Path:
    """Write RUN/report.html from the files of the run folder alone, in one step; returns its path.

    Of these files, only evaluation.json must be there; the section of a missing one is left out.
    Raises `UsageError` when the folder is no run folder or a file in it is broken.
    """
    folder = Path(run)
    html = render("report.html", build_page(load_documents(folder)))
    return write_text(folder / "report.html", html)


def render(template: str, page: Any) -> str:
    """One self-contained page: a template, filled, with the style inside."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return _environment().get_template(template).render(page=page, style=style)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
