"""DeLong's variance, covariance and paired test, beside slow oracles and DeLong's own data."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pellucid.evaluation.uncertainty.delong import (
    auroc_delong,
    delong_covariance,
    logit_interval,
    newcombe_interval,
    paired_delong,
    placement_values,
)

Array = npt.NDArray[np.float64]

# Ovarian cancer with intestinal obstruction, DeLong et al. 1988: albumin, total protein, K-G score,
# and whether surgery would not help (0) or would (1); the 43 patients with all three, as printed in
# the documentation of SAS/STAT, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves"
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def ovarian() -> tuple[Array, npt.NDArray[np.bool_]]:
    rows = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    scores = np.stack([rows[:, 0], rows[:, 1], -rows[:, 2]])  # a high K-G score is a bad sign
    return scores, rows[:, 3] == 1


def kernel(positive: Array, negative: Array) -> Array:
    """Every pair (n positive, n negative): 1 where ranked rightly, half where tied."""
    return (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)


def oracle_covariance(scores: Array, is_class: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """DeLong et al. 1988 from all n² pairs: the covariance of structural components."""
    pairs = [kernel(row[is_class], row[~is_class]) for row in scores]
    positive = np.array([p.mean(axis=1) for p in pairs])
    negative = np.array([p.mean(axis=0) for p in pairs])
    spread = np.cov(positive) / is_class.sum() + np.cov(negative) / (~is_class).sum()
    return positive.mean(axis=1), np.atleast_2d(spread)


def oracle_clustered(
    first: Array, second: Array, is_class: npt.NDArray[np.bool_], clusters: Array
) -> float:
    """Obuchowski 1997, equations 3 to 7, patient by patient in plain loops: one covariance."""
    names = sorted(set(clusters.tolist()))
    m_all, n_all = int(is_class.sum()), int((~is_class).sum())
    sums = []
    for scores in (first, second):
        area = kernel(scores[is_class], scores[~is_class]).mean()
        rows = []
        for name in names:
            own = clusters == name
            x, y = scores[own & is_class], scores[own & ~is_class]
            over = kernel(x, scores[~is_class]).mean(axis=1).sum() if len(x) else 0.0
            under = kernel(scores[is_class], y).mean(axis=0).sum() if len(y) else 0.0
            rows.append((over - len(x) * area, under - len(y) * area))
        sums.append(np.array(rows))
    i_all = len(names)
    i_10 = len(set(clusters[is_class].tolist()))
    i_01 = len(set(clusters[~is_class].tolist()))
    a, b = sums
    s_10 = i_10 / ((i_10 - 1) * m_all) * (a[:, 0] * b[:, 0]).sum()
    s_01 = i_01 / ((i_01 - 1) * n_all) * (a[:, 1] * b[:, 1]).sum()
    s_11 = i_all / (i_all - 1) * ((a[:, 0] * b[:, 1]).sum() + (a[:, 1] * b[:, 0]).sum())
    return float(s_10 / m_all + s_01 / n_all + s_11 / (m_all * n_all))


def sample(seed: int, n: int = 60, decimals: int = 1) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Three models' scores with many ties, each knowing the class a little."""
    random = np.random.default_rng(seed)
    is_class = random.random(n) < 0.4
    is_class[:4] = [True, False, True, False]
    shared = random.normal(size=n)
    scores = [shared + random.normal(size=n) + step * is_class for step in (0.5, 1.0, 1.5)]
    return np.array(scores).round(decimals), is_class


def test_delongs_own_patients() -> None:
    scores, helped = ovarian()
    values, covariance = delong_covariance(scores, helped)
    expected_values, expected = oracle_covariance(scores, helped)
    assert values == pytest.approx(expected_values, abs=1e-12)
    assert covariance == pytest.approx(expected, abs=1e-12)
    assert values == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    test = paired_delong(scores[2], scores[0], helped)
    assert test[:3] == pytest.approx([0.0108, -0.1761, 0.1976], abs=5e-5)
    assert test.z**2 == pytest.approx(0.0127, abs=5e-5)
    assert test.p == pytest.approx(0.9102, abs=5e-5)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_covariance_equals_the_oracle_of_all_pairs(seed: int, decimals: int) -> None:
    scores, is_class = sample(seed, decimals=decimals)
    values, covariance = delong_covariance(scores, is_class)
    expected_values, expected = oracle_covariance(scores, is_class)
    assert values == pytest.approx(expected_values, abs=1e-12)
    assert values == pytest.approx([roc_auc_score(is_class, row) for row in scores], abs=1e-12)
    assert covariance == pytest.approx(expected, abs=1e-12)
    one = auroc_delong(scores[0], is_class)
    assert one == pytest.approx((values[0], covariance[0, 0]), abs=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_clustered_covariance_equals_the_loops(seed: int) -> None:
    scores, is_class = sample(seed)
    clusters = np.random.default_rng(seed + 99).integers(0, 18, len(is_class))
    _, covariance = delong_covariance(scores, is_class, clusters)
    for i in range(3):
        for j in range(3):
            expected = oracle_clustered(scores[i], scores[j], is_class, clusters)
            assert covariance[i, j] == pytest.approx(expected, abs=1e-12)


def test_one_image_a_patient_is_delong_itself() -> None:
    scores, is_class = sample(3)
    names = np.array([f"P{number}" for number in range(len(is_class))], dtype=object)
    plain, by_name = delong_covariance(scores, is_class), delong_covariance(scores, is_class, names)
    assert plain[1] == pytest.approx(by_name[1], abs=1e-15)


def test_copied_images_add_nothing_when_patients_are_known() -> None:
    scores, is_class = sample(5)
    value, variance = auroc_delong(scores[0], is_class)
    thrice, classes = np.tile(scores[0], 3), np.tile(is_class, 3)
    patients = np.tile(np.arange(len(is_class)), 3)
    assert auroc_delong(thrice, classes, patients) == pytest.approx((value, variance), abs=1e-12)
    assert auroc_delong(thrice, classes)[1] < 0.4 * variance


def test_the_order_of_rows_and_any_rising_map_change_nothing() -> None:
    scores, is_class = sample(7)
    clusters = np.random.default_rng(1).integers(0, 20, len(is_class))
    expected = auroc_delong(scores[1], is_class, clusters)
    order = np.random.default_rng(2).permutation(len(is_class))
    moved = auroc_delong(np.exp(scores[1])[order], is_class[order], clusters[order])
    assert moved == pytest.approx(expected, abs=1e-12)
    flipped = auroc_delong(-scores[1], ~is_class, clusters)
    assert flipped == pytest.approx(expected, abs=1e-12)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 5)), min_size=4, max_size=30
    )
)
@settings(max_examples=200, deadline=None)
def test_value_and_variance_are_sound_on_any_table(rows: list[tuple[int, bool, int]]) -> None:
    scores = np.array([row[0] for row in rows], dtype=float)
    is_class = np.array([row[1] for row in rows])
    clusters = np.array([row[2] for row in rows])
    value, variance = auroc_delong(scores, is_class, clusters)
    if is_class.all() or not is_class.any():
        assert math.isnan(value)
        assert math.isnan(variance)
        return
    assert value == pytest.approx(roc_auc_score(is_class, scores), abs=1e-12)
    placements = placement_values(scores[None], is_class)
    assert ((placements >= 0) & (placements <= 1)).all()
    few = min(len(set(clusters[is_class])), len(set(clusters[~is_class]))) < 2
    assert math.isnan(variance) == few
    if not few:
        assert variance == pytest.approx(
            oracle_clustered(scores, scores, is_class, clusters), abs=1e-12
        )


def test_perfect_and_constant_scores() -> None:
    is_class = np.array([False, False, True, True])
    assert auroc_delong(np.array([0.1, 0.2, 0.8, 0.9]), is_class) == (1.0, 0.0)
    assert auroc_delong(np.full(4, 0.5), is_class) == (0.5, 0.0)
    assert math.isnan(logit_interval(1.0, 0.0)[0])


def test_an_absent_class_is_undefined() -> None:
    value, variance = auroc_delong(np.array([0.1, 0.2]), np.array([True, True]))
    assert math.isnan(value)
    assert math.isnan(variance)


def test_one_patient_in_a_class_has_a_value_but_no_variance() -> None:
    value, variance = auroc_delong(np.array([0.1, 0.2, 0.3]), np.array([False, False, True]))
    assert value == 1.0
    assert math.isnan(variance)


def test_paired_test_is_the_difference_over_its_error() -> None:
    scores, is_class = sample(11)
    clusters = np.random.default_rng(4).integers(0, 25, len(is_class))
    values, c = delong_covariance(scores[:2], is_class, clusters)
    error = math.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    test = paired_delong(scores[0], scores[1], is_class, clusters)
    assert test.difference == pytest.approx(values[1] - values[0], abs=1e-12)
    assert test.z == pytest.approx((values[1] - values[0]) / error, abs=1e-9)
    assert test.p == pytest.approx(2 * (1 - norm.cdf(abs(test.z))), abs=1e-9)
    assert test.high - test.low == pytest.approx(2 * 1.959963985 * error, abs=1e-9)
    turned = paired_delong(scores[1], scores[0], is_class, clusters)
    assert turned.difference == pytest.approx(-test.difference)
    assert turned.p == pytest.approx(test.p)


def test_equal_models_do_not_differ() -> None:
    scores, is_class = sample(13)
    assert paired_delong(scores[0], 2 * scores[0] + 1, is_class) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_a_difference_without_variance_has_no_test() -> None:
    is_class = np.array([False, False, True, True])
    right = np.array([0.1, 0.2, 0.8, 0.9])
    test = paired_delong(1 - right, right, is_class)
    assert test.difference == 1.0
    assert math.isnan(test.p)
    assert math.isnan(test.low)


def test_logit_interval() -> None:
    low, high = logit_interval(0.9, 0.03**2)
    assert (low, high) == pytest.approx((0.8240314265656978, 0.9453468944748933), abs=1e-12)
    wider = logit_interval(0.9, 0.03**2, degrees=5)
    assert 0 < wider[0] < low < 0.9 < high < wider[1] < 1


@pytest.mark.parametrize("value", [0.0, 0.3, 0.95, 0.999, 1.0])
@pytest.mark.parametrize(("m", "n"), [(10, 10), (12, 400), (33.3, 17.9)])
def test_newcombes_bounds_solve_his_equation(value: float, m: float, n: float) -> None:
    low, high = newcombe_interval(value, m, n)
    assert 0 <= low <= value <= high <= 1
    for bound in (low, high):
        middle = (m + n) / 2 - 1
        shape = 1 + middle * (1 - bound) / (2 - bound) + middle * bound / (1 + bound)
        variance = bound * (1 - bound) * shape / (m * n)
        assert (value - bound) ** 2 == pytest.approx(1.959963985**2 * variance, abs=1e-9)


def test_newcombes_interval_narrows_with_patients_and_turns_with_the_scores() -> None:
    assert newcombe_interval(1.0, 100, 100)[0] > newcombe_interval(1.0, 20, 20)[0] > 0.85
    low, high = newcombe_interval(0.97, 30, 30)
    assert newcombe_interval(0.03, 30, 30) == pytest.approx((1 - high, 1 - low), abs=1e-9)
