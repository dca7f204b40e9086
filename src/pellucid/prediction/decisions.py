"""From probabilities to what is said of one image: a class called, and the classes in question.

The threshold is the card's, chosen on validation; nobody chooses another by looking at an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.bundle.card import operating_points, set_thresholds
from pellucid.errors import UsageError, did_you_mean
from pellucid.task import Target

_ROUNDING = 1e-9
USUAL = "youden"  # the point of a target of two classes when none is asked for
HALF = {"name": "default", "threshold": 0.5, "wanted": None, "chosen_on": "fixed", "reason": ""}

Floats = npt.NDArray[np.floating]


class Decision(NamedTuple):
    """A class, and the operating point that called it; of several classes the likeliest."""

    called: str
    operating_point: str | None
    threshold: float | None


def choose_point(
    card: Mapping[str, Any], target: Target, asked: str | None = None
) -> Mapping[str, Any] | None:
    """The operating point by its name in the card; None for a target of several classes.

    Unasked, Youden's where it was reached, else a probability of 0.5. Raises `UsageError`.
    """
    if not target.is_binary:
        return None
    known = {str(point["name"]): point for point in (HALF, *operating_points(card, target.name))}
    if asked is None:
        return known.get(USUAL, HALF)
    if asked not in known:
        rule = f"The operating points of {target.name!r} are {', '.join(known)}"
        raise UsageError(rule, repr(asked), did_you_mean(asked, list(known)))
    return known[asked]


def decide(target: Target, probabilities: Floats, point: Mapping[str, Any] | None) -> Decision:
    """The class called for one image of probabilities (K,)."""
    if point is None:
        return Decision(target.classes[int(np.argmax(probabilities))], None, None)
    threshold = float(point["threshold"])
    called = target.classes[int(probabilities[1] >= threshold)]
    return Decision(called, str(point["name"]), threshold)


def classes_in_question(
    card: Mapping[str, Any], target: Target, probabilities: Floats
) -> list[dict[str, Any]]:
    """The prediction sets of one image of probabilities (K,), one a promise.

    A class is in the set when it has at least the threshold's probability (LAC).
    """
    return [
        {
            "promised": one["promised"],
            "classes": _at_least(target.classes, probabilities, float(one["threshold"])),
        }
        for one in set_thresholds(card, target.name)
    ]


def _at_least(classes: Sequence[str], probabilities: Floats, threshold: float) -> list[str]:
    pairs = zip(classes, probabilities, strict=True)
    return [name for name, p in pairs if p >= threshold - _ROUNDING]
