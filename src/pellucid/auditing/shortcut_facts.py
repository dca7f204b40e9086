"""The groups of facts that shortcuts are looked for in, and what each may rightly tell.

A group that may rightly tell something (the mean grey of a lung with pneumonia, a patient's age) is
told as a NOTE; one that should tell nothing (a corner, a file format, a site) as a WARN. Knows the
names of facts; it fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pellucid.data.index import Dataset
from pellucid.images.measures import BORDER, CORNERS, GREY, MARKERS

HEADER = (
    "modality",
    "manufacturer",
    "manufacturermodelname",
    "stationname",
    "bodypartexamined",
    "viewposition",
    "laterality",
    "imagelaterality",
    "photometricinterpretation",
    "transfersyntaxuid",
    "burnedinannotation",
)
POPULATION = ("sex", "patientsex", "age", "patientage", "age_years")
_NO_FACTS = ("uid", "patientid", "url", "path", "file", "date", "time", "note")
_NAMES = ("id", "name")  # of an image, which are many, or of a site or a scanner, which are few
_MOST_WORDS = 20  # a column with more values than that, or one a row, is no category


@dataclass(frozen=True)
class FactGroup:
    """Some columns (one row an image) and what to say when they tell the label."""

    name: str
    words: str
    table: pd.DataFrame
    remedy: str
    may_tell: bool = False
    show_pictures: bool = True


_MEASURED = (
    ("corners", "the four corners of the picture", CORNERS, False),
    ("markers", "letters and markers near the corners", MARKERS, False),
    ("border", "the border of the picture", BORDER, True),
    ("grey", "brightness and contrast", GREY, True),
)
_FILED = (
    ("file", "the format of the file", ("format", "bit_depth", "mode", "frames"), False),
    ("dimensions", "the size and shape of the picture", ("width", "height", "aspect"), False),
    ("compression", "how far the file is compressed", ("bytes_per_pixel",), True),
)
_REMEDIES = {
    "corners": "Look at them; crop or cover corners that hold marks.",
    "markers": "Look at them; crop or cover marks before training.",
    "border": "The class may come with another way of cropping; look at the pictures.",
    "grey": "That may be the disease, or another exposure; compare within one device.",
    "file": "Convert all classes alike from the same originals.",
    "dimensions": "Find out why; the classes may come from different sources.",
    "compression": "Content compresses differently, but so do sources; find out which.",
}
_SOURCE = "The classes may come from different places; judge within each, or balance them."
_PERSON = "That may be the disease's own epidemiology; judge within its values too."


def fact_groups(dataset: Dataset, facts: pd.DataFrame) -> list[FactGroup]:
    """Every group that the data has: of pictures, files, headers, and the user's own columns."""
    known = facts.assign(**_derived(facts))
    groups = [
        _group(known, name, words, columns, may_tell=may_tell, pictures=kind == "picture")
        for kind, entries in (("picture", _MEASURED), ("file", _FILED))
        for name, words, columns, may_tell in entries
    ]
    own = [name for name in dataset.facts if _is_category(dataset.table[name], name)]
    taken = {name.lower() for name in own}
    header = [name for name in HEADER if name in known and name not in taken]
    if header:
        words = "the header of the file"
        groups.append(FactGroup("header", words, known[header], _SOURCE, show_pictures=False))
    groups += [_own_group(dataset.table, name) for name in own]
    return [group for group in groups if len(group.table.columns)]


def _derived(facts: pd.DataFrame) -> dict[str, pd.Series[float]]:
    width, height = (pd.to_numeric(facts[name]) for name in ("width", "height"))
    derived = {"aspect": width / height}
    if "file_bytes" in facts:
        derived["bytes_per_pixel"] = pd.to_numeric(facts["file_bytes"]) / (width * height)
    return derived


def _group(
    facts: pd.DataFrame,
    name: str,
    words: str,
    columns: tuple[str, ...],
    *,
    may_tell: bool,
    pictures: bool,
) -> FactGroup:
    table = facts[[column for column in columns if column in facts]]
    return FactGroup(name, words, table, _REMEDIES[name], may_tell, pictures)


def _own_group(table: pd.DataFrame, name: str) -> FactGroup:
    """One column of the user's: what is known of a person may tell, what is of a place may not."""
    person = name.lower() in POPULATION
    column = table[name]
    numbers = pd.to_numeric(column, errors="coerce")
    is_number = numbers.notna().sum() >= 0.9 * column.notna().sum()
    values = numbers if is_number and not name.lower().endswith(_NAMES) else column
    return FactGroup(
        name=name.lower(),
        words=f"the column {name!r}",
        table=pd.DataFrame({name: values}),
        remedy=_PERSON if person else _SOURCE,
        may_tell=person,
        show_pictures=False,
    )


def _is_category(column: pd.Series[str], name: str) -> bool:
    """Whether a column says something of groups of images: not an id, a path or a note."""
    known = column.dropna()
    if name.lower().endswith(_NO_FACTS) or known.nunique() < 2:
        return False
    if known.nunique() <= min(_MOST_WORDS, np.sqrt(len(known)) + 2):
        return True
    is_number = pd.to_numeric(known, errors="coerce").notna().mean() > 0.9
    return bool(is_number and not name.lower().endswith(_NAMES))
