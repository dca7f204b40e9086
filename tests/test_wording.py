"""Logits to words: every form agrees with the lecture's formulas, and no word claims certainty."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, softmax

from pellucid.errors import UsageError
from pellucid.explanation.wording import (
    odds_words,
    power_words,
    probability_words,
    times_words,
    word_logits,
)
from pellucid.task import Target

BINARY = Target(name="label", classes=("NORMAL", "PNEUMONIA"))
TWO = Target(name="label", classes=("NORMAL", "PNEUMONIA"), n_logits=2)
OCT = Target(name="oct", classes=("CNV", "DME", "DRUSEN", "NORMAL"))


def test_one_logit_is_the_log_odds_of_the_positive_class() -> None:
    wording = word_logits([2.0], BINARY)

    np.testing.assert_allclose(wording.logits, [-2.0, 2.0])
    np.testing.assert_allclose(wording.probabilities, [expit(-2.0), expit(2.0)])
    np.testing.assert_allclose(wording.log_odds, [-2.0, 2.0])
    np.testing.assert_allclose(wording.log_probabilities, np.log(wording.probabilities))
    np.testing.assert_allclose(wording.raised, [[expit(-3.0), expit(3.0)]])
    assert wording.raised_classes == ("PNEUMONIA",)


@pytest.mark.parametrize("target", [OCT, TWO])
def test_several_logits_go_through_softmax(target: Target) -> None:
    z = np.array([1.5, -0.3, 0.2, 0.9])[: target.n_logits]
    wording = word_logits(z, target)

    p = softmax(z)
    np.testing.assert_allclose(wording.probabilities, p)
    np.testing.assert_allclose(wording.log_odds, np.log(p / (1 - p)))
    for k in range(len(z)):
        np.testing.assert_allclose(wording.raised[k], softmax(z + np.eye(len(z))[k]))


def test_one_more_on_a_logit_multiplies_its_odds_against_the_rest_by_e() -> None:
    wording = word_logits([0.4, 1.1, -2.0, 0.0], OCT)

    raised = np.diag(wording.raised)
    before = np.exp(wording.log_odds)
    np.testing.assert_allclose(raised / (1 - raised), np.e * before)


@pytest.mark.parametrize(
    ("logits", "target"),
    [([1000.0], BINARY), ([-1000.0], BINARY), ([1e4, -1e4, 0.0, 3.0], OCT), ([800.0, -800.0], TWO)],
)
def test_large_logits_neither_overflow_nor_claim_certainty(
    logits: list[float], target: Target
) -> None:
    wording = word_logits(logits, target)
    document = wording.to_json()

    text = " ".join(document["sentences"])
    assert "1.000" not in text
    assert ">0.999" in text
    assert "inf" not in text
    assert "nan" not in text
    json.dumps(document, allow_nan=False)


def test_the_call_is_that_of_the_confusion_matrix() -> None:
    assert word_logits([0.0], BINARY).to_json()["called"] == "PNEUMONIA"
    assert word_logits([-0.1], BINARY).to_json()["called"] == "NORMAL"
    assert word_logits([0.0, 0.0, 2.0, 0.0], OCT).to_json()["called"] == "DRUSEN"


def test_sentences_name_the_classes_and_what_a_step_would_do() -> None:
    one = " ".join(word_logits([2.0], BINARY).sentences)
    assert "the logit 2.00 of PNEUMONIA" in one
    assert "7.4 to 1 for PNEUMONIA against NORMAL" in one
    assert "from 0.881 to 0.953" in one
    assert "2.00 smaller it would be undecided" in one

    several = " ".join(word_logits([3.0, 1.0, 0.0, -1.0], OCT).sentences)
    assert "CNV is e^2.00 = 7.4 times as probable as DME" in several
    assert "DME would draw level with CNV if its logit were 2.00 larger" in several


def test_one_more_on_a_logit_shrinks_the_other_probabilities_by_one_factor() -> None:
    wording = word_logits([3.0, 1.0, 0.0, -1.0], OCT)
    others = wording.raised[0, 1:] / wording.probabilities[1:]
    assert np.allclose(others, others[0])
    sentence = "The probabilities of all other classes would shrink by one common factor"
    assert sentence in " ".join(wording.sentences)


def test_an_undecided_network_is_called_so() -> None:
    assert any("undecided" in sentence for sentence in word_logits([0.0], BINARY).sentences)
    tied = word_logits([1.0, 1.0, 1.0, 1.0], OCT)
    assert not any("draw level" in sentence for sentence in tied.sentences)


def test_plain_data_has_texts_beside_numbers() -> None:
    entry = word_logits([12.0], BINARY).to_json()["classes"][1]

    assert entry["probability_text"] == ">0.999"
    assert entry["log_probability_text"] == "> −0.001"
    assert entry["odds"] == pytest.approx(np.exp(12.0))
    assert entry["odds_text"] == "162,755"
    assert word_logits([1000.0], BINARY).to_json()["classes"][1]["odds"] is None


def test_words_for_numbers() -> None:
    assert odds_words(0.0) == "1 to 1"
    assert odds_words(np.log(437.0)) == "440 to 1"
    assert odds_words(-20.0) == "1 to more than a million"
    assert power_words(-1000.0) == "10^−434"
    assert probability_words(0.0) == "<0.001"
    assert probability_words(0.9994) == "0.999"
    assert times_words(0.0) == "1 times"


@pytest.mark.parametrize("logits", [[], [1.0, 2.0], [np.nan], [np.inf]])
def test_wrong_logits_are_refused(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="1 finite logits"):
        word_logits(logits, BINARY)
