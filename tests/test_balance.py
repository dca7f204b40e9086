"""Prior shift between splits: told when large and beyond chance, by patients and not by images."""

from __future__ import annotations

import numpy as np
import pytest

from decoded import make_dataset
from pellucid.auditing.balance import find_imbalance, prior_shifts
from pellucid.auditing.findings import Finding
from pellucid.data.index import Dataset


def run(dataset: Dataset) -> dict[str, Finding]:
    return {finding.code: finding for finding in find_imbalance(dataset)}


def dealt(seed: int, n: int = 400, of_patient: int = 4) -> Dataset:
    """Patients of several images and one class each, dealt to splits at random."""
    random = np.random.default_rng(seed)
    patients = np.arange(n) // of_patient
    classes = random.choice(["ill", "well"], patients[-1] + 1, p=[0.3, 0.7])
    splits = random.choice(["train", "validation", "test"], patients[-1] + 1, p=[0.7, 0.15, 0.15])
    return make_dataset(
        n,
        patient_id=[f"p{patient}" for patient in patients],
        label=classes[patients],
        split=splits[patients],
    )


def test_dealt_at_random_it_is_seldom_told() -> None:
    told = sum("split_balance" in run(dealt(seed)) for seed in range(300))
    assert told <= 9  # 1 in 100 is meant: 3 of 300, and more than 9 has a chance of 1 in 1,000


def test_p_values_are_those_of_dealing_patients_anew() -> None:
    values = []
    for seed in range(300):
        dataset = dealt(seed)
        shifts = prior_shifts(dataset.table, dataset.task.targets[0])
        values.append(next(s.p for s in shifts if (s.split, s.label) == ("test", "ill")))
    assert 0.02 <= np.mean(np.array(values) < 0.05) <= 0.09
    assert 0.4 < np.mean(values) < 0.6


def test_a_large_shift_is_told() -> None:
    labels = np.where(np.arange(400) % 2, "ill", "well").astype(object)
    splits = np.where(np.arange(400) < 300, "train", "test")
    labels[300:380] = "ill"
    finding = run(make_dataset(400, label=labels, split=splits))["split_balance"]
    assert finding.level == "WARN"
    assert "more than chance explains" in finding.message
    external = np.where(splits == "test", "external_test", splits)
    found = run(make_dataset(400, label=labels, split=external))
    assert found["split_balance"].level == "NOTE"


@pytest.mark.parametrize("rows", [1, 2])
def test_one_split_alone_has_no_shift(rows: int) -> None:
    dataset = make_dataset(rows, split=["train"] * rows)
    assert prior_shifts(dataset.table, dataset.task.targets[0]) == []
