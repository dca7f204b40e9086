"""A folder of DICOM files with a table of labels: patients, facts, frames, and misfits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from pellucid.auditing.leakage import find_leakage
from pellucid.data.index import read_dataset
from pellucid.data.split import assign_splits, shared_patients
from pellucid.errors import ManifestError, UsageError

NAME = "Nosuch^Patient"


def write_dicom(path: Path, patient: str, study: str, frames: int = 1, **facts: str) -> str:
    """A small CT object; returns its SOPInstanceUID."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientBirthDate = NAME, "19500101"
    dataset.PatientID, dataset.StudyInstanceUID = patient, study
    dataset.PatientSex, dataset.PatientAge, dataset.Modality = "F", "063Y", "CT"
    dataset.InstitutionName = "North"
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    random = np.random.default_rng(abs(hash((patient, study))) % 2**32)
    dataset.PixelData = random.integers(0, 4096, (frames, 16, 16), dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Twelve patients, one study each, one object without ending and one of three frames."""
    folder = tmp_path / "scans"
    rows = []
    for number in range(12):
        study = f"1.2.3.{number}"
        frames = 3 if number == 0 else 1
        sop = write_dicom(folder / f"p{number}" / f"IM{number}", f"PAT{number:02d}", study, frames)
        rows.append(
            (f"PAT{number:02d}", study, sop, f"IM{number}", "ill" if number % 2 else "well")
        )
    names = ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "file", "finding"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "labels.csv", index=False)
    return folder


def labels_with(folder: Path, *columns: str) -> Path:
    """The table of labels with only some of its key columns."""
    table = pd.read_csv(folder.parent / "labels.csv", dtype=str)[[*columns, "finding"]]
    path = folder.parent / "some.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("key", ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "file"])
def test_labels_are_joined_by_each_key(scans: Path, key: str) -> None:
    dataset = read_dataset(scans, labels=labels_with(scans, key))
    assert len(dataset.table) == 14
    assert dataset.table["patient_id"].nunique() == 12
    assert dataset.patients_known
    right = dataset.table["patient_id"].str[-2:].astype(int) % 2 == 1
    assert (dataset.table["finding"].eq("ill") == right).all()


def test_facts_come_from_the_header_and_names_never(scans: Path) -> None:
    dataset = read_dataset(scans, labels=labels_with(scans, "PatientID"))
    row = dataset.table.iloc[0]
    assert (row["sex"], row["age"], row["site"], row["modality"]) == ("F", "63", "North", "CT")
    text = dataset.table.to_csv() + "\n".join(dataset.notes)
    assert "Nosuch" not in text
    assert "19500101" not in text


def test_each_frame_is_a_row_and_they_stay_together(scans: Path) -> None:
    dataset = read_dataset(scans, labels=labels_with(scans, "StudyInstanceUID"))
    frames = dataset.table[dataset.table["patient_id"] == "PAT00"]
    assert frames["frame"].tolist() == [0, 1, 2]
    assert frames["image_id"].tolist() == ["p0/IM0#0", "p0/IM0#1", "p0/IM0#2"]
    done, _ = assign_splits(dataset, seed=0)
    assert shared_patients(done.table) == []


def test_unmatched_rows_on_either_side_are_listed(scans: Path) -> None:
    table = pd.read_csv(scans.parent / "labels.csv", dtype=str)[["PatientID", "finding"]]
    table.loc[11, "PatientID"] = "PAT99"
    table.to_csv(scans.parent / "labels.csv", index=False)
    dataset = read_dataset(scans, labels=scans.parent / "labels.csv")
    notes = "\n".join(dataset.notes)
    assert "1 image without a row in the table left out: p11/IM11." in notes
    assert "1 row of the table without an image: PAT99." in notes
    assert len(dataset.table) == 13
    assert (dataset.unmatched_images, dataset.unmatched_rows) == (("p11/IM11",), ("PAT99",))
    found = {finding.code: finding for finding in find_leakage(dataset)}
    assert found["images_without_label"].image_ids == ("p11/IM11",)
    assert found["labels_without_image"].image_ids == ("PAT99",)


def test_columns_that_differ_within_a_patient_say_nothing_of_the_patient(scans: Path) -> None:
    table = pd.read_csv(scans.parent / "labels.csv", dtype=str)[["PatientID", "finding"]]
    table = pd.concat([table, table]).assign(weight=range(24), ward=[*range(12)] * 2)
    table.to_csv(scans.parent / "labels.csv", index=False)
    dataset = read_dataset(scans, labels=scans.parent / "labels.csv")
    assert "ward" in dataset.facts
    assert "weight" not in dataset.facts
    assert any("differ in it: weight" in note for note in dataset.notes)
    table.assign(split=["train"] * 12 + ["test"] * 12).to_csv(
        scans.parent / "labels.csv", index=False
    )
    with pytest.raises(ManifestError, match="agree in column 'split'"):
        read_dataset(scans, labels=scans.parent / "labels.csv")


def test_nothing_matches(scans: Path) -> None:
    path = scans.parent / "strange.csv"
    path.write_text("case,finding\na,ill\nb,well\n")
    with pytest.raises(ManifestError, match="must name images by PatientID"):
        read_dataset(scans, labels=path)
    with pytest.raises(ManifestError, match="Did you mean"):
        read_dataset(scans, labels=path, join_column="cas")


def test_two_labels_for_one_patient(scans: Path) -> None:
    path = scans.parent / "twice.csv"
    path.write_text("PatientID,finding\nPAT00,ill\nPAT00,well\nPAT01,ill\n")
    with pytest.raises(ManifestError, match="One PatientID has one label in the table, got 1 with"):
        read_dataset(scans, labels=path)


def test_a_join_column_of_any_name(scans: Path) -> None:
    table = pd.read_csv(scans.parent / "labels.csv", dtype=str)
    path = scans.parent / "odd.csv"
    table.rename(columns={"StudyInstanceUID": "case"})[["case", "finding"]].to_csv(
        path, index=False
    )
    for options in ({}, {"join_column": "case"}):
        dataset = read_dataset(scans, labels=path, **options)
        assert len(dataset.table) == 14
        assert any("joined by StudyInstanceUID, column 'case'" in note for note in dataset.notes)


def test_class_folders_of_dicom_know_their_patients(tmp_path: Path) -> None:
    for number in range(8):
        label = "ill" if number % 2 else "well"
        write_dicom(tmp_path / "data" / label / f"{number}.dcm", f"P{number // 4}", f"1.2.{number}")
    dataset = read_dataset(tmp_path / "data")
    assert dataset.patients_known
    assert sorted(dataset.table["patient_id"].unique()) == ["P0", "P1"]
    assert "studyinstanceuid" in dataset.facts


def test_ordinary_pictures_with_a_table(tmp_path: Path) -> None:
    from PIL import Image

    rows = []
    for number in range(6):
        path = tmp_path / "pictures" / "sub" / f"a{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * number).save(path)
        rows.append((f"a{number}", "ill" if number % 2 else "well", f"p{number // 2}"))
    columns = ["image", "label", "who"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "labels.csv", index=False)
    source = {"labels": tmp_path / "labels.csv", "patient_column": "who"}
    dataset = read_dataset(tmp_path / "pictures", **source)
    assert dataset.table["patient_id"].tolist() == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert dataset.table["label"].tolist() == ["well", "ill"] * 3


def test_pseudonyms_replace_every_id(scans: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    options = {"labels": labels_with(scans, "PatientID"), "pseudonymise": key}
    first = read_dataset(scans, **options)
    again = read_dataset(scans, **options)
    ids = first.table.drop(columns="image_path")
    assert ids.equals(again.table.drop(columns="image_path"))
    assert first.table["patient_id"].nunique() == 12
    assert first.table["image_id"].is_unique
    text = ids.to_csv() + "\n".join(first.notes)
    assert "PAT" not in text
    assert "1.2.3." not in text
    assert any("A new key was written" in note for note in first.notes)
    assert key.stat().st_mode & 0o077 == 0
    key.write_text("short")
    with pytest.raises(UsageError, match="hexadecimal digits"):
        read_dataset(scans, **options)


def test_pseudonyms_replace_the_ids_of_a_table_too(scans: Path, tmp_path: Path) -> None:
    table = pd.read_csv(tmp_path / "labels.csv", dtype=str)
    table["path"] = "scans/p" + table.index.astype(str) + "/" + table["file"]
    table["AccessionNumber"] = "ACC" + table.index.astype(str)
    table["MRN"] = "M-" + table["PatientID"]
    table.to_csv(tmp_path / "manifest.csv", index=False)
    labels = {"labels": tmp_path / "manifest.csv"}
    for source, options in ((tmp_path / "manifest.csv", {}), (scans, labels)):
        plain = read_dataset(source, **options)
        hashed = read_dataset(source, **options, pseudonymise=tmp_path / "key")
        assert {"AccessionNumber", "MRN"} <= set(hashed.facts)
        shown = plain.table.drop(columns="image_path").to_csv()
        hidden = hashed.table.drop(columns="image_path").to_csv()
        for word in ("PAT", "ACC", "1.2.3.", "IM1"):
            assert word in shown
            assert word not in hidden


def test_labels_of_objects_are_not_lent_to_others_of_the_patient(
    scans: Path, tmp_path: Path
) -> None:
    for number in range(12):
        write_dicom(scans / f"p{number}" / "other", f"PAT{number:02d}", f"1.2.4.{number}")
    dataset = read_dataset(scans, labels=tmp_path / "labels.csv")
    assert len(dataset.table) == 14
    assert not dataset.table["image_id"].str.endswith("other").any()
    assert any("joined by SOPInstanceUID" in note for note in dataset.notes)
    dataset = read_dataset(scans, labels=tmp_path / "labels.csv", join_column="PatientID")
    assert len(dataset.table) == 26


def test_a_message_shows_no_name_of_the_table(scans: Path, tmp_path: Path) -> None:
    path = tmp_path / "strange.csv"
    path.write_text("Patient Name,birth_date,case,finding\nSecret,1970-01-02,a,ill\nB,,b,well\n")
    with pytest.raises(ManifestError, match="got a in its first row") as caught:
        read_dataset(scans, labels=path)
    assert "Secret" not in str(caught.value)
    assert "1970" not in str(caught.value)


def test_a_newborn_has_an_age(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "data" / ("ill" if number % 2 else "well") / f"{number}.dcm"
        write_dicom(path, f"P{number}", f"1.2.{number}", PatientAge="000D")
    assert read_dataset(tmp_path / "data").table["age"].tolist() == ["0"] * 4


def test_options_that_mean_nothing_are_refused(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--join-column"):
        read_dataset(scans, join_column="x")
    (tmp_path / "m.csv").write_text("image,label\na,b\n")
    with pytest.raises(UsageError, match="--labels"):
        read_dataset(tmp_path / "m.csv", labels=tmp_path / "m.csv")


def test_real_dicom_files(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom" / "src" / "pydicom" / "data" / "test_files" / "dicomdirtests"
    path = tmp_path / "labels.csv"
    path.write_text("PatientID,finding\n77654033,a\n98890234,b\n")
    dataset = read_dataset(folder, labels=path)
    assert dataset.table["patient_id"].isin(["77654033", "98890234"]).all()
    assert len(dataset.table) > 20
    assert any("without pixels left out" in note for note in dataset.notes)
