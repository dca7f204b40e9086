"""The filters of the first convolution: what the network looks for in single pixels.

Lecture section "Convolution": filters such as Sobel were made by hand, these were learned. Only the
first layer's can be read as small pictures, since only its input is a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.layers import find_modules, layer_names


@dataclass(frozen=True)
class Filters:
    """The kernels of `layer`: `weights` is float32 (filter, channel of the image, row, column).

    A weight is per unit of the normalised image, (pixel / 255 - mean) / deviation.
    """

    layer: str
    weights: npt.NDArray[np.float32]

    @property
    def norms(self) -> npt.NDArray[np.float64]:
        """The length (Euclidean norm) of each filter: (n,). A small one hardly answers."""
        flat = self.weights.reshape(len(self.weights), -1).astype(np.float64)
        return np.asarray(np.linalg.norm(flat, axis=1))


def filters(bundle: Bundle) -> Filters:
    """The kernels of the first convolution that gets the image itself.

    Raises `UsageError` when the network has none, such as one that cuts the image otherwise.
    """
    for name in layer_names(bundle.classifier):
        modules = find_modules(bundle.classifier, name)
        first = modules[0]
        if isinstance(first, nn.Conv2d) and first.in_channels == bundle.spec.channels:
            weights = (module.get_parameter("weight").detach() for module in modules)
            return Filters(name, np.concatenate([each.float().cpu().numpy() for each in weights]))
    rule = "Filters are shown of a network whose first layer is a convolution of the image"
    raise UsageError(rule, bundle.spec.name)
