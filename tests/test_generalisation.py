"""The gap between validation and test: told only beyond what chance explains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pellucid.auditing.generalisation import find_gap
from pellucid.evaluation.uncertainty.independent import Estimate, difference


def block(split: str, value: float, half: float, target: str = "label") -> dict[str, Any]:
    auroc = {"value": value, "low": value - half, "high": min(1.0, value + half)}
    return {
        "target": target,
        "split": split,
        "metrics": {"auroc": auroc},
        "confusion_matrix": [[50, 0], [0, 40]],
    }


def told(validation: tuple[float, float], test: tuple[float, float]) -> list[tuple[str, str]]:
    blocks = [block("validation", *validation), block("test", *test)]
    return [(finding.level, finding.message) for finding in find_gap({"blocks": blocks})]


def test_a_gap_beyond_chance_warns_in_both_directions() -> None:
    level, message = told((0.95, 0.02), (0.80, 0.08))[0]
    assert level == "WARN"
    assert "0.15 lower in test (0.80) than in validation (0.95)" in message
    assert "95 % interval 0.07 to 0.23" in message
    assert "0.15 higher" in told((0.75, 0.05), (0.90, 0.04))[0][1]


def test_a_gap_within_chance_is_a_note_or_nothing() -> None:
    assert told((0.95, 0.05), (0.85, 0.15)) == [
        (
            "NOTE",
            "AUROC is 0.10 lower in test (0.85) than in validation (0.95); the splits are so small "
            "that chance alone may explain it.",
        )
    ]
    assert told((0.95, 0.05), (0.92, 0.05)) == []


def test_a_sure_gap_that_changes_nothing_is_not_told() -> None:
    assert told((0.950, 0.002), (0.935, 0.002)) == []


def test_of_several_targets_more_is_asked() -> None:
    blocks = [block("validation", 0.9, 0.05), block("test", 0.83, 0.05)]
    assert next(find_gap({"blocks": blocks})).level == "NOTE"
    blocks = [block("validation", 0.9, 0.05), block("test", 0.82, 0.05)]
    assert next(find_gap({"blocks": blocks})).level == "WARN"
    others = [block(s, 0.9, 0.05, f"t{n}") for n in range(9) for s in ("validation", "test")]
    assert next(find_gap({"blocks": blocks + others})).level == "NOTE"


def test_a_perfect_ranking_has_an_interval_by_its_numbers() -> None:
    perfect = block("validation", 1.0, 0.0)
    perfect["metrics"]["auroc"] |= {"low": None, "high": None}
    found = list(find_gap({"blocks": [perfect, block("test", 0.8, 0.05)]}))
    assert found[0].level == "WARN"


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_without_both_there_is_no_gap(missing: str) -> None:
    blocks = [block("validation", 0.95, 0.02), block("test", 0.7, 0.02)]
    assert not list(find_gap({"blocks": [b for b in blocks if b["split"] != missing]}))
    for one in blocks:
        if one["split"] == missing:
            one["metrics"]["auroc"] = {"value": None, "low": None, "high": None}
    assert not list(find_gap({"blocks": blocks}))


def test_the_interval_of_a_difference_covers() -> None:
    random = np.random.default_rng(0)
    spread = (0.02, 0.04)
    inside = 0
    for _ in range(2000):
        first, second = (
            Estimate(value, value - 1.96 * s, value + 1.96 * s)
            for value, s in zip(random.normal((0.9, 0.8), spread), spread, strict=True)
        )
        gap = difference(first, second)
        inside += gap.low <= 0.1 <= gap.high
    assert 0.935 <= inside / 2000 <= 0.965
