"""Gradient × input and integrated gradients: what each pixel added to a score.

By hand, not by captum, which is the tests' oracle: each is a few lines around one call of
autograd; captum would add an optional package and matplotlib's pyplot to every start, and could
give neither each image its own class nor leave the classifier's modes to us. Knows normalised
images; the baseline is one too, (C, 1, 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.explanation.goals import Goal, goal_scores
from pellucid.network.classifier import Classifier, evaluating


def gradient_x_input(
    classifier: Classifier, x: Tensor, goals: Sequence[Goal], *, baseline: Tensor
) -> tuple[Tensor, Tensor]:
    """Maps (n, S, S) of gradient · (x - baseline), summed over channels, and scores (n,).

    The first term of the Taylor series: exact for a linear score, else a local guess. With the
    baseline 0, the mean, it is the input as the network takes it (Shrikumar et al. 2016, "Not just
    a black box").
    """
    gradient, scores = _gradient(classifier, x, goals)
    return (gradient * (x - baseline)).sum(dim=1), scores


def integrated_gradients(
    classifier: Classifier,
    x: Tensor,
    goals: Sequence[Goal],
    *,
    baseline: Tensor,
    steps: int,
    batch: int,
) -> tuple[Tensor, Tensor]:
    """Maps (n, S, S) summed over channels, and scores (n,) of normalised images x (n, C, S, S).

    Sundararajan et al. 2017, "Axiomatic attribution for deep networks", equation 1: the gradient's
    mean on the straight way from baseline to image, times (image - baseline). A map's sum is the
    score minus the baseline's score, but for the error of the sum over `steps` points, which are
    Gauss and Legendre's (as captum's are). At most `batch` points go through the network at once.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares = torch.tensor((1 + nodes) / 2, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)
    parts = torch.tensor(weights / 2, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)
    maps = []
    for image, goal in zip(x, goals, strict=True):
        way = image - baseline
        mean = torch.zeros_like(image)
        for share, part in zip(torch.split(shares, batch), torch.split(parts, batch), strict=True):
            gradient, _ = _gradient(classifier, baseline + share * way, [goal] * len(share))
            mean += (part * gradient).sum(dim=0)
        maps.append((mean * way).sum(dim=0))
    return torch.stack(maps), scores_of(classifier, x, goals)


@torch.no_grad()
def scores_of(classifier: Classifier, x: Tensor, goals: Sequence[Goal]) -> Tensor:
    """Each image's score (n,) for its own goal."""
    with evaluating(classifier):
        return goal_scores(classifier(x), classifier.task, goals)


def _gradient(classifier: Classifier, x: Tensor, goals: Sequence[Goal]) -> tuple[Tensor, Tensor]:
    """The gradient (n, C, S, S) of each image's score by its pixels, and the scores."""
    x = x.detach().clone().requires_grad_()
    with evaluating(classifier):
        scores = goal_scores(classifier(x), classifier.task, goals)
    (gradient,) = torch.autograd.grad(scores.sum(), x)
    return gradient, scores.detach()
