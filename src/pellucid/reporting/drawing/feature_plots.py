"""Pictures of what layers give: maps in tiles, filters, exciting patches, maximised pictures.

Small maps are enlarged by nearest neighbour, so that a value is a square with a sharp edge. Values
from 0 up run from black to pale; values with a sign from blue over grey (0) to yellow. Both grow
lighter all the way, so that they hold in grey and for the colour-blind. Arrays and strings in.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.reporting.drawing.svg import ACCENT, MUTED, STYLE, new_figure
from pellucid.reporting.writing import decimal

PAGE_WIDTH_IN = 7.0
PLAIN, SIGNED = "magma", "cividis"  # of lightness that only grows; cividis is grey in its middle
DPI = 200
_TOP_IN, _SCALE_IN = 0.55, 0.85
_CLIPPED = 0.998  # one hot pixel in five hundred may not darken all the others
_NO_IMAGE: dict[str, Any] = {"facecolor": "#e9e9e9", "edgecolor": "#a0a0a0", "hatch": "/////"}

Values = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """A small map of values (row, column), and what stands above it."""

    title: str
    values: Values


@dataclass(frozen=True)
class PatchTile:
    """A patch (row, column[, 3]) of an image; `inside` (row, column) is False outside the image.

    `centre` is where the unit sits: (row, column) in pixels of the patch.
    """

    title: str
    pixels: Bytes
    inside: npt.NDArray[np.bool_]
    centre: tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """How values become colours: the map of colours, and the values at its ends."""

    colours: str
    low: float
    high: float
    is_clipped: bool = False

    @property
    def look(self) -> dict[str, Any]:
        """For `imshow`."""
        return {"cmap": self.colours, "vmin": self.low, "vmax": self.high}


def common_scale(maps: Sequence[Values]) -> Scale:
    """One scale for all the maps: from 0 up, or as far below 0 as above where some are below."""
    values = np.concatenate([np.ravel(one) for one in maps]) if maps else np.zeros(1)
    sizes = np.abs(values)
    high = float(np.quantile(sizes, _CLIPPED)) or float(sizes.max()) or 1.0
    is_clipped = bool(sizes.max() > high)
    if values.min() < 0:
        return Scale(SIGNED, -high, high, is_clipped)
    return Scale(PLAIN, 0.0, high, is_clipped)


def draw_maps(
    image: Bytes, tiles: Sequence[Tile], *, title: str, note: str, columns: int = 4
) -> Figure:
    """The image (row, column[, 3]), then the maps in tiles with one scale for all of them."""
    with mpl.rc_context(STYLE):
        figure, places, rows_in = _tiled(len(tiles) + 1, columns, title, note)
        show_image(places[0], image, "the image")
        scale = common_scale([tile.values for tile in tiles])
        for axes, tile in zip(places[1:], tiles, strict=True):
            show_map(axes, tile.values, scale, tile.title)
        _draw_scale(figure, rows_in, scale, "activation")
        return figure


def draw_filters(
    weights: Values, titles: Sequence[str], *, title: str, note: str, columns: int = 8
) -> Figure:
    """Filters (n, row, column) of a grey image, or (n, row, column, 3) of a colour image.

    One scale for all of them. In colour, mid-grey is the weight 0, and a filter that is bluish
    answers to blue.
    """
    limit = float(np.abs(weights).max()) or 1.0
    is_colour = weights.ndim == 4
    scale = Scale("gray" if is_colour else SIGNED, -limit, limit)
    with mpl.rc_context(STYLE):
        figure, places, rows_in = _tiled(len(weights), columns, title, note)
        for axes, kernel, name in zip(places, weights, titles, strict=True):
            shown = 0.5 + kernel / (2 * limit) if is_colour else kernel
            show_map(axes, shown, scale, name, size=7)
        label = "weight for red, green or blue" if is_colour else "weight"
        _draw_scale(figure, rows_in, scale, label)
        return figure


def draw_patches(
    rows: Sequence[tuple[str, Sequence[PatchTile]]], *, title: str, note: str, columns: int = 9
) -> Figure:
    """A row of patches for each channel, its name on the left, the strongest patch first.

    A cross marks the unit; hatching is where the receptive field reaches over the image's border.
    """
    names_in, gap_in = 0.6, 0.05
    side = (PAGE_WIDTH_IN - names_in) / columns - gap_in
    row_in = side + 0.19
    with mpl.rc_context(STYLE):
        figure = _titled(_TOP_IN + len(rows) * row_in + _below(note), title, note)
        for number, (name, patches) in enumerate(rows):
            top = _TOP_IN + number * row_in
            label = axes_at(figure, (0.06, top), (names_in, side))
            label.set_axis_off()
            label.text(0, 0.5, name, va="center", fontsize=8)
            for place, patch in enumerate(patches[:columns]):
                left = names_in + place * (side + gap_in)
                show_patch(axes_at(figure, (left, top), (side, side)), patch)
            if not patches:
                label.text(1, 0.5, "not active in any of the images", va="center", fontsize=8)
        return figure


def draw_maximised(
    picture: Bytes,
    real: Bytes,
    bars: Sequence[tuple[str, float]],
    *,
    titles: tuple[str, str],
    title: str,
    note: str,
    unit: str,
) -> Figure:
    """The made picture, the real image that comes nearest, and bars of what each reaches.

    `titles` stand above the two pictures; `bars` are name and value, `unit` names the values.
    """
    with mpl.rc_context(STYLE):
        side = 2.05
        figure = _titled(_TOP_IN + side + 0.25 + _below(note), title, note)
        for number, (image, name) in enumerate(zip((picture, real), titles, strict=True)):
            left = 0.06 + number * (side + 0.1)
            show_image(axes_at(figure, (left, _TOP_IN), (side, side)), image, name)
        names_in = 2 * side + 1.25
        width = PAGE_WIDTH_IN - names_in - 0.1
        _draw_bars(axes_at(figure, (names_in, _TOP_IN), (width, side - 0.25)), bars, unit)
        return figure


def show_image(axes: Axes, image: Bytes, title: str = "") -> None:
    """An image of bytes, (row, column) grey or (row, column, 3)."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    bare(axes, title)


def show_map(axes: Axes, values: Values, scale: Scale, title: str = "", size: float = 8) -> None:
    """A map of values, or a picture (row, column, 3) in [0, 1], enlarged without smoothing."""
    axes.imshow(values, interpolation="nearest", **scale.look)
    bare(axes, title, size)


def show_patch(axes: Axes, patch: PatchTile) -> None:
    """A patch with a cross at the unit; outside the image it is hatched."""
    grey = patch.pixels if patch.pixels.ndim == 3 else np.stack([patch.pixels] * 3, axis=-1)
    seen = np.dstack([grey, np.where(patch.inside, 255, 0).astype(np.uint8)])
    axes.patch.set(**_NO_IMAGE)
    axes.imshow(seen, interpolation="nearest")
    row, column = patch.centre
    for colour, width in (("black", 2.4), ("white", 1.0)):
        axes.plot([column], [row], marker="+", color=colour, markersize=6, markeredgewidth=width)
    bare(axes, patch.title, 7)


def bare(axes: Axes, title: str = "", size: float = 8) -> None:
    """Axes of a picture: a thin frame, no ticks, a small title."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.4)
    axes.set_title(title, fontsize=size, pad=2.5)


def figure_to_png(figure: Figure) -> bytes:
    """The figure as a PNG file, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def axes_at(figure: Figure, place: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Axes at (left, top) of (width, height), in inches from the figure's upper left corner."""
    width_in, height_in = figure.get_size_inches()
    (left, top), (width, height) = place, size
    box = (left / width_in, 1 - (top + height) / height_in, width / width_in, height / height_in)
    return figure.add_axes(box)


def _titled(height_in: float, title: str, note: str) -> Figure:
    """A page-wide figure with a title on the left and a note in small print below."""
    figure = new_figure(height_in, width_in=PAGE_WIDTH_IN, is_constrained=False)
    figure.text(0.008, 1 - 0.06 / height_in, title, va="top", fontsize=10)
    figure.text(0.008, 0.05 / height_in, note, va="bottom", fontsize=8, color=MUTED)
    return figure


def _below(note: str) -> float:
    """Inches that the note takes."""
    return 0.15 * (note.count("\n") + 1) + 0.12


def _tiled(n: int, columns: int, title: str, note: str) -> tuple[Figure, list[Axes], float]:
    """A figure with n square axes row by row, and the height of the rows in inches."""
    gap_in, head_in = 0.07, 0.19
    side = (PAGE_WIDTH_IN - _SCALE_IN) / columns - gap_in
    row_in = side + head_in
    rows_in = math.ceil(n / columns) * row_in - head_in
    figure = _titled(_TOP_IN + rows_in + head_in + _below(note), title, note)
    places = [
        axes_at(
            figure,
            (0.06 + number % columns * (side + gap_in), _TOP_IN + number // columns * row_in),
            (side, side),
        )
        for number in range(n)
    ]
    return figure, places, rows_in


def _draw_scale(figure: Figure, rows_in: float, scale: Scale, label: str) -> None:
    """The colour scale with its values, on the right of all the tiles."""
    height = min(rows_in, 2.6)
    left = PAGE_WIDTH_IN - _SCALE_IN + 0.12
    axes = axes_at(figure, (left, _TOP_IN + (rows_in - height) / 2), (0.11, height))
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(scale.low, scale.high), scale.colours)
    extend = "neither" if not scale.is_clipped else "both" if scale.low < 0 else "max"
    bar = figure.colorbar(colours, cax=axes, extend=extend)
    bar.set_label(label)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)


def _draw_bars(axes: Axes, bars: Sequence[tuple[str, float]], unit: str) -> None:
    """Horizontal bars with their values at their ends."""
    names, values = [name for name, _ in bars], [value for _, value in bars]
    colours = [ACCENT if number == 0 else "#8fbcdc" for number in range(len(bars))]
    axes.barh(range(len(bars)), values, color=colours, height=0.6)
    axes.axvline(0, color=MUTED, linewidth=0.6)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    axes.margins(x=0.28 if min(values) >= 0 else 0.6)
    for place, value in enumerate(values):
        side = "left" if value >= 0 else "right"
        axes.annotate(
            decimal(value, 2),
            (value, place),
            xytext=(3 if value >= 0 else -3, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=8,
        )
