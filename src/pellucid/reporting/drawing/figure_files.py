"""A figure as a file of its own, PNG or SVG; the same bytes for the same figure."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
DPI = 200


def figure_file(figure: Figure, suffix: str) -> bytes:
    """The bytes of a ".png" or ".svg" file; the text of an SVG stays text."""
    buffer = io.BytesIO()
    facts: dict[str, Any] = {"Software": None}
    if suffix == ".svg":
        facts = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": "pellucid", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=suffix.removeprefix("."), dpi=DPI, metadata=facts)
    return buffer.getvalue()
