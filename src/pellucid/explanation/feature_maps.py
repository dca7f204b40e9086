"""Feature maps: what a layer makes of images, and its strongest channels.

Lecture section "Architecture": the feature maps of a ResNet-34 from a shallow layer to the final
one. Knows the bundle and pixels as `preprocess` gives them; it draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.layers import capture, full_name
from pellucid.network.classifier import normalise
from pellucid.network.receptive_field import ReceptiveField, receptive_fields

STRENGTH = "mean of |activation| over the map"  # one rule for maps with and without negative values

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureMaps:
    """The output of `layer`: `maps` is float32 (n, channels, row, column)."""

    layer: str
    maps: Floats

    @property
    def is_signed(self) -> bool:
        """Whether some value is below 0, as before an activation."""
        return bool((self.maps < 0).any())

    @property
    def strengths(self) -> npt.NDArray[np.float64]:
        """The mean of |activation| over each map: (n, channels)."""
        return np.asarray(np.abs(self.maps).mean(axis=(2, 3), dtype=np.float64))

    def strongest(self, number: int, image: int = 0) -> list[int]:
        """The channels of the strongest maps of one image, the strongest first."""
        return rank(self.strengths[image], number)


def feature_maps(bundle: Bundle, pixels: Pixels, layer: str) -> FeatureMaps:
    """What `layer` gives for each of the images: uint8 (n, C, S, S) → (n, channels, h, w).

    Raises `UsageError` for pixels of another shape, an unknown layer, or one that gives no map.
    """
    maps = capture(bundle.classifier, to_input(bundle, pixels), [layer])[layer]
    return FeatureMaps(layer, maps.float().cpu().numpy())


def to_input(bundle: Bundle, pixels: Pixels) -> torch.Tensor:
    """Normalised images on the network's device: uint8 (n, C, S, S) → float32.

    Raises `UsageError` when they are not what `preprocess` gives for this bundle.
    """
    settings = bundle.preprocessing
    shape = (settings.channels, settings.image_size, settings.image_size)
    if pixels.ndim != 4 or pixels.shape[1:] != shape or pixels.dtype != np.uint8:
        raise UsageError(
            f"The network takes uint8 pixels (n, {', '.join(map(str, shape))})",
            f"{pixels.dtype} {pixels.shape}",
            "Make them with pellucid.images.preprocessing.preprocess.",
        )
    device = next(bundle.classifier.parameters()).device
    batch = torch.from_numpy(np.array(pixels)).to(device)
    return normalise(batch, settings.mean, settings.std)


def unit_fields(bundle: Bundle, n_rows: Mapping[str, int]) -> dict[str, ReceptiveField]:
    """What one unit of each layer sees, given the rows of its maps; see `network.receptive_field`.

    All of the image, the units spread over it evenly, where it cannot be followed (attention).
    """
    classifier, size = bundle.classifier, bundle.spec.image_size
    known = receptive_fields(classifier, bundle.spec)
    found = {}
    for layer, rows in n_rows.items():
        stride = size / rows
        unknown = ReceptiveField(size, stride, (stride - 1) / 2, is_whole_image=True)
        found[layer] = known.get(full_name(classifier, layer), unknown)
    return found


def rank(values: npt.NDArray[np.floating], number: int) -> list[int]:
    """The places of the largest values, the largest first; of equals the first comes first.

    >>> rank(np.array([1.0, 3.0, 3.0, 2.0]), 3)
    [1, 2, 3]
    """
    return [int(place) for place in np.argsort(-values, kind="stable")[:number]]
