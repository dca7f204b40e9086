"""An external test set: the same question, other patients."""

from __future__ import annotations

import pytest

from decoded import make_dataset
from pellucid.data.external import with_external
from pellucid.data.index import Dataset
from pellucid.data.split import assign_splits
from pellucid.errors import DataError, SplitError
from pellucid.task import Target, Task


def other_hospital(**columns: object) -> Dataset:
    other = make_dataset(20, patient_id=[f"x{row}" for row in range(20)], **columns)
    other.name = "north"
    return other


def test_the_rows_join_and_the_rest_is_dealt() -> None:
    joined = with_external(make_dataset(), other_hospital(site="north"))
    done, _ = assign_splits(joined, seed=0)
    counts = done.table["split"].value_counts()
    assert counts["external_test"] == 20
    assert counts[["train", "validation", "test"]].sum() == 80
    outside = done.table[done.table["split"] == "external_test"]
    assert outside["image_id"].tolist()[0] == "north/0.png"
    assert done.table["image_id"].is_unique
    assert done.facts == ("site",)
    assert "External test: 20 images of north." in done.notes


def test_given_splits_stay() -> None:
    splits = ["train"] * 40 + ["validation"] * 20 + ["test"] * 20
    done, _ = assign_splits(with_external(make_dataset(split=splits), other_hospital()), seed=0)
    assert done.table["split"].tolist()[:80] == splits


def test_a_patient_on_both_sides_is_refused() -> None:
    other = make_dataset(20)
    with pytest.raises(SplitError, match="20 patients in both"):
        with_external(make_dataset(), other)
    assert len(with_external(make_dataset(), other, allow_shared_patients=True).table) == 100


def test_unknown_patients_elsewhere_are_not_mistaken() -> None:
    other = make_dataset(20)
    other.patients_known = False
    joined = with_external(make_dataset(), other)
    assert not joined.patients_known
    assert not set(joined.table["patient_id"][:80]) & set(joined.table["patient_id"][80:])


def test_classes_are_merged_alike() -> None:
    dataset = make_dataset()
    target = Target(name="label", classes=("well", "ill"))
    dataset.task = Task(targets=(target,), merge={"ill": ("cancer", "cyst")})
    other = other_hospital(label=["cancer", "cyst", "well", None] * 5)
    other.task = Task(targets=(Target(name="label", classes=("cancer", "cyst", "well")),))
    joined = with_external(dataset, other)
    assert joined.codes()[80:84, 0].tolist() == [1, 1, 0, -1]
    assert joined.task == dataset.task


def test_ids_stay_unique_and_facts_of_either_side_stay() -> None:
    names = [f"north/{row}.png" for row in range(80)]
    joined = with_external(make_dataset(image_id=names, sex="F"), other_hospital(site="north"))
    assert joined.table["image_id"].is_unique
    assert joined.table["image_id"].iloc[80] == "external/north/0.png"
    assert joined.table[["sex", "site"]].isna().sum().tolist() == [20, 80]


def test_another_question_is_refused() -> None:
    other = other_hospital(label=["well", "dead"] * 10)
    with pytest.raises(DataError, match=r"no class .* does not have.*got dead beside well, ill"):
        with_external(make_dataset(), other)
    other.task = Task(targets=(Target(name="finding", classes=("well", "ill")),))
    with pytest.raises(DataError, match="finding instead of label"):
        with_external(make_dataset(), other)
