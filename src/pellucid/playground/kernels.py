"""Kernels by name, by their numbers, or cut from the image. Knows no convolution.

    find_kernel("sobel_x", image), find_kernel("mean:5", image)
    find_kernel("patch:40,52,17", image), find_kernel("1 0 -1; 2 0 -2; 1 0 -1", image)

The kernels are written for the mathematician's convolution, which flips them: convolved, `sobel_x`
is positive where the image grows brighter to the right, `sobel_y` where it does downwards.
Source: lecture section "Convolution"; Sobel and Feldman 1968.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean

Array = npt.NDArray[np.float64]

LARGEST_SIDE = 512
_PATCH = "patch:"
_NUMBERS = re.compile(r"[-+.\d]")


@dataclass(frozen=True)
class Kernel:
    """The numbers (row, column) of a kernel; `place` is the top left pixel of a patch's origin."""

    name: str
    values: Array
    place: tuple[int, int] | None = None

    @property
    def keeps_brightness(self) -> bool:
        """Whether the weights sum to 1, so that the response is an image again."""
        return bool(abs(self.values.sum() - 1.0) < 1e-9)

    @property
    def has_middle(self) -> bool:
        """Whether both sides are odd, so that one pixel is the middle."""
        return all(side % 2 == 1 for side in self.values.shape)


def _mean(size: int) -> Array:
    return np.full((size, size), 1.0 / size**2)


def _gaussian(size: int) -> Array:
    """Weights of a normal distribution with a standard deviation of a fifth of the side."""
    steps = np.arange(size) - (size - 1) / 2
    bell = np.exp(-0.5 * (5 * steps / size) ** 2)
    return np.asarray(np.outer(bell, bell) / bell.sum() ** 2)


_SOBEL = np.outer([1.0, 2.0, 1.0], [1.0, 0.0, -1.0])
_LAPLACIAN = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
_IDENTITY = np.pad([[1.0]], 1)

KERNELS: dict[str, Array] = {
    "sobel_x": _SOBEL,
    "sobel_y": _SOBEL.T,
    "laplacian": _LAPLACIAN,
    "sharpen": _IDENTITY - _LAPLACIAN,
    "identity": _IDENTITY,
}
SIZED: dict[str, tuple[Callable[[int], Array], int]] = {
    "mean": (_mean, 3),
    "gaussian": (_gaussian, 5),
}
_NAMES = [*KERNELS, *SIZED, "patch:ROW,COLUMN,SIZE", "rows of numbers"]


def find_kernel(text: str, image: Array, *, keep_mean: bool = False) -> Kernel:
    """The kernel that `text` names, for an image (row, column).

    A patch is cut from the image at its top left pixel ROW, COLUMN, counted from 0, with SIZE rows
    and columns; its mean is taken off unless `keep_mean`, so that it answers to a form and not to
    brightness. Raises `UsageError` for an unknown name, rows of unequal length, numbers that are
    not finite, and a patch that reaches outside the image or has no contrast.
    """
    text = text.strip()
    name, colon, size = text.partition(":")
    if text.startswith(_PATCH):
        return _cut_patch(text, image, keep_mean)
    if text in KERNELS:
        return Kernel(text, KERNELS[text].copy())
    if name in SIZED:
        build, usual = SIZED[name]
        side = _whole(size, f"{name}:SIZE names the side of the kernel") if colon else usual
        if not 1 <= side <= LARGEST_SIDE:
            raise UsageError(f"A kernel has 1 to {LARGEST_SIDE} rows", str(side))
        return Kernel(text, build(side))
    if _NUMBERS.match(text) or ";" in text:
        return Kernel("custom", _read_numbers(text))
    raise UsageError("No such kernel", f'"{text}"', did_you_mean(text, _NAMES))


def _read_numbers(text: str) -> Array:
    """Rows divided by ";", numbers by spaces or commas."""
    rows = [row.replace(",", " ").split() for row in text.rstrip(" ;").split(";")]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1 or lengths[0] == 0:
        found = f"rows of {' and '.join(str(length) for length in lengths)} numbers"
        raise UsageError("All rows of a kernel have as many numbers", found)
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        remedy = 'Write rows divided by ";", such as "1 0 -1; 2 0 -2; 1 0 -1".'
        raise UsageError("A kernel is rows of numbers", f'"{text}"', remedy) from None
    if not np.isfinite(values).all():
        raise UsageError("The numbers of a kernel are finite", f'"{text}"')
    if max(values.shape) > LARGEST_SIDE:
        found = f"{values.shape[0]} × {values.shape[1]}"
        raise UsageError(f"A kernel has at most {LARGEST_SIDE} rows and columns", found)
    return values


def _cut_patch(text: str, image: Array, keep_mean: bool) -> Kernel:
    parts = text.removeprefix(_PATCH).split(",")
    rule = "A patch is patch:ROW,COLUMN,SIZE, in whole pixels"
    if len(parts) != 3:
        raise UsageError(rule, f'"{text}"')
    row, column, size = (_whole(part, rule) for part in parts)
    height, width = image.shape
    if not 1 <= size <= LARGEST_SIDE:
        raise UsageError(f"A patch has 1 to {LARGEST_SIDE} rows", str(size))
    if not (0 <= row <= height - size and 0 <= column <= width - size):
        found = f"rows {row} to {row + size - 1}, columns {column} to {column + size - 1}"
        remedy = f"The image has rows 0 to {height - 1} and columns 0 to {width - 1}."
        raise UsageError("A patch lies inside the image", found, remedy)
    patch = image[row : row + size, column : column + size].copy()
    if np.ptp(patch) < 1e-6:
        remedy = "Choose a place with some structure in it."
        raise UsageError("A patch has some contrast", f"{patch[0, 0]:.3g} everywhere", remedy)
    return Kernel(text, patch if keep_mean else patch - patch.mean(), (row, column))


def _whole(text: str, rule: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(rule, f'"{text.strip()}"') from None
