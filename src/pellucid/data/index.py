"""A dataset: one table with a row an image, and the task that its labels ask.

`read_dataset` is the door for every kind of source; the sources stand beside this file (folders,
manifest, medmnist, phantoms). Nothing here decodes pixels, splits patients or trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.folders import read_folder
from pellucid.data.frames import UIDS
from pellucid.data.label_table import KEYS
from pellucid.data.labels import build_task
from pellucid.data.listing import RESERVED, Choices, Listing, count, normal
from pellucid.data.manifest import read_manifest
from pellucid.data.medmnist import read_archive
from pellucid.data.medmnist_sets import fetch_medmnist
from pellucid.data.patients import fill_patients
from pellucid.data.pseudonyms import Pseudonyms, load_pseudonyms
from pellucid.errors import DataError, ReadError, UsageError, did_you_mean
from pellucid.storage import cache_root
from pellucid.task import Target, Task

MANIFESTS = (".csv", ".tsv", ".parquet", ".pq")
CASES = ("chest", "breast", "oct")
OTHER_IDS = (  # what else tells who somebody is, by how tables call it
    "accessionnumber",
    "accession",
    "mrn",
    "medicalrecordnumber",
    "hospitalnumber",
    "otherpatientids",
    "seriesuid",
)

Report = Callable[[int, int], None]


@dataclass
class Dataset:
    """Labelled images, ready to be split.

    `table` has `image_id` (unique text), `image_path` (absolute, or `archive.npz#array`), `frame`,
    `patient_id`, one text column a target (missing labels are NaN), the `facts`, and `split` where
    it is given. `notes` are sentences about what was found or passed over while reading;
    `unmatched_images` and `unmatched_rows` are what a table of labels and its images lack.
    """

    table: pd.DataFrame
    task: Task
    name: str
    source: str
    facts: tuple[str, ...] = ()
    patients_known: bool = False
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    unmatched_images: tuple[str, ...] = ()
    unmatched_rows: tuple[str, ...] = ()

    def codes(self) -> npt.NDArray[np.int64]:
        """Class indices (n, n_targets) in the order of the logits; -1 is a missing label."""
        columns = [
            pd.Index(target.classes).get_indexer(pd.Index(self.table[target.name]))
            for target in self.task.targets
        ]
        return np.stack(columns, axis=1).astype(np.int64)

    def describe(self) -> str:
        """A few plain lines: how many images and patients, the classes, who chose the positive."""
        images = count(len(self.table), "image")
        patients = (
            count(self.table["patient_id"].nunique(), "patient")
            if self.patients_known
            else "no patients known: each image counts as its own patient"
        )
        synthetic = " (synthetic, not patients)" if self.synthetic else ""
        lines = [f"{self.name}{synthetic}: {images}, {patients}"]
        lines += [self._describe_target(target) for target in self.task.targets]
        if "split" in self.table:
            splits = self.table["split"].value_counts(sort=False)
            lines.append("given splits: " + ", ".join(f"{k} {v:,}" for k, v in splits.items()))
        return "\n".join([*lines, *self.notes])

    def _describe_target(self, target: Target) -> str:
        known = self.table[[target.name, "patient_id"]].dropna()
        parts = []
        for name in target.classes:
            rows = known[known[target.name] == name]
            patients = f" of {count(rows['patient_id'].nunique(), 'patient')}"
            parts.append(f"{name} {len(rows):,}{patients if self.patients_known else ''}")
        line = f"{target.name}: {', '.join(parts)}"
        if len(known) < len(self.table):
            line += f", without a label {len(self.table) - len(known):,}"
        if target.positive is not None:
            who = (
                "chosen by you"
                if target.positive_source == "user"
                else "by default, the last class; choose with --positive"
            )
            line += f"; positive: {target.positive} ({who})"
        return line


def read_dataset(
    source: str | Path,
    *,
    image_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
    split_column: str | None = None,
    patients: str | Path | None = None,
    labels: str | Path | None = None,
    join_column: str | None = None,
    slices: str | None = None,
    pseudonymise: str | Path | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    classes: Sequence[str] | None = None,
    positive: str | None = None,
    two_logits: bool = False,
    progress: Report | None = None,
) -> Dataset:
    """Read labelled images from a folder, a manifest, a MedMNIST archive or drawn phantoms.

    `source` is a folder with one subfolder a class (split folders above them are honoured), a
    `.csv` or `.parquet` manifest, a MedMNIST `.npz`, `medmnist:NAME[:SIZE]` or
    `phantom:{chest,breast,oct}`. The columns are those of a manifest. `patient_pattern` is searched
    in the file name; `patients` is a CSV with split, index, patient for an archive. `merge` maps a
    new class to the classes it stands for, `classes` is the list of allowed labels, `positive` the
    class whose presence counts as positive. `progress(done, total)` is told of slow steps.

    A folder without class folders takes `labels`, a table joined by PatientID, StudyInstanceUID,
    SOPInstanceUID or file name (`join_column` says which column). `slices` is the axis of NIfTI
    volumes, as `axial` or `coronal:4`. `pseudonymise` is a key file: every id is then replaced by a
    keyed hash; only `image_path`, without which no file is found, stays as it is.

    Raises a `DataError` or `UsageError` with one plain message for anything that is wrong.
    """
    pseudonyms, key_notes = load_pseudonyms(Path(pseudonymise)) if pseudonymise else (None, [])
    choices = Choices(
        image_column=image_column,
        label_columns=[label_columns] if isinstance(label_columns, str) else label_columns,
        patient_column=patient_column,
        patient_pattern=patient_pattern,
        split_column=split_column,
        patients=Path(patients) if patients else None,
        labels=Path(labels).expanduser() if labels else None,
        join_column=join_column,
        slices=slices,
        pseudonyms=pseudonyms,
        merge=merge or {},
        classes=classes,
        positive=positive,
        two_logits=two_logits,
    )
    listing, pattern = _list(str(source), choices, progress)
    known = fill_patients(listing, pattern)
    task = build_task(listing, choices)
    table = _arrange(listing)
    listing.notes += key_notes
    if pseudonyms is not None:
        table = _pseudonymised(table, listing.facts, pseudonyms)
    return Dataset(
        table=table,
        task=task,
        name=listing.name,
        source=str(source),
        facts=listing.facts,
        patients_known=known,
        synthetic=_is_synthetic(table),
        notes=tuple(listing.notes),
        unmatched_images=tuple(listing.unmatched_images),
        unmatched_rows=tuple(listing.unmatched_rows),
    )


def _list(source: str, choices: Choices, progress: Report | None) -> tuple[Listing, Choices]:
    """The listing of a source by its kind, and the choices that find its patients."""
    if source.startswith("phantom:"):
        return _list_phantoms(source.removeprefix("phantom:"), choices, progress)
    if source.startswith("medmnist:"):
        path = fetch_medmnist(source.removeprefix("medmnist:"), progress)
        return read_archive(path, choices), choices
    path = Path(source).expanduser()
    if path.is_dir():
        return read_folder(path, choices, progress), choices
    if not path.exists():
        raise DataError("No such folder or file", repr(source), _kinds(source))
    if path.suffix.lower() == ".npz":
        return read_archive(path, choices), choices
    if path.suffix.lower() in MANIFESTS:
        return read_manifest(path, choices, progress), choices
    raise DataError(
        "DATA must be a folder, a manifest (.csv, .parquet) or a MedMNIST archive (.npz)",
        repr(source),
    )


def _kinds(source: str) -> str:
    """A hint for `fantom:oct`."""
    kind, colon, rest = source.partition(":")
    if not colon or len(kind) < 2 or "/" in kind:
        return "Check the path."
    return did_you_mean(source, [f"phantom:{rest}", f"medmnist:{rest}"])


def _list_phantoms(case: str, choices: Choices, progress: Report | None) -> tuple[Listing, Choices]:
    """Draw the phantoms once into the cache and read them as the ordinary folder that they are."""
    if case not in CASES:
        known = [f"phantom:{name}" for name in CASES]
        raise UsageError(
            "No such phantom", f"phantom:{case}", did_you_mean(f"phantom:{case}", known)
        )
    from pellucid import __version__
    from pellucid.data.phantoms import PHANTOM_PATIENT_PATTERN, VERSION, write_phantoms

    choices.refuse(["patient_pattern"], "phantoms, which know their patients")
    folder = cache_root() / "phantoms" / f"{case}-{__version__}-{VERSION}"
    images = write_phantoms(folder, case, progress=progress)
    listing = read_folder(images, choices)
    listing.name = f"phantom:{case}"
    return listing, replace(choices, patient_pattern=PHANTOM_PATIENT_PATTERN)


def _arrange(listing: Listing) -> pd.DataFrame:
    """The columns in their fixed order."""
    first = list(RESERVED[:-1])
    last = ["split"] if "split" in listing.table else []
    return listing.table[[*first, *listing.targets, *listing.facts, *last]].reset_index(drop=True)


def _pseudonymised(
    table: pd.DataFrame, facts: Sequence[str], pseudonyms: Pseudonyms
) -> pd.DataFrame:
    """The table with every id replaced, also those that a table of the user's has under its names.

    An image's own id tells no patient apart any more.
    """
    usual = {name: "uid" for names in KEYS.values() for name in names}
    usual |= dict.fromkeys((*UIDS, *OTHER_IDS), "uid") | dict.fromkeys(
        KEYS["patient_id"], "patient"
    )
    kinds = {name: usual[normal(name)] for name in facts if normal(name) in usual}
    kinds |= {"patient_id": "patient", "image_id": "image"}
    hashed = {name: pseudonyms.of_column(kind, table[name]) for name, kind in kinds.items()}
    return table.assign(**hashed)


def _is_synthetic(table: pd.DataFrame) -> bool:
    """Whether the first picture says that it is synthetic; phantoms are written all alike."""
    from pellucid.images.reading import read_image

    try:
        image = read_image(table["image_path"].iloc[0], int(table["frame"].iloc[0]))
    except ReadError:
        return False
    return bool(image.facts.get("synthetic", False))
