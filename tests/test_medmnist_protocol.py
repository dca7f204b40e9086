"""The benchmark that follows MedMNIST's protocol: its metrics, and its contestants' loop."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
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


def test_rows_become_mean_and_deviation(medmnist: Any) -> None:
    rows = [
        {"archive": "a", "contestant": "x", "auc": auc, "acc": 0.5, "seconds": 2.0}
        for auc in (0.8, 0.9)
    ]
    (line,) = medmnist.summarise(rows)
    assert (line["seeds"], line["auc"], line["auc_sd"]) == (2, 0.85, 0.0707)
