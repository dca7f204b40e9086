"""The checklists as a Word file: one table a checklist, to take into a paper.

The same rows give the same bytes: dates and the order of parts are fixed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pellucid.errors import MissingPackage
from pellucid.reporting.checklists.items import Checklist, load_checklists
from pellucid.reporting.checklists.markdown import HEADS, MEANING, summary_sentence
from pellucid.reporting.checklists.rows import checklist_summary

if TYPE_CHECKING:
    from docx.document import Document

WIDTHS_CM = (1.6, 8.2, 2.6, 12.3)  # of a landscape A4 page with margins of 2.5 cm
FONT_SIZE_PT = 9
LONG_AGO = datetime(2000, 1, 1)
ZIP_DATE = (2000, 1, 1, 0, 0, 0)


def checklists_word(rows: Sequence[Mapping[str, str]]) -> bytes:
    """All checklists in one DOCX; raises `MissingPackage` without python-docx."""
    document = _new_document()
    document.add_heading("Checklists", level=0)
    document.add_paragraph(MEANING)
    summary = {str(counts["checklist"]): counts for counts in checklist_summary(rows)}
    for checklist in load_checklists():
        held = [row for row in rows if row["checklist"] == checklist.name]
        _add_checklist(document, checklist, held, summary_sentence(summary[checklist.name]))
    return _saved(document)


def _new_document() -> Document:
    """An empty landscape A4 page, without author and with fixed dates."""
    try:
        import docx
        from docx.enum.section import WD_ORIENT
        from docx.shared import Cm
    except ImportError as error:
        raise MissingPackage(
            "Checklists as a Word file need python-docx",
            remedy="Install it: pip install python-docx",
        ) from error
    document = docx.Document()
    page = document.sections[0]
    page.orientation = WD_ORIENT.LANDSCAPE
    page.page_width, page.page_height = Cm(29.7), Cm(21.0)
    page.left_margin = page.right_margin = Cm(2.5)
    _set_properties(document)
    return document


def _set_properties(document: Document) -> None:
    properties = document.core_properties
    properties.author = properties.comments = properties.last_modified_by = ""
    properties.title = "Checklists"
    properties.created = properties.modified = LONG_AGO


def _add_checklist(
    document: Document, checklist: Checklist, rows: Sequence[Mapping[str, str]], told: str
) -> None:
    document.add_heading(checklist.name, level=1)
    document.add_paragraph(told)
    document.add_paragraph(f"Source: {checklist.source}. {checklist.wording} {checklist.checked}")
    table = document.add_table(rows=len(rows) + 1, cols=len(HEADS), style="Table Grid")
    table.autofit = False
    lines = list(table.rows)  # once: each look-up walks the whole table
    _fill_row(lines[0], HEADS, is_head=True)
    _repeat_on_each_page(lines[0])
    for line, row in zip(lines[1:], rows, strict=True):
        _fill_row(line, (row["number"], row["item"], row["status"], row["answer"]))


def _fill_row(line: Any, texts: Sequence[str], *, is_head: bool = False) -> None:
    """Write one row in small letters, with its widths."""
    from docx.shared import Cm, Pt

    for cell, text, width in zip(line.cells, texts, WIDTHS_CM, strict=True):
        cell.width = Cm(width)
        run = cell.paragraphs[0].add_run(text)
        run.font.size = Pt(FONT_SIZE_PT)
        run.bold = is_head


def _repeat_on_each_page(line: Any) -> None:
    """Mark a row as a table's head (ECMA-376, 17.4.78)."""
    from docx.oxml import OxmlElement

    line._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))


def _saved(document: Document) -> bytes:
    """The file with every part dated alike, in the order of its names."""
    first, second = io.BytesIO(), io.BytesIO()
    document.save(first)
    with zipfile.ZipFile(first) as read, zipfile.ZipFile(second, "w") as written:
        for name in sorted(read.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            part = zipfile.ZipInfo(name, ZIP_DATE)
            part.compress_type = zipfile.ZIP_DEFLATED
            written.writestr(part, read.read(name))
    return second.getvalue()
