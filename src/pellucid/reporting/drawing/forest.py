"""Forest plots: estimates with their intervals, one row each, above the differences of pairs.

Each row says in words and figures what its line shows, so that the plot is also a table. A filled
mark is beyond chance and a hollow one within, which holds without colour. Knows no document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pellucid.reporting.drawing.svg import (
    ACCENT,
    MUTED,
    PANEL_WIDTH_IN,
    RULE,
    STYLE,
    figure_to_svg,
    new_figure,
)
from pellucid.reporting.writing import shorten

ROW_IN, AXIS_IN, HEAD_IN = 0.4, 0.3, 0.3
SIDE_IN = 0.1
LABEL_LIMIT = 30


@dataclass(frozen=True)
class ForestRow:
    """One estimate: its label, its figures in words, and where it lies; None where undefined."""

    label: str
    text: str
    value: float | None
    low: float | None = None
    high: float | None = None
    is_filled: bool = True


def plot_forest(
    title: str,
    estimates: Sequence[ForestRow],
    differences: Sequence[ForestRow],
    *,
    sides: tuple[str, str] = ("first better", "second better"),
    name: str,
) -> str:
    """Estimates on their own scale, and below them differences around zero, as one SVG panel.

    `sides` says what a difference on the left and on the right of zero means.
    """
    heights = [ROW_IN * len(rows) for rows in (estimates, differences)]
    total = HEAD_IN + heights[0] + AXIS_IN + HEAD_IN + heights[1] + AXIS_IN + 0.2
    with mpl.rc_context(STYLE):
        figure = new_figure(total, is_constrained=False)
        wide = 1 - 2 * SIDE_IN / PANEL_WIDTH_IN
        top = 1 - (HEAD_IN + heights[0]) / total
        upper = figure.add_axes((SIDE_IN / PANEL_WIDTH_IN, top, wide, heights[0] / total))
        _draw_rows(upper, estimates, _span(estimates))
        upper.set_title(title, loc="left", fontweight="bold")
        low = (AXIS_IN + 0.2) / total
        lower = figure.add_axes((SIDE_IN / PANEL_WIDTH_IN, low, wide, heights[1] / total))
        _draw_rows(lower, differences, _around_zero(differences))
        _draw_zero(lower, sides)
        return figure_to_svg(figure, name, _read_aloud(title, [*estimates, *differences]))


def _draw_rows(axes: Axes, rows: Sequence[ForestRow], span: tuple[float, float]) -> None:
    axes.set(xlim=span, ylim=(len(rows) - 0.4, -0.6))
    for number, row in enumerate(rows):
        _write_row(axes, row, number)
        _draw_interval(axes, row, number + 0.18)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    if all(bound <= 1 for row in rows for bound in _bounds(row)):
        axes.set_xticks([tick for tick in axes.get_xticks() if span[0] <= tick <= min(1, span[1])])


def _write_row(axes: Axes, row: ForestRow, number: int) -> None:
    """The label on the left and the figures on the right, above the row's line."""
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "bottom"}
    limit = max(8, LABEL_LIMIT + 18 - len(row.text))
    axes.text(0, number - 0.06, shorten(row.label, limit), ha="left", **place)
    axes.text(1, number - 0.06, row.text, ha="right", color=MUTED, **place)


def _draw_interval(axes: Axes, row: ForestRow, y: float) -> None:
    if row.value is None:
        return
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=ACCENT, linewidth=1.6, zorder=3)
        caps: dict[str, Any] = {"marker": "|", "markersize": 6, "markeredgewidth": 1.2}
        axes.plot([row.low, row.high], [y, y], color=ACCENT, linestyle="none", **caps, zorder=3)
    look: dict[str, Any] = {"marker": "s", "markersize": 5.5, "markeredgewidth": 1.3}
    fill = ACCENT if row.is_filled else "white"
    axes.plot([row.value], [y], color=ACCENT, markerfacecolor=fill, **look, zorder=4)


def _draw_zero(axes: Axes, sides: tuple[str, str]) -> None:
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    look: dict[str, Any] = {"color": MUTED, "va": "top", "annotation_clip": False}
    axes.annotate(f"← {sides[0]}", (0, 0), (0, -19), ha="left", **place, **look)
    axes.annotate(f"{sides[1]} →", (1, 0), (0, -19), ha="right", **place, **look)
    axes.set_title("Difference", loc="left")
    axes.spines["bottom"].set_color(RULE)


def _span(rows: Sequence[ForestRow]) -> tuple[float, float]:
    """From the lowest bound to the highest, with room at both ends."""
    bounds = [bound for row in rows for bound in _bounds(row)]
    if not bounds:
        return 0.0, 1.0
    low, high = min(bounds), max(bounds)
    room = max(0.06 * (high - low), 0.01)
    return low - room, high + room


def _around_zero(rows: Sequence[ForestRow]) -> tuple[float, float]:
    reach = max([abs(bound) for row in rows for bound in _bounds(row)], default=1.0)
    reach = 1.08 * max(reach, 0.01)
    return -reach, reach


def _bounds(row: ForestRow) -> list[float]:
    return [bound for bound in (row.value, row.low, row.high) if bound is not None]


def _tick(value: float, _place: int | None = None) -> str:
    """A tick without needless zeros, and with a real minus."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("0", "-0") else text.replace("-", "−")


def _read_aloud(title: str, rows: Sequence[ForestRow]) -> str:
    return f"{title}: " + "; ".join(f"{row.label} {row.text}" for row in rows)
