"""Distillation: one network learns to answer as another, larger one does.

The distance is the mean squared difference of the logits on the very images that the student sees,
augmented as they are. Sources: Ba and Caruana 2014, "Do deep nets really need to be deep?" (logits
are matched); Hinton et al. 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pellucid.training.device import place, precision
from pellucid.training.hyperparameters import Plan

Distance = Callable[[Tensor, Tensor], Tensor | float]


def build_distance(teacher: nn.Module | None, plan: Plan, device: torch.device) -> Distance:
    """The function of the student's logits (n, k) and the images; 0 without a teacher."""
    if teacher is None:
        return lambda logits, images: 0.0
    place(teacher.eval(), plan, device)

    def distance(logits: Tensor, images: Tensor) -> Tensor:
        with torch.no_grad(), precision(plan, device):
            wanted: Tensor = teacher(images)
        return (logits - wanted.float()).square().mean()

    return distance
