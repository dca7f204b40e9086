"""Resampling patients: whole patients, all classes, and intervals that hold the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

from pellucid.evaluation.document import evaluate_predictions
from pellucid.evaluation.uncertainty.intervals import (
    MOST_LEFT_OUT,
    Patients,
    bca_interval,
    draw_weights,
    group_patients,
    jackknife_interval,
    leave_out,
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


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The mean of values (n,), one a patient, for weights (b, n)."""
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def alone(n: int) -> Patients:
    """Patients with one image each, all of one class."""
    return group_patients(np.arange(n).astype(str), np.zeros(n, dtype=np.int64), 1)


def test_unstratified_resamples_let_the_classes_vary() -> None:
    ids, codes = np.arange(40).astype(str), np.arange(40) % 2
    patients = group_patients(ids, codes, 2)
    (free,) = draw_weights(patients, 200, seed=0, stratified=False)
    sick = free[:, patients.stratum == 1].sum(axis=1)
    assert set(free.sum(axis=1)) == {40.0}
    assert 2.5 < sick.std() < 4.0  # binomial: the square root of 10


def test_leaving_out_equals_a_plain_loop() -> None:
    values = np.random.default_rng(0).normal(size=30)
    left_out = leave_out(mean_of(values), alone(30))["mean"]
    assert left_out == pytest.approx([np.delete(values, row).mean() for row in range(30)])


def test_leaving_out_groups_is_as_good_for_many_patients() -> None:
    values = np.random.default_rng(1).normal(size=5000)
    left_out = leave_out(mean_of(values), alone(5000))["mean"]
    assert left_out.shape == (MOST_LEFT_OUT,)
    error = math.sqrt(
        (MOST_LEFT_OUT - 1) / MOST_LEFT_OUT * ((left_out - left_out.mean()) ** 2).sum()
    )
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(5000), rel=0.1)


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    """On no scale at all it would be mean ± t · s / √n exactly; near 0 Fisher's z is no scale."""
    values = np.random.default_rng(2).normal(scale=1e-4, size=25)
    left_out = leave_out(mean_of(values), alone(25))["mean"]
    low, high = jackknife_interval(float(values.mean()), left_out, "Fisher's z", 24)
    reach = student.ppf(0.975, 24) * values.std(ddof=1) / 5
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-10)


def test_the_jackknife_stays_on_its_scale_or_says_nothing() -> None:
    left_out = np.array([0.97, 0.99, 0.98, 0.985])
    low, high = jackknife_interval(0.98, left_out, "logit", 3)
    assert 0 < low < 0.98 < high < 1
    assert math.isnan(jackknife_interval(1.0, left_out, "logit", 3)[0])
    assert math.isnan(jackknife_interval(0.98, np.array([0.97, 1.0]), "logit", 3)[0])
    assert math.isnan(jackknife_interval(0.98, np.array([0.97, np.nan]), "logit", 3)[0])
    assert math.isnan(jackknife_interval(0.98, np.full(4, 0.98), "logit", 3)[0])
    assert jackknife_interval(2.0, np.array([1.9, 2.0, 2.2]), "log", 2)[0] > 0


def test_bca_equals_scipy() -> None:
    values = np.random.default_rng(3).exponential(size=60)
    patients = alone(60)
    drawn = resample(mean_of(values), patients, 4000, seed=4)["mean"]
    found = bca_interval(drawn, float(values.mean()), leave_out(mean_of(values), patients)["mean"])
    expected = bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(5)
    ).confidence_interval
    width = expected.high - expected.low
    assert found == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    assert found[1] > percentile_interval(drawn)[1]  # the right tail is longer


def test_bca_without_bias_or_skew_is_the_percentile_interval() -> None:
    drawn = norm.ppf((np.arange(999) + 0.5) / 999)
    left_out = np.array([-0.1, 0.1, -0.1, 0.1])
    assert bca_interval(drawn, 0.0, left_out) == pytest.approx(percentile_interval(drawn), abs=1e-6)


def test_bca_of_undefined_values_is_undefined() -> None:
    left_out = np.array([0.1, 0.2])
    assert math.isnan(bca_interval(np.full(50, np.nan), 0.5, left_out)[0])
    assert math.isnan(bca_interval(np.linspace(0, 1, 50), 0.5, np.array([np.nan, 1.0]))[0])
    assert bca_interval(np.full(50, 0.5), 0.5, np.full(4, 0.5)) == (0.5, 0.5)
