"""The difference of two estimates that share no patient, such as test and external test.

Each estimate brings its own interval, lopsided where it is near 1, and the difference keeps that.
Source: Zou and Donner 2008, "Construction of confidence limits about effect measures" (MOVER).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

METHOD = "independent estimates (Zou and Donner 2008)"

Figure = Mapping[str, Any]


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def difference(first: Estimate, second: Estimate, widen: float = 1.0) -> Estimate:
    """First minus second, of independent estimates, with its interval `widen` times as wide."""
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - widen * down, value + widen * up)


def subtract(first: Figure, second: Figure) -> dict[str, Any]:
    """First minus second as a figure of `evaluation.json`; without an interval where one has none.

    >>> one = {"value": 0.9, "low": 0.85, "high": 0.95}
    >>> subtract(one, {"value": None, "low": None, "high": None})["method"]
    'undefined: one of the two is not defined'
    """
    ends: list[list[Any]] = [
        [figure.get(key) for key in ("value", "low", "high")] for figure in (first, second)
    ]
    if any(part[0] is None for part in ends):
        return _bare(None, "undefined: one of the two is not defined")
    if any(end is None for part in ends for end in part):
        return _bare(ends[0][0] - ends[1][0], "no interval: one of the two has none")
    gap = difference(Estimate(*ends[0]), Estimate(*ends[1]))
    return {**gap._asdict(), "method": METHOD}


def _bare(value: float | None, method: str) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "method": method}


def differences(block: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every metric of a block of `evaluation.json` minus that of the block of test."""
    here, there = test["metrics"], block["metrics"]
    return {name: subtract(there[name], here[name]) for name in there if name in here}
