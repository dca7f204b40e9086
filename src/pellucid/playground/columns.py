"""Numbers in columns, as plain text for a terminal. Knows text and numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Cell = str | int | float

_DIGITS = 4


def write_columns(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as text: words to the left, numbers to the right, two spaces between columns.

    >>> print(write_columns(("x", "sign"), ((-1.5, "minus"), (10, "plus"))))
       x  sign
    -1.5  minus
      10  plus
    """
    is_number = [all(not isinstance(row[k], str) for row in rows) for k in range(len(heads))]
    lines = [list(heads), *([write_number(cell) for cell in row] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    return "\n".join("  ".join(_padded(line, widths, is_number)).rstrip() for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> Iterator[str]:
    for text, width, right in zip(line, widths, is_number, strict=True):
        yield text.rjust(width) if right else text.ljust(width)


def write_number(value: Cell) -> str:
    """A number with four digits that count; words stay as they are.

    >>> write_number(0.000123456), write_number(float("inf")), write_number(-0.0), write_number(7)
    ('0.0001235', 'infinite', '0', '7')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value + 0.0:.{_DIGITS}g}"


def write_matrix(values: npt.NDArray[np.float64]) -> str:
    """A matrix (row, column) as text, its columns aligned.

    >>> print(write_matrix(np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0]])))
      1  0  -1
      2  0  -2
    """
    cells = [[write_number(round(float(value), 4)) for value in row] for row in values]
    widths = [max(len(row[k]) for row in cells) for k in range(values.shape[1])]
    lines = ("  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"  {line}" for line in lines)


def finite_or_none(value: float) -> float | None:
    """For JSON, which has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
