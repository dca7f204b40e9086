"""Metrics of counts against scikit-learn, on random tables with weights and missing classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pellucid.errors import UsageError
from pellucid.evaluation.measures import metrics
from pellucid.evaluation.measures.metrics import validation_auroc
from pellucid.task import Target, Task

Table = tuple[int, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def called(draw: st.DrawFn) -> Table:
    """K, true and predicted classes, weights; classes may be absent, images may weigh nothing."""
    k, n = draw(st.integers(2, 5)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = random.integers(0, draw(st.integers(1, k)), n)
    predicted = random.integers(0, draw(st.integers(1, k)), n)
    whole = draw(st.booleans())
    weights = random.integers(0, 4, n).astype(float) if whole else random.random(n)
    weights[0] = 1.0
    return k, true, predicted, weights


def confusion_of(table: Table) -> np.ndarray:
    k, true, predicted, weights = table
    return np.asarray(
        sk.confusion_matrix(true, predicted, labels=range(k), sample_weight=weights), dtype=float
    )


@contextmanager
def undefined_allowed() -> Iterator[None]:
    """scikit-learn warns where a value is undefined; ours must not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@settings(deadline=None, max_examples=80)
@given(called())
def test_metrics_of_each_class_equal_scikit_learn(table: Table) -> None:
    k, true, predicted, weights = table
    confusion = confusion_of(table)
    how = {"sample_weight": weights, "zero_division": np.nan}
    by_class = {"labels": range(k), "average": None, **how}
    theirs: dict[str, object] = {
        "sensitivity": sk.recall_score(true, predicted, **by_class),
        "ppv": sk.precision_score(true, predicted, **by_class),
        "f1": sk.f1_score(true, predicted, **by_class),
        "specificity": [sk.recall_score(true != c, predicted != c, **how) for c in range(k)],
        "npv": [sk.precision_score(true != c, predicted != c, **how) for c in range(k)],
    }
    with undefined_allowed():
        both = [
            sk.class_likelihood_ratios(
                true == c, predicted == c, labels=[False, True], sample_weight=weights
            )
            for c in range(k)
        ]
    theirs["positive_likelihood_ratio"] = [positive for positive, _ in both]
    theirs["negative_likelihood_ratio"] = [negative for _, negative in both]
    assert set(theirs) == set(metrics.PER_CLASS)
    for name, value in theirs.items():
        ours = metrics.PER_CLASS[name](confusion)
        assert ours == pytest.approx(np.asarray(value), rel=1e-9, nan_ok=True), name


@settings(deadline=None, max_examples=150)
@given(called())
def test_overall_metrics_equal_scikit_learn(table: Table) -> None:
    k, true, predicted, weights = table
    confusion, how = confusion_of(table), {"sample_weight": weights}
    labels = range(k)
    with undefined_allowed():
        theirs = {
            "accuracy": sk.accuracy_score(true, predicted, **how),
            "balanced_accuracy": sk.recall_score(
                true, predicted, labels=labels, average=None, zero_division=np.nan, **how
            ).mean(),
            "kappa": sk.cohen_kappa_score(true, predicted, labels=labels, **how),
            "linear_kappa": sk.cohen_kappa_score(
                true, predicted, labels=labels, weights="linear", **how
            ),
            "quadratic_kappa": sk.cohen_kappa_score(
                true, predicted, labels=labels, weights="quadratic", **how
            ),
        }
    for name, value in theirs.items():
        ours = {**metrics.OVERALL, **metrics.ORDERED}[name](confusion)
        assert ours == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name
    micro = sk.f1_score(true, predicted, labels=labels, average="micro", **how)
    assert metrics.micro_f1(confusion) == pytest.approx(micro)


@settings(deadline=None, max_examples=150)
@given(called())
def test_matthews_equals_scikit_learn_and_is_nan_where_that_says_zero(table: Table) -> None:
    _, true, predicted, weights = table
    counted = weights > 0
    ours = float(metrics.matthews(confusion_of(table)))
    if min(len(set(true[counted])), len(set(predicted[counted]))) == 1:
        assert math.isnan(ours)
    else:
        theirs = sk.matthews_corrcoef(true, predicted, sample_weight=weights)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(called(), st.floats(0.001, 0.999))
def test_predictive_values_at_a_prevalence_are_those_of_a_table_that_has_it(
    table: Table, prevalence: float
) -> None:
    """Weigh the class and the rest so that the class has the prevalence, and ask scikit-learn."""
    k, true, predicted, weights = table
    for name, metric in metrics.AT_PREVALENCE.items():
        ours = metric(confusion_of(table), prevalence)
        for c in range(k):
            is_class, called_so = true == c, predicted == c
            sizes = weights[is_class].sum(), weights[~is_class].sum()
            if min(sizes) == 0:
                assert math.isnan(ours[c])
                continue
            share = np.where(is_class, prevalence / sizes[0], (1 - prevalence) / sizes[1])
            positive = name.startswith("ppv")
            theirs = sk.precision_score(
                is_class if positive else ~is_class,
                called_so if positive else ~called_so,
                sample_weight=weights * share,
                zero_division=np.nan,
            )
            assert ours[c] == pytest.approx(theirs, rel=1e-9, nan_ok=True)


def test_published_examples() -> None:
    """A test of 90 % and 90 % at a prevalence of 10 %; 50 proposals read by two (Cohen's kappa)."""
    both_90 = np.array([[900.0, 100.0], [100.0, 900.0]])
    assert metrics.ppv_at_prevalence(both_90, [0.9, 0.1])[1] == pytest.approx(0.5)
    assert metrics.npv_at_prevalence(both_90, [0.9, 0.1])[1] == pytest.approx(0.81 / 0.82)
    assert metrics.positive_likelihood_ratio(both_90)[1] == pytest.approx(9.0)
    assert metrics.negative_likelihood_ratio(both_90)[1] == pytest.approx(1 / 9)
    assert metrics.kappa(np.array([[20.0, 5.0], [10.0, 15.0]])) == pytest.approx(0.4)


def test_the_prevalence_of_each_class_is_its_own() -> None:
    confusion = np.array([[8.0, 2.0], [1.0, 9.0]])
    ppv = metrics.ppv_at_prevalence(confusion, [0.8, 0.2])
    npv = metrics.npv_at_prevalence(confusion, [0.8, 0.2])
    assert ppv[0] == pytest.approx(npv[1])
    assert npv[0] == pytest.approx(ppv[1])


@pytest.mark.parametrize("wrong", [-0.1, 1.5, 20, float("nan"), [0.5, 2.0]])
def test_a_prevalence_outside_0_and_1_is_refused(wrong: object) -> None:
    for metric in metrics.AT_PREVALENCE.values():
        with pytest.raises(UsageError, match=r"A prevalence must be in \[0, 1\], got"):
            metric(np.eye(2), wrong)  # type: ignore[arg-type]


EVERY = {
    **metrics.PER_CLASS,
    **metrics.OVERALL,
    **metrics.ORDERED,
    "micro_f1": metrics.micro_f1,
    "ppv_at_prevalence": lambda confusion: metrics.ppv_at_prevalence(confusion, 0.3),
    "npv_at_prevalence": lambda confusion: metrics.npv_at_prevalence(confusion, 0.3),
}


@pytest.mark.parametrize("name", EVERY)
def test_many_confusion_matrices_at_once_equal_each_alone(name: str) -> None:
    metric: Callable[[np.ndarray], np.ndarray] = EVERY[name]
    confusions = np.random.default_rng(0).integers(0, 3, (2, 5, 3, 3)).astype(float)
    together = metric(confusions)
    for i in range(2):
        for j in range(5):
            alone = metric(confusions[i, j])
            assert together[i, j] == pytest.approx(alone, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_counted_and_nan_counted_is_undefined_without_a_warning(name: str) -> None:
    for confusion in (np.zeros((3, 3)), np.full((3, 3), np.nan)):
        assert np.isnan(EVERY[name](confusion)).all()


def test_undefined_is_nan_without_a_warning() -> None:
    confusion = np.array([[[5.0, 0.0], [0.0, 0.0]]])
    assert math.isnan(metrics.sensitivity(confusion)[0, 1])
    assert math.isnan(metrics.ppv(confusion)[0, 1])
    assert metrics.specificity(confusion)[0, 1] == 1.0
    assert math.isnan(metrics.matthews(confusion)[0])
    assert math.isnan(metrics.kappa(confusion)[0])


def test_a_perfect_classifier_has_no_positive_likelihood_ratio() -> None:
    """It would be infinite, which is no value that a document holds."""
    perfect = np.diag([30.0, 20.0])
    assert np.isnan(metrics.positive_likelihood_ratio(perfect)).all()
    assert (metrics.negative_likelihood_ratio(perfect) == 0).all()
    assert metrics.matthews(perfect) == pytest.approx(1.0)
    assert metrics.kappa(perfect) == 1.0


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_a_zero_is_a_zero_with_broken_weights(seed: int) -> None:
    """No crumb of rounding may turn "nobody" into a denominator, or the ratio into a huge one."""
    a, b, c, d, e = np.random.default_rng(seed).random(5)
    assert math.isnan(metrics.positive_likelihood_ratio(np.array([[a, 0], [b, c]]))[1])
    nobody_rejected = np.array([[0, 0, a], [0, 0, b], [c, d, e]])
    assert metrics.specificity(nobody_rejected)[2] == 0.0
    assert math.isnan(metrics.negative_likelihood_ratio(nobody_rejected)[2])
    one_column = np.array([[a, 0, 0], [b, 0, 0], [c, 0, 0]])
    assert math.isnan(metrics.matthews(one_column))
    assert math.isnan(metrics.matthews(one_column.T))


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
