"""The checklists as a section of the report: how many items are met, then item by item."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.reporting.checklists import checklist_rows, checklist_summary
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.tables import Cell, Table, build_table

COUNTED = ("items", "met", "met (author)", "n/a", "not met", "asked")


@dataclass(frozen=True)
class ChecklistSection:
    """The summary, and one table a checklist."""

    summary: Table
    tables: tuple[Table, ...]
    n_open: int  # items that only the author can answer, and has not


def build_checklists(documents: RunDocuments) -> ChecklistSection:
    """Every item with what the run says of it, or the author in RUN/checklist.yaml."""
    rows = checklist_rows(documents)
    summary = checklist_summary(rows)
    counts: list[list[Cell]] = [
        [str(entry["checklist"]), *(int(entry[key]) for key in COUNTED)] for entry in summary
    ]
    heads = ["Checklist", "Items", "Met", "Met, says the author", "Does not apply", "Not met"]
    names = [str(entry["checklist"]) for entry in summary]
    return ChecklistSection(
        summary=build_table("checklists", [*heads, "Asked of the author"], counts),
        tables=tuple(_items(rows, name, number) for number, name in enumerate(names)),
        n_open=sum(row["status"] == "asked" for row in rows),
    )


def _items(rows: list[dict[str, str]], name: str, number: int) -> Table:
    keys = ("number", "section", "item", "status", "answer")
    cells = [[row[key] for key in keys] for row in rows if row["checklist"] == name]
    heads = ("No.", "Section", "Item", "Status", "Answer")
    return Table(f"checklist-{number}", heads, tuple(tuple(row) for row in cells), caption=name)
