"""What each function of a network does to the pixels that its units see.

The recursion of the lecture for windows (convolution, pooling), and nothing for functions that act
on each unit alone. A function that is not known here is not guessed at: `NotFollowed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


class NotFollowed(Exception):
    """A field that cannot be told; the message says why. `FieldTracker` keeps it."""


@dataclass(frozen=True)
class Axis:
    """Along one axis, unit i sees the pixels from `low + i·step` to `high + i·step`."""

    low: float
    high: float
    step: float

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """After a layer that slides a window: convolution or pooling."""
        low = self.low - padding * self.step
        return Axis(low, low + self.high - self.low + (kernel - 1) * dilation * self.step, 0).every(
            self.step * stride
        )

    def every(self, step: float) -> Axis:
        """The same first unit, other units at another distance."""
        return replace(self, step=step)

    def shifted(self, units: int) -> Axis:
        """With so many units added before the first."""
        return Axis(self.low - units * self.step, self.high - units * self.step, self.step)

    def united(self, other: Axis) -> Axis:
        """Seeing what either sees; both must have the same step."""
        if self.step != other.step:
            raise NotFollowed(f"branches with steps of {self.step:g} and {other.step:g} pixels")
        return Axis(min(self.low, other.low), max(self.high, other.high), self.step)


@dataclass(frozen=True)
class Seen:
    """What a tensor's units see: rows and columns, at which (negative) axes; none once pooled."""

    axes: tuple[Axis, Axis] | None
    places: tuple[int, int] = (-2, -1)
    is_global: bool = False

    def united(self, other: Seen) -> Seen:
        """What a sum or product of both sees; a pooled vector adds that it is global."""
        is_global = self.is_global or other.is_global
        if self.axes is None or other.axes is None:
            kept = other if self.axes is None else self
            return replace(kept, is_global=is_global or kept.axes is not None)
        if self.places != other.places:
            raise NotFollowed("branches whose axes are in another order")
        rows, columns = (a.united(b) for a, b in zip(self.axes, other.axes, strict=True))
        return Seen((rows, columns), self.places, is_global)


_POINTWISE = (
    "relu",
    "relu_",
    "leaky_relu",
    "leaky_relu_",
    "rrelu",
    "rrelu_",
    "prelu",
    "gelu",
    "celu",
    "selu",
    "silu",
    "sigmoid",
    "sigmoid_",
    "tanh",
    "hardtanh",
    "relu6",
    "hardswish",
    "hardsigmoid",
    "mish",
    "softplus",
    "elu",
    "dropout",
    "dropout2d",
    "batch_norm",
    "add",
    "add_",
    "sub",
    "mul",
    "mul_",
    "div",
    "neg",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "pow",
    "clamp",
    "clone",
    "contiguous",
    "detach",
    "to",
    "float",
    "type",
    "__add__",
    "__radd__",
    "__iadd__",
    "__mul__",
    "__rmul__",
    "__imul__",
    "__sub__",
    "__truediv__",
)
_SPLITS = frozenset({"chunk", "split", "unbind"})
_POOLED = frozenset({"mean", "amax", "adaptive_avg_pool2d", "adaptive_max_pool2d"})


def follow(
    name: str, known: Sequence[Seen], args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
) -> Seen:
    """What the output of a function sees, from what its inputs see."""
    seen = known[0]
    for other in known[1:]:
        seen = seen.united(other)
    if name in _POINTWISE or (name in _SPLITS and _keeps_places(seen, args[0], output)):
        return seen
    if name in _POOLED:
        return _pooled(seen, args[0], output)
    if name in _RULES:
        return _RULES[name](seen, args, kwargs, output)
    if seen.axes is None:  # without a place, nothing can be lost
        return seen
    raise NotFollowed(f"the function {name} is not known here")


def _convolution(seen: Seen, args: tuple[Any, ...], kwargs: dict[str, Any], _: Tensor) -> Seen:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {"stride": 1, "padding": 0, "dilation": 1, **_named(names, args, kwargs)}
    kernel = tuple(given["weight"].shape[-2:])
    if given["padding"] == "same":
        dilation = _pair(given["dilation"])
        given["padding"] = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    padding = 0 if given["padding"] == "valid" else given["padding"]
    return _windowed(seen, kernel, given["stride"], padding, given["dilation"])


def _pooling(seen: Seen, args: tuple[Any, ...], kwargs: dict[str, Any], _: Tensor) -> Seen:
    names = ("input", "kernel_size", "stride", "padding", "dilation")
    given = {"stride": None, "padding": 0, **_named(names, args, kwargs)}
    kernel = given["kernel_size"]
    dilation = given.get("dilation", 1)
    if isinstance(dilation, bool):  # average pooling has `ceil_mode` in this place
        dilation = 1
    stride = given["stride"] or kernel
    return _windowed(seen, kernel, stride, given["padding"], dilation)


def _windowed(seen: Seen, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Seen:
    if seen.axes is None:
        return seen
    if seen.places != (-2, -1):
        raise NotFollowed("a window over axes in another order")
    settings = zip(*(_pair(value) for value in (kernel, stride, padding, dilation)), strict=True)
    rows, columns = (axis.window(*s) for axis, s in zip(seen.axes, settings, strict=True))
    return replace(seen, axes=(rows, columns))


def _joined(seen: Seen, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Seen:
    axis = int(_named(("tensors", "dim"), args, kwargs).get("dim", 0)) % out.ndim - out.ndim
    if seen.axes is not None and axis in seen.places:
        raise NotFollowed("maps that are laid side by side")
    return seen


def _padding(seen: Seen, args: tuple[Any, ...], kwargs: dict[str, Any], _: Tensor) -> Seen:
    sides = [*_named(("input", "pad"), args, kwargs)["pad"], 0, 0, 0, 0]
    if seen.axes is None:
        return seen
    rows, columns = seen.axes
    return replace(seen, axes=(rows.shifted(sides[2]), columns.shifted(sides[0])))


def _permutation(seen: Seen, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Seen:
    if seen.axes is None:
        return seen
    order = kwargs.get("dims", args[1] if isinstance(args[1], Sequence) else args[1:])
    order = [int(axis) % out.ndim for axis in order]
    rows, columns = (order.index(place % out.ndim) - out.ndim for place in seen.places)
    return replace(seen, places=(rows, columns))


def _over_channels(seen: Seen, args: tuple[Any, ...], _: dict[str, Any], __: Tensor) -> Seen:
    """`linear` and `layer_norm` over a last axis that holds channels."""
    if seen.axes is not None and -1 in seen.places:
        raise NotFollowed("a layer over a whole row of the map")
    return seen


def _over_image(seen: Seen, args: tuple[Any, ...], _: dict[str, Any], __: Tensor) -> Seen:
    return replace(seen, is_global=True)


def _reshape(seen: Seen, args: tuple[Any, ...], _: dict[str, Any], out: Tensor) -> Seen:
    source: Tensor = args[0]
    if seen.axes is None or (seen.places == (-2, -1) and source.shape[-2:] == out.shape[-2:]):
        return seen
    if tuple(source.shape[place] for place in seen.places) == (1, 1):
        return replace(seen, axes=None, is_global=True)
    raise NotFollowed("a map whose axes are joined")


_RULES: dict[str, Callable[[Seen, tuple[Any, ...], dict[str, Any], Tensor], Seen]] = {
    "cat": _joined,
    "concat": _joined,
    "conv2d": _convolution,
    "max_pool2d": _pooling,
    "avg_pool2d": _pooling,
    "pad": _padding,
    "permute": _permutation,
    "linear": _over_channels,
    "layer_norm": _over_channels,
    "group_norm": _over_image,
    "instance_norm": _over_image,
    "flatten": _reshape,
    "reshape": _reshape,
    "view": _reshape,
}


def _pooled(seen: Seen, source: Tensor, output: Tensor) -> Seen:
    """A mean or maximum: over the channels it keeps the places, over both axes it ends them."""
    if seen.axes is None or _keeps_places(seen, source, output):
        return seen
    if output.ndim < source.ndim or all(output.shape[place] == 1 for place in seen.places):
        return Seen(None, seen.places, True)
    raise NotFollowed("pooling over parts of the map whose sizes depend on the image")


def _keeps_places(seen: Seen, source: Tensor, output: Tensor) -> bool:
    if seen.axes is None or source.ndim != output.ndim:
        return seen.axes is None
    return all(source.shape[place] == output.shape[place] > 1 for place in seen.places)


def _named(names: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[-1])


def tensors_of(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Every tensor among the arguments, also inside lists and tuples."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_of(value, {})
