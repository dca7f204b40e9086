"""The plots of a report, each one panel 3.35 inches wide, as an SVG element.

Curves are told apart by colour (Okabe and Ito's palette, for the colour-blind) and by dash as well,
so that they hold in grey. The legend stands below the axes, where it can cover nothing. Plots draw
figures that others computed, and know no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.reporting.svg import (
    ACCENT,
    INK,
    MUTED,
    PANEL_WIDTH_IN,
    RULE,
    STYLE,
    figure_to_svg,
    new_figure,
)
from pellucid.reporting.writing import shorten

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
SPLIT_FILLS = {  # lightness alone tells them apart; the test images are what the verdict is about
    "train": "#d3e3ef",
    "validation": "#8fbcdc",
    "test": "#0072B2",
    "external_test": "#00304d",
}
REFERENCE: dict[str, Any] = {
    "color": MUTED,
    "linewidth": 0.8,
    "linestyle": (0, (1, 2)),
    "zorder": 1,
}
UNIT_TICKS = ((0, 0.2, 0.4, 0.6, 0.8, 1), ("0", "0.2", "0.4", "0.6", "0.8", "1"))
SQUARE_IN = 2.7
Z_95 = 1.959964


@dataclass(frozen=True)
class Curve:
    """A line through points, and what the legend says of it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    is_reference: bool = False  # drawn thin and grey behind the others


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
        axes = _square_axes(title, labels, below_in=0.155 * (len(curves) + len(marks)) + 0.06)
        for number, curve in enumerate(curve for curve in curves if not curve.is_reference):
            axes.plot(curve.x, curve.y, **_line(number), label=curve.label, clip_on=False)
        for curve in curves:
            if curve.is_reference:
                axes.plot(curve.x, curve.y, **REFERENCE, label=curve.label)
        for number, mark in enumerate(marks):
            axes.plot([mark.x], [mark.y], **_marker(number), label=mark.label, clip_on=False)
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.45 / SQUARE_IN)}
        axes.legend(**place, labelspacing=0.25, borderaxespad=0, borderpad=0)
        label = f"{title}: {labels[1]} over {labels[0]}"
        return figure_to_svg(_figure_of(axes), name, label)


def _square_axes(title: str, labels: tuple[str, str], *, below_in: float) -> Axes:
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


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - the axes were made on one
    return figure


def _line(number: int) -> dict[str, Any]:
    """The look of the line of that number: colour and dash, both of which tell it apart."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.6 if number == 0 else 1.3,
        "zorder": 3,
    }


def _marker(number: int) -> dict[str, Any]:
    return {
        "marker": MARKERS[number % len(MARKERS)],
        "color": INK,
        "markerfacecolor": "white",
        "markeredgewidth": 1.1,
        "markersize": 6,
        "linestyle": "none",
        "zorder": 5,
    }


def plot_reliability(
    bins: Sequence[Mapping[str, Any]], *, of: str = "Predicted probability", name: str
) -> str:
    """What was observed over what was predicted, with the counts below; bars are 95 % Wilson.

    `of` says which probability. `bins` have low, high, n, mean_probability and observed, as
    evaluation.json gives them.
    """
    full = [entry for entry in bins if entry.get("n") and entry.get("observed") is not None]
    with mpl.rc_context(STYLE):
        axes = _square_axes("Reliability", ("", "Observed share"), below_in=0.6)
        axes.plot((0, 1), (0, 1), **REFERENCE)
        x = [float(entry["mean_probability"]) for entry in full]
        y = [float(entry["observed"]) for entry in full]
        for place, share, entry in zip(x, y, full, strict=True):
            axes.plot((place, place), _wilson(share, int(entry["n"])), color=ACCENT, linewidth=1)
        axes.plot(x, y, "o-", color=ACCENT, markersize=4.5, linewidth=0.7, clip_on=False)
        figure = _figure_of(axes)
        box = axes.get_position()
        height = 0.5 / figure.get_figheight()
        below = figure.add_axes((box.x0, box.y0 - 0.26 / 0.5 * height - height, box.width, height))
        _draw_counts(below, bins)
        below.set_xlabel(of)
        return figure_to_svg(figure, name, "Reliability: observed share over predicted probability")


def _draw_counts(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    for entry in bins:
        width = float(entry["high"]) - float(entry["low"])
        low, height = float(entry["low"]), int(entry.get("n") or 0)
        axes.bar(low, height, width, align="edge", color=RULE, edgecolor="white", linewidth=0.8)
    axes.set(xlim=(0, 1), ylabel="Images")
    axes.set_xticks(*UNIT_TICKS)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))


def _wilson(share: float, n: int) -> tuple[float, float]:
    """A 95 % interval of a share of n (Wilson 1927); it stays inside [0, 1]."""
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def plot_losses(
    history: pd.DataFrame, best: int | None, *, loss: str = "cross-entropy, nats", name: str
) -> str:
    """Training and validation loss over the epochs; a line stands at the chosen epoch."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.75)
        axes = _epoch_axes(figure.add_subplot(), history, best)
        axes.set(ylabel=f"Loss ({loss})")
        axes.set_title("Loss", loc="left")
        x = history["epoch"]
        if "train_loss" in history:
            grey: dict[str, Any] = {"color": MUTED, "linestyle": DASHES[1], "linewidth": 1.2}
            axes.plot(x, history["train_loss"], **grey, label="training")
        if "validation_loss" in history:
            axes.plot(x, history["validation_loss"], color=ACCENT, label="validation", **_dots(x))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        figure.legend(loc="outside lower left", ncols=2, borderaxespad=0.2)
        return figure_to_svg(figure, name, "Training and validation loss over the epochs")


def plot_metric(
    history: pd.DataFrame, best: int | None, *, metric: str = "metric", name: str
) -> str:
    """The validation metric over the epochs; the chosen epoch is marked with its value."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.75)
        axes = _epoch_axes(figure.add_subplot(), history, best)
        axes.set(ylabel=f"Validation {metric}")
        axes.set_title(f"Validation {metric}", loc="left")
        x, y = history["epoch"], history["validation_metric"]
        axes.plot(x, y, color=ACCENT, **_dots(x))
        chosen = history[history["epoch"] == best]
        if len(chosen):
            at = (float(chosen["epoch"].iloc[0]), float(chosen["validation_metric"].iloc[0]))
            label = f"chosen: epoch {best}, {at[1]:.3f}"
            axes.plot([at[0]], [at[1]], **_marker(0), label=label, clip_on=False)
            figure.legend(loc="outside lower left", borderaxespad=0.2)
        axes.margins(y=0.1)
        return figure_to_svg(figure, name, f"Validation {metric} over the epochs")


def _epoch_axes(axes: Axes, history: pd.DataFrame, best: int | None) -> Axes:
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    epochs = history["epoch"]
    axes.set_xlim(float(epochs.min()) - 0.5, float(epochs.max()) + 0.5)
    if best is not None:
        axes.axvline(best, color=RULE, linewidth=0.9, zorder=0)
    return axes


def _dots(x: pd.Series) -> dict[str, Any]:
    """Few epochs are dots on a line, many a line."""
    return {"linewidth": 1.5, "marker": "o" if len(x) <= 30 else None, "markersize": 3}


def plot_splits(counts: Mapping[str, Mapping[str, int]], *, name: str) -> str:
    """Images of each class, stacked by split. `counts` is class → split → images."""
    splits = [key for key in SPLIT_FILLS if any(key in row for row in counts.values())]
    with mpl.rc_context(STYLE):
        figure = new_figure(0.95 + 0.27 * len(counts))
        axes = figure.add_subplot()
        left = dict.fromkeys(counts, 0)
        for split in splits:
            widths = [counts[label].get(split, 0) for label in counts]
            fill: dict[str, Any] = {
                "color": SPLIT_FILLS[split],
                "edgecolor": "white",
                "linewidth": 0.6,
            }
            bars = list(range(len(counts)))
            label = split.replace("_", " ")
            axes.barh(bars, widths, left=list(left.values()), height=0.66, **fill, label=label)
            left = {key: left[key] + counts[key].get(split, 0) for key in counts}
        axes.set_yticks(range(len(counts)), [shorten(label) for label in counts])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Images")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        legend: dict[str, Any] = {"handlelength": 1, "columnspacing": 1.1, "handletextpad": 0.5}
        figure.legend(loc="outside lower left", ncols=len(splits), borderaxespad=0.2, **legend)
        return figure_to_svg(figure, name, "Images of each class by split")
