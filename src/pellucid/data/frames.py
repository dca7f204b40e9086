"""From files to rows: the frames of DICOM objects with what their headers say, and slices of NIfTI.

Whether a folder holds DICOM is told by the first bytes of a few of its files, and then of all;
NIfTI volumes are told by their endings. Only headers are read, never pixels, and of the headers
never a name or a date of birth. It knows no labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.listing import Choices, Listing, count, normal, some
from pellucid.errors import DataError, ReadError
from pellucid.images.dicom_header import read_dicom_facts
from pellucid.images.image import Facts, quiet_decoders
from pellucid.images.nifti import AXES, count_slices, is_nifti_name, parse_slices
from pellucid.images.reading import looks_like_dicom, split_archive_path

Report = Callable[[int, int], None]
Ints = npt.NDArray[np.int64]

HEADER_FACTS = {  # the column, and the DICOM keywords of which the first that is given fills it
    "studyinstanceuid": ("studyinstanceuid",),
    "seriesinstanceuid": ("seriesinstanceuid",),
    "sopinstanceuid": ("sopinstanceuid",),
    "sex": ("patientsex",),
    "age": ("age_years",),
    "site": ("institutionname", "stationname"),
    "manufacturer": ("manufacturer",),
    "manufacturermodelname": ("manufacturermodelname",),
    "view": ("viewposition",),
    "laterality": ("imagelaterality", "laterality"),
    "body_part": ("bodypartexamined",),
    "modality": ("modality",),
}
UIDS = ("studyinstanceuid", "seriesinstanceuid", "sopinstanceuid")
DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_LOOKED_AT = 16  # files, before a folder is taken to hold no DICOM
_THREADS = 8
_AHEAD = 2048  # files whose headers are read before their facts are stored
_LEAST_FRAME_BYTES = 8  # PS3.5, A.4: an encapsulated frame has an item's tag and length at least


class _File(NamedTuple):
    """What a file holds: how many rows, at which frames, and its facts or why it is left out."""

    frames: range | None
    facts: Facts | None = None
    left_out: str = ""
    axis: str = ""


@dataclass
class _Found:
    """Everything found in the files so far, as columns, one entry a file that stays."""

    places: list[int] = field(default_factory=list)  # of each file below, -1 for one left out
    frames: list[range | None] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)
    columns: dict[str, list[str | None]] = field(
        default_factory=lambda: {name: [] for name in ("patient_id", *HEADER_FACTS)}
    )
    left_out: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)  # one object for equal texts
    n_headers: int = 0
    n_without_patient: int = 0

    def add(self, file: _File) -> None:
        """Take up a file, or count why it is left out."""
        if file.left_out:
            self.left_out[file.left_out] += 1
            self.places.append(-1)
            return
        self.places.append(len(self.frames))
        self.frames.append(file.frames)
        self.axes.append(file.axis)
        facts = file.facts or {}
        if facts:
            self.n_headers += 1
            self.n_without_patient += not facts.get("patientid")
        for name, column in self.columns.items():
            text = _first(facts, HEADER_FACTS.get(name, ("patientid",)))
            column.append(text and self.words.setdefault(text, text))

    def patients(self) -> list[str | None]:
        """PatientID; where it is missing the patient of the same study, or else the study."""
        pairs = list(zip(self.columns["patient_id"], self.columns["studyinstanceuid"], strict=True))
        known = {study: patient for patient, study in pairs if patient and study}
        return [patient or (study and known.get(study, study)) for patient, study in pairs]


def expand_files(listing: Listing, choices: Choices, progress: Report | None = None) -> None:
    """Make a row a frame of a listing with a row a file, and add what DICOM headers say.

    Rows of DICOM get the columns of `HEADER_FACTS` and `patient_id` (PatientID, else the study)
    where the table has none of its own; an object of several frames, and a volume of slices,
    becomes as many rows, whose `image_id` is `path#frame`, with `file_id` in common. A listing that
    has `file_id` already names its frames itself. DICOM objects without pixels are left out with a
    note; a file that cannot be read keeps its row, and the decoding tells why.
    """
    axis = parse_slices(choices.slices)
    codes, unique = pd.factorize(listing.table["image_path"])
    paths = [str(path) for path in unique]
    has_dicom = _has_dicom(paths)
    if not any(is_nifti_name(path) for path in paths):
        if choices.slices:
            listing.notes.append("There is no NIfTI volume: --slices has no effect.")
        if not has_dicom:
            return
    found = _Found()
    for file in _looked_at(paths, has_dicom, axis, progress):
        found.add(file)
    listing.notes += _notes(found)
    places = np.asarray(found.places, dtype=np.int64)[codes]
    if (places < 0).all():
        raise DataError(f"{listing.name} must hold images", listing.notes[-1].rstrip("."))
    if "file_id" in listing.table:
        listing.table = listing.table[places >= 0].reset_index(drop=True)
        places = places[places >= 0]
    else:
        places = _expand(listing, found, places)
    _add_facts(listing, found, places)


def _has_dicom(paths: Sequence[str]) -> bool:
    """Whether DICOM is to be expected: by an ending, or in a few files evenly chosen."""
    if any(path.lower().endswith(DICOM_ENDINGS) for path in paths):
        return True
    step = max(1, len(paths) // _LOOKED_AT)
    return any(_is_dicom(path) for path in paths[::step])


def _is_dicom(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  many files
            return looks_like_dicom(file.read(256))
    except (OSError, ValueError):
        return False


def _looked_at(
    paths: Sequence[str], has_dicom: bool, axis: tuple[str, int], progress: Report | None
) -> Iterator[_File]:
    """What each file holds, in order; threads wait for the disk while others parse."""
    tell = progress or (lambda done, total: None)

    def look(path: str) -> _File:
        if is_nifti_name(path):
            return _look_at_volume(path, *axis)
        return _look_at_dicom(path) if has_dicom and _is_dicom(path) else _File(None)

    tell(0, len(paths))
    with quiet_decoders(), ThreadPoolExecutor(_THREADS, thread_name_prefix="header") as pool:
        for start in range(0, len(paths), _AHEAD):
            for done, file in enumerate(pool.map(look, paths[start : start + _AHEAD]), start + 1):
                yield file
                if done % 64 == 0 or done == len(paths):
                    tell(done, len(paths))


def _look_at_dicom(path: str) -> _File:
    try:
        facts = read_dicom_facts(Path(path))
    except ReadError as error:
        if error.rule.endswith("a DICOM image holds pixels"):
            return _File(None, left_out=error.found.removeprefix("none in "))
        return _File(None)
    frames = int(facts.get("frames", 1))
    if frames > max(1, os.path.getsize(path) // _LEAST_FRAME_BYTES):  # noqa: PTH202  many files
        return _File(None, facts)  # a count that the file cannot hold: one row, and its reason
    return _File(range(frames) if frames > 1 else None, facts)


def _look_at_volume(path: str, axis: str, step: int) -> _File:
    file, named = split_archive_path(path)
    try:
        n = count_slices(file, named or axis)
    except ReadError:
        n = 1
    return _File(range(0, n, step), axis=named or axis)


def _first(facts: Facts, keywords: Sequence[str]) -> str | None:
    """The first of several facts as text, since every other table of facts is text."""
    given = (facts[keyword] for keyword in keywords if facts.get(keyword) not in (None, ""))
    value = next(given, None)  # a newborn's age of 0 is given
    if value is None:
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _expand(listing: Listing, found: _Found, places: Ints) -> Ints:
    """Make a row a frame of the files that stay; returns each row's place in `found`."""
    lengths = np.asarray([1 if frames is None else len(frames) for frames in found.frames])
    kept = np.flatnonzero(places >= 0)
    times = lengths[places[kept]]
    table = listing.table.iloc[np.repeat(kept, times)].reset_index(drop=True)
    places = np.repeat(places[kept], times)
    starts = np.repeat(np.cumsum(times) - times, times)
    steps = np.asarray([1 if frames is None else frames.step for frames in found.frames])
    table["frame"] = (np.arange(len(table)) - starts) * steps[places]
    table["file_id"] = table["image_id"]
    framed = np.asarray([frames is not None for frames in found.frames])[places]
    with_frame = table["image_id"] + "#" + table["frame"].astype(str)
    table["image_id"] = table["image_id"].where(~framed, with_frame)
    axes = pd.Series(np.asarray(found.axes, dtype=object)[places], dtype=str)
    bare = (axes != "") & ~table["image_path"].str.lower().str.endswith(
        tuple(f"#{a}" for a in AXES)
    )
    table["image_path"] = table["image_path"].where(~bare, table["image_path"] + "#" + axes)
    listing.table = table
    return places


def _add_facts(listing: Listing, found: _Found, places: Ints) -> None:
    """Lay the headers' columns beside the table's own, which go first."""
    own = {normal(name) for name in listing.table}
    for name, values in {**found.columns, "patient_id": found.patients()}.items():
        if normal(name) in own or not any(values):
            continue
        listing.table[name] = pd.Series(values, dtype=str).to_numpy()[places]
        if name != "patient_id":
            listing.facts = (*listing.facts, name)


def _notes(found: _Found) -> list[str]:
    notes = []
    if found.left_out:
        kinds = [f"{kind} {n:,}" for kind, n in found.left_out.most_common()]
        n = count(found.left_out.total(), "DICOM file")
        notes.append(f"{n} without pixels left out: {some(kinds, 4)}.")
    if found.n_without_patient:
        notes.append(
            f"{found.n_without_patient:,} of {count(found.n_headers, 'DICOM header')} without a "
            "PatientID: the study counts as the patient there, or else the file."
        )
    return notes
