"""Scaling against a general optimiser and scikit-learn's own Platt scaling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from judged_pairs import judge_arrays, make_judged
from pellucid.errors import UsageError
from pellucid.evaluation.probabilities.scaling import Scaling, fit_scaling, scale


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c", "d")])
def test_temperature_has_the_least_log_loss_and_keeps_ranks(classes: tuple[str, ...]) -> None:
    judged = make_judged(300, classes=classes, seed=2, split="validation")
    scaling, reason = fit_scaling(judged)
    assert scaling is not None
    assert reason == ""
    z = np.log(judged.probabilities)
    best = minimize_scalar(
        lambda log_t: log_loss(judged.codes, softmax(z / np.exp(log_t), axis=1)),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert scaling.parameters["temperature"] == pytest.approx(np.exp(best.x), rel=1e-5)
    scaled = scale(judged, scaling).probabilities
    assert scaled.sum(axis=1) == pytest.approx(1.0)
    untied = np.ptp(np.sort(judged.probabilities)[:, -2:], axis=1) > 1e-9
    assert (scaled.argmax(1) == judged.probabilities.argmax(1))[untied].all()
    if len(classes) == 2:
        rounded = judge_arrays(judged.probabilities[:, 1].round(6), judged.codes)
        scaled, judged = scale(rounded, scaling).probabilities, rounded
        assert roc_auc_score(judged.codes, scaled[:, 1]) == roc_auc_score(
            judged.codes, judged.probabilities[:, 1]
        )


def test_one_logit_is_divided_by_the_temperature() -> None:
    z = np.array([-30.0, -1.0, 0.0, 2.0, 12.0])
    pairs = np.stack([expit(-z), expit(z)], axis=1)
    scaled = Scaling("temperature", {"temperature": 2.0}, "validation").apply(pairs)
    assert scaled[:, 1] == pytest.approx(expit(z / 2), rel=1e-9)


def test_platt_equals_scikit_learn() -> None:
    random = np.random.default_rng(1)
    z = random.normal(size=(400, 1))
    truth = (random.random(400) < expit(0.4 * z[:, 0] - 1)).astype(int)
    model = LogisticRegression().fit(random.normal(size=(400, 1)) + 2 * truth[:, None], truth)
    margin, chances = model.decision_function(z), model.predict_proba(z)
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid").fit(z, truth)
    judged = judge_arrays(chances, truth, split="validation")
    scaling, _ = fit_scaling(judged, "platt")
    assert scaling is not None
    assert scale(judged, scaling).probabilities[:, 1] == pytest.approx(
        theirs.predict_proba(z)[:, 1], abs=2e-4
    )
    assert logit(chances[:, 1]) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("probabilities", "codes", "method", "word"),
    [
        ([0.2, 0.3, 0.7, 0.9], [0, 0, 1, 1], "temperature", "true class"),
        ([0.8, 0.7, 0.3, 0.2], [0, 0, 1, 1], "temperature", "do not favour"),
        ([0.4, 0.4, 0.4, 0.4], [0, 0, 1, 1], "platt", "same probability"),
        ([0.2, 0.3, 0.7, 0.9], [1, 1, 1, 1], "temperature", "one class"),
        ([0.2, 0.3, 0.7, 0.9], [1, 1, 1, 1], "platt", "one class"),
    ],
)
def test_what_cannot_be_fitted_has_a_reason(
    probabilities: list[float], codes: list[int], method: str, word: str
) -> None:
    judged = judge_arrays(np.array(probabilities), np.array(codes), split="validation")
    scaling, reason = fit_scaling(judged, method)  # type: ignore[arg-type]
    assert scaling is None
    assert word in reason


def test_platt_softens_separable_images_and_survives_certain_ones() -> None:
    judged = judge_arrays(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))
    scaling, _ = fit_scaling(judged, "platt")
    assert scaling is not None
    assert scale(judged, scaling).probabilities[:, 1] == pytest.approx([0.25, 0.25, 0.75, 0.75])


def test_one_certain_mistake_leaves_a_finite_temperature() -> None:
    judged = judge_arrays(np.array([0.0, 0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1, 0]))
    scaling, _ = fit_scaling(judged)
    assert scaling is not None
    assert np.isfinite(scaling.parameters["temperature"])
    scaled = scale(judged, scaling).probabilities[:, 1]
    assert scaled == pytest.approx([0.2, 0.2, 0.8, 0.8, 0.8], abs=1e-6)


def test_wrong_methods_are_refused() -> None:
    with pytest.raises(UsageError, match="temperature, platt"):
        fit_scaling(make_judged(20), "isotonic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two classes"):
        fit_scaling(make_judged(60, classes=("a", "b", "c")), "platt")
