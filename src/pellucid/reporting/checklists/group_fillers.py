"""What a run says to items on groups of people, on sites and devices, and on fairness.

Each filler takes a run's documents and returns an answer, or None where only the author knows.
"""

from __future__ import annotations

from typing import Any

from pellucid.reporting.checklists.answers import Answer, asked, met, not_met
from pellucid.reporting.checklists.known import (
    CLUSTERS,
    Block,
    fact_names,
    is_about,
    on_split,
    subgroups_of,
)
from pellucid.reporting.documents import RunDocuments
from pellucid.reporting.writing import Estimate, listing, metric_name


def groups_analysed(documents: RunDocuments) -> Answer | None:
    """By which facts the performance is given."""
    names = list(dict.fromkeys(str(entry["fact"]) for _, entry in subgroups_of(documents)))
    if not names:
        return not_met(f"{_why_no_groups(documents)}.")
    return met(f"Performance is given by {listing(names)}, the facts that the dataset holds.")


def subgroups(documents: RunDocuments) -> Answer | None:
    """The verdict of each subgroup table."""
    entries = subgroups_of(documents)
    if not entries:
        return not_met(f"{_why_no_groups(documents)}.")
    return met(" ".join(_group_sentence(block, entry) for block, entry in entries))


def fairness(documents: RunDocuments) -> Answer | None:
    """Gaps are measured; nothing is done against them by the software."""
    entries = subgroups_of(documents)
    if not entries:
        return not_met(f"{_why_no_groups(documents)}; nothing was done for fairness.")
    names = listing(list(dict.fromkeys(str(entry["fact"]) for _, entry in entries)))
    return asked(f"The run measures gaps by {names}, and does nothing against them.")


def intersections(documents: RunDocuments) -> Answer | None:
    """Groups by two facts at once are not made."""
    return not_met("The run analyses facts one by one, not where they meet.")


def clusters_analysed(documents: RunDocuments) -> Answer | None:
    """Performance by site or device, where the dataset names them."""
    entries = [(b, e) for b, e in subgroups_of(documents) if is_about(str(e["fact"]), CLUSTERS)]
    if entries:
        return met(" ".join(_group_sentence(block, entry) for block, entry in entries))
    if any(is_about(name, CLUSTERS) for name in fact_names(documents)):
        return not_met("The dataset names sites or devices, but performance by them is not given.")
    return not_met("The dataset names no site and no device, so differences are not measured.")


def _group_sentence(block: Block, entry: dict[str, Any]) -> str:
    """A subgroup table's own verdict, and its gap with the interval."""
    verdict = str(entry.get("verdict") or "").rstrip(".")
    gap = entry.get("gap")
    width = f"gap {Estimate.of(gap).sentence}" if gap else ""
    subject = verdict or f"{metric_name(str(entry['metric']))} by {entry['fact']}"
    return f"{on_split(block)} {'; '.join(part for part in (subject, width) if part)}."


def _why_no_groups(documents: RunDocuments) -> str:
    if fact_names(documents):
        return "No subgroup is analysed, though the dataset holds facts"
    return "No subgroup is analysed, since the dataset holds no facts for it"
