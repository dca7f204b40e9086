"""Burned-in text and lead markers: what is written on pictures, and whom it may name.

Knows the letters that were counted while decoding and the header's own word; it reads no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pellucid.auditing.findings import Finding, found
from pellucid.data.index import Dataset
from pellucid.data.listing import count
from pellucid.images.measures import MARKERS

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

TEXT = 2  # letters; one alone is a side marker, or a speck
WORTH_SAYING = 0.01  # of the pictures

_REMEDY = "Look at some: text may name the patient, and marks may tell the class."


def find_markers(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """A NOTE when pictures seem to be written on; a WARN when a header says so (PS3.3, C.7.6.1)."""
    facts = cache.facts
    if "burnedinannotation" in facts:
        said = facts["burnedinannotation"].astype("string").str.upper().eq("YES").fillna(False)
        rows = dataset.table[said.to_numpy(dtype=bool)]
        if len(rows):
            message = f"The header of {count(len(rows), 'image')} says that text is burned in."
            yield found("WARN", "burned_in_annotation", message, remedy=_REMEDY, rows=rows)
    if not set(MARKERS) <= set(facts):
        return
    letters = facts[list(MARKERS)].fillna(0).sum(axis=1).to_numpy()
    written = (letters >= TEXT) & cache.readable
    marked = (letters > 0) & cache.readable
    if marked.sum() < max(1.0, WORTH_SAYING * cache.readable.sum()):
        return
    message = (
        f"{count(int(marked.sum()), 'picture')} ({marked.mean():.0%}) seem to bear letters or "
        f"markers, {int(written.sum()):,} of them text."
    )
    order = np.argsort(-letters, kind="stable")[:4]
    most = [str(name) for name in dataset.table["image_id"].iloc[order]]
    rows = dataset.table[marked]
    yield found("NOTE", "burned_in_text", message, remedy=_REMEDY, rows=rows, groups=[most])
