"""Pooling of an image: each window's maximum or mean, and the whole image's.

Knows one grey image. `network.formulas` is the definition, against which this is tested.
Source: lecture sections "Pooling" and "Global pooling".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import UsageError, did_you_mean
from pellucid.network.formulas import output_size
from pellucid.playground.columns import write_columns

Array = npt.NDArray[np.float64]

KINDS = ("max", "average")


@dataclass(frozen=True)
class Pooled:
    """An image (row, column), its map (row', column'), and `whole`, what global pooling gives."""

    image: Array
    pooled: Array
    kind: str
    size: int
    stride: int
    whole: float

    def describe(self) -> str:
        """Sizes and values before and after, as text."""
        heads = ("", "rows", "columns", "least", "mean", "largest")
        kind = f"{self.kind} pooling {self.size} × {self.size}, stride {self.stride}"
        rows = [
            (name, *array.shape, float(array.min()), float(array.mean()), float(array.max()))
            for name, array in (("image", self.image), (kind, self.pooled))
        ]
        rows.append((f"global {self.kind} pooling", 1, 1, self.whole, self.whole, self.whole))
        return f"{write_columns(heads, rows)}\n\n{self._remark()}"

    def to_json(self) -> dict[str, Any]:
        """Sizes and ranges before and after."""
        return {
            "kind": self.kind,
            "size": self.size,
            "stride": self.stride,
            "image_size": list(self.image.shape),
            "pooled_size": list(self.pooled.shape),
            "range": [float(self.pooled.min()), float(self.pooled.max())],
            "mean": float(self.pooled.mean()),
            "mean_of_image": float(self.image.mean()),
            "global": self.whole,
        }

    @property
    def share_kept(self) -> float:
        """How many numbers are left, as a share of the image's."""
        return self.pooled.size / self.image.size

    def _remark(self) -> str:
        kept = f"{self.share_kept:.1%}".replace("%", " %")
        steps = f"floor(({self.image.shape[0]} − {self.size}) / {self.stride}) + 1"
        left = f"{steps} = {self.pooled.shape[0]} rows are left, and {kept} of the numbers."
        if self.kind == "max":
            return (
                f"{left} The brightest pixel of each window survives, so the image grows lighter."
            )
        return f"{left} The mean of each window survives, so noise is smoothed and edges soften."


def pool(
    image: npt.ArrayLike, kind: str = "max", size: int = 2, stride: int | None = None
) -> Pooled:
    """Pool a grey image (row, column); the stride is the window's size when none is given.

    Rows and columns that no whole window reaches are left out, as in a network. Raises `UsageError`
    for an unknown kind, a window larger than the image, and values that are not finite.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812  the customary name

    image = np.asarray(image, dtype=np.float64)
    step = size if stride is None else stride
    _check(image, kind, size, step)
    x = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    operation = F.max_pool2d if kind == "max" else F.avg_pool2d
    pooled = operation(x, size, step)[0, 0].numpy()
    whole = float(image.max() if kind == "max" else image.mean())
    return Pooled(image, pooled, kind, size, step, whole)


def _check(image: Array, kind: str, size: int, stride: int) -> None:
    if kind not in KINDS:
        raise UsageError("Pooling is max or average", f'"{kind}"', did_you_mean(kind, list(KINDS)))
    if image.ndim != 2 or not np.isfinite(image).all():
        raise UsageError("An image to pool is (row, column), all finite", str(image.shape))
    if size < 1:
        raise UsageError("The window has at least one pixel", str(size))
    if stride < 1:
        raise UsageError("The stride is at least 1", str(stride))
    if min(output_size(side, size, stride) for side in image.shape) < 1 or size > min(image.shape):
        found = f"{size} × {size} on {image.shape[0]} × {image.shape[1]} pixels"
        raise UsageError("The window fits into the image", found, "Take a smaller --size.")
