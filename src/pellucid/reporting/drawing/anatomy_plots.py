"""The network as a picture: its stages as blocks, and how far its units see.

Takes the document that `pellucid anatomy` writes, and plain arrays. Knows no torch and no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from pellucid.reporting.drawing.svg import ACCENT, INK, MUTED, STYLE, new_figure

COLOURS = {  # unlike in lightness too, so that grey print tells them apart
    "convolution": "#0072B2",
    "pooling": "#E69F00",
    "global pooling": "#009E73",
    "head": "#4d4d4d",
}
_SLOT = 1.0  # the width that a stage has, in units of the highest block
_GAP = 0.08

Document = Mapping[str, Any]


def draw_anatomy(document: Document) -> Figure:
    """The stages from left to right: as high as their maps, as wide as they have channels."""
    stages: Sequence[Document] = document["stages"]
    with mpl.rc_context(STYLE):
        figure = new_figure(3.1, width_in=max(6.6, 1.06 * len(stages)))
        axes = figure.add_subplot()
        highest = max(_side(stage["shape"]) for stage in stages)
        most = max(stage["shape"][0] for stage in stages)
        for number, stage in enumerate(stages):
            _draw_block(axes, number * _SLOT, stage, (highest, most))
        axes.set_xlim(-0.05, len(stages) * _SLOT)
        axes.set_ylim(-0.62, 1.62)
        axes.axis("off")
        total = f"{_count(document['parameters'])} parameters"
        cost = f"{_count(document['multiply_adds'])} multiply-adds an image"
        size, channels = document["image_size"], document["channels"]
        what = f"{document['network']}, for images of {channels} × {size} × {size}: {total}, {cost}"
        axes.set_title(what, loc="left")
    return figure


def _draw_block(axes: Axes, left: float, stage: Document, most: tuple[float, float]) -> None:
    """One stage: a box in slanted projection, its name above and its numbers below."""
    shape, kind = stage["shape"], stage["kind"]
    height = float(np.sqrt(_side(shape) / most[0])) if len(shape) == 3 else 0.06
    width = 0.12 + 0.5 * float(np.log2(1 + shape[0]) / np.log2(1 + most[1]))
    slant = 0.22 * height
    x, y = left + 0.06, (1 - height) / 2
    face: dict[str, Any] = {"facecolor": COLOURS[kind], "edgecolor": "white", "linewidth": 0.8}
    axes.add_patch(Rectangle((x, y), width, height, **face))
    top = [(x, y + height), (x + slant, y + height + slant)]
    top += [(x + width + slant, y + height + slant), (x + width, y + height)]
    side = [(x + width, y), (x + width + slant, y + slant)]
    side += [(x + width + slant, y + height + slant), (x + width, y + height)]
    axes.add_patch(Polygon(top, **face, alpha=0.6))
    axes.add_patch(Polygon(side, **face, alpha=0.8))
    axes.text(left + 0.06, 1.6, "\n".join(_names(stage)), va="top", fontsize=7.5)
    axes.text(left + 0.06, -0.1, "\n".join(_numbers(stage)), va="top", fontsize=7.5, color=MUTED)


def _names(stage: Document) -> Iterator[str]:
    yield str(stage["name"])
    kernels = ", ".join(stage["kernels"])
    if stage["kind"] == "convolution" and stage["n_convolutions"]:
        blocks = f"{stage['n_blocks']} blocks" if stage["n_blocks"] > 1 else ""
        many = stage["n_convolutions"]
        yield f"{many} conv {kernels}" if many > 1 else f"conv {kernels}"
        if blocks:
            yield blocks
    elif stage["kind"] == "pooling":
        yield "pooling"


def _numbers(stage: Document) -> Iterator[str]:
    shape = stage["shape"]
    yield " × ".join(str(size) for size in shape)
    field = stage["receptive_field"]
    if field is not None:
        yield "sees all" if field["is_whole_image"] else f"sees {field['size']:g} px"
    if stage["parameters"]:
        yield f"{_count(stage['parameters'])} param."
    if stage["multiply_adds"]:
        yield f"{_count(stage['multiply_adds'])} m.-adds"


def _side(shape: Sequence[int]) -> float:
    return float(max(shape[1:])) if len(shape) == 3 else 1.0


def _count(number: float) -> str:
    """A number as people say it: 3.7 G, 21 M, 512."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:g}"


def draw_growth(document: Document) -> Figure:
    """The side of the receptive field, layer after layer, where the field is known.

    Only convolutions and poolings are counted, since nothing else widens a field; those with a
    stride are marked, since after them each kernel reaches further.
    """
    rows = [row for row in document["rows"] if _widens(row)]
    sizes = [row["receptive_field"]["size"] for row in rows]
    steps = [row["receptive_field"]["stride"] for row in rows]
    depth = np.arange(1, len(rows) + 1)
    with mpl.rc_context(STYLE):
        figure = new_figure(3.0, width_in=6.6)
        axes = figure.add_subplot()
        axes.plot(depth, sizes, color=ACCENT, marker="o", markersize=3.2, linewidth=1.2)
        strided = [i for i in range(len(rows)) if steps[i] > (steps[i - 1] if i else 1)]
        axes.plot(
            depth[strided],
            [sizes[i] for i in strided],
            linestyle="none",
            marker="s",
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=INK,
            label="has a stride: from here on kernels reach further",
        )
        size = document["image_size"]
        if max(sizes, default=0) >= size:
            axes.axhline(size, color=MUTED, linewidth=0.8, linestyle="--")
            axes.annotate(f"the image, {size} px", (1, size), (0, 3), textcoords="offset points")
        axes.set_xlabel("convolutions and poolings, from the image on (number)")
        axes.set_ylabel("receptive field (side in pixels)")
        axes.set_ylim(bottom=0)
        if strided:
            axes.legend(loc="upper left", bbox_to_anchor=(0, 0.93))
        axes.set_title(f"{document['network']}: how far a unit sees", loc="left")
    return figure


def _widens(row: Document) -> bool:
    field = row["receptive_field"]
    is_window = row["kind"] in ("Convolution", "Max pooling", "Average pooling")
    is_shortcut = "downsample" in row["name"] or "shortcut" in row["name"]
    return is_window and not is_shortcut and field is not None and not field["is_whole_image"]


def draw_fields(image: npt.NDArray[Any], fields: Sequence[tuple[str, float]]) -> Figure:
    """Squares of the receptive fields (name, side in pixels) about the middle of an image.

    `image` is (row, column) in [0, 1], as the network gets it.
    """
    middle = ((image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2)
    with mpl.rc_context(STYLE):
        figure = new_figure(3.6, width_in=5.2)
        axes = figure.add_subplot()
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for number, (name, side) in enumerate(fields):
            colour = mpl.colormaps["plasma"](0.15 + 0.8 * number / max(len(fields) - 1, 1))
            corner = (middle[1] - side / 2, middle[0] - side / 2)
            label = f"{name}: {side:g} px" + (", beyond the image" if side > len(image) else "")
            axes.add_patch(
                Rectangle(
                    corner, side, side, fill=False, edgecolor=colour, linewidth=1.6, label=label
                )
            )
        axes.set_xlim(-0.5, image.shape[1] - 0.5)
        axes.set_ylim(image.shape[0] - 0.5, -0.5)
        axes.set_xlabel("column (pixel)")
        axes.set_ylabel("row (pixel)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
        axes.set_title("What the unit in the middle sees", loc="left")
    return figure


def draw_effective_field(
    gradient: npt.NDArray[Any],
    centre: tuple[float, float],
    sides: tuple[float, float | None],
    layer: str,
) -> Figure:
    """The mean |gradient| (row, column) of a unit, with its effective and its exact field.

    `sides` are those of the square that holds 95 % of the gradient, and of the exact field.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(4.3, width_in=4.6)
        axes = figure.add_subplot()
        share = gradient / max(float(gradient.max()), 1e-300)
        shown = axes.imshow(np.sqrt(share), cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        squares = [(sides[0], "-", f"effective: 95 % of it within {sides[0]:g} px")]
        if sides[1] is not None:
            squares.append((sides[1], "--", f"exact: {sides[1]:g} px"))
        for side, style, label in squares:
            corner = (centre[1] - side / 2, centre[0] - side / 2)
            box = Rectangle(corner, side, side, fill=False, edgecolor="white", linestyle=style)
            axes.add_patch(box)
            axes.plot([], [], color=INK, linestyle=style, label=label)
        axes.set_xlim(-0.5, gradient.shape[1] - 0.5)
        axes.set_ylim(gradient.shape[0] - 0.5, -0.5)
        axes.set_xlabel("column (pixel)")
        axes.set_ylabel("row (pixel)")
        bar = figure.colorbar(shown, ax=axes, ticks=[0, 0.5, 1], fraction=0.046, pad=0.03)
        bar.ax.set_yticklabels(["0", "0.25", "1"])
        bar.set_label("mean |gradient|, 1 = strongest (root scale)")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), borderaxespad=0)
        axes.set_title(f"{layer}: what its centre unit listens to", loc="left")
    return figure
