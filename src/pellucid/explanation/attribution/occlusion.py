"""Occlusion: how much a score falls when a square window of the image is covered.

Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 2.1;
captum's Occlusion does the work, and is imported here alone. It needs no gradients, so it checks
the methods that do. Knows normalised images; the baseline that covers is one too, (C, 1, 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.errors import MissingPackage
from pellucid.explanation.attribution.gradients import scores_of
from pellucid.explanation.goals import Goal, goal_score
from pellucid.network.classifier import Classifier, evaluating


def occlusion(
    classifier: Classifier,
    x: Tensor,
    goals: Sequence[Goal],
    *,
    baseline: Tensor,
    window: int,
    stride: int,
    batch: int,
) -> tuple[Tensor, Tensor]:
    """Maps (n, S, S) and scores (n,) of normalised images x (n, C, S, S).

    A pixel's value is the score minus the covered image's score, the mean over all windows that
    hold the pixel; all channels are covered at once, so the value is not a sum over them. Windows
    start at the top left, and the last of a row is cut by the border. At most `batch` covered
    images go through the network at once. Raises `MissingPackage` without captum.
    """
    try:
        from captum.attr import Occlusion
    except ImportError as error:
        raise MissingPackage(
            "The method 'occlusion' needs the package captum",
            "",
            'Install it: pip install "pellucid[explain]"',
        ) from error
    cover = baseline.expand(x.shape[1:]).unsqueeze(0)
    maps = []
    for image, goal in zip(x, goals, strict=True):

        def score(images: Tensor, goal: Goal = goal) -> Tensor:
            return goal_score(classifier(images), classifier.task, goal)

        with evaluating(classifier), torch.no_grad():
            drops = Occlusion(score).attribute(
                image.unsqueeze(0),
                sliding_window_shapes=(x.shape[1], window, window),
                strides=(x.shape[1], stride, stride),
                baselines=cover,
                perturbations_per_eval=batch,
            )
        maps.append(drops[0, 0])
    return torch.stack(maps), scores_of(classifier, x, goals)
