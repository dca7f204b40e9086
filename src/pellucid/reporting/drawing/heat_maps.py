"""Heat maps over images: the anatomy stays visible, the strongest places stand out, in grey too.

Colour by strength, laid on more thickly where the map is stronger, so that weak places show the
image alone. An outline at half of the strongest value is there for grey prints. Knows arrays and
words; it does not know how a map was computed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image as Picture

from pellucid.reporting.drawing.svg import STYLE, figure_to_svg, new_figure
from pellucid.reporting.writing import shorten

LONGEST_SIDE = 1600  # pixels of a picture; larger images are made smaller, and the page says so
SHORTEST_SIDE = 384  # smaller pictures are enlarged by a whole factor, each pixel a square
_THICKEST = 0.72  # of the colour, where the map is strongest
_FADE = 0.75  # below 1, so that places of middling strength are not lost
_PAGE_SIDE = 450  # pixels at which a page shows a picture; lines of larger ones are thicker
_STRIP_GAP = 6  # pixels between the panels of a strip
_PANEL_IN, _GAP_IN, _SCALE_IN, _WORDS_IN = 3.0, 0.15, 0.75, 1.35  # words stand above and below
_SIGNED_FULL = 99.5  # percentile of |values| at which the colour of a signed map is full
# For is light and against is dark, so that a grey print tells them apart (Okabe and Ito 2008).
_FOR_AGAINST = LinearSegmentedColormap.from_list(
    "for_against", ["#08306b", "#0072B2", "#f2f2f2", "#E69F00", "#ffd24d"]
)

Floats = npt.NDArray[np.floating]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HeatMap:
    """A map (row, column) of an image, with what it is and the unit of its values.

    A signed map speaks for (above 0) and against (below 0); another is never below 0. `is_smooth`
    maps get an outline at half of the strongest value.
    """

    values: Floats
    title: str
    unit: str
    is_signed: bool = False
    is_smooth: bool = True

    @property
    def limit(self) -> float:
        """The value at which the colour is full; 1 where the map is empty."""
        strength = np.abs(self.values)
        full = np.percentile(strength, _SIGNED_FULL) if self.is_signed else strength.max()
        return float(full or strength.max()) or 1.0

    @property
    def colours(self) -> Colormap:
        """The colour scale: even steps of lightness for one sign, two hues for two."""
        return _FOR_AGAINST if self.is_signed else mpl.colormaps["inferno"]

    @property
    def norm(self) -> Normalize:
        """From values to the colour scale."""
        return Normalize(-self.limit if self.is_signed else 0.0, self.limit)


def fit_picture(pixels: Floats) -> Bytes:
    """An image (channel, row, column) in [0, 1] as uint8 (row, column, 3), of a drawable size.

    Its longer side is between `SHORTEST_SIDE` and `LONGEST_SIDE`: small images are enlarged by a
    whole factor without smoothing, large ones made smaller; all others keep every pixel.
    """
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    picture = np.moveaxis(levels if len(levels) == 3 else levels[[0, 0, 0]], 0, -1)
    longer = max(picture.shape[:2])
    if longer > LONGEST_SIDE:
        shrunk = Picture.fromarray(np.ascontiguousarray(picture))
        shrunk.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Picture.Resampling.LANCZOS)
        return np.asarray(shrunk)
    factor = -(-SHORTEST_SIDE // longer)
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))


def overlay(picture: Bytes, heat: HeatMap) -> Bytes:
    """The picture (row, column, 3) under the map, whose values have the same rows and columns."""
    strength = np.clip(np.abs(heat.values) / heat.limit, 0.0, 1.0)[..., np.newaxis]
    colour = heat.colours(heat.norm(np.asarray(heat.values)))[..., :3]
    thick = _THICKEST * strength**_FADE
    blended = (1 - thick) * picture + thick * 255 * colour
    return np.asarray(np.rint(blended), dtype=np.uint8)


def draw_overlay(picture: Bytes, heat: HeatMap) -> bytes:
    """The overlay with its outline as PNG, as many pixels as the picture has; no words on it."""
    height, width = picture.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _show(axes, overlay(picture, heat), heat, thick=max(1.0, max(width, height) / _PAGE_SIDE))
    return _png(figure)


def draw_picture(picture: Bytes) -> bytes:
    """The picture alone as PNG."""
    buffer = io.BytesIO()
    Picture.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def draw_strip(picture: Bytes, maps: Sequence[HeatMap], side: int = 256) -> bytes:
    """One small PNG without words: the picture alone, then under each map, left to right."""
    panels = [Picture.fromarray(picture)]
    for heat in maps:
        with Picture.open(io.BytesIO(draw_overlay(picture, heat))) as drawn:
            panels.append(drawn.convert("RGB"))
    for panel in panels:
        panel.thumbnail((side, side), Picture.Resampling.LANCZOS)
    width, height = panels[0].size
    strip = Picture.new("RGB", (len(panels) * (width + _STRIP_GAP) - _STRIP_GAP, height), "white")
    for number, panel in enumerate(panels):
        strip.paste(panel, (number * (width + _STRIP_GAP), 0))
    return draw_picture(np.asarray(strip))


def draw_heat_maps(picture: Bytes, maps: Sequence[HeatMap], title: str) -> bytes:
    """One PNG: the picture alone, then under each map, with colour scales, titles and units.

    No panel has fewer pixels than the picture, so that every detail of it can be enlarged.
    """
    height, width = picture.shape[:2]
    tall = _PANEL_IN * height / width
    wide_in, tall_in = (1 + len(maps)) * (_PANEL_IN + _GAP_IN) + _GAP_IN, tall + _WORDS_IN
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(wide_in, tall_in), dpi=max(150.0, width / _PANEL_IN))
        figure.text(_GAP_IN / wide_in, 1 - 0.12 / tall_in, title, va="top", fontsize=10)
        for number, heat in enumerate((None, *maps)):
            left = (_GAP_IN + number * (_PANEL_IN + _GAP_IN)) / wide_in
            wide = _PANEL_IN / wide_in
            axes = figure.add_axes((left, _SCALE_IN / tall_in, wide, tall / tall_in))
            axes.set_title(shorten(heat.title if heat else "The image alone", 48), loc="left")
            _show(axes, overlay(picture, heat) if heat else picture, heat)
            if heat:
                strip = (left, (_SCALE_IN - 0.2) / tall_in, wide, 0.12 / tall_in)
                _draw_scale(figure.add_axes(strip), heat)
        return _png(figure)


def colour_scale(heat: HeatMap, name: str) -> str:
    """The colour scale of a map as SVG: colours as they lie on mid grey, ends in the map's unit."""
    with mpl.rc_context(STYLE):
        figure = new_figure(0.55, width_in=2.6)
        _draw_scale(figure.add_subplot(), heat)
        return figure_to_svg(figure, name, f"Colour scale: {heat.unit}")


def _draw_scale(axes: Axes, heat: HeatMap) -> None:
    """A strip of the colours over mid grey; ticks in the unit of the values."""
    low = -heat.limit if heat.is_signed else 0.0
    strip = HeatMap(np.linspace(low, heat.limit, 256)[np.newaxis], "", "", heat.is_signed)
    grey = np.full((1, 256, 3), 128, dtype=np.uint8)
    axes.imshow(overlay(grey, strip), aspect="auto", extent=(low, heat.limit, 0.0, 1.0))
    axes.set_yticks([])
    ticks = [low, 0.0, heat.limit] if heat.is_signed else [0.0, heat.limit / 2, heat.limit]
    axes.set_xticks(ticks, [_tick(tick, heat) for tick in ticks])
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set_xlabel(heat.unit)
    axes.spines[:].set_visible(False)


def _tick(value: float, heat: HeatMap) -> str:
    if heat.is_signed and value:
        return f"{'≥ +' if value > 0 else '≤ −'}{abs(value):.2g}"
    return f"{value:.2g}"


def _show(axes: Axes, picture: Bytes, heat: HeatMap | None, thick: float = 1.0) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="nearest", aspect="equal")
    if heat is not None and heat.is_smooth:
        _outline(axes, heat, thick)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")


def _outline(axes: Axes, heat: HeatMap, thick: float) -> None:
    """White on dark, so that it is seen on any anatomy: whole for, dashed for against."""
    values = np.asarray(heat.values, dtype=np.float64)
    height, width = values.shape
    if min(height, width) < 2:
        return
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    strongest = float(np.abs(values).max())
    for level, dashes in ((strongest / 2, "solid"), (-strongest / 2, "dashed")):
        if not values.min() < level < values.max():
            continue
        for colour, width_pt in (("#1a1a1a", 2.4), ("#ffffff", 1.1)):
            look: Any = {"colors": colour, "linewidths": width_pt * thick, "linestyles": dashes}
            axes.contour(x, y, values, levels=[level], **look)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
