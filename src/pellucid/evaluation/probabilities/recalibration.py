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

from pellucid.evaluation.measures.ratios import ratio

_STEPS, _LONGEST, _CLOSE = 200, 2.0, 1e-4  # a step of 1e-4 leaves an error near its square
_CELLS = 30_000  # weights fitted at once: they stay in the cache

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def fit_line(x: Floats, hits: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """Intercepts and slopes (B,) of logit P(hit) = a + b·x.

    `x` (G,) ascends; `hits` and `totals` (B, G) are the weights of images with the outcome and of
    all images at each x. NaN where no finite fit is best.
    """
    fits = ~is_parted(hits, totals)
    centre, width = x.mean(), x.std() or 1.0
    design = np.stack([np.ones(len(x)), (x - centre) / width], axis=1)
    line = np.full((len(hits), 2), np.nan)
    line[fits] = _newton(np.zeros(len(x)), design, hits[fits], totals[fits])
    slope = line[:, 1] / width
    return line[:, 0] - slope * centre, slope


def fit_intercept(x: Floats, hits: Floats, totals: Floats) -> Floats:
    """Intercepts (B,) of logit P(hit) = a + x, the slope held at 1; arguments as in `fit_line`."""
    some, all_ = hits.sum(axis=1), totals.sum(axis=1)
    fits = (some > 0) & (some < all_)
    intercept = np.full(len(hits), np.nan)
    intercept[fits] = _newton(x, np.ones((len(x), 1)), hits[fits], totals[fits])[:, 0]
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


def _newton(offset: Floats, design: Floats, hits: Floats, totals: Floats) -> Floats:
    """The best coefficients (B, D) of logit P(hit) = offset + design·coefficients, D one or two.

    `offset` (G,), `design` (G, D). NaN in the rows that do not settle. The fit to all rows at once
    is near that of each, so that they begin there.
    """
    start = np.zeros((1, design.shape[1]))
    if len(hits) > 1:
        pooled = hits.sum(axis=0)[None], totals.sum(axis=0)[None]
        start = np.nan_to_num(_settle(offset, design, pooled, start))
    lines = _first_step(offset, design, (hits, totals), start)
    size = max(1, _CELLS // len(offset))
    for first in range(0, len(hits), size):
        block = slice(first, first + size)
        lines[block] = _settle(offset, design, (hits[block], totals[block]), lines[block])
    return lines


def _first_step(
    offset: Floats, design: Floats, counts: tuple[Floats, Floats], start: Floats
) -> Floats:
    """Newton's step of every row from one start (1, D), where all have the same shares."""
    hits, totals = counts
    shares = _logistic(start @ design.T + offset).T
    gap = hits @ design - totals @ (shares * design)
    return start + _held(_solve(totals @ (shares * (1 - shares) * _products(design)), gap))


def _settle(offset: Floats, design: Floats, counts: tuple[Floats, Floats], lines: Floats) -> Floats:
    """Newton's steps from these lines (b, D) until they fit these hits and totals."""
    hits, totals = counts
    reached, products, lines = hits @ design, _products(design), np.nan_to_num(lines)
    for _ in range(_STEPS):
        shares = _logistic(lines @ design.T + offset)
        expected = totals * shares
        gap = reached - expected @ design
        np.subtract(1, shares, out=shares)
        step = _solve(np.multiply(expected, shares, out=shares) @ products, gap)
        lines = lines + _held(step)
        settled = np.abs(step).max(axis=1) <= _CLOSE * (1 + np.abs(lines).max(axis=1))
        if (settled | np.isnan(step).any(axis=1)).all():
            break
    return np.where(settled[:, None], lines, np.nan)


def _held(step: Floats) -> Floats:
    """A step (b, D) whose largest part is at most `_LONGEST`."""
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, ratio(np.full_like(longest, _LONGEST), longest + 1e-300))


def _products(design: Floats) -> Floats:
    """The products of its columns (G, 1 or 3): the upper triangle of design·designᵀ at each x."""
    first, second = np.triu_indices(design.shape[1])
    return np.asarray(design[:, first] * design[:, second])


def _logistic(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) in place; a quarter of the time of `expit`, which is surer far out."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(z, out=z), out=z)
    z += 1
    return np.reciprocal(z, out=z)


def _solve(curved: Floats, gap: Floats) -> Floats:
    """Solve symmetric systems, given as (b, 1) or upper triangles (b, 3); NaN if singular."""
    if gap.shape[1] == 1:
        return ratio(gap, curved)
    h, hz, hzz = curved.T
    g, gz = gap.T
    area = h * hzz - hz**2
    return np.stack([ratio(hzz * g - hz * gz, area), ratio(h * gz - hz * g, area)], axis=1)
