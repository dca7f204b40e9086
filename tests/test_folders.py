"""Folders of images: class folders, split folders, what is passed over, and patients by pattern."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from pellucid.data.index import read_dataset
from pellucid.data.listing import natural_key
from pellucid.errors import DataError, UsageError

ROWS = {"normal": ["p1_1.png", "p2_1.png", "p10_1.png"], "ill": ["p3_1.png", "p3_2.png"]}


def png() -> bytes:
    buffer = BytesIO()
    Image.new("L", (3, 2), 7).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def fill(root: Path, rows: dict[str, list[str]] = ROWS) -> Path:
    for folder, names in rows.items():
        for name in names:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG)
    return root


def test_one_subfolder_a_class(tmp_path: Path) -> None:
    dataset = read_dataset(fill(tmp_path / "lungs"))
    assert dataset.table["image_id"].tolist() == [
        "ill/p3_1.png",
        "ill/p3_2.png",
        "normal/p1_1.png",
        "normal/p2_1.png",
        "normal/p10_1.png",
    ]
    assert dataset.name == "lungs"
    assert dataset.task.names == ("label",)
    assert dataset.task.targets[0].classes == ("ill", "normal")
    assert dataset.codes().ravel().tolist() == [0, 0, 1, 1, 1]
    assert all(Path(path).is_absolute() for path in dataset.table["image_path"])
    assert not dataset.patients_known
    assert not dataset.synthetic
    assert "split" not in dataset.table
    assert dataset.table["patient_id"].tolist() == dataset.table["image_id"].tolist()


def test_describe_says_who_chose_the_positive_class(tmp_path: Path) -> None:
    fill(tmp_path)
    assert "positive: normal (by default" in read_dataset(tmp_path).describe()
    chosen = read_dataset(tmp_path, positive="ill")
    assert chosen.task.targets[0].classes == ("normal", "ill")
    assert "positive: ill (chosen by you)" in chosen.describe()
    assert "no patients known: each image counts as its own patient" in chosen.describe()


@pytest.mark.parametrize("validation", ["val", "Valid", "VALIDATION"])
def test_split_folders(tmp_path: Path, validation: str) -> None:
    for split in ("train", validation, "Test"):
        fill(tmp_path / split)
    dataset = read_dataset(tmp_path)
    assert dataset.table["split"].value_counts().to_dict() == {
        "train": 5,
        "validation": 5,
        "test": 5,
    }
    assert dataset.task.targets[0].classes == ("ill", "normal")
    assert dataset.table["image_id"].is_unique


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    dataset = read_dataset(fill(tmp_path, {"test": ["a.png"], "control": ["b.png"]}))
    assert dataset.task.targets[0].classes == ("control", "test")
    assert "split" not in dataset.table


def test_a_folder_beside_split_folders_is_passed_over_and_said(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split)
    fill(tmp_path, {"extra": ["x.png"], "__MACOSX": ["x.png"]})
    dataset = read_dataset(tmp_path)
    assert len(dataset.table) == 10
    assert dataset.notes == ("Beside the split folders extra was passed over.",)


def test_subfolders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    rows = {"ill/patient7": ["1.png"], "ill/patient8": ["1.png"], "normal/patient9": ["1.png"]}
    dataset = read_dataset(fill(tmp_path, rows), patient_pattern=r"/(patient\d)/")
    assert dataset.table["label"].tolist() == ["ill", "ill", "normal"]
    assert dataset.table["patient_id"].tolist() == ["patient7", "patient8", "patient9"]


def test_hidden_files_and_documents_are_passed_over_but_doubtful_images_stay(
    tmp_path: Path,
) -> None:
    fill(tmp_path)
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / ".git").mkdir()
    for name in (".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / "ill" / name).write_text("no image")
    (tmp_path / "ill" / "text.png").write_text("no image either")
    (tmp_path / "ill" / "IM0001").write_bytes(PNG)
    dataset = read_dataset(tmp_path)
    assert {"ill/text.png", "ill/IM0001"} <= set(dataset.table["image_id"])
    assert len(dataset.table) == 7
    assert dataset.notes == ("1 document(s) that are no images were passed over.",)


def test_links_out_of_the_folder_are_passed_over_and_said(tmp_path: Path) -> None:
    root = fill(tmp_path / "data")
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    (root / "ill" / "link.png").symlink_to(secret)
    (root / "ill" / "inside.png").symlink_to(root / "ill" / "p3_1.png")
    (root / "ill" / "loop").symlink_to(root)
    fill(tmp_path / "elsewhere", {"third": ["a.png"]})
    (root / "third").symlink_to(tmp_path / "elsewhere" / "third")
    dataset = read_dataset(root)
    assert "ill/inside.png" in set(dataset.table["image_id"])
    assert not dataset.table["image_id"].str.contains("link.png|loop|third").any()
    assert sum("link" in note for note in dataset.notes) == 2


def test_file_names_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "ill") + b"/\xff.png")).write_bytes(PNG)
    except OSError:
        pytest.skip("this file system takes only valid names")
    dataset = read_dataset(tmp_path)
    assert len(dataset.table) == 5
    assert "not valid text" in dataset.notes[0]


def test_odd_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["benign (2).png", "benign (10).png", "Ünïcode, with comma.png", "a'b\".png"]
    dataset = read_dataset(fill(tmp_path, {"b": names, "a": ["x.png"]}))
    assert set(dataset.table["image_id"]) == {"a/x.png", *(f"b/{name}" for name in names)}


def test_an_empty_class_folder_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "none").mkdir()
    dataset = read_dataset(tmp_path)
    assert dataset.task.targets[0].classes == ("ill", "normal")
    assert dataset.notes == ("The folder none holds no image and is no class.",)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such folder or file, got .*nowhere"):
        read_dataset(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one subfolder a class, got the empty folder"):
        read_dataset(tmp_path)


def test_class_folders_without_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"must hold images, got no image below .*a, b"):
        read_dataset(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(PNG)
    with pytest.raises(DataError, match="with 1 file and no subfolder"):
        read_dataset(tmp_path)


def test_one_class_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two class folders, got only ill"):
        read_dataset(fill(tmp_path, {"ill": ["a.png"]}))


def test_one_class_with_images(tmp_path: Path) -> None:
    fill(tmp_path, {"ill": ["a.png"]})
    (tmp_path / "well").mkdir()
    with pytest.raises(DataError, match="needs at least two classes, got only 'ill'"):
        read_dataset(tmp_path)


def test_a_folder_with_a_manifest_points_to_it(tmp_path: Path) -> None:
    fill(tmp_path, {"images": ["a.png"]})
    (tmp_path / "metadata.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"Perhaps you mean the manifest .*metadata\.csv"):
        read_dataset(tmp_path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "slides.pptx"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"must be a folder, a manifest .* got .*pptx"):
        read_dataset(path)


def test_options_without_effect_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UsageError, match="--patient-column has no meaning for a folder"):
        read_dataset(tmp_path, patient_column="patient")
    with pytest.raises(UsageError, match="--label-column has no meaning"):
        read_dataset(tmp_path, label_columns=["finding"])
    with pytest.raises(UsageError, match="--patients has no meaning"):
        read_dataset(tmp_path, patients="p.csv")


def test_patients_from_the_file_name(tmp_path: Path) -> None:
    fill(tmp_path)
    grouped = read_dataset(tmp_path, patient_pattern=r"(p\d+)_\d")
    assert grouped.patients_known
    assert grouped.table["patient_id"].tolist() == ["p3", "p3", "p1", "p2", "p10"]
    whole = read_dataset(tmp_path, patient_pattern=r"p\d+")
    assert whole.table["patient_id"].tolist() == grouped.table["patient_id"].tolist()
    either = read_dataset(tmp_path, patient_pattern=r"^(p3)_|^(p\d+)_")
    assert either.table["patient_id"].tolist() == grouped.table["patient_id"].tolist()
    assert "5 images, 4 patients" in grouped.describe()


def test_the_folder_is_not_part_of_the_file_name(tmp_path: Path) -> None:
    rows = {"p1": ["x7.png"], "p2": ["x8.png"]}
    with pytest.raises(DataError, match="2 of 2 that do not"):
        read_dataset(fill(tmp_path, rows), patient_pattern=r"p\d")


def test_file_names_without_a_patient_are_listed(tmp_path: Path) -> None:
    fill(tmp_path, {**ROWS, "odd": ["scan.png"]})
    with pytest.raises(DataError, match=r"1 of 6 that do not, such as odd/scan\.png"):
        read_dataset(tmp_path, patient_pattern=r"p\d+")


def test_a_pattern_that_is_no_expression(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a regular expression, got"):
        read_dataset(fill(tmp_path), patient_pattern="(p")


def test_merged_classes(tmp_path: Path) -> None:
    rows = {"normal": ["a.png"], "benign": ["b.png"], "malignant": ["c.png"]}
    dataset = read_dataset(
        fill(tmp_path, rows),
        merge={"normal_benign": ("normal", "benign")},
        positive="malignant",
    )
    assert dataset.task.targets[0].classes == ("normal_benign", "malignant")
    assert dataset.task.merge == {"normal_benign": ("normal", "benign")}
    assert sorted(dataset.table["label"]) == ["malignant", "normal_benign", "normal_benign"]


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"x": ("normal", "benin")}, "got 'benin'. Did you mean \"benign\""),
        ({"malignant": ("normal", "benign")}, "a name of its own"),
    ],
)
def test_a_wrong_merge(tmp_path: Path, merge: dict[str, tuple[str, ...]], message: str) -> None:
    rows = {"normal": ["a.png"], "benign": ["b.png"], "malignant": ["c.png"]}
    with pytest.raises(UsageError, match=message):
        read_dataset(fill(tmp_path, rows), merge=merge)


def test_a_merge_that_leaves_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least two classes, got only 'all'\. Check the merge"):
        read_dataset(fill(tmp_path), merge={"all": ("normal", "ill")})


def test_a_positive_class_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got 'norml'\. Did you mean .normal."):
        read_dataset(fill(tmp_path), positive="norml")


def test_two_logits(tmp_path: Path) -> None:
    assert read_dataset(fill(tmp_path)).task.n_logits == 1
    assert read_dataset(tmp_path, two_logits=True).task.n_logits == 2


def test_natural_order() -> None:
    assert sorted(["a10", "a2", "B1", "a"], key=natural_key) == ["a", "a2", "a10", "B1"]
    assert sorted(["1a", "a1", "01a"], key=natural_key) == ["01a", "1a", "a1"]


def test_chest_xray(shared_data: Path) -> None:
    dataset = read_dataset(
        shared_data / "chest_xray",
        patient_pattern=r"(person\d+|(?:NORMAL2-)?IM-\d+)",
        positive="PNEUMONIA",
    )
    assert len(dataset.table) == 4436
    assert dataset.table["patient_id"].nunique() == 2421
    assert dataset.task.targets[0].classes == ("NORMAL", "PNEUMONIA")


def test_breast_ultrasound_and_others(shared_data: Path) -> None:
    merge = {"normal_benign": ("normal", "benign")}
    breast = read_dataset(shared_data / "breast_ultrasound", merge=merge, positive="malignant")
    assert breast.table["label"].value_counts().to_dict() == {
        "normal_benign": 450,
        "malignant": 163,
    }
    assert len(read_dataset(shared_data / "mednist").task.targets[0].classes) == 6
    assert read_dataset(shared_data / "retinal_oct").task.n_logits == 4
