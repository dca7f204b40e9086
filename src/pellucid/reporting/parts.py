"""A part of a section as plain data: words, figures side by side, tables below."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.reporting.tables import Table


@dataclass(frozen=True)
class Part:
    """One thing that is shown of a target; `anchor` is its id on the page.

    `words` are paragraphs before the figures, `key` stands small below all.
    """

    title: str
    anchor: str
    words: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    key: str = ""
    are_small: bool = False  # figures that stand three abreast
