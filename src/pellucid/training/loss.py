"""The lecture's table of output and loss, and the training loss made from it.

All five pairings are one cross-entropy, -log p[true class], from five representations of the
output; they differ in what rounding takes from them. This module does not know how the weights are
changed. Source: lecture section "Loss functions".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor

from pellucid.errors import PlanError
from pellucid.task import Target, Task
from pellucid.training.hyperparameters import Plan

Loss = Callable[[Tensor, Tensor], Tensor]
LARGEST_CLASS_WEIGHT = 10.0


@dataclass(frozen=True)
class Pairing:
    """A representation of the output and the loss that belongs to it.

    `losses` maps one target's logits (n, n_logits) to -log p of each class, (n, n_classes). `one`
    says whether it is for one logit or for one a class. `refused` gives the reason, or is empty.
    """

    output: str
    layer: str
    loss: str
    one: bool
    losses: Callable[[Tensor], Tensor]
    refused: str = ""
    note: str = ""


def _from_logit(z: Tensor) -> Tensor:
    """log-sigmoid of -z and z: -log p of class 0 and of class 1, exact for every finite z."""
    z = z[:, 0]
    zeros, ones = torch.zeros_like(z), torch.ones_like(z)
    loss = F.binary_cross_entropy_with_logits
    return torch.stack([loss(z, y, reduction="none") for y in (zeros, ones)], dim=1)


def _from_probability(z: Tensor) -> Tensor:
    p = torch.sigmoid(z[:, 0])
    zeros, ones = torch.zeros_like(p), torch.ones_like(p)
    loss = F.binary_cross_entropy
    return torch.stack([loss(p, y, reduction="none") for y in (zeros, ones)], dim=1)


def _from_logits(z: Tensor) -> Tensor:
    return torch.logsumexp(z, dim=1, keepdim=True) - z


def _from_log_probabilities(z: Tensor) -> Tensor:
    return -F.log_softmax(z, dim=1)


def _from_probabilities(z: Tensor) -> Tensor:
    return -torch.log(torch.softmax(z, dim=1))


PAIRINGS: dict[str, Pairing] = {
    pairing.output: pairing
    for pairing in (
        Pairing("logit", "identity", "binary cross-entropy with logits", True, _from_logit),
        Pairing(
            "probability",
            "sigmoid",
            "binary cross-entropy",
            True,
            _from_probability,
            note="in 32 bit the sigmoid is 1 from z = 17 on, and its gradient 0; prefer logit",
        ),
        Pairing("logits", "identity", "cross-entropy", False, _from_logits),
        Pairing(
            "log_probabilities",
            "log-softmax",
            "negative log-likelihood",
            False,
            _from_log_probabilities,
        ),
        Pairing(
            "probabilities",
            "softmax",
            "negative log-likelihood of the logarithm",
            False,
            _from_probabilities,
            refused="a softmax probability below 1e-45 is rounded to 0 in 32 bit, its logarithm is "
            "-infinity and the gradient is lost",
        ),
    )
}


def choose_pairing(output: str, target: Target) -> Pairing:
    """The pairing for a target; raises `PlanError` when it is refused or does not fit the logits.

    "auto" is "logit" for one logit and "logits" for several.
    """
    one = target.n_logits == 1
    if output == "auto":
        return PAIRINGS["logit" if one else "logits"]
    pairing = PAIRINGS[output]
    if pairing.refused:
        rule = f"output={output} is refused: {pairing.refused}"
        raise PlanError(rule, remedy="Use output=log_probabilities or output=logits.")
    if pairing.one != one:
        fitting = [p.output for p in PAIRINGS.values() if p.one == one and not p.refused]
        rule = f"output={output} needs {'one logit' if pairing.one else 'one logit a class'}"
        found = f"{target.n_logits} logits for target {target.name!r}".replace("1 logits", "1")
        raise PlanError(rule, found, f"Use output={' or output='.join(fitting)}.")
    return pairing


def build_loss(plan: Plan, task: Task, class_counts: Mapping[str, Sequence[int]]) -> Loss:
    """The loss of (logits (n, task.n_logits), codes (n, n_targets)) → scalar.

    The mean over targets of the weighted mean over the images with a label; code -1 is a missing
    label. A target that no image of the batch has contributes 0, with a gradient of 0.
    `class_counts` are the training images of each class, a target: for `class_weights: balanced`.
    """
    parts = []
    for target in task.targets:
        pairing = choose_pairing(plan.output, target)
        weights = torch.ones(len(target.classes))
        if plan.class_weights == "balanced":
            weights = balanced_weights(class_counts[target.name])
        parts.append((task.slices()[target.name], pairing, weights))
    gamma = plan.focal_gamma if plan.loss == "focal" else 0.0

    def loss(logits: Tensor, codes: Tensor) -> Tensor:
        losses = [
            _target_loss(
                pairing.losses(logits[:, columns]),
                codes[:, position],
                weights,
                (plan.label_smoothing, gamma),
            )
            for position, (columns, pairing, weights) in enumerate(parts)
        ]
        return torch.stack(losses).mean()

    return loss


def _target_loss(
    losses: Tensor, codes: Tensor, weights: Tensor, dials: tuple[float, float]
) -> Tensor:
    """Weighted mean of one target's losses; `losses` (n, K) holds -log p of each class.

    Label smoothing: Szegedy et al. 2016. Focal loss: Lin et al. 2017, (1 - p)^gamma times the loss.
    """
    smoothing, gamma = dials
    known = codes >= 0
    true = codes.clamp(min=0)[:, None]
    nll = losses.gather(1, true)[:, 0]
    loss = (1 - smoothing) * nll + smoothing * losses.mean(dim=1) if smoothing else nll
    if gamma:
        # -expm1(-nll) is 1 - p without the rounding of p near 1; the power's slope at 0 is kept
        # finite for gamma below 1.
        loss = loss * (-torch.expm1(-nll)).clamp(min=1e-12) ** gamma
    weight = weights.to(losses.device)[true[:, 0]] * known
    return (loss * weight).sum() / weight.sum().clamp(min=1e-12)


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Weights n / (K · n_k), as scikit-learn's "balanced", at most 10; 1 for an absent class."""
    n = torch.tensor(counts, dtype=torch.float32)
    weights = torch.where(n > 0, n.sum() / (len(counts) * n.clamp(min=1)), 1.0)
    return weights.clamp(max=LARGEST_CLASS_WEIGHT)


def count_classes(task: Task, codes: npt.NDArray[np.int64]) -> dict[str, tuple[int, ...]]:
    """How many images each class of each target has; codes (n, n_targets), -1 is missing."""
    counts = {}
    for position, target in enumerate(task.targets):
        known = codes[:, position][codes[:, position] >= 0]
        counts[target.name] = tuple(np.bincount(known, minlength=len(target.classes)).tolist())
    return counts
