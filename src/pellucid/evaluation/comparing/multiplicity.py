"""Many tests at once: p-values corrected for how many were made.

One test in twenty is "significant" by chance alone, so a table of twenty would always hold one.
Nothing here knows what was tested.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def holm(p_values: npt.ArrayLike) -> Floats:
    """P-values (m,) corrected so that any false claim among them stays as rare as the level says.

    None and NaN are tests that could not be made: they stay NaN and do not count. Holds whatever
    the dependence between the tests. Source: Holm 1979, Scand J Stat 6:65.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03, None])[:3].tolist()]
    [0.03, 0.06, 0.06]
    """
    p = _checked(p_values)
    order, m = _by_size(p)
    steps = p[order] * np.arange(m, 0, -1)
    return _placed(np.minimum(np.maximum.accumulate(steps), 1.0), order, len(p))


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """P-values (m,) corrected so that among claims the expected share of false ones is bounded.

    Milder than `holm`: for screening many tests, not for a claim. None and NaN stay NaN and do not
    count. Holds for independent or positively dependent tests. Source: Benjamini and Hochberg 1995,
    J R Stat Soc B 57:289.

    >>> [round(p, 4) for p in benjamini_hochberg([0.01, 0.04, 0.03]).tolist()]
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    order, m = _by_size(p)
    steps = p[order] * m / np.arange(1, m + 1)
    least = np.minimum.accumulate(steps[::-1])[::-1]
    return _placed(np.minimum(least, 1.0), order, len(p))


def _checked(p_values: npt.ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"P-values are in [0, 1], got {p[(p < 0) | (p > 1)][0]}")
    return p


def _by_size(p: Floats) -> tuple[npt.NDArray[np.intp], int]:
    """The places of the known p-values, smallest first, and how many there are."""
    known = np.flatnonzero(~np.isnan(p))
    return known[np.argsort(p[known], kind="stable")], len(known)


def _placed(values: Floats, order: npt.NDArray[np.intp], n: int) -> Floats:
    result = np.full(n, np.nan)
    result[order] = values
    return result
