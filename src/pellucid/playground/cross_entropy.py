"""Cross-entropy as a function of the true class's probability, and what it pulls on the logits.

loss = -log p, and d loss / d z = p - 1 for the true class's logit z, of one logit or of K.
Source: lecture section "Loss functions".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError
from pellucid.playground.columns import write_columns

Array = npt.NDArray[np.float64]

MOST_CLASSES = 1000
_SHOWN = (0.999, 0.99, 0.9, 0.5, 0.1, 0.01, 0.001)
_LOWEST = 1e-4


@dataclass(frozen=True)
class CrossEntropy:
    """Arrays (n,) over the true class's probability `p`; the other classes share 1 - p equally.

    `margin` is the true class's logit less that of another class. `pull` is d loss / d z of the
    true class's logit, `push` that of each other class's.
    """

    n_classes: int
    p: Array
    margin: Array
    loss: Array
    pull: Array
    push: Array

    @property
    def chance(self) -> float:
        """The loss of a network that says 1/K to every class: log K."""
        return math.log(self.n_classes)

    def describe(self) -> str:
        """Loss and gradients at a few probabilities, as text."""
        shown = sorted({*_SHOWN, 1 / self.n_classes}, reverse=True)
        few = _at(np.array(shown), self.n_classes)
        heads = ("p of true class", "z - z other", "loss -log p", "gradient", "each other logit")
        columns = (few.p, few.margin, few.loss, few.pull, few.push)
        rows = [tuple(float(value) for value in row) for row in zip(*columns, strict=True)]
        return f"{write_columns(heads, rows)}\n\n{self._remark()}"

    def to_json(self) -> dict[str, Any]:
        """The curve's points."""
        arrays = {name: getattr(self, name).tolist() for name in ("p", "margin", "loss")}
        gradients = {"gradient": self.pull.tolist(), "gradient_of_others": self.push.tolist()}
        return {"n_classes": self.n_classes, "chance": self.chance, **arrays, **gradients}

    def _remark(self) -> str:
        right, wrong = -math.log(0.99), -math.log(0.01)
        return (
            f"Knowing nothing (p = 1/{self.n_classes}) costs log {self.n_classes} = "
            f"{self.chance:.3f} nats. A confident mistake (p = 0.01) costs {wrong:.2f}, as much as "
            f"{wrong / right:.0f} confident hits (p = 0.99); ten times more confident, 2.30 more.\n"
            f"The gradient of the true class's logit is p − 1: never more than 1 in size, and 0 "
            f"only for a class that is certain and right."
        )


def cross_entropy_curve(n_classes: int = 2) -> CrossEntropy:
    """The loss over p from 0.0001 to 0.9999, evenly in the logit; `n_classes` from 2 to 1000.

    For two classes it is the same with one logit z: p = sigmoid(z), and the gradient is p - 1.
    """
    if not 2 <= n_classes <= MOST_CLASSES:
        rule = f"A classifier has 2 to {MOST_CLASSES} classes"
        raise UsageError(rule, str(n_classes))
    far = math.log(1 / _LOWEST - 1)
    return _at(1 / (1 + np.exp(-np.linspace(-far, far, 401))), n_classes)


def _at(p: Array, n_classes: int) -> CrossEntropy:
    others = n_classes - 1
    margin = np.log(p * others / (1.0 - p))
    return CrossEntropy(n_classes, p, margin, -np.log(p), p - 1.0, (1.0 - p) / others)
