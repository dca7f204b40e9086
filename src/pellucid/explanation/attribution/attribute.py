"""attribute(bundle, pixels, goals, method) → Attribution: one map an image, by any method.

Knows the bundle, checks what it is given, and bounds the memory by working in batches; the
classifier is left exactly as it was found. It draws nothing and does not judge the maps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.bundle import Bundle
from pellucid.errors import UsageError, did_you_mean
from pellucid.explanation.attribution.grad_cam import grad_cam
from pellucid.explanation.goals import Goal, check_pixels, goals_of_each
from pellucid.explanation.layers import full_name, last_convolutional_layer
from pellucid.network.classifier import Classifier, normalise

METHODS = ("grad_cam", "integrated_gradients", "occlusion", "gradient_x_input")

MAX_BATCH = 32
_BATCH_PIXELS = 400_000  # 8 images of 224 pixels: about 1 GB of activations in a VGG


@dataclass(frozen=True)
class Attribution:
    """One map an image for one goal each.

    `values` is float32 (n, S, S) in units of the score (a logit) and S×S of the network's input:
    of Grad-CAM never below 0, of the other methods signed (above 0 speaks for the goal).
    `scores` (n,) are the goals' logits. `layer` is Grad-CAM's and "" for the other methods.
    """

    method: str
    layer: str
    goals: tuple[Goal, ...]
    values: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]

    @property
    def says_nothing(self) -> npt.NDArray[np.bool_]:
        """Which maps (n,) are the same everywhere, and so point nowhere.

        Grad-CAM's is all 0 where the ReLU cut everything: no place of the layer raised the score.
        It is constant where the layer's map is one pixel.
        """
        low, high = self.values.min(axis=(1, 2)), self.values.max(axis=(1, 2))
        return np.asarray(high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high)))


def attribute(
    bundle: Bundle,
    pixels: npt.NDArray[np.uint8],
    goals: Goal | Sequence[Goal],
    method: str = "grad_cam",
    *,
    layer: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Attribution:
    """How each place of each image (n, C, S, S) raised or lowered its goal's score.

    `goals` is one for all images or one each. `layer` is Grad-CAM's alone; the default is what
    global pooling gets. `progress` is called with (images done, n). Raises `UsageError`.
    """
    images = check_pixels(pixels, bundle.spec)
    each = goals_of_each(bundle.task, goals, len(images))
    if method not in METHODS:
        raise UsageError("Unknown method", repr(method), did_you_mean(method, list(METHODS)))
    with _free_to_differentiate(bundle.classifier) as classifier:
        layer = layer or last_convolutional_layer(classifier)
        full_name(classifier, layer)
        maps, scores = [], []
        size = min(MAX_BATCH, max(1, _BATCH_PIXELS // bundle.spec.image_size**2))
        for start in range(0, len(images), size):
            part = slice(start, start + size)
            x = _normalised(bundle, classifier, images[part])
            values, score = grad_cam(classifier, x, each[part], layer)
            maps.append(values.float().cpu().numpy())
            scores.append(score.double().cpu().numpy())
            if progress:
                progress(min(start + size, len(images)), len(images))
    return Attribution(method, layer, each, np.concatenate(maps), np.concatenate(scores))


def _normalised(bundle: Bundle, classifier: Classifier, pixels: npt.NDArray[np.uint8]) -> Tensor:
    device = next(classifier.parameters()).device
    x = torch.from_numpy(np.array(pixels)).to(device)
    return normalise(x, bundle.preprocessing.mean, bundle.preprocessing.std)


@contextmanager
def _free_to_differentiate(classifier: Classifier) -> Iterator[Classifier]:
    """Gradients on, even in a caller's inference mode; a classifier made in it is copied."""
    with torch.inference_mode(False), torch.enable_grad():
        state = (*classifier.parameters(), *classifier.buffers())
        made_in_inference = any(tensor.is_inference() for tensor in state)
        yield copy.deepcopy(classifier) if made_in_inference else classifier
