"""Backbones: an image in, a feature map out, (n, channels, H, W) → (n, n_features, h, w).

`plain` is made of blocks; VGG and ResNet have torchvision's layers, without pooling and classifier,
so names such as `layer4.2.bn2` and published weights fit; `timm:NAME` is any convolutional
network of the timm package. No activation works in place: what a hook sees of a layer must still
be that layer's output when the next one has run. This module knows no targets and loads no weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import MissingPackage, PlanError, did_you_mean
from pellucid.network.ensemble import SideBySide
from pellucid.network.layers import build_activation, build_convolution, build_norm, build_pooling
from pellucid.network.residual import BasicBlock, Bottleneck, build_layer
from pellucid.network.spec import RESNETS, STEM_POOLING_FROM, TIMM, VGGS, Block, NetworkSpec

# How many convolutions stand before each of the five poolings; their channels.
_VGG_DEPTHS = {"11": (1, 1, 2, 2, 2), "13": (2,) * 5, "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
_VGG_CHANNELS = (64, 128, 256, 512, 512)

_RESET = (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.PReLU)  # what else has parameters

_RESNET_PLANS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


def build_backbone(spec: NetworkSpec) -> nn.Module:
    """The backbone that the spec names, with fresh weights and an attribute `n_features`.

    With several members they stand side by side. Draws from torch's global generator. Raises
    `MissingPackage` for `timm:` without timm and `PlanError` for an unknown timm network.
    """
    if spec.members > 1:
        return SideBySide(spec, build_backbone)
    if spec.name.startswith(TIMM):
        return TimmBackbone(spec)
    device = torch.get_default_device()
    with torch.device("meta"):  # the layers' own initialisation would be drawn only to be replaced
        if spec.name in VGGS:
            backbone: nn.Module = VGGBackbone(spec.name, spec.channels)
        elif spec.name in RESNETS:
            backbone = ResNetBackbone(spec)
        else:
            backbone = PlainBackbone(spec.channels, spec.blocks)
    _initialise(backbone.to_empty(device=device))
    return backbone


class PlainBlock(nn.Module):
    """Convolution, then norm, activation and pooling, each as the block's spec names it."""

    def __init__(self, n_in: int, block: Block) -> None:
        super().__init__()
        self.conv = build_convolution(n_in, block)
        self.norm = build_norm(block.norm, block.channels)
        self.activation = build_activation(block.activation)
        self.pooling = build_pooling(block.pooling)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, h, w) → (n, block.channels, h', w')."""
        y: Tensor = self.pooling(self.activation(self.norm(self.conv(x))))
        return y


class PlainBackbone(nn.Sequential):
    """The lecture's plain CNN: block after block, named `0`, `1`, …."""

    def __init__(self, channels: int, blocks: tuple[Block, ...]) -> None:
        inputs = [channels, *(block.channels for block in blocks[:-1])]
        super().__init__(*(PlainBlock(n, block) for n, block in zip(inputs, blocks, strict=True)))
        self.n_features = blocks[-1].channels


class VGGBackbone(nn.Module):
    """The convolutional part of VGG, under torchvision's name for it, `features`.

    Simonyan and Zisserman 2015, "Very deep convolutional networks".
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = channels
        for depth, n in zip(_VGG_DEPTHS[name[3:5]], _VGG_CHANNELS, strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(n_in, n, 3, padding=1))
                layers += [nn.BatchNorm2d(n), nn.ReLU()] if name.endswith("_bn") else [nn.ReLU()]
                n_in = n
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.n_features = n_in

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, H, W) → (n, 512, H // 32, W // 32)."""
        y: Tensor = self.features(x)
        return y


class ResNetBackbone(nn.Module):
    """ResNet without its pooling and classifier. He et al. 2016.

    With the small stem `conv1` is 3×3 with stride 1, and `maxpool` stays only from 33 pixels on:
    at 28 pixels the standard stem would leave one pixel for `layer4`.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        block, depths = _RESNET_PLANS[spec.name]
        kernel, stride = (3, 1) if spec.small_stem else (7, 2)
        pools = not spec.small_stem or spec.image_size >= STEM_POOLING_FROM
        self.conv1 = nn.Conv2d(spec.channels, 64, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pools else nn.Identity()
        wide = block.expansion
        self.layer1 = build_layer(block, 64, 64, 1, depths[0])
        self.layer2 = build_layer(block, 64 * wide, 128, 2, depths[1])
        self.layer3 = build_layer(block, 128 * wide, 256, 2, depths[2])
        self.layer4 = build_layer(block, 256 * wide, 512, 2, depths[3])
        self.n_features = 512 * wide

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, H, W) → (n, n_features, h, w)."""
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        z: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return z


class TimmBackbone(nn.Module):
    """A convolutional network of timm without its classifier, as `model`."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.model = create_timm(spec.name, in_chans=spec.channels)
        _check_feature_map(self.model, spec)
        self.n_features: int = self.model.num_features

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, H, W) → (n, n_features, h, w)."""
        y: Tensor = self.model.forward_features(x)
        return y


def create_timm(name: str, **options: Any) -> Any:
    """The timm network `timm:NAME` without classifier; options go to `timm.create_model`."""
    try:
        import timm
    except ImportError as error:
        raise MissingPackage(
            f"The network {name!r} needs the package timm",
            "",
            'Install it: pip install "pellucid[timm]"',
        ) from error
    plain_name = name.removeprefix(TIMM)
    if not timm.is_model(plain_name.split(".")[0]):
        remedy = did_you_mean(plain_name, timm.list_models()) if plain_name else ""
        if not remedy.startswith("Did"):
            remedy = "timm.list_models() lists the names."
        raise PlanError("The network must be one timm knows", repr(plain_name), remedy)
    return timm.create_model(plain_name, num_classes=0, global_pool="", **options)


def _check_feature_map(model: Any, spec: NetworkSpec) -> None:
    """Try the timm network on one empty image: it must give (1, n_features, h, w)."""
    image = torch.zeros(1, spec.channels, spec.image_size, spec.image_size)
    training = model.training
    try:
        with torch.no_grad():
            shape = tuple(model.eval().forward_features(image).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["it fails"])[0][:120]
        raise PlanError(
            f"{spec.name} does not take images of {spec.image_size} pixels ({reason})",
            remedy="Use the image size it was made for, with --set image_size=224 for most.",
        ) from error
    model.train(training)
    if len(shape) != 4 or shape[1] != model.num_features:
        raise PlanError(
            f"{spec.name} gives no feature map (channel, row, column)",
            f"the shape {shape[1:]}",
            "Choose a convolutional network such as timm:convnext_atto.",
        )


def _initialise(backbone: nn.Module) -> None:
    """Kaiming's initialisation that keeps the variance forward (He et al. 2015); biases 0.

    torchvision keeps it backward (fan-out), which in a VGG without norm shrinks the features to
    a few per cent from the first layer to the last, so that it hardly starts to learn.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _RESET):
            module.reset_parameters()
