"""Net benefit against the formula with scikit-learn's counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import confusion_matrix

from judged_pairs import judge_arrays, make_judged
from pellucid.errors import UsageError
from pellucid.evaluation.decisions.decision_curve import decision_curve

DRAW = (100, 0)


def test_net_benefit_equals_the_formula_at_every_threshold() -> None:
    judged = make_judged(300, seed=1, patients=90)
    curve = decision_curve(judged, DRAW)
    assert curve is not None
    for place, threshold in enumerate(curve["thresholds"]):
        called = judged.probabilities[:, 1] >= threshold
        _, fp, _, tp = confusion_matrix(judged.codes, called).ravel()
        expected = tp / 300 - fp / 300 * threshold / (1 - threshold)
        assert curve["model"][place] == pytest.approx(expected)
        assert curve["model_low"][place] <= curve["model"][place] <= curve["model_high"][place]
    share = judged.codes.mean()
    assert curve["prevalence"] == pytest.approx(share)
    assert curve["treat_all"][19] == pytest.approx(share - (1 - share) * 0.25)
    assert set(curve["treat_none"]) == {0.0}
    json.dumps(curve, allow_nan=False)
    assert decision_curve(judged, DRAW) == curve


def test_probabilities_on_a_threshold_are_called_and_ties_count_alike() -> None:
    judged = judge_arrays(np.array([0.07, 0.29, 0.57, 0.58]), np.array([0, 1, 0, 1]))
    curve = decision_curve(judged, DRAW)
    assert curve is not None
    model = dict(zip(curve["thresholds"], curve["model"], strict=True))
    assert model[0.07] == pytest.approx(0.5 - 0.5 * 0.07 / 0.93)
    assert model[0.29] == pytest.approx(0.5 - 0.25 * 0.29 / 0.71)
    assert model[0.58] == pytest.approx(0.25)
    assert model[0.59] == 0


def test_a_stated_prevalence_reweighs_the_classes() -> None:
    judged = make_judged(400, seed=2)
    curve = decision_curve(judged, DRAW, prevalence=0.1)
    assert curve is not None
    called = judged.probabilities[:, 1] >= 0.2
    se, fpr = called[judged.codes == 1].mean(), called[judged.codes == 0].mean()
    assert curve["model"][19] == pytest.approx(0.1 * se - 0.9 * fpr * 0.25)
    assert curve["treat_all"][19] == pytest.approx(0.1 - 0.9 * 0.25)
    assert (curve["prevalence"], curve["prevalence_is"]) == (0.1, "stated")
    own = decision_curve(judged, DRAW, prevalence=float(judged.codes.mean()))
    plain = decision_curve(judged, DRAW)
    assert own is not None
    assert plain is not None
    assert own["model"] == pytest.approx(plain["model"])
    with pytest.raises(UsageError, match="between 0 and 1"):
        decision_curve(judged, DRAW, prevalence=1.0)


def test_what_has_no_curve() -> None:
    assert decision_curve(make_judged(60, classes=("a", "b", "c")), DRAW) is None
    one = decision_curve(judge_arrays(np.array([0.1, 0.9]), np.array([1, 1])), DRAW)
    assert one == {"reason": "no image of class a"}
    single = decision_curve(judge_arrays(np.full(6, 0.4), np.arange(6) % 2, [1] * 6), DRAW)
    assert single is not None
    assert single["model"][9] == pytest.approx(0.5 - 0.5 / 9)


@pytest.mark.slow
def test_bands_hold_the_true_net_benefit() -> None:
    z = np.random.default_rng(99).normal(size=400_000)
    truth = np.mean(expit(z[expit(z) >= 0.3])) * np.mean(expit(z) >= 0.3) - np.mean(
        (1 - expit(z)) * (expit(z) >= 0.3)
    ) * (0.3 / 0.7)
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        z = random.normal(size=250)
        curve = decision_curve(judge_arrays(expit(z), random.random(250) < expit(z)), (200, seed))
        assert curve is not None
        held += curve["model_low"][29] <= truth <= curve["model_high"][29]
    assert 0.89 < held / 200 < 0.99
