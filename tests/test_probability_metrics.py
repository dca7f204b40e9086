"""Metrics of probabilities against scikit-learn and against plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from pellucid.evaluation.measures.probability_metrics import (
    N_BINS,
    ProbabilityScores,
    claims,
    equal_bins,
    equal_mass_bins,
)

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def judged(draw: st.DrawFn) -> Case:
    """Probabilities (n, K), some certain and tied, codes (n,), weights (3, n) that may be 0."""
    n, k = draw(st.integers(1, 50)), draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = random.dirichlet(np.full(k, 0.5), n)
    if draw(st.booleans()):  # certain, right or wrong
        probabilities[: n // 2] = np.eye(k)[random.integers(0, k, n // 2)]
    if draw(st.booleans()):  # ties
        probabilities[n // 2 :] = probabilities[-1]
    codes = random.integers(0, draw(st.integers(1, k)), n)
    whole = draw(st.booleans())
    weights = random.integers(0, 3, (3, n)).astype(float) if whole else random.random((3, n))
    weights[:, 0] = 1
    return probabilities, codes, weights


@settings(deadline=None, max_examples=150)
@given(judged())
def test_brier_and_log_loss_equal_scikit_learn(case: Case) -> None:
    probabilities, codes, weights = case
    k = probabilities.shape[1]
    ours = ProbabilityScores(probabilities, codes)(weights)
    for row, one in enumerate(weights):
        how = {"labels": range(k), "sample_weight": one}
        theirs = sk.log_loss(codes, probabilities, **how)
        assert ours["log_loss"][row] == pytest.approx(theirs, rel=1e-9, abs=1e-12)
        if k == 2:
            theirs = np.average((codes - probabilities[:, 1]) ** 2, weights=one)
        else:
            theirs = np.average(((np.eye(k)[codes] - probabilities) ** 2).sum(axis=1), weights=one)
        assert ours["brier"][row] == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_the_binary_brier_score_equals_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    positive, codes = random.random(30), random.integers(0, 2, 30)
    weights = random.random(30)
    ours = ProbabilityScores(np.stack([1 - positive, positive], axis=1), codes)(weights[None])
    theirs = sk.brier_score_loss(codes, positive, sample_weight=weights, pos_label=1)
    assert ours["brier"][0] == pytest.approx(theirs)


def _error_by_loop(case: Case, bins: np.ndarray, one: np.ndarray) -> float:
    probabilities, codes, _ = case
    error = 0.0
    for number in range(N_BINS):
        inside = (bins == number) & (one > 0)
        if not inside.any():
            continue
        if probabilities.shape[1] == 2:
            claimed, right = probabilities[inside, 1], codes[inside] == 1
        else:
            claimed = probabilities[inside].max(axis=1)
            right = probabilities[inside].argmax(axis=1) == codes[inside]
        share = one[inside].sum() / one.sum()
        gap = np.average(claimed, weights=one[inside]) - np.average(right, weights=one[inside])
        error += share * abs(gap)
    return error


@settings(deadline=None, max_examples=150)
@given(judged())
def test_calibration_errors_equal_a_loop_over_bins(case: Case) -> None:
    probabilities, codes, weights = case
    claimed, _ = claims(probabilities, codes)
    equal = np.clip(np.digitize(claimed, np.arange(1, N_BINS) / N_BINS), 0, N_BINS - 1)
    lowest_rank = pd.Series(claimed).rank(method="min").to_numpy() - 1
    mass = (lowest_rank * N_BINS / len(claimed) + 1e-9).astype(int)
    ours = ProbabilityScores(probabilities, codes)(weights)
    for row, one in enumerate(weights):
        by_loop = _error_by_loop(case, equal, one)
        assert ours["calibration_error"][row] == pytest.approx(by_loop, abs=1e-9)
        by_loop = _error_by_loop(case, mass, one)
        assert ours["adaptive_calibration_error"][row] == pytest.approx(by_loop, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_calibration_errors_equal_those_of_scikit_learns_curve(tenth: int, seed: int) -> None:
    """Where each bin has as many images, scikit-learn's quantile bins are the same as ours."""
    random = np.random.default_rng(seed)
    positive, n = random.random(10 * tenth), 10 * tenth
    codes = (random.random(n) < positive**2).astype(int)
    values = ProbabilityScores(np.stack([1 - positive, positive], axis=1), codes)(np.ones((1, n)))
    observed, claimed = calibration_curve(codes, positive, n_bins=10)
    sizes = np.histogram(positive, bins=10, range=(0, 1))[0]
    theirs = (sizes[sizes > 0] / n * np.abs(observed - claimed)).sum()
    assert values["calibration_error"][0] == pytest.approx(theirs)
    tenths = np.sort(positive).reshape(10, tenth), codes[np.argsort(positive)].reshape(10, tenth)
    theirs = np.abs(tenths[0].mean(axis=1) - tenths[1].mean(axis=1)).mean()
    assert values["adaptive_calibration_error"][0] == pytest.approx(theirs)


def test_bins_hold_their_lower_edge_and_ties_stay_together() -> None:
    assert equal_bins(np.array([0.0, 0.1, 0.3, 0.6, 0.7, 0.99, 1.0])).tolist() == [
        0, 1, 3, 6, 7, 9, 9,
    ]  # fmt: skip
    assert np.bincount(equal_mass_bins(np.random.default_rng(0).random(103))).tolist() == [
        11, 10, 10, 11, 10, 10, 11, 10, 10, 10,
    ]  # fmt: skip
    tied = equal_mass_bins(np.array([0.5] * 9 + [0.9]))
    assert tied.tolist() == [0] * 9 + [9]


@settings(deadline=None, max_examples=50)
@given(judged(), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_weights_of_owners_equal_weights_spread_over_their_images(
    case: Case, n_owners: int, seed: int
) -> None:
    probabilities, codes, _ = case
    random = np.random.default_rng(seed)
    owners = random.integers(0, n_owners, len(codes))
    owners[0] = n_owners - 1
    weights = random.integers(0, 3, (4, n_owners)).astype(float)
    ours = ProbabilityScores(probabilities, codes, owners)(weights)
    spread = ProbabilityScores(probabilities, codes)(weights[:, owners])
    for name, value in ours.items():
        assert value == pytest.approx(spread[name], abs=1e-9, nan_ok=True)


def test_a_resample_is_judged_in_the_bins_of_all() -> None:
    """The two lowest claims alone would be put in different bins; here they share the first."""
    positive = np.arange(20) / 20
    codes = np.r_[1, np.zeros(19, dtype=int)]
    only_two = np.zeros((1, 20))
    only_two[0, :2] = 1
    scores = ProbabilityScores(np.stack([1 - positive, positive], axis=1), codes)
    assert scores(only_two)["adaptive_calibration_error"][0] == pytest.approx(0.5 - 0.025)


def test_perfect_and_constant_probabilities() -> None:
    codes = np.array([0, 1, 1, 0])
    perfect = ProbabilityScores(np.eye(2)[codes], codes)(np.ones((1, 4)))
    for value in perfect.values():
        assert value[0] == pytest.approx(0.0, abs=1e-12)
    constant = ProbabilityScores(np.full((4, 2), 0.5), codes)(np.ones((1, 4)))
    assert constant["brier"][0] == pytest.approx(0.25)
    assert constant["log_loss"][0] == pytest.approx(np.log(2))
    assert constant["calibration_error"][0] == constant["adaptive_calibration_error"][0] == 0.0


def test_nan_and_no_weight_are_undefined_without_a_warning() -> None:
    codes = np.array([0, 1, 1])
    probabilities = np.array([[0.5, 0.5], [np.nan, np.nan], [0.1, 0.9]])
    for value in ProbabilityScores(probabilities, codes)(np.ones((2, 3))).values():
        assert np.isnan(value).all()
    for value in ProbabilityScores(np.full((3, 2), 0.5), codes)(np.zeros((1, 3))).values():
        assert np.isnan(value).all()
