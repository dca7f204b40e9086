"""Tables of a page, and the same tables as CSV inside the page.

The page rounds; the CSV holds every figure as evaluation.json has it, an estimate in four columns
(value, low, high, method). Knows no document.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from pellucid.reporting.writing import Estimate, decimal


@dataclass(frozen=True)
class Written:
    """A number that the page writes in its own way and the CSV in full; text beside numbers."""

    text: str
    value: float


Cell = str | int | float | Estimate | Written | None
PARTS = ("low", "high", "method")
NUMBERS = (int, float, Written)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    """One table: `columns` are its heads, a row has as many cells; `name` names the file."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    key: str = ""

    @property
    def shown(self) -> Iterator[list[ShownCell]]:
        """The rows as the page shows them."""
        return ([show(cell) for cell in row] for row in self.rows)

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers alone and are set to the right."""
        return tuple(
            any(isinstance(cell, NUMBERS) for cell in column)
            and all(cell is None or isinstance(cell, NUMBERS) for cell in column)
            for column in zip(*self.rows, strict=True)
        )

    @cached_property
    def remarks(self) -> list[str]:
        """Why figures have no interval or no value, each reason once; cells refer to its number."""
        cells = (cell for row in self.rows for cell in row if isinstance(cell, Estimate))
        return list(dict.fromkeys(cell.footnote for cell in cells if cell.footnote))

    @cached_property
    def csv(self) -> str:
        """The table as CSV, with every digit."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        wide = [any(isinstance(row[k], Estimate) for row in self.rows) for k in self._places]
        writer.writerow(_heads(self.columns, wide))
        for row in self.rows:
            writer.writerow(_fields(row, wide))
        return buffer.getvalue()

    @property
    def address(self) -> str:
        """The CSV as a data: address."""
        return f"data:text/csv;charset=utf-8,{quote(self.csv)}"

    @property
    def _places(self) -> range:
        return range(len(self.columns))


@dataclass(frozen=True)
class ShownCell:
    """A cell as text, or as an estimate, which the page sets in its own way."""

    text: str
    estimate: Estimate | None = None


def show(cell: Cell) -> ShownCell:
    """A cell as people write it: whole numbers with commas, others with three decimals."""
    if isinstance(cell, Estimate):
        return ShownCell(cell.text, cell)
    if isinstance(cell, Written):
        return ShownCell(cell.text)
    if isinstance(cell, float):
        return ShownCell(decimal(cell))
    return ShownCell("" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell)


def build_table(
    name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], **words: str
) -> Table:
    """A table; columns in which no row has anything are left out. `words` are caption and key."""
    kept = [k for k in range(len(columns)) if any(row[k] not in (None, "") for row in rows)]
    return Table(
        name=name,
        columns=tuple(columns[k] for k in kept),
        rows=tuple(tuple(row[k] for k in kept) for row in rows),
        **words,
    )


def _heads(columns: Sequence[str], wide: Sequence[bool]) -> Iterator[str]:
    for head, is_wide in zip(columns, wide, strict=True):
        yield _plain(head)
        if is_wide:
            yield from (f"{head}, {part}" for part in PARTS)


def _fields(row: Sequence[Cell], wide: Sequence[bool]) -> Iterator[str]:
    for cell, is_wide in zip(row, wide, strict=True):
        if isinstance(cell, Estimate):
            numbers = (cell.value, cell.low, cell.high)
            yield from ("" if number is None else repr(number) for number in numbers)
            yield _plain(cell.method)
            continue
        raw = cell.value if isinstance(cell, Written) else cell
        yield _plain(raw) if isinstance(raw, str) else "" if raw is None else repr(raw)
        if is_wide:
            yield from ("" for _ in PARTS)


def _plain(text: str) -> str:
    """A name that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
