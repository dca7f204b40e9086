"""Which group of people, places or devices each image belongs to, by every fact of the predictions.

A fact is a column that came with the predictions. Ages become bands, other numbers quarters of the
images, words stay as they are. Ids, paths, dates, notes, constants and columns that are nearly
unique group nobody and are left out. It judges nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

UNKNOWN, OTHER = "unknown", "other"
MOST_VALUES = 12
AGE_BANDS = ("0–17", "18–39", "40–59", "60–79", "80+")

_AGE_EDGES = (18.0, 40.0, 60.0, 80.0)
_OLDEST = 130.0
_AGE = re.compile(
    r"^[<>≥≤]?\s*(\d{1,5}(?:\.\d+)?)\s*([DWMY]?)(?:EARS?|RS?|O)?\s*\+?$", re.IGNORECASE
)
_YEARS_OF = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # DICOM PS3.5, 6.2: AS
_UNIT_WORDS = {"days": "D", "weeks": "W", "months": "M", "years": "Y"}
_MISSING = {"", "nan", "na", "n/a", "nat", "none", "null", "unknown", "unk", "missing", "?", "-"}
_NO_GROUPS = {
    *("path", "file", "filename", "url", "uri", "link", "hash", "md5", "sha256"),
    *("date", "time", "datetime", "timestamp"),
    *("note", "notes", "comment", "comments", "text", "report", "description"),
    *("license", "citation", "split", "fold", "frame", "row", "index"),
    *("uid", "patientid", "imageid", "accessionnumber", "instancenumber"),
}
_NO_GROUP_ENDINGS = re.compile(
    r"(uid|patientid|(study|series|acquisition|content|birth)(date|time))$"
)
_NAMES = ("id", "name", "code", "site", "scanner", "hospital", "centre", "center", "device")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FactGroups:
    """One fact: the name of each group, and the group of each image, `codes` (n,) from 0.

    "other" gathers the rarest values and "unknown" the images without one; they stand last.
    """

    fact: str
    values: tuple[str, ...]
    codes: Ints

    @property
    def known(self) -> Ints:
        """The numbers of the groups other than "unknown"."""
        return np.array(
            [k for k, name in enumerate(self.values) if name != UNKNOWN], dtype=np.int64
        )


def group_by_facts(facts: pd.DataFrame) -> list[FactGroups]:
    """The groups of every column (n rows) that forms at least two, in the order of the columns."""
    found = (_grouped(facts.iloc[:, k], str(name)) for k, name in enumerate(facts.columns))
    return [groups for groups in found if groups is not None]


def age_in_years(text: str, unit: str = "Y") -> float:
    """Years of an age; NaN where it is none. `unit` (D, W, M, Y) is that of a bare number.

    DICOM's form is read (PS3.5, 6.2, AS), and "90+" or "> 89", as ages are often made anonymous.

    >>> age_in_years("045Y"), age_in_years("018M"), age_in_years("90+"), age_in_years("adult")
    (45.0, 1.5, 90.0, nan)
    """
    found = _AGE.match(text.strip())
    if not found:
        return math.nan
    years = float(found[1]) * _YEARS_OF[found[2].upper() or unit]
    return years if years <= _OLDEST else math.nan


def _grouped(column: pd.Series[Any], name: str) -> FactGroups | None:
    lower = name.lower()
    words = [word for word in re.split(r"[^a-z0-9]+", lower) if word] or [lower]
    is_date = pd.api.types.is_datetime64_any_dtype(column)
    if is_date or words[-1] in _NO_GROUPS or _NO_GROUP_ENDINGS.search(lower):
        return None
    texts, codes = _texts(column)
    known = codes[codes >= 0]
    if len(texts) < 2:
        return None
    if "age" in words or lower == "patientage":
        unit = next((_UNIT_WORDS[word] for word in words if word in _UNIT_WORDS), "Y")
        years = np.array([age_in_years(text, unit) for text in texts])
        if _mostly(~np.isnan(years), known):
            return _banded(name, years, codes, np.array(_AGE_EDGES), AGE_BANDS)
    numbers = np.array([_as_number(text) for text in texts])
    are_numbers = _mostly(np.isfinite(numbers), known)
    is_many = len(texts) > min(MOST_VALUES, math.sqrt(len(known)) + 2)
    if are_numbers and is_many and not lower.endswith(_NAMES):
        return _quarters(name, numbers, codes)
    if _is_near_unique(lower, len(texts), len(known)):
        return None
    return _categories(name, texts, codes, numbers if are_numbers else None)


def _texts(column: pd.Series[Any]) -> tuple[list[str], Ints]:
    """Distinct values as text, whatever their case; and that of each image, -1 if missing."""
    values = column.astype(object)
    values = values.where(values.isna(), values.map(_as_text))
    codes, texts = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    commonest_first = sorted(range(len(texts)), key=lambda k: (-counts[k], str(texts[k])))
    spelling: dict[str, int] = {}
    names: list[str] = []
    place = np.full(len(texts) + 1, -1, dtype=np.int64)  # the last answers to code -1
    for k in commonest_first:
        folded = str(texts[k]).casefold()
        if folded in _MISSING:
            continue
        if folded not in spelling:
            spelling[folded] = len(names)
            names.append(str(texts[k]))
        place[k] = spelling[folded]
    return names, place[codes]


def _as_text(value: Any) -> str:
    """A value as a person would write it: 1.0, as a table with gaps reads 1, is "1"."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _mostly(holds: npt.NDArray[np.bool_], known: Ints) -> bool:
    """Whether it holds for nine in ten of the images whose value is known."""
    return bool(holds[known].mean() >= 0.9)


def _is_near_unique(lower: str, n_values: int, n_images: int) -> bool:
    if lower.endswith(("id", "name", "number")):
        return n_values > min(20, math.sqrt(n_images) + 2)
    return n_values > MOST_VALUES and n_values > n_images / 5


def _quarters(name: str, numbers: npt.NDArray[np.float64], codes: Ints) -> FactGroups | None:
    """Bands between the quartiles of the images; equal numbers stay together."""
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    of_images = finite[codes[codes >= 0]]
    edges = np.unique(np.nanquantile(of_images, (0.25, 0.5, 0.75), method="inverted_cdf"))
    edges = edges[edges > np.nanmin(of_images)]
    if not len(edges):  # the lowest number is that of most images
        edges = np.array([finite[finite > np.nanmin(finite)].min()])
    shown = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to under {high}" for low, high in pairwise(shown)]
    labels = (f"under {shown[0]}", *between, f"{shown[-1]} or more")
    return _banded(name, finite, codes, edges, labels)


def _banded(
    name: str,
    numbers: npt.NDArray[np.float64],
    codes: Ints,
    edges: npt.NDArray[np.float64],
    labels: tuple[str, ...],
) -> FactGroups | None:
    """Each image in the band of its number; a number that is NaN is unknown."""
    place = np.r_[np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, "right")), -1]
    return _compact(name, labels, place[codes])


def _categories(
    name: str, texts: list[str], codes: Ints, numbers: npt.NDArray[np.float64] | None
) -> FactGroups | None:
    """The commonest values as they are, by number or by size; the rest is "other"."""
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    commonest = sorted(range(len(texts)), key=lambda k: (-counts[k], texts[k]))
    kept = commonest if len(texts) <= MOST_VALUES else commonest[: MOST_VALUES - 1]
    if numbers is not None and not np.isnan(numbers).any():
        kept = sorted(kept, key=lambda k: numbers[k])
    place = np.full(len(texts) + 1, len(kept), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    place[-1] = -1
    return _compact(name, (*(texts[k] for k in kept), OTHER), place[codes])


def _compact(name: str, labels: tuple[str, ...], codes: Ints) -> FactGroups | None:
    """Without empty groups, and with "unknown" for code -1; None where fewer than two are known."""
    used = np.unique(codes[codes >= 0])
    if len(used) < 2:
        return None
    values = [labels[k] for k in used]
    place = np.full(len(labels) + 1, len(used), dtype=np.int64)
    place[used] = np.arange(len(used))
    return FactGroups(
        name, (*values, UNKNOWN) if (codes < 0).any() else tuple(values), place[codes]
    )
