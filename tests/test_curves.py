"""Bands of curves: against each resample drawn by hand, with ties, few patients and no doubt."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve, roc_curve

from judged_pairs import judge_arrays, make_judged
from pellucid.evaluation.decisions.curves import curves_block, precision_recall_band, roc_band
from pellucid.evaluation.uncertainty.intervals import draw_weights


def test_roc_band_equals_curves_of_repeated_rows() -> None:
    judged = make_judged(150, seed=1, patients=60)
    found = roc_band(judged, 1, (40, 0))
    (weights,) = draw_weights(judged.patients, 40, 0)
    rates = []
    for row in weights:
        images = row[judged.patients.of_image]
        fpr, tpr, _ = roc_curve(
            judged.codes, judged.probabilities[:, 1], sample_weight=images, drop_intermediate=False
        )
        rates.append(np.interp(found["fpr"], fpr, tpr))
    low, high = np.quantile(rates, [0.025, 0.975], axis=0)
    inner = (low > 0) & (high < 1) & (np.r_[np.diff(found["fpr"]), 1] > 0)
    value = np.array(found["tpr"])
    assert inner.sum() > 10
    assert np.array(found["tpr_low"])[inner] == pytest.approx(np.minimum(low, value)[inner])
    assert np.array(found["tpr_high"])[inner] == pytest.approx(np.maximum(high, value)[inner])


def test_precision_band_equals_curves_of_repeated_rows() -> None:
    judged = make_judged(150, seed=1, patients=60)
    found = precision_recall_band(judged, 1, (40, 0))
    (weights,) = draw_weights(judged.patients, 40, 0, stratified=False)
    drawn = []
    for row in weights:
        images = row[judged.patients.of_image]
        precision, recall, _ = precision_recall_curve(
            judged.codes, judged.probabilities[:, 1], sample_weight=images
        )
        precision, recall = precision[-2::-1], recall[-2::-1]  # from the highest threshold down
        drawn.append([precision[np.argmax(recall >= r - 1e-9)] for r in found["recall"]])
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    value, inner = np.array(found["precision"]), (low > 0) & (high < 1) & (low < high)
    assert inner.sum() > 10
    assert np.array(found["precision_low"])[inner] == pytest.approx(
        np.minimum(low, value)[inner], abs=1e-9
    )
    assert np.array(found["precision_high"])[inner] == pytest.approx(
        np.maximum(high, value)[inner], abs=1e-9
    )


def test_every_class_has_bands_that_hold_its_curve() -> None:
    judged = make_judged(200, classes=("a", "b", "c"), seed=2)
    block = curves_block(judged, (60, 0))
    json.dumps(block, allow_nan=False)
    assert list(block["roc"]) == ["a", "b", "c"]
    for curve, name in ((block["roc"]["a"], "tpr"), (block["precision_recall"]["b"], "precision")):
        assert len({len(values) for values in curve.values()}) == 1
        low, value, high = (np.array(curve[name + end]) for end in ("_low", "", "_high"))
        assert (low <= value).all()
        assert (value <= high).all()
    assert curves_block(judged, (60, 0)) == block


def test_perfect_ranks_are_not_called_certain() -> None:
    judged = judge_arrays(np.repeat([0.2, 0.9], 30), np.repeat([0, 1], 30))
    curve = curves_block(judged, (60, 0))["roc"]["b"]
    assert curve["tpr"][-1] == 1
    assert curve["tpr_low"][-1] == pytest.approx(0.025 ** (1 / 30))


def test_constant_absent_and_single() -> None:
    flat = curves_block(judge_arrays(np.full(8, 0.5), np.arange(8) % 2), (40, 0))
    assert flat["roc"]["b"]["fpr"] == [0.0, 1.0]
    assert curves_block(judge_arrays(np.full(8, 0.5), np.ones(8)), (40, 0)) == {
        "roc": {},
        "precision_recall": {},
    }
    one = curves_block(judge_arrays(np.arange(8) / 8, np.arange(8) % 2, [1] * 8), (40, 0))
    json.dumps(one, allow_nan=False)
    rare = judge_arrays(np.arange(60) / 60, np.arange(60) == 59)
    band = curves_block(rare, (100, 0))["precision_recall"]["b"]
    assert band["precision_low"][1] is None  # the only positive is missing from a third of them


@pytest.mark.slow
def test_the_roc_band_holds_the_true_rate() -> None:
    held = 0
    truth = norm.sf(norm.isf(0.2), loc=1.0)
    for seed in range(200):
        random = np.random.default_rng(seed)
        codes = np.arange(200) % 2
        scores = norm.cdf(random.normal(size=200) + codes)
        curve = roc_band(judge_arrays(scores, codes), 1, (200, seed))
        place = np.searchsorted(curve["fpr"], 0.2, side="right") - 1
        held += curve["tpr_low"][place] <= truth <= curve["tpr_high"][place]
    assert held / 200 > 0.90
