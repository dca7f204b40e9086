"""The coverage-risk curve against loops over the images, and its area."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from judged_pairs import judge_arrays, make_judged
from pellucid.evaluation.probabilities.abstention import RiskCoverage, abstention

DRAW = (100, 0)


def whole(judged: object) -> np.ndarray:
    return np.ones((1, judged.patients.n))  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 60), st.integers(1, 3))
def test_curve_and_area_equal_a_loop_over_thresholds(seed: int, n: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    p, codes = random.random(n).round(digits), random.integers(0, 2, n)
    judged = judge_arrays(p, codes)
    sure, bad = np.maximum(p, 1 - p), (p >= 0.5) != codes
    sure = judged.probabilities.max(axis=1)
    kept = {t: sure >= t for t in np.unique(sure)}
    area = np.mean([bad[kept[t]].mean() for t in sure])
    found = RiskCoverage(judged)(whole(judged))
    assert found["area"][0] == pytest.approx(area)
    for place, coverage in enumerate(np.arange(1, 101) / 100):
        first = max(t for t, inside in kept.items() if inside.mean() >= coverage - 1e-9)
        assert found["risk"][0, place] == pytest.approx(bad[kept[first]].mean())


def test_the_area_is_average_precision_turned_round() -> None:
    judged = make_judged(300, seed=3)
    wrong = (judged.probabilities[:, 1] >= 0.5) != judged.codes
    sure = judged.probabilities.max(axis=1)
    right_share = 1 - RiskCoverage(judged)(whole(judged))["area"][0]
    # average precision weighs the same precisions by the right images only
    ranked = np.unique(sure)[::-1]
    precision = [(~wrong[sure >= t]).mean() for t in ranked]
    weights = [(sure == t).mean() for t in ranked]
    assert right_share == pytest.approx(np.dot(precision, weights))
    assert average_precision_score(~wrong, sure) > right_share


def test_bands_hold_the_curve_and_risk_is_told_where_validation_set_the_limit() -> None:
    test = make_judged(400, seed=1, patients=150)
    validation = make_judged(300, seed=2, split="validation")
    block = abstention(test, validation, DRAW)
    json.dumps(block, allow_nan=False)
    low, risk, high = (np.array(block[k]) for k in ("risk_low", "risk", "risk_high"))
    assert (low[20:] <= risk[20:]).all()
    assert (risk <= high + 1e-12).all()
    assert block["area"]["low"] < block["area"]["value"] < block["area"]["high"]
    assert risk[-1] == np.mean((test.probabilities[:, 1] >= 0.5) != test.codes)
    for entry, coverage in zip(block["at"], (0.8, 0.9), strict=True):
        sure = validation.probabilities.max(axis=1)
        assert (sure >= entry["threshold"]).mean() >= coverage
        assert (sure > entry["threshold"]).mean() < coverage
        kept = test.probabilities.max(axis=1) >= entry["threshold"]
        bad = ((test.probabilities[:, 1] >= 0.5) != test.codes)[kept]
        assert entry["risk"]["value"] == pytest.approx(bad.mean())
        assert entry["kept"]["value"] == pytest.approx(kept.mean())
        assert entry["risk"]["low"] < bad.mean() < entry["risk"]["high"]
        assert entry["chosen_on"] == "validation"
    assert abstention(test, validation, DRAW) == block


def test_more_classes_count_any_wrong_class() -> None:
    judged = make_judged(200, classes=("a", "b", "c"), seed=4)
    block = abstention(judged, None, DRAW)
    wrong = judged.probabilities.argmax(axis=1) != judged.codes
    assert block["risk"][-1] == pytest.approx(wrong.mean())
    assert block["at"] == []
    assert "no validation split" in block["reason"]


def test_constant_perfect_and_single() -> None:
    flat = abstention(judge_arrays(np.full(10, 0.7), np.arange(10) % 2), None, DRAW)
    assert set(flat["risk"]) == {0.5}
    assert flat["area"]["value"] == 0.5
    perfect = judge_arrays(np.repeat([0.1, 0.9], 20), np.repeat([0, 1], 20))
    validation = make_judged(100, split="validation")
    block = abstention(perfect, validation, DRAW)
    assert set(block["risk"]) == {0.0}
    assert min(block["risk_high"]) > 0.08
    assert block["area"]["value"] == 0
    one = abstention(judge_arrays(np.array([0.8, 0.3]), np.array([1, 1]), [1, 1]), None, DRAW)
    assert one["area"]["low"] is None
    unsure = judge_arrays(np.full(5, 0.5), np.ones(5))
    nothing = abstention(unsure, validation, DRAW)["at"][0]
    assert nothing["risk"]["method"] == "undefined: no image is kept"
