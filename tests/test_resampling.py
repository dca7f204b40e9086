"""Resampled metrics are those of scikit-learn on the rows of the resampled patients."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from pellucid.evaluation.block import predicted_classes
from pellucid.evaluation.document import judged_targets
from pellucid.evaluation.predictions import check_predictions
from pellucid.evaluation.uncertainty.intervals import (
    draw_weights,
    group_patients,
    percentile_interval,
    resample,
)
from pellucid.evaluation.uncertainty.statistic import ALL, Statistic
from tables import make_table

BINARY = {
    ("yes", "auroc"): lambda y, called, p: sk.roc_auc_score(y, p[:, 1]),
    ("yes", "auprc"): lambda y, called, p: sk.average_precision_score(y, p[:, 1]),
    ("no", "auprc"): lambda y, called, p: sk.average_precision_score(1 - y, -p[:, 1]),
    ("yes", "sensitivity"): lambda y, called, p: sk.recall_score(y, called),
    ("yes", "specificity"): lambda y, called, p: sk.recall_score(y, called, pos_label=0),
    ("yes", "ppv"): lambda y, called, p: sk.precision_score(y, called),
    ("yes", "npv"): lambda y, called, p: sk.precision_score(y, called, pos_label=0),
    ("yes", "f1"): lambda y, called, p: sk.f1_score(y, called),
    (ALL, "accuracy"): lambda y, called, p: sk.accuracy_score(y, called),
    (ALL, "balanced_accuracy"): lambda y, called, p: sk.balanced_accuracy_score(y, called),
    (ALL, "matthews"): lambda y, called, p: sk.matthews_corrcoef(y, called),
    (ALL, "kappa"): lambda y, called, p: sk.cohen_kappa_score(y, called),
    (ALL, "brier"): lambda y, called, p: sk.brier_score_loss(y, p[:, 1]),
    (ALL, "log_loss"): lambda y, called, p: sk.log_loss(y, p),
}
SEVERAL = {
    (ALL, "auroc"): lambda y, called, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    ("b", "auprc"): lambda y, called, p: sk.average_precision_score(y == 1, p[:, 1]),
    (ALL, "macro_f1"): lambda y, called, p: sk.f1_score(y, called, average="macro"),
    (ALL, "matthews"): lambda y, called, p: sk.matthews_corrcoef(y, called),
    (ALL, "log_loss"): lambda y, called, p: sk.log_loss(y, p),
}


@pytest.mark.parametrize(
    ("classes", "theirs"), [(("no", "yes"), BINARY), (("a", "b", "c"), SEVERAL)]
)
def test_every_resample_and_its_interval(classes: tuple[str, ...], theirs: dict) -> None:
    table = check_predictions(make_table(240, classes, patients=90, seed=3))
    judged = judged_targets(table)["label"][0]
    called = predicted_classes(judged)
    statistic = Statistic(judged, len(classes) * judged.codes + called)
    ours = resample(statistic, judged.patients, 60, 5, stratified=False)
    expected: dict[tuple[str, str], list[float]] = {key: [] for key in theirs}
    for weights in draw_weights(judged.patients, 60, 5, stratified=False):
        for row in weights[:, judged.patients.of_image].astype(int):
            rows = np.repeat(np.arange(judged.n), row)
            drawn = judged.codes[rows], called[rows], judged.probabilities[rows]
            for key, metric in theirs.items():
                expected[key].append(metric(*drawn))
    for key, values in expected.items():
        np.testing.assert_allclose(ours[key], values, atol=1e-12)
        low, high = percentile_interval(np.array(values))
        assert percentile_interval(ours[key]) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("stratified", [True, False])
def test_patients_are_drawn_evenly_and_with_replacement(stratified: bool) -> None:
    """The counts of a patient among n draws from n are binomial, of variance 1 - 1 / n."""
    ids = np.array([f"P{number:02d}" for number in range(40)], dtype=object)
    patients = group_patients(ids, np.repeat([0, 1], [10, 30]), 2)
    weights = np.concatenate(list(draw_weights(patients, 4000, 0, stratified=stratified)))
    of = np.repeat([10, 30], [10, 30]) if stratified else np.full(40, 40)
    assert (weights.sum(axis=1) == 40).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.08)
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / of, atol=0.12)
