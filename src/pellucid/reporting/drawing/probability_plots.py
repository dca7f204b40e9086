"""The plots of probabilities: reliability, decision curve, coverage and risk.

They draw figures that others computed, with their bands, and know no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pellucid.reporting.drawing.plots import (
    MARKERS,
    PALETTE,
    REFERENCE,
    UNIT_TICKS,
    Curve,
    Mark,
    draw_band,
    figure_of,
    legend_below,
    legend_height,
    line_look,
    mark_look,
    square_axes,
)
from pellucid.reporting.drawing.svg import RULE, STYLE, figure_to_svg

Z_95 = 1.959964
MANY = 0.5  # share of images from which on the band of coverage and risk must be seen whole

Bins = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Reliability:
    """The bins of one set of probabilities, and what the legend says of it."""

    label: str
    bins: Bins


def plot_reliability(
    parts: Sequence[Reliability], *, of: str = "Predicted probability", name: str
) -> str:
    """What was observed over what was predicted, with the counts of the last part below.

    `of` says which probability. Bins have low, high, n, mean_probability and observed, and
    observed_low and observed_high where they were computed (else 95 % Wilson), as evaluation.json.
    """
    below = 0.75 + legend_height(len(parts) + 1)
    with mpl.rc_context(STYLE):
        axes = square_axes("Reliability", ("", "Observed share"), below_in=below)
        axes.plot((0, 1), (0, 1), **REFERENCE, label="probabilities that mean what they say")
        for number, part in enumerate(parts):
            _draw_reliability(axes, part, number)
        figure = figure_of(axes)
        box = axes.get_position()
        height = 0.5 / figure.get_figheight()
        counts = figure.add_axes((box.x0, box.y0 - 0.26 / 0.5 * height - height, box.width, height))
        _draw_counts(counts, parts[-1].bins)
        counts.set_xlabel(of)
        legend_below(axes, 1.2)
        return figure_to_svg(figure, name, "Reliability: observed share over predicted probability")


def _draw_reliability(axes: Axes, part: Reliability, number: int) -> None:
    colour = PALETTE[number % len(PALETTE)]
    full = [entry for entry in part.bins if entry.get("n") and entry.get("observed") is not None]
    for entry in full:
        place = float(entry["mean_probability"])
        axes.plot((place, place), _band(entry), color=colour, linewidth=1, alpha=0.8)
    look: dict[str, Any] = {
        **line_look(number),
        "linewidth": 0.9,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "markerfacecolor": colour if number == 0 else "white",
    }
    x = [float(entry["mean_probability"]) for entry in full]
    y = [float(entry["observed"]) for entry in full]
    axes.plot(x, y, **look, clip_on=False, label=part.label)


def _band(entry: Mapping[str, Any]) -> tuple[float, float]:
    low, high = entry.get("observed_low"), entry.get("observed_high")
    if low is None or high is None:
        return _wilson(float(entry["observed"]), int(entry["n"]))
    return float(low), float(high)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """A 95 % interval of a share of n (Wilson 1927); it stays inside [0, 1]."""
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _draw_counts(axes: Axes, bins: Bins) -> None:
    for entry in bins:
        width = float(entry["high"]) - float(entry["low"])
        low, height = float(entry["low"]), int(entry.get("n") or 0)
        axes.bar(low, height, width, align="edge", color=RULE, edgecolor="white", linewidth=0.8)
    axes.set(xlim=(0, 1), ylabel="Images")
    axes.set_xticks(*UNIT_TICKS)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))


def plot_decision_curve(curve: Mapping[str, Any], *, name: str) -> str:
    """Net benefit over the threshold: the model with its band, treating all, treating none."""
    x = curve["thresholds"]
    lines = [
        Curve("by the model", x, curve["model"], False, *_bounds(curve, "model")),
        Curve("treat all", x, curve["treat_all"]),
        Curve("treat none", x, curve["treat_none"]),
    ]
    top = max([value for value in [*curve["model"], *lines[0].high] if value is not None] or [0.1])
    with mpl.rc_context(STYLE):
        labels = ("Threshold probability", "Net benefit per image")
        axes = square_axes("Decision curve", labels, below_in=legend_height(3))
        axes.set_ylim(-0.25 * top, 1.1 * top)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter("{x:.2f}")
        for number, line in enumerate(lines):
            draw_band(axes, line, number)
            axes.plot(line.x, line.y, **line_look(number), label=line.label)
        legend_below(axes)
        return figure_to_svg(figure_of(axes), name, "Net benefit over the threshold probability")


def plot_coverage_risk(curve: Mapping[str, Any], marks: Sequence[Mark] = (), *, name: str) -> str:
    """Risk of the images kept over the share kept, the least sure left out first."""
    line = Curve("the surest images kept", curve["coverage"], curve["risk"])
    band = Curve("", line.x, line.y, False, *_bounds(curve, "risk"))
    # Of a handful of images little is known: their band would leave no room for the rest.
    many = [high for x, high in zip(line.x, band.high, strict=False) if x >= MANY]
    reached = [value for value in [*line.y, *many] if value is not None]
    top, title = max([*reached, 0.01]), "Coverage and risk"
    digits = 0 if top > 0.06 else 1
    with mpl.rc_context(STYLE):
        labels = ("Share of the images kept", str(curve.get("risk_is", "Risk")).capitalize())
        axes = square_axes(title, labels, below_in=legend_height(1 + len(marks)))
        axes.set_ylim(0, 1.1 * top)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(PercentFormatter(1, digits, " %"))
        draw_band(axes, band, 0)
        axes.plot(line.x, line.y, **line_look(0), label=line.label)
        for number, mark in enumerate(marks):
            axes.plot([mark.x], [mark.y], **mark_look(number), label=mark.label, clip_on=False)
        legend_below(axes)
        return figure_to_svg(figure_of(axes), name, "Risk over the share of images kept")


def _bounds(curve: Mapping[str, Any], key: str) -> tuple[Sequence[Any], Sequence[Any]]:
    return curve.get(f"{key}_low") or (), curve.get(f"{key}_high") or ()
