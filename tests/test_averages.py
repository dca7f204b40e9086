"""Averages over classes and over targets, against scikit-learn's of the same name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pellucid.evaluation.measures.averages import AVERAGES, averages, macro_over_targets
from pellucid.evaluation.measures.metrics import PER_CLASS
from pellucid.evaluation.measures.ranks import ClassRanks


def all_averages(
    shares: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every average of probabilities (n, K) and their arg-max, for weights (B, n)."""
    k, predicted = shares.shape[1], shares.argmax(axis=1)
    confusion = np.stack(
        [
            sk.confusion_matrix(codes, predicted, labels=range(k), sample_weight=one)
            for one in weights
        ]
    ).astype(float)
    by_class = ClassRanks(shares, codes)(weights)
    return averages(by_class | {n: f(confusion) for n, f in PER_CLASS.items()}, confusion)


@settings(deadline=None, max_examples=25)
@given(st.integers(3, 5), st.integers(0, 2**32 - 1))
def test_averages_over_classes_equal_scikit_learn(k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(k), 60).round(2)
    shares /= shares.sum(axis=1, keepdims=True)
    codes = random.integers(0, k, 60)
    codes[: 2 * k], shares[k : 2 * k] = np.tile(np.arange(k), 2), np.eye(k)
    weights = random.integers(1, 4, (2, 60)).astype(float)
    ours, predicted, truth = (
        all_averages(shares, codes, weights),
        shares.argmax(1),
        np.eye(k)[codes],
    )
    assert set(ours) == set(AVERAGES)
    for row, one in enumerate(weights):
        theirs: dict[str, float] = {}
        for average in ("macro", "weighted"):
            how = {"average": average, "sample_weight": one}
            theirs[f"{average}_f1"] = sk.f1_score(codes, predicted, **how)
            theirs[f"{average}_auprc"] = sk.average_precision_score(truth, shares, **how)
            name = "auroc" if average == "macro" else "weighted_auroc"
            theirs[name] = sk.roc_auc_score(codes, shares, multi_class="ovr", **how)
        how = {"average": "macro", "sample_weight": one}
        theirs["macro_sensitivity"] = sk.recall_score(codes, predicted, **how)
        theirs["macro_ppv"] = sk.precision_score(codes, predicted, **how)
        theirs["micro_f1"] = sk.f1_score(codes, predicted, average="micro", sample_weight=one)
        rest = [(codes != c, predicted != c) for c in range(k)]
        for name, score in (
            ("macro_specificity", sk.recall_score),
            ("macro_npv", sk.precision_score),
        ):
            theirs[name] = float(np.mean([score(*pair, sample_weight=one) for pair in rest]))
        assert set(theirs) == set(AVERAGES)
        for name, value in theirs.items():
            assert ours[name][row] == pytest.approx(value, abs=1e-9), name


def test_an_absent_class_undefines_macro_but_has_no_say_in_weighted() -> None:
    random = np.random.default_rng(0)
    shares, codes = random.dirichlet(np.ones(3), 40), random.integers(0, 2, 40)
    ours = all_averages(shares, codes, np.ones((1, 40)))
    for name in ("auroc", "macro_auprc", "macro_sensitivity"):
        assert math.isnan(ours[name][0])
    by_class = [sk.roc_auc_score(codes == c, shares[:, c]) for c in range(2)]
    expected = np.average(by_class, weights=np.bincount(codes))
    assert ours["weighted_auroc"][0] == pytest.approx(expected)
    theirs = sk.f1_score(codes, shares.argmax(1), average="weighted", zero_division=0)
    assert ours["weighted_f1"][0] == pytest.approx(theirs)


def test_one_class_alone_leaves_every_auroc_undefined() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 10)
    ours = all_averages(shares, np.zeros(10, dtype=int), np.ones((1, 10)))
    assert math.isnan(ours["auroc"][0])
    assert math.isnan(ours["weighted_auroc"][0])


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_macro_over_targets_equals_scikit_learn_on_labels_side_by_side(
    n_targets: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((50, n_targets)).round(1)
    labels = random.integers(0, 2, (50, n_targets))
    labels[:2] = [[0] * n_targets, [1] * n_targets]
    weights = random.integers(1, 3, (1, 50)).astype(float)
    by_target = {
        str(number): {
            name: value[:, 1]
            for name, value in ClassRanks(
                np.stack([1 - scores[:, number], scores[:, number]], axis=1), labels[:, number]
            )(weights).items()
        }
        for number in range(n_targets)
    }
    for name, score in (("auroc", sk.roc_auc_score), ("auprc", sk.average_precision_score)):
        ours, n_defined = macro_over_targets(by_target, name)
        theirs = score(labels, scores, average="macro", sample_weight=weights[0])
        assert ours[0] == pytest.approx(theirs, abs=1e-9)
        assert n_defined[0] == n_targets


def test_macro_over_targets_counts_those_that_are_defined() -> None:
    by_target = {
        "a": {"f1": np.array([0.5, np.nan, np.nan])},
        "b": {"f1": np.array([0.7, 0.2, np.nan])},
    }
    values, n_defined = macro_over_targets(by_target, "f1")
    assert values == pytest.approx(np.array([0.6, 0.2, np.nan]), nan_ok=True)
    assert n_defined.tolist() == [2, 1, 0]
    alone, n_alone = macro_over_targets({"a": {"f1": np.float64(0.5)}}, "f1")  # type: ignore[dict-item]
    assert (float(alone), int(n_alone)) == (0.5, 1)
