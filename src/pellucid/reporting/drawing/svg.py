"""How a matplotlib figure becomes part of a page: small, deterministic, its ids its own.

Text stays text, so that it is searchable, sharp, and set in the font of the page. Space is measured
with DejaVu Sans, which is wider than any system font that a reader's machine will set it in.
"""

from __future__ import annotations

import io
import re
from typing import Any, Literal
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

PANEL_WIDTH_IN = 3.35  # two abreast on A4, and one fills a telephone at natural size
INK, MUTED, RULE, ACCENT = "#1a1a1a", "#595959", "#c8c8c8", "#0072B2"

STYLE: Any = {  # matplotlib types the names of its settings one by one
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titlepad": 8,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a class may be called $5
    "svg.fonttype": "none",
}
_REFERENCE = re.compile(r"(?:^|(?<=url\())#([\w-]+)")


def new_figure(
    height_in: float, *, width_in: float = PANEL_WIDTH_IN, is_constrained: bool = True
) -> Figure:
    """An empty panel; make it and draw on it inside `mpl.rc_context(STYLE)`."""
    layout: Literal["constrained"] | None = "constrained" if is_constrained else None
    return Figure(figsize=(width_in, height_in), layout=layout)


def figure_to_svg(figure: Figure, name: str, label: str) -> str:
    """One `<svg>` element for a page.

    `name` makes its ids unique there and names the file when it is saved; `label` is read aloud.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - written by matplotlib, just above
    _without_namespaces(root)
    _without_boilerplate(root)
    _own_ids(root, name)
    root.attrib |= {"role": "img", "aria-label": label, "data-name": name}
    return ET.tostring(root, encoding="unicode")


def _without_namespaces(root: ET.Element) -> None:
    """Inline SVG in HTML has none; they would also look like addresses of other sites."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))


def _without_boilerplate(root: ET.Element) -> None:
    """Drop metadata, and the style rule that would hold for the whole page."""
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in {"metadata", "style"}]:
            parent.remove(child)


def _own_ids(root: ET.Element, name: str) -> None:
    """Keep only ids that are referred to, with the figure's name before them."""
    used: set[str] = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href" or "url(" in value:
                used.update(_REFERENCE.findall(value))
                element.set(key, _REFERENCE.sub(rf"#{name}-\1", value))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
