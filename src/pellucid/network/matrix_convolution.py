"""Convolutions of small maps as matrix products, for training on a processor.

A convolution is the product of a matrix of windows, one row an output pixel, and the matrix of
kernels, one column an output channel (im2col; Chellapilla et al. 2006). The processor's library
works along the rows of a map instead, which leaves it idle where the deep layers of a network have
maps of a few pixels: the weight gradient of 512 → 512 channels on 32 maps of 2 × 2 takes it
thirteen times as long as the product does (`docs/performance.md`). The sums are the same up to the
order of their terms.

`as_matrix_products` lets a network compute so for a while; weights, names and hooks stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812  the customary name
from torch import Tensor, nn

from pellucid.network.formulas import output_size

LARGEST = 2048  # output pixels of a batch, up to which the products were the faster way
FEWEST_CHANNELS = 16  # below, a window is too short a row to be copied fast

Pair = tuple[int, int]


@contextmanager
def as_matrix_products(network: nn.Module) -> Iterator[None]:
    """Inside, the plain convolutions of `network` compute their small maps as matrix products.

    On a processor only: on a GPU nothing changes. Grouped, dilated or transposed convolutions and
    those that mirror or wrap their border stay as they are.
    """
    chosen = [m for m in network.modules() if isinstance(m, nn.Conv2d) and _is_plain(m)]
    for module in chosen:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in chosen:
            del module.forward


def _is_plain(module: nn.Conv2d) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.in_channels >= FEWEST_CHANNELS
        and "forward" not in vars(module)
    )


def _forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    rows, columns = _output_size(module, x.shape)
    if x.device.type != "cpu" or x.ndim != 4 or not 0 < len(x) * rows * columns <= LARGEST:
        plain: Tensor = module._conv_forward(x, module.weight, module.bias)
        return plain
    y: Tensor = _Product.apply(x, module.weight, module.stride, module.padding)
    return y if module.bias is None else y + module.bias.to(y.dtype).view(-1, 1, 1)


def _output_size(module: nn.Conv2d, shape: torch.Size) -> Pair:
    padding = cast("Pair", module.padding)
    sizes = zip(shape[-2:], module.kernel_size, module.stride, padding, strict=True)
    rows, columns = (output_size(*side) for side in sizes)
    return rows, columns


class _Product(torch.autograd.Function):
    """y = windows(x) · kernels; both gradients are products with the same two matrices.

    All matrices have the channel last, which is how channels-last tensors lie in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """(n, C, H, W) and (O, C, h, w) → (n, O, H', W')."""
        number_format = _autocast_format() or x.dtype
        with torch.autocast("cpu", enabled=False):
            windows = _windows(x.to(number_format), weight.shape[2:], stride, padding)
            n, rows, columns = windows.shape[:3]
            windows = windows.reshape(n * rows * columns, -1)
            kernels = weight.permute(0, 2, 3, 1).reshape(len(weight), -1).to(number_format)
            y = (windows @ kernels.t()).view(n, rows, columns, -1).permute(0, 3, 1, 2)
        ctx.save_for_backward(windows, kernels)
        ctx.shapes = x.shape, weight.shape, stride, padding
        ctx.number_formats = x.dtype, weight.dtype
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Of the input (n, C, H, W) and of the weight (O, C, h, w)."""
        windows, kernels = ctx.saved_tensors
        of_input, of_weight = None, None
        flat = gradient.permute(0, 2, 3, 1).reshape(-1, len(kernels)).to(kernels.dtype)
        n_out, n_in, height, width = ctx.shapes[1]
        if ctx.needs_input_grad[1]:
            product = (flat.t() @ windows).view(n_out, height, width, n_in)
            of_weight = product.to(ctx.number_formats[1]).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            output_map = flat.view(*_map_of(gradient), n_out)
            way = _by_turned_kernels if _is_many(flat, ctx.shapes) else _by_adding_windows
            of_input = way(output_map, kernels, *ctx.shapes).to(ctx.number_formats[0])
        return of_input, of_weight, None, None


def _autocast_format() -> torch.dtype | None:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def _map_of(y: Tensor) -> tuple[int, int, int]:
    n, _, rows, columns = y.shape
    return n, rows, columns


def _windows(x: Tensor, kernel: torch.Size, stride: Pair, padding: Pair) -> Tensor:
    """A view of all windows of the padded images, (n, H', W', h, w · C)."""
    y = x.permute(0, 2, 3, 1).contiguous()
    if any(padding):
        y = F.pad(y, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    n, height, width, channels = y.shape
    rows = output_size(height, kernel[0], stride[0])
    columns = output_size(width, kernel[1], stride[1])
    image, row, pixel, _ = y.stride()
    steps = (image, row * stride[0], pixel * stride[1], row, 1)
    return y.as_strided((n, rows, columns, kernel[0], kernel[1] * channels), steps)


def _is_many(flat: Tensor, shapes: tuple[torch.Size, torch.Size, Pair, Pair]) -> bool:
    """Whether to turn the kernels is possible and less work than to add up windows."""
    _, (n_out, _, height, width), stride, padding = shapes
    possible = stride == (1, 1) and padding[0] < height and padding[1] < width
    return possible and len(flat) >= 2 * n_out


def _by_turned_kernels(
    gradient: Tensor, kernels: Tensor, image: torch.Size, weight: torch.Size, _: Pair, padding: Pair
) -> Tensor:
    """At stride 1 the gradient (n, C, H, W) is the output's one, convolved with turned kernels.

    `gradient` (n, H', W', O), `kernels` (O, h · w · C).
    Source: lecture, "convolution and cross-correlation": the one undoes what the other did.
    """
    n_out, n_in, height, width = weight
    around = (height - 1 - padding[0], width - 1 - padding[1])
    windows = _windows(gradient.permute(0, 3, 1, 2), weight[2:], (1, 1), around)
    turned = kernels.view(n_out, height * width, n_in).flip(1).transpose(0, 1)
    of_input = windows.reshape(-1, height * width * n_out) @ turned.reshape(-1, n_in)
    return of_input.view(len(gradient), *image[2:], n_in).permute(0, 3, 1, 2)


def _by_adding_windows(
    gradient: Tensor,
    kernels: Tensor,
    image: torch.Size,
    weight: torch.Size,
    stride: Pair,
    padding: Pair,
) -> Tensor:
    """Each pixel's sum over the windows that hold it, in float32 at least; (n, C, H, W).

    `gradient` (n, H', W', O), `kernels` (O, h · w · C).
    """
    n, rows, columns, _ = gradient.shape
    _, channels, height, width = weight
    windows = (gradient @ kernels).view(n, rows, columns, height, width, channels)
    padded = (image[2] + 2 * padding[0], image[3] + 2 * padding[1])
    exact = torch.promote_types(windows.dtype, torch.float32)
    total = windows.new_zeros((n, *padded, channels), dtype=exact)
    for i in range(height):
        down = slice(i, i + stride[0] * (rows - 1) + 1, stride[0])
        for j in range(width):
            along = slice(j, j + stride[1] * (columns - 1) + 1, stride[1])
            total[:, down, along].add_(windows[:, :, :, i, j])
    inner = total[:, padding[0] : padding[0] + image[2], padding[1] : padding[1] + image[3]]
    return inner.permute(0, 3, 1, 2)
