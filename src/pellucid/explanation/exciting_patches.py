"""The places in a dataset's images that excite a channel most, cut at its receptive field.

The nearest thing to asking a channel what it looks for: not one example, but the nine strongest,
each of another patient. Zeiler and Fergus 2014, "Visualizing and understanding convolutional
networks". One pass over the images in batches; only the winners are kept in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.feature_maps import Pixels, feature_maps, to_input, unit_fields
from pellucid.explanation.layers import capture
from pellucid.network.receptive_field import ReceptiveField

_BATCH_PIXELS = 2**20  # 64 images of 128 pixels; what a VGG makes of them takes about 1 GB
_BATCH_IMAGES = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Patch:
    """What one unit saw when it was excited.

    `image` is the row of the dataset, `unit` the (row, column) in the channel's map, `corner` the
    (row, column) of the patch's first pixel in the image, below 0 where it reaches over the border.
    `pixels` is uint8 (channel, side, side); `inside` (side, side) is False where there is no image.
    `centre` is the (row, column) of the middle of the unit's field, in pixels of the patch.
    """

    image: int
    activation: float
    unit: tuple[int, int]
    corner: tuple[int, int]
    centre: tuple[float, float]
    pixels: Pixels
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ExcitingPatches:
    """Patches by channel, the strongest first; a channel that no image excites has none.

    `field` is the side of the receptive field in pixels. Where it is not smaller than the image
    (`is_whole_image`) the patch is the whole image.
    """

    layer: str
    field: float
    is_whole_image: bool
    n_images: int
    patches: dict[int, tuple[Patch, ...]]


class _Found(NamedTuple):
    """A unit's activation, and where it is."""

    activation: float
    image: int
    unit: tuple[int, int]


def exciting_patches(
    bundle: Bundle,
    pixels: Pixels,
    layer: str,
    channels: Sequence[int],
    *,
    groups: Sequence[Hashable] | None = None,
    rows: Sequence[int] | npt.NDArray[np.int64] | None = None,
    n_patches: int = 9,
    progress: Progress | None = None,
) -> ExcitingPatches:
    """For each channel the `n_patches` strongest units of the images (n, C, S, S), as patches.

    `pixels` may be a memory map; only `rows` of it are looked at, all unless told. `groups` names
    the patient of each image, and of a group one patch is shown; without, each image is its own.
    A unit whose activation is not above 0 counts as not excited. Raises `UsageError` for a layer
    that gives no map and a channel that it has not.
    """
    chosen = np.arange(len(pixels)) if rows is None else np.asarray(rows, dtype=np.int64)
    names = np.arange(len(pixels)) if groups is None else groups
    best: dict[int, list[_Found]] = {channel: [] for channel in channels}
    blank = np.zeros((1, *pixels.shape[1:]), dtype=np.uint8)
    n_rows = feature_maps(bundle, blank, layer).maps.shape[2]
    for done, found in _excited(bundle, pixels, layer, (channels, chosen)):
        for channel, units in found.items():
            best[channel] = _merge([*best[channel], *units], names, n_patches)
        if progress:
            progress(done, len(chosen))
    field = unit_fields(bundle, {layer: n_rows})[layer]
    patches = {
        channel: tuple(_cut(pixels[found.image], field, found) for found in units)
        for channel, units in best.items()
    }
    whole = field.size >= bundle.spec.image_size
    return ExcitingPatches(layer, field.size, whole, len(chosen), patches)


def _excited(
    bundle: Bundle,
    pixels: Pixels,
    layer: str,
    wanted: tuple[Sequence[int], npt.NDArray[np.int64]],
) -> Iterator[tuple[int, dict[int, list[_Found]]]]:
    """Batch by batch: how many images are done, and each image's strongest unit by channel."""
    channels, rows = wanted
    step = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // bundle.spec.image_size**2))
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        maps = capture(bundle.classifier, to_input(bundle, pixels[batch]), [layer])[layer]
        check_channels(channels, maps.shape[1], layer)
        width = maps.shape[3]
        values, places = maps[:, list(channels)].flatten(2).max(dim=2)
        found: dict[int, list[_Found]] = {}
        for number, channel in enumerate(channels):
            peaks = zip(values[:, number].tolist(), places[:, number].tolist(), strict=True)
            found[channel] = [
                _Found(value, int(image), divmod(place, width))
                for image, (value, place) in zip(batch, peaks, strict=True)
                if value > 0
            ]
        yield start + len(batch), found


def check_channels(channels: Sequence[int], available: int, layer: str) -> None:
    """Raise `UsageError` for a channel that the layer has not."""
    wrong = [channel for channel in channels if not 0 <= channel < available]
    if wrong:
        rule = f"The layer {layer!r} has the channels 0 to {available - 1}"
        raise UsageError(rule, ", ".join(map(str, wrong)))


def _merge(
    units: list[_Found], names: Sequence[Hashable] | npt.NDArray[np.int64], number: int
) -> list[_Found]:
    """The strongest units, one a group; of equals the earlier image's."""
    kept: dict[Hashable, _Found] = {}
    for unit in sorted(units, key=lambda unit: (-unit.activation, unit.image)):
        if len(kept) == number:
            break
        kept.setdefault(names[unit.image], unit)
    return list(kept.values())


def _cut(image: Pixels, field: ReceptiveField, found: _Found) -> Patch:
    """The pixels (channel, side, side) that the unit sees; black where the image ends."""
    size = image.shape[-1]
    middle = [field.start + field.stride * place for place in found.unit]
    side = round(field.size)
    corner = [math.ceil(place - (side - 1) / 2 - 1e-6) for place in middle]
    if side >= size:
        side, corner = size, [0, 0]
    pixels = np.zeros((len(image), side, side), dtype=np.uint8)
    inside = np.zeros((side, side), dtype=np.bool_)
    there, here = zip(*(_overlap(start, side, size) for start in corner), strict=True)
    pixels[:, *here] = image[:, *there]
    inside[here] = True
    return Patch(
        image=found.image,
        activation=found.activation,
        unit=found.unit,
        corner=(corner[0], corner[1]),
        centre=(middle[0] - corner[0], middle[1] - corner[1]),
        pixels=pixels,
        inside=inside,
    )


def _overlap(start: int, side: int, size: int) -> tuple[slice, slice]:
    """Where a window lies on the image, and where that part lies in the window."""
    first, last = max(start, 0), min(start + side, size)
    last = max(first, last)
    return slice(first, last), slice(first - start, last - start)
