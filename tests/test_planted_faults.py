"""Each fault that ruins studies, planted once in real chest X-rays, and found by the audit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pellucid
from pellucid.auditing.findings import Finding
from pellucid.progress import Progress

pytestmark = pytest.mark.slow

N_PATIENTS = 80  # of each class, one picture each
PATIENT = re.compile(r"(person\d+|(?:NORMAL2-)?IM-\d+)")

Plant = Callable[[pd.DataFrame, Path], pd.DataFrame]


@pytest.fixture
def chests(shared_data: Path) -> pd.DataFrame:
    """A manifest of real pictures: two classes, one picture a patient, splits by patient."""
    rows = []
    for label in ("NORMAL", "PNEUMONIA"):
        seen: set[str] = set()
        for path in sorted((shared_data / "chest_xray" / label).iterdir()):
            match = PATIENT.search(path.name)
            if match and match[0] not in seen and len(seen) < N_PATIENTS:
                seen.add(match[0])
                rows.append((str(path), label, match[0], path.stat().st_size))
    table = pd.DataFrame(rows, columns=["image_path", "label", "patient_id", "bytes"])
    table["split"] = np.where(np.arange(len(table)) % 5 == 0, "test", "train")
    return table.drop(columns="bytes")


def audit(table: pd.DataFrame, folder: Path) -> dict[str, Finding]:
    table.to_csv(folder / "manifest.csv", index=False)
    dataset = pellucid.read_dataset(folder / "manifest.csv")
    found = pellucid.audit(dataset, progress=Progress(quiet=True))
    return {finding.code: finding for finding in found.findings}


def redraw(table: pd.DataFrame, row: int, path: Path, change: Callable[[Image.Image], None]) -> str:
    """A changed picture of one row, saved as PNG; its path."""
    with Image.open(table["image_path"][row]) as picture:
        grey = picture.convert("L")
    change(grey)
    grey.save(path)
    return str(path)


def add(table: pd.DataFrame, **row: str) -> pd.DataFrame:
    return pd.concat([table, pd.DataFrame([row])], ignore_index=True)


def copy_of(table: pd.DataFrame, path: str, **other: str) -> pd.DataFrame:
    """The table with a copy of its second row, which stands in train, as another test patient."""
    row = {"label": table["label"][1], "patient_id": "copied", "split": "test", **other}
    return add(table, image_path=path, **row)


def test_real_pictures_without_a_fault_do_not_fail(chests: pd.DataFrame, tmp_path: Path) -> None:
    found = audit(chests, tmp_path)
    assert [code for code, finding in found.items() if finding.level == "FAIL"] == []
    warned = {code for code, finding in found.items() if finding.level == "WARN"}
    assert not {code for code in warned if code.startswith(("identical", "near_", "outlier"))}


def test_a_patient_in_two_splits(chests: pd.DataFrame, tmp_path: Path) -> None:
    chests.loc[0, "patient_id"] = chests["patient_id"][1]
    finding = audit(chests, tmp_path)["shared_patients"]
    assert (finding.level, finding.n_rows) == ("FAIL", 2)


def test_a_re_saved_copy(chests: pd.DataFrame, tmp_path: Path) -> None:
    with Image.open(chests["image_path"][1]) as picture:
        picture.convert("L").save(tmp_path / "copy.jpg", quality=60)
    found = audit(copy_of(chests, str(tmp_path / "copy.jpg")), tmp_path)
    finding = found["near_duplicates_across_splits"]
    assert finding.level == "FAIL"
    assert str(tmp_path / "copy.jpg") in finding.image_ids


def test_a_copy_in_another_format(chests: pd.DataFrame, tmp_path: Path) -> None:
    path = redraw(chests, 1, tmp_path / "copy.bmp", lambda picture: None)
    finding = audit(copy_of(chests, path), tmp_path)["identical_across_splits"]
    assert (finding.level, finding.n_rows) == ("FAIL", 2)


def test_a_contrast_changed_crop(chests: pd.DataFrame, tmp_path: Path) -> None:
    with Image.open(chests["image_path"][1]) as picture:
        width, height = picture.size
        cropped = picture.convert("L").crop((6, 4, width - 5, height - 8))
    cropped.point(lambda grey: int(30 + 0.7 * grey)).save(tmp_path / "crop.png")
    found = audit(copy_of(chests, str(tmp_path / "crop.png")), tmp_path)
    assert found["near_duplicates_across_splits"].level == "FAIL"


def test_a_corner_mark_that_gives_the_class_away(chests: pd.DataFrame, tmp_path: Path) -> None:
    def mark(picture: Image.Image) -> None:
        picture.paste(235, (picture.width - 22, 6, picture.width - 8, 20))

    ill = chests.index[chests["label"] == "PNEUMONIA"]
    for row in ill[: int(0.9 * len(ill))]:
        chests.loc[row, "image_path"] = redraw(chests, row, tmp_path / f"{row}.png", mark)
    for row in chests.index.difference(ill):
        path = redraw(chests, row, tmp_path / f"{row}.png", lambda picture: None)
        chests.loc[row, "image_path"] = path
    finding = audit(chests, tmp_path)["shortcut_corners"]
    assert finding.level == "WARN"
    assert float(finding.figures["low"]) > 0.8
    assert finding.groups


def test_a_site_that_gives_the_class_away(chests: pd.DataFrame, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    told = random.random(len(chests)) < 0.95
    chests["site"] = np.where((chests["label"] == "NORMAL") == told, "north", "south")
    finding = audit(chests, tmp_path)["shortcut_site"]
    assert finding.level == "WARN"
    assert float(finding.figures["auroc"]) > 0.9


def test_contradicting_labels(chests: pd.DataFrame, tmp_path: Path) -> None:
    path = redraw(chests, 1, tmp_path / "again.png", lambda picture: None)
    row = {"label": "PNEUMONIA", "patient_id": chests["patient_id"][1], "split": "train"}
    found = audit(add(chests, image_path=path, **row), tmp_path)
    assert found["contradicting_labels"].n_rows == 2
    assert found["identical_across_classes"].level == "FAIL"


def test_a_hand_among_chests(chests: pd.DataFrame, tmp_path: Path, shared_data: Path) -> None:
    hand = str(sorted((shared_data / "mednist" / "Hand").iterdir())[3])
    row = {"label": "NORMAL", "patient_id": "hand", "split": "train"}
    finding = audit(add(chests, image_path=hand, **row), tmp_path)["outliers"]
    assert hand in finding.image_ids
    assert finding.n_rows <= 6
