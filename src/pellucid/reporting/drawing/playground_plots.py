"""Pictures of what is done to one image: kernels, pooling, the collapse of a stack, augmentation.

Every pixel stays a square. An image is grey; values with a sign run from dark blue over grey (0) to
yellow, growing lighter all the way. Arrays and strings in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pellucid.reporting.drawing.svg import MUTED, STYLE, new_figure

WIDTH_IN = 7.0
GREY, SIGNED = "gray", "cividis"
_NUMBERED_SIDE = 7  # larger kernels are drawn without their numbers
_MARK = "#E69F00"

Values = npt.NDArray[np.floating[Any]]
Box = tuple[int, int, int, int]  # row, column, rows, columns


@dataclass(frozen=True)
class Panel:
    """Values (row, column), what stands above them, and how they become colours.

    `span` is the values at the ends of a grey scale. Without it the scale is signed and reaches to
    `limit` on either side, or to the largest value. `boxes` are frames around pixels; `unit` names
    the values beside the colour scale.
    """

    title: str
    values: Values
    unit: str
    span: tuple[float, float] | None = None
    limit: float | None = None
    boxes: tuple[Box, ...] = ()

    @property
    def look(self) -> dict[str, Any]:
        """For `imshow`."""
        if self.span is not None:
            return {"cmap": GREY, "vmin": self.span[0], "vmax": self.span[1]}
        limit = self.limit or self._largest or 1.0
        return {"cmap": SIGNED, "vmin": -limit, "vmax": limit}

    @property
    def is_clipped(self) -> bool:
        """Whether values lie beyond the ends of the colours."""
        return self.span is None and bool(self._largest > self.look["vmax"] * (1 + 1e-9))

    @property
    def _largest(self) -> float:
        return float(np.abs(self.values).max())


def draw_responses(
    above: Sequence[Panel], responses: Sequence[Panel], *, title: str, note: str
) -> Figure:
    """Image and kernel above, the kernel last with its numbers; the responses below."""
    with mpl.rc_context(STYLE):
        columns = len(responses)
        figure = titled(2 * _row_height(responses[0], columns) + _words(note), title, note)
        grid = figure.subplots(2, columns, squeeze=False)
        for axes, panel in zip(np.ravel(grid), (*above, *responses), strict=True):
            show(axes, panel)
        _write_numbers(grid[0][-1], above[-1])
        _keep_outer_labels(grid)
        return figure


def draw_pooled(image: Panel, pooled: Panel, *, title: str, note: str) -> Figure:
    """The image, its pooled map at the same size of a pixel, and the same map enlarged."""
    with mpl.rc_context(STYLE):
        height, width = image.values.shape
        figure = titled(_row_height(image, 3, 0.72) + _words(note), title, note)
        grid = figure.subplots(1, 3, squeeze=False)
        places = list(grid[0])
        small = Panel("pixels as large\nas the image's", pooled.values, "", pooled.span)
        for axes, panel in zip(places, (image, small, pooled), strict=True):
            axes.imshow(panel.values, interpolation="nearest", **panel.look)
            _label(axes, panel.title)
        _keep_outer_labels(grid)
        places[1].set_xlim(-0.5, width - 0.5)
        places[1].set_ylim(height - 0.5, -0.5)
        places[1].set_facecolor("#f2f2f2")
        _colour_scale(places[2], image)
        return figure


def draw_panels(panels: Sequence[Panel], *, title: str, note: str) -> Figure:
    """Panels in rows of three, each with its own colour scale."""
    with mpl.rc_context(STYLE):
        rows = math.ceil(len(panels) / 3)
        figure = titled(rows * _row_height(panels[0], 3) + _words(note), title, note)
        grid = figure.subplots(rows, 3, squeeze=False)
        for axes, panel in zip(np.ravel(grid), panels, strict=True):
            show(axes, panel)
        _keep_outer_labels(grid)
        return figure


def draw_tiles(
    tiles: Sequence[tuple[str, Values]], *, title: str, note: str, columns: int = 4
) -> Figure:
    """Pictures (row, column) or (row, column, 3) in [0, 1] with words above them, on one scale."""
    with mpl.rc_context(STYLE):
        rows = math.ceil(len(tiles) / columns)
        height, width = tiles[0][1].shape[:2]
        side = WIDTH_IN / columns * height / width
        lines = 1 + max(name.count("\n") for name, _ in tiles)
        figure = titled(rows * (side + 0.02 + 0.14 * lines) + 0.75, title, note)
        grid = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
        for axes, (name, values) in zip(grid, tiles, strict=False):
            axes.imshow(values, cmap=GREY, vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(name, fontsize=8, pad=2.5)
            _frame(axes)
        for axes in grid[len(tiles) :]:
            axes.set_axis_off()
        return figure


def show(axes: Axes, panel: Panel) -> None:
    """A panel with pixel axes, its colour scale on its right, and its frames."""
    axes.imshow(panel.values, interpolation="nearest", **panel.look)
    _label(axes, panel.title)
    for row, column, rows, columns in panel.boxes:
        for colour, width in (("black", 2.2), (_MARK, 1.0)):
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(
                Rectangle(corner, columns, rows, fill=False, edgecolor=colour, linewidth=width)
            )
    _colour_scale(axes, panel)


def titled(height_in: float, title: str, note: str) -> Figure:
    """A page-wide figure with a title on the left and a note in small print below."""
    figure = new_figure(height_in, width_in=WIDTH_IN)
    figure.suptitle(title, x=0.008, ha="left", fontsize=10)
    figure.supxlabel(note, x=0.008, ha="left", fontsize=8, color=MUTED)
    return figure


def _label(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=8.5, pad=3)
    axes.set_xlabel("column (pixel)", fontsize=7.5, labelpad=1.5)
    axes.set_ylabel("row (pixel)", fontsize=7.5, labelpad=1.5)
    axes.tick_params(labelsize=7, length=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(mpl.ticker.MaxNLocator(4, integer=True))
    _frame(axes)


def _frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.4)


def _row_height(panel: Panel, columns: int, beside_in: float = 0.95) -> float:
    """Inches that a row takes in which the panel is as wide as it can be."""
    height, width = panel.values.shape
    wide = WIDTH_IN / columns - beside_in
    return float(min(max(wide * height / width, 0.9), 4.0)) + 0.6


def _words(note: str) -> float:
    """Inches for the title and the note."""
    return 0.4 + 0.15 * (1 + note.count("\n"))


def _keep_outer_labels(grid: npt.NDArray[Any]) -> None:
    """The words of an axis stand on the left and at the bottom alone; its numbers everywhere."""
    for axes in np.ravel(grid[:, 1:]):
        axes.set_ylabel("")
    for axes in np.ravel(grid[:-1]):
        axes.set_xlabel("")


def _colour_scale(axes: Axes, panel: Panel) -> None:
    """On the right of the axes and as tall; pointed where values lie beyond its ends."""
    look = panel.look
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(look["vmin"], look["vmax"]), look["cmap"])
    extend: Literal["both", "neither"] = "both" if panel.is_clipped else "neither"
    place = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    bar = axes.figure.colorbar(colours, cax=place, extend=extend)
    bar.set_label(panel.unit, fontsize=7.5)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.locator = mpl.ticker.MaxNLocator(5)
    bar.update_ticks()
    bar.outline.set_visible(False)


def _write_numbers(axes: Axes, kernel: Panel) -> None:
    """The weights in their squares, black on light and white on dark."""
    rows, columns = kernel.values.shape
    if max(rows, columns) > _NUMBERED_SIDE:
        return
    look = kernel.look
    size = 9 if max(rows, columns) <= 3 else 7 if max(rows, columns) <= 5 else 5.5
    for row in range(rows):
        for column in range(columns):
            value = float(kernel.values[row, column])
            share = (value - look["vmin"]) / (look["vmax"] - look["vmin"])
            text = f"{value + 0.0:.2g}".replace("-", "−").replace("0.", ".", 1)
            text = "0" if value == 0 else text
            ink = "black" if share > 0.55 else "white"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
