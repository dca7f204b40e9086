"""A tiny untrained model and images for it, for tests of what explains them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pellucid.bundle import Bundle, save_bundle
from pellucid.images.preprocessing import Preprocessing
from pellucid.network.classifier import build_classifier
from pellucid.network.spec import Block, NetworkSpec
from pellucid.task import Target, Task

SIDE = 16
BINARY = Task(targets=(Target(name="label", classes=("well", "ill")),))
TWO_TARGETS = Task(
    targets=(
        Target(name="opacity", classes=("no", "yes")),
        Target(name="kind", classes=("a", "b", "c")),
    )
)


def tiny_bundle(task: Task = BINARY, channels: int = 1) -> Bundle:
    """A plain network of two blocks with weights from a seed."""
    blocks = (Block(channels=4), Block(channels=6, pooling="none"))
    spec = NetworkSpec(name="plain", channels=channels, image_size=SIDE, blocks=blocks)
    preprocessing = Preprocessing(image_size=SIDE, channels=channels)
    return Bundle(build_classifier(spec, task, seed=1).eval(), spec, task, preprocessing, {})


def tiny_model(folder: Path, task: Task = BINARY) -> Path:
    """The same, written as a bundle folder."""
    return save_bundle(folder, tiny_bundle(task))


def draw_image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 12)) -> Path:
    """A small grey picture of noise with a bright square, (row, column) as `size`."""
    pixels = np.random.default_rng(seed).integers(0, 90, size)
    pixels[4:9, 3:8] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path
