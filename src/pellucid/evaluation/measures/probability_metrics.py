"""Metrics of the probabilities themselves: Brier, log-loss and two calibration errors.

All four are weighted means of one number an image (or a bin), so that one matrix product gives them
for every weighting at once. For two classes the claim is the positive class's probability, for more
that of the predicted class. A NaN among the probabilities makes a metric NaN.
Sources: Brier 1950; Good 1952 (log-loss); Naeini et al. 2015 (calibration error in equal bins);
Nguyen and O'Connor 2015 (bins of equal mass).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.evaluation.measures.ratios import ratio

N_BINS = 10
SMALLEST = float(np.finfo(np.float64).eps)  # the least probability under a logarithm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def claims(probabilities: Floats, codes: Ints) -> tuple[Floats, Bools]:
    """What is claimed of each image (n,) and whether it is so (n,), from (n, K) and (n,).

    Two classes: the probability of the positive one, and whether the image is positive. More: the
    probability of the predicted class, and whether that is the true one.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], codes == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == codes


def equal_bins(claimed: Floats) -> Ints:
    """The bin (n,) from 0 to 9 of each claim (n,): tenths of [0, 1], closed below; 1 is in 9."""
    known = np.nan_to_num(claimed, nan=0.0)
    return np.minimum((known * N_BINS).astype(np.int64), N_BINS - 1)


def equal_mass_bins(claimed: Floats) -> Ints:
    """The bin (n,) from 0 to 9 of each claim: the tenth in which the share of lower claims lies.

    Without ties each bin has n / 10 images, to within one. Equal claims stay together, so that the
    order of the images never matters; a bin may then be empty.
    """
    below = np.searchsorted(np.sort(claimed), claimed, side="left")
    return np.asarray(below * N_BINS // max(len(claimed), 1), dtype=np.int64)


def brier_terms(probabilities: Floats, codes: Ints) -> Floats:
    """Squared distance from the truth of each image (n,): (p - y)² for two, summed for K > 2."""
    truth = np.eye(probabilities.shape[1])[codes]
    if probabilities.shape[1] == 2:
        return np.asarray((probabilities[:, 1] - truth[:, 1]) ** 2)
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def log_loss_terms(probabilities: Floats, codes: Ints) -> Floats:
    """-log of the true class's probability (n,), in nats.

    The probability is held between the least that a float tells from 0 beside 1 (2.2e-16) and its
    complement, as in scikit-learn: one certain mistake costs 36, not infinity.
    """
    true = probabilities[np.arange(len(codes)), codes]
    return np.asarray(-np.log(np.clip(true, SMALLEST, 1 - SMALLEST)))


class ProbabilityScores:
    """Brier, log-loss and calibration errors of any weighting of the images.

    `probabilities` (n, K), rows summing to 1; `codes` (n,) the true classes; `owners` (n,) which
    column of the weights each image belongs to (its own by default). The bins of equal mass are
    those of the unweighted images: a resample is judged in the same bins.
    """

    def __init__(self, probabilities: Floats, codes: Ints, owners: Ints | None = None) -> None:
        columns = np.arange(len(codes)) if owners is None else owners
        n_columns = int(columns.max()) + 1 if len(columns) else 0
        claimed, right = claims(probabilities, codes)
        gap = claimed - right
        terms = [np.ones(len(codes)), brier_terms(probabilities, codes)]
        terms += [log_loss_terms(probabilities, codes)]
        totals = [np.bincount(columns, term, minlength=n_columns) for term in terms]
        equal = _gaps(gap, equal_bins(claimed), columns, n_columns)
        equal_mass = _gaps(gap, equal_mass_bins(claimed), columns, n_columns)
        self._sums = np.hstack([np.stack(totals, axis=1), equal, equal_mass])

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Each metric (B,) for weights (B, n), or (B, P) with owners; NaN where nothing weighs."""
        sums = weights @ self._sums
        total, brier, log_loss = sums[:, :3].T
        gaps = np.abs(sums[:, 3:]).reshape(len(sums), 2, N_BINS).sum(axis=2)
        return {
            "brier": ratio(brier, total),
            "log_loss": ratio(log_loss, total),
            "calibration_error": ratio(gaps[:, 0], total),
            "adaptive_calibration_error": ratio(gaps[:, 1], total),
        }


def _gaps(gap: Floats, bins: Ints, columns: Ints, n_columns: int) -> Floats:
    """Claimed minus observed, summed by owner and bin (n_columns, 10).

    A bin's gap weighs as much as its images: n · |mean claim - share right| = |sum of the gaps|.
    """
    sums = np.bincount(columns * N_BINS + bins, gap, minlength=n_columns * N_BINS)
    return np.asarray(sums, dtype=np.float64).reshape(n_columns, N_BINS)
