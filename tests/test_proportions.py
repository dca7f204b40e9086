"""Intervals of shares: published examples, exact coverage, and patients with several images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from scipy.stats import t as student

from pellucid.evaluation.uncertainty.proportions import (
    clopper_pearson,
    effective_size,
    kish_size,
    share_interval,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "n", "score", "exact"),
    [  # Newcombe 1998, Statistics in Medicine 17:857, table I, methods 3 and 5
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_the_examples_of_newcombe(
    hits: int, n: int, score: tuple[float, float], exact: tuple[float, float]
) -> None:
    assert wilson(hits / n, n) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(hits, n) == pytest.approx(exact, abs=5e-5)


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=100, deadline=None)
def test_equal_to_scipys_binomial_intervals(n: int, share: float, confidence: float) -> None:
    hits = round(share * n)
    test = binomtest(hits, n)
    for method, found in (
        ("wilson", wilson(hits / n, n, confidence)),
        ("exact", clopper_pearson(hits, n, confidence)),
    ):
        expected = test.proportion_ci(confidence, method)
        assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def held(n: int, truth: float, bounds: list[tuple[float, float]]) -> float:
    """How often, exactly, the intervals of 0 … n hits hold the truth."""
    inside = np.array([low <= truth <= high for low, high in bounds])
    return float(binom.pmf(np.arange(n + 1), n, truth)[inside].sum())


@pytest.mark.parametrize("truth", [0.1, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [10, 50, 200])
def test_exact_coverage_over_all_outcomes(n: int, truth: float) -> None:
    """Discreteness: with 10 images no method comes nearer than a few per cent."""
    exact = held(n, truth, [clopper_pearson(k, n) for k in range(n + 1)])
    assert exact >= 0.95
    score = held(n, truth, [wilson(k / n, n) for k in range(n + 1)])
    assert 0.91 <= score <= 0.99
    if n == 200:
        assert abs(score - 0.95) < 0.02


def test_one_image_a_patient_is_plain_wilson() -> None:
    hits = np.array([1] * 30 + [0] * 12)
    low, high, method = share_interval(hits, np.ones(42))
    assert (low, high) == wilson(30 / 42, 42)
    assert method == "Wilson, 42 independent patients"


def test_effective_size_by_hand() -> None:
    """Three images each of six patients, all right or all wrong: six patients, and Student's t."""
    hits, sizes = np.array([3, 3, 3, 3, 0, 0]), np.full(6, 3)
    variance = 6 / 5 * ((hits - 2 / 3 * 3) ** 2).sum() / 18**2
    shrink = (student.ppf(0.975, 17) / student.ppf(0.975, 5)) ** 2
    expected = (2 / 3) * (1 / 3) / variance * shrink
    assert effective_size(hits, sizes) == pytest.approx(expected, abs=1e-9)
    assert effective_size(hits, sizes) < 6


def test_across_classes_the_scarcer_outcome_gives_the_degrees_of_freedom() -> None:
    hits, sizes = np.array([3] * 20 + [0] * 3), np.full(23, 3)
    within, across = (effective_size(hits, sizes, across_classes=by) for by in (False, True))
    wider = (student.ppf(0.975, 22) / student.ppf(0.975, 3)) ** 2  # three patients of misses
    assert across == pytest.approx(within * wider)
    one = np.array([3] * 22 + [0])
    assert effective_size(one, sizes, across_classes=True) > 1  # never below two degrees


def test_images_that_do_not_agree_count_nearly_fully() -> None:
    random = np.random.default_rng(0)
    hits, sizes = random.binomial(5, 0.7, size=400), np.full(400, 5)
    assert 1700 < effective_size(hits, sizes) <= 2000
    alike = 5 * random.binomial(1, 0.7, size=400)
    assert 380 < effective_size(alike, sizes) < 420


def test_every_patient_alike_is_at_most_every_image() -> None:
    assert effective_size(np.full(30, 2), np.full(30, 4)) <= 120


def test_a_share_of_one_is_judged_by_patients_not_images() -> None:
    low, high, method = share_interval(np.full(12, 10), np.full(12, 10))
    assert (low, high) == clopper_pearson(12, 12)
    assert low == pytest.approx(0.025 ** (1 / 12))
    assert method == "Clopper-Pearson over 12 patients"
    assert share_interval(np.zeros(12), np.full(12, 10))[:2] == clopper_pearson(0, 12)


def test_one_patient_has_no_interval_but_a_bound_where_all_is_right() -> None:
    low, high, method = share_interval(np.array([3]), np.array([5]))
    assert math.isnan(low)
    assert math.isnan(high)
    assert "one patient" in method
    assert share_interval(np.array([5]), np.array([5]))[:2] == pytest.approx((0.025, 1.0))


def test_kish_counts_equal_patients_fully_and_a_giant_hardly() -> None:
    assert kish_size(np.array([4, 4, 4, 0])) == pytest.approx(3)
    assert kish_size(np.array([1000, 1, 1, 1])) < 1.01
    assert kish_size(np.zeros(3)) == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=2, max_size=40),
    st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_bounds_are_in_order_and_forget_the_order_of_patients(
    rows: list[tuple[int, int]], seed: int
) -> None:
    sizes = np.array([size for _, size in rows])
    hits = np.minimum([hit for hit, _ in rows], sizes)
    low, high, _ = share_interval(hits, sizes)
    share = hits.sum() / sizes.sum()
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    order = np.random.default_rng(seed).permutation(len(rows))
    again = share_interval(hits[order], sizes[order])
    assert again[:2] == pytest.approx((low, high), abs=1e-9)
    mirrored = share_interval(sizes - hits, sizes)
    assert mirrored[:2] == pytest.approx((1 - high, 1 - low), abs=1e-9)
