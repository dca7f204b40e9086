"""Phantoms as an ordinary image folder: one subfolder a class, masks beside it, a README.

    FOLDER/images/<class>/P0001_1.png    FOLDER/masks/<class>/P0001_1.png
    FOLDER/README.txt                    FOLDER/phantoms.json, which says whether all is there

Every file appears whole or not at all, so that an interrupted folder is simply finished the next
time. Knows files; it does not know how a phantom is drawn.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pellucid.data.phantoms.patients import (
    DEFAULT_PATIENTS,
    Phantom,
    check_request,
    count_images,
    draw_patient,
    fewest_patients,
    label_of,
    patient_id,
)
from pellucid.errors import UsageError
from pellucid.storage import write_bytes, write_json, write_text

PHANTOM_PATIENT_PATTERN = r"(P\d+)"
SYNTHETIC = "Pellucid phantom, not a patient"
VERSION = 2  # of the drawing: folders of another version are not mixed with this one's

_README = """\
SYNTHETIC IMAGES: NOT PATIENTS

These {case} pictures were drawn by Pellucid from random numbers. They show nobody, hold no
finding of any person, and must not be used to claim that a model works on real images.

images/<class>/P0001_1.png   picture 1 of synthetic patient P0001, 8-bit grey
masks/<class>/P0001_1.png    its lesion, white on black; all black for a normal picture
phantoms.json                how they were drawn; the same figures give the same pictures

Each PNG says so itself in its text chunk "Synthetic".
"""


def write_phantoms(
    folder: str | Path,
    case: str,
    *,
    n_patients: int = DEFAULT_PATIENTS,
    image_size: int = 64,
    seed: int = 0,
    difficulty: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a case's phantoms and masks as PNG files and return `folder/images`.

    The arguments are those of `draw_phantoms`; `progress(done, total)` counts images. A folder
    that is complete with the same arguments is used as it is, an unfinished one is finished.
    Raises `UsageError` for bad arguments, for too few patients to split three ways, and for a
    folder that holds something else.
    """
    folder = Path(folder)
    check_request(case, n_patients, image_size, seed, difficulty)
    _check_enough(case, n_patients)
    wanted = {"case": case, "n_patients": n_patients, "image_size": image_size}
    wanted |= {"seed": seed, "difficulty": difficulty, "version": VERSION}
    if not _is_complete(folder, wanted):
        _write_all(folder, wanted, progress)
    return folder / "images"


def _check_enough(case: str, n_patients: int) -> None:
    fewest = fewest_patients(case)
    if n_patients < fewest:
        rule = f"{case} phantoms need at least {fewest} patients, three a class, to be split"
        raise UsageError(rule, str(n_patients))


def _is_complete(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the folder holds just these phantoms, all of them. Raises for any other content."""
    marker = folder / "phantoms.json"
    if not marker.is_file():
        if (folder / "images").exists() or (folder / "masks").exists():
            raise _other_content(folder, "images of another origin")
        return False
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        same = {name: found[name] for name in wanted} == wanted
    except (OSError, ValueError, KeyError, TypeError):
        raise _other_content(folder, "a phantoms.json that cannot be read") from None
    if not same:
        raise _other_content(folder, "phantoms drawn otherwise")
    return bool(found.get("complete"))


def _other_content(folder: Path, found: str) -> UsageError:
    rule = f"{folder} must be empty or hold the same phantoms"
    return UsageError(rule, found, "Choose another folder, or remove this one.")


def _write_all(
    folder: Path, wanted: dict[str, Any], progress: Callable[[int, int], None] | None
) -> None:
    """Write what is missing, patient after patient; the marker turns complete at the end."""
    note = wanted | {"synthetic": SYNTHETIC}
    write_json(folder / "phantoms.json", note | {"complete": False})
    write_text(folder / "README.txt", _README.format(case=wanted["case"]))
    case, seed, n_patients = wanted["case"], wanted["seed"], wanted["n_patients"]
    counts = [count_images(case, index, seed) for index in range(n_patients)]
    total = sum(counts)
    text, done = _describe(case, seed), 0
    for index, count in enumerate(counts):
        names = [f"{label_of(case, index, seed)}/{patient_id(index)}_{i + 1}" for i in range(count)]
        if not all(_path(folder, kind, name).is_file() for name in names for kind in _KINDS):
            phantoms = draw_patient(case, index, wanted["image_size"], seed, wanted["difficulty"])
            for phantom, name in zip(phantoms, names, strict=True):
                _write_one(folder, name, phantom, text)
        done += count
        if progress:
            progress(done, total)
    write_json(folder / "phantoms.json", note | {"complete": True})


_KINDS = ("masks", "images")


def _path(folder: Path, kind: str, name: str) -> Path:
    return folder / kind / f"{name}.png"


def _write_one(folder: Path, name: str, phantom: Phantom, text: PngInfo) -> None:
    """The mask first: an image that is there always has its mask."""
    mask = phantom.mask.astype(np.uint8) * np.uint8(255)
    for kind, pixels in zip(_KINDS, (mask, phantom.pixels), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=text)
        write_bytes(_path(folder, kind, name), buffer.getvalue())


def _describe(case: str, seed: int) -> PngInfo:
    """What every PNG says of itself."""
    text = PngInfo()
    text.add_text("Synthetic", SYNTHETIC)
    text.add_text("Case", case)
    text.add_text("Seed", str(seed))
    return text
