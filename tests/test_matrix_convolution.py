"""Matrix products are the same convolutions: values, gradients, precision, hooks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from pellucid.network import matrix_convolution
from pellucid.network.classifier import NetworkSpec, build_classifier
from pellucid.network.matrix_convolution import as_matrix_products
from pellucid.task import Target, Task

TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))


def gradients(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(1)
    y = network(images)
    gradient = torch.randn(y.shape, dtype=torch.double).to(y.dtype)
    return [y, *torch.autograd.grad(y, [images, *network.parameters()], gradient)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 1},
        {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2)},
        {"kernel_size": 2, "stride": 3, "padding": 1},
        {"kernel_size": (3, 5), "padding": (0, 2)},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": (9, 7)},
    ],
)
def test_values_and_gradients_are_those_of_torch(settings: dict[str, Any], layout: Any) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 24, **settings).double().to(memory_format=layout)
    images = torch.randn(3, 16, 9, 7, dtype=torch.double).contiguous(memory_format=layout)
    images.requires_grad_()
    expected = gradients(layer, images)
    with as_matrix_products(layer):
        found = gradients(layer, images)
    assert type(found[0].grad_fn).__name__ != type(expected[0].grad_fn).__name__
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_it_computes_in_autocasts_format_and_gives_the_weight_its_own() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 32, 3, padding=1)
    images = torch.randn(4, 32, 4, 4, requires_grad=True)
    exact = gradients(layer, images)
    with as_matrix_products(layer), torch.autocast("cpu", torch.bfloat16):
        found = gradients(layer, images)
    assert [x.dtype for x in found] == [torch.bfloat16, *[torch.float32] * 3]
    for mine, other in zip(found, exact, strict=True):
        assert (mine - other).abs().max() < 0.02 * other.abs().max()


def test_a_network_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NetworkSpec(name="resnet18", channels=1, image_size=32)
    one = build_classifier(spec, TASK, seed=3).double()
    other = copy.deepcopy(one)
    images = torch.randn(4, 1, 32, 32, dtype=torch.double)
    used = []
    real = matrix_convolution._Product.apply
    monkeypatch.setattr(
        matrix_convolution._Product, "apply", lambda *a: (used.append(1), real(*a))[1]
    )
    for network, products in ((one, True), (other, False)):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
        for _ in range(2):
            optimiser.zero_grad()
            if products:
                with as_matrix_products(network):
                    loss = network(images).square().sum()
            else:
                loss = network(images).square().sum()
            loss.backward()
            optimiser.step()
    assert len(used) == 2 * 15  # all but the first convolution and layer1 on 32 × 32 pixels
    for (name, mine), theirs in zip(
        one.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9, msg=name)


def test_afterwards_everything_is_as_before_also_after_an_error() -> None:
    network = build_classifier(NetworkSpec(name="resnet18", channels=1, image_size=32), TASK)
    names = list(network.state_dict())
    seen = []
    network.backbone.layer4[0].conv1.register_forward_hook(lambda *_: seen.append(1))
    with as_matrix_products(network):
        assert list(network.state_dict()) == names
        network(torch.zeros(2, 1, 32, 32))
    assert seen == [1]
    with pytest.raises(RuntimeError, match="expected"), as_matrix_products(network):
        network(torch.zeros(2, 5, 32, 32))
    assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(16, 16, 3, groups=2),
        nn.Conv2d(16, 16, 3, dilation=2),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 16, 3, padding="same"),
        nn.Conv2d(3, 16, 3),
        nn.ConvTranspose2d(16, 16, 3),
    ],
)
def test_other_convolutions_stay_as_they_are(layer: nn.Module) -> None:
    with as_matrix_products(layer):
        assert "forward" not in vars(layer)


def test_large_maps_and_empty_batches_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_convolution, "LARGEST", 16)
    layer = nn.Conv2d(16, 4, 1)
    with as_matrix_products(layer):
        small, large = layer(torch.zeros(1, 16, 4, 4)), layer(torch.zeros(1, 16, 5, 4))
        assert layer(torch.zeros(0, 16, 4, 4)).shape == (0, 4, 4, 4)
    assert "AddBackward" in type(small.grad_fn).__name__  # the bias, added by itself
    assert "Convolution" in type(large.grad_fn).__name__
