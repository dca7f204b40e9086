"""How the plots of a report look, and those that fill a square from 0 to 1: ROC and precision.

Curves are told apart by colour (Okabe and Ito's palette, for the colour-blind) and by dash as well,
so that they hold in grey. The legend stands below the axes, where it can cover nothing. Each plot
is one panel 3.35 inches wide, an SVG element. Plots draw figures that others computed, and know no
files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.reporting.drawing.svg import (
    INK,
    MUTED,
    PANEL_WIDTH_IN,
    STYLE,
    figure_to_svg,
    new_figure,
)

# Okabe and Ito (2008), jfly.uni-koeln.de/color, without the yellow, which is too pale for a line.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 3, 1, 1, 1)),
    (0, (9, 2)),
    (0, (1, 2.5)),
)
MARKERS = ("o", "D", "s", "^", "v", "P", "X")
REFERENCE: dict[str, Any] = {
    "color": MUTED,
    "linewidth": 0.8,
    "linestyle": (0, (1, 2)),
    "zorder": 1,
}
UNIT_TICKS = ((0, 0.2, 0.4, 0.6, 0.8, 1), ("0", "0.2", "0.4", "0.6", "0.8", "1"))
SQUARE_IN = 2.7


@dataclass(frozen=True)
class Curve:
    """A line through points, and what the legend says of it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    is_reference: bool = False  # drawn thin and grey behind the others
    low: Sequence[float | None] = ()  # the band's bounds at each x; empty where there is none
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Mark:
    """One point on a curve, an operating point for example."""

    label: str
    x: float
    y: float


def plot_roc(curves: Sequence[Curve], marks: Sequence[Mark] = (), *, name: str) -> str:
    """Sensitivity over 1 - specificity, with the diagonal of guessing."""
    labels = ("1 − specificity (false positive rate)", "Sensitivity (true positive rate)")
    guess = Curve("guessing", (0, 1), (0, 1), is_reference=True)
    return _unit_square("Receiver operating characteristic", labels, [*curves, guess], marks, name)


def plot_precision_recall(
    curves: Sequence[Curve],
    marks: Sequence[Mark] = (),
    *,
    prevalence: float | None = None,
    name: str,
) -> str:
    """Precision over recall; guessing would give the prevalence at every recall."""
    lines = list(curves)
    if prevalence is not None:
        label = f"guessing (prevalence {prevalence:.2f})"
        lines.append(Curve(label, (0, 1), (prevalence, prevalence), is_reference=True))
    labels = ("Recall (sensitivity)", "Precision (PPV)")
    return _unit_square("Precision and recall", labels, lines, marks, name)


def _unit_square(
    title: str, labels: tuple[str, str], curves: Sequence[Curve], marks: Sequence[Mark], name: str
) -> str:
    with mpl.rc_context(STYLE):
        axes = square_axes(title, labels, below_in=legend_height(len(curves) + len(marks)))
        for number, curve in enumerate(curve for curve in curves if not curve.is_reference):
            draw_band(axes, curve, number)
            axes.plot(curve.x, curve.y, **line_look(number), label=curve.label, clip_on=False)
        for curve in curves:
            if curve.is_reference:
                axes.plot(curve.x, curve.y, **REFERENCE, label=curve.label)
        for number, mark in enumerate(marks):
            axes.plot([mark.x], [mark.y], **mark_look(number), label=mark.label, clip_on=False)
        legend_below(axes)
        label = f"{title}: {labels[1]} over {labels[0]}"
        return figure_to_svg(figure_of(axes), name, label)


def legend_height(n_entries: int) -> float:
    """Inches that a legend of so many lines takes."""
    return 0.155 * n_entries + 0.06


def square_axes(title: str, labels: tuple[str, str], *, below_in: float) -> Axes:
    """Axes from 0 to 1 in the same place of every panel, so that panels abreast line up."""
    height = 0.3 + SQUARE_IN + 0.45 + below_in
    figure = new_figure(height, is_constrained=False)
    bottom = (0.45 + below_in) / height
    sides = (SQUARE_IN / PANEL_WIDTH_IN, SQUARE_IN / height)
    axes = figure.add_axes((0.52 / PANEL_WIDTH_IN, bottom, *sides))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
    axes.set_xticks(*UNIT_TICKS)
    axes.set_yticks(*UNIT_TICKS)
    axes.set_title(title, loc="left")
    return axes


def draw_band(axes: Axes, curve: Curve, number: int) -> None:
    """The interval of a curve as a pale band, where both of its bounds are known."""
    if curve.low and curve.high:
        x, low, high = (
            np.array(part, dtype=np.float64) for part in (curve.x, curve.low, curve.high)
        )
        known = ~(np.isnan(low) | np.isnan(high))
        colour = PALETTE[number % len(PALETTE)]
        bounds = (low[known], high[known])
        axes.fill_between(x[known], *bounds, color=colour, alpha=0.16, linewidth=0, zorder=2)


def legend_below(axes: Axes, below_in: float = 0.45) -> None:
    """A legend under the axes of `square_axes`."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -below_in / SQUARE_IN)}
    axes.legend(**place, labelspacing=0.25, borderaxespad=0, borderpad=0)


def figure_of(axes: Axes) -> Figure:
    """The figure that the axes stand on."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - the axes were made on one
    return figure


def line_look(number: int) -> dict[str, Any]:
    """The look of the line of that number: colour and dash, both of which tell it apart."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.6 if number == 0 else 1.3,
        "zorder": 3,
    }


def mark_look(number: int) -> dict[str, Any]:
    """The look of the mark of that number."""
    return {
        "marker": MARKERS[number % len(MARKERS)],
        "color": INK,
        "markerfacecolor": "white",
        "markeredgewidth": 1.1,
        "markersize": 6,
        "linestyle": "none",
        "zorder": 5,
    }
