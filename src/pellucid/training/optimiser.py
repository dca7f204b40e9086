"""What turns gradients into steps.

Each rule is one of torch's fused kernels, the ones behind `torch.optim.AdamW(fused=True)`: one pass
over the weights where single operations need ten. They are called directly, since to make a
`torch.optim` optimiser imports more than a small network needs for an epoch; the tests hold them
against it. This module does not know the loss, nor when a rate changes: the loop sets that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pellucid.training.hyperparameters import Plan

_SQUARE_DECAY, _EPSILON = 0.999, 1e-8  # Kingma and Ba's; nobody tunes them
_DEPTHS = 6  # steps of the rate from the first layer to the head: each is a call of the kernel


class Optimiser:
    """Mini-batch SGD or AdamW; biases and the scales of norm layers are not decayed.

    `memory` holds what a rule remembers of each weight, by name, in the weight's memory layout.
    With g the gradient, λ the decay, η the rate: SGD, with g ← g + λ·w and v ← μ·v + g, makes
    w ← w - η·v, or with Nesterov - η·(g + μ·v). AdamW, with m and s the moving averages of g and
    g², made free of their start at 0, makes w ← w - η·(λ·w + m / (√s + ε)).
    Where the plan's `first_layer_rate` is below 1, the rate rises geometrically from the first
    layer to the head: early layers of a pretrained network see edges that serve any image.
    Sources: lecture, "mini-batch gradient descent"; Sutskever et al. 2013 (Nesterov); Loshchilov
    and Hutter 2019 (AdamW); He et al. 2019, "Bag of tricks" (no decay of biases and norms); Howard
    and Ruder 2018, "Universal language model fine-tuning" (rates by layer).
    """

    def __init__(self, classifier: nn.Module, plan: Plan) -> None:
        self._plan = plan
        self._weights = {k: p for k, p in classifier.named_parameters() if p.requires_grad}
        self._shares = rate_shares(list(self._weights), plan.first_layer_rate)
        self._kinds = ("mean", "square") if plan.optimiser == "adamw" else ("velocity",)
        self.memory = {
            f"{kind}.{name}": torch.zeros_like(weight, requires_grad=False)
            for kind in self._kinds
            for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def gradient_norm(self) -> float:
        """The Euclidean length of all gradients together."""
        gradients = [w.grad for w in self._weights.values() if w.grad is not None]
        return float(nn.utils.get_total_norm(gradients))

    @torch.no_grad()
    def step(self, rate: float, number: int, shrink: float = 1.0) -> None:
        """Change every weight that has a gradient, divided by `shrink`; `number` is 0 at first."""
        groups: dict[tuple[bool, float], list[str]] = {}
        for name, weight in self._weights.items():
            if weight.grad is not None:
                groups.setdefault((weight.ndim > 1, self._shares[name]), []).append(name)
        for (decayed, share), names in groups.items():
            decay = self._plan.weight_decay if decayed else 0.0
            self._step(names, rate * share, decay, number, shrink)

    def _step(
        self, names: list[str], rate: float, decay: float, number: int, shrink: float
    ) -> None:
        weights = [_as_it_lies(self._weights[name]) for name in names]
        gradients = [_as_it_lies(_gradient(self._weights[name])) for name in names]
        memories = [
            [_as_it_lies(self.memory[f"{kind}.{name}"]) for name in names] for kind in self._kinds
        ]
        device, momentum = weights[0].device, self._plan.momentum
        scale = None if shrink == 1.0 else torch.tensor(shrink, device=device)
        if self._plan.optimiser == "adamw":
            torch._fused_adamw_(
                weights,
                gradients,
                memories[0],
                memories[1],
                [],
                [torch.tensor(number + 1.0, device=device)] * len(names),
                lr=rate,
                beta1=momentum,
                beta2=_SQUARE_DECAY,
                weight_decay=decay,
                eps=_EPSILON,
                amsgrad=False,
                maximize=False,
                grad_scale=scale,
            )
        else:
            torch._fused_sgd_(
                weights,
                gradients,
                memories[0] if momentum else [],
                weight_decay=decay,
                momentum=momentum,
                lr=rate,
                dampening=0.0,
                nesterov=self._plan.nesterov,
                maximize=False,
                is_first_step=False,
                grad_scale=scale,
            )


def rate_shares(names: Sequence[str], first: float) -> dict[str, float]:
    """What share of the rate each weight has, by its place among the names; 1 from the head on.

    >>> rate_shares(["backbone.conv1.weight", "heads.label.weight"], 0.1)
    {'backbone.conv1.weight': 0.1, 'heads.label.weight': 1.0}
    """
    inside = [name for name in names if name.startswith("backbone.")]
    steps = {name: i * (_DEPTHS - 1) // len(inside) for i, name in enumerate(inside)}
    top = max(steps.values(), default=0) + 1
    return {name: first ** (1 - steps[name] / top) if name in steps else 1.0 for name in names}


def _gradient(weight: nn.Parameter) -> Tensor:
    """The gradient, lying in memory as its weight does, since the kernels go through both alike."""
    assert weight.grad is not None  # noqa: S101  step() passes no other
    if weight.grad.stride() == weight.stride():
        return weight.grad
    return torch.empty_like(weight, requires_grad=False).copy_(weight.grad)


def _as_it_lies(x: Tensor) -> Tensor:
    """A view in which a channels-last tensor is contiguous."""
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.permute(0, 2, 3, 1) if last else x


def clip_factor(norm: float, plan: Plan) -> float:
    """What gradients of this length are divided by, to be as short as the plan's `gradient_clip`.

    Source: Pascanu et al. 2013; the small number is that of `torch.nn.utils.clip_grad_norm_`.
    """
    return max(1.0, (norm + 1e-6) / plan.gradient_clip) if plan.gradient_clip else 1.0
