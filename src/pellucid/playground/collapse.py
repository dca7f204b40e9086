"""Convolutions stacked without activation are one convolution; with an activation they are not.

The one kernel is composed exactly from the others, also with strides, where its side is the
receptive field of the stack. Source: lecture section "Activation functions", why they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the customary name

from pellucid.errors import UsageError
from pellucid.network.layers import build_activation
from pellucid.playground.columns import write_columns

Array = npt.NDArray[np.float64]

LARGEST_STACK = 8
_LIMITS = {"layers": (1, LARGEST_STACK), "kernel_size": (1, 15), "channels": (1, 64)}


@dataclass(frozen=True)
class Stack:
    """What is stacked: layers of `channels` channels between one in and one out, square kernels.

    Every layer has the same stride and zero padding; `activation` stands between the layers.
    """

    layers: int = 3
    kernel_size: int = 3
    channels: int = 4
    stride: int = 1
    padding: int = 0
    activation: str = "relu"


@dataclass(frozen=True)
class Difference:
    """Largest |stack - one convolution|: inside, and over the whole map, relative to the map."""

    what: str
    inside: float
    whole: float


@dataclass(frozen=True)
class Collapse:
    """A stack, the one kernel (side, side) it composes to, and both outputs (row, column).

    `activated` is the output with the activation between the layers. `border` is how many rows and
    columns at each edge of the output padding makes differ; 0 without padding. `additivity` is how
    far the activated stack is from f(a) + f(b) = f(a + b) + f(0), which every single convolution
    with a bias keeps: 0 for one that could be collapsed. All are relative to the largest output.
    """

    stack: Stack
    image: Array
    kernel: Array
    total_stride: int
    stacked: Array
    one: Array
    activated: Array
    border: int
    differences: tuple[Difference, ...]
    additivity: float

    def describe(self) -> str:
        """Sizes and differences, as text."""
        stack, side = self.stack, self.kernel.shape[0]
        weights, one = self.n_weights, self.kernel.size
        head = (
            f"{stack.layers} convolutions {stack.kernel_size} × {stack.kernel_size}, stride "
            f"{stack.stride}, {stack.channels} channels between them: {weights} weights.\n"
            f"Without activation they are one convolution {side} × {side}, stride "
            f"{self.total_stride}: {one} weights, and {side} is the receptive field.\n"
        )
        heads = ("largest difference from that one convolution", "inside", "whole map")
        rows = [(each.what, each.inside, each.whole) for each in self.differences]
        return f"{head}\n{write_columns(heads, rows)}\n\n{self._remark()}"

    @property
    def n_weights(self) -> int:
        """The weights of the stack, without biases."""
        widths = _widths(self.stack)
        return sum(a * b * self.stack.kernel_size**2 for a, b in pairwise(widths))

    def to_json(self) -> dict[str, Any]:
        """The stack, the composed kernel and the differences."""
        return {
            "stack": dict(self.stack.__dict__),
            "kernel": self.kernel.tolist(),
            "total_stride": self.total_stride,
            "output_size": list(self.one.shape),
            "border": self.border,
            "differences": [dict(each.__dict__) for each in self.differences],
            "additivity": self.additivity,
        }

    def _remark(self) -> str:
        lines = ["Differences are shares of the largest output."]
        if self.border:
            rows, columns = _many(self.border, "row"), _many(self.border, "column")
            lines.append(
                f"Zero padding between the layers changes the outer {rows} and {columns} of the "
                f"output: the stack sees zeros there where the one kernel sees what would have "
                f"been computed. Inside, and everywhere without padding, they are equal."
            )
        name = self.stack.activation
        if self.additivity > 1e-6:
            lines.append(
                f"With {name} between the layers no single convolution will do: f(a) + f(b) and "
                f"f(a + b) + f(0) differ by {self.additivity:.2g}, and for any one they are equal."
            )
        else:
            lines.append(f"With {name} between the layers nothing is gained: it is still linear.")
        return "\n".join(lines)


def _many(n: int, what: str) -> str:
    return what if n == 1 else f"{n} {what}s"


def compose(first: Tensor, second: Tensor, first_stride: int = 1) -> Tensor:
    """The kernel of the one convolution that equals `first`, then `second`, without padding.

    first (m, c, k, k), second (o, m, l, l) → (o, c, k + (l - 1)·s, …), s the stride of `first`;
    the stride of the one convolution is the product of both. Each weight of `second` lays a copy of
    `first` at its own place, s pixels of the image apart.
    """
    _, n_in, k, _ = first.shape
    n_out, _, length, _ = second.shape
    side = k + (length - 1) * first_stride
    one = first.new_zeros((n_out, n_in, side, side))
    for u in range(length):
        for v in range(length):
            top, left = u * first_stride, v * first_stride
            copy = torch.einsum("om,mcij->ocij", second[:, :, u, v], first)
            one[:, :, top : top + k, left : left + k] += copy
    return one


def collapse(image: npt.ArrayLike, stack: Stack | None = None, *, seed: int = 0) -> Collapse:
    """Compare a stack of random convolutions on a grey image (row, column) with the one kernel.

    Raises `UsageError` for a setting out of range or a stack that leaves nothing of the image, and
    `PlanError` for an unknown activation.
    """
    stack = stack or Stack()
    image = np.asarray(image, dtype=np.float64)
    _check(image, stack)
    x = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    kernels, biases = _draw(stack, seed)
    kernel, bias, stride, padding = _compose_all(kernels, biases, stack)
    with torch.inference_mode():
        one = F.conv2d(x, kernel, bias, stride=stride, padding=padding)
        runs = {
            "no activation, 64 bit": _run(x, kernels, biases, stack),
            "no activation, 32 bit": _run_in_32_bit(x, kernels, biases, stack),
            f"{stack.activation} between the layers": _run(
                x, kernels, biases, stack, stack.activation
            ),
        }
        additivity = _additivity(x, kernels, biases, stack)
    border = _border(stack)
    found = [_difference(what, run, one, border) for what, run in runs.items()]
    stacked, _, activated = (run[0, 0].double().numpy() for run in runs.values())
    outputs = (stacked, one[0, 0].numpy(), activated)
    shown = kernel[0, 0].numpy()
    return Collapse(stack, image, shown, stride, *outputs, border, tuple(found), additivity)


def _widths(stack: Stack) -> list[int]:
    return [1, *[stack.channels] * (stack.layers - 1), 1]


def _draw(stack: Stack, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Random kernels of a size that keeps the variance (He et al. 2015), and small biases."""
    generator = torch.Generator().manual_seed(seed)
    kernels, biases = [], []
    widths, k = _widths(stack), stack.kernel_size
    for n_in, n_out in pairwise(widths):
        scale = (2.0 / (n_in * k * k)) ** 0.5
        shape = (n_out, n_in, k, k)
        kernels.append(torch.randn(shape, generator=generator, dtype=torch.float64) * scale)
        biases.append(torch.randn(n_out, generator=generator, dtype=torch.float64) * 0.1)
    return kernels, biases


def _compose_all(
    kernels: Sequence[Tensor], biases: Sequence[Tensor], stack: Stack
) -> tuple[Tensor, Tensor, int, int]:
    """Kernel, bias, stride and padding of the one convolution."""
    kernel, bias, stride, padding = kernels[0], biases[0], stack.stride, stack.padding
    for second, shift in zip(kernels[1:], biases[1:], strict=True):
        kernel = compose(kernel, second, stride)
        bias = shift + second.sum(dim=(2, 3)) @ bias
        padding += stack.padding * stride
        stride *= stack.stride
    return kernel, bias, stride, padding


def _run(
    x: Tensor,
    kernels: Sequence[Tensor],
    biases: Sequence[Tensor],
    stack: Stack,
    activation: str = "identity",
) -> Tensor:
    """The stack, layer by layer; the activation stands between the layers, not after the last."""
    act = build_activation(activation).to(x.dtype).eval()
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = F.conv2d(x if number == 0 else act(x), kernel, bias, stack.stride, stack.padding)
    return x


def _run_in_32_bit(
    x: Tensor, kernels: Sequence[Tensor], biases: Sequence[Tensor], stack: Stack
) -> Tensor:
    small = [kernel.float() for kernel in kernels], [bias.float() for bias in biases]
    return _run(x.float(), *small, stack)


def _additivity(
    x: Tensor, kernels: Sequence[Tensor], biases: Sequence[Tensor], stack: Stack
) -> float:
    """How far f(a) + f(b) is from f(a + b) + f(0), for the image and its mirror image."""
    parts = (x, x.flip(-1), x + x.flip(-1), torch.zeros_like(x))
    a, b, both, none = (_run(part, kernels, biases, stack, stack.activation) for part in parts)
    return float((a + b - both - none).abs().max() / both.abs().max())


def _border(stack: Stack) -> int:
    """Rows of the output that see padding between the layers, at each edge.

    A row is clean when all the rows it needs of the layer below are inside that layer and clean.
    """
    rows = 0
    for _ in range(stack.layers - 1):
        rows = -(-(rows + stack.padding) // stack.stride)
    return rows if stack.padding else 0


def _difference(what: str, run: Tensor, one: Tensor, border: int) -> Difference:
    apart = (run.double() - one).abs()[0, 0] / one.abs().max()
    height, width = apart.shape
    inside = apart[border : height - border, border : width - border]
    return Difference(what, float(inside.max()) if inside.numel() else 0.0, float(apart.max()))


def _check(image: Array, stack: Stack) -> None:
    build_activation(stack.activation)
    for name, (low, high) in _LIMITS.items():
        value = getattr(stack, name)
        if not low <= value <= high:
            raise UsageError(f"{name} is between {low} and {high}", str(value))
    if not 1 <= stack.stride <= 4:
        raise UsageError("The stride is between 1 and 4", str(stack.stride))
    if not 0 <= stack.padding < stack.kernel_size:
        rule = f"Padding is 0 to {stack.kernel_size - 1} pixels, less than the kernel"
        raise UsageError(rule, str(stack.padding))
    if image.ndim != 2 or not np.isfinite(image).all():
        raise UsageError("An image to convolve is (row, column), all finite", str(image.shape))
    side = min(image.shape)
    for _ in range(stack.layers):
        side = (side + 2 * stack.padding - stack.kernel_size) // stack.stride + 1
        if side < 1:
            found = f"{image.shape[0]} × {image.shape[1]} pixels"
            remedy = "Take fewer layers, smaller kernels or a stride of 1."
            raise UsageError("The stack leaves at least one pixel of the image", found, remedy)
