"""Resampling patients: whole patients, all classes, and intervals that hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid.evaluation.document import evaluate_predictions
from pellucid.evaluation.intervals import (
    draw_weights,
    group_patients,
    percentile_interval,
    resample,
)
from tables import make_table


def test_a_resample_has_as_many_patients_of_each_stratum() -> None:
    ids = np.array(["a", "a", "b", "c", "d", "e"], dtype=object)
    codes = np.array([0, 0, 0, 1, 1, 0])
    patients = group_patients(ids, codes, 2)
    assert patients.n == 5
    (weights,) = draw_weights(patients, 50, seed=1)
    sick = patients.stratum == patients.stratum[patients.of_image[3]]
    assert weights.shape == (50, 5)
    assert set(weights[:, sick].sum(axis=1)) == {2.0}
    assert set(weights[:, ~sick].sum(axis=1)) == {3.0}


def test_a_patient_with_two_classes_is_a_stratum_of_its_own() -> None:
    patients = group_patients(np.array(["a", "a", "b", "c"]), np.array([0, 1, 0, 1]), 2)
    assert len(set(patients.stratum.tolist())) == 3


def test_seeded() -> None:
    patients = group_patients(np.arange(20).astype(str), np.arange(20) % 2, 2)
    first, again, other = (next(draw_weights(patients, 5, seed)) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_resample_joins_blocks_in_order() -> None:
    patients = group_patients(np.arange(30_000).astype(str), np.zeros(30_000, dtype=np.int64), 1)
    drawn = resample(lambda w: {"n": w.sum(axis=1)}, patients, 150, seed=0)
    assert drawn["n"].tolist() == [30_000.0] * 150


def test_percentiles_leave_undefined_resamples_out_unless_many() -> None:
    values = np.r_[np.linspace(0, 1, 95), np.full(5, np.nan)]
    low, high = percentile_interval(values)
    assert (low, high) == pytest.approx((0.025, 0.975))
    values[:20] = np.nan
    assert math.isnan(percentile_interval(values)[0])


def test_images_that_agree_within_patients_widen_the_interval() -> None:
    table = make_table(60, separation=0.8, seed=5)
    tripled = table.loc[table.index.repeat(3)].reset_index(drop=True)
    tripled["image_id"] = [f"{row}" for row in range(len(tripled))]

    def width(ids: object) -> float:
        judged = tripled.assign(patient_id=ids)
        figure = evaluate_predictions(judged)["blocks"][0]["metrics"]["auroc"]
        return float(figure["high"] - figure["low"])

    assert width(tripled["patient_id"]) > 1.4 * width(tripled["image_id"])


@pytest.mark.slow
def test_the_interval_of_auroc_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    truth = float(1 - 0.23975)  # P(X1 > X0) for unit normals one apart: Phi(1 / sqrt 2)
    for seed in range(100):
        random = np.random.default_rng(seed)
        table = make_table(200, seed=seed)
        yes = table["y_true"] == "yes"
        table["probability_yes"] = 1 / (1 + np.exp(-random.normal(size=200) - yes))
        table["probability_no"] = 1 - table["probability_yes"]
        figure = evaluate_predictions(table, n_resamples=300)["blocks"][0]["metrics"]["auroc"]
        held += figure["low"] <= truth <= figure["high"]
    assert 88 <= held <= 100
