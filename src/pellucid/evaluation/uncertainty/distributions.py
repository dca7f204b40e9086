"""Quantiles and tails of the distributions that intervals and tests refer to.

From `scipy.special`, which loads in a tenth of the time of `scipy.stats`: judging a small table is
mostly starting up. The names and the order of arguments are those of the textbooks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, betaln, chdtrc, ndtr, ndtri, stdtrit

Floats = npt.NDArray[np.float64]


def normal_quantile(share: npt.ArrayLike) -> Floats:
    """The z below which this share of the normal distribution lies."""
    return np.asarray(ndtri(share))


def normal_share(z: npt.ArrayLike) -> Floats:
    """The share of the normal distribution that lies below z."""
    return np.asarray(ndtr(z))


def student_quantile(share: float, degrees: float) -> float:
    """The t below which this share lies, for degrees of freedom above 0 that may be infinite."""
    return float(ndtri(share) if np.isinf(degrees) else stdtrit(degrees, share))


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value below which this share of the beta distribution lies."""
    return float(betaincinv(a, b, share))


def chi_square_tail(value: float, degrees: float) -> float:
    """The chance of more than `value`."""
    return float(chdtrc(degrees, value))


def hypergeometric_tail(at_least: int, drawn: int, marked: int, total: int) -> float:
    """The chance that `drawn` of `total` hold at least so many of the `marked` ones.

    >>> round(hypergeometric_tail(2, 2, 2, 4), 9)  # one pair of six
    0.166666667
    """
    found = np.arange(max(at_least, drawn + marked - total, 0), min(drawn, marked) + 1)
    ways = _log_choose(marked, found) + _log_choose(total - marked, drawn - found)
    return min(1.0, float(np.exp(ways - _log_choose(total, np.asarray(drawn))).sum()))


def _log_choose(n: int, k: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(-betaln(n - k + 1, k + 1) - np.log(n + 1))
