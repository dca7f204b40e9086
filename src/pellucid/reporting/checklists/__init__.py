"""Reporting checklists, item by item: CLAIM 2024, TRIPOD+AI and a model card.

    items.py        the items as data: number, section, our words, source (the YAML files beside it)
    answers.py      a status and a sentence; texts made safe for tables
    known.py        what the run's documents say that several fillers need
    *_fillers.py    from the documents to the answer of an item: data, splits, model,
                    performance, groups
    fillers.py      every filler by name
    form.py         the author's part, written and read back
    rows.py         items, the run's answers and the author's, as rows
    markdown.py, word.py, writing.py    the files to take into a paper

Item texts are our own; the published lists are cited and not copied. Computes no metric.
"""

from pellucid.reporting.checklists.rows import checklist_rows, checklist_summary
from pellucid.reporting.checklists.writing import write_checklists

__all__ = ["checklist_rows", "checklist_summary", "write_checklists"]
