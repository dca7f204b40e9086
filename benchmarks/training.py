"""Training throughput beside the bare limit, in images a second at steady state.

    python benchmarks/training.py --json benchmarks/results/training.json

The bare limit is the same network, precision and memory layout with images that are ready tensors:
forward, backward and step, no augmentation. Pellucid reads uint8 pixels, augments with a full
policy, clips gradients and keeps the moving average. Contestants take turns; medians are shown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from machine import parse_arguments, publish
from pellucid.network.classifier import Classifier, NetworkSpec, build_classifier
from pellucid.task import Target, Task
from pellucid.training import loop
from pellucid.training.plan import Plan

TASK = Task(targets=(Target(name="label", classes=("no", "yes")),))
CASES = (("plain", 28, 24), ("plain", 64, 16), ("resnet18", 28, 8), ("resnet18", 64, 8))
BATCH, WARM_UP = 32, 2


def make(network: str, size: int) -> Classifier:
    spec = NetworkSpec(name=network, channels=1, image_size=size)
    classifier = build_classifier(spec, TASK)
    return classifier.to(memory_format=torch.channels_last)


def bare(network: str, size: int, steps: int) -> float:
    """Images a second of forward, backward and step on ready tensors."""
    classifier = make(network, size).train()
    optimiser = torch.optim.AdamW(classifier.parameters())
    images = torch.rand(BATCH, 1, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (BATCH, 1)).float()
    moments = []
    for _ in range(steps + WARM_UP):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(classifier(images), labels).backward()
        optimiser.step()
        moments.append(time.perf_counter())
    return rate(moments)


def pellucid(network: str, size: int, steps: int) -> float:
    """Images a second of the whole loop, augmentation included, validation left out."""
    n = BATCH * (steps + WARM_UP)
    random = np.random.default_rng(0)
    data = loop.TrainingData(
        task=TASK,
        pixels=random.integers(0, 256, (n + 2, 1, size, size), dtype=np.uint8),
        codes=(np.arange(n + 2) % 2)[:, None],
        train=np.arange(n),
        validation=np.arange(n, n + 2),
    )
    moments: list[float] = []
    plan = Plan(epochs=1, batch_size=BATCH, image_size=size, augmentation="chest_xray")
    listener = loop.Listener(step=lambda *_: moments.append(time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        classifier = build_classifier(NetworkSpec(name=network, channels=1, image_size=size), TASK)
        loop.train(
            classifier, plan, data, Path(folder), score=lambda codes, logits: 0.5, listener=listener
        )
    return rate(moments[: steps + WARM_UP])


def rate(moments: list[float]) -> float:
    """Median images a second between steps, the first ones left out."""
    return BATCH / statistics.median(np.diff(moments[WARM_UP - 1 :]))


def main() -> None:
    options = parse_arguments(__doc__ or "")
    rows = []
    for network, size, steps in CASES:
        pairs = [
            (pellucid(network, size, steps), bare(network, size, steps))
            for _ in range(options.repeats)
        ]
        ours, limit = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append(
            {
                "network": network,
                "pixels": size,
                "pellucid_images_s": round(ours, 1),
                "bare_images_s": round(limit, 1),
                "ratio": round(ratio, 2),
            }
        )
    publish(rows, "python benchmarks/training.py", options.json)


if __name__ == "__main__":
    main()
