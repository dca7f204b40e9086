"""What holds across all metrics: the forms agree, one patient, and a million rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pellucid.evaluation.measures import metrics
from pellucid.evaluation.measures.averages import averages, macro_over_targets
from pellucid.evaluation.measures.probability_metrics import ProbabilityScores
from pellucid.evaluation.measures.ranks import RANK_NAMES, ClassRanks

Values = dict[str, np.ndarray]


def by_class(probabilities: np.ndarray, codes: np.ndarray, predicted: np.ndarray) -> Values:
    """Every metric of each class (K,), unweighted."""
    k = probabilities.shape[1]
    confusion = sk.confusion_matrix(codes, predicted, labels=range(k)).astype(float)
    ranked = ClassRanks(probabilities, codes)(np.ones((1, len(codes))))
    counted = {name: metric(confusion) for name, metric in metrics.PER_CLASS.items()}
    return {name: value[0] for name, value in ranked.items()} | counted


@st.composite
def binary(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) in eighths, so that 1 - score is exact, and codes (n,)."""
    n = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.integers(0, 9, n) / 8, random.integers(0, 2, n)


@settings(deadline=None, max_examples=80)
@given(binary())
def test_two_classes_are_three_of_which_one_never_occurs(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    positive, codes = case
    two, called = np.stack([1 - positive, positive], axis=1), (positive >= 0.5).astype(int)
    three = np.concatenate([two, np.zeros((len(codes), 1))], axis=1)
    as_two, as_three = by_class(two, codes, called), by_class(three, codes, called)
    for name, value in as_two.items():
        assert value == pytest.approx(as_three[name][:2], abs=1e-9, nan_ok=True), name
    one = np.ones((1, len(codes)))
    scores_two, scores_three = ProbabilityScores(two, codes)(one), ProbabilityScores(three, codes)
    assert 2 * scores_two["brier"] == pytest.approx(scores_three(one)["brier"])
    assert scores_two["log_loss"] == pytest.approx(scores_three(one)["log_loss"])


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 5), st.integers(0, 2**32 - 1))
def test_several_classes_are_as_many_binary_targets(k: int, seed: int) -> None:
    """One-vs-rest macro of K classes is the macro over K targets "this class or not"."""
    random = np.random.default_rng(seed)
    shares, codes = random.dirichlet(np.ones(k), 50), random.integers(0, k, 50)
    predicted = shares.argmax(axis=1)
    confusion = sk.confusion_matrix(codes, predicted, labels=range(k)).astype(float)
    together = averages(by_class(shares, codes, predicted), confusion)
    targets = {}
    for c in range(k):
        two = np.stack([1 - shares[:, c], shares[:, c]], axis=1)
        one = by_class(two, (codes == c).astype(int), (predicted == c).astype(int))
        targets[str(c)] = {name: value[1] for name, value in one.items()}
    for name, of in (("auroc", "auroc"), ("macro_auprc", "auprc"), ("macro_f1", "f1")):
        value, n_defined = macro_over_targets(targets, of)
        if n_defined == k:
            assert together[name] == pytest.approx(value, abs=1e-9)
        else:
            assert np.isnan(together[name])


@settings(deadline=None, max_examples=60)
@given(binary())
def test_of_two_classes_one_ones_figures_are_the_others_mirrored(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    positive, codes = case
    two = np.stack([1 - positive, positive], axis=1)
    values = by_class(two, codes, (positive >= 0.5).astype(int))
    pairs = [("sensitivity", "specificity"), ("ppv", "npv"), ("auroc", "auroc")]
    pairs += [
        (f"specificity_at_sensitivity_{at}", f"sensitivity_at_specificity_{at}") for at in (90, 95)
    ]
    for one, other in pairs:
        np.testing.assert_array_equal(values[one][0], values[other][1])
        np.testing.assert_array_equal(values[other][0], values[one][1])


@settings(deadline=None, max_examples=40)
@given(binary(), st.integers(1, 5))
def test_one_patient_weighs_on_no_metric(case: tuple[np.ndarray, np.ndarray], weight: int) -> None:
    """All images belong to one: drawing it again and again changes nothing."""
    positive, codes = case
    two, owner = np.stack([1 - positive, positive], axis=1), np.zeros(len(codes), dtype=np.int64)
    drawn, one = np.array([[float(weight)]]), np.ones((1, len(codes)))
    for measure in (ClassRanks, ProbabilityScores):
        plain = measure(two, codes)(one)
        for name, value in measure(two, codes, owner)(drawn).items():
            assert value == pytest.approx(plain[name], abs=1e-9, nan_ok=True), name


@settings(deadline=None, max_examples=40)
@given(binary(), st.integers(0, 2**32 - 1))
def test_a_weight_of_two_is_the_image_twice(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    positive, codes = case
    times = np.random.default_rng(seed).integers(0, 3, len(codes))
    times[0] = 1
    two = np.stack([1 - positive, positive], axis=1)
    again, ones = np.repeat(two, times, axis=0), np.ones((1, times.sum()))
    weights = times[None].astype(float)
    weighted = ClassRanks(two, codes)(weights) | ProbabilityScores(two, codes)(weights)
    repeated = np.repeat(codes, times)
    plain = ClassRanks(again, repeated)(ones) | ProbabilityScores(again, repeated)(ones)
    for name, value in weighted.items():
        if name != "adaptive_calibration_error":  # whose bins are those of the images themselves
            assert value == pytest.approx(plain[name], abs=1e-9, nan_ok=True), name


@pytest.mark.slow
def test_a_million_rows_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    n = 1_000_000
    codes = (random.random(n) < 0.1).astype(np.int64)
    positive = (1 / (1 + np.exp(2 - codes - random.normal(size=n)))).round(6)
    weights = random.integers(0, 4, n).astype(float)
    two = np.stack([1 - positive, positive], axis=1)
    ranked, scores = ClassRanks(two, codes)(weights[None]), ProbabilityScores(two, codes)
    assert set(ranked) == set(RANK_NAMES)
    how = {"sample_weight": weights}
    for c, (truth, score) in enumerate(((1 - codes, 1 - positive), (codes, positive))):
        theirs = sk.roc_auc_score(truth, score.round(6), **how)
        assert ranked["auroc"][0, c] == pytest.approx(theirs, abs=1e-9)
        theirs = sk.average_precision_score(truth, score.round(6), **how)
        assert ranked["auprc"][0, c] == pytest.approx(theirs, abs=1e-9)
    fpr, tpr, _ = sk.roc_curve(codes, positive, drop_intermediate=False, **how)
    best = (1 - fpr)[tpr >= 0.9].max()
    assert ranked["specificity_at_sensitivity_90"][0, 1] == pytest.approx(best, abs=1e-9)
    values = scores(weights[None])
    assert values["brier"][0] == pytest.approx(sk.brier_score_loss(codes, positive, **how))
    assert values["log_loss"][0] == pytest.approx(sk.log_loss(codes, two, **how))
    called = (positive >= 0.5).astype(int)
    confusion = sk.confusion_matrix(codes, called, **how).astype(float)
    assert metrics.kappa(confusion) == pytest.approx(sk.cohen_kappa_score(codes, called, **how))
    theirs = sk.matthews_corrcoef(codes, called, **how)
    assert metrics.matthews(confusion) == pytest.approx(theirs)
