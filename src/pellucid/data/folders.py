"""A folder with one subfolder a class, with or without split folders above them.

Every regular file below a class folder is an image until reading shows otherwise, whatever its
ending; hidden files and plain documents are passed over. Nothing outside the folder is reached:
links are followed only where they stay inside. This module opens no image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pellucid.data.frames import Report, expand_files
from pellucid.data.label_table import join_labels
from pellucid.data.listing import (
    MANIFEST_ONLY,
    SPLIT_WORDS,
    Choices,
    Listing,
    count,
    natural_key,
    some,
)
from pellucid.errors import DataError
from pellucid.images.nifti import is_nifti_name

DOCUMENTS = "txt csv tsv md rst json jsonl xml yaml yml html htm pdf doc docx xls xlsx parquet"
OTHERS = "ini db log py ipynb zip tar gz 7z"
NOT_IMAGES = frozenset(f".{ending}" for ending in f"{DOCUMENTS} {OTHERS}".split())
TABLES = (".csv", ".tsv", ".parquet")
TARGET = "label"


def read_folder(root: Path, choices: Choices, progress: Report | None = None) -> Listing:
    """List the images of a folder; the target is called "label" and its classes are the folders.

    `image_id` is the path below `root` with forward slashes; rows stand in natural order. DICOM
    files bring their patients and facts, and every frame is a row. With `labels` the folder needs
    no class folders: every file below it is an image, and the labels come from that table. Raises
    `DataError` when the folder has no class folders or no files in them.
    """
    if choices.labels:
        return _read_labelled(root.resolve(), choices, progress)
    choices.refuse(["join_column"], "a folder without --labels")
    choices.refuse((*MANIFEST_ONLY, "patients"), "a folder with one subfolder a class")
    skipped: Counter[str] = Counter()
    root = root.resolve()
    folders = _class_folders(root, skipped)
    _check_two_classes(root, {name for _, name, _ in folders})
    rows = []
    for split, class_name, folder in folders:
        rows += [(path, class_name, split) for path in _files(folder, root, skipped)]
    if not rows:
        raise DataError("A class folder must hold images", _nothing(root, folders, skipped))
    prefix = len(str(root).rstrip(os.sep)) + 1
    table = pd.DataFrame(rows, columns=["image_path", TARGET, "split"], dtype=str)
    table.insert(0, "image_id", table["image_path"].str.slice(prefix).str.replace(os.sep, "/"))
    table.insert(2, "frame", 0)
    if folders[0][0] is None:
        table = table.drop(columns="split")
    keys = [natural_key(str(image_id)) for image_id in table["image_id"]]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    notes = [f"{text.format(n=n)}." for text, n in sorted(skipped.items())]
    notes += _empty_classes(folders, set(table[TARGET]))
    table = table.iloc[order].reset_index(drop=True)
    listing = Listing(table, (TARGET,), root.name, notes=notes, labels_checked=True)
    expand_files(listing, choices, progress)
    return listing


def _read_labelled(root: Path, choices: Choices, progress: Report | None) -> Listing:
    """Every file below the folder, with the labels of a table."""
    choices.refuse(("image_column", "patients"), "a folder with --labels")
    skipped: Counter[str] = Counter()
    table_path = Path(choices.labels or "").resolve()
    paths = [path for path in _files(root, root, skipped) if Path(path) != table_path]
    if not paths:
        raise DataError("A folder of images must hold files", f"none below {root}")
    prefix = len(str(root).rstrip(os.sep)) + 1
    ids = [path[prefix:].replace(os.sep, "/") for path in paths]
    order = sorted(range(len(ids)), key=lambda row: natural_key(ids[row]))
    table = pd.DataFrame({"image_id": ids, "image_path": paths}, dtype=str).iloc[order]
    table = table.reset_index(drop=True).assign(frame=0)
    notes = [f"{text.format(n=n)}." for text, n in sorted(skipped.items())]
    listing = Listing(table, (), root.name, notes=notes)
    expand_files(listing, choices, progress)
    join_labels(listing, table_path, choices)
    return listing


def _class_folders(root: Path, skipped: Counter[str]) -> list[tuple[str | None, str, Path]]:
    """(split or None, class, folder) for each class folder."""
    children = _subfolders(root, root, skipped)
    splits = [folder for folder in children if folder.name.casefold() in SPLIT_WORDS]
    names = {SPLIT_WORDS[folder.name.casefold()] for folder in splits}
    # A folder called "test" may be a class; with "train" beside it, or nothing else, it is a split.
    if splits and (len(splits) == len(children) or ("train" in names and len(names) > 1)):
        if len(children) > len(splits):
            others = [folder.name for folder in children if folder not in splits]
            skipped[f"Beside the split folders {some(others)} was passed over"] += 1
        return [
            (SPLIT_WORDS[folder.name.casefold()], inner.name, inner)
            for folder in splits
            for inner in _subfolders(folder, root, skipped)
        ]
    if not children:
        raise DataError("DATA must be a folder with one subfolder a class", _contents(root))
    return [(None, folder.name, folder) for folder in children]


def _check_two_classes(root: Path, names: set[str]) -> None:
    if len(names) > 1:
        return
    tables = sorted(entry.name for entry in _scan(root) if entry.name.lower().endswith(TABLES))
    raise DataError(
        "A folder of images needs at least two class folders",
        f"only {some(list(names))} in {root}" if names else f"none in {root}",
        f"Perhaps you mean the manifest {root / tables[0]}?" if tables else "",
    )


def _subfolders(folder: Path, root: Path, skipped: Counter[str]) -> list[Path]:
    found = []
    for entry in _scan(folder):
        if entry.name.startswith(".") or entry.name == "__MACOSX" or not entry.is_dir():
            continue
        if entry.is_symlink() and not _is_inside(entry, root):
            skipped["{n} linked folder(s) that lead out of the folder were passed over"] += 1
        else:
            found.append(Path(entry.path))
    return sorted(found, key=lambda path: natural_key(path.name))


def _files(folder: Path, root: Path, skipped: Counter[str]) -> Iterator[str]:
    """The files below a class folder, subfolders included."""
    for entry in _scan(folder):
        if entry.name.startswith(".") or entry.name.casefold() == "thumbs.db":
            continue
        if entry.is_symlink() and (entry.is_dir() or not _is_inside(entry, root)):
            skipped["{n} link(s) that lead to a folder or out of the data were passed over"] += 1
        elif entry.is_dir():
            yield from _files(Path(entry.path), root, skipped)
        elif _is_document(entry.name):
            skipped["{n} document(s) that are no images were passed over"] += 1
        elif not entry.is_file():
            skipped["{n} thing(s) that are no regular files were passed over"] += 1
        elif not _is_text(entry.name):
            skipped["{n} file(s) whose names are not valid text were passed over"] += 1
        else:
            yield entry.path


def _is_document(name: str) -> bool:
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  many files
    return ending in NOT_IMAGES and not is_nifti_name(name)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be listed", error.strerror or "") from error


def _is_inside(entry: os.DirEntry[str], root: Path) -> bool:
    return Path(entry.path).resolve().is_relative_to(root)


def _is_text(name: str) -> bool:
    """Whether a file name can be written to a table; undecodable bytes arrive as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _contents(root: Path) -> str:
    """What a folder without class folders holds, with the likely remedy."""
    files = [entry.name for entry in _scan(root) if entry.is_file() and entry.name[0] != "."]
    if not files:
        return f"the empty folder {root}"
    tables = [name for name in files if name.lower().endswith(TABLES)]
    hint = f". Perhaps you mean the manifest {root / sorted(tables)[0]}" if tables else ""
    return f"{root} with {count(len(files), 'file')} and no subfolder{hint}"


def _nothing(root: Path, folders: list[tuple[str | None, str, Path]], skipped: Counter[str]) -> str:
    why = "".join(f"; {text.format(n=n)}" for text, n in sorted(skipped.items()))
    names = some([folder.name for _, _, folder in folders]) or "none"
    return f"no image below {root} (class folders: {names}){why}"


def _empty_classes(folders: list[tuple[str | None, str, Path]], seen: set[str]) -> list[str]:
    empty = sorted({name for _, name, _ in folders} - seen)
    return [f"The folder {some(empty)} holds no image and is no class."] if empty else []
