"""What turns gradients into steps, and the moving average of the weights.

The two rules are written out, since they are short and are the heart of learning; the tests hold
them against `torch.optim`, whose import alone takes longer than a small network trains for an
epoch. This module does not know the loss, nor when a rate changes: the loop sets that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.training.hyperparameters import Plan

_SQUARE_DECAY, _EPSILON = 0.999, 1e-8  # Kingma and Ba's; nobody tunes them


class Optimiser:
    """Mini-batch SGD or AdamW; biases and the scales of norm layers are not decayed.

    `memory` holds what a rule remembers of each weight, by name, in the weight's memory layout.
    Sources: lecture, "mini-batch gradient descent"; Sutskever et al. 2013 (Nesterov); Loshchilov
    and Hutter 2019 (AdamW); He et al. 2019, "Bag of tricks" (no decay of biases and norms).
    """

    def __init__(self, classifier: nn.Module, plan: Plan) -> None:
        self._plan = plan
        self._weights = {k: p for k, p in classifier.named_parameters() if p.requires_grad}
        kinds = ("mean", "square") if plan.optimiser == "adamw" else ("velocity",)
        self.memory = {
            f"{kind}.{name}": torch.zeros_like(weight, requires_grad=False)
            for kind in kinds
            for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def step(self, rate: float, number: int) -> None:
        """Change every weight that has a gradient; `number` counts the steps from 0."""
        for name, weight in self._weights.items():
            if weight.grad is None:
                continue
            decay = self._plan.weight_decay if weight.ndim > 1 else 0.0
            if self._plan.optimiser == "adamw":
                self._adamw(name, weight, rate, decay, number + 1)
            else:
                self._sgd(name, weight, rate, decay)

    def _sgd(self, name: str, w: nn.Parameter, rate: float, decay: float) -> None:
        """With g = gradient + λ·w: v ← μ·v + g; w ← w - η·v, or with Nesterov - η·(g + μ·v)."""
        g = _gradient(w).add(w, alpha=decay)
        v = self.memory[f"velocity.{name}"].mul_(self._plan.momentum).add_(g)
        direction = g.add(v, alpha=self._plan.momentum) if self._plan.nesterov else v
        w.sub_(direction, alpha=rate)

    def _adamw(self, name: str, w: nn.Parameter, rate: float, decay: float, t: int) -> None:
        """With m and s moving averages of g and g²: w ← w - η·(λ·w + m̂ / (√ŝ + ε))."""
        g, beta = _gradient(w), self._plan.momentum
        m = self.memory[f"mean.{name}"].lerp_(g, 1.0 - beta)
        s = self.memory[f"square.{name}"].mul_(_SQUARE_DECAY)
        s.addcmul_(g, g, value=1.0 - _SQUARE_DECAY)
        # The hats: both averages start at 0, which is corrected for.
        spread = (s / (1.0 - _SQUARE_DECAY**t)).sqrt_().add_(_EPSILON)
        w.mul_(1.0 - rate * decay)
        w.addcdiv_(m, spread, value=-rate / (1.0 - beta**t))


def _gradient(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None  # noqa: S101  step() passes no other
    return weight.grad


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


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
