"""Splits: disjoint by patient, stratified, seeded, the same for any order of files, or given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.data.index import Dataset, read_dataset
from pellucid.data.split import (
    assign_splits,
    check_patient_disjoint,
    shared_patients,
    split_by_patient,
    split_digest,
)
from pellucid.errors import SplitError, UsageError
from pellucid.task import Target, Task


def make(
    labels: list[str], patients: list[str] | None = None, splits: list[str] | None = None
) -> Dataset:
    """A dataset without files: one image a label."""
    names = [f"{row}.png" for row in range(len(labels))]
    table = pd.DataFrame({"image_id": names, "image_path": names, "frame": 0})
    table["patient_id"] = patients if patients is not None else names
    table["label"] = labels
    if splits:
        table["split"] = splits
    task = Task(targets=(Target(name="label", classes=tuple(sorted(set(labels)))),))
    return Dataset(table, task, "made", "made", patients_known=patients is not None)


def cohort(n_patients: int = 200, seed: int = 0) -> Dataset:
    """Patients with 1 to 9 images each; three in ten are ill."""
    random = np.random.default_rng(seed)
    n_images = random.integers(1, 10, n_patients)
    ill = random.random(n_patients) < 0.3
    patients = np.repeat([f"p{number:03d}" for number in range(n_patients)], n_images)
    return make(np.repeat(np.where(ill, "ill", "well"), n_images).tolist(), patients.tolist())


def test_no_patient_stands_in_two_splits_and_the_shares_hold() -> None:
    dataset = cohort()
    splits = split_by_patient(dataset, seed=3)
    table = dataset.table.assign(split=splits)
    assert shared_patients(table) == []
    check_patient_disjoint(table)
    shares = pd.crosstab(table["label"], table["split"], normalize="index")
    assert np.allclose(shares[["train", "validation", "test"]], [0.7, 0.15, 0.15], atol=0.04)
    once = table.drop_duplicates("patient_id")
    patients = pd.crosstab(once["label"], once["split"])
    wanted = np.outer(patients.sum(axis=1), [0.15, 0.7, 0.15])
    assert (patients - wanted).abs().to_numpy().max() < 1


def test_the_seed_decides_and_the_order_of_files_does_not() -> None:
    dataset = cohort()
    first = split_by_patient(dataset, seed=1)
    assert first.equals(split_by_patient(dataset, seed=1))
    assert not first.equals(split_by_patient(dataset, seed=2))
    shuffled = replace(dataset, table=dataset.table.sample(frac=1, random_state=0))
    assert split_by_patient(shuffled, seed=1).sort_index().equals(first)


def test_patients_with_many_images_do_not_gather_in_one_split() -> None:
    dataset = cohort(1000)
    table = dataset.table.assign(split=split_by_patient(dataset, seed=0))
    mean = table.groupby("split")["patient_id"].agg(lambda ids: len(ids) / ids.nunique())
    assert mean.max() - mean.min() < 1


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_a_class_of_three_patients_stands_in_every_split(n: int) -> None:
    for seed in range(5):
        dataset = make(["rare"] * n + ["common"] * 50)
        table = dataset.table.assign(split=split_by_patient(dataset, seed=seed))
        assert (pd.crosstab(table["label"], table["split"]) > 0).to_numpy().all()


def test_a_class_with_one_patient() -> None:
    dataset = make(["rare"] * 5 + ["common"] * 50, ["p0"] * 5 + [f"q{row}" for row in range(50)])
    with pytest.raises(SplitError, match=r"at least 3 patients.*'rare' of 'label' with 1 patient"):
        split_by_patient(dataset)
    with pytest.raises(SplitError, match="with 1 patient"):
        assign_splits(dataset, seed=0)


@settings(max_examples=40, deadline=None)
@given(
    patients=st.lists(st.integers(0, 30), min_size=40, max_size=120),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_mixed_patients_and_missing_labels(
    patients: list[int], seed: int, data: st.DataObject
) -> None:
    n = len(patients)
    labels = data.draw(st.lists(st.sampled_from(["a", "b"]), min_size=n, max_size=n))
    other = data.draw(st.lists(st.sampled_from(["x", "y", "z", None]), min_size=n, max_size=n))
    dataset = make(["a", "b", *labels[2:]], [f"p{number}" for number in patients])
    dataset.table["other"] = pd.Series(other, dtype=str)
    task = Task(targets=(*dataset.task.targets, Target(name="other", classes=("x", "y", "z"))))
    dataset = replace(dataset, task=task)
    try:
        splits = split_by_patient(dataset, seed=seed)
    except SplitError:
        n_patients = [dataset.table.groupby(name)["patient_id"].nunique() for name in task.names]
        assert pd.concat(n_patients).min() < 3
        return
    assert shared_patients(dataset.table.assign(split=splits)) == []
    assert set(splits) == {"train", "validation", "test"}


def test_several_targets_are_stratified_together() -> None:
    random = np.random.default_rng(0)
    dataset = make(random.choice(["no", "yes"], 600, p=[0.9, 0.1]).tolist())
    dataset.table["side"] = random.choice(["left", "right"], 600)
    task = Task(targets=(*dataset.task.targets, Target(name="side", classes=("left", "right"))))
    table = dataset.table
    table["split"] = split_by_patient(replace(dataset, task=task), seed=0)
    for name in task.names:
        shares = pd.crosstab(table["split"], table[name], normalize="index")
        assert (shares.max() - shares.min()).max() < 0.03


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.1, -0.1, 0.0), (0, 0.5, 0.5)]
)
def test_wrong_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="must be positive and add up to 1, got"):
        split_by_patient(cohort(), fractions=fractions)


def test_no_test_when_its_share_is_zero() -> None:
    splits = split_by_patient(cohort(), fractions=(0.8, 0.2, 0.0))
    assert set(splits) == {"train", "validation"}


def test_assigning_leaves_the_first_dataset_as_it_was() -> None:
    dataset = cohort()
    done, notes = assign_splits(dataset, seed=0)
    assert "split" not in dataset.table
    assert list(done.table.columns)[-1] == "split"
    assert "Split by patient with seed 0: train" in notes[0]
    assert "patients" in notes[0]
    assert "no patients known" in assign_splits(make(["a", "b"] * 9), seed=0)[1][0]


def test_given_splits_are_honoured() -> None:
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2 + ["external_test"] * 2
    done, notes = assign_splits(make(["a", "b"] * 6, splits=splits), seed=0)
    assert done.table["split"].tolist() == splits
    assert notes[0].startswith("The given splits are used")
    assert len(notes) == 1


@pytest.mark.parametrize("missing", [["validation"], ["test"], ["validation", "test"]])
def test_a_missing_split_is_set_apart_from_train(missing: list[str]) -> None:
    given_splits = [name for name in ("train", "validation", "test") if name not in missing]
    splits = [given_splits[row % len(given_splits)] for row in range(240)]
    dataset = make(["a", "b", "b"] * 80, [f"p{row}" for row in range(240)], splits)
    done, notes = assign_splits(dataset, seed=0)
    assert set(done.table["split"]) == {"train", "validation", "test"}
    moved = done.table["split"] != splits
    assert set(dataset.table["split"][moved]) == {"train"}
    assert set(done.table["split"][moved]) == set(missing)
    assert f"No {' and '.join(missing)} was given" in notes[1]


def test_shared_patients_are_refused_with_their_list() -> None:
    patients = [f"p{row % 15:02d}" for row in range(30)]
    splits = ["train"] * 16 + ["validation"] * 7 + ["test"] * 7
    dataset = make(["a", "b", "b"] * 10, patients, splits)
    with pytest.raises(SplitError) as caught:
        assign_splits(dataset, seed=0)
    assert "14 patients in more than one: p01, p02" in str(caught.value)
    assert "p10 and 4 more" in str(caught.value)
    assert "--allow-shared-patients" in str(caught.value)
    done, notes = assign_splits(dataset, seed=0, allow_shared_patients=True)
    assert done.table["split"].tolist() == splits
    assert "14 patients stand in more than one" in notes[-1]


def test_given_splits_without_train() -> None:
    with pytest.raises(SplitError, match="must include train, got only test"):
        assign_splits(make(["a", "b"], splits=["test", "test"]), seed=0)


def test_linked_rows_and_their_patients_stay_together() -> None:
    dataset = cohort()
    random = np.random.default_rng(5)
    linked = np.arange(len(dataset.table))
    for _ in range(30):
        first, second = random.integers(0, len(linked), 2)
        linked[linked == linked[second]] = linked[first]
    table = dataset.table.assign(split=split_by_patient(dataset, seed=1, linked=linked))
    assert shared_patients(table) == []
    assert (table.groupby(linked)["split"].nunique() == 1).all()
    order = random.permutation(len(linked))
    shuffled = replace(dataset, table=dataset.table.iloc[order])
    again = split_by_patient(shuffled, seed=1, linked=linked[order])
    assert again.sort_index().equals(table["split"])


def test_a_site_is_balanced_within_each_class() -> None:
    dataset = cohort(400)
    sites = {name: f"site{hash_of(name) % 3}" for name in dataset.table["patient_id"]}
    dataset.table["site"] = dataset.table["patient_id"].map(sites)
    table = dataset.table.assign(split=split_by_patient(dataset, stratify_by=["site"]))
    once = table.drop_duplicates("patient_id")
    shares = pd.crosstab([once["label"], once["site"]], once["split"], normalize="index")
    sizes = once.groupby(["label", "site"]).size()
    off = (shares["test"] - 0.15).abs() * sizes
    assert off.max() <= 1.5  # patients
    with pytest.raises(UsageError, match="balanced by a column"):
        split_by_patient(dataset, stratify_by=["sites"])


@pytest.mark.parametrize("n_sites", [1, 50, 100, 200, 400])
def test_many_small_strata_do_not_add_up_to_a_class_that_train_keeps(n_sites: int) -> None:
    dataset = make(["ill", "well"] * 200, [f"p{row}" for row in range(400)])
    dataset.table["site"] = [f"s{row // 2 % n_sites}" for row in range(400)]
    splits = split_by_patient(dataset, stratify_by=["site"])
    counts = pd.crosstab(dataset.table["label"], splits)
    assert (counts - np.array([30, 140, 30])).abs().to_numpy().max() <= 1


def test_findings_together_keep_their_shares() -> None:
    random = np.random.default_rng(0)
    shares = np.geomspace(0.2, 0.01, 8)
    dataset = make(["a", "b"] * 1000)
    for number, share in enumerate(shares):
        dataset.table[f"finding{number}"] = np.where(random.random(2000) < share, "1", "0")
    names = [f"finding{number}" for number in range(8)]
    task = Task(targets=tuple(Target(name=name, classes=("0", "1")) for name in names))
    splits = split_by_patient(replace(dataset, task=task))
    for name in names:
        ill = splits[dataset.table[name] == "1"]
        assert abs((ill == "test").sum() - 0.15 * len(ill)) <= 4  # patients


def test_the_seed_reaches_every_patient() -> None:
    images = ["big"] * 40 + [f"p{row}" for row in range(99)]
    dataset = make(["ill"] * 40 + ["ill", "well", "well"] * 33, images)
    found = {split_by_patient(dataset, seed=seed).iloc[0] for seed in range(40)}
    assert found == {"train", "validation", "test"}
    rare = make(["rare"] * 4 + ["common"] * 50)
    where = [split_by_patient(rare, seed=seed).iloc[:4].tolist() for seed in range(60)]
    for patient in range(4):
        assert {splits[patient] for splits in where} == {"train", "validation", "test"}


@settings(max_examples=40, deadline=None)
@given(
    patients=st.lists(st.integers(0, 40), min_size=60, max_size=120),
    links=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=20),
    seed=st.integers(0, 1000),
)
def test_linked_strata_in_any_order(
    patients: list[int], links: list[tuple[int, int]], seed: int
) -> None:
    n = len(patients)
    dataset = make(["a", "b"] * (n // 2) + ["a"] * (n % 2), [f"p{name}" for name in patients])
    dataset.table["site"] = [f"s{row % 7}" if row % 5 else None for row in range(n)]
    linked = np.arange(n)
    for first, second in links:
        linked[linked == linked[second]] = linked[first]
    options = {"seed": seed, "stratify_by": ["site"]}
    try:
        splits = split_by_patient(dataset, linked=linked, **options)  # type: ignore[arg-type]
    except SplitError:
        whole = dataset.table.assign(linked=linked)  # too few, and few are linked
        assert whole.groupby("label")[["patient_id", "linked"]].nunique().to_numpy().min() < 20
        return
    table = dataset.table.assign(split=splits)
    assert shared_patients(table) == []
    assert table.groupby(linked)["split"].nunique().max() == 1
    assert set(splits) == {"train", "validation", "test"}
    order = np.random.default_rng(seed).permutation(n)
    shuffled = replace(dataset, table=dataset.table.iloc[order])
    names = 7919 * linked[order] % 1009 - 500  # what a group is called does not matter
    again = split_by_patient(shuffled, linked=names, **options)  # type: ignore[arg-type]
    assert again.sort_index().equals(splits)


def test_many_linked_patients_stand_where_there_is_room() -> None:
    dataset = make(["a", "b"] * 100)
    linked = np.where(np.arange(200) < 120, 0, np.arange(200))
    splits = split_by_patient(dataset, linked=linked)
    assert set(splits.iloc[:120]) == {"train"}
    assert ((splits.value_counts() - [140, 30, 30]).abs() <= 2).all()


def test_patients_who_share_all_pictures_are_one_patient() -> None:
    dataset = make(["rare"] * 4 + ["common"] * 50)
    linked = np.where(np.arange(54) < 4, 0, np.arange(54))
    with pytest.raises(SplitError, match=r"'rare' of 'label' with 1 patient .*count as one"):
        split_by_patient(dataset, linked=linked)


def test_linked_must_have_a_group_a_row() -> None:
    with pytest.raises(UsageError, match="one group a row"):
        split_by_patient(cohort(), linked=np.zeros(3, dtype=np.int64))


def hash_of(name: str) -> int:
    return int(name[1:]) * 2654435761 % 2**32


def test_the_digest_tells_splits_apart_and_not_orders() -> None:
    done, _ = assign_splits(cohort(), seed=0)
    other, _ = assign_splits(cohort(), seed=1)
    assert split_digest(done.table) == split_digest(done.table.sample(frac=1, random_state=0))
    assert split_digest(done.table) != split_digest(other.table)
    assert len(split_digest(done.table)) == 64


def test_chest_xray(shared_data: Path) -> None:
    pattern = r"(person\d+|(?:NORMAL2-)?IM-\d+)"
    dataset = read_dataset(shared_data / "chest_xray", patient_pattern=pattern)
    done, _ = assign_splits(dataset, seed=0)
    check_patient_disjoint(done.table)
    images = pd.crosstab(done.table["label"], done.table["split"], normalize="index")
    assert np.allclose(images["test"], 0.15, atol=0.015)
    once = done.table.drop_duplicates(["patient_id", "label"])
    patients = pd.crosstab(once["label"], once["split"], normalize="index")
    assert np.allclose(patients["test"], 0.15, atol=0.001)


def test_the_official_split_of_pneumoniamnist_shares_patients(shared_data: Path) -> None:
    folder = shared_data / "medmnist"
    path = folder / "pneumoniamnist.npz"
    dataset = read_dataset(path, patients=folder / "pneumoniamnist_patients.csv")
    with pytest.raises(SplitError, match="253 patients in more than one"):
        assign_splits(dataset, seed=0)
    assert len(assign_splits(read_dataset(path), seed=0)[1]) == 1


def test_a_class_of_one_patient_in_real_data(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "covid_xray" / "metadata.csv")
    with pytest.raises(SplitError, match="'ARDS' of 'finding' with 1 patient"):
        assign_splits(dataset, seed=0)
