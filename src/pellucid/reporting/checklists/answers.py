"""What is said to an item: its status and a sentence, and texts made safe for tables and YAML.

Knows no run and no item.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MET, BY_AUTHOR, DOES_NOT_APPLY, NOT_MET, ASKED = "met", "met (author)", "n/a", "not met", "asked"
STATUSES = (MET, BY_AUTHOR, DOES_NOT_APPLY, NOT_MET, ASKED)
_NOT_APPLICABLE = re.compile(r"(?:n/a|not applicable)\b[\s:.,;–-]*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A status of `STATUSES` and the sentence for it; an asked item may hold what the run knows."""

    status: str
    text: str = ""


def met(text: str) -> Answer:
    """The run answers the item whole."""
    return Answer(MET, plain(text))


def not_met(text: str) -> Answer:
    """The run knows that the item is not so, and says why."""
    return Answer(NOT_MET, plain(text))


def asked(text: str = "") -> Answer:
    """Only the author knows; `text` is the part that the run knows."""
    return Answer(ASKED, plain(text))


def does_not_apply(reason: str) -> Answer:
    """The item does not apply to this kind of run."""
    return Answer(DOES_NOT_APPLY, plain(reason))


def reason_not_applicable(text: str) -> str | None:
    """The reason in "n/a: reason", empty where none is given; None where the text is an answer.

    >>> reason_not_applicable("n/a: not a trial"), reason_not_applicable("NCT01234567")
    ('not a trial', None)
    """
    match = _NOT_APPLICABLE.fullmatch(plain(text))
    return match[1] if match else None


def combine(known: Answer, author: str) -> Answer:
    """The run's answer and the author's together; neither hides the other."""
    if not author:
        return known
    reason = reason_not_applicable(author)
    text = plain(author) if reason is None else reason
    if known.text:
        text = f"{_closed(text)} From the run: {known.text}"
    if reason is not None:
        return Answer(DOES_NOT_APPLY, text)
    return Answer(MET if known.status == MET else BY_AUTHOR, text)


def plain(text: str) -> str:
    r"""One line without what a table, a terminal or a Word file cannot hold (control characters).

    >>> plain("two\nlines\x00")
    'two lines'
    """
    kept = (" " if c.isspace() else c for c in str(text) if c.isspace() or _is_shown(c))
    return " ".join("".join(kept).split())


def _is_shown(character: str) -> bool:
    """Neither control nor format (bidirectional override), surrogate, nor unassigned."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
