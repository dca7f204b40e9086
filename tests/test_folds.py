"""Folds, repeated folds and one site left out: disjoint by patient, and read back by `train`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decoded import make_dataset
from pellucid.data.folds import cut_into_folds, folds_by_patient, leave_one_out
from pellucid.data.index import Dataset
from pellucid.data.split import shared_patients
from pellucid.errors import SplitError, UsageError


def cohort(n_patients: int = 90) -> Dataset:
    """Two images a patient, two classes, three sites; one patient was seen at two sites."""
    n = 2 * n_patients
    patients = np.repeat([f"p{number:02d}" for number in range(n_patients)], 2)
    labels = np.where(np.arange(n) // 2 % 3 == 0, "ill", "well")
    sites = np.array(["north", "south", "west"])[np.arange(n) // 2 % 7 % 3]
    sites[:2] = ["north", "south"]
    return make_dataset(n, patient_id=patients, label=labels, site=sites)


def test_folds_are_disjoint_and_even() -> None:
    dataset = cohort()
    folds = folds_by_patient(dataset, 5, seed=1)
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    assert shared_patients(dataset.table.assign(split=folds.astype(str))) == []
    assert folds.value_counts(normalize=True).between(0.18, 0.22).all()
    ill = folds[dataset.table["label"] == "ill"].value_counts()
    assert ill.max() - ill.min() <= 2
    assert not folds.equals(folds_by_patient(dataset, 5, seed=1, repeat=1))


def test_wrong_numbers_of_folds() -> None:
    dataset = cohort()
    with pytest.raises(UsageError, match="at least 2, got 1"):
        folds_by_patient(dataset, 1)
    with pytest.raises(UsageError, match="at least 3 folds, got 2"):
        cut_into_folds(dataset, 2)
    few = make_dataset(80, label=["ill"] * 4 + ["well"] * 76)
    with pytest.raises(SplitError, match="at least 5 patients"):
        folds_by_patient(few, 5)


def test_each_image_is_tested_once_a_repeat() -> None:
    table, notes = cut_into_folds(cohort(), 5, repeats=2)
    columns = [f"split_{number}" for number in range(1, 11)]
    assert notes == ["5 folds by patient with seed 0, dealt 2 times: split_1 … split_10."]
    tested = (table[columns] == "test").to_numpy()
    assert (tested[:, :5].sum(axis=1) == 1).all()
    assert (tested[:, 5:].sum(axis=1) == 1).all()
    for name in columns:
        assert set(table[name]) == {"train", "validation", "test"}
        assert shared_patients(table.assign(split=table[name])) == []


def test_one_site_left_out() -> None:
    dataset = cohort()
    table, notes = leave_one_out(dataset, "site")
    assert notes[0].startswith("split_1: test is site north (")
    assert "with 1 image of its patients elsewhere" in notes[0]
    for number, site in enumerate(["north", "south", "west"], start=1):
        splits = table[f"split_{number}"]
        assert (splits[table["site"] == site] == "test").all()
        assert shared_patients(table.assign(split=splits)) == []
        assert {"train", "validation"} <= set(splits)
    with pytest.raises(UsageError, match="no such column"):
        leave_one_out(dataset, "sites")
    with pytest.raises(UsageError, match="needs 2 to 200 values, got north"):
        leave_one_out(make_dataset(80, site="north"), "site")


def test_copies_stay_in_one_fold_and_on_one_side() -> None:
    dataset = cohort()
    linked = np.arange(180)
    linked[[2, 52, 100]] = 2  # of p01, p26 and p50
    copies = dataset.table["patient_id"].isin(["p01", "p26", "p50"])
    assert folds_by_patient(dataset, 5, linked=linked)[copies].nunique() == 1
    table, _ = cut_into_folds(dataset, 5, linked=linked)
    assert all(table.loc[copies, f"split_{number}"].nunique() == 1 for number in range(1, 6))
    table, notes = leave_one_out(dataset, "site", linked=linked)
    sites = dataset.table.loc[copies, "site"]
    assert sites.nunique() > 1
    for number, site in enumerate(["north", "south", "west"], start=1):
        assert table.loc[copies, f"split_{number}"].nunique() == 1
        if site in set(sites):
            assert (table.loc[copies, f"split_{number}"] == "test").all()
            assert "elsewhere" in notes[number - 1]


def test_validation_is_balanced_by_what_is_asked() -> None:
    dataset = cohort(300)
    dataset.table["sex"] = np.where(np.arange(600) // 2 % 4 == 0, "F", "M")
    table, _ = leave_one_out(dataset, "site", stratify_by=["sex"])
    part = table[table["split_1"] != "test"].drop_duplicates("patient_id")
    counts = pd.crosstab([part["label"], part["sex"]], part["split_1"])
    off = counts["validation"] - counts.sum(axis=1) * 15 / 85
    assert off.abs().max() <= 1.5


def test_a_site_that_cannot_be_left_out() -> None:
    only = make_dataset(80, site=["north", "south"] * 40)  # labels alternate as well
    with pytest.raises(SplitError, match="Without site north, every class must be left"):
        leave_one_out(only, "site")
    sites = ["south"] + ["north"] * 39 + ["south"] * 40
    few = make_dataset(80, site=sites, label=["ill"] * 20 + ["well"] * 60)
    with pytest.raises(SplitError, match=r"Without site north, every class needs.*1 patient"):
        leave_one_out(few, "site")
    with pytest.raises(UsageError, match="needs 2 to 200 values, got a0, a1, a10 and 297 more"):
        leave_one_out(make_dataset(300, age=[f"a{row}" for row in range(300)]), "age")
    with pytest.raises(UsageError, match="at least once"):
        cut_into_folds(cohort(), 5, repeats=0)


def test_images_without_a_site_are_left_out_together() -> None:
    dataset = cohort()
    dataset.table.loc[dataset.table["site"] == "west", "site"] = None
    table, notes = leave_one_out(dataset, "site")
    assert notes[0].startswith("split_1: test is site (none) (")
    assert (table.loc[table["site"].isna(), "split_1"] == "test").all()


def test_the_table_is_a_manifest(tmp_path: Path) -> None:
    table, _ = cut_into_folds(cohort(), 3)
    table.to_csv(tmp_path / "folds.csv", index=False)
    again = pd.read_csv(tmp_path / "folds.csv", dtype=str)
    assert {"image_id", "image_path", "frame", "patient_id", "label", "split_3"} <= set(again)
