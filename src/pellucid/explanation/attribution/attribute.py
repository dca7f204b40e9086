"""attribute(bundle, pixels, goals, method) → Attribution: one map an image, by any method.

Knows the bundle, checks what it is given, and bounds the memory by working in batches; the
classifier is left exactly as it was found. It draws nothing and does not judge the maps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.bundle import Bundle
from pellucid.errors import UsageError
from pellucid.explanation.attribution.grad_cam import default_layer, grad_cam
from pellucid.explanation.attribution.gradients import (
    gradient_x_input,
    integrated_gradients,
    scores_of,
)
from pellucid.explanation.attribution.occlusion import occlusion
from pellucid.explanation.attribution.settings import METHODS as METHODS
from pellucid.explanation.attribution.settings import complete_settings
from pellucid.explanation.goals import Goal, check_pixels, goals_of_each
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Classifier, normalise

MAX_BATCH = 32
_BATCH_PIXELS = 400_000  # 7 images of 224 pixels

_FUNCTIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "gradient_x_input": gradient_x_input,
}
_MANY_PASSES = ("integrated_gradients", "occlusion")  # a batch is of one image, many times


@dataclass(frozen=True)
class Attribution:
    """One map an image for one goal each.

    `values` is float32 (n, S, S), S×S of the network's input, in units of the score, a logit: of
    Grad-CAM never below 0, of the other methods signed (above 0 speaks for the goal). `scores` (n,)
    are the goals' logits. `layer` is Grad-CAM's and "" for the other methods. `settings` are those
    of the method, complete; `baseline_scores` (n,) the goals' logits of the baseline image, None
    for Grad-CAM, which has none.
    """

    method: str
    layer: str
    goals: tuple[Goal, ...]
    values: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    settings: dict[str, Any] = field(default_factory=dict)
    baseline_scores: npt.NDArray[np.float64] | None = None

    @property
    def says_nothing(self) -> npt.NDArray[np.bool_]:
        """Which maps (n,) are the same everywhere, and so point nowhere.

        Grad-CAM's is all 0 where the ReLU cut everything: no place of the layer raised the score.
        It is constant where the layer's map is one pixel.
        """
        low, high = self.values.min(axis=(1, 2)), self.values.max(axis=(1, 2))
        return np.asarray(~(high - low > 1e-6 * np.maximum(np.abs(low), np.abs(high))))

    @property
    def completeness_errors(self) -> npt.NDArray[np.float64] | None:
        """A map's sum minus (score - baseline's score), (n,); 0 is perfect.

        For integrated gradients the error of the sum over steps: more steps make it smaller. For
        gradient × input how far the score is from linear. Occlusion promises no such sum: None.
        """
        if self.baseline_scores is None or self.method == "occlusion":
            return None
        sums = self.values.sum(axis=(1, 2), dtype=np.float64)
        return np.asarray(sums - (self.scores - self.baseline_scores))


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
    """How each place of each image, uint8 (n, C, S, S), raised or lowered its goal's score.

    `goals` is one for all images or one each. `layer` is Grad-CAM's alone; left out, it is the
    deepest stage whose map has at least 7 rows. `options` are the method's `baseline`, `steps`,
    `window`, `stride` (see `attribution.settings`). `progress` is called with (images done, n).
    Raises `UsageError`, and `MissingPackage` for occlusion without captum.
    """
    images = check_pixels(pixels, bundle.spec)
    each = goals_of_each(bundle.task, goals, len(images))
    settings = complete_settings(method, options, bundle.preprocessing)
    if layer is not None and method != "grad_cam":
        raise UsageError(f"{method} looks at the pixels and takes no layer", repr(layer))
    with _free_to_differentiate(bundle.classifier) as classifier:
        given = _arguments(method, layer, settings, classifier, bundle.preprocessing)
        size = 1 if "batch" in given else _batch_size(bundle.spec.image_size)
        parts = []
        for start in range(0, len(images), size):
            x = _normalised(images[start : start + size], classifier, bundle.preprocessing)
            parts.append(_FUNCTIONS[method](classifier, x, each[start : start + size], **given))
            if progress:
                progress(min(start + size, len(images)), len(images))
        of_baseline = _baseline_scores(classifier, given.get("baseline"), each)
    return Attribution(
        method=method,
        layer=given.get("layer", ""),
        goals=each,
        values=torch.cat([values for values, _ in parts]).float().cpu().numpy(),
        scores=torch.cat([scores for _, scores in parts]).double().cpu().numpy(),
        settings=settings,
        baseline_scores=of_baseline,
    )


def _arguments(
    method: str,
    layer: str | None,
    settings: dict[str, Any],
    classifier: Classifier,
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """What the method's function takes besides classifier, images and goals."""
    given = dict(settings)
    if method == "grad_cam":
        given["layer"] = layer or default_layer(classifier)
    if method in _MANY_PASSES:
        given["batch"] = _batch_size(preprocessing.image_size)
    if "baseline" in settings:
        values = np.array(settings["baseline"], dtype=np.float32).reshape(1, -1, 1, 1)
        given["baseline"] = _normalised(255 * values, classifier, preprocessing)[0]
    return given


def _baseline_scores(
    classifier: Classifier, baseline: Tensor | None, goals: Sequence[Goal]
) -> npt.NDArray[np.float64] | None:
    """Each goal's score (n,) of the image that is the baseline everywhere."""
    if baseline is None:
        return None
    size = classifier.spec.image_size
    image = baseline.expand(-1, size, size).unsqueeze(0)
    score = {goal: scores_of(classifier, image, [goal]).item() for goal in dict.fromkeys(goals)}
    return np.array([score[goal] for goal in goals])


def _normalised(
    pixels: npt.NDArray[Any], classifier: Classifier, preprocessing: Preprocessing
) -> Tensor:
    """(n, C, h, w) in units of 0 to 255, as the network takes it and where it lies."""
    x = torch.from_numpy(np.array(pixels)).to(next(classifier.parameters()).device)
    return normalise(x, preprocessing.mean, preprocessing.std)


def _batch_size(image_size: int) -> int:
    """Images that go through the network at once; fewer of the larger, to bound the memory."""
    return min(MAX_BATCH, max(1, _BATCH_PIXELS // image_size**2))


@contextmanager
def _free_to_differentiate(classifier: Classifier) -> Iterator[Classifier]:
    """Gradients on, even in a caller's inference mode; a classifier made in it is copied."""
    with torch.inference_mode(False), torch.enable_grad():
        state = (*classifier.parameters(), *classifier.buffers())
        is_without_graph = any(tensor.is_inference() for tensor in state)
        yield copy.deepcopy(classifier) if is_without_graph else classifier
