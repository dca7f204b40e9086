"""Layers by name: convolution, normalisation, activation, pooling and global pooling.

The names are the lecture's; each layer is torch's own. This module does not know how layers are
put together (backbones.py) nor what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from pellucid.errors import PlanError, did_you_mean
from pellucid.network.spec import Block

_T = TypeVar("_T")

PADDING_MODES: dict[str, Literal["zeros", "reflect", "circular"]] = {
    "zero": "zeros",
    "mirror": "reflect",
    "wrap": "circular",
}

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "rrelu": nn.RReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}

_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    # Eight groups, or fewer where the channels do not divide (Wu and He 2018).
    "group": lambda channels: nn.GroupNorm(gcd(8, channels), channels),
    "none": lambda _: nn.Identity(),
}

_POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
    "none": lambda _: nn.Identity(),
}


def build_convolution(n_in: int, block: Block) -> nn.Conv2d:
    """The convolution of a block: (n, n_in, h, w) → (n, block.channels, h', w').

    A bias is there only without normalisation, which would subtract it again.
    Source: lecture section "Convolution"; `formulas.cross_correlation` is its definition.
    """
    return nn.Conv2d(
        n_in,
        block.channels,
        block.kernel,
        stride=block.stride,
        padding=block.padding_pixels,
        padding_mode=PADDING_MODES[block.padding_mode],
        bias=block.norm == "none",
    )


def build_activation(name: str) -> nn.Module:
    """The activation by its name in `formulas.ACTIVATIONS`; an unknown name is a `PlanError`."""
    return _by_name("activation", name, _ACTIVATIONS)()


def build_norm(name: str, channels: int) -> nn.Module:
    """Batch, instance or group normalisation with scale and shift, or none."""
    return _by_name("norm", name, _NORMS)(channels)


def build_pooling(name: str, size: int = 2) -> nn.Module:
    """Max or average pooling of `size` × `size` windows side by side, or none."""
    return _by_name("pooling", name, _POOLINGS)(size)


class GlobalPooling(nn.Module):
    """Each channel's mean or maximum over the map: (n, C, h, w) → (n, C).

    Source: lecture section "Global pooling".
    """

    def __init__(self, kind: Literal["average", "max"] = "average") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """Pool (n, C, h, w) to (n, C)."""
        if self.kind == "max":
            return torch.amax(features, dim=(2, 3))
        return features.mean(dim=(2, 3))

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return self.kind


def _by_name(what: str, name: str, table: dict[str, _T]) -> _T:
    if name not in table:
        remedy = did_you_mean(name, list(table))
        raise PlanError(f"The {what} must be one Pellucid knows", repr(name), remedy)
    return table[name]
