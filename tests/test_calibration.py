"""Calibration figures against scikit-learn, a general optimiser and simulations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from judged_pairs import judge_arrays, make_judged
from pellucid.evaluation.measures.probability_metrics import ProbabilityScores, equal_bins
from pellucid.evaluation.probabilities.calibration import (
    Calibration,
    calibration_block,
    error_by_chance,
    reliability_bins,
)
from pellucid.evaluation.probabilities.recalibration import fit_intercept, fit_line, is_parted
from pellucid.evaluation.uncertainty.intervals import percentile_interval, resample

DRAW = (200, 0)


def test_slope_equals_an_unpenalised_logistic_regression_and_intercept_a_general_optimiser() -> (
    None
):
    judged = make_judged(400, seed=3)
    before = calibration_block(judged, None, DRAW)["before"]
    z = logit(judged.probabilities[:, 1])
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], judged.codes)
    assert before["slope"]["value"] == pytest.approx(model.coef_[0, 0], abs=1e-5)
    hits = judged.codes

    def loss(a: np.ndarray) -> float:
        return float(np.logaddexp(0, z + a[0]).sum() - (hits * (z + a[0])).sum())

    assert before["intercept"]["value"] == pytest.approx(minimize(loss, [0.0]).x[0], abs=1e-5)
    for name in ("brier", "log_loss", "slope", "intercept"):
        figure = before[name]
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["method"].startswith("patient bootstrap")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.floats(0.0, 6.0))
def test_the_fit_stands_where_the_likelihood_is_flat(seed: int, n: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    x = np.sort(random.normal(size=n) * spread).round(1)
    totals = random.integers(0, 4, (5, n)).astype(float)
    hits = random.binomial(totals.astype(int), expit(2 * x - 1)).astype(float)
    intercepts, slopes = fit_line(x, hits, totals)
    held = fit_intercept(x, hits, totals)
    for row in range(5):
        if not np.isnan(slopes[row]):
            gap = hits[row] - totals[row] * expit(intercepts[row] + slopes[row] * x)
            assert abs(gap.sum()) < 1e-6
            assert abs((gap * x).sum()) < 1e-5
        some = 0 < hits[row].sum() < totals[row].sum()
        assert some == (not np.isnan(held[row]))
        if some:
            gap = hits[row] - totals[row] * expit(held[row] + x)
            assert abs(gap.sum()) < 1e-6


def test_a_steep_line_is_found_as_well_as_a_flat_one() -> None:
    random = np.random.default_rng(5)
    x = np.linspace(-1, 1, 500)
    chosen = np.array([1.0, 20.0, 60.0, 200.0]).repeat(25)
    hits = (random.random((100, 500)) < expit(chosen[:, None] * x)).astype(float)
    parted = is_parted(hits, np.ones_like(hits))
    intercepts, slopes = fit_line(x, hits, np.ones_like(hits))
    assert np.isnan(slopes[parted]).all()
    assert not np.isnan(slopes[~parted]).any()
    assert (~parted & (slopes > 50)).sum() > 20
    shares = expit(intercepts[:, None] + slopes[:, None] * x)[~parted]
    gaps = (hits[~parted] - shares) @ np.stack([np.ones(500), x], axis=1)  # 0 at the best line
    assert np.abs(gaps).max() < 1e-6


def test_resampled_fits_equal_fits_to_repeated_rows() -> None:
    judged = make_judged(120, seed=5, patients=40)
    weights = np.random.default_rng(0).integers(0, 3, (4, judged.patients.n)).astype(float)
    found = Calibration(judged)(weights)
    for row in range(4):
        rows = np.repeat(np.arange(judged.n), weights[row, judged.patients.of_image].astype(int))
        again = Calibration(judge_arrays(judged.probabilities[rows], judged.codes[rows])).values()
        for name, values in found.items():
            assert values[row] == pytest.approx(again[name], rel=1e-6)


def test_grouping_many_claims_hardly_moves_the_fit() -> None:
    random = np.random.default_rng(2)
    z = random.normal(size=20_000)
    judged = judge_arrays(expit(1.5 * z), random.random(20_000) < expit(z))
    statistic = Calibration(judged)
    grouped = statistic(np.ones((1, judged.patients.n)))
    exact = statistic.values()
    assert grouped["slope"][0] == pytest.approx(exact["slope"], rel=1e-3)
    assert exact["slope"] == pytest.approx(1 / 1.5, abs=0.03)


def test_bins_equal_scikit_learn_and_hold_wilson() -> None:
    random = np.random.default_rng(7)
    claimed = random.random(500)
    judged = judge_arrays(claimed, random.random(500) < claimed**2)
    bins = [entry for entry in reliability_bins(judged) if entry["n"]]
    observed, mean = calibration_curve(judged.codes, judged.probabilities[:, 1], n_bins=10)
    assert [b["observed"] for b in bins] == pytest.approx(observed.tolist())
    assert [b["mean_probability"] for b in bins] == pytest.approx(mean.tolist())
    assert all(b["observed_low"] <= b["observed"] <= b["observed_high"] for b in bins)
    # Newcombe 1998, table I: Wilson's interval of 81 of 263 is 0.2553 to 0.3662
    plain = judge_arrays(np.full(263, 0.31), np.arange(263) < 81)
    (entry,) = [b for b in reliability_bins(plain) if b["n"]]
    assert (entry["observed_low"], entry["observed_high"]) == pytest.approx(
        (0.2553, 0.3662), abs=1e-4
    )
    clustered = judge_arrays(np.full(263, 0.31), np.arange(263) < 81, np.arange(263) // 10)
    (wider,) = [b for b in reliability_bins(clustered) if b["n"]]
    assert wider["observed_low"] < entry["observed_low"]


@pytest.mark.parametrize(
    ("probabilities", "codes", "slope", "intercept"),
    [
        ([0.2, 0.3, 0.7, 0.8], [0, 0, 1, 1], "part the images", None),
        ([0.8, 0.7, 0.3, 0.2], [0, 0, 1, 1], "part the images", None),
        ([0.2, 0.5, 0.5, 0.8], [0, 0, 1, 1], "part the images", None),
        ([0.4, 0.4, 0.4, 0.4], [0, 0, 1, 1], "same probability", None),
        ([0.2, 0.3, 0.7, 0.8], [1, 1, 1, 1], "every claim is right", "every claim is right"),
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1], "part the images", None),
        ([0.5], [1], "every claim is right", "every claim is right"),
    ],
)
def test_what_does_not_exist_is_null_with_a_reason(
    probabilities: list[float], codes: list[int], slope: str, intercept: str | None
) -> None:
    judged = judge_arrays(np.array([*probabilities]), np.array(codes))
    if judged.target.classes != ("a", "b"):
        pytest.fail("both classes have a column")
    before = calibration_block(judged, None, DRAW)["before"]
    json.dumps(before, allow_nan=False)
    assert before["slope"]["value"] is None
    assert slope in before["slope"]["method"]
    if intercept is None:
        assert before["intercept"]["value"] is not None
    else:
        assert intercept in before["intercept"]["method"]


def test_claims_of_zero_and_one_are_held_and_said() -> None:
    judged = judge_arrays(np.array([0.0, 0.3, 1.0, 0.6, 0.2]), np.array([1, 0, 0, 1, 1]))
    slope = calibration_block(judged, None, DRAW)["before"]["slope"]
    assert slope["value"] is not None
    assert slope["note"].startswith("2 claims of 0 or 1")


def test_more_classes_judge_the_predicted_class() -> None:
    judged = make_judged(300, classes=("a", "b", "c"), seed=1)
    block = calibration_block(judged, None, DRAW)
    assert block["claim"] == "predicted class"
    claim, right = judged.probabilities.max(1), judged.probabilities.argmax(1) == judged.codes
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(claim)[:, None], right)
    assert block["before"]["slope"]["value"] == pytest.approx(model.coef_[0, 0], abs=1e-4)


def test_before_and_after_scaling_stand_side_by_side() -> None:
    random = np.random.default_rng(0)
    z = random.normal(size=16_000)
    truth = random.random(16_000) < expit(z)
    test = judge_arrays(expit(3 * z[:8000]), truth[:8000])
    validation = judge_arrays(expit(3 * z[8000:]), truth[8000:], split="validation")
    block = calibration_block(test, validation, DRAW)
    before, after = block["before"], block["after"]
    assert block["scaling"]["fitted_on"] == "validation"
    assert block["scaling"]["parameters"]["temperature"] == pytest.approx(3, abs=0.4)
    assert before["slope"]["value"] == pytest.approx(1 / 3, abs=0.06)
    temperature = block["scaling"]["parameters"]["temperature"]
    assert after["slope"]["value"] == pytest.approx(before["slope"]["value"] * temperature)
    assert after["slope"]["value"] == pytest.approx(1, abs=0.15)
    for name in ("brier", "log_loss", "calibration_error"):
        assert after[name]["value"] < before[name]["value"]
    assert calibration_block(test, validation, DRAW) == block
    for missing, word in ((None, "no validation split"), (test, "fitted on these images")):
        alone = calibration_block(test, missing, (20, 0))
        assert alone["after"] is None
        assert alone["scaling"] is None
        assert word in alone["reason"]


@pytest.mark.slow
def test_percentile_intervals_of_the_calibration_error_miss_and_those_of_the_slope_hold() -> None:
    held = {"calibration_error": 0, "slope": 0, "intercept": 0}
    runs, n = 100, 300
    for seed in range(runs):
        random = np.random.default_rng(seed)
        z = random.normal(size=n) * 1.5
        # the model is surer than it should be: logits 1.3 times too large, so the slope is 1/1.3
        judged = judge_arrays(expit(1.3 * z), random.random(n) < expit(z))
        scores, fit = (
            ProbabilityScores(judged.probabilities, judged.codes, judged.patients.of_image),
            Calibration(judged),
        )

        def both(weights: np.ndarray, scores=scores, fit=fit) -> dict[str, np.ndarray]:
            error = scores(weights)["calibration_error"]
            return {"calibration_error": error, **fit(weights)}

        drawn = resample(both, judged.patients, 300, seed, stratified=False)
        for name, truth in {
            "calibration_error": _true_error(),
            "slope": 1 / 1.3,
            "intercept": 0,
        }.items():
            low, high = percentile_interval(drawn[name])
            held[name] += low <= truth <= high
    assert held["calibration_error"] / runs < 0.75
    assert held["slope"] / runs > 0.90
    assert held["intercept"] / runs > 0.90


def _true_error() -> float:
    """The calibration error of the simulated model in ten bins, from many images."""
    z = np.random.default_rng(99).normal(size=200_000) * 1.5
    claimed = expit(1.3 * z)
    gap = np.bincount(equal_bins(claimed), claimed - expit(z), minlength=10)
    return float(np.abs(gap).sum() / len(z))


def test_the_error_that_chance_gives_is_what_honest_claims_show() -> None:
    random = np.random.default_rng(4)
    claimed = random.random(400)
    bins = equal_bins(claimed)
    shown = []
    for _ in range(300):
        right = random.random(400) < claimed
        gaps = [abs((claimed - right)[bins == b].mean()) * (bins == b).mean() for b in range(10)]
        shown.append(sum(gaps))
    assert error_by_chance(claimed, bins, 0) == pytest.approx(np.mean(shown), rel=0.06)
