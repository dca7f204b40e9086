"""The audit: leakage between splits, copies, classes, unreadable files, and the document."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pellucid.data.audit import Audit, Finding, audit_dataset
from pellucid.data.index import Dataset, read_dataset
from pellucid.task import Target, Task


@dataclass
class Decoded:
    """The part of a pixel cache that the audit looks at."""

    pixels: npt.NDArray[np.uint8]
    readable: npt.NDArray[np.bool_]
    reasons: dict[int, str] = field(default_factory=dict)


def make(n: int = 80, **columns: Any) -> Dataset:
    """Balanced classes, each image its own known patient, no splits; columns replace these."""
    table = pd.DataFrame({"image_id": [f"{row}.png" for row in range(n)]})
    table["patient_id"] = [f"p{row}" for row in range(n)]
    table["label"] = ["ill", "well"] * (n // 2)
    for name, values in columns.items():
        table[name] = values
    task = Task(targets=(Target(name="label", classes=("well", "ill")),))
    return Dataset(table, task, "made", "made", patients_known=True)


def pictures(n: int = 80) -> Decoded:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)
    return Decoded(pixels, np.ones(n, dtype=bool))


def run(dataset: Dataset, cache: Any = None) -> dict[str, Finding]:
    return {finding.code: finding for finding in audit_dataset(dataset, cache).findings}


def test_good_data_has_notes_only() -> None:
    audit = audit_dataset(make(), pictures())  # type: ignore[arg-type]
    assert [finding.code for finding in audit.findings] == ["class_balance"]
    assert not audit.failed
    assert audit.describe() == "NOTE  Classes of 'label': well 50.0%, ill 50.0%."


def test_unknown_patients() -> None:
    dataset = make()
    dataset.patients_known = False
    finding = run(dataset)["no_patients"]
    assert finding.level == "WARN"
    assert "--patient-pattern" in finding.remedy


def test_synthetic_pictures_are_said_to_be_so() -> None:
    dataset = make()
    dataset.synthetic = True
    assert run(dataset)["synthetic"].level == "NOTE"


def test_shared_patients() -> None:
    splits = ["train"] * 40 + ["test"] * 40
    patients = ["p0"] * 2 + [f"p{row}" for row in range(2, 79)] + ["p0"]
    finding = run(make(split=splits, patient_id=patients))["shared_patients"]
    assert finding.level == "FAIL"
    assert finding.message == "1 patient with 3 images stand in more than one split."
    assert finding.image_ids == ("0.png", "1.png", "79.png")
    assert finding.n_rows == 3


@pytest.mark.parametrize(("n", "level"), [(1, "FAIL"), (2, "FAIL"), (3, "WARN"), (9, "WARN")])
def test_few_patients(n: int, level: str) -> None:
    finding = run(make(label=["ill"] * n + ["well"] * (80 - n)))["few_patients"]
    assert finding.level == level
    assert finding.n_rows == n


def test_classes_far_from_balance() -> None:
    finding = run(make(200, label=["ill"] * 12 + ["well"] * 188))["class_balance"]
    assert finding.level == "WARN"
    assert "ill 6.0%" in finding.message


def test_a_class_that_a_split_lacks() -> None:
    splits = np.where(np.arange(80) < 60, "train", "test")
    labels = np.where(np.arange(80) < 60, np.where(np.arange(80) % 2, "ill", "well"), "well")
    found = run(make(split=splits, label=labels))
    assert found["absent_class"].level == "WARN"
    assert "'ill' of 'label' does not stand in test" in found["absent_class"].message
    assert found["split_balance"].level == "WARN"
    splits = np.where(
        np.array(labels) == "ill", "test", np.where(np.arange(80) < 5, "test", "train")
    )
    assert run(make(split=splits, label=labels))["absent_class"].level == "FAIL"


def test_missing_labels() -> None:
    finding = run(make(label=["ill", "well", None, "well"] * 20))["missing_labels"]
    assert finding.level == "NOTE"
    assert (finding.n_rows, len(finding.image_ids)) == (20, 20)


def test_unreadable_files() -> None:
    cache = pictures()
    cache.readable[[3, 5]] = False
    cache.reasons[3] = "cut short"
    audit = audit_dataset(make(), cache)  # type: ignore[arg-type]
    finding = audit.findings[0]
    assert (finding.code, finding.level, finding.n_rows) == ("unreadable", "FAIL", 2)
    assert audit.unreadable == [
        {"image_id": "3.png", "reason": "cut short"},
        {"image_id": "5.png", "reason": "unreadable"},
    ]
    few = pictures(400)
    few.readable[0] = False
    assert run(make(400), few)["unreadable"].level == "WARN"


def test_identical_pictures_within_a_class() -> None:
    cache = pictures()
    cache.pixels[4] = cache.pixels[2]
    cache.pixels[6] = cache.pixels[2]
    found = run(make(), cache)
    assert found["identical"].level == "WARN"
    assert found["identical"].message.startswith("1 identical picture (3 images) are repeated")
    assert set(found["identical"].image_ids) == {"2.png", "4.png", "6.png"}


def test_identical_pictures_in_two_classes() -> None:
    cache = pictures()
    cache.pixels[3] = cache.pixels[2]
    found = run(make(), cache)
    assert found["identical_across_classes"].level == "FAIL"
    assert "identical" not in found


def test_identical_pictures_in_two_splits() -> None:
    cache = pictures()
    cache.pixels[78] = cache.pixels[2]
    found = run(make(split=["train"] * 40 + ["test"] * 40), cache)
    assert found["identical_across_splits"].level == "FAIL"
    assert found["identical_across_splits"].n_rows == 2


def test_a_missing_label_does_not_contradict() -> None:
    cache = pictures()
    cache.pixels[3] = cache.pixels[2]
    labels = ["ill", "well"] * 40
    labels[3] = None  # type: ignore[call-overload]
    assert "identical_across_classes" not in run(make(label=labels), cache)


def test_constant_pictures_are_not_called_identical() -> None:
    cache = pictures()
    cache.pixels[:3] = 9
    cache.pixels[3] = 0
    cache.readable[3] = False
    found = run(make(), cache)
    assert found["constant"].n_rows == 3
    assert not any(code.startswith("identical") for code in found)


def test_at_most_fifty_images_are_listed() -> None:
    cache = pictures(400)
    cache.pixels[:] = cache.pixels[0]
    finding = run(make(400), cache)["identical_across_classes"]
    assert (len(finding.image_ids), finding.n_rows) == (50, 400)


def test_gravest_first_and_one_line_each() -> None:
    audit = audit_dataset(make(label=["ill"] * 2 + ["well"] * 78))
    levels = [line.split()[0] for line in audit.describe().splitlines()]
    assert levels == ["FAIL", "WARN"]
    assert audit.failed
    assert Audit([]).describe() == "The audit found nothing."


def test_the_document(tmp_path: Path) -> None:
    cache = pictures()
    cache.readable[0] = False
    audit = audit_dataset(make(), cache)  # type: ignore[arg-type]
    audit.save(tmp_path / "audit.json")
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document == audit.to_json()
    assert document["format"] == "pellucid-audit"
    assert document["unreadable"] == [{"image_id": "0.png", "reason": "unreadable"}]
    assert {"level", "code", "message", "image_ids", "n_rows", "remedy"} == set(
        document["findings"][0]
    )


def test_real_labels(shared_data: Path) -> None:
    found = run(read_dataset(shared_data / "covid_xray" / "metadata.csv"))
    assert found["few_patients"].level == "WARN"
    assert found["class_balance"].level == "WARN"
    folder = shared_data / "medmnist"
    path = folder / "pneumoniamnist.npz"
    dataset = read_dataset(path, patients=folder / "pneumoniamnist_patients.csv")
    assert "253 patients" in run(dataset)["shared_patients"].message
