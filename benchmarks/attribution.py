"""Seconds an image by method, network and image size, beside captum in the same run.

    python benchmarks/attribution.py --json benchmarks/results/attribution.json

One process, one thread. Ours checks the input, normalises, finds the default layer and gives NumPy
maps; captum gets ready tensors and the layer. Both explain the same images with random weights:
4 for the two methods of one pass, 1 for the two of many (integrated gradients with 50 steps;
occlusion with 225 windows, which is captum's own work in both). Contestants take turns; medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import (
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
)

from machine import parse_arguments, publish
from pellucid.bundle import Bundle
from pellucid.explanation.attribution.attribute import METHODS, attribute
from pellucid.explanation.attribution.grad_cam import default_layer
from pellucid.explanation.goals import Goal
from pellucid.explanation.layers import find_layer
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import NetworkSpec, build_classifier, normalise
from pellucid.task import Target, Task

TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))
CASES = (("plain", 64), ("resnet18", 64), ("resnet34", 224))
IMAGES = {"grad_cam": 4, "gradient_x_input": 4, "integrated_gradients": 1, "occlusion": 1}
WINDOW, BATCH = 8, 7  # an eighth of the image; how many perturbed images captum takes at once


def make(network: str, size: int) -> Bundle:
    spec = NetworkSpec(name=network, channels=1, image_size=size)
    preprocessing = Preprocessing(image_size=size, channels=1)
    return Bundle(build_classifier(spec, TASK).eval(), spec, TASK, preprocessing, {})


def captums(bundle: Bundle, pixels: np.ndarray[Any, Any], method: str) -> Callable[[], Any]:
    """The same maps by captum, as a function of nothing."""
    size = bundle.spec.image_size
    x = normalise(torch.from_numpy(pixels), bundle.preprocessing.mean, bundle.preprocessing.std)
    x.requires_grad_()
    layer = find_layer(bundle.classifier, default_layer(bundle.classifier))
    window = (1, size // WINDOW, size // WINDOW)
    stride = (1, size // WINDOW // 2, size // WINDOW // 2)

    def grad_cam() -> Any:
        cam = LayerGradCam(bundle.classifier, layer)
        coarse = cam.attribute(x, 0, relu_attributions=True)
        return LayerAttribution.interpolate(coarse, (size, size), "bilinear")

    return {
        "grad_cam": grad_cam,
        "gradient_x_input": lambda: InputXGradient(bundle.classifier).attribute(x, 0),
        "integrated_gradients": lambda: IntegratedGradients(bundle.classifier).attribute(
            x, target=0, n_steps=50, internal_batch_size=BATCH
        ),
        "occlusion": lambda: Occlusion(bundle.classifier).attribute(
            x, window, strides=stride, target=0, perturbations_per_eval=BATCH
        ),
    }[method]


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(network: str, size: int, method: str, repeats: int) -> dict[str, Any]:
    """One row: our median and captum's, in seconds an image, and how far the maps differ."""
    bundle, n = make(network, size), IMAGES[method]
    shape = (n, 1, size, size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    theirs = captums(bundle, pixels, method)
    ours = lambda: attribute(bundle, pixels, Goal("label", "yes"), method)  # noqa: E731
    got, expected = ours().values, theirs().detach().numpy().sum(axis=1)  # also warms both up
    times = [(seconds(ours) / n, seconds(theirs) / n) for _ in range(repeats)]
    mine, peer = (statistics.median(column) for column in zip(*times, strict=True))
    scale = float(np.abs(expected).max())
    return {
        "network": network,
        "image_size": size,
        "method": method,
        "pellucid_s": round(mine, 4),
        "captum_s": round(peer, 4),
        "ratio": round(mine / peer, 2),
        "difference": f"{np.abs(got - expected).max() / scale if scale else 0.0:.0e}",
    }


def main() -> None:
    options = parse_arguments(__doc__ or "")
    torch.set_num_threads(1)
    rows = [
        compare(network, size, method, options.repeats)
        for network, size in CASES
        for method in METHODS
    ]
    publish(rows, "python benchmarks/attribution.py", options.json)


if __name__ == "__main__":
    main()
