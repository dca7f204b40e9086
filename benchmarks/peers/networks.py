"""The networks of the contest, for processes that have torchvision but not Pellucid.

They are Pellucid's: one grey channel in, two logits out, and below 49 pixels the 3×3 stem.
`tests/test_contest.py` holds their numbers of weights against Pellucid's own.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.vgg import cfgs, make_layers

PLAIN = (32, 64, 128, 256)


def build(name: str, size: int) -> nn.Module:
    """The network by its name for square images of this size."""
    return {"plain": _plain, "resnet18": _resnet18, "vgg11": _vgg11}[name](size)


def _plain(_: int) -> nn.Module:
    layers: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(zip((1, *PLAIN), PLAIN, strict=False)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)]
        layers += [nn.ReLU()] + [nn.MaxPool2d(2)] * (number < len(PLAIN) - 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(PLAIN[-1], 2))


def _resnet18(size: int) -> nn.Module:
    network = resnet18(num_classes=2)
    if size <= 48:
        network.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    else:
        network.conv1 = nn.Conv2d(1, 64, 7, 2, padding=3, bias=False)
    if size <= 32:
        network.maxpool = nn.Identity()
    return network


def _vgg11(_: int) -> nn.Module:
    features = make_layers(cfgs["A"])
    features[0] = nn.Conv2d(1, 64, 3, padding=1)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2))


def place(network: nn.Module, fast: bool) -> nn.Module:
    """With `fast`, in the channels-last layout."""
    layout = torch.channels_last if fast else torch.contiguous_format
    return network.to(memory_format=layout)
