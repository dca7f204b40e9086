"""Pictures of poor quality: unreadable, empty, too small, of odd size or shape, of mixed kinds.

Judges each picture by itself or beside the others' sizes and kinds. It does not know what a picture
shows (see `outliers`), nor whether it is a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.auditing.findings import Finding, Level, found
from pellucid.data.index import Dataset
from pellucid.data.listing import count

if TYPE_CHECKING:
    from pellucid.data.cache import PixelCache

UNREADABLE_SHARE = 0.01
EMPTY_SHARE = 0.99
"""A picture is nearly empty when this share of it lies within ±2 % of its range of one grey."""
SLIVER = 32  # grey levels of 256, as twelve bits stored in sixteen leave sixteen
TINY = 32  # pixels on the shorter side
FAR = 6.0  # robust deviations from the median of the logarithm
SIZE_FACTOR, SHAPE_FACTOR = 3.0, 1.6  # normal variety: a finding needs at least this ratio as well
_CHUNK = 1024

Rows = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def find_poor_quality(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """Unreadable, constant, nearly empty, narrow, tiny and oddly sized pictures, mixed kinds."""
    yield from _unreadable(dataset, cache)
    constant = cache.readable & (cache.facts["pixel_digest"] == "").to_numpy()
    shown = cache.readable & ~constant
    yield from _constant(dataset, constant)
    yield from _greys(dataset, cache, shown)
    yield from _sizes(dataset, cache)
    yield from _kinds(dataset, cache)


def _unreadable(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    rows = dataset.table[~cache.readable]
    if not len(rows):
        return
    share = len(rows) / len(dataset.table)
    yield found(
        "FAIL" if share > UNREADABLE_SHARE else "WARN",
        "unreadable",
        f"{count(len(rows), 'file')} ({share:.1%}) cannot be read and are set aside.",
        remedy="The reasons stand under `unreadable` in audit.json.",
        rows=rows,
    )


def _constant(dataset: Dataset, chosen: Rows) -> Iterator[Finding]:
    if chosen.any():
        message = f"{count(int(chosen.sum()), 'picture')} show one grey value only."
        remedy = "Look at them and leave them out."
        yield _on_rows("WARN", "constant", (message, remedy), dataset.table[chosen])


def _greys(dataset: Dataset, cache: PixelCache, shown: Rows) -> Iterator[Finding]:
    low, high, plain = grey_measures(cache.views)
    empty = shown & (plain > EMPTY_SHARE)
    if empty.any():
        message = (
            f"{count(int(empty.sum()), 'picture')} are nearly empty: more than "
            f"{EMPTY_SHARE:.0%} of the picture is one grey."
        )
        remedy = "Look at them and leave out those that show nothing."
        yield _on_rows("WARN", "nearly_empty", (message, remedy), dataset.table[empty])
    sliver = shown & ~empty & (high - low < SLIVER)
    if not sliver.any():
        return
    message = (
        f"{count(int(sliver.sum()), 'picture')} use less than {SLIVER / 256:.0%} of the greys "
        "between black and white, so the network sees them almost without contrast."
    )
    deep = pd.to_numeric(cache.facts["bit_depth"], errors="coerce").to_numpy() > 8
    remedy = "Look at them; they may be badly exposed."
    if (sliver & deep).any():
        remedy = "Give --window CENTER,WIDTH: the files hold more bits than their greys use."
    yield _on_rows("WARN", "narrow_greys", (message, remedy), dataset.table[sliver])


def grey_measures(views: npt.NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Of views (n, row, column): their 0.1 % and 99.9 % greys, and the share that is one grey.

    One grey is the commonest level ± 2 % of the range between those two (and ± 2 levels at least),
    so that noise and compression do not count as content.
    """
    parts = [_measure(views[i : i + _CHUNK]) for i in range(0, len(views), _CHUNK)]
    low, high, plain = (np.concatenate(column) for column in zip(*parts, strict=True))
    return low, high, plain


def _measure(views: npt.NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    n, pixels = len(views), views[0].size
    levels = views.reshape(n, -1) + 256 * np.arange(n, dtype=np.int64)[:, np.newaxis]
    counts = np.bincount(levels.ravel(), minlength=256 * n).reshape(n, 256)
    below = np.cumsum(counts, axis=1)
    low = (below <= 0.001 * pixels).sum(axis=1)
    high = (below < 0.999 * pixels).sum(axis=1)
    reach = np.maximum(2, np.rint(0.02 * (high - low))).astype(int)
    mode = counts.argmax(axis=1)
    padded = np.concatenate([np.zeros((n, 1), dtype=below.dtype), below], axis=1)
    ends = np.clip([mode - reach, mode + reach + 1], 0, 256)
    inside = padded[np.arange(n), ends[1]] - padded[np.arange(n), ends[0]]
    return low.astype(float), high.astype(float), inside / pixels


def _sizes(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    sides = [pd.to_numeric(cache.facts[name], errors="coerce") for name in ("width", "height")]
    width, height = (side.to_numpy(dtype=float) for side in sides)
    known = cache.readable & (width > 0) & (height > 0)
    tiny = known & (np.minimum(width, height) < TINY)
    if tiny.any():
        message = f"{count(int(tiny.sum()), 'picture')} are smaller than {TINY} pixels."
        # Where all are so small it is how the data were made, and nobody can do anything.
        level: Level = "NOTE" if tiny.sum() > 0.5 * known.sum() else "WARN"
        remedy = "They hold little detail; leave out previews and icons."
        yield _on_rows(level, "tiny", (message, remedy), dataset.table[tiny])
    with np.errstate(divide="ignore", invalid="ignore"):
        size, shape = 0.5 * np.log(width * height), np.log(width / height)
    odd = _far(size, known, SIZE_FACTOR)
    if odd.any():
        text = f"are more than {SIZE_FACTOR:g} times larger or smaller than is usual here"
        yield _odd(dataset, cache, odd, ("extreme_size", text))
    odd = _far(shape, known, SHAPE_FACTOR)
    if odd.any():
        text = "are much wider or narrower than is usual here"
        yield _odd(dataset, cache, odd, ("extreme_aspect", text))


def _far(values: Floats, known: Rows, factor: float) -> Rows:
    """Whether a logarithm is far from the others': by the robust deviation, and by the factor."""
    if not known.any():
        return known
    middle = float(np.median(values[known]))
    spread = 1.4826 * float(np.median(np.abs(values[known] - middle)))
    far: Rows = np.abs(values - middle) > max(FAR * spread, np.log(factor))
    return known & far


def _odd(dataset: Dataset, cache: PixelCache, odd: Rows, text: tuple[str, str]) -> Finding:
    facts = cache.facts[cache.readable]
    usual = f"{facts['width'].median():.0f} × {facts['height'].median():.0f}"
    first = cache.facts[odd].iloc[0]
    message = (
        f"{count(int(odd.sum()), 'picture')} {text[1]}: such as {first['width']:.0f} × "
        f"{first['height']:.0f} pixels, where {usual} is the middle."
    )
    remedy = "Look at them: they may be screenshots, strips or previews."
    return _on_rows("WARN", text[0], (message, remedy), dataset.table[odd])


MIXED = {
    "modality": ("WARN", "modalities"),
    "bodypartexamined": ("WARN", "body parts"),
    "photometricinterpretation": ("NOTE", "kinds of grey or colour"),
    "bit_depth": ("NOTE", "bit depths"),
    "format": ("NOTE", "file formats"),
}


def _kinds(dataset: Dataset, cache: PixelCache) -> Iterator[Finding]:
    """Facts that should be one thing throughout, and are several."""
    for name, (level, what) in MIXED.items():
        if name not in cache.facts:
            continue
        values = cache.facts.loc[cache.readable, name].dropna()
        sizes = values[values.astype(str).str.strip() != ""].astype(str).value_counts()
        if len(sizes) < 2:
            continue
        parts = ", ".join(f"{value} {n:,}" for value, n in sizes.head(6).items())
        message = f"The pictures are of several {what}: {parts}."
        grave: Level = "WARN" if level == "WARN" else "NOTE"
        remedy = "Train on one of them, or make sure that no class goes with one."
        figures = {str(value): int(n) for value, n in sizes.head(20).items()}
        rarer = values.index[values.astype(str) != sizes.index[0]]
        rows = dataset.table.iloc[np.sort(cache.facts.index.get_indexer(rarer))]
        code = f"mixed_{name}"
        yield found(grave, code, message, remedy=remedy, rows=rows, figures=figures)


def _on_rows(level: Level, code: str, text: tuple[str, str], rows: pd.DataFrame) -> Finding:
    """A finding on rows, the first of them to be looked at side by side."""
    ids = [str(name) for name in rows["image_id"].head(12)]
    groups = [ids[start : start + 4] for start in range(0, len(ids), 4)]
    return found(level, code, text[0], remedy=text[1], rows=rows, groups=groups)
