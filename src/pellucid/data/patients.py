"""Who is on the picture: from a column, from a pattern on the file name, or unknown.

Where no patient is known each file is its own patient, and everything downstream says so. A
patient is only a text here; this module knows no names, labels or splits.
"""

from __future__ import annotations

import re

import pandas as pd

from pellucid.data.listing import Choices, Listing, count, some
from pellucid.errors import DataError, UsageError


def fill_patients(listing: Listing, choices: Choices) -> bool:
    """Give every row a `patient_id`; returns whether patients are known at all.

    A file without a patient counts as its own patient, with all of its frames, and with a note when
    only some files lack one. Another note tells of studies that hold more than one patient.
    """
    table = listing.table
    files = table["file_id"] if "file_id" in table else table["image_id"]
    if choices.patient_pattern:
        table["patient_id"] = find_patients(files, choices)
        listing.notes += _study_notes(table, choices)
        return True
    if "patient_id" not in table or table["patient_id"].isna().all():
        table["patient_id"] = files
        return False
    missing = table["patient_id"].isna()
    if missing.any():
        listing.notes.append(
            f"{count(int(missing.sum()), 'image')} of {len(table):,} have no patient: each of "
            "these counts as its own patient."
        )
        table["patient_id"] = table["patient_id"].where(~missing, files)
    listing.notes += _study_notes(table, choices)
    return True


def _study_notes(table: pd.DataFrame, choices: Choices) -> list[str]:
    """Whether a study has two patients, whose images could then stand in two splits."""
    if "studyinstanceuid" not in table:
        return []
    pairs = table[["studyinstanceuid", "patient_id"]].dropna().drop_duplicates()
    studies = pairs["studyinstanceuid"]
    mixed = list(studies[studies.duplicated()].unique())
    if not mixed:
        return []
    names = some(choices.show("study", mixed), 3)
    return [
        f"Studies that hold more than one patient: {len(mixed):,} ({names}); the images of such a "
        "study may come into different splits."
    ]


def find_patients(image_ids: pd.Series[str], choices: Choices) -> pd.Series[str]:
    """The patient in each file name: the first group of the match, or the whole match without one.

    A pattern that holds a "/" is searched in the whole path below the data folder, so that a
    folder a patient can be used. Raises `UsageError` for a pattern that is no regular expression
    and `DataError` when file names do not match.
    """
    pattern = choices.patient_pattern or ""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            "--patient-pattern must be a regular expression",
            f"{pattern!r} ({error.msg})",
            r"Example: '(person\d+)'",
        ) from error
    texts = image_ids if "/" in pattern else image_ids.str.rsplit("/", n=1).str[-1]
    found = [_first(compiled.search(text)) for text in texts]
    lost = [image_id for image_id, name in zip(image_ids, found, strict=True) if not name]
    if lost:
        shown = choices.show("image", lost)
        raise DataError(
            f"Every file name must match --patient-pattern {pattern!r}",
            f"{len(lost):,} of {len(found):,} that do not, such as {some(shown)}",
            "Widen the pattern, for example with an alternative: (pattern|other).",
        )
    return pd.Series(found, index=image_ids.index, dtype=str)


def _first(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    return next((group for group in match.groups() if group), match.group(0))
