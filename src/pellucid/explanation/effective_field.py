"""The effective receptive field: which pixels of its field a unit of a layer really listens to.

A unit may see a large square and still answer to its middle almost alone. Measured as Luo, Li,
Urtasun and Zemel 2016 do ("Understanding the effective receptive field in deep convolutional neural
networks"): the gradient of the centre unit by the pixels, without its sign, averaged over images.
The exact field, which bounds it, is `network.receptive_field`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.layers import capture, full_name
from pellucid.network.classifier import Classifier, normalise
from pellucid.network.receptive_field import ReceptiveField, receptive_fields

SHARE = 0.95
RANDOM_IMAGES = 24
_BATCH = 8


@dataclass(frozen=True)
class EffectiveField:
    """What the centre unit of a layer listens to, in pixels of the network's input.

    `gradient` (S, S): the mean absolute gradient, channels summed. `size` is the side of the square
    about `centre` (row, column) that holds 95 % of it. `exact` is the field that bounds it, None
    where it could not be followed. `source` says of which images.
    """

    layer: str
    unit: tuple[int, int]
    centre: tuple[float, float]
    gradient: npt.NDArray[np.float64]
    size: float
    exact: ReceptiveField | None
    n_images: int
    source: str

    def describe(self) -> str:
        """One sentence."""
        can = "unknown" if self.exact is None else f"{self.exact.size:g}"
        return (
            f"{self.layer}: 95 % of what its centre unit listens to lies within {self.size:g} × "
            f"{self.size:g} pixels; its receptive field has a side of {can} "
            f"({self.n_images} images of {self.source})"
        )

    def to_json(self) -> dict[str, Any]:
        """The figures, without the picture."""
        return {
            "layer": self.layer,
            "unit": list(self.unit),
            "centre": list(self.centre),
            "size": self.size,
            "share_of_gradient": SHARE,
            "exact_size": None if self.exact is None else self.exact.size,
            "n_images": self.n_images,
            "source": self.source,
        }


def effective_receptive_field(
    model: Bundle | Classifier,
    layer: str,
    pixels: npt.NDArray[np.uint8] | None = None,
    *,
    n_random: int = RANDOM_IMAGES,
    seed: int = 0,
) -> EffectiveField:
    """The effective field of a layer's centre unit, over images or over normal noise.

    `pixels` is uint8 (n, C, S, S) as `preprocess` gives them, and needs a bundle, which knows how
    to normalise them; None draws `n_random` images of noise, mean 0 and deviation 1 after
    normalisation. The gradient is that of the sum of the unit's channels. Raises `UsageError` for
    an unknown layer, one without a map, or one whose centre answers to nothing.
    """
    if pixels is None and n_random < 1:
        raise UsageError("An effective field needs at least one image", str(n_random))
    classifier = model.classifier if isinstance(model, Bundle) else model
    name = full_name(classifier, layer)
    exact = receptive_fields(classifier, classifier.spec).get(name)
    total, shape, n_images = torch.zeros(()), (0, 0), 0
    for x in _batches(model, pixels, n_random, seed):
        gradient, shape = _gradient(classifier, x, layer)
        total, n_images = total + gradient, n_images + len(x)
    values = (total / max(n_images, 1)).cpu().numpy()
    unit = (shape[0] // 2, shape[1] // 2)
    centre = (_centre(exact, unit[0], shape[0], values), _centre(exact, unit[1], shape[1], values))
    source = "noise" if pixels is None else "the data"
    size = _side(values, centre, layer)
    return EffectiveField(layer, unit, centre, values, size, exact, n_images, source)


def _batches(
    model: Bundle | Classifier, pixels: npt.NDArray[np.uint8] | None, n_random: int, seed: int
) -> Iterator[Tensor]:
    """Normalised images, a few at a time, where the classifier is."""
    classifier = model.classifier if isinstance(model, Bundle) else model
    device = next(classifier.parameters()).device
    if pixels is None:
        spec, generator = classifier.spec, torch.Generator().manual_seed(seed)
        for start in range(0, n_random, _BATCH):
            shape = (min(_BATCH, n_random - start), spec.channels, spec.image_size, spec.image_size)
            yield torch.randn(shape, generator=generator).to(device)
        return
    if not isinstance(model, Bundle):
        raise UsageError("Images need a bundle, which knows how they are normalised")
    if not len(pixels):
        raise UsageError("An effective field needs at least one image", "none")
    for start in range(0, len(pixels), _BATCH):
        batch = torch.from_numpy(np.array(pixels[start : start + _BATCH])).to(device)
        yield normalise(batch, model.preprocessing.mean, model.preprocessing.std)


def _gradient(classifier: Classifier, x: Tensor, layer: str) -> tuple[Tensor, tuple[int, int]]:
    """The absolute gradient (S, S) summed over the images, and the rows and columns of the map."""
    x = x.detach().requires_grad_()
    output = capture(classifier, x, [layer], gradients=True)[layer]
    if output.ndim != 4:
        raise UsageError(
            "Only a layer that gives a map has an effective field",
            repr(layer),
            "After global pooling every unit sees the whole image.",
        )
    rows, columns = int(output.shape[2]), int(output.shape[3])
    score = output[:, :, rows // 2, columns // 2].sum()
    (gradient,) = torch.autograd.grad(score, x)
    return gradient.abs().double().sum(dim=(0, 1)), (rows, columns)


def _centre(
    exact: ReceptiveField | None, unit: int, n_units: int, values: npt.NDArray[np.float64]
) -> float:
    """The pixel at the middle of the unit's field; where that is unknown, by proportion."""
    if exact is not None and not exact.is_whole_image:
        return exact.start + unit * exact.stride
    return (unit + 0.5) * len(values) / n_units - 0.5


def _side(values: npt.NDArray[np.float64], centre: tuple[float, float], layer: str) -> float:
    """The side of the smallest square about the centre that holds `SHARE` of the values."""
    total = float(values.sum())
    if not total > 0 or not np.isfinite(total):
        raise UsageError(
            f"The centre of {layer} answers to no pixel of these images",
            remedy="Give other images, or a layer nearer to the image.",
        )
    rows, columns = np.indices(values.shape)
    distance = np.maximum(np.abs(rows - centre[0]), np.abs(columns - centre[1]))
    steps, places = np.unique(distance, return_inverse=True)
    held = np.cumsum(np.bincount(places.ravel(), weights=values.ravel()))
    reached = int(np.searchsorted(held, SHARE * total))
    return float(2 * steps[min(reached, len(steps) - 1)] + 1)
