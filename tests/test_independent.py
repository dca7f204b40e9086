"""The difference of independent estimates: its interval, and where it has none."""

from __future__ import annotations

import pytest

from pellucid.evaluation.uncertainty.independent import differences, subtract

KNOWN = {"value": 0.9, "low": 0.85, "high": 0.95, "method": "x"}
OTHER = {"value": 0.8, "low": 0.7, "high": 0.9, "method": "x"}
NONE = {"value": None, "low": None, "high": None, "method": "undefined: x"}


def test_the_sides_of_the_interval_add_as_squares() -> None:
    gap = subtract(KNOWN, OTHER)
    assert gap["value"] == pytest.approx(0.1)
    assert gap["low"] == pytest.approx(0.1 - (0.05**2 + 0.1**2) ** 0.5)
    assert gap["high"] == pytest.approx(0.1 + (0.05**2 + 0.1**2) ** 0.5)


def test_an_interval_only_where_both_have_one() -> None:
    lone = {"value": 0.8, "low": None, "high": None}
    assert subtract(KNOWN, lone)["low"] is None
    assert subtract(KNOWN, lone)["value"] == pytest.approx(0.1)
    assert subtract(KNOWN, NONE)["value"] is None
    assert subtract(KNOWN, NONE)["method"].startswith("undefined")


def test_every_metric_that_both_have() -> None:
    found = differences(
        {"metrics": {"auroc": KNOWN, "f1": NONE}}, {"metrics": {"auroc": OTHER, "kappa": KNOWN}}
    )
    assert list(found) == ["auroc"]
    assert found["auroc"]["value"] == pytest.approx(0.1)
