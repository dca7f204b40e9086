"""A network's output as bars: logits and probabilities side by side, and a logit as a sum.

Knows names and numbers; it does not know how one follows from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes

from pellucid.reporting.drawing.svg import ACCENT, INK, MUTED, STYLE, figure_to_svg, new_figure
from pellucid.reporting.writing import shorten

_CALLED, _OTHER = ACCENT, "#9bb8cc"
_FOR, _AGAINST = "#E69F00", "#0072B2"  # as in a heat map; for is the lighter one in grey


@dataclass(frozen=True)
class ClassBar:
    """One class: its logit and probability, as numbers and as they are written beside the bars."""

    label: str
    logit: float
    logit_text: str
    probability: float
    probability_text: str
    is_called: bool


def plot_logits(bars: Sequence[ClassBar], *, name: str) -> str:
    """The logits, with 0 between for and against."""
    largest = max(abs(bar.logit) for bar in bars) or 1.0
    with mpl.rc_context(STYLE):
        figure = new_figure(0.95 + 0.27 * len(bars))
        axes = _rows(figure.add_subplot(), bars, "Logits")
        axes.set_xlim(-1.6 * largest, 1.6 * largest)  # the numbers stand beside the bars
        axes.set_xlabel("Logit (natural logarithm of the odds)")
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for row, bar in enumerate(bars):
            axes.barh(row, bar.logit, height=0.62, color=_colour(bar))
            at, side = (4, "left") if bar.logit >= 0 else (-4, "right")
            _write(axes, bar.logit_text, (bar.logit, row), at, side)
        return figure_to_svg(figure, name, "The logit of each class")


def plot_probabilities(bars: Sequence[ClassBar], *, name: str) -> str:
    """The probabilities from 0 to 1, in the same rows."""
    with mpl.rc_context(STYLE):
        figure = new_figure(0.95 + 0.27 * len(bars))
        axes = _rows(figure.add_subplot(), bars, "Probabilities")
        axes.set_xlim(0, 1.24)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("Probability")
        for row, bar in enumerate(bars):
            axes.barh(row, bar.probability, height=0.62, color=_colour(bar))
            _write(axes, bar.probability_text, (bar.probability, row), 4, "left")
        return figure_to_svg(figure, name, "The probability of each class")


def _colour(bar: ClassBar) -> str:
    return _CALLED if bar.is_called else _OTHER


def _rows(axes: Axes, bars: Sequence[ClassBar], title: str) -> Axes:
    axes.set_title(title, loc="left")
    axes.set_yticks(range(len(bars)), [shorten(bar.label, 18) for bar in bars])
    axes.set_ylim(len(bars) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    return axes


def _write(axes: Axes, text: str, place: tuple[float, float], shift: float, side: str) -> None:
    axes.annotate(
        text, place, (shift, 0), textcoords="offset points", ha=side, va="center", fontsize=8.5
    )


def plot_sum(terms: Sequence[tuple[str, float]], *, total: str, unit: str, name: str) -> str:
    """Terms (name, value) one below the other, each beginning where the last one ended.

    The last row is the sum of them all, called `total`; `unit` names the values.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(0.85 + 0.23 * (len(terms) + 1))
        axes = figure.add_subplot()
        at = 0.0
        for row, (_, value) in enumerate(terms):
            axes.barh(row, value, left=at, height=0.62, color=_FOR if value >= 0 else _AGAINST)
            _write_sum(axes, value, (max(at, at + value), row))
            at += value
            axes.plot([at, at], [row, row + 1], color=MUTED, linewidth=0.6)
        axes.barh(len(terms), at, height=0.62, color=INK)
        _write_sum(axes, at, (max(at, 0.0), len(terms)))
        labels = [*(term for term, _ in terms), total]
        axes.set_yticks(range(len(labels)), [shorten(label, 24) for label in labels])
        axes.set_ylim(len(terms) + 0.55, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.margins(x=0.2)
        axes.set_xlabel(unit)
        return figure_to_svg(figure, name, f"How {total} comes about, term by term")


def _write_sum(axes: Axes, value: float, place: tuple[float, float]) -> None:
    _write(axes, f"{value:+.2f}".replace("-", "−"), place, 3, "left")
