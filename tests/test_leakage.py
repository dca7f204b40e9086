"""Leakage by identity: studies, objects and files in two splits, and studies of two patients."""

from __future__ import annotations

import pytest

from decoded import make_dataset
from pellucid.auditing.findings import Finding
from pellucid.auditing.leakage import find_leakage
from pellucid.data.index import Dataset

N = 80
SPLITS = ["train"] * 40 + ["test"] * 40


def run(dataset: Dataset) -> dict[str, Finding]:
    return {finding.code: finding for finding in find_leakage(dataset)}


def spread(value: str, *rows: int) -> list[str]:
    """A column of ids of their own, but for rows that share one."""
    return [value if row in rows else f"{value}.{row}" for row in range(N)]


def test_clean_data_have_no_finding() -> None:
    assert run(make_dataset(split=SPLITS, studyinstanceuid=spread("1.2"))) == {}


@pytest.mark.parametrize("name", ["studyinstanceuid", "StudyInstanceUID", "study_uid"])
def test_a_study_in_two_splits(name: str) -> None:
    finding = run(make_dataset(split=SPLITS, **{name: spread("1.2", 3, 70)}))["shared_studies"]
    assert finding.level == "FAIL"
    assert finding.image_ids == ("3.png", "70.png")
    assert finding.groups == (("3.png", "70.png"),)


def test_a_study_of_two_patients() -> None:
    found = run(make_dataset(split=SPLITS, studyinstanceuid=spread("1.2", 3, 4)))
    assert found["study_of_two_patients"].level == "WARN"
    assert found["study_of_two_patients"].n_rows == 2


def test_frames_of_one_object_in_two_splits() -> None:
    patients = [f"p{row}" for row in range(N)]
    paths = spread("clip", 39, 40)
    found = run(make_dataset(split=SPLITS, image_path=paths, patient_id=patients))
    assert found["shared_objects"].level == "FAIL"
    assert found["shared_objects"].n_rows == 2
    uids = run(make_dataset(split=SPLITS, sopinstanceuid=spread("9", 1, 79)))
    assert uids["shared_objects"].image_ids == ("1.png", "79.png")


def test_slices_of_a_volume_along_two_axes_are_one_object() -> None:
    paths = [f"v{row}.nii.gz#axial" for row in range(N)]
    paths[79] = "v0.nii.gz#coronal"
    assert run(make_dataset(split=SPLITS, image_path=paths))["shared_objects"].n_rows == 2


def test_rows_of_an_archive_are_no_object() -> None:
    archive = ["x.npz#train_images"] * 40 + ["x.npz#test_images"] * 40
    assert run(make_dataset(split=SPLITS, image_path=archive)) == {}
    assert run(make_dataset(split=SPLITS, image_path=["stack.npy"] * N)) == {}


def test_missing_ids_are_no_identity() -> None:
    column = ["", None] * (N // 2)
    assert run(make_dataset(split=SPLITS, studyinstanceuid=column)) == {}
