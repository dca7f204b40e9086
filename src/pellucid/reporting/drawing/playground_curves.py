"""Curves of the lecture's functions: activations, cross-entropy, losses in 32 bit, outputs.

Values and slopes differ in their dashes as well as in colour. Arrays and strings in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.reporting.drawing.playground_plots import titled
from pellucid.reporting.drawing.svg import ACCENT, INK, MUTED, RULE, STYLE

_SLOPE = "#D55E00"
_BAR = "#8fbcdc"

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Function:
    """A function over x: values and slopes (n,), its name, and a remark below the name."""

    name: str
    remark: str
    x: Values
    y: Values
    slope: Values


@dataclass(frozen=True)
class Rounding:
    """A loss over the logit as it should be and as 32 bit gives it; NaN where it is not finite."""

    name: str
    remark: str
    found: Values
    found_slope: Values


@dataclass(frozen=True)
class OutputRow:
    """One class with its logit and probability, and both as words."""

    label: str
    logit: float
    logit_text: str
    probability: float
    probability_text: str
    is_called: bool


def draw_functions(functions: Sequence[Function], *, title: str, note: str) -> Figure:
    """Small multiples with the same axes; values whole, slopes dashed."""
    with mpl.rc_context(STYLE):
        columns = min(4, len(functions)) if len(functions) != 5 else 3
        rows = math.ceil(len(functions) / columns)
        figure = titled(rows * 1.75 + 0.95, title, note)
        grid = np.ravel(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True))
        for number, (axes, function) in enumerate(zip(grid, functions, strict=False)):
            _cross(axes)
            axes.plot(function.x, function.y, color=ACCENT, linewidth=1.6, label="f(x)")
            slope = {"color": _SLOPE, "linewidth": 1.2, "linestyle": (0, (4, 1.5))}
            axes.plot(function.x, function.slope, label="slope df/dx", **slope)
            axes.set(xlim=(-6, 6), ylim=(-2.2, 4.2))
            axes.set_title(function.name, fontsize=9, pad=11)
            _below_title(axes, function.remark)
            if number % columns == 0:
                axes.set_ylabel("f(x), slope")
            if number + columns >= len(functions):
                axes.set_xlabel("input x")
                axes.tick_params(labelbottom=True)
        for axes in grid[len(functions) :]:
            axes.set_axis_off()
        _legend(figure, grid[0])
        return figure


def draw_cross_entropy(
    p: Values, margin: Values, loss: Values, gradients: tuple[Values, Values], chance: float
) -> Figure:
    """The loss over the true class's probability, and over its lead in logits, with gradients."""
    with mpl.rc_context(STYLE):
        note = "Marked: a network that knows nothing, and a confident mistake (p = 0.01)."
        figure = titled(3.2, "Cross-entropy: what the true class's probability costs", note)
        left, right = figure.subplots(1, 2)
        left.plot(p, loss, color=ACCENT, linewidth=1.8)
        left.set(xlim=(0, 1), ylim=(0, 7.5))
        left.set_xlabel("probability of the true class")
        left.set_ylabel("loss −log p (nats)")
        for at, words in ((math.exp(-chance), "knows nothing"), (0.01, "a confident mistake")):
            _mark(left, (at, -math.log(at)), f"{words}: {-math.log(at):.2f}")
        _draw_pulls(right, (margin, loss), gradients)
        return figure


def _draw_pulls(axes: Axes, line: tuple[Values, Values], gradients: tuple[Values, Values]) -> None:
    margin, loss = line
    axes.plot(margin, loss, color=ACCENT, linewidth=1.8, label="loss (nats)")
    dashes: tuple[Any, ...] = ((0, (4, 1.5)), (0, (1, 1.2)))
    names = ("gradient of the true class's logit, p − 1", "gradient of each other logit")
    for values, name, dash in zip(gradients, names, dashes, strict=True):
        colour = _SLOPE if dash == dashes[0] else INK
        axes.plot(margin, values, color=colour, linewidth=1.3, linestyle=dash, label=name)
    axes.axhline(0, color=RULE, linewidth=0.6)
    axes.set(xlim=(-7, 7), ylim=(-1.4, 7.5))
    axes.set_xlabel("logit of the true class less that of another")
    axes.set_ylabel("loss (nats), gradient")
    axes.legend(loc="upper right", fontsize=7.5, handlelength=2.2)


def draw_roundings(
    z: Values, exact: tuple[Values, Values], losses: Sequence[Rounding], *, title: str, note: str
) -> Figure:
    """A panel a loss: exact in grey, 32 bit on it; where 32 bit is not finite the line ends."""
    with mpl.rc_context(STYLE):
        figure = titled(2 * 2.2 + 1.0, title, note)
        grid = np.ravel(figure.subplots(2, 3, sharex=True, sharey=True))
        for number, (axes, loss) in enumerate(zip(grid, losses, strict=True)):
            axes.plot(z, exact[0], color="#b5b5b5", linewidth=5, label="exact loss")
            axes.plot(z, 50 * exact[1], color="#dcdcdc", linewidth=5, label="exact gradient × 50")
            axes.plot(z, loss.found, color=ACCENT, linewidth=1.5, label="loss in 32 bit")
            slope = {"color": _SLOPE, "linewidth": 1.3, "linestyle": (0, (4, 1.5))}
            axes.plot(z, 50 * loss.found_slope, label="gradient × 50 in 32 bit", **slope)
            axes.set(xlim=(z[0], z[-1]), ylim=(-8, float(z[-1])))
            axes.set_title(loss.name, fontsize=8.5, pad=13)
            _below_title(axes, loss.remark)
            if number >= 3:
                axes.set_xlabel("logit z of the wrong class")
            if number % 3 == 0:
                axes.set_ylabel("loss (nats), gradient × 50")
        grid[0].legend(loc="lower right", fontsize=6.8, handlelength=1.8, borderaxespad=0.2)
        return figure


def draw_output(rows: Sequence[OutputRow], *, title: str, note: str) -> Figure:
    """Logits on the left, 0 between for and against; probabilities on the right, 0 to 1."""
    with mpl.rc_context(STYLE):
        figure = titled(1.25 + 0.27 * len(rows), title, note)
        left, right = figure.subplots(1, 2, sharey=True)
        left.set_yticks(range(len(rows)), [row.label for row in rows])
        left.set_ylim(len(rows) - 0.45, -0.55)
        largest = max(abs(row.logit) for row in rows) or 1.0
        left.set_xlim(-1.6 * largest, 1.6 * largest)
        right.set_xlim(0, 1.25)
        right.set_xticks([0, 0.25, 0.5, 0.75, 1])
        left.set_xlabel("logit z (natural logarithm of the odds)")
        right.set_xlabel("probability")
        left.axvline(0, color=MUTED, linewidth=0.8)
        for number, row in enumerate(rows):
            colour = ACCENT if row.is_called else _BAR
            left.barh(number, row.logit, height=0.62, color=colour)
            _beside(left, (row.logit, number), row.logit_text)
            right.barh(number, row.probability, height=0.62, color=colour)
            _beside(right, (row.probability, number), row.probability_text)
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
        return figure


def _beside(axes: Axes, end: tuple[float, float], text: str) -> None:
    shift, side = (4, "left") if end[0] >= 0 else (-4, "right")
    axes.annotate(text, end, (shift, 0), textcoords="offset points", ha=side, va="center")


def _cross(axes: Axes) -> None:
    axes.axhline(0, color=RULE, linewidth=0.6)
    axes.axvline(0, color=RULE, linewidth=0.6)


def _below_title(axes: Axes, text: str) -> None:
    axes.text(
        0.5, 1.02, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=7, color=MUTED
    )


def _mark(axes: Axes, point: tuple[float, float], words: str) -> None:
    axes.plot(*point, marker="o", color=INK, markersize=4)
    axes.annotate(words, point, (8, 4), textcoords="offset points", fontsize=8)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8)
