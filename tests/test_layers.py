"""Layers by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pellucid.errors import PlanError
from pellucid.network import formulas, layers
from pellucid.network.spec import Block


@pytest.mark.parametrize("mode", ["zero", "mirror", "wrap"])
def test_convolution_follows_its_block(mode):
    block = Block(channels=4, kernel=5, stride=2, padding_mode=mode, norm="none")
    layer = layers.build_convolution(3, block)
    x = torch.randn(1, 3, 9, 8)
    expected = formulas.cross_correlation(
        x[0].numpy(),
        layer.weight.detach().numpy(),
        layer.bias.detach().numpy(),
        stride=2,
        padding=2,
        mode=mode,
    )
    torch.testing.assert_close(
        layer(x)[0].detach().double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4
    )


def test_convolution_has_a_bias_only_without_norm():
    assert layers.build_convolution(1, Block(channels=2)).bias is None
    assert layers.build_convolution(1, Block(channels=2, norm="none")).bias is not None


def test_every_activation_of_the_formulas_has_a_layer():
    kinds = {name: type(layers.build_activation(name)) for name in formulas.ACTIVATIONS}
    assert kinds["gelu"] is nn.GELU
    assert len(set(kinds.values())) == len(formulas.ACTIVATIONS)


@pytest.mark.parametrize("name", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("channels", [6, 7, 16])
def test_norms_keep_the_shape(name, channels):
    x = torch.randn(2, channels, 4, 4)
    y = layers.build_norm(name, channels)(x)
    assert y.shape == x.shape
    assert (name == "none") == bool(torch.equal(x, y))


def test_poolings():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert layers.build_pooling("max")(x).flatten().tolist() == [5, 7, 13, 15]
    assert layers.build_pooling("average", 4)(x).item() == 7.5
    assert layers.build_pooling("none")(x) is x


def test_global_pooling_is_the_formulas():
    x = torch.randn(2, 3, 4, 5)
    for kind, formula in (
        ("average", formulas.global_average_pooling),
        ("max", formulas.global_max_pooling),
    ):
        pooled = layers.GlobalPooling(kind)(x)
        assert pooled.shape == (2, 3)
        torch.testing.assert_close(pooled[1].double(), torch.from_numpy(formula(x[1].numpy())))
    assert "max" in repr(layers.GlobalPooling("max"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layers.build_activation("rellu"), "relu"),
        (lambda: layers.build_norm("batsh", 3), "batch"),
        (lambda: layers.build_pooling("maximum"), "max"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(build, message):
    with pytest.raises(PlanError, match=f'Did you mean "{message}"'):
        build()
