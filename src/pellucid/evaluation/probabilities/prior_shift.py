"""Probabilities for another prevalence than that of the images they were calibrated on.

By Bayes' rule a class's odds change by what its prevalence changes, provided that the images of a
class look alike in both places: p'(k) ∝ p(k) · π'(k) / π(k). Ranks of one class against another
stay as they are. Source: Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
classifier to new a priori probabilities", equation 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean

Floats = npt.NDArray[np.float64]


def shift_prevalence(
    probabilities: Floats, given: Sequence[float], expected: Sequence[float]
) -> Floats:
    """Probabilities (n, K) for the prevalence `expected` (K,), from those for `given` (K,).

    >>> shift_prevalence(np.array([[0.5, 0.5]]), (0.5, 0.5), (0.9, 0.1))
    array([[0.9, 0.1]])
    """
    weights = np.asarray(expected, dtype=np.float64) / np.asarray(given, dtype=np.float64)
    shifted = np.asarray(probabilities, dtype=np.float64) * weights
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def complete_prevalence(
    stated: Mapping[str, float], classes: Sequence[str], given: Sequence[float]
) -> tuple[float, ...]:
    """The prevalence of every class, where some are stated and the others share the rest.

    They share it as they do in `given`. Raises `UsageError` for an unknown class, a share outside
    ]0, 1[, and shares that do not add up to 1.

    >>> complete_prevalence({"b": 0.5}, ("a", "b", "c"), (0.25, 0.25, 0.5))
    (0.16666666666666666, 0.5, 0.3333333333333333)
    """
    for name, share in stated.items():
        if name not in classes:
            rule = f"There is no class {name!r}"
            raise UsageError(rule, remedy=did_you_mean(name, list(classes)))
        if not 0.0 < share < 1.0:
            raise UsageError("A prevalence lies between 0 and 1", f"{name}={share:g}")
    rest = 1.0 - sum(stated.values())
    others = sum(share for name, share in zip(classes, given, strict=True) if name not in stated)
    if (others == 0.0 and abs(rest) > 1e-6) or (others > 0.0 and rest <= 0.0):
        found = f"{sum(stated.values()):g}"
        raise UsageError("The prevalences of all classes must add up to 1", found)
    return tuple(
        stated.get(name, share * rest / others if others else 0.0)
        for name, share in zip(classes, given, strict=True)
    )
