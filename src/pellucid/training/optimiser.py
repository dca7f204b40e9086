"""What turns gradients into steps, and the moving average of the weights.

It does not know the loss, nor when a rate changes: the loop sets that.
"""

from __future__ import annotations

import torch
from torch import nn

from pellucid.training.hyperparameters import Plan


def build_optimiser(classifier: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Mini-batch SGD or AdamW; biases and the scales of norm layers are not decayed.

    Sources: lecture, "mini-batch gradient descent"; Loshchilov and Hutter 2019 (AdamW); He et al.
    2019, "Bag of tricks" (no decay of biases and norms).
    """
    trained = [p for p in classifier.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if plan.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(plan.momentum, 0.999))
    nesterov = plan.nesterov and plan.momentum > 0
    return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=plan.momentum, nesterov=nesterov)


@torch.no_grad()
def update_average(averaged: nn.Module, classifier: nn.Module, decay: float, step: int) -> None:
    """Move the average: a ← d · a + (1 - d) · w, with d = min(decay, (1 + step) / (10 + step)).

    The second term lets the average forget the random start; step counts from 0. Buffers that are
    numbers (running means) are averaged likewise, counters copied. Decay 0 copies everything.
    Source: Polyak and Juditsky 1992; the rising decay is TensorFlow's.
    """
    share = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    for mean, value in zip(_tensors(averaged), _tensors(classifier), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, share)
        else:
            mean.copy_(value)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
