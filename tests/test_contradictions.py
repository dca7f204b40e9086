"""Patients under two classes: a note over time, a warning within one study, day or side."""

from __future__ import annotations

import pytest

from decoded import make_dataset
from pellucid.auditing.contradictions import find_contradictions
from pellucid.auditing.findings import Finding
from pellucid.data.index import Dataset

PAIRS = [f"p{row // 2}" for row in range(80)]  # each patient well and ill


def run(dataset: Dataset) -> dict[str, Finding]:
    return {finding.code: finding for finding in find_contradictions(dataset)}


def test_one_class_a_patient_is_no_contradiction() -> None:
    assert run(make_dataset()) == {}
    assert run(make_dataset(patient_id=PAIRS, label=["ill"] * 40 + ["well"] * 40)) == {}


def test_over_time_it_may_be_right() -> None:
    finding = run(make_dataset(patient_id=PAIRS))["contradicting_labels"]
    assert finding.level == "NOTE"
    assert finding.message.startswith("40 patients (100.0%) with 80 images")


@pytest.mark.parametrize("column", ["StudyInstanceUID", "study_date", "exam date"])
def test_within_a_study_or_a_day_it_warns(column: str) -> None:
    days = [f"d{row // 2}" for row in range(80)]
    found = run(make_dataset(patient_id=PAIRS, **{column: days}))
    assert found["contradicting_studies"].level == "WARN"
    assert "contradicting_labels" not in found


def test_two_eyes_of_a_day_do_not_contradict() -> None:
    days = [f"d{row // 2}" for row in range(80)]
    found = run(make_dataset(patient_id=PAIRS, date=days, eye=["left", "right"] * 40))
    assert set(found) == {"contradicting_labels"}


def test_frames_of_one_object_have_labels_of_their_own() -> None:
    days = [f"d{row // 2}" for row in range(80)]
    paths = [f"clip{row // 2}" for row in range(80)]
    found = run(make_dataset(patient_id=PAIRS, date=days, image_path=paths))
    assert set(found) == {"contradicting_labels"}


def test_unknown_patients_and_missing_labels_tell_nothing() -> None:
    dataset = make_dataset(patient_id=PAIRS)
    dataset.patients_known = False
    assert run(dataset) == {}
    assert run(make_dataset(patient_id=PAIRS, label=["ill", None] * 40)) == {}
