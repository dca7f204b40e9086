"""Whom a model was trained on: recognised, never listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.bundle.trained_on import (
    check_not_trained_on,
    fingerprint_patients,
    fingerprint_training,
    load_trained_on,
    save_trained_on,
)
from pellucid.errors import BundleError, SplitError


def cohort() -> pd.DataFrame:
    table = pd.DataFrame({"patient_id": [f"Patient-{number:04d}" for number in range(1000)]})
    table["split"] = np.where(np.arange(1000) < 700, "train", "validation")
    table.loc[850:, "split"] = "test"
    return table


def test_test_patients_pass_and_training_patients_do_not() -> None:
    table = cohort()
    trained_on = fingerprint_training(table)
    check_not_trained_on(table, trained_on)
    table.loc[[3, 4, 800], "split"] = "test"
    with pytest.raises(SplitError, match="3 patients of 153 called test"):
        check_not_trained_on(table, trained_on)


def test_it_is_kept_without_ids(tmp_path: Path) -> None:
    trained_on = fingerprint_training(cohort())
    text = save_trained_on(trained_on, tmp_path).read_text()
    assert "Patient" not in text
    again = load_trained_on(tmp_path)
    assert again is not None
    assert again.salt == trained_on.salt
    assert (again.fingerprints == trained_on.fingerprints).all()
    assert len(again.fingerprints) == 850
    assert load_trained_on(tmp_path / "elsewhere") is None


def test_two_bundles_cannot_be_compared() -> None:
    first, second = fingerprint_training(cohort()), fingerprint_training(cohort())
    assert first.salt != second.salt
    assert not np.isin(first.fingerprints, second.fingerprints).any()
    same = fingerprint_patients(["a", "b"], b"salt")
    assert same.tolist() == fingerprint_patients(["a", "b"], b"salt").tolist()


def test_strangers_are_not_refused_where_chance_mistakes_some() -> None:
    table = pd.DataFrame({"patient_id": [f"p{number}" for number in range(220_000)]})
    table["split"] = np.where(np.arange(220_000) < 200_000, "train", "test")
    mistaken = 0
    for salt in (b"1234567890123456", b"abcdefghijklmnop", b"ABCDEFGHIJKLMNOP"):
        trained_on = fingerprint_training(table, salt)
        strangers = fingerprint_patients(table.loc[200_000:, "patient_id"], salt)
        mistaken += int(np.isin(strangers, trained_on.fingerprints).sum())
        check_not_trained_on(table, trained_on)
    assert 0 < mistaken < 15  # 0.93 expected of each
    table.loc[:7, "split"] = "test"
    with pytest.raises(SplitError, match=r"of 20,008 called test.*equal ids are different people"):
        check_not_trained_on(table, trained_on)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "other", "version": 1}',
        "\0",
        "[" * 100_000,
        '{"format": "pellucid-trained-on", "version": 1, "salt": "00", "fingerprints": ""}',
        '{"format": "pellucid-trained-on", "version": 1, "salt": "%s", "fingerprints": ""}'
        % ("00" * 65),
    ],
)
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "trained_on.json").write_text(text)
    with pytest.raises(BundleError):
        load_trained_on(tmp_path)


def test_a_wrong_length(tmp_path: Path) -> None:
    document = fingerprint_training(cohort()).to_json()
    document["fingerprints"] = "AAAA"
    (tmp_path / "trained_on.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="damaged"):
        load_trained_on(tmp_path)
