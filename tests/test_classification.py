"""Classification: tuned in folds, honest about classes, steady in the seed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pellucid.classical.candidates import (
    BOOSTING,
    CANDIDATES,
    LOGISTIC,
    UNTUNED,
    VECTORS,
    Candidate,
    fit_candidate,
    thinned,
)
from pellucid.classical.classification import TrainingRows, fit_classifier, macro_auroc
from pellucid.classical.importance import family_importance, features_alone
from pellucid.errors import DataError

FEW = (  # one of each kind
    Candidate(LOGISTIC, {"C": 0.1}),
    Candidate(VECTORS, {"C": 1.0, "gamma_times_features": 1.0}),
    Candidate(BOOSTING, {"trees": 30, "leaves": 4, "learning_rate": 0.1}),
)


def rows(
    n: int = 240, n_classes: int = 2, *, shares: tuple[float, ...] | None = None, seed: int = 0
) -> TrainingRows:
    """Six features, of which the first tells the class."""
    random = np.random.default_rng(seed)
    codes = random.choice(n_classes, n, p=shares)
    features = random.normal(size=(n, 6))
    features[:, 0] += 2 * codes
    return TrainingRows(features, codes, np.arange(n) % 4, n_classes)


def rings(n: int = 300) -> TrainingRows:
    """Classes that no line tells apart."""
    random = np.random.default_rng(0)
    features = random.normal(size=(n, 2))
    codes = (np.hypot(*features.T) > 1.2).astype(np.int64)
    return TrainingRows(features, codes, np.arange(n) % 4, 2)


@pytest.mark.parametrize("candidate", FEW, ids=lambda one: one.name)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_kind_learns_and_gives_probabilities(candidate: Candidate, n_classes: int) -> None:
    data, fresh = rows(n_classes=n_classes), rows(400, n_classes, seed=1)
    chosen = fit_classifier(data, seed=0, candidates=[candidate])
    logs = chosen.model.log_probabilities(fresh.features)
    assert chosen.model.candidate == candidate
    assert np.allclose(np.exp(logs).sum(axis=1), 1)
    assert macro_auroc(fresh.codes, logs) > 0.85
    for code in range(n_classes):  # calibrated in the large, on rows never seen
        assert np.exp(logs[:, code]).mean() == pytest.approx((fresh.codes == code).mean(), abs=0.08)


@pytest.mark.parametrize("candidate", FEW, ids=lambda one: one.name)
def test_a_rare_class_keeps_its_share(candidate: Candidate) -> None:
    data = rows(600, shares=(0.9, 0.1))
    fresh = rows(2000, shares=(0.9, 0.1), seed=1)
    model = fit_classifier(data, seed=0, candidates=[candidate]).model
    assert np.exp(model.log_probabilities(fresh.features)[:, 1]).mean() == pytest.approx(
        0.1, abs=0.05
    )


def test_the_shift_undoes_the_balance_of_a_large_logistic_regression() -> None:
    """Balanced weights move only the intercept where the model is right."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40_000, 1))
    codes = (random.random(len(x)) < expit(1.5 * x[:, 0] - 2)).astype(np.int64)
    model = fit_candidate(Candidate(LOGISTIC, {"C": 1.0}), x, codes, n_classes=2, seed=0)
    plain = LogisticRegression(C=1e6).fit(x, codes).predict_proba(x)
    assert np.allclose(np.exp(model.log_probabilities(x)), plain, atol=0.02)


def test_the_best_of_the_candidates_is_chosen() -> None:
    chosen = fit_classifier(rings(), seed=0, candidates=FEW)
    means = {trial.candidate.name: trial.mean for trial in chosen.trials}
    assert means[LOGISTIC] < 0.7 < 0.9 < means[VECTORS]
    assert means[chosen.model.candidate.name] == max(means.values())
    assert [trial.candidate for trial in chosen.trials] == list(FEW)


def test_the_first_of_equals_is_chosen() -> None:
    twice = [Candidate(LOGISTIC, {"C": 0.1}), Candidate(LOGISTIC, {"C": 0.1})]
    chosen = fit_classifier(rows(), seed=0, candidates=twice)
    assert chosen.model.candidate is twice[0]


def test_fold_figures_are_those_of_rows_that_were_not_trained_on() -> None:
    data = rows()
    (trial,) = fit_classifier(data, seed=0, candidates=FEW[:1]).trials
    for fold, told in enumerate(trial.aurocs):
        inside = data.folds == fold
        by_hand = data.fit(FEW[0], np.flatnonzero(~inside), 0).ranks(data.features[inside])
        assert told == roc_auc_score(data.codes[inside], by_hand[:, 1])
    assert trial.mean == np.mean(trial.aurocs)


def test_noise_is_told_by_chance() -> None:
    data = rows()
    shuffled = np.random.default_rng(5).permutation(data.codes)
    for trial in fit_classifier(
        TrainingRows(data.features, shuffled, data.folds, 2), seed=0, candidates=FEW
    ).trials:
        assert 0.35 < trial.mean < 0.65


def test_the_seed_decides_all() -> None:
    data, fresh = rows(), rows(seed=1).features
    first, second = (fit_classifier(data, seed=7, candidates=FEW) for _ in range(2))
    assert [one.aurocs for one in first.trials] == [one.aurocs for one in second.trials]
    assert np.array_equal(
        first.model.log_probabilities(fresh), second.model.log_probabilities(fresh)
    )


@pytest.mark.parametrize("folds", [np.full(240, -1), np.zeros(240, dtype=np.int64)])
def test_without_two_folds_nothing_is_tuned(folds: np.ndarray) -> None:
    data = rows()
    chosen = fit_classifier(TrainingRows(data.features, data.codes, folds, 2), seed=0)
    assert chosen.trials == ()
    assert chosen.model.candidate == UNTUNED
    assert any("Not tuned" in note for note in chosen.notes)


def test_one_class_is_refused() -> None:
    data = rows()
    with pytest.raises(DataError, match="at least two classes"):
        fit_classifier(TrainingRows(data.features, 0 * data.codes, data.folds, 2), seed=0)


@pytest.mark.parametrize("candidate", FEW, ids=lambda one: one.name)
def test_a_class_that_training_lacks(candidate: Candidate) -> None:
    data = rows()
    model = fit_classifier(
        TrainingRows(data.features, 2 * data.codes, data.folds, 4), seed=0, candidates=[candidate]
    ).model
    shares = np.exp(model.log_probabilities(data.features))
    assert shares.shape == (240, 4)
    assert shares[:, [1, 3]].max() < 1e-11
    assert np.allclose(shares[:, [0, 2]].sum(axis=1), 1)


@pytest.mark.parametrize("candidate", FEW, ids=lambda one: one.name)
def test_a_class_of_one_row_that_is_never_held_out(candidate: Candidate) -> None:
    data = rows()
    codes, folds = data.codes.copy(), data.folds.copy()
    codes[5], folds[5] = 2, -1
    chosen = fit_classifier(
        TrainingRows(data.features, codes, folds, 3), seed=0, candidates=[candidate]
    )
    logs = chosen.model.log_probabilities(data.features)
    assert np.isfinite(logs).all()
    assert chosen.trials[0].mean > 0.8
    assert np.isnan(chosen.trials[0].held_out[5]).all()


def test_constant_features_are_borne() -> None:
    data = rows()
    features = np.concatenate([data.features, np.full((240, 2), 3.0)], axis=1)
    for candidate in FEW:
        chosen = fit_classifier(
            TrainingRows(features, data.codes, data.folds, 2), seed=0, candidates=[candidate]
        )
        assert chosen.trials[0].mean > 0.85
    nothing = TrainingRows(np.zeros((240, 1)), data.codes, data.folds, 2)
    for trial in fit_classifier(nothing, seed=0, candidates=FEW).trials:
        assert trial.mean == pytest.approx(0.5)


def test_large_data_are_thinned_for_the_support_vector_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("candidates", "classification"):
        monkeypatch.setattr(f"pellucid.classical.{module}.VECTOR_ROWS", 100)
    chosen = fit_classifier(rows(400), seed=0, candidates=[FEW[1]])
    assert len(chosen.model.estimator[-1].support_) <= 200
    assert any("Fitted on about 100 of 400" in note for note in chosen.notes)
    assert any("of 300" in note for note in chosen.trials[0].to_json()["notes"])


def test_thinning_keeps_shares_and_rare_classes() -> None:
    codes = np.repeat([0, 1, 2], [9000, 950, 50])
    kept = codes[thinned(codes, 1000, seed=0)]
    assert np.bincount(kept).tolist() == [900, 100, 50]


def test_the_trials_are_ready_for_json() -> None:
    document = [one.to_json() for one in fit_classifier(rows(), seed=0, candidates=FEW).trials]
    json.dumps(document, allow_nan=False)
    assert {"classifier", "hyperparameters", "mean_auroc", "fold_aurocs"} <= set(document[0])


def test_every_candidate_can_be_built() -> None:
    data = rows(120)
    for candidate in CANDIDATES:
        model = data.fit(candidate, np.arange(120), 0)
        assert model.converged
        assert macro_auroc(data.codes, model.ranks(data.features)) > 0.85


def test_macro_auroc_leaves_out_absent_classes() -> None:
    codes, scores = np.array([0, 0, 1, 1]), np.array([[3, 0, 1], [2, 1, 5], [1, 2, 2], [0, 3, 0]])
    assert macro_auroc(codes, scores.astype(float)) == 1.0
    assert np.isnan(macro_auroc(np.zeros(4, dtype=np.int64), scores.astype(float)))


def test_the_family_that_tells_is_found() -> None:
    data = rows()
    families = {"told": np.array([0, 1]), "noise": np.array([2, 3, 4, 5])}
    first, second = family_importance(data, FEW[0], families, seed=0)
    assert first["family"] == "told"
    assert first["fall"] > 0.25 > abs(second["fall"])
    untuned = TrainingRows(data.features, data.codes, np.full(240, -1), 2)
    assert family_importance(untuned, FEW[0], families, seed=0) == []


def test_features_alone_are_scikit_learns_auroc() -> None:
    data = rows(n_classes=3)
    features = data.features.round(1)  # with ties
    names = [f"f{number}" for number in range(6)]
    found = features_alone(features, data.codes, names, ("a", "b", "c"))
    assert found[0]["feature"] == "f0"
    for one in found:
        code, column = "abc".index(one["class"]), names.index(one["feature"])
        auroc = roc_auc_score(data.codes == code, features[:, column])
        assert one["auroc"] == pytest.approx(max(auroc, 1 - auroc))
        assert one["when"] == ("higher" if auroc >= 0.5 else "lower")
