"""Where the last feature map speaks for a class: Grad-CAM of the last layer, without torch.

Behind the last feature map stand a global pooling and a fully connected layer, so the gradient that
Grad-CAM asks for is that layer's weights over the number of places, whatever the image: the map is
the class activation map (Zhou et al. 2016, "Learning deep features for discriminative
localization"; Selvaraju et al. 2017, section 3, show that both are one). So a bundle's graph is
enough to draw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from pellucid.bundle.files import WEIGHTS, BundleFiles
from pellucid.errors import BundleError, UsageError, did_you_mean
from pellucid.network.spec import target_name
from pellucid.task import Target

if TYPE_CHECKING:
    from pellucid.prediction.engines import OpenedModel

Floats = npt.NDArray[np.float32]


def head_weights(opened: OpenedModel) -> dict[str, Floats]:
    """Each target's fully connected layer (n_logits, n_features), without loading torch."""
    if not isinstance(opened.source, BundleFiles):
        heads = opened.source.classifier.heads
        names = [target.name for target in opened.task.targets]
        return {
            name: head.get_parameter("weight").detach().numpy()
            for name, head in zip(names, heads.values(), strict=True)
        }
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(opened.source.read(WEIGHTS))
    except (SafetensorError, ValueError) as error:
        raise BundleError("The weights of a bundle are a safetensors file") from error
    found = {
        target_name(key.removeprefix("heads.").removesuffix(".weight")): value
        for key, value in stored.items()
        if key.startswith("heads.") and key.endswith(".weight")
    }
    if found.keys() != set(opened.task.names):
        raise BundleError("The weights of a bundle hold a head for each of its targets")
    return {name: np.asarray(weights, dtype=np.float32) for name, weights in found.items()}


def class_map(target: Target, weights: Floats, maps: Floats, of_class: str) -> Floats:
    """A map (h, w), none below 0, of what speaks for a class in feature maps (n_features, h, w).

    Of a target with one logit, the other class is spoken for by what lowers it.
    """
    if of_class not in target.classes:
        rule = f"The classes of {target.name!r} are {', '.join(target.classes)}"
        raise UsageError(rule, repr(of_class), did_you_mean(of_class, list(target.classes)))
    code = target.classes.index(of_class)
    row = weights[code] if target.n_logits > 1 else weights[0] * (1 if code else -1)
    places = maps.shape[1] * maps.shape[2]
    return np.asarray(np.maximum(np.tensordot(row, maps, axes=1) / places, 0), dtype=np.float32)


def enlarge(coarse: Floats, side: int) -> Floats:
    """A map over the network's square (side, side), bilinearly between the middles of its cells."""
    picture = Picture.fromarray(coarse).resize((side, side), Picture.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32)
