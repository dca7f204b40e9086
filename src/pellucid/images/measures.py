"""A few numbers about each picture, measured at full size while it is decoded.

They say how bright a picture is, what its border and corners look like, and whether letters seem to
be written on it: things that should not tell a label, and therefore are looked at by the audit.
Knows one picture; it does not know labels or other pictures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pellucid.images.image import FloatArray
from pellucid.images.preprocessing import LUMA

LONGEST_SIDE = 512  # larger pictures are measured reduced; a letter is still several pixels high
SHORTEST_SIDE = 64  # below it nobody can read a letter, so none is looked for
_BORDER = 0.03  # of a side
_CORNER = 0.12
_OUTER = 0.30  # letters stand in the outer part of a picture
_CONTRAST = 0.35  # of full scale: a letter above its surroundings
_SPREAD = 0.08  # of full scale: what a letter stands on is even, anatomy is not
_LETTER_HEIGHT = (0.012, 0.11)  # of the shorter side
_LETTER_WIDTH = 0.16
_LETTER_FILL = (0.15, 0.95)  # of its box; less is a line, more a patch
_DARK, _BRIGHT = 0.02, 0.98

GREY = ("mean_grey", "std_grey", "low_grey", "high_grey", "dark_share", "bright_share")
SIDES = ("top", "bottom", "left", "right")
BORDER = (*(f"border_{side}" for side in SIDES), "frame_share")
PLACES = ("top_left", "top_right", "bottom_left", "bottom_right")
CORNERS = tuple(f"corner_{what}{place}" for what in ("", "bright_") for place in PLACES)
MARKERS = tuple(f"letters_{place}" for place in PLACES)
MEASURES = (*GREY, *BORDER, *CORNERS, *MARKERS, "colourfulness")

Plane = npt.NDArray[np.float32]


def measure(pixels: FloatArray) -> dict[str, float]:
    """The measures, by name, of decoded pixels (channel, row, column) in [0, 1]."""
    colours = _reduced(pixels)
    grey, colourfulness = _grey_and_spread(colours)
    in_order = np.sort(grey, axis=None)
    values = [
        _mean(grey),
        grey.std(),
        _quantile(in_order, 0.01),
        _quantile(in_order, 0.99),
        np.searchsorted(in_order, np.float32(_DARK), "left") / grey.size,
        1 - np.searchsorted(in_order, np.float32(_BRIGHT), "right") / grey.size,
        *_border(grey),
        *_corners(grey),
        *_letters(grey),
        colourfulness,
    ]
    return {name: round(float(value), 6) for name, value in zip(MEASURES, values, strict=True)}


def _grey_and_spread(colours: FloatArray) -> tuple[Plane, float]:
    """The luma, and how far the channels are apart; scans are often grey in three channels."""
    first = colours[0]
    if all(np.array_equal(first, other) for other in colours[1:]):
        return first, 0.0
    grey = np.tensordot(np.asarray(LUMA, np.float32), colours, axes=1)
    return grey, _mean(colours.max(axis=0) - colours.min(axis=0))


def _mean(values: npt.NDArray[np.float32]) -> float:
    """What `values.mean()` gives, without its overhead, which is most of it for a small picture."""
    return float(np.add.reduce(values, axis=None)) / values.size


def _quantile(in_order: npt.NDArray[np.float32], share: float) -> float:
    place = share * (len(in_order) - 1)
    below = int(place)
    low, high = in_order[below], in_order[min(below + 1, len(in_order) - 1)]
    return float(low + (place - below) * (high - low))


def _reduced(pixels: FloatArray) -> FloatArray:
    """Area means, so that the longer side is at most twice `LONGEST_SIDE`."""
    factor = max(pixels.shape[1:]) // LONGEST_SIDE
    if factor < 2:
        return pixels
    channels, height, width = pixels.shape
    rows, columns = max(1, height // factor), max(1, width // factor)
    if height < factor or width < factor:
        return pixels
    cut = pixels[:, : rows * factor, : columns * factor]
    blocks = cut.reshape(channels, rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _border(grey: Plane) -> list[float]:
    """Mean grey of the outer 3 % at each side, and the share taken by a frame of one grey."""
    height, width = grey.shape
    rows, columns = max(1, round(_BORDER * height)), max(1, round(_BORDER * width))
    parts = (grey[:rows], grey[-rows:], grey[:, :columns], grey[:, -columns:])
    flat_rows = np.ptp(grey, axis=1) <= 1 / 255
    flat_columns = np.ptp(grey, axis=0) <= 1 / 255
    inner = (1 - _ends(flat_rows)) * (1 - _ends(flat_columns))
    return [*map(_mean, parts), float(1 - inner)]


def _ends(flat: npt.NDArray[np.bool_]) -> float:
    """The share of rows that are flat, counted from both ends until one is not."""
    told = np.flatnonzero(~flat)
    return 1.0 if not len(told) else float(told[0] + len(flat) - 1 - told[-1]) / len(flat)


def _corners(grey: Plane) -> list[float]:
    """Mean grey of each corner, then the share of it that is nearly white."""
    height, width = grey.shape
    rows, columns = max(1, round(_CORNER * height)), max(1, round(_CORNER * width))
    parts = [
        grey[down, across]
        for down in (slice(None, rows), slice(-rows, None))
        for across in (slice(None, columns), slice(-columns, None))
    ]
    return [*map(_mean, parts), *(np.count_nonzero(p > 0.9) / p.size for p in parts)]


def _letters(grey: Plane) -> list[float]:
    """How many letter-like shapes stand near each corner: small, bright and sharply ended."""
    height, width = grey.shape
    shorter = min(height, width)
    found = dict.fromkeys(PLACES, 0.0)
    if shorter < SHORTEST_SIDE:
        return list(found.values())
    surroundings = ndimage.uniform_filter(grey, size=max(9, shorter // 10), mode="nearest")
    bright = grey - surroundings > _CONTRAST
    if not bright.any():
        return list(found.values())
    labels, _ = ndimage.label(bright)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        place = _place(box, (height, width))
        if (
            place
            and _is_letter(labels[box] == number, shorter)
            and _stands_alone(grey, labels, box)
        ):
            found[place] += 1
    return list(found.values())


def _place(box: tuple[slice, slice], shape: tuple[int, int]) -> str:
    """The corner that a box is nearest to, or "" for one in the inner part of the picture."""
    down, across = ((part.start + part.stop) / 2 / n for part, n in zip(box, shape, strict=True))
    if min(down, 1 - down, across, 1 - across) > _OUTER:
        return ""
    return f"{'top' if down < 0.5 else 'bottom'}_{'left' if across < 0.5 else 'right'}"


def _is_letter(shape: npt.NDArray[np.bool_], shorter: int) -> bool:
    height, width = shape.shape
    low, high = (share * shorter for share in _LETTER_HEIGHT)
    if not max(3, low) <= height <= high or not 2 <= width <= _LETTER_WIDTH * shorter:
        return False
    return bool(_LETTER_FILL[0] <= shape.mean() <= _LETTER_FILL[1])


def _stands_alone(grey: Plane, labels: npt.NDArray[np.int32], box: tuple[slice, slice]) -> bool:
    """Whether the surroundings of a shape are dark and even, and it ends sharply."""
    around = tuple(slice(max(0, part.start - 4), part.stop + 4) for part in box)
    shape = labels[around] > 0
    near = ndimage.binary_dilation(shape, iterations=2)
    ground = grey[around][~near]
    if len(ground) < 8:
        return False
    even = float(np.std(ground)) < _SPREAD
    return even and float(grey[around][shape].mean() - ground.mean()) > _CONTRAST
