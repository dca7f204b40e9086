"""Classifiers, tasks and images that the attribution tests share."""

from __future__ import annotations

import numpy as np
import torch

from pellucid.bundle import Bundle
from pellucid.explanation.goals import Goal
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import Block, NetworkSpec, build_classifier
from pellucid.task import Target, Task

TASKS = {
    "one logit": Task(targets=(Target(name="label", classes=("no", "yes")),)),
    "two logits": Task(targets=(Target(name="label", classes=("no", "yes"), n_logits=2),)),
    "four classes": Task(targets=(Target(name="label", classes=("a", "b", "c", "d")),)),
    "targets": Task(
        targets=(
            Target(name="label", classes=("no", "yes")),
            Target(name="view.side", classes=("a", "b", "c")),
            Target(name="type", classes=("no", "yes"), n_logits=2),
        )
    ),
}

# Goal → sign and column of the output, written by hand: what the oracle looks at.
GOALS = {
    "one logit": {Goal("label", "yes"): (1, 0), Goal("label", "no"): (-1, 0)},
    "two logits": {Goal("label", "yes"): (1, 1), Goal("label", "no"): (1, 0)},
    "four classes": {Goal("label", "b"): (1, 1), Goal("label", "d"): (1, 3)},
    "targets": {
        Goal("label", "no"): (-1, 0),
        Goal("view.side", "b"): (1, 2),
        Goal("type", "no"): (1, 4),
    },
}
BLOCKS = ({"channels": 6}, {"channels": 8})


def make_bundle(
    name: str = "plain",
    size: int = 16,
    channels: int = 1,
    task: str = "one logit",
    blocks: tuple[dict, ...] = BLOCKS,
) -> Bundle:
    """A bundle with random weights, which a little training's worth of statistics has passed."""
    options = {"blocks": tuple(Block(**block) for block in blocks)} if name == "plain" else {}
    spec = NetworkSpec(name=name, channels=channels, image_size=size, **options)
    classifier = build_classifier(spec, TASKS[task], seed=1)
    generator = torch.Generator().manual_seed(2)
    classifier.train()
    with torch.no_grad():
        classifier(torch.randn(4, channels, size, size, generator=generator))
    mean, std = ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)) if channels == 3 else ((0.4,), (0.25,))
    preprocessing = Preprocessing(image_size=size, channels=channels, mean=mean, std=std)
    return Bundle(classifier.eval(), spec, TASKS[task], preprocessing, {})


def make_pixels(bundle: Bundle, n: int = 3) -> np.ndarray:
    """Images of blobs and noise, uint8 (n, C, S, S)."""
    random = np.random.default_rng(5)
    size = bundle.spec.image_size
    rows, columns = np.mgrid[:size, :size] / size
    shape = (n, bundle.spec.channels, size, size)
    centres = random.uniform(0.2, 0.8, (n, 2, 1, 1))
    blobs = np.exp(-((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2) / 0.02)
    noise = random.uniform(0, 120, shape)
    return (noise + 130 * blobs[:, None]).astype(np.uint8)
