"""Manifests: roles of columns, text that stays text, missing labels, and everything wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pellucid.data.index import read_dataset
from pellucid.data.manifest import read_table
from pellucid.errors import DataError, ManifestError, UsageError

TABLE = """filename,patient_id,finding,age,note
images/1.png,001,ill,63,
images/2.png,001,well,63,NA
images/3.png,002,ill,,
images/4.png,003,well,40,x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(1, 31):
        Image.new("L", (2, 2), number).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(labels: list[str], column: str = "label") -> str:
    lines = [f"images/{number}.png,{label}" for number, label in enumerate(labels, 1)]
    return f"path,{column}\n" + "\n".join(lines) + "\n"


def test_columns_found_by_their_names(folder: Path) -> None:
    dataset = read_dataset(write(folder, TABLE))
    assert list(dataset.table.columns) == [
        "image_id",
        "image_path",
        "frame",
        "patient_id",
        "finding",
        "age",
        "note",
    ]
    assert dataset.table["patient_id"].tolist() == ["001", "001", "002", "003"]
    assert dataset.patients_known
    assert dataset.facts == ("age", "note")
    assert dataset.table["age"].tolist()[0] == "63"
    assert pd.isna(dataset.table["age"].iloc[2])
    assert dataset.table["note"].iloc[1] == "NA"
    assert dataset.table["image_path"].iloc[0] == str(folder / "images" / "1.png")
    assert dataset.task.targets[0].name == "finding"
    assert "The labels are those of column 'finding'" in dataset.describe()
    assert "The patients are those of column 'patient_id'" in dataset.describe()


def test_columns_named_by_the_user(folder: Path) -> None:
    text = "scan,who,result,side\nimages/1.png,a,x,left\nimages/2.png,b,y,right\n"
    dataset = read_dataset(
        write(folder, text), image_column="scan", label_columns=["result"], patient_column="who"
    )
    assert dataset.table["result"].tolist() == ["x", "y"]
    assert dataset.table["patient_id"].tolist() == ["a", "b"]
    assert dataset.facts == ("side",)
    assert dataset.notes == ()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_a_byte_order_mark(folder: Path, separator: str) -> None:
    text = "\ufeff" + TABLE.replace(",", separator)
    assert read_dataset(write(folder, text)).table["finding"].tolist()[0] == "ill"


def test_windows_paths_and_white_space(folder: Path) -> None:
    text = "path , label\nimages\\1.png, a \n./images//2.png,b\n"
    dataset = read_dataset(write(folder, text))
    assert dataset.table["image_id"].tolist() == ["images/1.png", "images/2.png"]
    assert dataset.table["label"].tolist() == ["a", "b"]


def test_paths_above_the_manifest_and_absolute_ones_are_allowed(folder: Path) -> None:
    (folder / "tables").mkdir()
    first, second = folder / "images" / "1.png", "../images/2.png"
    dataset = read_dataset(write(folder / "tables", f"path,label\n{first},a\n{second},b\n"))
    assert dataset.table["image_path"].tolist()[1] == str(folder / "images" / "2.png")


def test_several_targets_with_missing_labels(folder: Path) -> None:
    text = "path,grade,side,bare\nimages/1.png,1,l,\nimages/2.png,,r,\nimages/3.png,2,,\n"
    text += "images/4.png,10,l,\nimages/5.png,,,\n"
    dataset = read_dataset(write(folder, text), label_columns=["grade", "side"], positive="l")
    assert dataset.task.names == ("grade", "side")
    assert dataset.task.targets[0].classes == ("1", "2", "10")
    assert dataset.task.targets[1].classes == ("r", "l")
    assert [target.positive_source for target in dataset.task.targets] == ["default", "user"]
    assert dataset.task.n_logits == 4
    assert dataset.codes().tolist() == [[0, 1], [-1, 0], [1, -1], [2, 1]]
    assert "1 row without any label left out." in dataset.notes
    assert "without a label 1" in dataset.describe()


def test_a_positive_class_of_no_target(folder: Path) -> None:
    text = "path,a,b\nimages/1.png,x,u\nimages/2.png,y,v\n"
    with pytest.raises(UsageError, match=r"got 'w'\. Known: x, y, u, v"):
        read_dataset(write(folder, text), label_columns=["a", "b"], positive="w")


def test_a_merge_reaches_every_target_that_has_the_classes(folder: Path) -> None:
    text = "path,a,b\nimages/1.png,no,no\nimages/2.png,low,high\nimages/3.png,high,no\n"
    merge = {"yes": ("low", "high")}
    dataset = read_dataset(write(folder, text), label_columns=["a", "b"], merge=merge)
    assert [target.classes for target in dataset.task.targets] == [("no", "yes")] * 2


def test_given_splits(folder: Path) -> None:
    text = "path,label,split\nimages/1.png,a,train\nimages/2.png,b,Val\nimages/3.png,b,TEST\n"
    dataset = read_dataset(write(folder, text))
    assert dataset.table["split"].tolist() == ["train", "validation", "test"]
    assert "given splits: train 1, validation 1, test 1" in dataset.describe()


def test_a_column_split_of_another_meaning_is_a_fact(folder: Path) -> None:
    text = "path,label,split,target\nimages/1.png,a,left,1\nimages/2.png,b,right,2\n"
    dataset = read_dataset(write(folder, text), label_columns=["label"])
    assert "split" not in dataset.table
    assert dataset.facts == ("manifest_split", "manifest_target")
    assert any("Renamed" in note for note in dataset.notes)
    with pytest.raises(ManifestError, match="must say train, validation, test"):
        read_dataset(write(folder, text), label_columns=["label"], split_column="split")


def test_some_rows_without_a_patient(folder: Path) -> None:
    text = "path,label,patient\nimages/1.png,a,7\nimages/2.png,b,\nimages/3.png,b,7\n"
    dataset = read_dataset(write(folder, text))
    assert dataset.table["patient_id"].tolist() == ["7", "images/2.png", "7"]
    assert dataset.patients_known
    assert any("1 image of 3 have no patient" in note for note in dataset.notes)


def test_patients_by_pattern(folder: Path) -> None:
    dataset = read_dataset(write(folder, rows(["a", "b"])), patient_pattern=r"\d+")
    assert dataset.table["patient_id"].tolist() == ["1", "2"]
    with pytest.raises(UsageError, match="not from both"):
        read_dataset(write(folder, TABLE), patient_column="patient_id", patient_pattern=r"\d+")


def test_parquet(folder: Path) -> None:
    table = pd.DataFrame(
        {
            "path": ["images/1.png", "images/2.png", "images/3.png"],
            "label": [1, 0, 1],
            "patient": ["001", "002", "002"],
            "age": [63.0, np.nan, 41.0],
            "dose": [0.5, 1.0, 1.5],
        }
    )
    table.to_parquet(folder / "table.parquet")
    dataset = read_dataset(folder / "table.parquet")
    assert dataset.table["patient_id"].tolist() == ["001", "002", "002"]
    assert dataset.task.targets[0].classes == ("0", "1")
    assert dataset.table["age"].dropna().tolist() == ["63", "41"]
    assert dataset.table["dose"].tolist() == ["0.5", "1.0", "1.5"]


def test_listed_classes_give_the_order(folder: Path) -> None:
    path = write(folder, rows(["mild", "none", "severe", "none"]))
    dataset = read_dataset(path, classes=["none", "mild", "severe"])
    assert dataset.task.targets[0].classes == ("none", "mild", "severe")


def test_a_label_that_is_not_in_the_list(folder: Path) -> None:
    path = write(folder, rows(["mild", "nnone", "none"]))
    with pytest.raises(ManifestError, match=r"got 'nnone' \(1 row.*Did you mean \"none\""):
        read_dataset(path, classes=["none", "mild"])


def test_a_named_column_that_is_missing(folder: Path) -> None:
    path = write(folder, TABLE)
    with pytest.raises(ManifestError, match=r"got 'findng'\. Did you mean .finding."):
        read_dataset(path, label_columns=["findng"])
    with pytest.raises(ManifestError, match=r"got 'patiend_id'\. Did you mean .patient_id."):
        read_dataset(path, patient_column="patiend_id")


def test_columns_that_cannot_be_found(folder: Path) -> None:
    with pytest.raises(ManifestError, match="Name it with --image-column"):
        read_dataset(write(folder, "scan,label\nimages/1.png,a\n"))
    with pytest.raises(ManifestError, match="Name it with --label-column"):
        read_dataset(write(folder, "path,result\nimages/1.png,a\n"))
    with pytest.raises(ManifestError, match="not plain which one"):
        read_dataset(write(folder, "path,label,class\nimages/1.png,a,b\n"))


def test_paths_that_do_not_exist(folder: Path) -> None:
    text = "path,label\n" + "".join(f"images/{n}.png,{'ab'[n % 2]}\n" for n in range(28, 38))
    with pytest.raises(ManifestError, match=r"7 of 10 that do not: images/31\.png, .* 2 more"):
        read_dataset(write(folder, text))
    with pytest.raises(ManifestError, match="1 of 2 that do not: images"):
        read_dataset(write(folder, "path,label\nimages,a\nimages/1.png,b\n"))


def test_rows_without_a_path(folder: Path) -> None:
    with pytest.raises(ManifestError, match="1 row without, the first in row 2"):
        read_dataset(write(folder, "path,label\nimages/1.png,a\n,b\n"))


def test_two_rows_for_one_image(folder: Path) -> None:
    text = "path,label\nimages/1.png,a\nimages/../images/1.png,b\nimages/2.png,b\n"
    with pytest.raises(ManifestError, match=r"one row .* got 1 with two or more: images/1\.png"):
        read_dataset(write(folder, text))


def test_one_class_only(folder: Path) -> None:
    with pytest.raises(DataError, match="at least two classes, got only 'a'"):
        read_dataset(write(folder, rows(["a", "a"])))


def test_a_column_without_any_label(folder: Path) -> None:
    with pytest.raises(DataError, match="at least two classes, got no label at all"):
        read_dataset(write(folder, rows(["", ""])))


def test_a_label_column_that_is_the_image_path(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"one role .* got path in more than one"):
        read_dataset(write(folder, rows(["a", "b"])), label_columns=["path"])
    copies = [f"images/{number}.png" for number in range(1, 31)]
    with pytest.raises(ManifestError, match="almost as many values as rows, got 30 values"):
        read_dataset(write(folder, rows(copies)))


def test_a_label_column_that_is_a_measurement(folder: Path) -> None:
    sizes = [f"{number % 12 + 0.5}" for number in range(30)]
    with pytest.raises(ManifestError, match="it is a measurement, got 12 different numbers"):
        read_dataset(write(folder, rows(sizes)))


def test_a_label_column_with_a_reserved_name(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot be named .* got 'frame'"):
        read_dataset(write(folder, rows(["a", "b"], "frame")), label_columns=["frame"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"path,label\n", "at least one row under its header"),
        (b"path,label\n\n\n", "at least one row under its header"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe" * 20, "must be a CSV table in UTF-8"),
        (b"path,label,label\na,b,c\n", "Column names must differ, got label more than once"),
        (b"path,label\na,b,c\n", "must have 2 cells, got 3 in row 2"),
        (b'path,label\n"a,b\n', "must be a CSV table, got"),
        (b"\x00\x01\x02\x00", "must be a CSV table"),
    ],
)
def test_tables_that_cannot_be_read(folder: Path, content: bytes, message: str) -> None:
    path = folder / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_dataset(path)


def test_a_parquet_file_that_is_none(folder: Path) -> None:
    path = folder / "table.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(ManifestError, match="must be a Parquet table"):
        read_dataset(path)
    with pytest.raises(ManifestError, match="No such table"):
        read_table(folder / "none.csv")


def test_covid_xray(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "covid_xray" / "metadata.csv")
    assert len(dataset.table) == 101
    assert dataset.table["patient_id"].nunique() == 54
    assert dataset.task.names == ("finding",)
    assert {"sex", "age", "view", "license"} <= set(dataset.facts)


def test_an_empty_cell_among_splits_is_refused_and_not_taken_for_a_fact(folder: Path) -> None:
    text = "path,label,split\nimages/1.png,a,train\nimages/2.png,b,\nimages/3.png,a,test\n"
    with pytest.raises(ManifestError, match="an empty cell"):
        read_dataset(write(folder, text))
