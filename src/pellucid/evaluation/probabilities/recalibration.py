"""Logistic regression of outcomes on one covariate, for many weightings of the images at once.

The calibration slope and intercept and Platt's scaling are such fits. Newton's method, all
weightings a step; where no finite fit is best (one outcome, a constant covariate, outcomes that the
covariate parts without overlap) the answer is NaN, without a warning.
Sources: Cox 1958, "Two further applications of a model for binary regression"; Albert and Anderson
1984 on when a fit exists.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pellucid.evaluation.measures.ratios import ratio

_STEPS, _LONGEST, _CLOSE = 200, 2.0, 1e-11

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def fit_line(x: Floats, hits: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """Intercepts and slopes (B,) of logit P(hit) = a + b·x.

    `x` (G,) ascends; `hits` and `totals` (B, G) are the weights of images with the outcome and of
    all images at each x. NaN where no finite fit is best.
    """
    fits = ~is_parted(hits, totals)
    centre, width = x.mean(), x.std() or 1.0
    line = np.full((len(hits), 2), np.nan)
    line[fits] = _newton((x - centre) / width, hits[fits], totals[fits])
    slope = line[:, 1] / width
    return line[:, 0] - slope * centre, slope


def fit_intercept(x: Floats, hits: Floats, totals: Floats) -> Floats:
    """Intercepts (B,) of logit P(hit) = a + x, the slope held at 1; arguments as in `fit_line`."""
    some, all_ = hits.sum(axis=1), totals.sum(axis=1)
    fits = (some > 0) & (some < all_)
    intercept = np.full(len(hits), np.nan)
    intercept[fits] = _newton_intercept(x, some[fits], totals[fits])
    return intercept


def is_parted(hits: Floats, totals: Floats) -> Bools:
    """Whether x parts hits from misses (B,), at most touching at one x; true for one outcome only.

    No line is then the best fit: a steeper one is always better.
    """
    hit, missed = hits > 0, totals - hits > 0
    last = hits.shape[1] - 1
    first_hit, first_missed = hit.argmax(axis=1), missed.argmax(axis=1)
    last_hit = last - hit[:, ::-1].argmax(axis=1)
    last_missed = last - missed[:, ::-1].argmax(axis=1)
    one_outcome = ~hit.any(axis=1) | ~missed.any(axis=1)
    return np.asarray(one_outcome | (last_missed <= first_hit) | (last_hit <= first_missed))


def _newton(z: Floats, hits: Floats, totals: Floats) -> Floats:
    """(intercept, slope) of each row (B, 2); NaN in the rows that do not settle."""
    line, step = np.zeros((2, len(hits))), np.full((2, len(hits)), np.inf)
    for _ in range(_STEPS):
        shares = expit(line[0, :, None] + line[1, :, None] * z)
        gap, curved = hits - totals * shares, totals * shares * (1 - shares)
        g, gz = gap.sum(axis=1), gap @ z
        h, hz, hzz = curved.sum(axis=1), curved @ z, curved @ z**2
        area = h * hzz - hz**2
        step = np.stack([ratio(hzz * g - hz * gz, area), ratio(h * gz - hz * g, area)])
        length = np.abs(step).max(axis=0)
        line += step * np.minimum(1.0, ratio(np.full_like(length, _LONGEST), length + 1e-300))
        if not (length > _CLOSE * (1 + np.abs(line).max(axis=0))).any():
            break
    settled = np.abs(step).max(axis=0) <= 1e-6
    return np.where(settled, line, np.nan).T


def _newton_intercept(x: Floats, some: Floats, totals: Floats) -> Floats:
    intercept = np.zeros(len(some))
    for _ in range(_STEPS):
        shares = expit(intercept[:, None] + x)
        gap, curved = some - (totals * shares).sum(axis=1), (totals * shares * (1 - shares)).sum(1)
        step = np.clip(ratio(gap, curved), -_LONGEST, _LONGEST)
        intercept += step
        if not (np.abs(step) > _CLOSE).any():
            break
    return np.where(np.abs(step) <= 1e-6, intercept, np.nan)
