"""Every metric against scikit-learn, on random tables with ties, weights and missing classes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pellucid.evaluation import metrics
from pellucid.evaluation.metrics import Ranking, validation_auroc
from pellucid.task import Target, Task


@st.composite
def weighted_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, labels with both classes, and whole-numbered weights of both."""
    n = draw(st.integers(4, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.integers(0, draw(st.integers(1, 12)), n) / 11
    labels = random.random(n) < 0.5
    labels[:2] = [False, True]
    weights = random.integers(0, 4, n).astype(float)
    weights[:2] = 1
    return scores, labels, weights


@settings(deadline=None, max_examples=200)
@given(weighted_scores())
def test_auroc_and_auprc_equal_scikit_learn_with_weights(case: tuple[np.ndarray, ...]) -> None:
    scores, labels, weights = case
    ranking = Ranking(scores, labels)
    auroc = sk.roc_auc_score(labels, scores, sample_weight=weights)
    auprc = sk.average_precision_score(labels, scores, sample_weight=weights)
    assert ranking.auroc(weights[None])[0] == pytest.approx(auroc, abs=1e-9)
    assert ranking.auprc(weights[None])[0] == pytest.approx(auprc, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_count_metrics_equal_scikit_learn(k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    true, predicted = random.integers(0, k, 60), random.integers(0, k, 60)
    true[:k] = predicted[:k] = np.arange(k)
    labels = list(range(k))
    confusion = sk.confusion_matrix(true, predicted, labels=labels)[None].astype(float)
    for ours, theirs in (
        (metrics.sensitivity, sk.recall_score),
        (metrics.ppv, sk.precision_score),
        (metrics.f1, sk.f1_score),
    ):
        assert ours(confusion)[0] == pytest.approx(
            theirs(true, predicted, labels=labels, average=None)
        )
    for c in labels:
        negative = sk.recall_score(true != c, predicted != c)
        assert metrics.specificity(confusion)[0, c] == pytest.approx(negative)
        assert metrics.npv(confusion)[0, c] == pytest.approx(
            sk.precision_score(true != c, predicted != c)
        )
    assert metrics.accuracy(confusion)[0] == pytest.approx(sk.accuracy_score(true, predicted))
    balanced = sk.balanced_accuracy_score(true, predicted)
    assert metrics.balanced_accuracy(confusion)[0] == pytest.approx(balanced)


def test_undefined_is_nan_without_a_warning() -> None:
    confusion = np.array([[[5.0, 0.0], [0.0, 0.0]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(metrics.sensitivity(confusion)[0, 1])
        assert math.isnan(metrics.ppv(confusion)[0, 1])
        assert metrics.specificity(confusion)[0, 1] == 1.0
        alone = Ranking(np.array([0.1, 0.9]), np.array([True, True]))
        assert math.isnan(alone.auroc(np.ones((1, 2)))[0])


def test_perfect_and_constant_scores() -> None:
    labels = np.array([False, False, True, True])
    assert Ranking(np.array([0.1, 0.2, 0.8, 0.9]), labels).auroc(np.ones((1, 4)))[0] == 1.0
    assert Ranking(np.full(4, 0.3), labels).auroc(np.ones((1, 4)))[0] == 0.5


TASK = Task(
    targets=(
        Target(name="two", classes=("no", "yes")),
        Target(name="three", classes=("a", "b", "c")),
    )
)


def test_validation_auroc_is_the_mean_over_targets_without_missing_labels() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 4))
    codes = np.stack([random.integers(0, 2, 50), random.integers(0, 3, 50)], axis=1)
    codes[:5, 0] = -1
    shares = np.exp(logits[:, 1:]) / np.exp(logits[:, 1:]).sum(axis=1, keepdims=True)
    two = sk.roc_auc_score(codes[5:, 0], logits[5:, 0])
    three = sk.roc_auc_score(codes[:, 1], shares, multi_class="ovr")
    assert validation_auroc(codes, logits, TASK) == pytest.approx((two + three) / 2)


def test_validation_auroc_of_one_class_is_nan() -> None:
    codes = np.zeros((4, 2), dtype=np.int64)
    assert math.isnan(validation_auroc(codes - 1, np.zeros((4, 4)), TASK))
    assert math.isnan(validation_auroc(codes, np.zeros((4, 4)), TASK))
