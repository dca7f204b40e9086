"""Plots of one metric in several places: subgroups one below the other, corruptions by severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pellucid.reporting.drawing.plots import MARKERS, PALETTE
from pellucid.reporting.drawing.svg import INK, MUTED, RULE, STYLE, figure_to_svg, new_figure
from pellucid.reporting.writing import Estimate, shorten

ROW_IN = 0.235
SHORT_LABEL = 22
UNIT_WIDTH = 24  # letters under a small panel


@dataclass(frozen=True)
class Row:
    """A line of a forest: an estimate, or why there is none. A head has neither."""

    label: str
    estimate: Estimate | None = None
    is_head: bool = False


def plot_forest(rows: Sequence[Row], *, metric: str, whole: float | None, name: str) -> str:
    """Each row's estimate with its interval; a dotted line stands at the value over all images."""
    with mpl.rc_context(STYLE):
        figure = new_figure(0.75 + ROW_IN * len(rows))
        axes = figure.add_subplot()
        if whole is not None and any(row.estimate and row.estimate.is_defined for row in rows):
            axes.axvline(whole, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        for place, row in enumerate(rows):
            _draw_row(axes, row, place)
        low, high = _reach(rows, whole)
        axes.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.6), xlabel=metric)
        axes.set_yticks(range(len(rows)), [shorten(row.label, SHORT_LABEL) for row in rows])
        axes.tick_params(axis="y", length=0)
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(MUTED if row.is_head else INK)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(f"{metric} by group", loc="left")
        return figure_to_svg(figure, name, f"{metric} of each group with its interval")


def _draw_row(axes: Axes, row: Row, place: int) -> None:
    estimate = row.estimate
    if row.is_head or estimate is None:
        return
    if estimate.value is None:
        axes.text(0.01, place, estimate.state, transform=axes.get_yaxis_transform(), va="center",
                  color=MUTED, fontstyle="italic")  # fmt: skip
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot((estimate.low, estimate.high), (place, place), color=PALETTE[0], linewidth=1.6)
    axes.plot([estimate.value], [place], "s", color=PALETTE[0], markersize=4.5)


def _reach(rows: Sequence[Row], whole: float | None) -> tuple[float, float]:
    """From a little below the lowest bound to a little above the highest, inside [0, 1]."""
    found = [whole] if whole is not None else []
    for row in rows:
        if row.estimate is not None:
            parts = (row.estimate.value, row.estimate.low, row.estimate.high)
            found += [part for part in parts if part is not None]
    if not found:
        return 0.0, 1.0
    margin = max(0.05 * (max(found) - min(found)), 0.01)
    return max(0.0, min(found) - margin), max(found) + margin


def plot_corruption(corruption: Mapping[str, Any], *, metric: str, low: float, name: str) -> str:
    """The metric over one corruption's severity, its band, and a line at the clean images' value.

    `low` is where the axis begins, the same for all corruptions of a page.
    """
    levels = list(corruption["levels"])
    clean = Estimate.of(corruption["clean"])
    points = [(0.0, clean), *((float(x["severity"]), Estimate.of(x["metric"])) for x in levels)]
    known = [(x, part, part.value) for x, part in points if part.value is not None]
    with mpl.rc_context(STYLE):
        figure = new_figure(2.1, width_in=2.2)
        axes = figure.add_subplot()
        if clean.value is not None:
            axes.axhline(clean.value, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        for place, part, _ in known:
            if part.low is not None and part.high is not None:
                axes.plot((place, place), (part.low, part.high), color=PALETTE[0], linewidth=1.2)
        marks: dict[str, Any] = {"marker": MARKERS[0], "markersize": 3.5, "linewidth": 1.3}
        axes.plot(
            [x for x, _, _ in known], [value for *_, value in known], color=PALETTE[0], **marks
        )
        axes.set(ylim=(low, 1.0), ylabel=metric)
        axes.grid(axis="y", color=RULE, linewidth=0.4)
        axes.set_xticks(*_severities(corruption))
        axes.set_xlabel(_two_lines(str(corruption.get("unit") or "severity")))
        axes.set_title(str(corruption["name"]).replace("_", " "), loc="left")
        return figure_to_svg(figure, name, f"{metric} under {corruption['name']} by severity")


def _two_lines(unit: str) -> str:
    """Two lines, the second maybe empty, so that the axes of all panels end at one height."""
    lines = wrap(unit, UNIT_WIDTH)
    return "\n".join(lines if len(lines) > 1 else [*lines, " "])


def _severities(corruption: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    """Ticks at each severity, named by the corruption's own value in its unit."""
    levels = list(corruption["levels"])
    places = [0.0, *(float(level["severity"]) for level in levels)]
    return places, ["none", *(_short(level.get("value")) for level in levels)]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
