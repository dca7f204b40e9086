"""Run folders as `train` and `evaluate` leave them, made up from a seed, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fake_blocks import fake_facts, fake_robustness
from pellucid.evaluation.document import evaluate_predictions

SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}
WITH_EXTERNAL = {"train": 0.6, "validation": 0.12, "test": 0.14, "external_test": 0.14}
PLAN = """# Every hyperparameter of this run. Edit a copy and give it back with --plan.
seed: 0  # every random draw follows from it
image_size: 64  # the median image is 64 pixels high
network: resnet18  # 18 layers are enough for a few thousand images
mean: [0.5]  # in units of [0, 1]
weights: null  # no pretrained weights were given
metric: auroc  # what chooses the epoch, on validation images
"""


@dataclass(frozen=True)
class FakeTarget:
    """A target to make up; `separation` says how well the network knows its classes."""

    name: str
    classes: tuple[str, ...]
    separation: float = 2.0
    missing: float = 0.0


def make_run(
    folder: Path,
    *targets: FakeTarget,
    n_images: int = 400,
    external: bool = False,
    **facts: Any,
) -> Path:
    """A whole run folder; `facts` go into run.json, those of `dataset` into its dataset."""
    random = np.random.default_rng(7)
    index = _make_index(folder, targets, n_images, random, WITH_EXTERNAL if external else SPLITS)
    index.to_csv(_parent(folder / "index.csv"), index=False)
    predictions = pd.concat([_predict(index, target, random) for target in targets])
    (folder / "predictions").mkdir()
    for split, part in predictions.groupby("split"):
        if split != "train":
            part.to_csv(folder / "predictions" / f"{split}.csv", index=False)
    document = judge(predictions)
    document["robustness"] = fake_robustness(document["blocks"][0])
    _write(folder / "evaluation.json", document)
    _write(folder / "run.json", _make_facts(index, targets, facts))
    _write(folder / "audit.json", _make_audit())
    (folder / "plan.yaml").write_text(PLAN)
    _make_history().to_csv(folder / "history.csv", index=False)
    (folder / "pictures").mkdir()
    Image.fromarray(random.integers(0, 255, (64, 384), np.uint8)).save(
        folder / "pictures" / "augmentations.png"
    )
    return folder


def make_evaluation_only(folder: Path, target: FakeTarget, n_images: int = 300) -> Path:
    """What `pellucid evaluate PREDICTIONS.csv --out` leaves."""
    random = np.random.default_rng(11)
    index = _make_index(folder, (target,), n_images, random).assign(split="test")
    predictions = _predict(index, target, random)
    predictions.to_csv(_parent(folder / "predictions" / "test.csv"), index=False)
    _write(folder / "evaluation.json", judge(predictions))
    _write(folder / "run.json", {"command": "pellucid evaluate predictions.csv"})
    return folder


def judge(predictions: pd.DataFrame) -> dict[str, Any]:
    """evaluation.json, with few resamples."""
    held_out = predictions.query("split != 'train'")
    return evaluate_predictions(held_out, n_resamples=10)


def _make_index(
    folder: Path,
    targets: tuple[FakeTarget, ...],
    n_images: int,
    random: np.random.Generator,
    shares: dict[str, float] = SPLITS,
) -> pd.DataFrame:
    patients = random.integers(0, n_images // 2, n_images)
    names = np.array(list(shares))
    split_of = names[random.choice(len(names), n_images, p=list(shares.values()))]
    table = pd.DataFrame(
        {
            "image_id": [f"scan_{i:04d}.png" for i in range(n_images)],
            "image_path": [str(folder / "images" / f"scan_{i:04d}.png") for i in range(n_images)],
            "frame": 0,
            "patient_id": [f"secret-patient-{number}" for number in patients],
            "split": split_of[patients],
            **fake_facts(n_images, patients),
        }
    )
    for target in targets:
        labels = np.array(target.classes, dtype=object)[
            random.integers(0, len(target.classes), n_images)
        ]
        labels[random.random(n_images) < target.missing] = None
        table[target.name] = labels
    return table


def _predict(index: pd.DataFrame, target: FakeTarget, random: np.random.Generator) -> pd.DataFrame:
    classes = list(target.classes)
    codes = pd.Categorical(index[target.name], categories=classes).codes
    logits = random.normal(0, 1, (len(index), len(classes)))
    known = codes >= 0
    logits[np.flatnonzero(known), codes[known]] += target.separation
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = index[["image_id", "patient_id", "split", "sex", "scanner"]].assign(target=target.name)
    table["y_true"] = index[target.name]
    return table.assign(**{f"probability_{c}": shares[:, k] for k, c in enumerate(classes)})


def _make_facts(
    index: pd.DataFrame, targets: tuple[FakeTarget, ...], facts: dict[str, Any]
) -> dict[str, Any]:
    dataset = {
        "name": "chest_xray",
        "source": "data/chest_xray",
        "n_images": len(index),
        "n_patients": int(index["patient_id"].nunique()),
        "patients_known": True,
        "synthetic": False,
        "facts": [],
    }
    names = (
        "conv1",
        *(f"layer{i}.{j}.conv{k}" for i in range(1, 5) for j in (0, 1) for k in (1, 2)),
    )
    rows = [
        {
            "name": name,
            "kind": "Convolution",
            "hyperparameters": "3 x 3, stride 1, padding 1",
            "output_shape": [64, 32, 32],
            "parameters": 36864,
        }
        for name in names
    ]
    return {
        "command": "pellucid train data/chest_xray --positive PNEUMONIA --out runs/chest",
        "dataset": {**dataset, **facts.pop("dataset", {})},
        "task": {
            "targets": [
                {"name": target.name, "classes": target.classes, "positive_source": "user"}
                for target in targets
            ],
            "merge": {},
        },
        "seed": 0,
        "versions": {"pellucid": "0.1.0", "python": "3.11.9", "torch": "2.15.0"},
        "machine": {"processor": "x86_64", "cores": 2},
        "started": "2026-11-23T16:00:00+00:00",
        "seconds": 431.2,
        "network": {
            "formula": "f = head ∘ global average pooling ∘ resnet18",
            "rows": rows,
            "parameters": 11_172_289,
        },
        "training": {"best_epoch": 8, "stopped_because": "patience ran out", "seconds": 402.0},
        "notes": [],
        "allow_shared_patients": False,
        "unreadable": 0,
        **facts,
    }


def _make_audit() -> dict[str, Any]:
    finding = {
        "level": "WARN",
        "code": "identical",
        "message": "12 identical pictures (24 images) are repeated within a class.",
        "image_ids": ["scan_0003.png", "scan_0004.png"],
        "n_rows": 24,
        "remedy": "Copies count several times.",
    }
    note = {**finding, "level": "NOTE", "code": "balance", "message": "Classes: 50 % each."}
    return {"findings": [finding, note], "unreadable": []}


def _make_history(epochs: int = 14) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    metric = 0.98 - 0.4 * np.exp(-epoch / 2.0) - 0.0006 * np.maximum(0, epoch - 9) ** 2
    return pd.DataFrame(
        {
            "epoch": epoch,
            "epochs_planned": 30,
            "learning_rate": 1e-3,
            "train_loss": 0.7 * np.exp(-epoch / 5.0) + 0.03,
            "validation_loss": 0.6 * np.exp(-epoch / 3.0) + 0.10 + 0.004 * epoch,
            "validation_metric": metric,
            "images_per_second": 210.0,
            "seconds": 28.0,
            "elapsed": 28.0 * epoch,
            "time_left": 0.0,
            "is_best": metric >= np.maximum.accumulate(metric),
        }
    )


def _write(path: Path, document: dict[str, Any]) -> None:
    _parent(path).write_text(json.dumps(document, allow_nan=False))


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
