"""The checklists as Markdown: one table a checklist, for a paper's supplement.

Whatever stands in an answer stays in its cell: pipes, tags, links and emphasis are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pellucid.reporting.checklists.answers import STATUSES
from pellucid.reporting.checklists.items import Checklist, load_checklists
from pellucid.reporting.checklists.rows import checklist_summary

HEADS = ("Number", "Item", "Status", "Answer")
MEANING = (
    "Met: the run answers it. Met (author): the author answers it. N/a: it does not apply, with "
    "the reason. Not met: the run knows that it is not so. Asked: the author has yet to answer, in "
    "checklist.yaml; what stands there is what the run knows."
)
_SIGNS = re.compile(r"([\\`*_\[\]{}<>|~#$&])")


def checklists_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """All checklists in one text."""
    return "\n".join(_lines(rows)) + "\n"


def escape_markdown(text: str) -> str:
    r"""A text that Markdown shows as it is, on one line.

    >>> escape_markdown("a|b *c*")
    'a\\|b \\*c\\*'
    """
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def summary_sentence(counts: Mapping[str, str | int]) -> str:
    """How many of the items have each status: "44 items: 20 met, 3 not met, 21 asked"."""
    shown = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{counts['items']} items: {', '.join(shown)}."


def _lines(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield "# Checklists"
    yield ""
    yield MEANING
    summary = {str(counts["checklist"]): counts for counts in checklist_summary(rows)}
    for checklist in load_checklists():
        held = [row for row in rows if row["checklist"] == checklist.name]
        yield from _section(checklist, held, summary_sentence(summary[checklist.name]))


def _section(checklist: Checklist, rows: Sequence[Mapping[str, str]], told: str) -> Iterator[str]:
    yield from ("", f"## {checklist.name}", "", told, "")
    yield f"Source: {escape_markdown(checklist.source)}. {checklist.wording} {checklist.checked}"
    yield ""
    yield f"| {' | '.join(HEADS)} |"
    yield f"|{'---|' * len(HEADS)}"
    for row in rows:
        cells = (row["number"], row["item"], row["status"], row["answer"])
        yield f"| {' | '.join(escape_markdown(cell) for cell in cells)} |"
