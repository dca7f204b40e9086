"""The benchmark that follows MedMNIST's protocol: its metrics, and its contestants' loop."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def medmnist(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return import_module("medmnist")


def test_metrics_of_two_classes_several_classes_and_several_labels(medmnist: Any) -> None:
    two = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]])
    # one of four pairs is in the wrong order; 0.5 is not more than 0.5
    assert medmnist.auc_and_acc(np.array([[0], [0], [1], [1]]), two) == (0.75, 0.5)

    three = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    auc, acc = medmnist.auc_and_acc(np.array([[0], [1], [1], [2]]), three)
    assert auc == pytest.approx((1 + 1 + 1) / 3)
    assert acc == 0.75

    labels = np.array([[0, 1], [1, 1], [1, 0]])
    scores = np.array([[0.6, 0.9], [0.7, 0.4], [0.2, 0.1]])
    auc, acc = medmnist.auc_and_acc(labels, scores)
    assert auc == pytest.approx((0.5 + 1.0) / 2)
    assert acc == pytest.approx(3 / 6)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)])
@pytest.mark.parametrize("several", [False, True])
def test_the_recipe_trains_on_any_archive(
    medmnist: Any, tmp_path: Path, shape: tuple[int, ...], several: bool
) -> None:
    random, arrays = np.random.default_rng(0), {}
    for split in ("train", "val", "test"):
        codes = np.arange(12)[:, None] % 2
        pixels = random.integers(0, 100, (12, *shape)) + 100 * codes.reshape(-1, *[1] * len(shape))
        arrays[f"{split}_images"] = pixels.astype(np.uint8)
        arrays[f"{split}_labels"] = np.hstack([codes, 1 - codes]) if several else codes
    np.savez(tmp_path / "x.npz", **arrays)
    case = {"archive": str(tmp_path / "x.npz"), "seconds": 0.0, "seed": 0}
    found = medmnist.recipe(case)
    assert found["epochs"] == 1
    assert 0 <= found["auc"] <= 1
    assert 0 <= found["acc"] <= 1


def test_the_first_epoch_does_not_tell_how_many_there_will_be(medmnist: Any) -> None:
    assert medmnist.epochs_within([5.0], 14.0) == 3
    assert medmnist.epochs_within([5.0, 2.0], 9.0) == 6
    assert medmnist.epochs_within([5.0, 2.0, 2.0], 1.9) == 3
    assert medmnist.epochs_within([5.0], -1.0) == 1
    assert medmnist.epochs_within([0.1] * 99, 50.0) == 100


def row(name: str, seed: int, auc: float) -> dict[str, Any]:
    head = {"data": "a", "contestant": name, "seed": seed, "budget": 60.0}
    return {**head, "auc": auc, "acc": 0.5, "seconds": 2.0}


def test_rows_become_mean_and_deviation_and_leads_are_paired_by_seed(medmnist: Any) -> None:
    rows = [row("Pellucid", 0, 0.8), row("Pellucid", 1, 0.9)]
    rows += [row("x", 0, 0.7), row("x", 1, 0.78)]
    ours, theirs = medmnist.summarise(rows)
    assert (ours["seeds"], ours["auc"], ours["auc_sd"]) == (2, 0.85, 0.0707)
    assert ours["ahead_by_auc"] == "-"
    assert theirs["ahead_by_auc"] == "+0.1100 (-0.0171 to +0.2371)"  # 0.11 ± 12.706 · 0.01


def test_a_table_is_gone_on_with(medmnist: Any, tmp_path: Path, monkeypatch: Any) -> None:
    asked, path = [], tmp_path / "table.json"

    def answer(name: str, case: dict[str, Any]) -> dict[str, Any]:
        asked.append((name, case["seed"], case["seconds"]))
        return {"auc": 0.5, "acc": 0.5, "seconds": 1.0}

    monkeypatch.setattr(medmnist, "ask", answer)
    words = ["x", "a.npz", "--json", str(path), "--only", "Pellucid", "torchvision"]
    for rounds, budget in (("1", "1m"), ("2", "1m"), ("2", "1m"), ("1", "2m")):
        monkeypatch.setattr("sys.argv", [*words, "--rounds", rounds, "--budget", budget])
        medmnist.main()
    assert asked == [
        (name, seed, seconds)
        for seed, seconds in ((0, 60.0), (1, 60.0), (0, 120.0))
        for name in ("Pellucid", "torchvision")
    ]
    kept = json.loads(path.read_text())
    assert len(kept["trainings"]) == 6
    assert [line["seeds"] for line in kept["table"]] == [2, 2, 1, 1]


def test_a_folder_is_dealt_by_patient_for_everybody_alike(medmnist: Any, tmp_path: Path) -> None:
    from pictures import PATTERN, draw_folder

    images = draw_folder(tmp_path / "images")
    options = SimpleNamespace(patient_pattern=PATTERN, merge=None)
    where = medmnist._deal(images, 0, options, tmp_path)
    table = pd.read_csv(where["manifest"])
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    assert set(table["split"]) == {"train", "test"}
    with np.load(where["archive"]) as arrays:
        n = {split: len(arrays[f"{split}_images"]) for split in ("train", "val", "test")}
        assert n["train"] > n["val"] > 0
        assert n["train"] + n["val"] == int((table["split"] == "train").sum())
        assert n["test"] == int((table["split"] == "test").sum())
        for split, count in n.items():
            assert arrays[f"{split}_images"].shape == (count, 224, 224)
            assert arrays[f"{split}_labels"].shape == (count, 1)
