"""What an audit says: findings, each with a level, the rows it concerns and what to do.

FAIL: results would be wrong. WARN: results may mislead. NOTE: worth knowing. Knows sentences and
image ids; it does not know how anything was found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pellucid import __version__
from pellucid.storage import write_json

REASONS_SHOWN = 5
LISTED = 1000
GROUPS_SHOWN = 12
GROUP_SIZE = 4

Level = Literal["FAIL", "WARN", "NOTE"]
LEVELS: tuple[Level, ...] = ("FAIL", "WARN", "NOTE")


@dataclass(frozen=True)
class Finding:
    """One thing that was found: a sentence, the images it concerns, and what to do.

    `n_rows` counts all images concerned; `image_ids` lists at most 1,000 of them. `groups` are
    images to be looked at side by side, `figures` the numbers behind the sentence.
    """

    level: Level
    code: str
    message: str
    image_ids: tuple[str, ...] = ()
    n_rows: int = 0
    remedy: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    figures: Mapping[str, float | int | str] = field(default_factory=dict)


def found(
    level: Level,
    code: str,
    message: str,
    *,
    remedy: str = "",
    rows: pd.DataFrame | None = None,
    groups: Sequence[Sequence[str]] = (),
    figures: Mapping[str, float | int | str] | None = None,
) -> Finding:
    """A finding on `rows`, a part of the dataset's table, cut to what a document may hold."""
    ids = () if rows is None else tuple(str(name) for name in rows["image_id"].head(LISTED))
    shown = tuple(tuple(group[:GROUP_SIZE]) for group in groups[:GROUPS_SHOWN])
    n_rows = 0 if rows is None else len(rows)
    return Finding(level, code, message, ids, n_rows, remedy, shown, dict(figures or {}))


@dataclass
class Audit:
    """All findings, the gravest first, and every unreadable file with its reason.

    `dataset` says in a few words what was audited.
    """

    findings: list[Finding]
    unreadable: list[dict[str, str]] = field(default_factory=list)
    dataset: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings.sort(key=lambda finding: LEVELS.index(finding.level))

    def failures(self, allowed: Collection[str] = ()) -> list[Finding]:
        """The findings of level FAIL whose codes are not allowed."""
        return [
            finding
            for finding in self.findings
            if finding.level == "FAIL" and finding.code not in allowed
        ]

    @property
    def failed(self) -> bool:
        """Whether any finding is a FAIL."""
        return bool(self.failures())

    def to_json(self) -> dict[str, Any]:
        """The document of `audit.json`."""
        return {
            "format": "pellucid-audit",
            "version": 2,
            "pellucid": __version__,
            "dataset": self.dataset,
            "failed": self.failed,
            "findings": [asdict(finding) for finding in self.findings],
            "unreadable": self.unreadable,
        }

    def save(self, path: Path) -> Path:
        """Write `audit.json` in one step."""
        return write_json(Path(path), self.to_json())

    def describe(self) -> str:
        """One line a finding, its level first; then why the first files could not be read."""
        lines = [
            f"{finding.level}  {finding.message} {finding.remedy}".rstrip()
            for finding in self.findings
        ]
        lines += [f"  {entry['reason']}" for entry in self.unreadable[:REASONS_SHOWN]]
        return "\n".join(lines) or "The audit found nothing."
