"""The three files of a run: the author's form, the checklists as Markdown and as a Word file."""

from __future__ import annotations

from pathlib import Path

from pellucid.reporting.checklists.form import FORM_NAME, write_form
from pellucid.reporting.checklists.items import known_items
from pellucid.reporting.checklists.markdown import checklists_markdown
from pellucid.reporting.checklists.rows import checklist_rows, form_fields
from pellucid.reporting.checklists.word import checklists_word
from pellucid.reporting.documents import load_documents
from pellucid.storage import write_bytes, write_text

MARKDOWN_NAME, WORD_NAME = "checklists.md", "checklists.docx"


def write_checklists(run_folder: Path) -> list[Path]:
    """Write `checklist.yaml` (or what it lacks), `checklists.md` and `checklists.docx`.

    The author's answers are read first and stay. The same run gives the same bytes, and none of a
    patient's ids. Raises `UsageError` where the folder is no run or the form is broken, and
    `MissingPackage` without python-docx, which is then the only file that is not written.
    """
    documents = load_documents(run_folder)
    rows = checklist_rows(documents)
    form = write_form(run_folder / FORM_NAME, form_fields(documents), list(known_items()))
    markdown = write_text(run_folder / MARKDOWN_NAME, checklists_markdown(rows))
    word = write_bytes(run_folder / WORD_NAME, checklists_word(rows))
    return [form, markdown, word]
