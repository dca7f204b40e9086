"""The baseline: learned from train alone, and put down as the network's predictions are."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pellucid.classical import baseline as room
from pellucid.classical.baseline import Baseline, fit_baseline
from pellucid.classical.candidates import CANDIDATES
from pellucid.data.cache import build_cache
from pellucid.data.index import Dataset, read_dataset
from pellucid.data.phantoms import PHANTOM_PATIENT_PATTERN, write_phantoms
from pellucid.data.split import assign_splits
from pellucid.errors import DataError
from pellucid.evaluation.predictions import check_predictions, save_predictions
from pellucid.images.preprocessing import Preprocessing
from pellucid.task import Target, Task

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def _fewer_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind is enough here; `test_classification` builds them all."""
    from pellucid.classical import classification

    fit = classification.fit_classifier
    chosen = [CANDIDATES[1], CANDIDATES[5]]
    monkeypatch.setattr(room, "fit_classifier", lambda *a, **k: fit(*a, **k, candidates=chosen))


def make(
    n: int = 120, classes: tuple[str, ...] = ("no", "yes"), *, seed: int = 0, per_patient: int = 2
) -> tuple[Dataset, np.ndarray]:
    """Pictures of noise with a bright bar whose place tells the class, two a patient."""
    random = np.random.default_rng(seed)
    patients = np.arange(n) // per_patient
    codes = patients % len(classes)
    pixels = random.integers(0, 120, (n, 1, 24, 24)).astype(np.uint8)
    for row, code in enumerate(codes):
        pixels[row, 0, 2 + 6 * code : 6 + 6 * code] += 90
    table = pd.DataFrame(
        {
            "image_id": [f"i{number:03d}" for number in range(n)],
            "image_path": "",
            "frame": 0,
            "patient_id": [f"p{number:03d}" for number in patients],
            "label": np.array(classes, dtype=object)[codes],
            "site": random.choice(["A", "B"], n),
        }
    )
    target = Target(name="label", classes=classes)
    dataset = Dataset(table, Task(targets=(target,)), "made", "made", facts=("site",))
    return assign_splits(dataset, seed=0)[0], pixels


def rows_of(dataset: Dataset) -> dict[str, np.ndarray]:
    return {split: np.flatnonzero((dataset.table["split"] == split).to_numpy()) for split in SPLITS}


def fit(dataset: Dataset, pixels: Any, *, seed: int = 0, **more: Any) -> Baseline:
    return fit_baseline(dataset, pixels, dataset.codes(), rows_of(dataset), seed=seed, **more)


@pytest.fixture(scope="module")
def made() -> tuple[Dataset, np.ndarray]:
    return make()


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_predictions_are_those_of_the_contract(classes: tuple[str, ...], tmp_path: Path) -> None:
    dataset, pixels = make(180, classes)
    found = fit(dataset, pixels)
    assert set(found.predictions) == {"validation", "test"}
    for split, table in found.predictions.items():
        check_predictions(table)
        save_predictions(table, tmp_path / f"{split}.csv")
        wanted = dataset.table[dataset.table["split"] == split]
        assert table["image_id"].tolist() == wanted["image_id"].tolist()
        assert table["y_true"].tolist() == wanted["label"].tolist()
        assert table["site"].tolist() == wanted["site"].tolist()
        for name in classes:
            assert roc_auc_score(table["y_true"] == name, table[f"probability_{name}"]) > 0.9
    assert [name for name in table if name.startswith("logit_")] == [
        f"logit_{name}" for name in (classes if len(classes) > 2 else classes[1:])
    ]


def test_the_record_is_whole_and_ready_for_json(made: tuple[Dataset, np.ndarray]) -> None:
    record = json.loads(json.dumps(fit(*made).record, allow_nan=False))
    (target,) = record["targets"]
    assert record["counts"] == {name: len(rows) for name, rows in rows_of(made[0]).items()}
    assert (
        target["classifier"]
        == max(target["cross_validation"], key=lambda one: one["mean_auroc"])["classifier"]
    )
    assert target["n_folds"] == 5
    assert target["n_train_patients"] == target["n_train_images"] / 2
    families = {one["family"] for one in target["importance"]["families"]}
    assert families == set(record["description"]["families"])
    assert len(target["importance"]["alone"]) == 10


def test_labels_and_pictures_outside_train_change_nothing(
    made: tuple[Dataset, np.ndarray],
) -> None:
    """Permuted labels of validation and test, and other test pictures: the same model."""
    dataset, pixels = made
    usual = fit(dataset, pixels)
    table, rows = dataset.table.copy(), rows_of(dataset)
    for split in ("validation", "test"):
        table.iloc[rows[split], table.columns.get_loc("label")] = "yes"
    other = pixels.copy()
    other[rows["test"]] = 255 - other[rows["test"]]
    changed = fit(replace(dataset, table=table), other)
    names = ["logit_yes", "probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(
        changed.predictions["validation"][names], usual.predictions["validation"][names]
    )
    for found in (usual, changed):
        for trial in found.record["targets"][0]["cross_validation"]:
            del trial["seconds"]
        del found.record["seconds"]
    assert changed.record == usual.record
    assert not changed.predictions["test"][names].equals(usual.predictions["test"][names])


def test_the_seed_decides_and_the_order_of_files_does_not(
    made: tuple[Dataset, np.ndarray],
) -> None:
    dataset, pixels = made
    usual = fit(dataset, pixels, seed=3).predictions["test"].set_index("image_id")
    again = fit(dataset, pixels, seed=3).predictions["test"].set_index("image_id")
    pd.testing.assert_frame_equal(usual, again, check_exact=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    shuffled = replace(dataset, table=dataset.table.iloc[order].reset_index(drop=True))
    moved = fit(shuffled, pixels[order], seed=3).predictions["test"].set_index("image_id")
    pd.testing.assert_frame_equal(moved.loc[usual.index], usual, rtol=1e-4)


def test_folds_never_split_a_patient() -> None:
    dataset, _ = make(180, ("a", "b", "c"), per_patient=3)
    table = dataset.table
    table.loc[table.index[::7], "label"] = "c"  # patients with pictures of two classes
    rows = np.arange(len(table))
    work = room._Work(dataset, dataset.codes(), 0, {}, {}, None)  # type: ignore[arg-type]
    folds = room._folds(work, 0, rows)
    assert set(folds) == set(range(5))
    assert pd.Series(folds).groupby(table["patient_id"].to_numpy()).nunique().max() == 1
    for fold in range(5):
        assert set(table["label"][folds == fold]) == {"a", "b", "c"}


def test_a_class_of_one_patient_is_trained_on_and_not_judged() -> None:
    dataset, pixels = make(120, ("a", "b", "c"))
    labels = dataset.table["label"].where(dataset.table["label"] != "c", "a")
    labels[dataset.table["patient_id"] == dataset.table["patient_id"].iloc[0]] = "c"
    dataset.table["label"] = labels
    dataset.table.loc[labels == "c", "split"] = "train"
    found = fit(dataset, pixels)
    (target,) = found.record["targets"]
    assert target["n_folds"] == 5
    assert {"probability_a", "probability_b", "probability_c"} <= set(found.predictions["test"])


def test_a_class_that_train_lacks_gives_a_reason() -> None:
    dataset, pixels = make()
    rows = rows_of(dataset)
    rows["train"] = rows["train"][dataset.codes()[rows["train"], 0] == 0]
    found = fit_baseline(dataset, pixels, dataset.codes(), rows, seed=0)
    assert found.predictions == {}
    assert found.record["targets"][0]["classifier"] is None
    assert found.record["targets"][0]["reason"] == "not fitted: train has no image of yes"


def test_one_of_three_classes_lacks_in_train() -> None:
    dataset, pixels = make(120, ("a", "b", "c"))
    rows = rows_of(dataset)
    rows["train"] = rows["train"][dataset.codes()[rows["train"], 0] != 1]
    found = fit_baseline(dataset, pixels, dataset.codes(), rows, seed=0)
    check_predictions(found.predictions["test"])
    assert found.predictions["test"]["probability_b"].max() < 1e-9
    assert "Train has no image of b" in found.record["targets"][0]["notes"][0]


def test_rows_without_a_label_are_skipped_by_target() -> None:
    dataset, pixels = make()
    second = Target(name="second", classes=("0", "1"))
    table = dataset.table.assign(second=np.where(dataset.table["label"] == "yes", "1", "0"))
    table.loc[table.index[::3], "second"] = None
    table.loc[table.index[0], "label"] = None  # this row has neither
    both = replace(dataset, table=table, task=Task(targets=(*dataset.task.targets, second)))
    found = fit(both, pixels)
    for split, part in found.predictions.items():
        inside = table[table["split"] == split]
        sizes = part["target"].value_counts()
        assert sizes["label"] == inside["label"].notna().sum()
        assert sizes["second"] == inside["second"].notna().sum()
        assert part["y_true"].notna().all()
    assert [one["target"] for one in found.record["targets"]] == ["label", "second"]


def test_few_patients_are_not_tuned() -> None:
    dataset, pixels = make(16)
    dataset = replace(dataset, table=dataset.table[:8].copy())
    dataset.table["split"] = ["train"] * 4 + ["test"] * 4
    found = fit(dataset, pixels)
    (target,) = found.record["targets"]
    assert target["cross_validation"] == []
    assert "Not tuned" in target["notes"][0]
    assert len(found.predictions["test"]) == 4


def test_constant_pictures_tell_nothing() -> None:
    dataset, pixels = make()
    found = fit(dataset, np.full_like(pixels, 9))
    table = found.predictions["test"]
    assert roc_auc_score(table["y_true"] == "yes", table["probability_yes"]) == 0.5
    assert table["probability_yes"].to_numpy() == pytest.approx(0.5, abs=0.1)


def test_large_train_is_capped_by_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TRAIN_ROWS", 50)
    dataset, pixels = make()
    record = fit(dataset, pixels).record
    assert record["counts"]["train"] == 50
    assert record["targets"][0]["n_train_patients"] == 25
    assert "Trained on 50 of 84 images" in record["description"]["notes"][0]


def test_progress_is_told(made: tuple[Dataset, np.ndarray]) -> None:
    told: list[tuple[int, int]] = []
    tried: list[tuple[int, int]] = []
    fit(*made, progress=lambda *x: told.append(x), fit_progress=lambda *x: tried.append(x))
    assert told[-1] == (120, 120)
    assert told == sorted(told)
    assert tried == [(1, 2), (2, 2)]


def test_without_a_row_to_train_on(made: tuple[Dataset, np.ndarray]) -> None:
    dataset, pixels = made
    with pytest.raises(DataError, match="labelled image in train"):
        fit_baseline(dataset, pixels, dataset.codes(), {"test": np.arange(3)}, seed=0)


def test_unreadable_rows_of_a_cache_are_passed_over(tmp_path: Path) -> None:
    from pictures import PATTERN, draw_folder

    images = draw_folder(tmp_path)
    (images / "ill" / "p900_0.png").write_bytes(b"not a picture")
    dataset, _ = assign_splits(read_dataset(images, patient_pattern=PATTERN), seed=0)
    cache = build_cache(dataset, Preprocessing(image_size=16, channels=3))
    found = fit(dataset, cache)
    assert sum(found.record["counts"].values()) == 48
    assert found.record["description"]["notes"] == ["Colour is described as grey."]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["chest", "breast", "oct"])
def test_phantoms_are_told_well_above_chance(case: str, tmp_path: Path) -> None:
    images = write_phantoms(tmp_path, case, n_patients=150)
    dataset = read_dataset(images, patient_pattern=PHANTOM_PATIENT_PATTERN)
    dataset, _ = assign_splits(dataset, seed=0)
    cache = build_cache(dataset, Preprocessing(image_size=64, channels=1))
    table = fit(dataset, cache).predictions["validation"]
    (target,) = dataset.task.targets
    aurocs = [
        roc_auc_score(table["y_true"] == name, table[f"probability_{name}"])
        for name in target.classes
    ]
    assert np.mean(aurocs) > 0.75


@pytest.mark.slow
def test_breast_ultrasound(shared_data: Path) -> None:
    merge = {"normal_benign": ("normal", "benign")}
    dataset = read_dataset(shared_data / "breast_ultrasound", merge=merge, positive="malignant")
    dataset, _ = assign_splits(dataset, seed=0)
    cache = build_cache(dataset, Preprocessing(image_size=64, channels=1))
    table = fit(dataset, cache).predictions["validation"]
    assert roc_auc_score(table["y_true"] == "malignant", table["probability_malignant"]) > 0.75


def test_the_room_needs_no_torch() -> None:
    code = (
        "import sys, pellucid.classical.baseline; "
        "assert not {'torch', 'sklearn', 'skimage'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
