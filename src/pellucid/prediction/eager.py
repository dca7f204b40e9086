"""Logits and pooled features by torch, from preprocessed pixels in memory.

Knows a classifier and pixels; it knows no files and no other engine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Classifier, normalise

_BATCH_SIZE = 64
# Feature maps of more images than this leave the processor's cache, and each layer then waits for
# memory: a ResNet-18 at 224 pixels takes two thirds of the time an image with 8 as with 32.
_PIXELS_AT_ONCE = 8 * 224 * 224


@torch.inference_mode()
def predict_logits(
    classifier: Classifier,
    pixels: npt.NDArray[np.uint8],
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> npt.NDArray[np.float32]:
    """Logits (n, task.n_logits) from preprocessed uint8 pixels (n, channel, row, column).

    `forward` computes the logits of normalised images; without it the classifier does.
    """
    classifier.eval()
    logits = np.zeros((len(pixels), classifier.task.n_logits), dtype=np.float32)
    step = images_at_once(pixels.shape)
    for start in range(0, len(pixels), step):
        x = _batch(pixels[start : start + step], preprocessing)
        logits[start : start + step] = (forward or classifier)(x).float().numpy()
        if progress:
            progress(min(start + step, len(pixels)), len(pixels))
    return logits


@torch.inference_mode()
def predict_pooled(
    classifier: Classifier, pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    """What the head sees of each image (n, n_features): the globally pooled feature map."""
    classifier.eval()
    step = images_at_once(pixels.shape)
    blocks = [
        classifier.pooling(classifier.features(_batch(pixels[start : start + step], preprocessing)))
        for start in range(0, len(pixels), step)
    ]
    if not blocks:
        return np.zeros((0, 0), dtype=np.float32)
    return np.asarray(torch.cat(blocks).float().numpy())


@torch.inference_mode()
def predict_maps(
    classifier: Classifier, pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits (n, task.n_logits) and the feature map before pooling (n, n_features, h, w).

    For few images: they go through the network together.
    """
    classifier.eval()
    maps = classifier.features(_batch(pixels, preprocessing))
    return classifier.judge(maps).float().numpy(), maps.float().contiguous().numpy()


def in_bfloat16(classifier: Classifier) -> Callable[[torch.Tensor], torch.Tensor]:
    """The classifier with its backbone in bfloat16; pooling and heads stay in float32."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = classifier.features(x)
        return classifier.judge(features.float())

    return forward


def images_at_once(shape: tuple[int, ...]) -> int:
    """How many images of (n, channel, row, column) go through the network together."""
    return max(1, min(_BATCH_SIZE, _PIXELS_AT_ONCE // max(1, shape[-2] * shape[-1])))


def _batch(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Normalised images; the copy also takes pixels from read-only memory maps."""
    batch = torch.from_numpy(np.array(pixels))
    return normalise(batch, preprocessing.mean, preprocessing.std)
