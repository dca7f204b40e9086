"""Logits in every form, and the numbers and columns they are printed in."""

from __future__ import annotations

import math

import pytest

from pellucid.errors import UsageError
from pellucid.playground.output_layers import convert_logits


def test_one_logit_is_two_classes() -> None:
    found = convert_logits([2.0])
    classes = found.to_json()["classes"]
    assert [one["label"] for one in classes] == ["other", "positive"]
    assert classes[1]["probability"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert classes[0]["log_probability"] == pytest.approx(-math.log1p(math.exp(2)))
    assert "sigmoid of one logit" in found.describe()


def test_several_logits_share_one_probability() -> None:
    found = convert_logits([1.0, -2.0, 800.0], ["a", "b", "c"])
    classes = found.to_json()["classes"]
    assert sum(one["probability"] for one in classes) == pytest.approx(1.0)
    assert classes[0]["log_probability"] == pytest.approx(-799.0)
    assert "softmax" in found.describe()
    assert [one["label"] for one in convert_logits([0.0, 0.0, 0.0]).to_json()["classes"]] == [
        "class 1",
        "class 2",
        "class 3",
    ]


@pytest.mark.parametrize(
    ("logits", "classes"),
    [([], ()), ([1.0, 2.0], ("a",)), ([1.0, 2.0], ("a", "a")), ([float("nan")], ())],
)
def test_what_fits_not_is_refused(logits: list[float], classes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        convert_logits(logits, classes)
