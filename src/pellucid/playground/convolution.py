"""A kernel slid over an image: convolution, cross-correlation, and the matching of a patch.

Fast where `network.formulas` is slow, and held against it in the tests. Knows one grey image and
one kernel; it does not know where they come from. Source: lecture section "Convolution".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean
from pellucid.network.formulas import output_size
from pellucid.playground.columns import write_columns, write_matrix
from pellucid.playground.kernels import LARGEST_SIDE, Kernel

Array = npt.NDArray[np.float64]
Which = Literal["convolution", "cross_correlation", "normalised"]

PADDING_MODES: dict[str, Literal["constant", "reflect", "wrap"]] = {
    "zero": "constant",
    "mirror": "reflect",
    "wrap": "wrap",
}
WORDS: dict[Which, str] = {
    "convolution": "convolution",
    "cross_correlation": "cross-correlation",
    "normalised": "normalised cross-correlation",
}
_MOST_SHIFTS = 225  # weights up to which shifted images are added one by one
_PRINTED_SIDE = 9  # larger kernels are drawn, not printed


@dataclass(frozen=True)
class Peak:
    """The largest response: its place in the map, and where its window begins in the image."""

    value: float
    at: tuple[int, int]
    window: tuple[int, int]


@dataclass(frozen=True)
class Responses:
    """An image (row, column), a kernel, and what comes of them.

    `maps` holds arrays (row', column') by name: "convolution", "cross_correlation", and for a patch
    "normalised", in [-1, 1]. `padding` is in pixels for rows and for columns.
    """

    image: Array
    kernel: Kernel
    padding: tuple[int, int]
    mode: str
    stride: int
    maps: dict[Which, Array]

    def peak(self, which: Which) -> Peak:
        """Where the response is largest; the first one in reading order when several are."""
        found = self.maps[which]
        # What rounding alone tells apart counts as equal, so that a tie has one answer everywhere.
        near = found >= found.max() - 1e-9 * max(1.0, float(np.abs(found).max()))
        row, column = divmod(int(np.argmax(near)), found.shape[1])
        rows, columns = self.padding
        window = (row * self.stride - rows, column * self.stride - columns)
        return Peak(float(found[row, column]), (row, column), window)

    def finds_itself(self, which: Which) -> bool:
        """Whether the largest response lies where the patch was cut from."""
        return self.kernel.place is not None and self.peak(which).window == self.kernel.place

    @property
    def flip(self) -> str:
        """What flipping the kernel does: the difference of convolution and cross-correlation."""
        kernel, flipped = self.kernel.values, self.kernel.values[::-1, ::-1]
        if np.allclose(kernel, flipped):
            return "Flipped in both axes the kernel stays the same, so both give the same map."
        if np.allclose(kernel, -flipped):
            return "Flipped in both axes the kernel changes its sign, and so does the map."
        return "Flipped in both axes it is another kernel, so the two maps differ."

    def describe(self) -> str:
        """The kernel, the sizes and the responses, as text."""
        rows, columns = self.kernel.values.shape
        parts = [f"Kernel {self.kernel.name}, {rows} × {columns}"]
        if max(rows, columns) <= _PRINTED_SIDE:
            parts[0] += f":\n{write_matrix(self.kernel.values)}"
        return "\n".join([*parts, self._sizes(), "", self._table(), "", *self._remarks()])

    def to_json(self) -> dict[str, Any]:
        """Sizes, numbers of the kernel, and the range and peak of each map."""
        return {
            "kernel": {"name": self.kernel.name, "values": self.kernel.values.tolist()},
            "image_size": list(self.image.shape),
            "padding": self.mode,
            "padding_pixels": list(self.padding),
            "stride": self.stride,
            "responses": {which: self._facts(which) for which in self.maps},
        }

    def _facts(self, which: Which) -> dict[str, Any]:
        found, peak = self.maps[which], self.peak(which)
        facts = {
            "size": list(found.shape),
            "least": float(found.min()),
            "mean": float(found.mean()),
            "largest": float(found.max()),
            "largest_at": list(peak.at),
            "window_begins_at": list(peak.window),
        }
        if self.kernel.place is not None:
            facts["finds_itself"] = self.finds_itself(which)
        return facts

    def _sizes(self) -> str:
        words = []
        sides = zip(self.image.shape, self.kernel.values.shape, self.padding, strict=True)
        for name, (n, k, p) in zip(("rows", "columns"), sides, strict=True):
            size = output_size(n, k, self.stride, p)
            words.append(f"floor(({n} + 2·{p} − {k}) / {self.stride}) + 1 = {size} {name}")
        edge = f"padding {self.mode}" if any(self.padding) else "no padding"
        return f"With {edge} and stride {self.stride}: {', '.join(words)}."

    def _table(self) -> str:
        heads = ("response", "rows", "columns", "least", "mean", "largest", "at row, column")
        rows = []
        for which, found in self.maps.items():
            row, column = self.peak(which).at
            numbers = (float(found.min()), float(found.mean()), float(found.max()))
            rows.append((WORDS[which], *found.shape, *numbers, f"{row}, {column}"))
        return write_columns(heads, rows)

    def _remarks(self) -> list[str]:
        if self.kernel.place is None:
            return [self.flip]
        lines = [self.flip]
        for which in ("cross_correlation", "normalised"):
            found = "at the patch's own place" if self.finds_itself(which) else self._elsewhere()
            row, column = self.peak(which).window
            lines.append(f"{WORDS[which].capitalize()} is largest {found} (row {row}, {column}).")
        return lines

    def _elsewhere(self) -> str:
        """Why the patch is not found where it was cut."""
        place, padding = cast(tuple[int, int], self.kernel.place), self.padding
        steps = [(at + p) % self.stride for at, p in zip(place, padding, strict=True)]
        if any(steps):
            return f"elsewhere: a stride of {self.stride} steps over the patch's own place"
        if self.kernel.values.min() >= 0:
            return "elsewhere: a patch that keeps its mean answers to whatever is bright"
        return "elsewhere: what has more contrast answers more strongly than the patch itself"


def respond(
    image: npt.ArrayLike,
    kernel: Kernel,
    *,
    padding: int | Literal["same"] = 0,
    mode: str = "zero",
    stride: int = 1,
) -> Responses:
    """Convolution and cross-correlation of a grey image (row, column) with a kernel.

    `padding` pixels are added on each side; "same" adds half of the kernel, so that at stride 1
    the map is as large as the image. Raises `UsageError` for a wrong setting, a kernel larger than
    the padded image, and values that are not finite.
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise UsageError("An image to convolve is (row, column), all finite", str(image.shape))
    pixels = _padding_pixels(kernel, padding)
    _check(image.shape, kernel.values.shape, pixels, (mode, stride))
    wider = np.pad(image, [(p, p) for p in pixels], mode=PADDING_MODES[mode])
    maps: dict[Which, Array] = {
        "convolution": _slide(wider, kernel.values[::-1, ::-1], stride),
        "cross_correlation": _slide(wider, kernel.values, stride),
    }
    if kernel.place is not None:
        maps["normalised"] = _match(wider, kernel.values, stride)
    return Responses(image, kernel, pixels, mode, stride, maps)


def _slide(wider: Array, kernel: Array, stride: int) -> Array:
    """Y[i, j] = Σ_u Σ_v K[u, v] · X[s·i + u, s·j + v]; large kernels by Fourier transform."""
    (height, width), (rows, columns) = wider.shape, kernel.shape
    down, across = height - rows + 1, width - columns + 1
    if kernel.size > _MOST_SHIFTS:
        spectrum = np.fft.rfft2(wider) * np.conj(np.fft.rfft2(kernel, wider.shape))
        whole = np.fft.irfft2(spectrum, wider.shape)[:down, :across]
        return np.ascontiguousarray(whole[::stride, ::stride])
    slid = np.zeros((-(-down // stride), -(-across // stride)))
    for u, v in np.argwhere(kernel):
        slid += kernel[u, v] * wider[u : u + down : stride, v : v + across : stride]
    return slid


def _match(wider: Array, kernel: Array, stride: int) -> Array:
    """Normalised cross-correlation, in [-1, 1]; 0 where the window has no contrast.

    It is 1 only where the window is the patch up to brightness and contrast (Lewis 1995).
    """
    ones, k = np.ones_like(kernel), kernel.size
    patch, centred = kernel - kernel.mean(), wider - wider.mean()
    sums = _slide(centred, ones, stride)
    energy = _slide(centred**2, ones, stride) - sums**2 / k
    is_flat = energy < 1e-9 * k  # deviation below 3e-5 of full scale: rounding, not structure
    length = np.sqrt(np.where(is_flat, 1.0, energy)) * np.linalg.norm(patch)
    matched = np.where(is_flat, 0.0, _slide(centred, patch, stride) / length)
    return np.asarray(np.clip(matched, -1.0, 1.0))


def _padding_pixels(kernel: Kernel, padding: int | Literal["same"]) -> tuple[int, int]:
    if padding != "same":
        return padding, padding
    rows, columns = kernel.values.shape
    if not kernel.has_middle:
        rule = 'Padding "same" needs a kernel with odd sides, which has a middle pixel'
        raise UsageError(rule, f"{rows} × {columns}", "Give the padding in pixels.")
    return rows // 2, columns // 2


def _check(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    pixels: tuple[int, int],
    settings: tuple[str, int],
) -> None:
    mode, stride = settings
    if mode not in PADDING_MODES:
        known = did_you_mean(mode, list(PADDING_MODES))
        raise UsageError("The padding is zero, mirror or wrap", f'"{mode}"', known)
    if stride < 1:
        raise UsageError("The stride is at least 1", str(stride))
    if min(pixels) < 0:
        raise UsageError("Padding is 0 pixels or more", str(min(pixels)))
    for p, side in zip(pixels, image, strict=True):
        limit = {"mirror": side - 1, "wrap": side}.get(mode, LARGEST_SIDE)
        if p > limit:
            rule = f"Padding {mode} of a side of {side} pixels is at most {limit}"
            raise UsageError(rule, str(p))
    for n, k, p in zip(image, kernel, pixels, strict=True):
        if k > n + 2 * p:
            found = f"a kernel of {kernel[0]} × {kernel[1]} on {image[0]} × {image[1]} pixels"
            remedy = "Take a smaller kernel, or more padding."
            raise UsageError("A kernel fits into the padded image", found, remedy)
