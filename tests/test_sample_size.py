"""The sample-size line: the width of interval that so many patients give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from decoded import make_dataset
from pellucid.auditing.findings import Finding
from pellucid.auditing.sample_size import expected_interval, find_sample_size, wilson_half_width
from pellucid.data.index import Dataset


def run(dataset: Dataset) -> Finding:
    return next(iter(find_sample_size(dataset)))


@pytest.mark.parametrize(("ill", "well"), [(20, 60), (50, 50), (100, 300)])
def test_simulated_auroc_spreads_as_expected(ill: int, well: int) -> None:
    random = np.random.default_rng(0)
    apart = np.sqrt(2) * norm.ppf(0.85)
    truth = np.array([1] * ill + [0] * well)
    values = [
        roc_auc_score(truth, random.normal(size=ill + well) + apart * truth) for _ in range(400)
    ]
    assert expected_interval(ill, well).auroc == pytest.approx(1.96 * np.std(values), rel=0.2)


def test_more_patients_are_known_better() -> None:
    widths = [expected_interval(n, n).auroc for n in (10, 40, 160)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.1)
    assert wilson_half_width(0.8, 100) == pytest.approx(0.0777, abs=0.001)


def test_given_splits_are_counted_by_patient() -> None:
    splits = ["train"] * 40 + ["test"] * 40
    patients = [f"p{row // 2}" for row in range(80)]
    labels = ["ill" if row // 2 % 2 else "well" for row in range(80)]
    finding = run(make_dataset(split=splits, patient_id=patients, label=labels))
    assert (finding.figures["n_positive"], finding.figures["n_negative"]) == (10, 10)
    assert finding.level == "WARN"
    assert "±0.10" in finding.remedy
    assert "would be" not in finding.message


def test_enough_patients_are_a_note() -> None:
    finding = run(make_dataset(2000))
    assert finding.level == "NOTE"
    assert finding.remedy == ""
    assert "would be in test" in finding.message


def test_a_class_of_nobody_has_no_line() -> None:
    assert list(find_sample_size(make_dataset(label=["ill"] * 80))) == []
