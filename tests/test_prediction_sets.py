"""Prediction sets: the promise on exchangeable patients, and the rank that fulfils it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from judged_pairs import judge_arrays, make_judged
from pellucid.errors import UsageError
from pellucid.evaluation.probabilities.prediction_sets import (
    conformal_limit,
    prediction_sets,
    strangeness,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 99))
def test_one_image_a_patient_gives_the_usual_quantile(n: int, promise: float, seed: int) -> None:
    scores = np.random.default_rng(seed).random(n).round(2)
    rank = math.ceil((n + 1) * promise - 1e-9)
    expected = np.sort(scores)[rank - 1] if rank <= n else math.inf
    assert conformal_limit(scores, np.arange(n), promise) == expected


def test_patients_share_one_vote() -> None:
    # nine patients with one image each and one with ninety: weights 1/11 and 1/990
    scores = np.r_[np.arange(9) / 100, np.full(90, 0.5)]
    patients = np.r_[np.arange(9), np.full(90, 9)]
    assert conformal_limit(scores, patients, 9 / 11) == 0.08
    assert conformal_limit(scores, patients, 9.5 / 11) == 0.5
    assert math.isinf(conformal_limit(scores, patients, 10.5 / 11))


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("images", [1, 4])
def test_coverage_holds_on_exchangeable_patients(score: str, images: int) -> None:
    caught = []
    for seed in range(80):
        random = np.random.default_rng(seed)
        n = 100 * images
        # a wrong model: what it says is unrelated in size to what is true; patients differ
        lean = np.repeat(random.normal(size=(100, 3)), images, axis=0)
        truth = (lean + random.gumbel(size=(n, 3))).argmax(axis=1)
        shares = softmax(3 * lean + random.normal(size=(n, 3)), axis=1)
        who = np.arange(n) // images
        judged = judge_arrays(shares, truth, who)
        validation, test = (
            replace(judged.rows(who < 40), split="validation"),
            judged.rows(who >= 40),
        )
        found = prediction_sets(test, validation, score=score)  # type: ignore[arg-type]
        assert isinstance(found, list)
        caught.append([entry["coverage"]["value"] for entry in found])
    mean, error = np.mean(caught, axis=0), np.std(caught, axis=0) / math.sqrt(80)
    assert mean[0] > 0.90 - 3 * error[0]
    assert mean[1] > 0.95 - 3 * error[1]
    if score == "lac" and images == 1:
        assert mean[0] < 0.90 + 1 / 41 + 3 * error[0]


def test_sets_are_those_classes_that_reach_the_threshold() -> None:
    validation = make_judged(200, classes=("a", "b", "c"), seed=1, split="validation")
    test = make_judged(150, classes=("a", "b", "c"), seed=2)
    found = prediction_sets(test, validation)
    assert isinstance(found, list)
    for entry in found:
        inside = test.probabilities >= entry["threshold"]
        assert entry["mean_size"]["value"] == pytest.approx(inside.sum(1).mean())
        caught = inside[np.arange(150), test.codes]
        assert entry["coverage"]["value"] == pytest.approx(caught.mean())
        assert entry["singletons"]["value"] == pytest.approx((inside.sum(1) == 1).mean())
        assert entry["empty"]["value"] == pytest.approx((inside.sum(1) == 0).mean())
        for code, name in enumerate("abc"):
            value = entry["per_class"][name]["value"]
            assert value == pytest.approx(caught[test.codes == code].mean())
        assert entry["coverage"]["low"] < entry["coverage"]["value"] < entry["coverage"]["high"]
        assert (entry["n_calibration"], entry["counted"]) == (200, "one image a patient")
    assert found[0]["mean_size"]["value"] <= found[1]["mean_size"]["value"]
    json.dumps(found, allow_nan=False)


def test_adaptive_scores_sum_down_to_the_class() -> None:
    shares = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    assert strangeness(shares, "aps") == pytest.approx(np.array([[1.0, 0.5, 0.8], [1.0, 1.0, 1.0]]))


def test_too_few_patients_give_whole_sets_and_say_so() -> None:
    validation = make_judged(18, seed=1, split="validation")
    found = prediction_sets(make_judged(50), validation)
    assert isinstance(found, list)
    assert found[0]["reason"] == ""
    assert found[1]["threshold"] == 0
    assert "18 patients are too few to promise 0.95 (it takes 19)" in found[1]["reason"]
    assert found[1]["mean_size"]["value"] == 2
    assert found[1]["coverage"]["method"] == "Clopper-Pearson over 50 patients"


def test_ties_constant_probabilities_one_class_and_one_patient() -> None:
    validation = judge_arrays(np.full(40, 0.5), np.arange(40) % 2, split="validation")
    for codes, patients in ((np.ones(10), None), (np.arange(10) % 2, [1] * 10)):
        found = prediction_sets(
            judge_arrays(np.full(10, 0.5), codes.astype(int), patients), validation
        )
        assert isinstance(found, list)
        assert found[0]["coverage"]["value"] == 1
        json.dumps(found, allow_nan=False)
    alone = prediction_sets(judge_arrays(np.full(10, 0.5), np.ones(10)), validation)
    assert isinstance(alone, list)
    assert alone[0]["per_class"]["a"]["method"] == "undefined: no image of class a"


def test_reasons_and_refusals() -> None:
    test = make_judged(30)
    assert "no validation split" in str(prediction_sets(test, None))
    assert "fitted on these images" in str(prediction_sets(test, test))
    with pytest.raises(UsageError, match="promise"):
        prediction_sets(test, test, [1.0])
