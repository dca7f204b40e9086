"""Templates, filled: one self-contained page with the style inside, nothing outside it.

Everything that came from the user (names of classes, files, commands) is escaped by the templates;
only our own SVG goes in as it is.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, page: Any) -> str:
    """One self-contained page: a template, filled with `page`."""
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
