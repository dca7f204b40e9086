"""The lecture's pairings of output and loss on the same logits, in 32 bit, against the exact loss.

Two classes, of which the first is true; z is the logit of the other one against it, so a large z is
a confident mistake. All pairings are -log p of the true class = log(1 + e^z), with the gradient
sigmoid(z). What rounding takes from each is shown, and what overflows.
Source: lecture section "Loss functions", the table of output × loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.network.formulas import binary_cross_entropy_with_logits, sigmoid
from pellucid.playground.columns import finite_or_none, write_columns
from pellucid.training.loss import PAIRINGS

Array = npt.NDArray[np.float64]

DEFAULT_LOGITS = (-2.0, 2.0, 20.0, 100.0, 1000.0)
CLOSE = 1e-5  # a rounding of 32 bit, relative, or absolute below 1
TEXTBOOK = "as written"


@dataclass(frozen=True)
class Pair:
    """One output × loss in 32 bit: values and gradients (n,) at the logits.

    `value_is_right` and `gradient_is_right` (n,) say where they agree with the exact ones.
    """

    output: str
    layer: str
    loss: str
    values: Array
    gradients: Array
    value_is_right: npt.NDArray[np.bool_]
    gradient_is_right: npt.NDArray[np.bool_]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Where value and gradient both agree."""
        return self.value_is_right & self.gradient_is_right

    def verdict(self, number: int) -> str:
        """What became of the loss at one of the logits."""
        if self.is_right[number]:
            return "right"
        value, gradient = float(self.values[number]), float(self.gradients[number])
        if np.isnan(value):
            return "overflows: infinite / infinite"
        words = []
        if not self.value_is_right[number]:
            words.append("loss infinite" if np.isinf(value) else "loss wrong")
        if not self.gradient_is_right[number]:
            words.append(f"gradient {_lost(gradient)}")
        return ", ".join(words)


@dataclass(frozen=True)
class LossComparison:
    """The exact loss and gradient (64 bit) at `logits` (n,), and every pairing in 32 bit."""

    logits: Array
    exact: Array
    exact_gradients: Array
    pairs: tuple[Pair, ...]

    def describe(self) -> str:
        """A table for each logit, as text."""
        heads = ("output", "loss", "value", "gradient", "verdict")
        lines = ["Two classes, the first is true; z is the logit of the other, in 32 bit.", ""]
        for number, z in enumerate(self.logits):
            exact = (float(self.exact[number]), float(self.exact_gradients[number]))
            rows = [("exact, 64 bit", "log(1 + e^z)", *exact, "")]
            for pair in self.pairs:
                found = (float(pair.values[number]), float(pair.gradients[number]))
                rows.append((pair.output, pair.loss, *found, pair.verdict(number)))
            lines += [f"z = {z:g}", write_columns(heads, rows), ""]
        return "\n".join([*lines, self._remark()])

    def to_json(self) -> dict[str, Any]:
        """Values and gradients; what is not finite is null, and the verdict says what it is."""
        return {
            "logits": self.logits.tolist(),
            "exact": self.exact.tolist(),
            "exact_gradients": self.exact_gradients.tolist(),
            "pairings": [
                {
                    "output": pair.output,
                    "layer": pair.layer,
                    "loss": pair.loss,
                    "values": [finite_or_none(value) for value in pair.values],
                    "gradients": [finite_or_none(value) for value in pair.gradients],
                    "verdicts": [pair.verdict(number) for number in range(len(self.logits))],
                }
                for pair in self.pairs
            ],
        }

    def _remark(self) -> str:
        good = [pair.output for pair in self.pairs if pair.is_right.all()]
        bad = [pair.output for pair in self.pairs if not pair.is_right.all()]
        if not bad:
            return "All pairings agree to rounding on these logits; try 20, 100 and 1000."
        return f"Right everywhere: {', '.join(good)}. Not: {', '.join(bad)}."


def compare_losses(logits: Sequence[float] = DEFAULT_LOGITS) -> LossComparison:
    """Every pairing's loss and gradient at each z; raises `UsageError` unless all are finite.

    Besides the five of the lecture's table stands the softmax as it is written, e^z_k / Σ e^z_j
    without taking off the largest logit, which overflows.
    """
    z = np.asarray(list(logits), dtype=np.float64)
    if not len(z) or not np.isfinite(z).all() or np.abs(z).max() > 1e30:
        raise UsageError("Logits are finite numbers, and at least one", str(z.tolist()))
    exact, gradients = binary_cross_entropy_with_logits(z, np.zeros_like(z)), sigmoid(z)
    names = {name: (p.layer, p.loss, p.one, p.losses) for name, p in PAIRINGS.items()}
    names[TEXTBOOK] = ("e^z_k / Σ e^z_j", "negative logarithm", False, _textbook)
    pairs = []
    for name, (layer, loss, is_one, losses) in names.items():
        values, slopes = _evaluate(z, is_one, losses)
        right = [_agrees(a, b) for a, b in ((values, exact), (slopes, gradients))]
        pairs.append(Pair(name, layer, loss, values, slopes, right[0], right[1]))
    return LossComparison(z, exact, gradients, tuple(pairs))


def _lost(gradient: float) -> str:
    """What has become of a gradient."""
    if np.isnan(gradient):
        return "not a number"
    return "0" if gradient == 0 else "infinite" if np.isinf(gradient) else "wrong"


def _evaluate(z: Array, is_one: bool, losses: Callable[[Tensor], Tensor]) -> tuple[Array, Array]:
    """Loss of the first class and d loss / d z, in 32 bit, z the only or the second logit."""
    inputs = torch.tensor(z, dtype=torch.float32, requires_grad=True)
    column = inputs[:, None]
    logits = column if is_one else torch.cat([torch.zeros_like(column), column], dim=1)
    loss = losses(logits)[:, 0]
    gradient = torch.autograd.grad(loss.sum(), inputs)[0]
    return loss.detach().double().numpy(), gradient.double().numpy()


def _textbook(z: Tensor) -> Tensor:
    powers = torch.exp(z)
    return -torch.log(powers / powers.sum(dim=1, keepdim=True))


def _agrees(found: Array, exact: Array) -> npt.NDArray[np.bool_]:
    return np.isclose(found, exact, rtol=CLOSE, atol=CLOSE)
