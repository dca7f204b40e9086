"""Activation functions with their slopes, and where a slope dies.

Values are `network.formulas`', slopes are what back-propagation through torch's own layers gives.
Source: lecture section "Activation functions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean
from pellucid.network.formulas import ACTIVATIONS
from pellucid.playground.columns import write_columns

Array = npt.NDArray[np.float64]

REACH = 6.0  # curves run from -REACH to REACH
FLAT = 0.01  # a slope below this passes less than a hundredth of the gradient on
_FAR = 40.0  # where what a function tends to has been reached
_N_POINTS = 601


@dataclass(frozen=True)
class Curve:
    """One function at `x`: its values, its slopes, and in words where it saturates."""

    name: str
    x: Array
    y: Array
    slope: Array
    saturation: str

    def at(self, x: float) -> tuple[float, float]:
        """Value and slope at the drawn point nearest to x."""
        place = int(np.argmin(np.abs(self.x - x)))
        return float(self.y[place]), float(self.slope[place])


@dataclass(frozen=True)
class Curves:
    """Several activation functions over the same inputs."""

    curves: tuple[Curve, ...]

    def describe(self) -> str:
        """Values and slopes at -2 and 2, the steepest slope, and saturation, as text."""
        heads = ("activation", "f(-2)", "slope", "f(2)", "slope", "steepest", "saturation")
        rows = []
        for curve in self.curves:
            below, above, steepest = curve.at(-2.0), curve.at(2.0), float(curve.slope.max())
            rows.append((curve.name, *below, *above, steepest, curve.saturation))
        return write_columns(heads, rows)

    def to_json(self) -> dict[str, Any]:
        """Each curve with its points."""
        return {
            "activations": [
                {
                    "name": curve.name,
                    "x": curve.x.tolist(),
                    "y": curve.y.tolist(),
                    "slope": curve.slope.tolist(),
                    "saturation": curve.saturation,
                }
                for curve in self.curves
            ]
        }


def activation_curves(names: Sequence[str] = ()) -> Curves:
    """The named activation functions from -6 to 6, or all ten; raises `UsageError` for a stranger.

    The randomised ReLU is the one used for prediction; the slope of PReLU is its first value.
    """
    for name in names:
        if name not in ACTIVATIONS:
            remedy = did_you_mean(name, list(ACTIVATIONS))
            raise UsageError("No such activation", f'"{name}"', remedy)
    return Curves(tuple(_curve(name) for name in dict.fromkeys(names or ACTIVATIONS)))


def _curve(name: str) -> Curve:
    x = np.linspace(-REACH, REACH, _N_POINTS)
    y = np.asarray(ACTIVATIONS[name](x))
    return Curve(name, x, y, slopes(name, x), _saturation(name))


def slopes(name: str, x: npt.ArrayLike) -> Array:
    """The derivative of an activation at each x (n,); at a corner, the one torch takes."""
    import torch

    from pellucid.network.layers import build_activation

    inputs = torch.tensor(np.asarray(x, dtype=np.float64), requires_grad=True)
    outputs = build_activation(name).double().eval()(inputs)
    return np.asarray(torch.autograd.grad(outputs.sum(), inputs)[0].numpy())


def _saturation(name: str) -> str:
    """On which side the slope tends to 0, and from where on it is below `FLAT`."""
    below, above = np.abs(slopes(name, [-_FAR, _FAR])) < 1e-6
    if not below and not above:
        return "nowhere"
    if below and above:
        return f"on both sides: slope < {FLAT} beyond ±{_onset(name, 1):.1f}"
    start = _onset(name, -1)
    if start < 0.05:
        return "below 0: the slope is 0, and such a unit learns nothing"
    return f"below: slope < {FLAT} from {-start:.1f} down"


def _onset(name: str, side: int) -> float:
    """The distance from 0 beyond which the slope stays below `FLAT`, on one side."""
    distance = np.linspace(0.01, _FAR, 4000)
    steep = np.flatnonzero(np.abs(slopes(name, side * distance)) >= FLAT)
    return float(distance[steep[-1]]) if len(steep) else 0.0
