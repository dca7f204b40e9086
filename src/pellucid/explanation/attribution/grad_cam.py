"""Grad-CAM: where in a layer's maps the channels that raise a score are active.

Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based
localization". By hand, since it is ten lines; captum's LayerGradCam is the tests' oracle.
Knows normalised images and a layer's name; it does not know pixels or files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.errors import UsageError
from pellucid.explanation.goals import Goal, goal_scores
from pellucid.explanation.layers import LOGITS, POOLED, capture, capture_members, stages
from pellucid.network.classifier import Classifier

FINE_ENOUGH = 7  # rows of the last map of a VGG or ResNet at 224 pixels, for which it was made


def default_layer(classifier: Classifier) -> str:
    """The deepest stage whose map has at least 7 rows, as the last one has at 224 pixels.

    A small image leaves less of it: at 64 pixels the last map of a ResNet is 2×2, and no lesion can
    be found by four numbers. The first stage where none has so many.
    """
    names = stages(classifier, classifier.spec)
    spec = classifier.spec
    device = next(classifier.parameters()).device
    image = torch.zeros(1, spec.channels, spec.image_size, spec.image_size, device=device)
    maps = capture(classifier, image, names)
    fine = [name for name in names if maps[name].shape[2] >= FINE_ENOUGH]
    return fine[-1] if fine else names[0]


def grad_cam(
    classifier: Classifier, x: Tensor, goals: Sequence[Goal], layer: str
) -> tuple[Tensor, Tensor]:
    """Maps (n, S, S), none below 0, and scores (n,) of normalised images x (n, C, S, S).

    A channel's weight is the spatial mean of the score's gradient (equation 1); the map is the
    ReLU of the weighted sum of channels (equation 2), brought to S×S by bilinear interpolation.
    Raises `UsageError` for a layer that gives no map.
    """
    if layer in (POOLED, LOGITS):
        known = ", ".join(stages(classifier, classifier.spec))
        rule = "Grad-CAM needs a layer with a map (channel, row, column)"
        raise UsageError(rule, repr(layer), f"Its stages are {known}.")
    outputs = capture_members(classifier, x, [layer, LOGITS], gradients=True)
    scores = goal_scores(outputs[LOGITS][0], classifier.task, goals)
    gradients = torch.autograd.grad(scores.sum(), outputs[layer], materialize_grads=True)
    maps, gradient = torch.cat(outputs[layer], dim=1), torch.cat(gradients, dim=1)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    coarse = functional.relu((weights * maps).sum(dim=1, keepdim=True)).detach()
    fine = functional.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
    return fine[:, 0], scores.detach()
