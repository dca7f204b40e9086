"""ResNet's blocks: what they compute is added to what they get. He et al. 2016.

Names and order of the layers are torchvision's, so that published weights fit; to import
torchvision's own models takes as long as to import torch. This module knows no image size.
"""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, y = relu(x + f(x)); the first has the stride."""

    expansion = 1

    def __init__(self, n_in: int, n: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(n, n, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n)
        self.downsample = build_shortcut(n_in, n, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, h, w) → (n, channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        z: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return z


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions; the second has the stride, the third four times the channels.

    The original has the stride in the first; this is the variant whose weights are published.
    """

    expansion = 4

    def __init__(self, n_in: int, n: int, stride: int) -> None:
        super().__init__()
        n_out = n * self.expansion
        self.conv1 = nn.Conv2d(n_in, n, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n)
        self.conv3 = nn.Conv2d(n, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU()
        self.downsample = build_shortcut(n_in, n_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, h, w) → (n, 4 · channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        z: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return z


def build_shortcut(n_in: int, n_out: int, stride: int) -> nn.Sequential | None:
    """What brings a block's input to the shape of its output; None where it has it."""
    if n_in == n_out and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))


def build_layer(
    block: type[BasicBlock] | type[Bottleneck], n_in: int, n: int, stride: int, depth: int
) -> nn.Sequential:
    """`depth` blocks of n · expansion channels, the first with the stride."""
    rest = [block(n * block.expansion, n, 1) for _ in range(depth - 1)]
    return nn.Sequential(block(n_in, n, stride), *rest)
