"""The checklists as data: their items in our own words, with number, section and source.

The files are beside this one. Which items were held against the published list, and against what,
stands in them (`checked`, `numbering_checked`). Knows no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

AUTHOR = "author"
FILES = ("claim_2024.yaml", "tripod_ai.yaml", "model_card.yaml")


@dataclass(frozen=True)
class Item:
    """One item. `key` is its name in the author's form; `filled_by` a filler, or "author"."""

    checklist: str
    key: str
    number: str
    section: str
    text: str
    source: str
    filled_by: str
    numbering_checked: bool
    development_only: bool


@dataclass(frozen=True)
class Checklist:
    """One published checklist; `checked` says what its numbering was compared with."""

    name: str
    source: str
    wording: str
    checked: str
    items: tuple[Item, ...]


@cache
def load_checklists() -> tuple[Checklist, ...]:
    """The three checklists in the order of the report.

    >>> [(checklist.name, len(checklist.items)) for checklist in load_checklists()]
    [('CLAIM 2024', 44), ('TRIPOD+AI', 52), ('Model card', 29)]
    """
    return tuple(_load(name) for name in FILES)


def known_items() -> dict[str, Item]:
    """Every item by its key in the author's form."""
    return {item.key: item for checklist in load_checklists() for item in checklist.items}


def _load(name: str) -> Checklist:
    document = yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    development_only = document.get("development_only", [])
    items = tuple(
        Item(
            checklist=document["name"],
            key=f"{document['key']}_{entry['number']}",
            number=entry["number"],
            section=entry["section"],
            text=entry["item"],
            source=f"{document['source']}, item {entry['number']}",
            filled_by=entry["filled_by"],
            numbering_checked=entry["numbering_checked"],
            development_only=entry["number"] in development_only,
        )
        for entry in document["items"]
    )
    return Checklist(
        document["name"], document["source"], document["wording"], document["checked"], items
    )
