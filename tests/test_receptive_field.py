"""Receptive fields: the recursion against gradients, and against values that are published."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.network.receptive_field import FieldTracker, ReceptiveField, receptive_fields
from pellucid.network.spec import Block
from pellucid.task import Target, Task

TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))
WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def built(name: str, size: int, **options) -> tuple[Classifier, NetworkSpec]:
    spec = NetworkSpec(name=name, channels=1, image_size=size, **options)
    return build_classifier(spec, TASK), spec


def transparent(classifier: Classifier) -> nn.Module:
    """The backbone with one channel a layer and random positive weights: no path to a pixel dies.

    A maximum lets only one pixel of its window through; a mean over the same window lets all.
    """
    backbone = copy.deepcopy(classifier.backbone)
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                mean = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, name, mean)
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d):
                geometry = (child.kernel_size, child.stride, child.padding)
                thin = nn.Conv2d(1, 1, *geometry, padding_mode=child.padding_mode, bias=False)
                nn.init.uniform_(thin.weight, 0.2, 0.4)
                setattr(module, name, thin)
    return backbone.double().eval()


def support(
    backbone: nn.Module, image: Tensor, layer: str, unit: int, axis: int
) -> tuple[int, int]:
    """The first and last pixel along an axis with a gradient of this unit of the layer."""
    seen = {}
    module = backbone.get_submodule(layer)
    handle = module.register_forward_hook(lambda _, __, out: seen.update(out=out))
    x = image.clone().requires_grad_()
    backbone(x)
    handle.remove()
    value = seen["out"].select(axis, unit).sum()
    (gradient,) = torch.autograd.grad(value, x)
    pixels = gradient.sum(dim=5 - axis).flatten().nonzero().flatten()
    return int(pixels[0]), int(pixels[-1])


@pytest.mark.parametrize(("name", "length"), [("vgg16", 448), ("resnet34", 1408)])
@pytest.mark.parametrize("axis", [2, 3])
def test_fields_equal_those_of_gradients_for_every_convolution_and_pooling(
    name: str, length: int, axis: int
) -> None:
    """On a narrow strip, along each axis: there a field of 899 pixels fits at little cost."""
    torch.manual_seed(3)
    classifier, spec = built(name, 224)
    fields, backbone = receptive_fields(classifier, spec), transparent(classifier)
    shape = (1, 1, length, 32) if axis == 2 else (1, 1, 32, length)
    if name == "resnet34":
        shape = (1, 1, length, 1) if axis == 2 else (1, 1, 1, length)
    image = torch.rand(shape, dtype=torch.float64) + 0.5
    layers = [n for n, m in classifier.backbone.named_modules() if isinstance(m, WINDOWS)]
    assert len(layers) == {"vgg16": 13 + 5, "resnet34": 36 + 1}[name]
    for layer in layers:
        field = fields[f"backbone.{layer}"]
        unit = round((length / 2 - field.start) / field.stride)
        for chosen in (unit, unit + 1):
            low, high = field.bounds(chosen)
            assert low >= 0, "the border cuts the field"
            assert high < length, "the border cuts the field"
            assert support(backbone, image, layer, chosen, axis) == (low, high), layer


def test_published_values() -> None:
    """Araujo et al. 2019, table 1 (VGG-16: 212); ResNet-34 by the recursion by hand: 899."""
    fields = receptive_fields(*built("vgg16", 224))
    assert fields["backbone"] == ReceptiveField(size=212, stride=32, start=15.5)
    fields = receptive_fields(*built("resnet34", 224))
    assert fields["backbone"] == ReceptiveField(size=899, stride=32, start=0)
    assert fields["backbone.conv1"] == ReceptiveField(size=7, stride=2, start=0)
    assert fields["backbone.maxpool"] == ReceptiveField(size=11, stride=4, start=0)
    assert fields["backbone.layer1"] == ReceptiveField(size=59, stride=4, start=0)


def test_global_pooling_knows_no_place() -> None:
    fields = receptive_fields(*built("plain", 64))
    assert fields["pooling"].is_whole_image
    assert fields["pooling"].size == 64
    assert fields["heads.label"].is_whole_image
    assert not fields["backbone"].is_whole_image


@pytest.mark.parametrize("mode", ["zero", "mirror", "wrap"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (5, 2, 0), (4, 3, 2)])
def test_any_padding_gives_the_same_field_away_from_the_border(
    mode: str, kernel: int, stride: int, padding: int
) -> None:
    block = Block(
        channels=2, kernel=kernel, stride=stride, padding=padding, padding_mode=mode, norm="none"
    )
    classifier, spec = built("plain", 64, blocks=(block, Block(channels=2, pooling="average")))
    torch.manual_seed(0)
    backbone, image = transparent(classifier), torch.rand(1, 1, 64, 64, dtype=torch.float64)
    fields = receptive_fields(classifier, spec)
    for layer in ("0.conv", "0", "1.conv", "1"):
        field = fields[f"backbone.{layer}"]
        unit = round((32 - field.start) / field.stride)
        assert support(backbone, image, layer, unit, 2) == field.bounds(unit), layer


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_norms_over_the_image_are_told(norm: str) -> None:
    fields = receptive_fields(*built("plain", 32, blocks=(Block(channels=4, norm=norm),)))
    assert not fields["backbone.0.conv"].is_global
    assert fields["backbone.0.norm"] == ReceptiveField(3, 1, 0, is_global=True)


class Odd(nn.Module):
    """Functions that hardly any network has."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def followed(function, size: int = 16) -> tuple[ReceptiveField | None, str]:
    image = torch.zeros(1, 1, size, size)
    tracker = FieldTracker(image)
    with torch.no_grad(), tracker:
        output = Odd(function)(image)
    return tracker.field(output), tracker.reason(output)


KERNEL = torch.ones(1, 1, 3, 3)


def test_branches_are_united_and_gates_are_global() -> None:
    field, _ = followed(lambda x: functional.conv2d(x, KERNEL, padding=1) + x)
    assert field == ReceptiveField(3, 1, 0)
    field, _ = followed(lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)))
    assert field == ReceptiveField(1, 1, 0, is_global=True)
    field, _ = followed(lambda x: torch.cat([functional.conv2d(x, KERNEL, padding=1), x], 1))
    assert field == ReceptiveField(3, 1, 0)
    field, _ = followed(
        lambda x: functional.conv2d(functional.conv2d(x, KERNEL, dilation=2), KERNEL)
    )
    assert field == ReceptiveField(7, 1, 3)
    field, _ = followed(
        lambda x: functional.conv2d(x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), KERNEL)
    )
    assert field == ReceptiveField(3, 1, 1)


def test_a_map_that_is_written_into_is_lost() -> None:
    def write(x: Tensor) -> Tensor:
        y = x.clone()
        y[..., 1:-1, 1:-1] = functional.conv2d(x, KERNEL)
        return y

    field, reason = followed(write)
    assert field is None
    assert reason == "a map that is written into"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x[:, :, ::2, ::2], "__getitem__"),
        (lambda x: functional.interpolate(x, scale_factor=2), "interpolate"),
        (lambda x: torch.cat([x, x], 2), "side by side"),
        (lambda x: functional.conv2d(x, torch.ones(1, 1, 3, 5)), "not square"),
        (lambda x: functional.linear(x, torch.ones(4, 16)), "a whole row"),
        (lambda x: x.reshape(1, 1, -1, 8) + 0, "joined"),
    ],
)
def test_what_cannot_be_followed_has_no_field_and_a_reason(function, why: str) -> None:
    field, reason = followed(function)
    assert field is None
    assert why in reason
    lost, same = followed(lambda x: functional.relu(function(x)))
    assert lost is None
    assert same == reason


@pytest.mark.parametrize("name", ["timm:convnext_atto", "timm:mobilenetv3_small_050"])
def test_timm_networks_are_followed(name: str) -> None:
    pytest.importorskip("timm")
    fields = receptive_fields(*built(name, 64))
    assert fields["backbone"].stride == 32
    assert fields["backbone"].is_global == ("mobilenet" in name)


def test_the_classifier_is_left_as_it_was() -> None:
    classifier, spec = built("resnet18", 64)
    classifier.train()
    before = copy.deepcopy(classifier.state_dict())
    receptive_fields(classifier, spec)
    assert all(module.training for module in classifier.modules())
    assert all(not module._forward_hooks for module in classifier.modules())
    assert all(torch.equal(before[k], v) for k, v in classifier.state_dict().items())
