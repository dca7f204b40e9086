"""Every item of every checklist with its status and answer, as rows for a table.

Puts together what the run says and what its author says; knows no file format but the form's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pellucid.reporting.checklists.answers import MET, STATUSES, Answer, combine, plain
from pellucid.reporting.checklists.fillers import fill
from pellucid.reporting.checklists.form import FORM_NAME, Field, read_form
from pellucid.reporting.checklists.items import Item, known_items, load_checklists
from pellucid.reporting.documents import RunDocuments

Row = dict[str, str]


def checklist_rows(documents: RunDocuments) -> list[Row]:
    """One row an item: checklist, number, section, item, status, answer and source, all text.

    `status` is "met" (the run says it), "met (author)", "n/a" (with the reason), "not met" (the run
    knows that it is not so) or "asked"; the answer of an asked item is what the run knows of it,
    or empty. Reads `checklist.yaml` of the run; raises `UsageError` where that is broken.
    """
    authors = read_form(documents.folder / FORM_NAME, list(known_items()))
    return [
        _row(item, combine(fill(item, documents), authors.get(item.key, "")))
        for checklist in load_checklists()
        for item in checklist.items
    ]


def checklist_summary(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str | int]]:
    """How many items of each checklist have each status."""
    names = list(dict.fromkeys(row["checklist"] for row in rows))
    return [_counted(name, [row for row in rows if row["checklist"] == name]) for name in names]


def form_fields(documents: RunDocuments) -> list[Field]:
    """The fields of the author's form: every item that the run does not meet by itself."""
    answers = ((item, fill(item, documents)) for item in known_items().values())
    return [_field(item, answer) for item, answer in answers if answer.status != MET]


def _row(item: Item, answer: Answer) -> Row:
    return {
        "checklist": item.checklist,
        "number": item.number,
        "section": item.section,
        "item": item.text,
        "status": answer.status,
        "answer": answer.text,
        "source": item.source,
    }


def _counted(name: str, rows: Sequence[Mapping[str, str]]) -> dict[str, str | int]:
    found = [row["status"] for row in rows]
    return {
        "checklist": name,
        "items": len(rows),
        **{status: found.count(status) for status in STATUSES},
    }


def _field(item: Item, answer: Answer) -> Field:
    title = f"{item.checklist}, item {item.number} ({item.section})"
    known = f"{answer.status}. {answer.text}" if answer.status != "asked" else answer.text
    return Field(item.key, title, plain(item.text), known)
