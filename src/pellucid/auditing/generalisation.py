"""After training: the gap between validation and test that chance does not explain.

Validation chose the epoch and the thresholds, so it flatters; the question is by how much. Knows
the document of evaluation.json; it does not know pictures, predictions or networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from pellucid.auditing.findings import Finding, found
from pellucid.evaluation.uncertainty.independent import Estimate, difference
from pellucid.evaluation.uncertainty.intervals import extreme_interval

METRIC = "auroc"
SMALL = 0.02  # a gap that changes no decision, however sure it is
WORTH_KNOWING = 0.05  # a gap that chance may explain, but that a reader will ask about
_Z = NormalDist().inv_cdf(0.975)


def find_gap(evaluation: dict[str, Any]) -> Iterator[Finding]:
    """The gap between validation and test of each target's AUROC, beyond what chance explains.

    Takes the document of `evaluation.json`. The two splits share no patient, so the estimates are
    independent; with several targets the interval is widened (Bonferroni).
    """
    names = list(dict.fromkeys(block["target"] for block in evaluation["blocks"]))
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(names)))
    for name in names:
        blocks = {b["split"]: b for b in evaluation["blocks"] if b["target"] == name}
        ends = [_estimate(blocks.get(split)) for split in ("validation", "test")]
        if ends[0] is not None and ends[1] is not None:
            yield from _judge(name if len(names) > 1 else "", ends[0], ends[1], z / _Z)


def _estimate(block: dict[str, Any] | None) -> Estimate | None:
    """The AUROC of a block; None where it or its interval is not defined."""
    figure = ((block or {}).get("metrics") or {}).get(METRIC) or {}
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if value is None or block is None:
        return None
    if low is not None and high is not None:
        return Estimate(float(value), float(low), float(high))
    # Every resample of a perfect ranking is perfect; the smallest class bounds what is known.
    smallest = min(sum(row) for row in block["confusion_matrix"])
    if value not in (0.0, 1.0) or not smallest:
        return None
    return Estimate(float(value), *extreme_interval(float(value), int(smallest)))


def _judge(target: str, validation: Estimate, test: Estimate, widen: float) -> Iterator[Finding]:
    gap = difference(validation, test, widen)
    beyond_chance = (gap.low > 0 or gap.high < 0) and abs(gap.value) > SMALL
    if not beyond_chance and abs(gap.value) <= WORTH_KNOWING:
        return
    lower = "lower" if gap.value > 0 else "higher"
    low, high = sorted((abs(gap.low), abs(gap.high))) if beyond_chance else (gap.low, gap.high)
    message = (
        f"AUROC{f' of {target!r}' if target else ''} is {abs(gap.value):.2f} {lower} in test "
        f"({test.value:.2f}) than in validation ({validation.value:.2f})"
    )
    if beyond_chance:
        message += f", more than chance explains (95 % interval {low:.2f} to {high:.2f})."
    else:
        message += "; the splits are so small that chance alone may explain it."
    yield found(
        "WARN" if beyond_chance else "NOTE",
        "validation_test_gap",
        message,
        remedy=_remedy(gap.value > 0) if beyond_chance else "",
        figures={
            "target": target,
            "validation": validation.value,
            "test": test.value,
            "gap": gap.value,
            "low": gap.low,
            "high": gap.high,
        },
    )


def _remedy(test_is_worse: bool) -> str:
    if test_is_worse:
        return (
            "Believe test. Validation may flatter because too much was chosen on it, because it "
            "shares patients or copies with train, or because test comes from elsewhere."
        )
    return (
        "Test may be easier, or share patients or copies with train: look at the findings on "
        "leakage before believing it."
    )
