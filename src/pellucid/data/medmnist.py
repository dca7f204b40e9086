"""A MedMNIST archive: `train_images`, `train_labels` and the same for val and test in one .npz.

Images are (n, row, column) or (n, row, column, colour), labels (n,), (n, 1) or, for several labels
at once, (n, L). The pictures stay in the archive: only labels and the shapes of the images are read
here. Nothing pickled is ever loaded. Source: MedMNIST v2, see `medmnist_sets`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pellucid.data.listing import (
    LABELS_ONLY,
    MANIFEST_ONLY,
    SPLIT_WORDS,
    Choices,
    Listing,
    count,
    some,
)
from pellucid.data.manifest import read_table
from pellucid.data.medmnist_sets import published_classes
from pellucid.errors import DataError, ManifestError

PARTS = ("train", "val", "test")
SPLITS = {part: SPLIT_WORDS[part] for part in PARTS}


def read_archive(path: Path, choices: Choices) -> Listing:
    """List the images of an archive; `image_id` is `train/0`, `train/1`, … and the split is given.

    One label column gives the target "label"; L columns give L targets with the classes "0" and
    "1". Classes are called by their numbers unless the file name is that of a published set.
    Raises `DataError` for a file of another kind, `ManifestError` for a wrong table of patients.
    """
    choices.refuse(
        (*MANIFEST_ONLY, *LABELS_ONLY, "patient_pattern"), "a MedMNIST archive (use --patients)"
    )
    parts = _read_labels(path)
    names = published_classes(path.name)
    width = parts["train"].shape[1]
    targets = ("label",) if width == 1 else _target_names(width, names)
    tables = [_part_table(path, part, labels, targets) for part, labels in parts.items()]
    table = pd.concat(tables, ignore_index=True)
    listing = Listing(table, targets, path.stem, labels_checked=True)
    _name_classes(listing, names)
    if choices.patients:
        table["patient_id"] = _read_patients(choices.patients, table["image_id"])
    elif (beside := path.with_name(f"{path.stem}_patients.csv")).is_file():
        listing.notes.append(f"{beside.name} lies beside the archive; use it with --patients.")
    return listing


def _read_labels(path: Path) -> dict[str, npt.NDArray[np.int64]]:
    """Labels (n, L) of each part, checked against the number of images."""
    try:
        with zipfile.ZipFile(path) as file, np.load(path, allow_pickle=False) as arrays:
            names = set(arrays.files)
            present = [part for part in PARTS if f"{part}_images" in names]
            if "train" not in present:
                raise DataError(
                    f"{path.name} must hold train_images and train_labels, as MedMNIST's files do",
                    f"the arrays {some(sorted(names), 8) or 'none'}",
                )
            parts = {}
            for part in present:
                shape = _image_shape(file, f"{part}_images", path)
                parts[part] = _check_labels(arrays.get(f"{part}_labels"), shape[0], part, path)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} must be an intact .npz archive", str(error)) from error
    if len({labels.shape[1] for labels in parts.values()}) > 1:
        raise DataError(f"The parts of {path.name} must have as many labels each", "others")
    return parts


def _image_shape(file: zipfile.ZipFile, name: str, path: Path) -> tuple[int, ...]:
    """The shape of an array from its header alone: the pictures may be gigabytes."""
    with file.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    flat = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if not flat or dtype.kind not in "uif" or 0 in shape:
        raise DataError(
            f"{name} of {path.name} must be pictures (n, row, column) or (n, row, column, 3)",
            f"an array {shape} of {dtype}",
            "Volumes are not supported." if len(shape) > 3 else "",
        )
    return shape


def _check_labels(labels: Any, n: int, part: str, path: Path) -> npt.NDArray[np.int64]:
    """Labels as whole numbers (n, L)."""
    name = f"{part}_labels of {path.name}"
    if labels is None:
        raise DataError(f"The archive must hold {name}")
    labels = np.asarray(labels)
    if labels.ndim not in (1, 2) or len(labels) != n or 0 in labels.shape:
        raise DataError(f"{name} must have one row for each of {n:,} images", str(labels.shape))
    if labels.dtype.kind not in "uifb" or not (labels == np.round(labels)).all():
        raise DataError(f"{name} must be whole numbers", str(labels.dtype))
    return np.asarray(labels.reshape(n, -1), dtype=np.int64)


def _part_table(
    path: Path, part: str, labels: npt.NDArray[np.int64], targets: tuple[str, ...]
) -> pd.DataFrame:
    rows = np.arange(len(labels))
    table = pd.DataFrame({"image_id": [f"{part}/{row}" for row in rows]}, dtype=str)
    table["image_path"] = f"{path.resolve()}#{part}_images"
    table["frame"] = rows
    for column, target in enumerate(targets):
        table[target] = pd.Series(labels[:, column]).astype(str)
    table["split"] = SPLITS[part]
    return table


def _target_names(width: int, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names and len(names) == width:
        return names
    return tuple(f"label_{number}" for number in range(width))


def _name_classes(listing: Listing, names: tuple[str, ...] | None) -> None:
    """Put published names in the place of the numbers, when the numbers fit them.

    With several labels each target has the classes "0" and "1", also where no image has one of
    them, so that the network's outputs are those of the published task.
    """
    if len(listing.targets) > 1:
        for name in listing.targets:
            if listing.table[name].isin(["0", "1"]).all():
                listing.classes[name] = ("0", "1")
        return
    if not names:
        return
    numbers = {str(number): name for number, name in enumerate(names)}
    labels = listing.table["label"]
    if not labels.isin(list(numbers)).all():
        listing.notes.append("The labels are not those of the published set: numbers are kept.")
        return
    listing.table["label"] = labels.map(numbers).astype(str)
    listing.classes["label"] = names


def _read_patients(path: Path, image_ids: pd.Series[str]) -> pd.Series[str]:
    """The patient of each row, from a CSV with the columns split, index, patient."""
    table = read_table(path)
    table.columns = table.columns.str.casefold()
    lost = [name for name in ("split", "index", "patient") if name not in table]
    if lost:
        raise ManifestError(
            "A table of patients has the columns split, index, patient",
            f"{path} without {some(lost)}",
        )
    short = {
        word: part
        for part, split in SPLITS.items()
        for word in SPLIT_WORDS
        if SPLIT_WORDS[word] == split
    }
    keys = table["split"].str.casefold().map(short) + "/" + table["index"]
    twice = keys[keys.duplicated()]
    if len(twice):
        raise ManifestError("A row of the archive has one patient", f"two for {some(list(twice))}")
    patients = image_ids.map(pd.Series(table["patient"].to_numpy(), index=keys))
    missing = image_ids[patients.isna()]
    if len(missing):
        raise ManifestError(
            f"{path} must give a patient for each of {count(len(image_ids), 'image')}",
            f"none for {len(missing):,}: {some(list(missing))}",
        )
    return patients.astype(str)
