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

PAGE_WIDTH_IN = 7.0
PLAIN, SIGNED = "magma", "cividis"  # of lightness that only grows; cividis is grey in its middle
DPI = 200
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
        rows = math.ceil((len(tiles) + 1) / columns)
        side = PAGE_WIDTH_IN / (columns + 0.4)
        figure = _titled(rows * (side + 0.12) + 0.85, title, note)
        grid = figure.subplots(rows, columns, squeeze=False)
        places = _places(grid)
        show_image(places[0], image, "the image")
        scale = common_scale([tile.values for tile in tiles])
        for axes, tile in zip(places[1:], tiles, strict=False):
            show_map(axes, tile.values, scale, tile.title)
        _hide(places[len(tiles) + 1 :])
        _scale_bar(figure, list(places), scale, "activation")
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
        rows = math.ceil(len(weights) / columns)
        side = PAGE_WIDTH_IN / (columns + 0.6)
        figure = _titled(rows * (side + 0.16) + 0.85, title, note)
        places = _places(figure.subplots(rows, columns, squeeze=False))
        for axes, kernel, name in zip(places, weights, titles, strict=False):
            shown = 0.5 + kernel / (2 * limit) if is_colour else kernel
            show_map(axes, shown, scale, name, size=7)
        _hide(places[len(weights) :])
        label = "weight for red, green or blue" if is_colour else "weight"
        _scale_bar(figure, list(places), scale, label)
        return figure


def draw_patches(
    rows: Sequence[tuple[str, Sequence[PatchTile]]], *, title: str, note: str, columns: int = 9
) -> Figure:
    """A row of patches for each channel, its name on the left, the strongest patch first.

    A cross marks the unit; hatching is where the receptive field reaches over the image's border.
    """
    with mpl.rc_context(STYLE):
        side = (PAGE_WIDTH_IN - 0.6) / columns
        figure = _titled(len(rows) * (side + 0.14) + 0.75, title, note)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (name, patches) in zip(grid, rows, strict=True):
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
            for axes, patch in zip(line, patches, strict=False):
                show_patch(axes, patch)
            _hide(line[len(patches) :])
            if not patches:
                _say_silent(line[0])
        return figure


def draw_maximised(
    picture: Bytes,
    real: Bytes | None,
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
        figure = _titled(3.35, title, note)
        widths = [1, 1, 1.15] if real is not None else [1, 1.6]
        places = list(figure.subplots(1, len(widths), width_ratios=widths))
        show_image(places[0], picture, titles[0])
        if real is not None:
            show_image(places[1], real, titles[1])
        _draw_bars(places[-1], bars, unit)
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


def _titled(height_in: float, title: str, note: str) -> Figure:
    """A page-wide figure with a title on the left and a note in small print below."""
    figure = new_figure(height_in, width_in=PAGE_WIDTH_IN)
    figure.suptitle(title, x=0.008, ha="left", fontsize=10)
    figure.supxlabel(note, x=0.008, ha="left", fontsize=8, color=MUTED)
    return figure


def _places(grid: Any) -> list[Axes]:
    return list(np.ravel(grid))


def _hide(places: Sequence[Axes]) -> None:
    for axes in places:
        axes.set_axis_off()


def _say_silent(axes: Axes) -> None:
    """In place of patches, where no image excites the channel."""
    axes.set_axis_on()
    bare(axes)
    axes.text(0.5, 0.5, "never\nactive", ha="center", va="center", transform=axes.transAxes)


def _scale_bar(figure: Figure, places: list[Axes], scale: Scale, label: str) -> None:
    """The colour scale with its values, on the right of all the tiles."""
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(scale.low, scale.high), scale.colours)
    extend = "neither" if not scale.is_clipped else "both" if scale.low < 0 else "max"
    bar = figure.colorbar(colours, ax=places, shrink=0.8, aspect=30, pad=0.015, extend=extend)
    bar.set_label(label)
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
    axes.margins(x=0.28)
    for place, value in enumerate(values):
        side = "left" if value >= 0 else "right"
        axes.annotate(
            f"{value:.2f}",
            (value, place),
            xytext=(3 if value >= 0 else -3, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=8,
        )
