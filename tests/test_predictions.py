"""The predictions table: what is filled in, and one plain message for each wrong table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.errors import PredictionsError
from pellucid.evaluation.predictions import (
    build_predictions,
    check_predictions,
    read_predictions,
    save_predictions,
    task_from_predictions,
)
from pellucid.task import Target
from tables import make_table


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_survives_its_file(tmp_path: Path, ending: str) -> None:
    table = check_predictions(make_table(20))
    path = save_predictions(table, tmp_path / f"p{ending}")
    back = read_predictions(path)
    assert back["image_id"].tolist()[:2] == ["000", "001"]
    for name in ("probability_no", "probability_yes"):
        assert back[name].to_numpy() == pytest.approx(table[name].to_numpy(), rel=1e-8)


def test_only_labels_and_probabilities_are_needed(tmp_path: Path) -> None:
    made = make_table(10)[["y_true", "probability_no", "probability_yes"]]
    made.to_csv(tmp_path / "p.csv", index=False)
    table = read_predictions(tmp_path / "p.csv")
    assert table["image_id"].is_unique
    assert (table["patient_id"] == table["image_id"]).all()
    assert set(table["split"]) == {"test"}
    assert set(table["target"]) == {"label"}


def test_one_logit_gives_the_probabilities_of_both_classes() -> None:
    target = Target(name="label", classes=("no", "yes"))
    codes = np.array([1, 0, -1])
    logits = np.array([[0.0], [800.0], [1.0]])
    table = build_predictions(list("abc"), list("xyz"), "test", target, codes, logits)
    assert table["image_id"].tolist() == ["a", "b"]
    assert table["y_true"].tolist() == ["yes", "no"]
    assert table["logit_yes"].tolist() == [0.0, 800.0]
    assert "logit_no" not in table
    assert table["probability_no"].tolist() == [0.5, 0.0]
    kept = build_predictions(
        list("abc"), list("xyz"), "", target, codes, logits, keep_unlabelled=True
    )
    assert kept["y_true"].isna().tolist() == [False, False, True]


def test_facts_stand_beside() -> None:
    target = Target(name="label", classes=("no", "yes"))
    facts = pd.DataFrame({"sex": ["F", "M"]}, index=[7, 9])
    codes = np.array([0, 1])
    table = build_predictions(["a", "b"], ["x", "y"], "test", target, codes, np.eye(2)[:1].T, facts)
    assert table["sex"].tolist() == ["F", "M"]


def test_classes_are_read_from_the_columns_and_the_positive_stands_last() -> None:
    task = task_from_predictions(check_predictions(make_table(10)), positive="no")
    assert task.targets[0].classes == ("yes", "no")
    assert task.targets[0].positive_source == "user"


def broken(**changes: object) -> pd.DataFrame:
    return make_table(10).assign(**changes)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (make_table(10).iloc[:0], "at least one row"),
        (make_table(10).drop(columns="y_true"), "needs the column y_true"),
        (make_table(10).drop(columns="probability_no"), "two classes"),
        (make_table(10).rename(columns={"y_true": "y_treu"}), 'Did you mean "y_treu"'),
        (broken(probability_yes=0.9, probability_no=0.2), r"must sum to 1.*1\.1"),
        (broken(probability_yes=90.0, probability_no=10.0), r"must be in \[0, 1\]"),
        (broken(probability_yes=float("nan")), "at least two classes"),
        (broken(y_true="maybe"), "'maybe'"),
        (broken(image_id="same"), "stands once"),
        (broken(split="../../test"), r"Every split must be one of .*'\.\./\.\./test'"),
        (broken(split="tset"), 'Did you mean "test"'),
    ],
)
def test_wrong_tables(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        check_predictions(table)


def test_a_single_unknown_probability() -> None:
    table = make_table(10)
    table.loc[3, "probability_yes"] = float("nan")
    with pytest.raises(PredictionsError, match="first '003'"):
        check_predictions(table)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="no predictions table"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\x00\xff\xfe\x01" * 50)
    with pytest.raises(PredictionsError):
        read_predictions(tmp_path / "bytes.csv")
    (tmp_path / "bytes.parquet").write_bytes(b"\x00\xff\xfe\x01" * 50)
    with pytest.raises(PredictionsError, match="not a readable table"):
        read_predictions(tmp_path / "bytes.parquet")
    with pytest.raises(PredictionsError, match=r"\.csv or \.parquet"):
        save_predictions(make_table(3), tmp_path / "p.xlsx")


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    make_table(20).assign(probability_yes=0.9).to_csv(tmp_path / "theirs.csv", index=False)
    with pytest.raises(PredictionsError, match=r"^theirs.csv: The probabilities of an image must"):
        read_predictions(tmp_path / "theirs.csv")


def test_a_row_without_its_image_id_is_refused() -> None:
    table = make_table(20)
    table.loc[[3, 4], "image_id"] = None
    with pytest.raises(PredictionsError, match=r"2 rows without one, first row 4"):
        check_predictions(table)


def test_an_image_without_a_patient_is_not_taken_for_a_patient_of_the_same_name() -> None:
    table = make_table(20).assign(
        image_id=[str(k) for k in range(20)], patient_id=[str(k // 2) for k in range(20)]
    )
    table.loc[3, "patient_id"] = None
    checked = check_predictions(table)
    assert checked["patient_id"].nunique() == 11
    assert checked["patient_id"].tolist()[:4] == ["0", "0", "1", "image 3"]
    assert check_predictions(checked)["patient_id"].equals(checked["patient_id"])


def test_facts_that_cannot_be_compared_become_text(tmp_path: Path) -> None:
    table = make_table(20).assign(boxes=[[1, 2], [3]] * 10)
    table.to_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet")["boxes"].nunique() == 2


def test_a_positive_class_among_several_is_refused_without_a_useless_hint() -> None:
    table = check_predictions(make_table(30, ("a", "b", "c")))
    with pytest.raises(PredictionsError, match="no target has two") as caught:
        task_from_predictions(table, "a")
    assert "Did you mean" not in str(caught.value)
