"""Metrics of ranks against scikit-learn and against counting, with ties, weights and no class."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pellucid.errors import UsageError
from pellucid.evaluation.measures import ranks
from pellucid.evaluation.measures.ranks import RANK_NAMES, ClassRanks, Ranking

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def weighted_scores(draw: st.DrawFn, both: bool = True) -> Case:
    """Scores (n,) with many, few or no ties, labels (n,), weights (4, n) that may be 0."""
    n = draw(st.integers(2, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 4, 16, 2**40]))
    scores = random.integers(0, levels + 1, n) / levels
    labels = random.random(n) < draw(st.sampled_from([0.05, 0.3, 0.5]))
    whole = random.integers(0, 4, (4, n)).astype(float)
    weights = whole if draw(st.booleans()) else random.random((4, n))
    if both:
        labels[:2] = [False, True]
        weights[:, :2] = 1
    return scores, labels, weights


@settings(deadline=None, max_examples=150)
@given(weighted_scores())
def test_auroc_and_auprc_equal_scikit_learn_with_weights(case: Case) -> None:
    scores, labels, weights = case
    ranking = Ranking(scores, labels)
    auroc, auprc = ranking.auroc(weights), ranking.auprc(weights)
    for row, one in enumerate(weights):
        theirs = sk.roc_auc_score(labels, scores, sample_weight=one)
        assert auroc[row] == pytest.approx(theirs, abs=1e-9)
        theirs = sk.average_precision_score(labels, scores, sample_weight=one)
        assert auprc[row] == pytest.approx(theirs, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(weighted_scores())
def test_auroc_is_the_share_of_pairs_in_the_right_order(case: Case) -> None:
    scores, labels, weights = case
    higher = scores[labels][:, None] > scores[~labels]
    order = higher + 0.5 * (scores[labels][:, None] == scores[~labels])
    for row, one in zip(Ranking(scores, labels).auroc(weights), weights, strict=True):
        pairs = one[labels][:, None] * one[~labels]
        assert row == pytest.approx((order * pairs).sum() / pairs.sum(), abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(weighted_scores(), st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_the_best_at_a_wanted_value_is_that_of_the_points_of_scikit_learn(
    case: Case, wanted: float
) -> None:
    scores, labels, weights = case
    ranking = Ranking(scores, labels)
    specificity = ranking.specificity_at_sensitivity(weights, wanted)
    sensitivity = ranking.sensitivity_at_specificity(weights, wanted)
    for row, one in enumerate(weights):
        fpr, tpr, _ = sk.roc_curve(labels, scores, sample_weight=one, drop_intermediate=False)
        best = (1 - fpr)[tpr >= wanted - 1e-9].max()
        assert specificity[row] == pytest.approx(best, abs=1e-9)
        assert sensitivity[row] == pytest.approx(tpr[1 - fpr >= wanted - 1e-9].max(), abs=1e-9)


def test_nine_of_ten_is_a_sensitivity_of_90_percent() -> None:
    """One positive in ten is lost below everything; no rounding may push 0.9 under 0.9."""
    scores = np.r_[0.0, np.linspace(0.6, 0.9, 9), np.linspace(0.1, 0.55, 10)]
    labels = np.arange(20) < 10
    for weight in (1.0, 0.1, 1 / 3):
        weights = np.full((1, 20), weight)
        assert Ranking(scores, labels).specificity_at_sensitivity(weights, 0.9)[0] == 1.0
        at_95 = Ranking(scores, labels).specificity_at_sensitivity(weights, 0.95)[0]
        assert at_95 == pytest.approx(0.0)


@settings(deadline=None, max_examples=60)
@given(weighted_scores(both=False), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_weights_of_owners_equal_weights_spread_over_their_images(
    case: Case, n_owners: int, seed: int
) -> None:
    scores, labels, _ = case
    random = np.random.default_rng(seed)
    owners = random.integers(0, n_owners, len(scores))
    weights = random.integers(0, 3, (5, n_owners)).astype(float)
    ours = Ranking(scores, labels, owners).metrics(weights)
    spread = Ranking(scores, labels).metrics(weights[:, owners])
    for name in RANK_NAMES:
        assert ours[name] == pytest.approx(spread[name], abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(weighted_scores(both=False), st.integers(0, 2**32 - 1))
def test_rows_in_another_order_give_the_same(case: Case, seed: int) -> None:
    scores, labels, weights = case
    order = np.random.default_rng(seed).permutation(len(scores))
    here = Ranking(scores, labels).metrics(weights)
    there = Ranking(scores[order], labels[order]).metrics(weights[:, order])
    for name in RANK_NAMES:
        assert here[name] == pytest.approx(there[name], abs=1e-12, nan_ok=True)


def test_small_blocks_equal_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    ranking = Ranking(random.random(50), random.random(50) < 0.4)
    weights = random.random((7, 50))
    whole = ranking.metrics(weights)
    monkeypatch.setattr(ranks, "_CELLS", 120)
    for name in RANK_NAMES:
        assert ranking.metrics(weights)[name] == pytest.approx(whole[name], abs=1e-12)
    assert ranking.auroc(np.ones((0, 50))).shape == (0,)


@settings(deadline=None, max_examples=100)
@given(weighted_scores(both=False))
def test_the_first_of_two_classes_follows_by_symmetry(case: Case) -> None:
    """Scores are whole parts of a power of two, so that 1 - score is exact and ties stay ties."""
    scores, labels, weights = case
    both = ClassRanks(np.stack([1 - scores, scores], axis=1), labels.astype(np.int64))(weights)
    alone = (Ranking(1 - scores, ~labels), Ranking(scores, labels))
    for number, ranking in enumerate(alone):
        for name, value in ranking.metrics(weights).items():
            assert both[name][:, number] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_of_two_classes_a_rounded_column_changes_nothing() -> None:
    random = np.random.default_rng(1)
    scores, codes = random.random(80), random.integers(0, 2, 80)
    rounded = np.stack([(1 - scores).round(1), scores], axis=1)
    exact = np.stack([1 - scores, scores], axis=1)
    for name, value in ClassRanks(rounded, codes)(np.ones((1, 80))).items():
        np.testing.assert_array_equal(value, ClassRanks(exact, codes)(np.ones((1, 80)))[name])


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 5), st.integers(0, 2**32 - 1))
def test_each_of_several_classes_is_held_against_the_rest(k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shares, codes = random.dirichlet(np.ones(k), 40).round(1), random.integers(0, k, 40)
    codes[:k] = np.arange(k)
    weights = random.integers(1, 4, (3, 40)).astype(float)
    ours = ClassRanks(shares, codes)(weights)
    assert set(ours) == set(RANK_NAMES)
    for c in range(k):
        for row in range(3):
            theirs = sk.roc_auc_score(codes == c, shares[:, c], sample_weight=weights[row])
            assert ours["auroc"][row, c] == pytest.approx(theirs, abs=1e-9)
            theirs = sk.average_precision_score(
                codes == c, shares[:, c], sample_weight=weights[row]
            )
            assert ours["auprc"][row, c] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("labels", [[True, True, True], [False, False, False]])
def test_a_class_that_is_absent_or_alone(labels: list[bool]) -> None:
    ranking = Ranking(np.array([0.1, 0.5, 0.9]), np.array(labels))
    values = {name: value[0] for name, value in ranking.metrics(np.ones((1, 3))).items()}
    auprc = values.pop("auprc")
    assert auprc == 1.0 if labels[0] else math.isnan(auprc)
    assert all(math.isnan(value) for value in values.values())


def test_weights_that_take_a_class_away_leave_nothing_defined() -> None:
    ranking = Ranking(np.array([0.1, 0.5, 0.9]), np.array([True, False, True]))
    values = ranking.metrics(np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert np.isnan(values["auroc"]).tolist() == [True, False, True]
    assert np.isnan(values["specificity_at_sensitivity_90"]).tolist() == [True, False, True]
    assert np.isnan(values["sensitivity_at_specificity_95"]).tolist() == [True, False, True]


def test_perfect_constant_and_reversed_scores() -> None:
    labels, ones = np.array([False, False, True, True]), np.ones((1, 4))
    perfect = Ranking(np.array([0.1, 0.2, 0.8, 0.9]), labels).metrics(ones)
    assert {name: float(value[0]) for name, value in perfect.items()} == dict.fromkeys(
        RANK_NAMES, 1.0
    )
    constant = Ranking(np.full(4, 0.3), labels).metrics(ones)
    assert constant["auroc"][0] == constant["auprc"][0] == 0.5
    assert constant["specificity_at_sensitivity_90"][0] == 0.0
    assert constant["sensitivity_at_specificity_90"][0] == 0.0
    backwards = Ranking(np.array([0.9, 0.8, 0.2, 0.1]), labels).metrics(ones)
    assert backwards["auroc"][0] == 0.0


def test_a_nan_score_or_no_image_makes_everything_nan_without_a_warning() -> None:
    labels = np.array([True, False, True])
    unranked = Ranking(np.array([0.2, np.nan, 0.9]), labels)
    nothing = Ranking(np.zeros(0), np.zeros(0, dtype=bool))
    for ranking, n in ((unranked, 3), (nothing, 0)):
        for value in ranking.metrics_of_two(np.ones((2, n))).values():
            assert value.shape == (2, 2)
            assert np.isnan(value).all()


def test_nan_weights_give_nan() -> None:
    ranking = Ranking(np.array([0.2, 0.4, 0.9]), np.array([True, False, True]))
    for value in ranking.metrics(np.full((1, 3), np.nan)).values():
        assert np.isnan(value).all()


@pytest.mark.parametrize("wanted", [-0.1, 90, float("nan")])
def test_a_wanted_value_outside_0_and_1_is_refused(wanted: float) -> None:
    ranking = Ranking(np.array([0.2, 0.4]), np.array([True, False]))
    with pytest.raises(UsageError, match=r"must be in \[0, 1\], got"):
        ranking.specificity_at_sensitivity(np.ones((1, 2)), wanted)
    with pytest.raises(UsageError, match=r"must be in \[0, 1\], got"):
        ranking.sensitivity_at_specificity(np.ones((1, 2)), wanted)
