"""The audit: leakage between splits, copies, classes, unreadable files, and the document."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from decoded import decode, make_dataset, noise
from pellucid.auditing.audit import audit_dataset
from pellucid.auditing.findings import Audit, Finding
from pellucid.data.cache import PixelCache
from pellucid.data.index import Dataset, read_dataset


def run(dataset: Dataset, cache: PixelCache | None = None) -> dict[str, Finding]:
    return {finding.code: finding for finding in audit_dataset(dataset, cache).findings}


def test_good_data_has_no_fail_and_only_what_it_deserves() -> None:
    audit = audit_dataset(make_dataset(), decode(noise()))
    levels = {finding.code: finding.level for finding in audit.findings}
    assert levels == {"sample_size": "WARN", "class_balance": "NOTE", "tiny": "NOTE"}
    assert not audit.failed
    assert "NOTE  Classes of 'label': well 50.0%, ill 50.0%." in audit.describe()


def test_unknown_patients() -> None:
    dataset = make_dataset()
    dataset.patients_known = False
    finding = run(dataset)["no_patients"]
    assert finding.level == "WARN"
    assert "--patient-pattern" in finding.remedy


def test_synthetic_pictures_are_said_to_be_so() -> None:
    dataset = make_dataset()
    dataset.synthetic = True
    assert run(dataset)["synthetic"].level == "NOTE"


def test_shared_patients() -> None:
    splits = ["train"] * 40 + ["test"] * 40
    patients = ["p0"] * 2 + [f"p{row}" for row in range(2, 79)] + ["p0"]
    finding = run(make_dataset(split=splits, patient_id=patients))["shared_patients"]
    assert finding.level == "FAIL"
    assert finding.message == "1 patient with 3 images stand in more than one split."
    assert finding.image_ids == ("0.png", "1.png", "79.png")
    assert finding.n_rows == 3


@pytest.mark.parametrize(("n", "level"), [(1, "FAIL"), (2, "FAIL"), (3, "WARN"), (9, "WARN")])
def test_few_patients(n: int, level: str) -> None:
    finding = run(make_dataset(label=["ill"] * n + ["well"] * (80 - n)))["few_patients"]
    assert finding.level == level
    assert finding.n_rows == n


def test_classes_far_from_balance() -> None:
    finding = run(make_dataset(200, label=["ill"] * 12 + ["well"] * 188))["class_balance"]
    assert finding.level == "WARN"
    assert "ill 6.0%" in finding.message


def test_a_class_that_a_split_lacks() -> None:
    splits = np.where(np.arange(80) < 60, "train", "test")
    labels = np.where(np.arange(80) < 60, np.where(np.arange(80) % 2, "ill", "well"), "well")
    found = run(make_dataset(split=splits, label=labels))
    assert found["absent_class"].level == "WARN"
    assert "'ill' of 'label' does not stand in test" in found["absent_class"].message
    assert found["split_balance"].level == "WARN"
    splits = np.where(
        np.array(labels) == "ill", "test", np.where(np.arange(80) < 5, "test", "train")
    )
    assert run(make_dataset(split=splits, label=labels))["absent_class"].level == "FAIL"


def test_missing_labels() -> None:
    finding = run(make_dataset(label=["ill", "well", None, "well"] * 20))["missing_labels"]
    assert finding.level == "NOTE"
    assert (finding.n_rows, len(finding.image_ids)) == (20, 20)


def test_unreadable_files() -> None:
    cache = decode(noise())
    cache.readable[[3, 5]] = False
    cache.reasons[3] = "cut short"
    audit = audit_dataset(make_dataset(), cache)
    finding = audit.findings[0]
    assert (finding.code, finding.level, finding.n_rows) == ("unreadable", "FAIL", 2)
    assert audit.unreadable == [
        {"image_id": "3.png", "reason": "cut short"},
        {"image_id": "5.png", "reason": "unreadable"},
    ]
    few = decode(noise(400))
    few.readable[0] = False
    assert run(make_dataset(400), few)["unreadable"].level == "WARN"


def test_identical_pictures_within_a_class() -> None:
    pictures = noise()
    pictures[4] = pictures[2]
    pictures[6] = pictures[2]
    dataset = make_dataset()
    dataset.patients_known = False
    found = run(dataset, decode(pictures))
    assert found["identical"].level == "WARN"
    assert found["identical"].message.startswith("1 identical picture (3 images) are repeated")
    assert set(found["identical"].image_ids) == {"2.png", "4.png", "6.png"}


def test_identical_pictures_in_two_classes() -> None:
    pictures = noise()
    pictures[3] = pictures[2]
    found = run(make_dataset(), decode(pictures))
    assert found["identical_across_classes"].level == "FAIL"
    assert "identical" not in found


def test_identical_pictures_in_two_splits() -> None:
    pictures = noise()
    pictures[78] = pictures[2]
    found = run(make_dataset(split=["train"] * 40 + ["test"] * 40), decode(pictures))
    assert found["identical_across_splits"].level == "FAIL"
    assert found["identical_across_splits"].n_rows == 2


def test_a_missing_label_does_not_contradict() -> None:
    pictures = noise()
    pictures[3] = pictures[2]
    labels = ["ill", "well"] * 40
    labels[3] = None  # type: ignore[call-overload]
    assert "identical_across_classes" not in run(make_dataset(label=labels), decode(pictures))


def test_constant_pictures_are_not_called_identical() -> None:
    pictures = noise()
    pictures[:3] = 9
    pictures[3] = 0
    cache = decode(pictures)
    cache.readable[3] = False
    found = run(make_dataset(), cache)
    assert found["constant"].n_rows == 3
    assert not any(code.startswith("identical") for code in found)


def test_at_most_a_thousand_images_are_listed() -> None:
    pictures = noise(1200)
    pictures[:] = pictures[0]
    finding = run(make_dataset(1200), decode(pictures))["identical_across_classes"]
    assert (len(finding.image_ids), finding.n_rows) == (1000, 1200)


def test_gravest_first_and_one_line_each() -> None:
    audit = audit_dataset(make_dataset(label=["ill"] * 2 + ["well"] * 78))
    levels = [line.split()[0] for line in audit.describe().splitlines()]
    assert levels == ["FAIL", "WARN"]
    assert audit.failed
    assert Audit([]).describe() == "The audit found nothing."


def test_the_document(tmp_path: Path) -> None:
    cache = decode(noise())
    cache.readable[0] = False
    audit = audit_dataset(make_dataset(), cache)
    audit.save(tmp_path / "audit.json")
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document == json.loads(json.dumps(audit.to_json()))
    assert document["format"] == "pellucid-audit"
    assert document["unreadable"] == [{"image_id": "0.png", "reason": "unreadable"}]
    assert set(document["findings"][0]) == {field.name for field in fields(Finding)}


def test_real_labels(shared_data: Path) -> None:
    found = run(read_dataset(shared_data / "covid_xray" / "metadata.csv"))
    assert found["few_patients"].level == "WARN"
    assert found["class_balance"].level == "WARN"
    folder = shared_data / "medmnist"
    path = folder / "pneumoniamnist.npz"
    dataset = read_dataset(path, patients=folder / "pneumoniamnist_patients.csv")
    assert "253 patients" in run(dataset)["shared_patients"].message
