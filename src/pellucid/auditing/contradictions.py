"""Patients whose pictures stand under two classes of one target.

For a disease of the patient that is an error; for a finding of the picture (a follow-up, a slice,
the other eye) it may be right, so it is a note, and a warning only within one study or day.
Reads the table alone; the same picture in two classes is found by `copies`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pellucid.auditing.findings import Finding, found
from pellucid.auditing.leakage import object_of, rows_that_mix, side_by_side, study_of
from pellucid.data.index import Dataset
from pellucid.data.listing import count, normal

DATES = ("studydate", "acquisitiondate", "examdate", "scandate", "date")
SIDES = ("laterality", "imagelaterality", "eye", "side", "breast")


def find_contradictions(dataset: Dataset) -> Iterator[Finding]:
    """For each target: patients under two classes, and studies or days that contradict."""
    if not dataset.patients_known:
        return
    table = dataset.table.assign(visit=_visit(dataset))
    for name in dataset.task.names:
        mixed = rows_that_mix(table, "patient_id", name)
        within = rows_that_mix(mixed, "visit", name)
        elsewhere = mixed[~mixed["patient_id"].isin(within["patient_id"])]
        yield from _within_visits(name, within)
        yield from _over_time(name, elsewhere, int(table["patient_id"].nunique()))


def _visit(dataset: Dataset) -> pd.Series[str]:
    """One patient's study or day, and side where a column tells; missing where neither is known.

    Frames of one object are left out: their labels are of the frame.
    """
    table = dataset.table
    columns = {normal(name): name for name in table}
    visit = study_of(dataset)
    day = next((columns[name] for name in DATES if name in columns), None)
    if day is not None:
        visit = visit.fillna(table[day].replace("", None))
    visit = visit.mask(object_of(dataset).duplicated(keep=False) & object_of(dataset).notna())
    text = table["patient_id"].astype(str) + "\0" + visit.fillna("").astype(str)
    side = next((columns[name] for name in SIDES if name in columns), None)
    if side is not None:
        text = text + "\0" + table[side].fillna("").astype(str)
    return text.where(visit.notna())


def _within_visits(target: str, rows: pd.DataFrame) -> Iterator[Finding]:
    if not len(rows):
        return
    n = rows["visit"].nunique()
    where = "one study or day" if n == 1 else f"{n:,} studies or days"
    yield found(
        "WARN",
        "contradicting_studies",
        f"Pictures of one patient and the same study or day stand under several classes of "
        f"{target!r}: {where} with {count(len(rows), 'image')}.",
        remedy="Find out which label is right; if each is of its own picture, nothing is wrong.",
        rows=rows,
        groups=side_by_side(rows, "visit", target),
        figures={"target": target, "n_visits": n},
    )


def _over_time(target: str, rows: pd.DataFrame, n_patients: int) -> Iterator[Finding]:
    if not len(rows):
        return
    n = rows["patient_id"].nunique()
    yield found(
        "NOTE",
        "contradicting_labels",
        f"{count(n, 'patient')} ({n / n_patients:.1%}) with {count(len(rows), 'image')} stand "
        f"under several classes of {target!r}.",
        remedy="If the label is of the patient, find out which is right; if it is of the picture "
        "(a finding, a follow-up), nothing is wrong.",
        rows=rows,
        groups=side_by_side(rows, "patient_id", target),
        figures={"target": target, "n_patients": n},
    )
