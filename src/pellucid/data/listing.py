"""What every kind of source gives: one row an image, with the labels still as they were written.

Folders, manifests and archives each return a `Listing`; `data.index` turns it into a `Dataset`.
This module knows no file format, no task and no split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pellucid.data.pseudonyms import Pseudonyms
from pellucid.errors import UsageError

RESERVED = ("image_id", "image_path", "frame", "patient_id", "split")

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "external": "external_test",
    "external_test": "external_test",
}
"""The words for a partition, in lower case, and what each is called here."""


@dataclass(frozen=True)
class Choices:
    """What the user chose when reading a dataset; see `data.index.read_dataset` for each field."""

    image_column: str | None = None
    label_columns: Sequence[str] | None = None
    patient_column: str | None = None
    patient_pattern: str | None = None
    split_column: str | None = None
    patients: Path | None = None
    merge: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    positive: str | None = None
    two_logits: bool = False
    labels: Path | None = None
    join_column: str | None = None
    slices: str | None = None
    pseudonyms: Pseudonyms | None = None

    def show(self, kind: str, values: Iterable[object]) -> list[object]:
        """Ids as a message may show them: as they are, or their pseudonyms when these are asked."""
        if self.pseudonyms is None:
            return list(values)
        return [self.pseudonyms.of(kind, str(value)) for value in values]

    def refuse(self, names: Sequence[str], kind: str) -> None:
        """Raise `UsageError` for an option that would have no effect on this kind of source."""
        for name in names:
            if getattr(self, name):
                option = "--" + name.replace("_", "-").removesuffix("s")
                option = f"--{name}" if name in ("patients", "labels", "slices") else option
                raise UsageError(
                    f"{option} has no meaning for {kind}", remedy="Leave the option out."
                )


MANIFEST_ONLY = ("image_column", "label_columns", "patient_column", "split_column")
LABELS_ONLY = ("labels", "join_column")


@dataclass
class Listing:
    """The images of a source, before labels are merged and checked.

    `table` holds `image_id`, `image_path`, `frame`, one column a target and one a fact, and
    `patient_id`, `split` and `file_id` (the `image_id` of the whole file, for files of several
    frames) where the source gives them. `classes` gives the order of the classes of a target where
    the source fixes it. `notes` are sentences for the user. `unmatched_images` had no row in a
    table of labels, `unmatched_rows` no image; both as a message may show them.
    """

    table: pd.DataFrame
    targets: tuple[str, ...]
    name: str
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    unmatched_images: list[str] = field(default_factory=list)
    unmatched_rows: list[str] = field(default_factory=list)
    labels_checked: bool = (
        False  # folder names are classes by definition; a column may be a mistake
    )


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key under which `img2` comes before `img10`; ties are broken by the text itself.

    >>> sorted(["img10", "img2"], key=natural_key)
    ['img2', 'img10']
    """
    parts = re.split(r"(\d+)", text.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def normal(name: object) -> str:
    """A column's name without case, spaces and marks, for comparing.

    >>> normal("Study_Instance UID")
    'studyinstanceuid'
    """
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


def some(values: Sequence[object], limit: int = 5) -> str:
    """The first few values of a list, and how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    text = ", ".join(str(value) for value in values[:limit])
    return f"{text} and {len(values) - limit:,} more" if len(values) > limit else text


def count(n: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
