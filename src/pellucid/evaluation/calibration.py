"""Whether probabilities mean what they say: of images given 0.8, eight in ten should be positive.

Describes; nothing is rescaled here. For two classes the probability of the positive class is held
against how often it is right; for more, that of the predicted class.
Sources: Brier 1950; Naeini et al. 2015 (calibration error in equal bins).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

N_BINS = 10
SMALLEST = 1e-15  # probabilities are clipped to it before a logarithm is taken

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def brier_loss(probabilities: Floats, codes: Ints) -> float:
    """Mean squared distance from the truth: (p - y)² for two classes, summed over K otherwise."""
    truth = np.eye(probabilities.shape[1])[codes]
    squares = ((probabilities - truth) ** 2).sum(axis=1)
    return float(squares.mean() / (2 if probabilities.shape[1] == 2 else 1))


def log_loss(probabilities: Floats, codes: Ints) -> float:
    """Mean of -log of the true class's probability, which is clipped at 1e-15."""
    true = probabilities[np.arange(len(codes)), codes]
    return float(-np.log(np.clip(true, SMALLEST, 1.0)).mean())


def reliability_bins(probabilities: Floats, codes: Ints) -> list[dict[str, Any]]:
    """Ten equal bins of probability: how many images, their mean probability, how often right."""
    if probabilities.shape[1] == 2:
        claimed, observed = probabilities[:, 1], codes == 1
    else:
        claimed, observed = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    place = np.minimum((claimed * N_BINS).astype(int), N_BINS - 1)
    bins = []
    for number in range(N_BINS):
        inside = place == number
        n = int(inside.sum())
        bins.append(
            {
                "low": number / N_BINS,
                "high": (number + 1) / N_BINS,
                "n": n,
                "mean_probability": float(claimed[inside].mean()) if n else None,
                "observed": float(observed[inside].mean()) if n else None,
            }
        )
    return bins


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """Mean gap between claimed and observed over the bins, weighted by their images."""
    total = sum(entry["n"] for entry in bins)
    gaps = (
        entry["n"] * abs(entry["mean_probability"] - entry["observed"])
        for entry in bins
        if entry["n"]
    )
    return float(sum(gaps) / total)


def describe_calibration(probabilities: Floats, codes: Ints) -> dict[str, Any]:
    """The block "calibration" of `evaluation.json`."""
    bins = reliability_bins(probabilities, codes)
    return {
        "method": "none",
        "brier": brier_loss(probabilities, codes),
        "log_loss": log_loss(probabilities, codes),
        "calibration_error": calibration_error(bins),
        "bins": bins,
    }
