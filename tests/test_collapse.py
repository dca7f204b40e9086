"""Stacked convolutions without activation are one convolution, also with stride and padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from pellucid.errors import PlanError, UsageError
from pellucid.playground.collapse import Stack, collapse, compose

IMAGE = np.random.default_rng(0).random((40, 46))


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 2)])
def test_the_composed_kernel_is_both(strides: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 31, 29), generator=generator, dtype=torch.float64)
    first = torch.randn((5, 3, 3, 3), generator=generator, dtype=torch.float64)
    second = torch.randn((4, 5, 4, 4), generator=generator, dtype=torch.float64)
    stacked = F.conv2d(F.conv2d(x, first, stride=strides[0]), second, stride=strides[1])
    one = compose(first, second, strides[0])
    assert one.shape[-1] == 3 + 3 * strides[0]
    once = F.conv2d(x, one, stride=strides[0] * strides[1])
    torch.testing.assert_close(once, stacked, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize(
    "stack",
    [
        Stack(),
        Stack(layers=1),
        Stack(layers=4, kernel_size=2, channels=3),
        Stack(stride=2),
        Stack(layers=2, kernel_size=5, stride=3),
        Stack(padding=1),
        Stack(layers=4, padding=1),
        Stack(stride=2, padding=1),
        Stack(layers=2, kernel_size=5, padding=3, stride=2),
    ],
    ids=str,
)
def test_without_activation_they_are_equal_inside(stack: Stack) -> None:
    found = collapse(IMAGE, stack)
    exact, single, _ = found.differences
    assert exact.inside < 1e-14
    assert 0 < single.inside < 1e-5
    assert found.border == 0 or exact.whole > 1e-3
    assert found.border or exact.whole < 1e-14
    assert found.stacked.shape == found.one.shape
    field = 1 + sum((stack.kernel_size - 1) * stack.stride**depth for depth in range(stack.layers))
    assert found.kernel.shape == (field, field)


@pytest.mark.parametrize("padding", [1, 2])
def test_the_border_is_no_wider_than_it_must_be(padding: int) -> None:
    found = collapse(IMAGE, Stack(kernel_size=5, padding=padding))
    apart = np.abs(found.stacked - found.one)
    assert apart[found.border - 1].max() > 1e-6
    assert apart[-found.border].max() > 1e-6


@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid"])
def test_with_an_activation_no_single_convolution_will_do(activation: str) -> None:
    found = collapse(IMAGE, Stack(activation=activation))
    assert found.differences[-1].inside > 0.01
    assert found.additivity > 1e-3
    assert "no single convolution" in found.describe()


def test_the_identity_collapses_as_well() -> None:
    found = collapse(IMAGE, Stack(activation="identity"))
    assert found.additivity < 1e-13
    assert "still linear" in found.describe()


def test_weights_sizes_and_seed() -> None:
    found = collapse(IMAGE, seed=3)
    assert found.n_weights == 9 * (4 + 16 + 4)
    assert np.array_equal(found.one, collapse(IMAGE, seed=3).one)
    assert not np.array_equal(found.one, collapse(IMAGE, seed=4).one)
    assert found.to_json()["output_size"] == [34, 40]


def test_wrong_settings_are_said_plainly() -> None:
    wrong = {"layers": 0, "kernel_size": 16, "channels": 0, "stride": 0, "padding": 3}
    for name, value in wrong.items():
        with pytest.raises(UsageError):
            collapse(IMAGE, replace(Stack(), **{name: value}))
    with pytest.raises(UsageError, match="leaves at least one pixel"):
        collapse(IMAGE[:6, :6])
    with pytest.raises(UsageError, match="finite"):
        collapse(np.full((20, 20), np.nan))
    with pytest.raises(PlanError, match='Did you mean "relu"'):
        collapse(IMAGE, Stack(activation="rellu"))
