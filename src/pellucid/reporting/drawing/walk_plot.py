"""The page "from edges to disease": one image from the first layer to the logits.

From above: a row for each stage with its strongest maps; the pooled vector; how the features add up
to each logit. Everything is placed in inches, so that pages of few and of many stages look alike.
Plain arrays and strings in; it knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pellucid.reporting.drawing.feature_plots import (
    PAGE_WIDTH_IN,
    Bytes,
    Scale,
    Tile,
    Values,
    axes_at,
    common_scale,
    show_image,
    show_map,
)
from pellucid.reporting.drawing.svg import ACCENT, INK, MUTED, STYLE, new_figure

MAX_LOGITS = 4
_WORDS_IN, _RIGHT_IN, _GAP_IN = 1.42, 0.5, 0.06
_ROW_GAP_IN, _TOP_IN, _NOTE_LINE_IN = 0.2, 0.62, 0.15
_POOLED_IN, _BAR_IN, _NAMES_IN, _FIGURE_IN = 0.75, 0.16, 0.7, 0.36
_AGAINST = "#D55E00"  # Okabe and Ito's vermilion, beside their blue
_EDGES: tuple[tuple[str, float], ...] = (("black", 2.8), ("white", 1.3))
_MARKED_FEATURES = 3


@dataclass(frozen=True)
class StageRow:
    """One stage: lines of text, what one unit sees (top, left, side) in pixels, and its maps."""

    lines: tuple[str, ...]
    window: tuple[float, float, float]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class LogitBars:
    """How one logit adds up: the features that move it most as `bars`, the rest as `sums`.

    `sums` are written, not drawn: all other features, the bias, and the logit itself.
    """

    title: str
    bars: tuple[tuple[str, float], ...]
    sums: tuple[tuple[str, float], ...]


def draw_walk(
    image: Bytes,
    stages: Sequence[StageRow],
    pooled: Values,
    logits: Sequence[LogitBars],
    *,
    title: str,
    note: str,
) -> Figure:
    """The whole page for one image (row, column[, 3]); at most four logits stand abreast."""
    shown = logits[:MAX_LOGITS]
    n_tiles = max(len(stage.tiles) for stage in stages)
    side = (PAGE_WIDTH_IN - _WORDS_IN - _RIGHT_IN) / (n_tiles + 1) - _GAP_IN
    rows_in = len(stages) * (side + _ROW_GAP_IN)
    bars_in = _BAR_IN * max(len(logit.bars) + len(logit.sums) for logit in shown)
    note_in = _NOTE_LINE_IN * (note.count("\n") + 1) + 0.05
    height = _TOP_IN + rows_in + 0.3 + _POOLED_IN + 1.0 + bars_in + 0.2 + note_in
    with mpl.rc_context(STYLE):
        figure = new_figure(height, width_in=PAGE_WIDTH_IN, is_constrained=False)
        figure.text(0.008, 1 - 0.06 / height, title, va="top", fontsize=10)
        figure.text(0.008, 0.05 / height, note, va="bottom", fontsize=8, color=MUTED)
        top = _TOP_IN
        for stage in stages:
            _draw_stage(figure, (top, side), image, stage)
            top += side + _ROW_GAP_IN
        _draw_pooled(axes_at(figure, (0.62, top + 0.3), (PAGE_WIDTH_IN - 0.72, _POOLED_IN)), pooled)
        top += 0.3 + _POOLED_IN + 1.0
        part_in = PAGE_WIDTH_IN / max(len(shown), 2)
        bar_in = part_in - _NAMES_IN - 0.1
        heading = "What each feature adds to a logit: feature × weight of the head"
        figure.text(0.008, 1 - (top - 0.38) / height, heading, fontsize=9)
        for number, logit in enumerate(shown):
            place = (number * part_in + _NAMES_IN, top)
            _draw_logit(axes_at(figure, place, (bar_in, bars_in)), logit, bar_in)
        return figure


def _draw_stage(figure: Figure, place: tuple[float, float], image: Bytes, stage: StageRow) -> None:
    """A row: words, the image with what one unit sees, the maps, and their scale."""
    top, side = place
    words = axes_at(figure, (0.06, top), (_WORDS_IN - 0.1, side))
    words.set_axis_off()
    words.text(0, 1, stage.lines[0], va="top", fontweight="bold", fontsize=8.5)
    rest = "\n".join(stage.lines[1:])
    words.text(0, 1 - 0.2 / side, rest, va="top", fontsize=7.5, linespacing=1.25)
    seen = axes_at(figure, (_WORDS_IN, top), (side, side))
    show_image(seen, image)
    _draw_window(seen, stage.window, image.shape[0])
    scale = common_scale([tile.values for tile in stage.tiles])
    left = _WORDS_IN
    for tile in stage.tiles:
        left += side + _GAP_IN
        show_map(axes_at(figure, (left, top), (side, side)), tile.values, scale, tile.title, size=7)
    _draw_scale(axes_at(figure, (left + side + _GAP_IN, top), (0.07, side)), scale)


def _draw_window(axes: Axes, window: tuple[float, float, float], size: int) -> None:
    """A frame around what one unit sees of the image, which may be all of it."""
    edges = [(start, start + window[2]) for start in window[:2]]
    inset = size / 100  # so that a frame along the border is seen whole
    (top, bottom), (left, right) = (
        (max(first, -0.5 + inset), min(last, size - 0.5 - inset)) for first, last in edges
    )
    for colour, width in _EDGES:
        look: dict[str, Any] = {"edgecolor": colour, "linewidth": width, "joinstyle": "miter"}
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, **look))


def _draw_scale(axes: Axes, scale: Scale) -> None:
    """The colours of a stage and their values, upright."""
    ramp = np.linspace(scale.low, scale.high, 128)[:, np.newaxis]
    box = (0, 1, scale.low, scale.high)
    axes.imshow(ramp, aspect="auto", origin="lower", extent=box, **scale.look)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(axis="y", labelsize=7, length=2, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_pooled(axes: Axes, pooled: Values) -> None:
    """The pooled vector, a thin line a feature; the largest are named."""
    axes.vlines(np.arange(len(pooled)), 0, pooled, color=ACCENT, linewidth=0.7)
    for number in _apart(np.argsort(-np.abs(pooled), kind="stable"), len(pooled) / 30):
        here = (float(number), float(pooled[number]))
        look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "ha": "center"}
        axes.annotate(str(number), here, (0, 1.5), **look)
    axes.set_xlim(-1, len(pooled))
    axes.margins(y=0.2)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set(ylabel="Activation", xlabel="Feature: channel of the last stage")
    axes.tick_params(labelsize=7)
    axes.set_title(f"Global pooling leaves {len(pooled)} features", loc="left", pad=4)


def _apart(places: Sequence[int] | npt.NDArray[np.intp], distance: float) -> list[int]:
    """The first few of the places that leave room for each other's names."""
    kept: list[int] = []
    for place in places:
        if len(kept) < _MARKED_FEATURES and all(abs(place - other) > distance for other in kept):
            kept.append(int(place))
    return kept


def _draw_logit(axes: Axes, logit: LogitBars, width_in: float) -> None:
    """Bars of what single features add, and below them the sums in figures."""
    n_bars, rows = len(logit.bars), [*logit.bars, *logit.sums]
    values = [value for _, value in logit.bars]
    colours = [ACCENT if value >= 0 else _AGAINST for value in values]
    axes.barh(range(n_bars), values, color=colours, height=0.7)
    axes.plot([0, 0], [-0.5, n_bars - 0.5], color=INK, linewidth=0.6)
    axes.axhline(len(rows) - 1.5, color=MUTED, linewidth=0.6)
    axes.set(xlim=_limits(values, width_in), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.tick_params(axis="y", length=0, labelsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(logit.title, loc="left", fontsize=8.5, pad=4)
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7}
    for place, (_, value) in enumerate(rows):
        text = f"{value:+.2f}".replace("-", "−")
        if place >= n_bars:
            axes.annotate(
                text, (1, place), (0, 0), ha="right", xycoords=axes.get_yaxis_transform(), **look
            )
        elif value >= 0:
            axes.annotate(text, (value, place), (2, 0), ha="left", **look)
        else:
            axes.annotate(text, (value, place), (-2, 0), ha="right", **look)


def _limits(values: Sequence[float], width_in: float) -> tuple[float, float]:
    """Ends of the axis that leave room for a figure beside the longest bar of each side."""
    low, high = min(0.0, *values), max(0.0, *values)
    figures_in = _FIGURE_IN * ((low < 0) + (high > 0))
    room = _FIGURE_IN * ((high - low) or 1.0) / max(width_in - figures_in, 0.2)
    return low - (room if low < 0 else 0), high + (room if high > 0 else 0)
